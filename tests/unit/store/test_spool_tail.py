"""The newest readings are found from the end of the files, whatever stands there."""

from __future__ import annotations

import os

from support.rows import HOST, T0, at, data_of, reading_of, spool

from nomade_pipeline.store.tail import batches_since, newest_batches
from nomade_pipeline.tables.system import IOSTAT, IOSTAT_CPU


def minutes_of(batches) -> list[str]:
    return [batch.sample_time[11:16] for batch in batches]


def test_the_newest_reading_of_each_host_and_writer_is_returned(tmp_path):
    spool(tmp_path, *(reading_of(IOSTAT_CPU, at(minute)) for minute in (1, 2, 61, 62)))
    spool(tmp_path, reading_of(IOSTAT_CPU, at(3)), writer="manual")
    spool(tmp_path, reading_of(IOSTAT_CPU, at(4)), host="node2")
    assert minutes_of(newest_batches(tmp_path, "iostat_cpu")) == ["11:02", "10:03", "10:04"]


def test_a_table_without_readings_has_no_newest(tmp_path):
    assert newest_batches(tmp_path, "iostat_cpu") == []


def test_garbage_and_a_torn_line_at_the_end_are_passed_over(tmp_path):
    file = spool(tmp_path, reading_of(IOSTAT_CPU, at(1)), reading_of(IOSTAT_CPU, at(2)))
    with file.open("ab") as end:
        end.write(b"garbage\n" * 3 + b"[" * 100_000 + b"\n" + os.urandom(300_000).replace(b"\n", b"") + b'\n{"v":1,')
    assert minutes_of(newest_batches(tmp_path, "iostat_cpu")) == ["10:02"]


def test_a_host_whose_newest_hour_is_unreadable_is_represented_by_the_hour_before(tmp_path):
    spool(tmp_path, reading_of(IOSTAT_CPU, at(1)))
    (tmp_path / "iostat_cpu" / HOST / "2026-03-05T11.agent.ndjson").write_bytes(b"garbage\n")
    assert minutes_of(newest_batches(tmp_path, "iostat_cpu")) == ["10:01"]


def test_a_line_longer_than_a_block_is_read_whole(tmp_path):
    rows = [data_of(IOSTAT, device=f"device-{number:05}") for number in range(2000)]
    file = spool(tmp_path, reading_of(IOSTAT, at(1)), reading_of(IOSTAT, at(2), *rows))
    assert len(file.read_bytes().splitlines()[-1]) > 2 * 65536
    (batch,) = newest_batches(tmp_path, "iostat")
    assert batch.rows == 2000


def test_a_line_that_begins_exactly_at_a_block_is_found(tmp_path):
    file = spool(tmp_path, reading_of(IOSTAT_CPU, at(1)), reading_of(IOSTAT_CPU, at(2)))
    with file.open("ab") as end:
        last = file.read_bytes().splitlines(keepends=True)[-1]
        end.write(b"x" * (65536 - len(last) - 1) + b"\n")
    assert minutes_of(newest_batches(tmp_path, "iostat_cpu")) == ["10:02"]


def test_only_the_end_of_a_long_file_is_read(tmp_path):
    file = spool(tmp_path, reading_of(IOSTAT_CPU, at(1)))
    with file.open("r+b") as hole:
        line = hole.read()
        hole.seek(2**40)
        hole.write(b"\n" + line)
    assert minutes_of(newest_batches(tmp_path, "iostat_cpu")) == ["10:01"]


def test_the_readings_since_a_moment_are_those_sampled_after_it(tmp_path):
    spool(tmp_path, *(reading_of(IOSTAT_CPU, at(minute)) for minute in (1, 2, 59, 60, 61)))
    assert minutes_of(batches_since(tmp_path, "iostat_cpu", at(2))) == ["10:59", "11:00", "11:01"]
    assert minutes_of(batches_since(tmp_path, "iostat_cpu", at(60))) == ["11:01"]
    assert minutes_of(batches_since(tmp_path, "iostat_cpu", T0)) == ["10:01", "10:02", "10:59", "11:00", "11:01"]
