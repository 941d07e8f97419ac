"""A slurmdbd that is killed, stopped and started again under collection and backfill: no job is lost or doubled."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars
import pytest
from support.lab import Lab
from support.site import Site

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import CollectorError
from nomade_pipeline.config.load import load_config
from nomade_pipeline.config.settings import Config
from nomade_pipeline.ingest import accounting
from nomade_pipeline.ingest.accounting import read_accounting
from nomade_pipeline.probes import LiveProbe
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

pytestmark = pytest.mark.needs("slurm")


@pytest.fixture
def site(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("SLURM_CONF", lab.environment["SLURM_CONF"])
    made = Site(lab, tmp_path)
    made.nomade("init")
    try:
        yield made
    finally:
        lab.up()


def slurmdbd(lab: Lab) -> int:
    pid = lab.pids()["slurmdbd"]
    assert pid is not None
    return pid


def submit_and_await_end(lab: Lab, count: int) -> set[str]:
    """Run jobs that end at once; return their numbers."""
    numbers = set()
    for _ in range(count):
        done = lab.run(
            ["sbatch", "--parsable", "--partition=short", "--mem=50M", "--output=/dev/null", "--wrap", "true"]
        )
        assert done.returncode == 0, done.stderr
        numbers.add(done.stdout.decode().strip())
    deadline = time.monotonic() + 60
    listed = ["squeue", "--noheader", "--format=%A", f"--jobs={','.join(numbers)}", "--states=PD,R,CG"]
    while lab.run(listed).stdout.split():
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return numbers


def known(site: Site) -> list[str]:
    site.nomade("ingest")
    return [row["job_id_raw"] for row in site.json("jobs", "--since", "1d", "--limit", "100000")]


def told_by_sacct(site: Site) -> list[bytes]:
    """Return the ended jobs as sacct lists them."""
    states = "--state=CD,F,CA,TO,NF,PR,BF,DL,OOM,RV,RQ"
    window = ("--starttime=now-1days", "--endtime=now", states)
    return site.slurm("sacct", "-a", "-D", "-X", "-n", "-P", "--format=JobIDRaw,Submit", *window).split()


def await_accounted(site: Site, numbers: set[str]) -> None:
    """Wait until the accounting has the ends that it missed: slurmctld tells them again after a restart."""
    deadline = time.monotonic() + 90
    asked = [
        "sacct",
        "--allocations",
        "--noheader",
        "--parsable2",
        "--format=JobIDRaw,End",
        f"--jobs={','.join(numbers)}",
    ]
    while time.monotonic() < deadline:
        lines = [line.split(b"|") for line in site.slurm(*asked).split()]
        if len([line for line in lines if line[1] != b"Unknown"]) == len(numbers):
            return
        time.sleep(1)
    pytest.fail("slurmdbd never learnt of the ends")


def test_jobs_that_end_while_slurmdbd_is_dead_are_found_once_it_lives(site: Site) -> None:
    site.nomade("collect", "--once", "-C", "job_metrics")
    os.kill(slurmdbd(site.lab), signal.SIGKILL)
    numbers = submit_and_await_end(site.lab, 3)
    failed = site.run("collect", "--once", "-C", "job_metrics,slurm")
    assert failed.returncode == 1
    assert "service_down" in failed.stdout
    (queue,) = site.json("queue")
    assert queue["scheduler"]["dbd_up"] is False
    assert queue["scheduler"]["controller_up"] is True
    site.lab.up()
    await_accounted(site, numbers)
    site.nomade("collect", "--once", "-C", "job_metrics")
    found = known(site)
    assert numbers <= set(found)
    assert len(found) == len(told_by_sacct(site))


def test_a_slow_slurmdbd_delays_the_run_and_loses_nothing(site: Site) -> None:
    numbers = submit_and_await_end(site.lab, 2)
    await_accounted(site, numbers)
    pid = slurmdbd(site.lab)
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(4, os.kill, (pid, signal.SIGCONT))
    timer.start()
    try:
        site.nomade("collect", "--once", "-C", "job_metrics")
    finally:
        timer.join()
    assert numbers <= set(known(site))


def test_a_backfill_that_slurmdbd_leaves_is_finished_by_the_next_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = submit_and_await_end(site.lab, 2)
    await_accounted(site, numbers)
    store, config, today = Store.at(site.folder), load_config(None, site.environment), clock.today()
    monkeypatch.setattr(accounting, "PAUSES_SECONDS", (0.2,))
    os.kill(slurmdbd(site.lab), signal.SIGKILL)
    with pytest.raises(CollectorError) as caught:
        list(read_accounting(store, config, [today], LiveProbe()))
    assert caught.value.category == "service_down"
    site.lab.up()
    held = _read_until_settled(store, config, today)
    assert numbers <= set(held["job_id_raw"])
    assert not held.select("job_id_raw", "submit_time").is_duplicated().any()


def _read_until_settled(store: Store, config: Config, day: date) -> polars.DataFrame:
    """Read a day again and again until nothing changes: a slurmdbd that was away is told of steps a little later."""
    held = store.lake.read_day(JOB_METRICS, "lab", day)
    for attempt in range(10):
        (read,) = read_accounting(store, config, [day], LiveProbe())
        assert read.added == 0 or attempt == 0
        before, held = held, store.lake.read_day(JOB_METRICS, "lab", day)
        if held.equals(before):
            return held
        time.sleep(1)
    pytest.fail("what the accounting tells of ended jobs does not settle")
