"""The Python interface of the reference, on real data and on none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.installation import GB, disk_row, fill_spool, ingest
from support.rows import T0, at, reading_of, spool

from nomade_pipeline import Nomade, clock
from nomade_pipeline.errors import NoData, NotYet, SqlError
from nomade_pipeline.tables.system import DISK


@pytest.fixture
def nm(tmp_path: Path) -> Nomade:
    fill_spool(tmp_path, minutes=30)
    ingest(tmp_path, minutes=30)
    return at_folder(tmp_path)


def at_folder(folder: Path) -> Nomade:
    config = folder / "nomade.toml"
    config.write_text(f"[general]\ndata_dir = '{folder}'\n")
    return Nomade(config_path=str(config))


def test_disk_status_has_the_names_of_the_reference(nm: Nomade) -> None:
    with clock.set_to(at(0.1)):
        (fs,) = nm.collectors.disk.get_status()
    assert f"{fs['path']}: {fs['used_pct']:.1f}%" == "/: 30.3%"
    assert (fs["total_gb"], fs["stale"]) == (100.0, False)


def test_a_path_without_figures_is_left_out_and_not_zero(tmp_path: Path) -> None:
    gone = disk_row("/gone", status="absent", used_percent=None, total_bytes=None, used_bytes=None)
    spool(tmp_path / "spool", reading_of(DISK, T0, disk_row(), gone))
    assert [fs["path"] for fs in at_folder(tmp_path).collectors.disk.get_status()] == ["/"]


def test_every_collector_is_an_attribute_and_others_are_not(nm: Nomade) -> None:
    assert nm.collectors.vmstat.get_status()[0]["memory_total_bytes"] == 64 * GB
    with pytest.raises(AttributeError, match="mpstat"):
        nm.collectors.dsk  # noqa: B018
    with pytest.raises(NoData, match="collect"):
        nm.collectors.gpu.get_status()


def test_the_derivatives_of_a_disk_come_with_their_errors(nm: Nomade) -> None:
    with clock.set_to(at(0.1)):
        analysis = nm.analysis.analyze_disk("/")
    assert f"{analysis['first_derivative']:.1f} GB/day" == "14.4 GB/day"
    assert analysis["second_derivative"] == pytest.approx(0, abs=1e-6)
    assert analysis["trend"] == "growing"
    assert analysis["estimate"]["rate_error"] < 1e6


def test_an_unknown_path_raises_with_the_command_that_helps(nm: Nomade) -> None:
    with pytest.raises(NoData, match="nomade collect"):
        nm.analysis.analyze_disk("relative")


def test_predictions_are_not_yet(nm: Nomade) -> None:
    with pytest.raises(NotYet):
        nm.prediction.predict_job({})
    with pytest.raises(NotYet):
        nm.prediction.recommend_for_user("alice")


def test_sql_gives_a_polars_frame(nm: Nomade) -> None:
    frame = nm.sql("SELECT max(used_bytes) AS most, count(*) AS n FROM disk")
    assert frame.to_dicts() == [{"most": 30 * GB + 30 * 10**7, "n": 31}]
    assert nm.lake.count(DISK, "alpha", T0.date()) == 31
    with pytest.raises(SqlError):
        nm.sql("DROP VIEW disk")


def test_an_empty_installation_raises_no_data(tmp_path: Path) -> None:
    nm = at_folder(tmp_path)
    for ask in (nm.collectors.disk.get_status, lambda: nm.analysis.analyze_disk("/"), lambda: nm.sql("FROM disk")):
        with pytest.raises(NoData):
            ask()


def test_importing_the_package_does_not_import_the_interface() -> None:
    seen = "print('nomade_pipeline.api' in sys.modules)"
    code = f"import sys, nomade_pipeline; {seen}; nomade_pipeline.Nomade; {seen}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.split() == ["False", "True"]
