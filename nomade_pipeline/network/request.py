"""Links of a job to jobs that had ended before it was submitted, by what is known when a job is submitted.

Similarity of two requests (Gower 1971): the mean over what is known of both of: 1 or 0 for an equal user, account,
partition, name; 1 - |difference of log2| / 4, not below 0, for CPUs, memory and time limit; 1 - hours apart / 12 for
the hour of the day. The links are exact among these candidates: the `RECENT` jobs that ended last before the
submission in each of the blocks same user and name, same user, same account and partition, same partition, cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.config.settings import Config
from nomade_pipeline.network.kernel import Ints, Neighbours
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.schema import conform
from nomade_pipeline.tables.graph import REQUEST_EDGES
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

if TYPE_CHECKING:
    import polars

WORDS = ("user", "account", "partition", "job_name")
NUMBERS = ("req_cpus", "req_memory_bytes", "time_limit_seconds")
BLOCKS = (("user", "job_name"), ("user",), ("account", "partition"), ("partition",), ())
# Requests that differ by a factor of 2^4 are as unlike as can be.
DOUBLINGS = 4.0
RECENT, LINKS = 32, 10
COLUMNS = ("job_id_raw", "submit_time", *WORDS, *NUMBERS)


@dataclass(frozen=True)
class Requests:
    """What is known of jobs when they are submitted.

    Attributes:
        words: n × 4, a number for each text of `WORDS`; -1 for none.
        numbers: n × 3, log2 of `NUMBERS` over `DOUBLINGS`; NaN for none.
        hours: hour of the day of the submission, UTC, with its fraction.
    """

    words: Ints
    numbers: Floats
    hours: Floats

    @property
    def columns(self) -> tuple[Any, ...]:
        """Its arrays, as the compiled sweep takes them."""
        return self.words, self.numbers, self.hours


def requests_of(jobs: polars.DataFrame) -> Requests:
    """Return what is known at submission of jobs with the `COLUMNS`; texts are numbered within the frame."""
    import polars as pl

    words = jobs.select((pl.col(name).rank("dense").cast(pl.Int32) - 1).fill_null(-1) for name in WORDS).to_numpy()
    positive = (pl.when(pl.col(name) > 0).then(pl.col(name)).cast(pl.Float64) for name in NUMBERS)
    numbers = jobs.select((each.log(2) / DOUBLINGS).fill_null(float("nan")) for each in positive).to_numpy()
    seconds = jobs["submit_time"].dt.epoch("s").to_numpy() % 86400
    return Requests(np.ascontiguousarray(words), np.ascontiguousarray(numbers), seconds / 3600.0)


def request_links(wanted: polars.DataFrame, history: polars.DataFrame, k: int = LINKS) -> polars.DataFrame:
    """Return for each job the most similar jobs that had ended before it was submitted.

    Args:
        wanted: jobs with the `COLUMNS`, ended or not.
        history: jobs with the `COLUMNS` and ``end_time``; it may hold the wanted ones.
        k: most links of a job.

    Returns:
        ``job_id_raw``, ``submit_time``, ``rank``, ``earlier_job_id_raw``, ``earlier_submit_time``,
        ``earlier_end_time`` and ``similarity``. Of equal similarity the job that ended later comes first.
    """
    import polars as pl

    from nomade_pipeline.network.compiled_requests import sweep

    wanted = wanted.sort("submit_time", "job_id_raw")
    history = history.sort(["end_time", "job_id_raw"], descending=[True, False])
    # Numbered together, so that equal texts have equal numbers.
    both = requests_of(pl.concat([history.select(COLUMNS), wanted.select(COLUMNS)]))
    past, own = _split(both, history.height)
    found = Neighbours(np.full((wanted.height, k), -1, np.int32), np.full((wanted.height, k), np.nan))
    moments = [
        frame[name].dt.epoch("us").to_numpy() for frame, name in ((history, "end_time"), (wanted, "submit_time"))
    ]
    blocks = _blocks(both.words, history.height)
    sweep(past.columns, moments[0], own.columns, moments[1], blocks, RECENT, (found.ids, found.scores))
    return _frame(wanted, history, found)


def _split(requests: Requests, size: int) -> tuple[Requests, Requests]:
    first = Requests(*(column[:size] for column in requests.columns))
    return first, Requests(*(column[size:] for column in requests.columns))


def _blocks(words: Ints, size: int) -> tuple[Ints, Ints, Integers]:
    """Return, by kind of block, the block of each job of the history, that of each wanted one, and how many there are.

    A job of which a text of the block is not known is in none.
    """
    numbered = np.empty((len(BLOCKS), len(words)), np.int32)
    sizes = np.zeros(len(BLOCKS), np.int64)
    for kind, names in enumerate(BLOCKS):
        own = words[:, [WORDS.index(name) for name in names]].astype(np.int64)
        code = np.zeros(len(words), np.int64)
        for column in own.T:
            code = code * (int(column.max(initial=0)) + 1) + column
        _, number = np.unique(code, return_inverse=True)
        numbered[kind] = np.where((own >= 0).all(axis=1), number, -1)
        sizes[kind] = int(number.max(initial=-1)) + 1
    return numbered[:, :size], numbered[:, size:], sizes


def _frame(wanted: polars.DataFrame, history: polars.DataFrame, found: Neighbours) -> polars.DataFrame:
    import polars as pl

    query, rank = np.nonzero(found.ids >= 0)
    earlier = history.select(
        pl.col(name).alias(f"earlier_{name}") for name in ("job_id_raw", "submit_time", "end_time")
    )
    links = wanted.select("job_id_raw", "submit_time")[query].hstack(earlier[found.ids[query, rank]])
    return links.with_columns(
        rank=pl.Series(rank + 1, dtype=pl.Int32),
        similarity=pl.Series(found.scores[query, rank], dtype=pl.Float32),
    )


def request_edges_of_day(store: Store, config: Config, day: date) -> dict[str, Any]:
    """Write the links of the jobs that ended on a UTC day anew, for all clusters; return figures to show.

    They lead to jobs that ended within `[similarity] window_days` up to that day.

    Raises:
        LakeError: the lake cannot be read or written.
    """
    import polars as pl

    lake, end = store.lake, clock.start_of(day + timedelta(days=1))
    start = end - timedelta(days=config.similarity.window_days)
    linked = links = 0
    for cluster in sorted({*lake.clusters(JOB_METRICS), *lake.clusters(REQUEST_EDGES)}):
        ended = lake.read_day(JOB_METRICS, cluster, day)
        if ended.is_empty() and not lake.has(REQUEST_EDGES, cluster, day):
            continue
        history = lake.read(JOB_METRICS, start, end, clusters=[cluster], columns=[*COLUMNS, "end_time"])
        found = request_links(ended, history)
        rows = found.join(ended.select("job_id_raw", "submit_time", "end_time"), on=["job_id_raw", "submit_time"])
        rows = rows.rename({"end_time": "sample_time"}).with_columns(cluster=pl.lit(cluster))
        links += lake.replace(REQUEST_EDGES, cluster, day, conform(rows, REQUEST_EDGES))
        linked += found.select("job_id_raw", "submit_time").n_unique()
    return {"jobs_linked": linked, "links": links}
