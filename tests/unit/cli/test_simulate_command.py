"""`nomade simulate`: where it writes, what it refuses, and that every screen says what it shows."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from support.installation import nomade

from nomade_pipeline.ingest.rollup import roll_up_day
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.catalog import RAW_TABLES
from nomade_pipeline.tables.contract import is_simulated, labelled
from nomade_pipeline.tables.nodes import NODE_STATE
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

SMALL = ("--jobs", "12", "--hosts", "1", "--days", "1", "--end", "2026-03-04", "--no-ingest")


@pytest.fixture(autouse=True)
def _nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NOMADE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for name, seed in (("one", "7"), ("two", "7"), ("three", "8")):
        assert nomade("simulate", *SMALL, "--seed", seed, root=tmp_path / name).status == 0
        files = sorted((tmp_path / name / "lake").glob("raw/*/cluster=*/date=*/*.parquet"))
        written.append([(file.relative_to(tmp_path / name), file.read_bytes()) for file in files])
    assert written[0] == written[1]
    assert len(written[0]) >= 14
    assert written[0] != written[2]


def test_a_real_installation_is_given_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOMADE_GENERAL__DATA_DIR", str(tmp_path / "real"))
    monkeypatch.setenv("NOMADE_GENERAL__CLUSTER_NAME", "alpha")
    told = nomade("simulate", *SMALL, "--json").json
    assert told["data_dir"] == str(tmp_path / "real" / "simulated")
    assert told["simulated"] is True
    assert sum(told["outcomes"].values()) == told["jobs"] == 12
    assert not any(Store.at(tmp_path / "real").lake.clusters(table) for table in RAW_TABLES)
    assert (Path(told["truth"]) / "jobs.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cluster", "alpha"), "could be taken for a real one"),
        (("--cluster", "sim-../x"), "sim-../x"),
        (("--end", "2999-01-01"), "is in the future"),
        (("--jobs", "0"), "Invalid value for '--jobs'"),
    ],
)
def test_what_cannot_be_simulated_is_told_and_nothing_is_written(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    ended = nomade("simulate", *SMALL, *arguments, root=tmp_path / "data")
    assert ended.status in (1, 2)
    assert said in ended.stderr
    assert not (tmp_path / "data").exists()


def test_a_cluster_that_exists_is_replaced_only_when_asked(tmp_path: Path) -> None:
    root = tmp_path / "data"
    assert nomade("simulate", *SMALL, root=root).status == 0
    again = nomade("simulate", *SMALL, root=root)
    assert again.status == 1
    assert "give --replace" in again.stderr
    assert nomade("simulate", *SMALL, "--seed", "9", "--replace", root=root).status == 0
    assert nomade("forget", "sim-demo", "--yes", root=root).status == 0
    assert not (root / "truth" / "sim-demo").exists()


def test_screens_say_that_it_is_simulated(tmp_path: Path) -> None:
    root = tmp_path / "data"
    assert nomade("simulate", *SMALL, root=root).status == 0
    roll_up_day(Store.at(root), date(2026, 3, 4), tables=(JOB_METRICS, NODE_STATE))
    since = ("--since", "2026-03-01")
    for command in (("jobs", *since), ("efficiency", *since), ("nodes",)):
        assert "sim-demo (simulated)" in nomade(*command, root=root).stdout, command


def test_a_name_tells_what_is_real() -> None:
    assert all(map(is_simulated, ("sim-a", "replay-a")))
    assert not any(map(is_simulated, ("alpha", "simba", "my-sim-", "")))
    assert [labelled(name) for name in ("sim-a", "replay-a", "alpha")] == [
        "sim-a (simulated)",
        "replay-a (replayed)",
        "alpha",
    ]
