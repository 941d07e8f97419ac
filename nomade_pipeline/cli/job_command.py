"""`nomade job ID`: one job, waiting, running or ended."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.jobs_command import described, outcome_word, percent
from nomade_pipeline.cli.output import (
    NULL,
    age_text,
    bad,
    cluster_name,
    echo_json,
    faint,
    good,
    heading,
    printable,
    size_text,
    table,
)
from nomade_pipeline.status.one_job import one_job
from nomade_pipeline.tables.contract import is_simulated
from nomade_pipeline.tables.outcomes import CANCELLED, DEPENDENCY, SUCCESS

# Of an array so many tasks are shown in a table.
MOST_RUNS = 20


@click.command("job", epilog="\b\nExamples:\n  nomade job 12345\n  nomade job 12345_7\n  nomade job 12345 --json")
@click.argument("job")
@json_option
@pass_invocation
def job_command(invocation: Invocation, job: str, as_json: bool) -> int:
    """Show one job: what it asked for, what it used, what it came to; of a waiting one why it waits."""
    found = one_job(invocation.config, job, clock.now())
    if as_json:
        found["runs"] = [described(run) for run in found["runs"]]
        echo_json(found)
        return FINE
    click.echo("\n".join(_lines(found)))
    return FINE


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    if found["queue"] is not None:
        yield from _queue_lines(found["queue"])
    if found["waiting"] is not None:
        yield from _waiting_lines(found["waiting"])
    runs = found["runs"]
    if len(runs) == 1:
        yield from _run_lines(runs[0])
    elif runs:
        yield heading(f"{len(runs)} ended runs or tasks")
        yield _runs_table(runs[:MOST_RUNS])
        if len(runs) > MOST_RUNS:
            yield faint(f"  … {len(runs) - MOST_RUNS} more; --json has all")
    if found["siblings"]:
        yield heading("Others of this name or array")
        yield _runs_table(found["siblings"])


def _field(name: str, value: object) -> str:
    return f"  {name:<16} {NULL if value is None else printable(value)}"


def _title(row: Mapping[str, Any], state: str) -> str:
    number = row["job_id"] or row["job_id_raw"]
    plain = "" if number == row["job_id_raw"] else faint(f" (number {printable(row['job_id_raw'])})")
    where = f" of {cluster_name(row['cluster'])}" if is_simulated(row["cluster"]) else ""
    return f"{heading('Job ' + printable(number) + where)}{plain}  {state}  {printable(row['job_name'] or '')}"


def _queue_lines(job: Mapping[str, Any]) -> Iterator[str]:
    yield _title(job, printable(job["state_raw"]))
    yield _field("user", f"{job['user']} / {job['account']}")
    yield _field("partition", f"{job['partition']}, QOS {job['qos']}")
    yield _field(
        "asks for", _request(job["cpus"], job["nodes"], job["memory_bytes"], job["gpus"], job["time_limit_seconds"])
    )
    yield _field("submitted", _local(job["submit_time"]))
    if job["state"] == "PENDING":
        yield _field("expected start", _local(job["start_time"]))
    else:
        yield _field("started", _local(job["start_time"]))
        yield _field("limit ends", _local(job["end_time"]))
        yield _field("nodes", job["node_list"])


def _waiting_lines(waiting: Mapping[str, Any]) -> Iterator[str]:
    yield heading("Why it waits")
    yield f"  {waiting['in_words']} {faint(printable(waiting['reason'] or ''))}"
    for part in waiting["priority_parts"]:
        told = (
            f"{name} {value:g}"
            for name, value in part.items()
            if isinstance(value, float) and name != "priority" and value
        )
        whole = NULL if part["priority"] is None else f"{part['priority']:g}"
        yield _field("priority", f"{whole} = {', '.join(told) or 'nothing told'}")
    for advice in waiting["advice"]:
        yield f"  → {printable(advice)}"


def _run_lines(run: Mapping[str, Any]) -> Iterator[str]:
    yield _title(run, _outcome(run))
    yield _field("user", f"{run['user']} / {run['account']}")
    yield _field("partition", f"{run['partition']}, QOS {run['qos']}")
    yield heading("Request")
    yield _field(
        "asked for",
        _request(
            run["req_cpus"], run["req_nodes"], run["req_memory_bytes"], run["req_gpus"], run["time_limit_seconds"]
        ),
    )
    yield _field(
        "was given", _request(run["alloc_cpus"], run["alloc_nodes"], run["alloc_memory_bytes"], run["alloc_gpus"], None)
    )
    yield _field("nodes", run["node_list"])
    yield heading("Time")
    yield _field("submitted", f"{_local(run['submit_time'])}, waited {_length(run['wait_seconds'])}")
    yield _field("ran", f"{_local(run['start_time'])} to {_local(run['end_time'])}, {_length(run['elapsed_seconds'])}")
    yield heading("Use")
    yield _field("CPU", f"{_length(run['cpu_seconds'])}, efficiency {percent(run['cpu_efficiency_ratio']) or NULL}")
    yield from _memory_lines(run)
    yield from _io_lines(run)
    yield heading("Outcome")
    yield _field("state", run["state_raw"])
    yield _field("exit", f"status {_plain(run['exit_code'])}, signal {_plain(run['exit_signal'])}")


def _memory_lines(run: Mapping[str, Any]) -> Iterator[str]:
    """Yield the peak of memory in its three definitions."""
    allocated = run["alloc_memory_bytes"]
    cgroup = run["memory_cgroup_peak_bytes"]
    share = cgroup / allocated if cgroup is not None and allocated else None
    for name, peak, ratio in (
        ("memory, seff", run["memory_seff_bytes"], run["memory_efficiency_ratio"]),
        ("MaxRSS x tasks", run["memory_max_rss_tasks_bytes"], run["memory_tasks_efficiency_ratio"]),
        ("cgroup peak", cgroup, share),
    ):
        yield _field(name, f"{size_text(peak)}, {percent(ratio) or NULL}")


def _io_lines(run: Mapping[str, Any]) -> Iterator[str]:
    if run["monitor_readings"] is None:
        written = size_text(run["disk_write_bytes"])
        yield _field("written", f"{written} by the accounting; the job monitor did not watch it")
        return
    yield _field(
        "network", f"written {size_text(run['network_write_bytes'])}, read {size_text(run['network_read_bytes'])}"
    )
    yield _field("local", f"written {size_text(run['local_write_bytes'])}, read {size_text(run['local_read_bytes'])}")
    peak = run["write_peak_bytes_per_second"]
    yield _field("peak write rate", NULL if peak is None else f"{size_text(peak)}/s")


def _outcome(run: Mapping[str, Any]) -> str:
    word = outcome_word(run) or str(run["state_raw"])
    if run["failure_class"] == SUCCESS:
        return good(word)
    return printable(word) if run["failure_class"] in (CANCELLED, DEPENDENCY, None) else bad(word)


def _runs_table(rows: list[dict[str, Any]]) -> str:
    headers = ("job", "outcome", "ended", "ran", "CPU", "memory")
    told = [
        (
            row["job_id"] or row["job_id_raw"],
            outcome_word(row) or row["state_raw"],
            _local(row["end_time"]),
            _length(row["elapsed_seconds"]),
            percent(row["cpu_efficiency_ratio"]),
            percent(row["memory_efficiency_ratio"]),
        )
        for row in rows
    ]
    return table(headers, told, right=headers[3:])


def _request(cpus: Any, nodes: Any, memory: Any, gpus: Any, limit: Any) -> str:
    parts = [f"{_plain(cpus)} CPUs", f"{_plain(nodes)} nodes", f"{size_text(memory)} memory"]
    parts += [f"{gpus} GPUs"] if gpus else []
    parts += [f"{_length(limit)} limit"] if limit is not None else []
    return ", ".join(parts)


def _plain(value: Any) -> str:
    return NULL if value is None else str(value)


def _length(seconds: float | None) -> str:
    return NULL if seconds is None else age_text(seconds)


def _local(text: str | None) -> str:
    return NULL if text is None else clock.from_text(text).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
