"""`nomade backfill` with a real sysstat archive."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from support.installation import nomade

from nomade_pipeline import clock
from nomade_pipeline.collectors import sadf

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
