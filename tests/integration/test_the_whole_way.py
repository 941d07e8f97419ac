"""The whole way on this machine: real agent, kill -9, ingest, Parquet, SQLite, command line; and the demo."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nomade_pipeline.store.home import Store
from nomade_pipeline.store.spool import decode_line, spool_files, whole_lines
from nomade_pipeline.tables.catalog import RAW_TABLES, raw_table_named
from nomade_pipeline.tables.graph import SIMILARITY_WINDOWS

NOMADE = [sys.executable, "-m", "nomade_pipeline.cli.main"]
SAMPLED_BY = ("disk", "iostat", "mpstat", "vmstat")
SAMPLED = ("disk", "iostat", "iostat_cpu", "mpstat", "mpstat_summary", "vmstat")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user whose own configuration is broken: nothing here may read it."""
    broken = tmp_path / "home/.config/nomade"
    broken.mkdir(parents=True)
    (broken / "nomade.toml").write_text("this is [ not toml")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NOMADE_", "DAGSTER_"))}
    return {**kept, "HOME": str(tmp_path / "home"), "NO_COLOR": "1", "COLUMNS": "120"}


def nomade(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NOMADE, *arguments], env=environment, capture_output=True, text=True, timeout=240, check=False, cwd="/"
    )


def site(folder: Path) -> list[str]:
    """Write a configuration of its own and return the options that name it."""
    (folder / "nomade.toml").write_text(
        f'[general]\ncluster_name = "alpha"\nhost = "node1"\ndata_dir = "{folder}/data"\n'
    )
    return ["--config", str(folder / "nomade.toml")]


@pytest.mark.needs("sysstat", "procps")
def test_what_the_agent_sampled_before_and_after_kill_9_is_in_the_lake_the_rollups_and_the_answers(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    options = site(tmp_path)
    assert nomade(environment, *options, "init").returncode == 0
    agent_command = [*NOMADE, *options, "collect", "--interval", "1"]
    for ending in (signal.SIGKILL, signal.SIGTERM):
        agent = subprocess.Popen(agent_command, env=environment, cwd="/", stderr=subprocess.DEVNULL)
        time.sleep(6)
        agent.send_signal(ending)
        assert agent.wait(15) == (-signal.SIGKILL if ending == signal.SIGKILL else 0)
    ingest = nomade(environment, *options, "ingest")
    assert ingest.returncode == 0, ingest.stdout + ingest.stderr

    store = Store.at(tmp_path / "data")
    spooled = _spooled_rows(store)
    assert set(SAMPLED) <= set(spooled)
    for name, rows in spooled.items():
        table = raw_table_named(name)
        stored = sum(store.lake.count(table, "alpha", day) for day in store.lake.days(table, "alpha"))
        assert stored == rows, f"{name}: {stored} rows in the lake, {rows} in the spool"
        answer = nomade(environment, *options, "sql", f"SELECT count(*) AS n FROM {name}", "--format", "json")
        assert json.loads(answer.stdout) == [{"n": rows}]
    (counted,) = store.rollups.rows(
        "SELECT sum(count) AS n FROM hourly WHERE table_name = 'vmstat' AND metric = 'free_bytes'"
    )
    assert counted["n"] == spooled["vmstat"] >= 8
    ledger = store.rollups.rows(
        "SELECT collector, sum(failed) AS failed FROM ledger WHERE expected > 0 GROUP BY collector"
    )
    # Slurm's collectors report as well where the lab of other tests runs at the same time.
    failed = {row["collector"]: row["failed"] for row in ledger}
    assert {name: failed.get(name) for name in SAMPLED_BY} == dict.fromkeys(SAMPLED_BY, 0)
    status = nomade(environment, *options, "status")
    assert status.returncode == 0
    assert "Filesystems:" in status.stdout
    assert "alpha / node1" in status.stdout


def _spooled_rows(store: Store) -> dict[str, int]:
    rows: dict[str, int] = {}
    for file in spool_files(store.spool):
        for line in whole_lines(file.path.read_bytes()):
            rows[file.table] = rows.get(file.table, 0) + decode_line(line).rows
    return rows


@pytest.mark.timeout(600)  # two demos, the second with a simulated cluster
def test_the_demo_shows_this_machine_with_all_checks_passed_and_can_be_repeated(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "demo"
    for simulated in ("0", "500"):
        demo = nomade(environment, "--data-dir", str(folder), "demo", "--no-serve", "--jobs", simulated)
        assert demo.returncode == 0, demo.stdout + demo.stderr
        passed = re.search(r"(\d+) checks passed", demo.stdout)
        assert passed is not None
        assert int(passed.group(1)) >= 2 * len(RAW_TABLES)
        assert "failed" not in demo.stdout
        assert "DEBUG" not in demo.stdout + demo.stderr
        assert "═══ NØMADE Status ═══" in demo.stdout
        assert ("sim-demo (simulated)" in demo.stdout) == (simulated != "0")
    store = Store.at(folder)
    filled = {table.name for table in RAW_TABLES if store.lake.clusters(table)}
    assert set(SAMPLED) <= filled
    (rollups,) = store.rollups.rows("SELECT count(*) AS n FROM hourly WHERE cluster = 'demo'")
    assert rollups["n"] > 30
    (jobs,) = store.rollups.rows("SELECT count(*) AS n FROM jobs WHERE cluster = 'sim-demo'")
    assert jobs["n"] > 200
    newest = store.lake.days(SIMILARITY_WINDOWS, "sim-demo")[-1]
    assert store.lake.read_day(SIMILARITY_WINDOWS, "sim-demo", newest)["nodes"][0] > 200


def test_a_port_that_is_taken_is_told_and_the_demo_ends_with_1(tmp_path: Path, environment: dict[str, str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        demo = nomade(environment, "--data-dir", str(tmp_path / "demo"), "demo", "--jobs", "0", "--port", port)
    assert demo.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in demo.stderr
    assert "Traceback" not in demo.stderr
