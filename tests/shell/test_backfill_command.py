"""`nomade backfill` with a real sysstat archive, and with a sacct of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from support.installation import nomade

from nomade_pipeline import clock
from nomade_pipeline.collectors import sadf
from nomade_pipeline.store.home import Store

SADC = Path("/usr/lib/sysstat/sadc")


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Record three seconds with sysstat's own recorder, where the collector looks for archives."""
    folder = tmp_path / "sysstat"
    folder.mkdir()
    subprocess.run([SADC, "-S", "DISK", "1", "3", str(folder / f"sa{clock.today():%d}")], check=True, timeout=30)
    monkeypatch.setattr(sadf, "_FOLDERS", (str(folder),))
    return folder


@pytest.mark.needs("sysstat")
def test_a_real_archive_fills_a_past_day_once(tmp_path: Path, archive: Path) -> None:
    today = clock.today()
    tomorrow = clock.now() + timedelta(days=1)
    arguments = ("backfill", "--since", today.isoformat(), "--json")
    with clock.set_to(tomorrow):
        first = nomade(*arguments, root=tmp_path)
        second = nomade(*arguments, root=tmp_path)
    assert first.status == 0, first.stderr
    rows = first.json["rows"]
    assert set(rows) == {"iostat", "iostat_cpu", "mpstat", "mpstat_summary", "vmstat"}
    assert all(count > 0 for count in rows.values())
    assert second.json["rows"] == {}


def test_without_an_archive_the_exit_code_is_3_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sadf, "_FOLDERS", (str(tmp_path / "nothing"),))
    ended = nomade("backfill", root=tmp_path)
    assert ended.status == 3
    assert "ENABLED=true" in ended.stderr


def test_today_cannot_be_backfilled(tmp_path: Path) -> None:
    ended = nomade("backfill", "--since", (clock.today() + timedelta(days=1)).isoformat(), root=tmp_path)
    assert ended.status == 2
    assert "ingest" in ended.stderr


# --- jobs from the accounting ---------------------------------------------------------------------------------

# A stand-in for the command as a process of its own: it counts its calls, and may fail from one of them on.
SACCT = """#!{python}
import sys
from pathlib import Path
folder = Path({folder!r})
if "--helpformat" in sys.argv:
    print("JobID JobIDRaw State Submit Start End JobName")
    raise SystemExit
calls = folder / "calls"
with calls.open("a") as file:
    file.write("x")
if (folder / "down").exists() and len(calls.read_text()) >= int((folder / "down").read_text()):
    sys.exit("sacct: error: Access/permission denied")
mark = next(word.partition("=")[2] for word in sys.argv if word.startswith("--delimiter="))
day = next(word.partition("=")[2] for word in sys.argv if word.startswith("--starttime="))[:10]
names = ["JobID", "JobIDRaw", "State", "Submit", "Start", "End", "JobName"]
times = [f"{{day}}T0{{hour}}:00:00" for hour in (1, 2, 3)]
number = day.replace("-", "")
for cells in (names, [number, number, "COMPLETED", *times, "a|b"]):
    sys.stdout.write("".join(cell + mark for cell in cells) + "\\n")
"""


@pytest.fixture
def sacct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a sacct on the path that tells one job a day; return its folder."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    (folder / "sacct").write_text(SACCT.format(python=sys.executable, folder=str(folder)))
    (folder / "sacct").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("nomade_pipeline.collectors.slurm_commands.daemons", lambda probe: set())
    return folder


JOBS = ("backfill", "-C", "job_metrics", "--since", "2026-03-01", "--until", "2026-03-03")


def test_jobs_of_past_days_are_read_a_call_a_day_and_rolled_up(tmp_path: Path, sacct: Path) -> None:
    root = tmp_path / "data"
    ended = nomade(*JOBS, "--json", root=root)
    assert ended.status == 0, ended.stderr
    assert ended.json["rows"] == {"job_metrics": 3}
    assert (sacct / "calls").read_text() == "xxx"
    rows = Store.at(root).rollups.rows("SELECT job_id, job_name FROM jobs ORDER BY job_id")
    assert rows == [{"job_id": f"2026030{day}", "job_name": "a|b"} for day in (1, 2, 3)]


def test_doing_it_again_adds_nothing_and_says_so(tmp_path: Path, sacct: Path) -> None:
    root = tmp_path / "data"
    nomade(*JOBS, root=root)
    before = {path: path.read_bytes() for path in root.rglob("*.parquet")}
    ended = nomade(*JOBS, root=root)
    assert ended.status == 3
    assert {path: path.read_bytes() for path in root.rglob("*.parquet")} == before
    assert len(before) == 3


def test_an_accounting_that_fails_in_the_middle_tells_what_is_stored_and_how_it_goes_on(
    tmp_path: Path, sacct: Path
) -> None:
    root = tmp_path / "data"
    (sacct / "down").write_text("3")
    ended = nomade(*JOBS, "--json", root=root)
    assert ended.status == 1
    assert ended.json["rows"] == {"job_metrics": 2}
    assert "2 of 3 days are stored" in ended.json["stopped"]
    assert "nomade backfill -C job_metrics --since 2026-03-03" in ended.json["stopped"]
    (sacct / "down").unlink()
    assert nomade(*JOBS, "--json", root=root).json["rows"] == {"job_metrics": 1}


def test_a_host_without_slurm_says_why_no_jobs_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nomade_pipeline.probes.LiveProbe.which", lambda self, tool: None)
    ended = nomade(*JOBS, root=tmp_path / "data")
    assert ended.status == 3
    assert "sacct is not installed" in ended.stderr
    assert not (tmp_path / "data").exists()


def test_an_unknown_collector_is_told_what_has_a_history(tmp_path: Path) -> None:
    ended = nomade("backfill", "-C", "disk", root=tmp_path)
    assert ended.status == 2
    assert "iostat, mpstat, vmstat, job_metrics" in ended.stderr
