"""Recorded outputs of squeue, sinfo, scontrol, sdiag, sshare and sprio, and slurmrestd's JSON: what they are, and rows.

Every form is recognised by names that stand in it. One that does not name its columns (`-h`) is refused: which number
is which would be a guess.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Container, Dict, List, Mapping, Optional, Sequence, Tuple

from nomade_pipeline.collectors import slurm_json, slurm_scontrol, slurm_sdiag, slurm_shares, slurm_sinfo, slurm_squeue
from nomade_pipeline.collectors.base import CollectorError, Parsed, Rejected, Row
from nomade_pipeline.collectors.slurm_records import rows_of
from nomade_pipeline.collectors.slurm_tables import Table, marked_table, text_tables
from nomade_pipeline.tables.slurm_queue import SLURM_RESERVATION

Rows = Tuple[List[Row], List[Rejected]]

_ACCOUNTING = "records of sacct and sstat are no queue: `nomade parse job_metrics`"

# Outputs of Slurm that hold nothing for these tables: what shows it, and what to do with it.
_OTHERS = (
    (r"^\W*JobID(Raw)?\b.*\b(\w*CPU\w*|\w*RSS|Elapsed|ExitCode|JobName|Start|End)\b", _ACCOUNTING),
    (r"^\s*NodeName=", "`scontrol show node` is read by `nomade parse node_state`"),
    (r"^\s*PartitionName=", "`scontrol show partition` does not tell the states of its nodes: record `sinfo`"),
    (r"^\s*LicenseName=|No licenses configured", "`scontrol show license` holds no queue"),
    (r"^Configuration data as of", "`scontrol show config` holds no queue"),
    (r"(Association|QOS) Records", "`scontrol show assoc_mgr` is not read: record `sshare -a -l -P`"),
    (r"^Name=\w+ DefaultPool=|dwstat", "`scontrol show burstbuffer` is not read"),
    (r"\bsacctmgr\b|^\s*(Cluster|Name)\b.*\b(ControlHost|Priority|Server)\b", "sacctmgr's output holds no queue"),
    (r"^\W*JOBID\b", "a table of jobs without their states (ST or STATE) is no queue"),
    (r"^\W*(PARTITION|NODELIST|REASON)\b", "a table of sinfo tells of partitions by PARTITION, NODES and STATE only"),
)
_JSON_OTHERS = {
    "nodes": "the JSON of nodes is read by `nomade parse node_state`",
    "partitions": "the JSON of partitions does not tell the states of their nodes: record `sinfo`",
    "accounts": "the JSON of accounts holds no queue",
    "associations": "the JSON of associations holds no queue",
    "qos": "the JSON of qualities of service holds no queue",
    "licenses": "the JSON of licences holds no queue",
}
_EARLIER = "an earlier"
_NOT_RECOGNISED = (
    "no output of squeue, sinfo, scontrol, sdiag, sshare or sprio with the names of its columns was found in it; "
    "record it without -h"
)
# Titles of sacct and sstat, which squeue does not have.
_ACCOUNTING_TITLES = frozenset(
    ("EXITCODE", "ALLOCCPUS", "JOBIDRAW", "JOBNAME", "MAXRSS", "ELAPSED", "AVECPU", "START", "END", "SUBMIT", "NCPUS")
)  # fmt: skip


def parse(text: str) -> Parsed:
    """Read a recorded output in any form that names its columns; times without an offset are taken for UTC.

    Of several pictures of one thing in a text the newest is read, and the older ones are rejected.

    Raises:
        CollectorError: nothing of it is for these tables; the message says what it is.
    """
    try:
        parsed = _json(text) if text.lstrip().startswith("{") else _text(text)
    except CollectorError as error:
        raise CollectorError("parse", f"slurm: {error}") from error
    refused = [each for each in parsed.rejected if not each.reason.startswith(_EARLIER)]
    if refused and not any(parsed.rows.values()):
        raise CollectorError("parse", f"slurm: nothing could be read: {refused[0].reason}")
    return parsed


def table_of(text: str, kind: str) -> Table:
    """Return the table that a command of ours printed.

    Raises:
        CollectorError: it is not the table that was asked for, or cut off.
    """
    marked = marked_table(text)
    for table in text_tables(text, kind_of) if marked is None else (marked,):
        if kind_of(table.titles) == kind:
            return table
    raise CollectorError("parse", f"{kind}: its header is not in the output: {text[:80]!r}")


def kind_of(titles: Container[str]) -> Optional[str]:
    """Return whose table has these titles: squeue, sprio, sshare or sinfo; None when no one's."""
    if any(title in titles for title in _ACCOUNTING_TITLES):
        return None
    has_state = "STATE" in titles or "ST" in titles or "STATECOMPLETE" in titles
    if "JOBID" in titles and has_state:
        return "squeue"
    if "JOBID" in titles and "PRIORITY" in titles and ("AGE" in titles or "FAIRSHARE" in titles):
        return "sprio"
    if "ACCOUNT" in titles and "RAWSHARES" in titles:
        return "sshare"
    if "PARTITION" in titles and "NODES" in titles and has_state:
        return "sinfo"
    return None


def _jobs(table: Table) -> Rows:
    jobs, rejected = slurm_squeue.jobs_of(table.rows)
    return [{**job.row, "kind": "full"} for job in jobs], rejected


def _partitions(table: Table) -> Rows:
    return slurm_sinfo.partitions_of(table.rows)


# The table of rows that each command fills, and its reader.
_READERS: Dict[str, Tuple[str, Callable[[Table], Rows]]] = {
    "squeue": ("slurm_job", _jobs),
    "sinfo": ("slurm_partition", _partitions),
    "sprio": ("slurm_priority", slurm_shares.priorities_of),
    "sshare": ("slurm_share", slurm_shares.shares_of),
}


def _text(text: str) -> Parsed:
    """Read a text that is no JSON.

    Raises:
        CollectorError: nothing was recognised.
    """
    marked = marked_table(text)
    rows: Dict[str, List[Row]] = {}
    rejected: List[Rejected] = []
    if marked is None:
        for name, (found, refused) in _scontrol(text).items():
            rows[name] = found
            rejected.extend(refused)
    else:
        marked.kind = kind_of(marked.titles) or ""
    for table in _newest(text_tables(text, kind_of) if marked is None else [marked], rejected):
        if table.kind in _READERS:
            name, read = _READERS[table.kind]
            found, refused = read(table)
            rows[name] = found
            rejected.extend((*table.rejected, *refused))
    if not rows:
        reasons = (reason for pattern, reason in _OTHERS if re.search(pattern, text, re.MULTILINE))
        raise CollectorError("parse", next(reasons, _NOT_RECOGNISED))
    return Parsed(rows, tuple(rejected))


def _newest(tables: Sequence[Table], rejected: List[Rejected]) -> Sequence[Table]:
    """Return the last table of each command; earlier ones with rows are added to what is rejected."""
    last = {table.kind: table for table in tables}
    for table in tables:
        if table is not last[table.kind] and (table.rows or table.rejected):
            lines = "\n".join(" ".join(record.values()) for record in table.rows)
            rejected.append(Rejected(lines, f"{_EARLIER} {table.kind} in the same text; the last one is read"))
    return list(last.values())


def _scontrol(text: str) -> Dict[str, Rows]:
    """Return the rows by table that `sdiag`, `scontrol ping` and `scontrol show` of a text give."""
    found: Dict[str, Rows] = {}
    if "Server thread count:" in text:
        found["slurm_scheduler"] = _one(text, lambda: _answering(slurm_sdiag.scheduler_columns(text)))
    elif "Slurmctld(" in text:
        found["slurm_scheduler"] = _one(text, lambda: ping_columns(slurm_scontrol.controllers_of(text)))
    has_reservation = next(slurm_scontrol.chunks(text, "ReservationName"), None) is not None
    if has_reservation or slurm_scontrol.NO_RESERVATION in text:
        found["slurm_reservation"] = slurm_scontrol.reservations_of(text)
    jobs = slurm_scontrol.job_records(text)
    if jobs:
        found["slurm_job"] = _jobs(Table((), jobs))
    return found


def _one(text: str, read: Callable[[], Row]) -> Rows:
    try:
        return [read()], []
    except ValueError as error:
        return [], [Rejected(text, str(error))]


def _answering(columns: Row) -> Row:
    """Return the columns of a controller that has answered."""
    return {"controller_up": True, **columns}


def ping_columns(controllers: slurm_scontrol.Controllers) -> Row:
    """Return the columns of `slurm_scheduler` that a ping tells."""
    up = controllers.up
    return {"controller": up[0] if up else None, "controller_up": bool(up), "backups_down": controllers.backups_down}


def _json(text: str) -> Parsed:
    """Read an answer in JSON.

    Raises:
        CollectorError: it holds nothing for these tables.
    """
    document = slurm_json.load(text)
    for name, (table, read) in _JSON_READERS.items():
        if name in document:
            rows, rejected = read(document)
            return Parsed({table: rows}, tuple(rejected))
    refusals = (reason for name, reason in _JSON_OTHERS.items() if name in document)
    raise CollectorError("parse", next(refusals, f"JSON of Slurm was expected; it has {', '.join(document)[:80]}"))


def _json_jobs(document: Mapping[str, Any]) -> Rows:
    entries = slurm_json.entries(document, "jobs")
    if "slurmdbd" in slurm_json.plugin_of(document) or any("job_state" not in entry for entry in entries):
        raise CollectorError("parse", _ACCOUNTING)
    return _jobs(Table((), [slurm_json.job_record(entry) for entry in entries]))


def _json_partitions(document: Mapping[str, Any]) -> Rows:
    try:
        records = [slurm_json.partition_record(entry) for entry in slurm_json.entries(document, "sinfo")]
    except (KeyError, TypeError, AttributeError) as error:
        raise CollectorError("parse", f"an entry of sinfo lacks {error}") from error
    return slurm_sinfo.partitions_of(records)


def _json_reservations(document: Mapping[str, Any]) -> Rows:
    words = map(slurm_json.reservation_words, slurm_json.entries(document, "reservations"))
    return rows_of(words, slurm_scontrol.reservation_row, SLURM_RESERVATION)


def _json_statistics(document: Mapping[str, Any]) -> Rows:
    found = document["statistics"]
    statistics = found if isinstance(found, dict) else {}
    return _one(str(found)[:200], lambda: _answering(slurm_json.scheduler_columns(statistics)))


def _json_pings(document: Mapping[str, Any]) -> Rows:
    pings = slurm_json.entries(document, "pings")
    up = tuple(str(ping.get("hostname")) for ping in pings if ping.get("pinged") == "UP")
    down = sum(ping.get("pinged") != "UP" and ping.get("mode") != "primary" for ping in pings)
    return [ping_columns(slurm_scontrol.Controllers(up, down))], []


_JSON_READERS: Dict[str, Tuple[str, Callable[[Mapping[str, Any]], Rows]]] = {
    "jobs": ("slurm_job", _json_jobs),
    "sinfo": ("slurm_partition", _json_partitions),
    "reservations": ("slurm_reservation", _json_reservations),
    "statistics": ("slurm_scheduler", _json_statistics),
    "pings": ("slurm_scheduler", _json_pings),
}
