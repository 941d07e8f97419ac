"""The Python interface to what is computed of jobs: features, similar jobs, the network, drift."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from support.planted import planted_jobs
from support.planted_lake import CLUSTER, fill_window

from nomade_pipeline import Nomade
from nomade_pipeline.errors import NoData
from nomade_pipeline.store.home import Store

DAY, BEFORE = date(2026, 3, 2), date(2026, 3, 1)


@pytest.fixture(scope="module")
def nm(tmp_path_factory: pytest.TempPathFactory) -> Nomade:
    """A lake with 40 planted jobs a day on two days, and the network of the second."""
    folder = tmp_path_factory.mktemp("api")
    for number, day in enumerate((BEFORE, DAY)):
        fill_window(Store.at(folder), day, planted_jobs(40, seed=number), np.zeros(40, int), first_job=40 * number)
    return at_folder(folder)


def at_folder(folder: Path) -> Nomade:
    config = folder / "nomade.toml"
    config.write_text(f"[general]\ndata_dir = '{folder}'\n")
    return Nomade(config)


def test_features_come_as_a_frame_of_the_window_or_of_some_days(nm: Nomade) -> None:
    assert nm.analysis.job_features().height == 80
    assert nm.analysis.job_features(days=1)["sample_time"].dt.date().unique().to_list() == [DAY]


def test_one_job_is_found_by_its_number(nm: Nomade) -> None:
    assert nm.analysis.features_of("0000050")["cluster"] == CLUSTER
    with pytest.raises(NoData, match="4711"):
        nm.analysis.features_of("4711")


def test_similar_jobs_are_those_of_the_network_nearest_first(nm: Nomade) -> None:
    similar = nm.analysis.find_similar("0000050", most=5)
    cosines = [one["cosine"] for one in similar]
    assert len(similar) == 5
    assert cosines == sorted(cosines, reverse=True)
    assert "0000050" not in [one["job_id_raw"] for one in similar]


def test_the_network_is_a_graph_of_networkx(nm: Nomade) -> None:
    graph = nm.analysis.similarity_network()
    assert graph.number_of_nodes() == 80
    assert all(weight >= 0.7 for _, _, weight in graph.edges(data="weight"))


def test_drift_that_was_not_judged_says_what_to_do(nm: Nomade) -> None:
    (one,) = nm.analysis.drift()
    assert (one["cluster"], one["level"]) == (CLUSTER, None)
    assert "nomade compute drift" in one["note"]


def test_a_cluster_that_is_not_there_is_no_data(nm: Nomade) -> None:
    for ask in (nm.analysis.job_features, nm.analysis.similarity_network, nm.analysis.drift):
        with pytest.raises(NoData):
            ask(cluster="elsewhere")
