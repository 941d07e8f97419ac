"""Collectors without a host behind them, and agents that run in the test's own process."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import time
from types import SimpleNamespace

import pytest

from nomade_pipeline import clock
from nomade_pipeline.agent.host import HostProbe
from nomade_pipeline.agent.journal import Journal
from nomade_pipeline.agent.service import Agent
from nomade_pipeline.collectors.base import Collected, Collector, Parsed, Reading
from nomade_pipeline.config.settings import Config, GeneralSettings
from nomade_pipeline.store.spool import decode_line, spool_files, whole_lines
from nomade_pipeline.tables.catalog import raw_table_named


def disk_reading(path="/", seconds=1.0):
    row = {"path": path, "status": "ok", "total_bytes": 10, "used_bytes": 5}
    return Reading("disk", (row,), clock.now(), seconds)


def collector(name="disk", collect=None, *, spans_interval=False):
    def usual(probe, settings, interval):
        if spans_interval:
            probe.wait(interval)
        return Collected((disk_reading(f"/{name}", interval),))

    table = raw_table_named("disk")
    return Collector(name, name, name, (table,), collect or usual, lambda text: Parsed({}), spans_interval)


def config_in(folder, **general):
    return Config(general=GeneralSettings(cluster_name="c", data_dir=str(folder), host="h", **general))


def spooled(folder, table="disk"):
    """Return the rows of a spool in the order of the files."""
    rows = []
    for file in spool_files(folder / "spool", table):
        for line in whole_lines(file.path.read_bytes()):
            rows.extend(decode_line(line).to_rows())
    return rows


def until(condition, seconds=5.0):
    """Wait for a condition; return its last value."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@contextlib.contextmanager
def running(config, collectors, *, interval=0.2, **options):
    """Run an agent; yields it with its log. Readings of the moment have no need of whole seconds."""
    probe = HostProbe()
    log = io.StringIO()
    journal = Journal(None, config.general.log_level, log)
    agent = Agent(config, collectors, probe, journal, interval=interval, **options)
    agent.start()
    try:
        yield SimpleNamespace(agent=agent, log=log, journal=journal, probe=probe)
    finally:
        agent.stop()


@pytest.fixture
def agents():
    """The helpers of this file."""
    return SimpleNamespace(
        collector=collector,
        config_in=config_in,
        disk_reading=disk_reading,
        replace=dataclasses.replace,
        running=running,
        spooled=spooled,
        until=until,
    )
