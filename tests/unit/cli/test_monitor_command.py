"""`nomade monitor`: one look with rates, and the resident monitor as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest
from support.installation import nomade
from support.needs import REPOSITORY

from nomade_pipeline.agent import monitor
from nomade_pipeline.store.spool import decode_line, spool_files, whole_lines

JOB = "900101"
# Writes a quarter of a megabyte every 50 ms until it is ended.
WRITER = """
import sys, time
with open(sys.argv[1], "wb", buffering=0) as file:
    print("ready", flush=True)
    while True:
        file.write(bytes(2**18)), time.sleep(0.05)
"""


@pytest.fixture
def job(tmp_path: Path) -> Iterator[None]:
    """A program that a Slurm job could have started, which writes all the time."""
    environment = {**os.environ, "SLURM_JOB_ID": JOB, "SLURMD_NODENAME": "n1"}
    argv = [sys.executable, "-c", WRITER, str(tmp_path / "file")]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


def spooled(root: Path) -> list[dict[str, object]]:
    files = list(spool_files(root / "spool", "job_monitor"))
    lines = [line for file in files for line in whole_lines(file.path.read_bytes())]
    rows = [row for line in lines for row in decode_line(line).to_rows()]
    return [row for row in rows if row["job_id_raw"] == JOB]


def test_one_look_shows_rates_and_stores_what_it_saw(empty: Path, job: None) -> None:
    ended = nomade("monitor", "--once", "-i", "2", "--json", root=empty)
    assert ended.status == 0
    (row,) = [each for each in ended.json["jobs"] if each["job_id_raw"] == JOB]
    # Five megabytes a second are meant, and a busy machine gives less.
    assert 2**18 < row["local_write_bytes_per_second"] + row["network_write_bytes_per_second"] < 10 * 2**20
    assert row["cpus_used"] is not None
    (stored,) = spooled(empty)
    assert stored["write_bytes"] == row["write_bytes"]
    assert stored["source"] == "manual-proc"


def test_one_look_is_a_table_for_people(empty: Path, job: None) -> None:
    ended = nomade("monitor", "--once", "-i", "1", root=empty)
    assert ended.status == 0
    lines = ended.stdout.splitlines()
    assert lines[0].split("  ")[0] == "job"
    (line,) = [each for each in lines if each.startswith(JOB)]
    assert "n1" in line
    assert "MB" in line
    assert "stored below" in ended.stderr


def test_json_belongs_to_one_look(empty: Path) -> None:
    assert nomade("monitor", "--json", root=empty).status == 2


def test_null_is_a_dash_and_no_zero() -> None:
    row = dict.fromkeys(("job_id_raw", "node", "user", "processes", "cpus_used", "memory_bytes"))
    row.update({name: None for pair in monitor._RATES for name in pair}, job_id_raw="7", node="n1")
    assert [text.strip() for text in monitor.cells(row)] == ["7", "n1", *["–"] * 8]


@pytest.mark.parametrize("program", [["nomade_pipeline.cli.main", "monitor"], ["nomade_pipeline.agent", "--monitor"]])
def test_the_resident_monitor_writes_its_own_files_and_ends_cleanly(empty: Path, job: None, program: list[str]) -> None:
    environment = {**os.environ, "NOMADE_GENERAL__DATA_DIR": str(empty), "NOMADE_GENERAL__HOST": "h"}
    argv = [sys.executable, "-m", *program, "-i", "1"]
    with subprocess.Popen(argv, env=environment, cwd=REPOSITORY, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        while not spooled(empty) and time.monotonic() < deadline:
            time.sleep(0.1)
        second = subprocess.run(
            argv, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=30
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert second.returncode == 2
    assert "already writes" in second.stderr
    rows = spooled(empty)
    assert rows
    assert {file.writer for file in spool_files(empty / "spool")} == {"monitor"}
    assert json.loads((empty / "spool" / ".monitor-h.job_monitor.json").read_text())["jobs"]
