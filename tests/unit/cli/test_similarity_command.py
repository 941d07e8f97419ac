"""`nomade similarity`: the summary, the jobs most like one, exports, and what is said where there is nothing."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from support.features import DAY, features_of, store_with
from support.installation import nomade

from nomade_pipeline.config.settings import Config
from nomade_pipeline.network.day import similarity_of_day
from nomade_pipeline.tables.features import VECTOR


@pytest.fixture(autouse=True)
def _nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NOMADE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four profiles; job 1000 fails, 2000 is its twin, 999 was hardly measured."""
    folder = tmp_path_factory.mktemp("network")
    frame = features_of(80, user="ann\x1b[31m")
    twin = frame[0:1].with_columns(job_id_raw=pl.lit("2000"), job_id=pl.lit("2000"), failure_class=pl.lit(0, pl.Int32))
    bare = features_of(1, **dict.fromkeys(VECTOR[3:])).with_columns(job_id_raw=pl.lit("999"), job_id=pl.lit("999"))
    store = store_with(folder, pl.concat([frame, twin, bare]))
    similarity_of_day(store, Config(), DAY)
    return folder


def test_the_summary_tells_window_nodes_edges_and_what_the_cap_hides(root):
    shown = nomade("similarity", root=root).stdout
    assert f"window that ends with {DAY}" in shown
    assert "82, of which 81 take part" in shown
    assert "80 (jobs with equal vectors are one)" in shown
    assert "hidden by the cap of 30 neighbours" in shown
    assert "circular" not in shown


def test_the_jobs_most_like_one_come_with_what_they_share_and_differ_in(root):
    found = nomade("similarity", "--find-similar", "1000", "--json", root=root).json
    assert [found["similar"][0][name] for name in ("job_id", "cosine", "failure_class")] == ["2000", 1.0, 0]
    assert found["job"]["failure_class"] == 3
    assert len(found["similar"]) == 10
    cosines = [row["cosine"] for row in found["similar"]]
    assert cosines == sorted(cosines, reverse=True)
    assert all((int(row["job_id"]) - 1000) % 4 == 0 for row in found["similar"])
    assert all(word.split()[0] in ("high", "low") for row in found["similar"] for word in row["shares"])
    shown = nomade("similarity", "--find-similar", "1000", root=root).stdout
    assert "FAILED" in shown
    assert "\x1b[31m" not in shown
    assert "high" in shown


def test_a_threshold_makes_the_network_anew_and_leaves_the_stored_one(root):
    few = nomade("similarity", "--threshold", "0.97", "--json", root=root).json[0]
    stored = nomade("similarity", "--json", root=root).json[0]
    assert few["threshold"] == 0.97
    assert few["edges"] + few["hidden_edges"] < stored["edges"] + stored["hidden_edges"]
    assert stored["threshold"] == 0.7
    assert (
        nomade("similarity", "--find-similar", "1000", "--threshold", "0.9999", "--json", root=root).json["similar"][1:]
        == []
    )


def test_simpson_similarity_is_another_measure_of_the_same_window(root):
    told = nomade("similarity", "--simpson", "--json", root=root).json[0]
    assert told["measure"] == "Simpson similarity"
    assert told["jobs"] == 82
    assert told["nodes"] <= 80
    assert "Simpson similarity >= 0.7" in nomade("similarity", "--simpson", root=root).stdout
    assert nomade("similarity", "--simpson", "--find-similar", "1000", root=root).status == 2


def test_an_export_holds_the_network_that_was_asked_for(root, tmp_path):
    for name, options in (("viz.json", ()), ("few.json", ("--threshold", "0.97"))):
        assert nomade("similarity", "--export", str(tmp_path / name), *options, root=root).status == 0
    whole, few = (json.loads((tmp_path / name).read_text()) for name in ("viz.json", "few.json"))
    assert len(whole["nodes"]) == len(few["nodes"]) == 80
    assert 0 < len(few["links"]) < len(whole["links"])
    refused = nomade("similarity", "--export", "viz.png", root=root)
    assert (refused.status, ".graphml" in refused.stderr) == (2, True)


def test_a_job_that_is_not_there_or_was_hardly_measured_is_no_data_with_a_reason(root):
    unknown = nomade("similarity", "--find-similar", "31337", root=root)
    assert (unknown.status, "31337" in unknown.stderr) == (3, True)
    bare = nomade("similarity", "--find-similar", "999", root=root)
    assert (bare.status, "fewer quantities were measured" in bare.stderr) == (3, True)
    assert nomade("similarity", "--cluster", "beta", root=root).status == 3


def test_where_too_little_is_measured_the_summary_says_how_much(tmp_path):
    store = store_with(tmp_path / "trace", features_of(20, **dict.fromkeys(VECTOR[3:])))
    similarity_of_day(store, Config(), DAY)
    shown = nomade("similarity", root=tmp_path / "trace")
    assert (shown.status, "3 of 17 measured: no similarity graph" in shown.stdout) == (0, True)
    for options in (("--export", "x.json"), ("--find-similar", "1000")):
        ended = nomade("similarity", *options, root=tmp_path / "trace")
        assert (ended.status, "3 of 17 measured" in ended.stderr) == (3, True)
