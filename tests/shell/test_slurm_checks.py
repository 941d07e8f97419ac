"""Checks that compare what Slurm's commands told, and the inventory of failed partitions."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from support.rows import DAY, T0, at, reading_of, spool
from support.slurm import running_job

from nomade_pipeline import clock
from nomade_pipeline.definitions import build_defs
from nomade_pipeline.resources import NomadeResource
from nomade_pipeline.tables.slurm_queue import SLURM_JOB
from nomade_pipeline.tables.system import IOSTAT_CPU

UNATTENDED = {"nomade/unattended": "test"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("NOMADE_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NOMADE_GENERAL__DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(folder: Path, job: str, asset: str, name: str, instance: dg.DagsterInstance | None = None) -> Any:
    if instance is None:
        with dg.DagsterInstance.ephemeral() as own:
            return check(folder, job, asset, name, own)
    definitions = build_defs(NomadeResource(data_dir=str(folder)))
    partition = {} if job == "inventory" else {"partition_key": DAY.isoformat(), "tags": UNATTENDED}
    with clock.set_to(at(60)):
        result = definitions.resolve_job_def(job).execute_in_process(
            instance=instance, raise_on_error=False, **partition
        )
    key = dg.AssetKey(asset.split("/"))
    (found,) = (e for e in result.get_asset_check_evaluations() if (e.asset_key, e.check_name) == (key, name))
    return found


def test_answers_that_disagree_are_a_warning_and_stop_nothing(folder: Path) -> None:
    spool(folder / "spool", reading_of(SLURM_JOB, T0, running_job("2", T0)), host="head")
    spool(folder / "spool", reading_of(SLURM_JOB, at(10), running_job("2", T0, kind="gone")), host="head")
    found = check(folder, "ingest", "raw/job_metrics", "every_job_that_left_the_queue_is_accounted_for")
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert "1 jobs left the queue and sacct does not know their end: 2;" in found.description


def test_the_inventory_names_the_day_that_is_broken_now(folder: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        spool(folder / "spool", reading_of(IOSTAT_CPU, T0))
        first = check(folder, "ingest", "raw/iostat_cpu", "rows_fulfil_the_contract", instance)
        assert first.passed
        assert check(folder, "inventory", "raw/iostat_cpu", "no_partitions_left_failed", instance).passed
        (path,) = (folder / "lake" / "raw" / "iostat_cpu").rglob("*.parquet")
        path.write_bytes(b"broken")
        spool(folder / "spool", reading_of(IOSTAT_CPU, T0 + timedelta(minutes=1)))
        definitions = build_defs(NomadeResource(data_dir=str(folder)))
        with clock.set_to(at(61)):
            definitions.resolve_job_def("ingest").execute_in_process(
                instance=instance, raise_on_error=False, partition_key=DAY.isoformat(), tags=UNATTENDED
            )
        found = check(folder, "inventory", "raw/iostat_cpu", "no_partitions_left_failed", instance)
        assert not found.passed
        assert DAY.isoformat() in found.description
