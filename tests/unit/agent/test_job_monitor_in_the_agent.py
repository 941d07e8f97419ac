"""The job monitor in an agent: its section of the configuration, its writer, its memory over a restart."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from nomade_pipeline.agent.keeping import Keeper, recall
from nomade_pipeline.collectors import slurm_collectors
from nomade_pipeline.collectors.job_monitor import JobMonitor
from nomade_pipeline.config.collector_settings import MonitorSettings
from nomade_pipeline.probes import LiveProbe

# On a machine without Slurm too.
MONITOR = dataclasses.replace(slurm_collectors.MONITOR, remembering=JobMonitor)
# Writes so much to a file whenever it is asked for it.
WRITER = """
import sys
file = open(sys.argv[1], "ab", buffering=0)
for line in sys.stdin:
    file.write(bytes(int(line)))
    print("written", flush=True)
"""


class Program:
    """A real process that a Slurm job could have started."""

    def __init__(self, job, folder):
        environment = {**os.environ, "SLURM_JOB_ID": job, "SLURMD_NODENAME": "n1"}
        argv = [sys.executable, "-c", WRITER, str(folder / f"file-{job}")]
        self.process = subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def write(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "written\n"

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


@pytest.fixture
def programs(tmp_path):
    with contextlib.ExitStack() as stack:

        def start(job):
            program = Program(job, tmp_path)
            stack.callback(program.end)
            return program

        yield start


def rows_of(agents, folder, job):
    return [row for row in agents.spooled(folder, "job_monitor") if row["job_id_raw"] == job]


@pytest.mark.parametrize("enabled", [True, False])
def test_the_agent_watches_jobs_unless_it_is_switched_off(agents, tmp_path, enabled):
    config = dataclasses.replace(agents.config_in(tmp_path), monitor=MonitorSettings(enabled=enabled))
    with agents.running(config, [agents.collector("job_monitor"), agents.collector("disk")]):
        assert agents.until(lambda: len(agents.spooled(tmp_path)) >= 4)
    paths = {row["path"] for row in agents.spooled(tmp_path)}
    assert paths == ({"/job_monitor", "/disk"} if enabled else {"/disk"})


def test_jobs_are_read_in_the_interval_of_the_section_monitor(agents, tmp_path):
    config = dataclasses.replace(agents.config_in(tmp_path), monitor=MonitorSettings(sample_interval=0.2))
    with agents.running(config, [agents.collector("job_monitor")], interval=None):
        time.sleep(1.1)
    assert 4 <= len(agents.spooled(tmp_path)) <= 6


def test_the_monitors_rows_stand_in_files_of_its_own(agents, tmp_path, programs):
    programs("900001").write(1000)
    with agents.running(agents.config_in(tmp_path), [MONITOR], interval=1, writer="monitor"):
        assert agents.until(lambda: rows_of(agents, tmp_path, "900001"), 15)
    names = {path.name.split(".")[1] for path in (tmp_path / "spool" / "job_monitor" / "h").iterdir()}
    assert names == {"monitor"}


def test_no_counter_falls_when_the_agent_is_started_again(agents, tmp_path, programs):
    """One program ends between two lives of the agent, another goes on."""
    ending, staying = programs("900002"), programs("900002")
    ending.write(5_000_000)
    staying.write(1_000_000)
    config = agents.config_in(tmp_path)
    with agents.running(config, [MONITOR], interval=1):
        assert agents.until(
            lambda: any(row["write_bytes"] >= 6_000_000 for row in rows_of(agents, tmp_path, "900002")), 15
        )
    ending.end()
    staying.write(500_000)
    count = len(rows_of(agents, tmp_path, "900002"))
    with agents.running(config, [MONITOR], interval=1):
        assert agents.until(lambda: len(rows_of(agents, tmp_path, "900002")) > count, 15)
    rows = rows_of(agents, tmp_path, "900002")
    assert [row["processes"] for row in (rows[0], rows[-1])] == [2, 1]
    for column in ("write_bytes", "read_bytes", "cpu_seconds", "local_write_bytes"):
        values = [row[column] for row in rows]
        assert values == sorted(values), column
    assert 6_500_000 <= rows[-1]["write_bytes"] < 6_510_000


@pytest.mark.needs("slurm")
def test_a_monitor_that_is_killed_leaves_a_state_that_the_next_one_takes_over(agents, tmp_path, programs):
    """SIGKILL, as a node's own out-of-memory killer sends it."""
    program = programs("900003")
    program.write(3_000_000)
    argv = [sys.executable, "-m", "nomade_pipeline.agent", "--monitor", "--interval", "1", "--data-dir", str(tmp_path)]
    environment = {**os.environ, "NOMADE_GENERAL__HOST": "h", "NOMADE_GENERAL__CLUSTER_NAME": "c"}
    with subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL) as process:
        assert agents.until(lambda: rows_of(agents, tmp_path, "900003"), 20)
        process.send_signal(signal.SIGKILL)
    program.end()
    state = json.loads((tmp_path / "spool" / ".monitor-h.job_monitor.json").read_text())
    (kept,) = [job for job in state["jobs"] if job["job"] == "900003"]
    assert kept["row"]["write_bytes"] >= 3_000_000
    collector = slurm_collectors.MONITOR.fresh()
    assert recall(collector, tmp_path / "spool" / ".monitor-h.job_monitor.json", LiveProbe()) is None
    assert [job["job"] for job in collector.lasting.to_state("b")["jobs"] if job["job"] == "900003"] == ["900003"]


# --- the file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"boot_id": 3}', '{"boot_id": "b", "jobs": [{"job": 1}]}', "\x00"]
)
def test_a_state_that_is_damaged_is_told_and_begins_anew(tmp_path, text):
    path = tmp_path / "state.json"
    path.write_text(text.replace('"b"', json.dumps(LiveProbe().read("/proc/sys/kernel/random/boot_id").strip())))
    collector = slurm_collectors.MONITOR.fresh()
    problem = recall(collector, path, LiveProbe())
    if text != '{"boot_id": 3}':
        assert "begins anew" in problem
    assert not (collector.lasting.to_state("b") or {"jobs": []})["jobs"]


def test_no_state_is_no_problem_and_neither_is_a_collector_without_one(agents, tmp_path):
    assert recall(slurm_collectors.MONITOR.fresh(), tmp_path / "none", LiveProbe()) is None
    assert recall(agents.collector(), tmp_path / "none", LiveProbe()) is None


def test_a_state_that_cannot_be_written_is_told_and_leaves_the_old_one(tmp_path):
    (tmp_path / "file").write_text("")
    keeper, collector = Keeper(LiveProbe()), slurm_collectors.MONITOR.fresh()
    keeper.note(collector, tmp_path / "nothing to keep yet")
    assert keeper.flush() is None
    collector.lasting.recall({"boot_id": "another", "jobs": []}, "this one")
    keeper.note(collector, tmp_path / "file" / "state.json")
    assert "cannot write" in keeper.flush()
    assert keeper.flush() is None
    keeper.note(collector, tmp_path / "state.json")
    assert keeper.flush() is None
    assert json.loads((tmp_path / "state.json").read_text())["jobs"] == []
    assert {path.name for path in tmp_path.iterdir()} == {"file", "state.json"}
