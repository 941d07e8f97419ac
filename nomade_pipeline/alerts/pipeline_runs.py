"""The pipeline's own runs as verdicts: a job whose newest run failed is an alert until one succeeds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Iterable

from nomade_pipeline.alerts.verdict import FINE, Judgement, Verdict


@dataclass(frozen=True)
class NewestRun:
    """The newest finished run of a job of the pipeline.

    Attributes:
        job: its name.
        run_id: of the run.
        ended: when it ended, UTC.
        failed: whether it did.
    """

    job: str
    run_id: str
    ended: datetime
    failed: bool


def judge_runs(rule: str, cluster: str, runs: Iterable[NewestRun], now: datetime) -> Judgement:
    """Return the verdict on each job."""
    return Judgement(rule, tuple(_verdict(rule, cluster, run, now) for run in runs))


def _verdict(rule: str, cluster: str, run: NewestRun, now: datetime) -> Verdict:
    level, how = ("warning", "failed") if run.failed else (FINE, "succeeded")
    text = f"run {run.run_id[:8]} of {run.job} {how} at {run.ended:%Y-%m-%d %H:%M} UTC"
    return Verdict(rule, cluster, run.job, level, now, summary=text, details={"run_id": run.run_id})
