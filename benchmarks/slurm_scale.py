"""What one cycle of the Slurm collectors costs at 10,000 nodes and 10,000 queued tasks: time, CPU and memory.

``python -m benchmarks.slurm_scale`` asks the controller of `nomade lab scale up`, which it brings up and takes down
itself unless one is running; root, and Slurm installed.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import Report
from nomade_pipeline.agent.runs import run_collector
from nomade_pipeline.collectors import node_state, slurm_collectors
from nomade_pipeline.collectors.slurm_squeue import FIELDS
from nomade_pipeline.collectors.slurm_tables import long_format, marked_table, new_mark
from nomade_pipeline.config.collector_settings import NodeStateSettings, SlurmSettings
from nomade_pipeline.lab.layout import SCALE_FOLDER, SCALE_NODES
from nomade_pipeline.probes import LiveProbe
from nomade_pipeline.replay import Recorded, ReplayProbe
from nomade_pipeline.store.spool import SpoolWriter

CYCLES, INTERVAL = 5, 60
GOAL_SECONDS = slurm_collectors.SLURM.load_budget * INTERVAL
SETTINGS: dict[str, Any] = {"slurm": SlurmSettings(), "node_state": NodeStateSettings()}
JOBS = 10_000


def run() -> list[Report]:
    """Measure each collector in a process of its own, and the bare commands beside it."""
    parts = {"slurm, 10,000 separate jobs": _measured(["replayed", "slurm"], dict(os.environ))}
    if os.geteuid() != 0 or LiveProbe().which("slurmctld") is None:
        return [_report(parts, {}, "The controller of ten thousand nodes needs root and an installed Slurm.")]
    lab = [sys.executable, "-m", "nomade_pipeline.cli.main", "lab", "scale"]
    ours = not (SCALE_FOLDER / "lab.json").exists()
    subprocess.run([*lab, "up"], check=True, stdout=subprocess.DEVNULL)
    environment = {**os.environ, "SLURM_CONF": str(SCALE_FOLDER / "etc" / "slurm.conf")}
    try:
        live = {name: _measured(["live", name], environment) for name in SETTINGS}
        floor = _floor(environment)
    finally:
        if ours:
            subprocess.run([*lab, "down"], check=True, stdout=subprocess.DEVNULL)
    return [_report({**live, **parts}, floor)]


def _report(parts: dict[str, dict[str, Any]], floor: dict[str, float], *notes: str) -> Report:
    """Return the table: for each collector its first cycle and the median of the others."""
    columns = ("what", "seconds", "CPU s, own", "CPU s, commands", "rows", "peak RSS MB", "goal")
    report = Report(f"One cycle at {SCALE_NODES:,} nodes and {JOBS:,} queued tasks, spool included", columns)
    for name, measured in parts.items():
        first, *others = measured["cycles"]
        usual = sorted(others, key=lambda cycle: float(cycle["seconds"]))[len(others) // 2]
        for when, cycle in (("first", first), ("later", usual)):
            cells = (cycle["seconds"], cycle["own"], cycle["children"], cycle["rows"])
            report.add(f"{name}: {when}", *cells, measured["rss_mb"], f"≤ {GOAL_SECONDS:g} s of 60")
    for name, seconds in floor.items():
        report.add(f"{name} (the floor)", seconds, "", "", "", "", "")
    about = (
        "The tasks are those of twenty arrays, which squeue writes on a line each; the separate jobs are 10,000 lines "
        "replayed from a recording, whose text counts in the memory. A cycle above the goal makes the collector rest."
    )
    report.notes += [about, *notes]
    return report


def _measured(arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Run this module in a process of its own and return what it measured."""
    argv = [sys.executable, "-m", "benchmarks.slurm_scale", *arguments]
    done = subprocess.run(argv, env=environment, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _floor(environment: dict[str, str]) -> dict[str, float]:
    """Return the seconds of the bare commands, the best of three."""
    commands = {
        "squeue -O": ["squeue", "-a", "-O", long_format(FIELDS, new_mark())],
        "scontrol show node": list(node_state.COMMAND),
    }
    return {name: min(_seconds(argv, environment) for _ in range(3)) for name, argv in commands.items()}


def _seconds(argv: list[str], environment: dict[str, str]) -> float:
    began = time.monotonic()
    subprocess.run(argv, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def cycles(probe: Any, name: str) -> dict[str, Any]:
    """Run a collector a few times as the agent does, storing what it gives; return what each run cost.

    Raises:
        SystemExit: a run failed.
    """
    collector = {"slurm": slurm_collectors.SLURM, "node_state": slurm_collectors.NODES}[name].fresh()
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        spool = SpoolWriter(Path(folder), "scale", "head")
        for _ in range(CYCLES):
            before, began = _cpu(), time.monotonic()
            report = run_collector(collector, probe, SETTINGS[name], INTERVAL)
            if report.outcome != "success":
                raise SystemExit(f"{name}: {report.category}: {report.message}")
            for reading in report.readings:
                spool.append([reading])
            own, children = (now - then for now, then in zip(_cpu(), before, strict=True))
            seconds = time.monotonic() - began
            costs.append({"seconds": seconds, "own": own, "children": children, "rows": report.rows})
    return {"cycles": costs, "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}


def _cpu() -> tuple[float, float]:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return used[0].ru_utime + used[0].ru_stime, used[1].ru_utime + used[1].ru_stime


def separate_jobs() -> ReplayProbe:
    """Return a recorded cluster whose queue is made of ten thousand jobs that are no array."""
    folder = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "slurm-22.05" / "asked"
    texts = {path.stem: path.read_bytes().decode("utf-8", "surrogateescape") for path in folder.glob("*.txt")}
    table = marked_table(texts["squeue"])
    assert table is not None
    mark = new_mark()
    rows = [{**table.rows[number % len(table.rows)], "JOBID": str(number)} for number in range(1, JOBS + 1)]
    lines = (table.titles, *(row.values() for row in rows))
    texts["squeue"] = "".join("".join(f"{cell}{mark}" for cell in line) + "\n" for line in lines)
    commands = [Recorded((tool,), texts[tool]) for tool in ("squeue", "sinfo", "sdiag", "sshare", "sprio")]
    commands += [Recorded(("scontrol", "ping"), texts["scontrol-ping"])]
    commands += [Recorded(("scontrol", "-a"), texts["scontrol-reservation"])]
    return ReplayProbe(commands, {"/proc/1/comm": "slurmctld\n"})


def main() -> int:
    """Print the report; with arguments, measure one collector in this process and print that as JSON."""
    if not sys.argv[1:]:
        for report in run():
            print(report.markdown())
        return 0
    probe = LiveProbe() if sys.argv[1] == "live" else separate_jobs()
    print(json.dumps(cycles(probe, sys.argv[2])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
