"""What Dagster loads: a snapshot of every definition, and what loading costs and touches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
from syrupy.assertion import SnapshotAssertion

from nomade_pipeline.definitions import build_defs, defs
from nomade_pipeline.resources import NomadeResource
from nomade_pipeline.tables.catalog import RAW_TABLES


def described(definitions: dg.Definitions) -> dict[str, Any]:
    """Return what a user of the UI would notice if it changed."""
    graph = definitions.resolve_asset_graph()
    repository = definitions.get_repository_def()
    return {
        "assets": {
            node.key.to_user_string(): {
                "group": node.group_name,
                "kinds": sorted(node.kinds),
                "owners": sorted(node.owners),
                "partitions": type(node.partitions_def).__name__,
                "deps": len(node.parent_keys),
                "pools": sorted(node.pools or []),
                "fresh": str(node.freshness_policy_or_from_metadata),
                "columns": [column.name for column in node.metadata["dagster/column_schema"].columns],
            }
            for node in sorted(graph.asset_nodes, key=lambda node: node.key)
        },
        "checks": sorted(key.to_user_string() for key in graph.asset_check_keys),
        "jobs": sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")),
        "schedules": {
            schedule.name: (str(schedule.cron_schedule), schedule.execution_timezone, schedule.default_status.value)
            for schedule in repository.schedule_defs
        },
        "sensors": {
            sensor.name: (sensor.minimum_interval_seconds, sensor.default_status.value)
            for sensor in repository.sensor_defs
        },
    }


# Checks of single tables, on whether Slurm's answers agree with each other.
COMPARING = {"every_job_that_left_the_queue_is_accounted_for", "empty_answers_agree_with_the_nodes"}


def test_all_definitions_are_as_recorded(snapshot: SnapshotAssertion) -> None:
    """A deliberate change comes with `pytest --snapshot-update`."""
    assert described(defs) == snapshot


def test_every_definition_loads() -> None:
    dg.Definitions.validate_loadable(defs)


def test_every_raw_table_is_an_asset_with_its_columns_and_checks() -> None:
    graph = defs.resolve_asset_graph()
    for table in RAW_TABLES:
        node = graph.get(dg.AssetKey(["raw", table.name]))
        schema = node.metadata["dagster/column_schema"]
        assert [column.name for column in schema.columns] == list(table.column_names)
        names = {key.name for key in graph.get_check_keys_for_assets({node.key})}
        assert names - COMPARING == {
            "rows_fulfil_the_contract",
            "newest_data_is_there",
            "great_expectations_suite",
            "no_partitions_left_failed",
        }


def test_an_override_replaces_a_resource(tmp_path: Path) -> None:
    other = NomadeResource(data_dir=str(tmp_path))
    assert build_defs(overrides={"nomade": other}).resources["nomade"] is other


def test_loading_the_definitions_touches_no_disk(tmp_path: Path) -> None:
    """Neither the data folder nor a broken configuration is looked at before a run."""
    (tmp_path / "nomade.toml").write_text("this is [ not toml")
    data = tmp_path / "data"
    script = "from nomade_pipeline.definitions import defs; defs.get_repository_def()"
    subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PATH": "/usr/bin", "HOME": str(tmp_path), "NOMADE_GENERAL__DATA_DIR": str(data)},
        check=True,
        timeout=60,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nomade.toml"]


def test_loading_the_definitions_imports_nothing_heavy_beside_dagster() -> None:
    """Loading is paid by every run process; the budget in seconds is measured in benchmarks."""
    heavy = ("polars", "pyarrow", "pandas", "great_expectations", "sklearn", "torch", "duckdb", "networkx", "scipy")
    script = (
        "import sys; from nomade_pipeline.definitions import defs; defs.get_repository_def();"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip().splitlines()[-1] == "[]"
