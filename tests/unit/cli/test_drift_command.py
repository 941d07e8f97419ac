"""`nomade drift` and the simulation's steps of `nomade compute` on planted jobs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support.installation import nomade
from support.rows import CLUSTER, DAY
from support.simulated_lake import fill_lake

from nomade_pipeline.config.settings import Config
from nomade_pipeline.simulation.day import drift_of_day


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve days of jobs of which the last two drifted."""
    root = tmp_path_factory.mktemp("drifted")
    store = fill_lake(root, days=12, drift_days=2)
    for day in (DAY - timedelta(days=2), DAY):
        drift_of_day(store, Config(), day)
    return root


def test_what_has_drifted_is_told_in_words_with_its_day(root: Path) -> None:
    ended = nomade("drift", root=root)
    assert ended.status == 0
    assert "the jobs have changed" in ended.stdout
    assert "avg_core_busy is lower for about" in ended.stdout
    assert "as before: " in ended.stdout


def test_json_has_the_rows_the_surest_first(root: Path) -> None:
    (found,) = nomade("drift", "--json", root=root).json
    assert (found["cluster"], found["level"]) == (CLUSTER, "drift")
    assert found["quantities"][0]["level"] == "drift"
    assert found["quantities"][-1]["level"] == "stable"


def test_the_exit_status_tells_drift_only_when_asked(root: Path) -> None:
    assert nomade("drift", "--exit-code", root=root).status == 1
    quiet = str(DAY - timedelta(days=2))
    ended = nomade("drift", "--exit-code", "--day", quiet, root=root)
    assert ended.status == 0
    assert "the jobs are as before" in ended.stdout


def test_a_day_that_was_not_judged_says_how_it_is(root: Path) -> None:
    ended = nomade("drift", "--day", "2020-01-01", "--cluster", CLUSTER, root=root)
    assert ended.status == 0
    assert "not judged on 2020-01-01: `nomade compute drift`" in ended.stdout


def test_an_unknown_cluster_is_no_data(root: Path) -> None:
    ended = nomade("drift", "--cluster", "nope", root=root)
    assert ended.status == 3
    assert "'nope'" in ended.stderr
