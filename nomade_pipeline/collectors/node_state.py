"""The nodes of a cluster: `scontrol -a -d -o show node`, one line a node.

The text is used in every release: `--json` is not offered before 23.02 and takes several times as much time and
memory, which counts inside the agent where ten thousand nodes are read every minute.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Sequence, Tuple

from nomade_pipeline.collectors import slurm_json
from nomade_pipeline.collectors.base import Collected, CollectorError, Parsed, Reading, Rejected, Row
from nomade_pipeline.collectors.slurm_commands import require_slurm, run_slurm
from nomade_pipeline.collectors.slurm_nodes import Reason, rows_of_nodes, split_record
from nomade_pipeline.collectors.slurm_records import Record
from nomade_pipeline.collectors.slurm_scontrol import chunks
from nomade_pipeline.collectors.slurm_values import expand_hostlist, parse_time
from nomade_pipeline.probes import Probe
from nomade_pipeline.tables.nodes import NODE_STATE

if TYPE_CHECKING:
    from nomade_pipeline.config.collector_settings import NodeStateSettings

# -a: also nodes of hidden partitions only; -d: the resources in use; -o: one line each.
COMMAND = ("scontrol", "-a", "-d", "-o", "show", "node")
TIMEOUT = 60.0

# scontrol's names for those of JSON; the first that an entry has counts.
_JSON_NAMES = {
    "NodeName": ("name",),
    "NodeHostName": ("hostname",),
    "Partitions": ("partitions",),
    "CPUTot": ("cpus",),
    "CPUAlloc": ("alloc_cpus",),
    "RealMemory": ("real_memory",),
    "AllocMem": ("alloc_memory",),
    "FreeMem": ("free_mem", "free_memory"),
    "Gres": ("gres",),
    "GresUsed": ("gres_used",),
    "ActiveFeatures": ("active_features",),
    "Version": ("version", "slurmd_version"),
    "BootTime": ("boot_time",),
    "SlurmdStartTime": ("slurmd_start_time",),
    "LastBusyTime": ("last_busy",),
    "CfgTRES": ("tres",),
    "AllocTRES": ("tres_used",),
}
_HUNDREDTHS = 100


def parse(text: str) -> Parsed:
    """Read a recorded `scontrol show node`, of one line or several a node, or the JSON of nodes.

    Raises:
        CollectorError: there is no node in it.
    """
    try:
        rows, rejected = _json(text) if text.lstrip().startswith("{") else _text(text)
    except CollectorError as error:
        raise CollectorError("parse", f"node_state: {error}") from error
    if rejected and not rows:
        raise CollectorError("parse", f"node_state: nothing could be read: {rejected[0].reason}")
    return Parsed({NODE_STATE.name: rows}, tuple(rejected))


def _text(text: str) -> Tuple[List[Row], List[Rejected]]:
    rows, rejected = rows_of_nodes(chunks(text, "NodeName"), split_record)
    if not rows and not rejected:
        raise CollectorError("parse", f"`scontrol show node` was expected; no NodeName is in it: {text[:60]!r}")
    return rows, rejected


def _json(text: str) -> Tuple[List[Row], List[Rejected]]:
    document = slurm_json.load(text)
    if "nodes" not in document:
        raise CollectorError("parse", f"JSON of nodes was expected; it has {', '.join(document)[:80]}")
    return rows_of_nodes(slurm_json.entries(document, "nodes"), _json_record)


def _json_record(entry: Mapping[str, Any]) -> Tuple[Record, Reason]:
    """Return a node of JSON as words and its reason.

    Raises:
        ValueError: the time of the reason cannot be read.
    """
    texts = {
        title: next((text for text in (slurm_json.text_of(entry.get(name)) for name in names) if text), None)
        for title, names in _JSON_NAMES.items()
    }
    words: Dict[str, str] = {title: text for title, text in texts.items() if text is not None}
    words["State"] = slurm_json.state_of(entry.get("state"), entry.get("state_flags"))
    load = slurm_json.text_of(entry.get("cpu_load"))
    if load is not None and load.isdigit():
        words["CPULoad"] = str(int(load) / _HUNDREDTHS)
    reason = " ".join((slurm_json.text_of(entry.get("reason")) or "").split()) or None
    if reason is None:
        return words, Reason()
    user = slurm_json.text_of(entry.get("reason_set_by_user")) or None
    return words, Reason(reason, user, parse_time(slurm_json.text_of(entry.get("reason_changed_at"))))


def collect(probe: Probe, settings: NodeStateSettings, interval: int) -> Collected:
    """Read the state of all nodes, or of those in ``settings.nodes``.

    Raises:
        Skipped: there is no Slurm here, or another host asks it.
        CollectorError: Slurm does not answer, or its answer cannot be read.
        Interrupted: the agent is stopping.
    """
    require_slurm(probe, COMMAND[0], settings.hosts)
    completed = run_slurm(probe, COMMAND, TIMEOUT)
    parsed = parse(completed.stdout)
    rows = wanted_nodes(parsed.rows[NODE_STATE.name], settings.nodes)
    return Collected((Reading(NODE_STATE.name, rows, probe.now(), float(interval)),), parsed.rejected)


def wanted_nodes(rows: Sequence[Row], names: Sequence[str]) -> Sequence[Row]:
    """Return the rows of the nodes that some names mean; all when none is given.

    A name is Slurm's own (`n[001-064]`), or a shell pattern (`gpu*`, `n00?`).

    Raises:
        CollectorError: a name is neither.
    """
    if not names:
        return rows
    listed, patterns = set(), []
    for name in names:
        if re.search(r"[*?]", name):
            patterns.append(name)
            continue
        try:
            listed.update(expand_hostlist(name))
        except ValueError as error:
            raise CollectorError("parse", f"[collectors.node_state] nodes: {error}") from error
    return [row for row in rows if row["node"] in listed or any(fnmatchcase(row["node"], each) for each in patterns)]
