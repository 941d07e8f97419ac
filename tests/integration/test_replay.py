"""A simulated day happens again: the real collectors meet the stand-ins, and read the same jobs from them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from support.installation import Ended, nomade
from support.servers import web_server

from nomade_pipeline.collectors.slurm_squeue import FIELDS, jobs_of
from nomade_pipeline.collectors.slurm_tables import long_format, marked_table, new_mark
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables import slurm_queue
from nomade_pipeline.tables.nodes import JOB_MONITOR, NODE_STATE
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.system import VMSTAT
from nomade_pipeline.workload.scenario import Scenario
from nomade_pipeline.workload.simulate import simulate

DAY = date(2026, 3, 4)
HOSTILE = "a|b\x1f\n1|2^$(touch /tmp/owned)\x1b[31m`id`; JobName=x"
NOT_CARRIED = {"cluster", "host", "source", "received_time", "interval_seconds"}


@dataclass
class Replay:
    """A replayed morning.

    Attributes:
        past: store of the simulated cluster.
        here: store of the replay.
        ended: how the command ended.
        posted: requests that arrived at the only target of alerts.
    """

    past: Store
    here: Store
    ended: Ended
    posted: int


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A simulated day with a job of a hostile name."""
    store = Store.at(tmp_path_factory.mktemp("past"))
    end = datetime(2026, 3, 5, tzinfo=UTC)
    simulate(store, Scenario.ending(end, 1, cluster="sim-past", jobs=150, hosts=2, seed=4), lambda _what, _share: None)
    rows = store.lake.read_day(JOB_METRICS, "sim-past", DAY).sort("end_time")
    chosen = pl.int_range(pl.len()) == 5
    name = pl.when(chosen).then(pl.lit(HOSTILE)).otherwise("job_name").alias("job_name")
    store.lake.replace(JOB_METRICS, "sim-past", DAY, rows.with_columns(name))
    return store


@pytest.fixture(scope="module")
def replay(past: Store, tmp_path_factory: pytest.TempPathFactory) -> Replay:
    folder = tmp_path_factory.mktemp("replay") / "data"
    with web_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOMADE_ALERTS__DISK_WARNING_PERCENT", "1")
        patch.setenv("NOMADE_ALERTS__SLACK_ENABLED", "true")
        patch.setenv("NOMADE_ALERTS__SLACK_WEBHOOK", server.url)
        arguments = ("--from", "2026-03-04", "--to", "2026-03-04T14:00", "--once", "--step", "3600")
        ended = nomade("replay", *arguments, "--into", str(folder), "--json", root=past.paths.root)
        return Replay(past, Store.at(folder), ended, len(server.asked))


def test_the_same_jobs_come_out_field_by_field(replay: Replay) -> None:
    assert replay.ended.status == 0, replay.ended.stderr
    told = replay.past.lake.read_day(JOB_METRICS, "sim-past", DAY)
    until = datetime(2026, 3, 4, 14, tzinfo=UTC)
    there = told.filter(pl.col("end_time") <= until).sort(JOB_METRICS.key)
    here = replay.here.lake.read_day(JOB_METRICS, "replay-sim-past", DAY).sort(JOB_METRICS.key)
    assert there.height > 40
    for name in JOB_METRICS.column_names:
        if name not in NOT_CARRIED:
            assert here[name].to_list() == there[name].to_list(), name
    assert HOSTILE in here["job_name"].to_list()


def test_the_nodes_and_the_queue_are_those_of_the_replayed_moments(replay: Replay) -> None:
    nodes = [
        store.lake.read_day(NODE_STATE, cluster, DAY)
        for store, cluster in ((replay.past, "sim-past"), (replay.here, "replay-sim-past"))
    ]
    both = nodes[1].join(nodes[0], on=["node", "sample_time"], suffix="_past")
    assert both.height == nodes[1].height == 2 * 14
    for name in ("state_raw", "usable", "cpus_allocated", "memory_allocated_bytes", "gpus_allocated", "partitions"):
        assert both[name].to_list() == both[f"{name}_past"].to_list(), name
    queues = [
        store.lake.read_day(slurm_queue.SLURM_QUEUE, cluster, DAY)
        for store, cluster in ((replay.past, "sim-past"), (replay.here, "replay-sim-past"))
    ]
    same = queues[1].join(queues[0], on=["partition", "sample_time"], suffix="_past")
    for name in ("pending_jobs", "running_jobs", "running_cpus", "pending_gpus"):
        assert same[name].to_list() == same[f"{name}_past"].to_list(), name


def test_what_hosts_measured_comes_through_the_spool_unchanged(replay: Replay) -> None:
    until = datetime(2026, 3, 4, 14, tzinfo=UTC)
    for table in (VMSTAT, JOB_MONITOR):
        there = replay.past.lake.read_day(table, "sim-past", DAY).filter(pl.col("sample_time") <= until)
        # A replay begins behind its first moment.
        there = there.filter(pl.col("sample_time") > datetime(2026, 3, 4, tzinfo=UTC))
        here = replay.here.lake.read_day(table, "replay-sim-past", DAY)
        own = [column.name for column in table.data_columns]
        assert here.sort(table.key).select(own).equals(there.sort(table.key).select(own)), table.name


def test_nothing_is_quarantined_and_no_collector_complains(replay: Replay) -> None:
    assert replay.ended.json["problems"] == []
    assert not list(replay.here.quarantine.root.glob("**/*.ndjson"))


def test_alerts_are_judged_and_nobody_is_told(replay: Replay) -> None:
    assert replay.ended.json["alerts_told_to_the_dry_run"]["firing"] > 0
    messages = replay.here.rollups.rows("SELECT dry_run FROM alert_outbox")
    assert messages
    assert all(row["dry_run"] for row in messages)
    assert replay.posted == 0


def test_screens_of_its_folder_live_in_the_replayed_time_and_say_what_they_show(replay: Replay) -> None:
    shown = nomade("nodes", root=replay.here.paths.root)
    assert shown.status == 0
    assert "replay-sim-past (replayed)" in shown.stdout
    assert "stale" not in shown.stdout
    jobs = nomade("jobs", "--since", "2026-03-04", root=replay.here.paths.root)
    assert "\x1b" not in jobs.stdout


def test_any_process_that_finds_the_stand_ins_first_on_its_path_is_answered(replay: Replay) -> None:
    folder = replay.here.paths.root / "replay-bin"
    mark = new_mark()
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "TZ": "UTC"}
    argv = ["squeue", "-a", "-O", long_format(FIELDS, mark)]
    told = subprocess.run(argv, env=environment, capture_output=True, check=True, text=True, cwd="/")
    table = marked_table(told.stdout)
    assert table is not None
    jobs, rejected = jobs_of(table.rows)
    assert jobs
    assert not rejected
    refused = subprocess.run(
        ["scontrol", "update", "node=x"], env=environment, capture_output=True, check=False, text=True, cwd="/"
    )
    assert refused.returncode == 1
    assert "does not answer update node=x" in refused.stderr


def test_ctrl_c_ends_a_replay_and_keeps_what_was_replayed(past: Store, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    argv = [sys.executable, "-m", "nomade_pipeline.cli.main", "--data-dir", str(past.paths.root), "replay", "--json"]
    argv += ["--from", "2026-03-04", "--speed", "1", "--step", "10", "--into", str(folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        deadline = time.monotonic() + 60
        while not (folder / "spool").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert json.loads(out)["interrupted"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "2026-03-04", "--to", "2026-03-03"), "there is nothing between"),
        (("--cluster", "nope", "--from", "2026-03-04"), "no cluster 'nope'; there are sim-past"),
        (("--from", "yesterday"), "Invalid value for '--from'"),
        (("--speed", "0"), "Invalid value for '--speed'"),
    ],
)
def test_bad_arguments_are_told(past: Store, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    ended = nomade("replay", *arguments, "--into", str(tmp_path / "data"), root=past.paths.root)
    assert ended.status in (1, 2)
    assert said in ended.stderr


def test_a_replay_never_goes_into_the_folder_that_it_reads_nor_into_a_full_one(past: Store, tmp_path: Path) -> None:
    same = nomade("replay", "--from", "2026-03-04", "--into", str(past.paths.root), root=past.paths.root)
    assert same.status == 1
    assert "a data folder of its own" in same.stderr
    (tmp_path / "letters.txt").write_text("dear")
    full = nomade("replay", "--from", "2026-03-04", "--into", str(tmp_path), "--replace", root=past.paths.root)
    assert full.status == 1
    assert "is not empty" in full.stderr
    assert (tmp_path / "letters.txt").exists()
