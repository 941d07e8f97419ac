"""What a monitor sees without being root, with and without the two capabilities that the manual names."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest
from support.needs import REPOSITORY

pytestmark = pytest.mark.needs("root")

JOB = "900301"
LOOK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from nomade_pipeline.collectors.job_monitor import JobMonitor
from nomade_pipeline.config.collector_settings import MonitorSettings
from nomade_pipeline.probes import LiveProbe
seen = JobMonitor().collect(LiveProbe(), MonitorSettings(), 1)
print(json.dumps([seen.note, [row for reading in seen.readings for row in reading.rows]], default=str))
"""
CAPABILITIES = "+sys_ptrace,+dac_read_search"


@pytest.fixture
def job(tmp_path: Path) -> Iterator[None]:
    """A program of another user that has written 3 MB and waits."""
    program = "import os, sys; f = open(sys.argv[1], 'wb', 0); f.write(bytes(3 * 2**20)); print(1, flush=True); input()"
    os.chown(tmp_path, 65533, 65533)
    for folder in (tmp_path, *tmp_path.parents):
        if len(folder.parts) > 2:
            folder.chmod(0o755)
    argv = ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", "/usr/bin/python3", "-c", program]
    environment = {"PATH": os.environ["PATH"], "SLURM_JOB_ID": JOB, "SLURMD_NODENAME": "n1"}
    with subprocess.Popen(
        [*argv, str(tmp_path / "file")], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        yield
        process.stdin.close()


def look(*options: str) -> tuple[str | None, list[dict[str, Any]]]:
    """Look as a user without privileges; return the run's message and the rows of the job."""
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *options]
    done = subprocess.run(
        [*argv, "/usr/bin/python3", "-c", LOOK, str(REPOSITORY)], capture_output=True, text=True, check=False, cwd="/"
    )
    if "Skipped" in done.stderr:
        return done.stderr, []
    assert done.returncode == 0, done.stderr
    note, rows = json.loads(done.stdout)
    return note, [row for row in rows if row["job_id_raw"] == JOB]


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="no Python of the system, which any user may run")
def test_two_capabilities_are_enough_and_without_them_nothing_is_made_up(job: None) -> None:
    _, rows = look()
    # Its environment is closed too, so nothing tells that it is of a job.
    assert rows == []
    _, (row,) = look(f"--inh-caps={CAPABILITIES}", f"--ambient-caps={CAPABILITIES}")
    assert (row["unread"], row["found_by"]) == (0, "environ")
    assert row["write_bytes"] == pytest.approx(3 * 2**20, abs=10_000)
    assert row["local_write_bytes"] + row["network_write_bytes"] == pytest.approx(3 * 2**20, abs=10_000)
