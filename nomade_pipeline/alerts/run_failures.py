"""Failed runs of the pipeline itself, judged like anything else: the job and its partition are the subject."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Iterable

from nomade_pipeline.alerts.policy import DAY, Policy
from nomade_pipeline.alerts.verdict import FINE, Judgement, Verdict

RULE = "pipeline-run-failed"
# The next run that succeeds clears it; one that is never repeated is not heard of again.
POLICY = Policy(RULE, clear_for_seconds=0.0, vanished_seconds=7 * DAY)


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended.

    Attributes:
        run_id: its number.
        job: what ran.
        partition: its day, empty without one.
        failed: whether it failed.
        time: when it ended, UTC.
        message: why it failed.
    """

    run_id: str
    job: str
    partition: str
    failed: bool
    time: datetime
    message: str = ""


def judge_runs(runs: Iterable[EndedRun], cluster: str) -> Judgement:
    """Return what runs say of their jobs: of each job and partition the newest run counts.

    Args:
        runs: in any order.
        cluster: the installation's cluster, in whose name it is told.
    """
    newest: dict[tuple[str, str], EndedRun] = {}
    for run in sorted(runs, key=lambda run: run.time):
        newest[run.job, run.partition] = run
    return Judgement(RULE, tuple(_verdict(run, cluster) for run in newest.values()))


def _verdict(run: EndedRun, cluster: str) -> Verdict:
    subject = f"{run.job} {run.partition}".strip()
    said = f"the run of {subject} failed: {run.message or 'see its log'}" if run.failed else f"{subject} ran through"
    return Verdict(
        rule=RULE,
        cluster=cluster,
        subject=subject,
        level="warning" if run.failed else FINE,
        time=run.time,
        summary=said,
        details={"run": run.run_id},
    )
