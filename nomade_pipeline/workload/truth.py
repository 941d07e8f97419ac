"""What is true of a simulated cluster and no collector could know; it lies beside the data, where no predictor reads.

``<data>/truth/<cluster>/`` holds `jobs`, `effects`, `users`, `storms` and `outages` as Parquet, and `scenario.json`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.tables.outcomes import OUTCOME_CLASSES
from nomade_pipeline.workload.fates import Draws, chances
from nomade_pipeline.workload.frames import moments, texts
from nomade_pipeline.workload.history import CAUSES, STILL_GOING, History
from nomade_pipeline.workload.job_rows import job_numbers
from nomade_pipeline.workload.profiles import EFFECTS, PROFILE_NAMES
from nomade_pipeline.workload.scenario import MINUTE, Scenario

if TYPE_CHECKING:
    import polars


def write_truth(folder: Path, history: History) -> None:
    """Write the truth of a history, over what was there.

    Raises:
        OSError: it cannot be written.
    """
    import polars as pl

    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "jobs": true_jobs(history),
        "effects": pl.DataFrame([asdict(effect) for effect in EFFECTS]),
        "users": _users(history),
        "storms": _storms(history),
        "outages": _outages(history),
    }
    for name, frame in tables.items():
        frame.write_parquet(folder / f"{name}.parquet")
    (folder / "scenario.json").write_text(json.dumps(as_told(history.scenario), indent=2) + "\n", encoding="utf-8")


def as_told(scenario: Scenario) -> dict[str, object]:
    """Return a scenario as plain values."""
    return {
        "cluster": scenario.cluster,
        "seed": scenario.seed,
        "jobs": scenario.jobs,
        "hosts": scenario.hosts,
        "start": clock.to_text(scenario.start),
        "end": clock.to_text(scenario.end),
    }


def true_jobs(history: History) -> polars.DataFrame:
    """Return one row a job, whether it has ended or not.

    Columns: the key of `job_metrics` (``job_id_raw``, ``submit_time``); ``profile``; the causes ``inexperience``,
    ``broken_build``, ``log2_nodes``; ``fate`` that was drawn (SUCCESS: none) and ``outcome`` (null: not ended) as names
    of classes; ``cause``; ``slowdown`` by storms (elapsed ÷ work) and ``work_seconds``; ``natural_seconds`` that the
    job would have taken undisturbed; ``memory_peak_bytes`` that it would have needed on a node; and the true
    probabilities of failing by its own causes: at submit, ten minutes after its start and at half of its limit (null
    where it had ended by then, or never started).
    """
    import polars as pl

    jobs, scenario, schedule = history.jobs, history.scenario, history.schedule
    count = len(jobs)
    true = chances(jobs, Draws.one_each(scenario, count))
    ran = np.where(history.started, history.until - schedule.start, 0)
    looks = {"after_10_minutes": (true.early, ran > 10 * MINUTE), "at_half_limit": (true.half, ran > jobs.limit / 2)}
    frame = pl.DataFrame(
        {
            "job_id_raw": job_numbers(np.arange(count)),
            "submit_time": moments(scenario, jobs.submit),
            "profile": texts(PROFILE_NAMES, jobs.profile),
            "inexperience": jobs.inexperience,
            "broken_build": jobs.broken_build,
            "log2_nodes": jobs.log2_nodes,
            "fate": texts(OUTCOME_CLASSES, history.runs.fate[:, 0]),
            "outcome": texts((*OUTCOME_CLASSES, ""), history.outcome % (len(OUTCOME_CLASSES) + 1)).replace("", None),
            "cause": texts(CAUSES, history.cause).replace("", None),
            "natural_seconds": history.run_of("natural"),
            "memory_peak_bytes": history.run_of("memory_peak").round(),
            "work_seconds": history.work,
            "slowdown": np.where(history.work > 0, ran / np.maximum(history.work, 1e-9), np.nan),
            "failure_probability_at_submit": true.at_submit,
            **{f"failure_probability_{name}": np.where(alive, value, np.nan) for name, (value, alive) in looks.items()},
        }
    )
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None))


assert STILL_GOING % (len(OUTCOME_CLASSES) + 1) == len(OUTCOME_CLASSES)


def _users(history: History) -> polars.DataFrame:
    import polars as pl

    people = history.people
    columns = ("activity", "experience", "working_hour", "limit_factor", "memory_factor")
    return pl.DataFrame({"user": people.names, "account": people.accounts, **{c: getattr(people, c) for c in columns}})


def _storms(history: History) -> polars.DataFrame:
    """Return the stormy minutes: their end, and by how much calls to the file server take longer."""
    import polars as pl

    storm = history.weather.storm
    stormy = np.flatnonzero(storm > 1)
    return pl.DataFrame({"time": moments(history.scenario, (stormy + 1) * MINUTE), "factor": storm[stormy]})


def _outages(history: History) -> polars.DataFrame:
    import polars as pl

    outages = history.weather.outages
    return pl.DataFrame(
        {
            "node": texts(history.park.names, outages.node),
            "begin": moments(history.scenario, outages.begin),
            "end": moments(history.scenario, outages.end),
            "failed": outages.failed,
        }
    )
