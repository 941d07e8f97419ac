"""`nomade report network` on planted jobs."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from support.installation import nomade
from support.planted import outcomes, planted_jobs
from support.planted_lake import CLUSTER, fill_window, fill_window_without_graph

from nomade_pipeline.computing import STEPS
from nomade_pipeline.config.settings import Config
from nomade_pipeline.store.home import Store

DAY = date(2026, 3, 1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("network")
    jobs = planted_jobs(400, seed=3)
    fill_window(Store.at(root), DAY, jobs, outcomes(jobs, {"memory": 0.6}))
    analyse(root)
    return root


def analyse(root: Path) -> None:
    for name in ("communities", "statistics", "layout", "hotspots"):
        STEPS[name].compute(Store.at(root), Config(), DAY)


def test_communities_verdict_zones_and_hotspots_are_told_in_words(root: Path) -> None:
    shown = nomade("report", "network", root=root).stdout
    assert f"{CLUSTER}: 8 communities of jobs that behave alike" in shown
    assert "Uses GPU memory" in shown
    assert "Failed jobs: " in shown
    assert "mntd (decides)" in shown
    assert "Safe zone: " in shown
    assert "memory_pressure" in shown
    assert "agreement 0." in shown


def test_json_holds_all_rows(root: Path) -> None:
    (report,) = nomade("report", "network", "--json", root=root).json
    assert len(report["found"]) == report["communities"] == 8
    assert len(report["statistics"]) == 12
    assert report["verdict"]


def test_pictures_are_written_into_a_folder(root: Path, tmp_path: Path) -> None:
    assert nomade("report", "network", "--plot", str(tmp_path / "pictures"), root=root).status == 0
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert names >= {f"{CLUSTER}-{name}.png" for name in ("communities", "statistics", "layout", "hotspots")}
    (tmp_path / "file").write_text("")
    assert nomade("report", "network", "--plot", str(tmp_path / "file"), root=root).status == 2


def test_a_window_without_a_graph_says_why(tmp_path: Path) -> None:
    fill_window_without_graph(Store.at(tmp_path), DAY)
    analyse(tmp_path)
    shown = nomade("report", "network", root=tmp_path).stdout
    assert "1 of 17 measured" in shown
    assert "no verdict without a graph" in shown


def test_nothing_computed_is_told_with_what_computes_it(root: Path, tmp_path: Path) -> None:
    for arguments in (("--date", "2020-01-01"), ("--cluster", "nope")):
        ended = nomade("report", "network", *arguments, root=root)
        assert ended.status == 3
        assert "nomade compute" in ended.stderr
    assert nomade("report", "network", root=tmp_path / "none").status == 3
