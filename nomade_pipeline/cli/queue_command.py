"""`nomade queue`: what runs, what waits and why, and how the scheduler does."""

from __future__ import annotations

from typing import Any, Mapping

import click

from nomade_pipeline import clock
from nomade_pipeline.analysis.waiting import WORDS
from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import (
    NULL,
    age_text,
    bad,
    cluster_name,
    echo_json,
    faint,
    good,
    heading,
    number,
    printable,
    table,
    warn,
)
from nomade_pipeline.cli.trend_screen import Unit, trend_lines
from nomade_pipeline.errors import NoData
from nomade_pipeline.status.findings import KINDS, findings_by_cluster, in_words
from nomade_pipeline.status.queue import queues
from nomade_pipeline.status.trends import trends_now

MOST_FINDINGS = 10
JOBS = Unit(1.0, "jobs", ",.1f")
HINT = "`nomade collect --once -C slurm` asks Slurm; `nomade up` or `nomade collect` on the head node keeps asking"


@click.command(
    "queue",
    epilog="\b\nExamples:\n  nomade queue\n  nomade queue --partition gpu\n  nomade queue --trend --json",
)
@click.option("--partition", metavar="NAME", help="Only this partition.")
@click.option("--trend", is_flag=True, help="How the number of waiting jobs has moved over two days.")
@json_option
@pass_invocation
def queue_command(invocation: Invocation, partition: str | None, trend: bool, as_json: bool) -> int:
    """Show the queue by partition, why jobs wait, and whether the scheduler answers."""
    if trend:
        return _show_trends(invocation, partition, as_json=as_json)
    found = queues(invocation.config, clock.now())
    if not found:
        raise NoData(f"nothing of Slurm has been collected below {invocation.paths.root}", HINT)
    findings = findings_by_cluster(invocation.config, clock.now())
    nothing: dict[str, Any] = {kind: [] for kind in KINDS}
    found = [{**queue, "findings": findings.get(queue["cluster"], nothing)} for queue in found]
    if partition is not None:
        found = [_only(queue, partition) for queue in found]
        if not any(queue["partitions"] for queue in found):
            raise NoData(f"no partition {printable(partition)} is known", "`nomade queue` lists those that are")
    if as_json:
        echo_json(found)
    else:
        click.echo("\n\n".join("\n".join(queue_lines(queue)) for queue in found))
    return FINE


def _show_trends(invocation: Invocation, partition: str | None, *, as_json: bool) -> int:
    """Print the trend of the waiting jobs of each partition, from the hourly rollups."""
    rows = trends_now(invocation.config, "queue", clock.now())
    rows = [row for row in rows if partition in (None, row["subject"])]
    if not rows:
        raise NoData(f"no queue has been rolled up below {invocation.paths.root}", "`nomade ingest` does that")
    if as_json:
        echo_json(rows)
        return FINE
    for row in rows:
        title = f"{cluster_name(row['cluster'])}  {printable(row['subject'])}"
        about = f"{number(row['value'], ',.0f')} waiting, hourly means up to {row['sample_time'][:16]}Z"
        click.echo("\n".join([f"{heading(title)}  {faint(about)}", *trend_lines(row, JOBS, "")]))
    return FINE


def _only(queue: dict[str, Any], partition: str) -> dict[str, Any]:
    kept = {name: [row for row in queue[name] if row["partition"] == partition] for name in ("partitions", "pending")}
    return {**queue, **kept}


def queue_lines(queue: Mapping[str, Any]) -> list[str]:
    """Return the screen of one cluster's queue."""
    lines = [f"{heading(cluster_name(queue['cluster']))}  {_freshness(queue)}", *_scheduler_lines(queue["scheduler"])]
    rows = [_partition_row(row) for row in queue["partitions"]]
    headers = ("partition", "running", "pending", "other", "CPUs run/wait", "nodes idle/out", "wait median", "wait max")
    lines += ["", table(headers, rows, right=headers[1:])]
    reasons = [row for row in queue["pending"] if row["partition"] != "(cluster)"]
    if reasons:
        lines += ["", heading("Why jobs wait:"), *map(_reason_line, reasons)]
    for kind, title in _TITLES.items():
        lines += _finding_lines(title, [in_words(each) for each in queue["findings"][kind]])
    return lines


def _finding_lines(title: str, findings: list[str]) -> list[str]:
    if not findings:
        return []
    left = len(findings) - MOST_FINDINGS
    more = [faint(f"  … {left} more; --json has all")] if left > 0 else []
    return ["", heading(f"{title}:"), *(warn(f"  {printable(line)}") for line in findings[:MOST_FINDINGS]), *more]


_TITLES = {
    "stuck": "Stuck",
    "lost": "Zombies and runaways",
    "arrays": "Sick arrays",
    "shares": "Shares out of balance",
}


def _freshness(queue: Mapping[str, Any]) -> str:
    text = f"{age_text(max(0.0, queue['age_seconds']))} old"
    return bad(f"stale: {text}") if queue["stale"] else good(text)


def _scheduler_lines(scheduler: Mapping[str, Any] | None) -> list[str]:
    if scheduler is None:
        return [faint(f"  {NULL} the scheduler was never asked")]
    up, dbd = scheduler["controller_up"], scheduler["dbd_up"]
    controller = good(f"up on {printable(scheduler['controller'])}") if up else bad("does not answer")
    accounting = faint("not by slurmdbd") if dbd is None else good("up") if dbd else bad("does not answer")
    cycle = number(scheduler["cycle_mean_seconds"], ".3f", " s")
    answer = number(scheduler["squeue_seconds"], ".2f", " s")
    lines = [f"  Scheduler:     {controller}   squeue: {answer}   cycle: {cycle}", f"  Accounting:    {accounting}"]
    if scheduler["backups_down"]:
        lines.append(warn(f"  Backups down:  {scheduler['backups_down']}"))
    return lines


def _partition_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    def share(left: str, right: str) -> str | None:
        return None if row.get(left) is None else f"{row[left]}/{row[right]}"

    others = [row.get(name) for name in ("suspended_jobs", "completing_jobs", "other_jobs")]
    state = row.get("state")
    return (
        row["partition"] if state in (None, "up") else f"{row['partition']} ({state})",
        row.get("running_jobs"),
        row.get("pending_jobs"),
        None if None in others else sum(others),
        share("running_cpus", "pending_cpus"),
        share("nodes_idle", "nodes_unavailable"),
        _wait(row.get("wait_median_seconds")),
        _wait(row.get("wait_max_seconds")),
    )


def _wait(seconds: float | None) -> str | None:
    return None if seconds is None else age_text(seconds)


def _reason_line(row: Mapping[str, Any]) -> str:
    told = f" ({printable(row['example_reason'])})" if row["example_reason"] else ""
    wait = f", longest {age_text(row['wait_max_seconds'])}" if row["wait_max_seconds"] is not None else ""
    count = f"{row['jobs']} job{'' if row['jobs'] == 1 else 's'}"
    return f"  {printable(row['partition'])}: {count}: {WORDS[row['reason_class']]}{told}{wait}"
