"""`nomade ingest` of past days tells Dagster's catalogue of them, so it is tried where Dagster may be loaded."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support.installation import fill_spool, nomade
from support.rows import T0

from nomade_pipeline import clock
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables import system


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NOMADE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def test_ingest_takes_every_day_that_the_spool_holds_and_closes_those_that_are_over(empty: Path) -> None:
    fill_spool(empty, minutes=2)
    fill_spool(empty, minutes=2, end=T0 + timedelta(days=1))
    with clock.set_to(T0 + timedelta(days=1, minutes=1)):
        ended = nomade("ingest", "--json", root=empty)
        again = nomade("ingest", "--json", root=empty)
    lines = {(line["date"], line["table"]): line for line in ended.json["tables"]}
    assert lines["2026-03-05", "disk"]["added"] == 3
    assert lines["2026-03-06", "disk"]["added"] == 3
    assert all(line["added"] == 0 for line in again.json["tables"])
    lake = Store.at(empty).lake
    assert lake.is_closed(system.DISK, "alpha", T0.date())
    assert not lake.is_closed(system.DISK, "alpha", T0.date() + timedelta(days=1))
