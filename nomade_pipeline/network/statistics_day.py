"""The statistics of a window: how its failed jobs lie among all, computed and written with their reading in words."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from nomade_pipeline.analysis.series import Integers
from nomade_pipeline.config.settings import Config
from nomade_pipeline.network.statistics import (
    ALPHA,
    DECLARED,
    DRAWS,
    Judged,
    Network,
    Result,
    exchangeable,
    measure,
    verdict,
)
from nomade_pipeline.network.window_graph import WindowGraph, window_graphs, write
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.network import CANNOT_SAY, CLUSTERED, GRAPH_STATISTICS, NOT_CLUSTERED, OVERDISPERSED
from nomade_pipeline.tables.outcomes import FAILED_CLASSES, SUCCESS

WEEK_MILLISECONDS = 7 * 86_400_000

_WHERE = {
    "permuted": "if outcomes were exchanged among all jobs",
    "user_partition": "if outcomes were exchanged among the jobs of one user and partition",
    "user_week": "if outcomes were exchanged among the jobs of one user and week",
}
# What a statistic is, and what it means that it is lower or higher than the null model says.
_WHAT = {
    "mntd": ("The distance of a failed job to the nearest other one", "failures lie together", "failures keep apart"),
    "mpd": ("The mean distance of two failed jobs", "failures share a region", "failures are spread over regions"),
    "assortativity": ("Assortativity by outcome", "neighbours end differently", "neighbours end alike"),
    "purity": (
        "The share of failed jobs among the neighbours of failed jobs, above the base rate,",
        "failed jobs have fewer failed neighbours",
        "failed jobs have more failed neighbours",
    ),
}
READINGS = {
    CLUSTERED: "Failed jobs lie nearer to each other than users and partitions explain.",
    OVERDISPERSED: "Failed jobs lie further from each other than chance would have it within users and partitions.",
    NOT_CLUSTERED: "A failed job's nearest failed job is no nearer than users and partitions explain.",
    CANNOT_SAY: "Too few failed or successful jobs can be exchanged within a user and partition.",
}


def statistics_of_day(store: Store, config: Config, day: date) -> dict[str, Any]:
    """Write the statistics of the windows that end with a UTC day; return figures to show.

    Raises:
        LakeError: a stored file cannot be read or written.
    """
    told = [_statistics(store, window) for window in window_graphs(store, config, day)]
    return {"verdict": "; ".join(f"{cluster}: {word}" for cluster, word in told) or None}


def _statistics(store: Store, window: WindowGraph) -> tuple[str, str]:
    """Write the rows of a window; return its cluster and the verdict, or why there is none."""
    if window.note is not None:
        write(store, GRAPH_STATISTICS, window, [])
        return window.cluster, window.note
    judged = judged_jobs(window)
    results = measure(Network(window.node_values, window.edges, judged))
    found = verdict(results)
    write(store, GRAPH_STATISTICS, window, [_row(result, judged, found) for result in results])
    return window.cluster, found


def judged_jobs(window: WindowGraph) -> Judged:
    """Return the jobs with a node that failed or succeeded, and the strata of the null models."""
    kept = (window.node >= 0) & np.isin(window.classes, (SUCCESS, *FAILED_CLASSES))
    user, partition = (np.asarray(window.text(name), dtype=str)[kept] for name in ("user", "partition"))
    milliseconds = window.jobs["submit_time"].dt.epoch("ms").to_numpy()[kept]
    week = (milliseconds // WEEK_MILLISECONDS).astype(str)
    strata = {
        "permuted": np.zeros(int(kept.sum()), np.int64),
        "user_partition": _strata(user, partition),
        "user_week": _strata(user, week),
    }
    return Judged(window.node[kept], window.classes[kept], strata)


def _strata(*labels: Any) -> Integers:
    """Return a number for each different combination of labels."""
    codes = np.column_stack([np.unique(each, return_inverse=True)[1] for each in labels])
    numbers: Integers = np.unique(codes, axis=0, return_inverse=True)[1].ravel()
    return numbers


def _row(result: Result, judged: Judged, found: str) -> dict[str, Any]:
    declared = (result.name, result.null) == DECLARED
    return {
        "statistic": result.name,
        "null_model": result.null,
        "judged": len(judged.outcome),
        "failed": int(np.sum(judged.outcome > 0)),
        "exchangeable": exchangeable(judged.outcome, judged.strata[result.null]),
        "observed": result.observed,
        "expected": result.expected,
        "deviation": result.deviation,
        "null_low": result.low,
        "null_high": result.high,
        "effect": result.effect,
        "p": result.p,
        "draws": DRAWS if result.p is not None else 0,
        "declared": declared,
        "verdict": found if declared else None,
        "reading": READINGS[found] if declared else reading(result),
    }


def reading(result: Result) -> str:
    """Return what a statistic says under a null model, in words."""
    what, lower, higher = _WHAT[result.name]
    if result.p is None or result.observed is None or result.expected is None:
        return f"{what}: too few jobs can be exchanged."
    meaning = "no more than chance" if result.p > ALPHA else lower if result.observed < result.expected else higher
    expected = f"it would be {result.expected:.3g} {_WHERE[result.null]}"
    return f"{what} is {result.observed:.3g}; {expected}: {meaning} (p = {result.p:.3g})."
