"""Readings that cannot be stored wait in memory, in order, and are dropped only at a bound and with a count."""

from __future__ import annotations

import threading

import pytest

from nomade_pipeline.agent.delivery import Delivery
from nomade_pipeline.collectors.base import Reading
from nomade_pipeline.store.spool import SpoolError, SpoolWriter


class Moody(SpoolWriter):
    """A spool writer whose disk is full for the tables in ``full``."""

    full: frozenset[str] = frozenset()
    calls = 0

    def append(self, readings):
        self.calls += 1
        if readings[0].table in self.full:
            raise SpoolError("storage", "no space left")
        return super().append(readings)


@pytest.fixture
def writer(tmp_path):
    return Moody(tmp_path / "spool", "c", "h")


def log_of(reading):
    return Reading("collection_log", ({"collector": reading.rows[0]["path"]},), reading.sample_time, 1.0)


def add(delivery, writer, agents, *paths):
    for path in paths:
        reading = agents.disk_reading(path)
        delivery.add(writer, [reading, log_of(reading)])


def paths(agents, folder):
    return [row["path"] for row in agents.spooled(folder)]


def test_readings_wait_while_the_disk_is_full_and_are_stored_in_order_afterwards(agents, writer, tmp_path):
    delivery = Delivery()
    names = [f"/{number}" for number in range(50)]
    writer.full = frozenset({"disk", "collection_log"})
    for name in names[:40]:
        add(delivery, writer, agents, name)
        delivered = delivery.flush()
    assert (delivered.waiting, delivered.problem, delivered.dropped) == (40, "no space left", 0)
    writer.full = frozenset()
    add(delivery, writer, agents, *names[40:])
    delivered = delivery.flush()
    assert (delivered.waiting, delivered.problem, delivered.rows) == (0, None, 100)
    assert paths(agents, tmp_path) == names
    assert [row["collector"] for row in agents.spooled(tmp_path, "collection_log")] == names


def test_a_row_is_stored_once_when_its_log_row_could_not_be(agents, writer, tmp_path):
    delivery = Delivery()
    writer.full = frozenset({"collection_log"})
    add(delivery, writer, agents, "/a", "/b")
    assert delivery.flush().waiting == 2
    assert delivery.flush().waiting == 2
    writer.full = frozenset()
    delivery.flush()
    assert paths(agents, tmp_path) == ["/a", "/b"]
    assert len(agents.spooled(tmp_path, "collection_log")) == 2


def test_one_table_that_cannot_be_written_does_not_hold_up_the_others(agents, writer, tmp_path):
    delivery = Delivery()
    writer.full = frozenset({"iostat"})
    delivery.add(writer, [Reading("iostat", ({"device": "sda"},), agents.disk_reading().sample_time, 1.0)])
    add(delivery, writer, agents, "/a")
    assert delivery.flush().waiting == 1
    assert paths(agents, tmp_path) == ["/a"]


def test_a_full_disk_is_asked_once_a_round_and_not_for_every_reading(agents, writer):
    delivery = Delivery()
    writer.full = frozenset({"disk"})
    add(delivery, writer, agents, *[f"/{number}" for number in range(30)])
    delivery.flush()
    assert writer.calls == 1


def test_beyond_the_bound_the_oldest_are_dropped_and_counted(agents, writer, tmp_path):
    delivery = Delivery(limit_bytes=4000)
    writer.full = frozenset({"disk"})
    dropped = 0
    for number in range(100):
        add(delivery, writer, agents, f"/{number}")
        dropped += delivery.flush().dropped
    waiting = delivery.waiting
    assert 0 < waiting < 100
    assert dropped == delivery.dropped_total == 2 * (100 - waiting)
    writer.full = frozenset()
    delivery.flush()
    assert paths(agents, tmp_path) == [f"/{number}" for number in range(100 - waiting, 100)]


def test_what_the_spool_will_never_take_is_refused_and_holds_up_nothing(agents, writer, tmp_path):
    delivery = Delivery()
    moment = agents.disk_reading().sample_time
    delivery.add(writer, [Reading("disk", ({"no_such_column": 1},), moment, 1.0)])
    delivery.add(writer, [Reading("no_such_table", ({"x": 1},), moment, 1.0)])
    delivery.add(writer, [Reading("disk", ({"path": object()},), moment, 1.0)])
    add(delivery, writer, agents, "/a")
    delivered = delivery.flush()
    assert len(delivered.refused) == 3
    assert "no_such_column" in delivered.refused[0]
    assert delivered.waiting == 0
    assert paths(agents, tmp_path) == ["/a"]


def test_a_spool_that_hangs_does_not_hold_up_the_collectors(agents, tmp_path):
    entered, released = threading.Event(), threading.Event()

    class Hanging(SpoolWriter):
        def append(self, readings):
            entered.set()
            released.wait(10)
            return super().append(readings)

    writer = Hanging(tmp_path / "spool", "c", "h")
    delivery = Delivery()
    add(delivery, writer, agents, "/a")
    thread = threading.Thread(target=delivery.flush)
    thread.start()
    assert entered.wait(5)
    add(delivery, writer, agents, *[f"/{number}" for number in range(100)])
    assert delivery.waiting == 101
    released.set()
    thread.join(10)
    assert delivery.waiting == 0
    assert len(paths(agents, tmp_path)) == 101


def test_waiting_readings_are_kept_small(agents, writer):
    delivery = Delivery()
    writer.full = frozenset({"mpstat"})
    shares = {f"{kind}_percent": 1.25 for kind in ("busy", "user", "nice", "system", "iowait", "irq", "soft", "idle")}
    rows = tuple({"cpu": cpu, **shares} for cpu in range(64))
    for _ in range(100):
        delivery.add(writer, [Reading("mpstat", rows, agents.disk_reading().sample_time, 60.0)])
        delivery.flush()
    assert delivery._packed_bytes < 100 * 5000
