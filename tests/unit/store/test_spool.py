"""What is appended to the spool is there whole, once, and as it was, or the writer is told."""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
from datetime import timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rows import CLUSTER, HOST, T0, at, data_of, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import Reading
from nomade_pipeline.store.spool import (
    BadLine,
    SpoolError,
    SpoolWriter,
    append_lines,
    decode_line,
    spool_files,
    whole_lines,
)
from nomade_pipeline.tables.system import DISK, IOSTAT, IOSTAT_CPU, VMSTAT


def stored(file) -> list:
    return [decode_line(line) for line in whole_lines(file.read_bytes())]


def line_of(**changes) -> bytes:
    """Return a valid spool line with changes; a value of ... removes the key."""
    line = {
        "v": 1,
        "table": "vmstat",
        "cluster": CLUSTER,
        "host": HOST,
        "sample_time": "2026-03-05T10:00:00.000Z",
        "interval_seconds": 60,
        "source": "tool",
        "received_time": "2026-03-05T10:00:01.000Z",
        "rows": 1,
        "data": {"free_bytes": [5]},
    }
    line.update(changes)
    return json.dumps({name: value for name, value in line.items() if value is not ...}).encode()


def test_a_reading_comes_back_as_it_was_appended(tmp_path):
    rows = [data_of(IOSTAT, device=name, read_await_seconds=None) for name in ("sda", "sdb")]
    file = spool(tmp_path, reading_of(IOSTAT, at(1), *rows))
    (batch,) = stored(file)
    assert file == tmp_path / "iostat" / HOST / "2026-03-05T10.agent.ndjson"
    assert batch.received_time == "2026-03-05T10:01:01.000Z"
    shared = {"cluster": CLUSTER, "host": HOST, "sample_time": "2026-03-05T10:01:00.000Z"}
    assert [{**row, **shared} for row in rows] == [
        {name: value for name, value in row.items() if name in {*rows[0], *shared}} for row in batch.to_rows()
    ]


def test_a_row_of_the_spool_has_every_column_of_its_contract():
    batch = decode_line(line_of())
    (row,) = batch.to_rows()
    assert set(row) == set(VMSTAT.column_names)
    assert row["free_bytes"] == 5
    assert row["psi_io_some_percent"] is None


def test_a_torn_last_line_is_closed_at_the_next_append_and_spoils_no_other(tmp_path):
    file = spool(tmp_path, reading_of(IOSTAT_CPU, at(1)))
    whole = file.read_bytes()
    file.write_bytes(whole + whole[: len(whole) // 2])
    spool(tmp_path, reading_of(IOSTAT_CPU, at(2)))
    good, torn, fresh = whole_lines(file.read_bytes())
    assert decode_line(good).sample_time == "2026-03-05T10:01:00.000Z"
    assert decode_line(fresh).sample_time == "2026-03-05T10:02:00.000Z"
    with pytest.raises(BadLine, match="not JSON"):
        decode_line(torn)


def test_what_follows_the_last_newline_waits():
    assert whole_lines(b"a\n\nb\nhalf") == [b"a", b"b"]
    assert whole_lines(b"half") == []


def test_readings_go_to_the_file_of_the_hour_in_which_their_interval_ends(tmp_path):
    writer = SpoolWriter(tmp_path, CLUSTER, HOST)
    writer.append([reading_of(IOSTAT_CPU, moment) for moment in (at(59.99), at(60))])
    assert [(file.hour, len(stored(file.path))) for file in spool_files(tmp_path)] == [(T0, 1), (at(60), 1)]


def test_a_reading_without_rows_leaves_no_file(tmp_path):
    assert SpoolWriter(tmp_path, CLUSTER, HOST).append([Reading("nfs", [], T0, 60.0)]) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_rows_of_a_person_are_marked_in_source_and_file(tmp_path):
    file = spool(tmp_path, reading_of(IOSTAT_CPU, T0), writer="manual")
    assert file.name == "2026-03-05T10.manual.ndjson"
    assert stored(file)[0].source == "manual-tool"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_stored_as_null(tmp_path, number):
    rows = [data_of(IOSTAT_CPU, user_percent=number), data_of(IOSTAT_CPU, user_percent=1.0)]
    (batch,) = stored(spool(tmp_path, reading_of(IOSTAT_CPU, T0, *rows)))
    assert batch.data["user_percent"] == [None, 1.0]


def test_minus_zero_is_stored_as_zero(tmp_path):
    (batch,) = stored(spool(tmp_path, reading_of(IOSTAT_CPU, T0, data_of(IOSTAT_CPU, user_percent=-0.001))))
    assert math.copysign(1, batch.data["user_percent"][0]) == 1


def test_an_unknown_column_is_an_error_of_the_program_and_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="table disk has no column colour"):
        spool(tmp_path, reading_of(DISK, T0, {**data_of(DISK), "colour": "red"}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["../other", "", "a/b", ".hidden", "x" * 65, "new\nline"])
def test_a_host_that_cannot_be_a_folder_is_refused(tmp_path, host):
    with pytest.raises(ValueError, match="folder's name"):
        SpoolWriter(tmp_path, CLUSTER, host)


def test_an_unknown_writer_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there are agent, monitor, epilog, manual"):
        SpoolWriter(tmp_path, CLUSTER, HOST, "cron")


hostile_names = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20),
    st.binary(max_size=40).map(os.fsdecode),
    st.sampled_from(["a\nb", 'quote"d', "back\\slash", "nul\0", "unit\x1fseparator", "\u2028", "{}", "'; DROP TABLE"]),
)


@given(st.lists(hostile_names, min_size=1, max_size=5))
def test_any_bytes_in_names_survive_or_become_readable_escapes(tmp_path_factory, names):
    rows = [data_of(IOSTAT, device=name) for name in names]
    file = spool(tmp_path_factory.getbasetemp() / "names", reading_of(IOSTAT, T0, *rows))
    (line,) = whole_lines(file.read_bytes())
    file.unlink()
    assert line.isascii()
    found = decode_line(line).data["device"]
    found_with_orjson = decode_line(line, orjson.loads).data["device"]
    assert found == found_with_orjson
    for name, text in zip(names, found, strict=True):
        text.encode("utf-8")
        if name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name):
            assert text == name


def test_an_undecodable_byte_and_a_lone_surrogate_become_escapes(tmp_path):
    rows = [data_of(IOSTAT, device=name) for name in ("\udcff", "\udcc3\udca9", "\ud800", "\udfff")]
    (batch,) = stored(spool(tmp_path, reading_of(IOSTAT, T0, *rows)))
    assert batch.data["device"] == ["\\xff", "é", "\\ud800", "\\udfff"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"v": 2}, "spool format 2"),
        ({"v": ...}, "spool format None"),
        ({"table": "nonsense"}, "no raw table"),
        ({"table": ["vmstat"]}, "no raw table"),
        ({"cluster": "../x"}, "folder's name"),
        ({"cluster": "a\0b"}, "folder's name"),
        ({"cluster": ""}, "folder's name"),
        ({"cluster": "[a]*"}, "folder's name"),
        ({"host": "a@b/c"}, "folder's name"),
        ({"host": None}, "host is None"),
        ({"sample_time": "2026-03-05T10:00:00"}, "sample_time is no time"),
        ({"sample_time": "0001-01-01T00:00:00+23:59"}, "sample_time is no time"),
        ({"received_time": "yesterday"}, "received_time is no time"),
        ({"interval_seconds": "60"}, "interval_seconds is '60'"),
        ({"interval_seconds": True}, "interval_seconds is True"),
        ({"rows": -1}, "rows is not the length"),
        ({"rows": -1, "data": {}}, "rows is not the length"),
        ({"rows": 10**12, "data": {}}, "rows is not the length"),
        ({"rows": 10**12, "data": {"of_the_future": [1]}}, "rows is not the length"),
        ({"rows": 2}, "free_bytes has not 2 values"),
        ({"rows": 1.0}, "rows is 1.0"),
        ({"data": [1]}, "data is"),
        ({"data": {"free_bytes": 5}}, "free_bytes has not 1 values"),
        ({"data": {"free_bytes": ["5"]}}, "free_bytes holds str, expected int64"),
        ({"data": {"free_bytes": [True]}}, "free_bytes holds bool, expected int64"),
        ({"data": {"free_bytes": [5.5]}}, "free_bytes holds float, expected int64"),
        ({"data": {"free_bytes": [{}]}}, "free_bytes holds dict, expected int64"),
    ],
)
def test_a_line_that_is_no_reading_is_refused_with_the_reason(changes, reason):
    with pytest.raises(BadLine, match=reason):
        decode_line(line_of(**changes))


@pytest.mark.parametrize("line", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b"\0" * 100, b'{"v":1,}'])
def test_a_line_that_is_not_json_has_one_reason_whatever_is_wrong_with_it(line):
    for loads in (json.loads, orjson.loads):
        with pytest.raises(BadLine, match=r"^not JSON$"):
            decode_line(line, loads)


@pytest.mark.parametrize("line", [b"[]", b"1", b'"text"', b"null"])
def test_json_that_is_no_object_is_refused(line):
    with pytest.raises(BadLine, match="not a JSON object"):
        decode_line(line)


def test_columns_of_a_newer_agent_are_left_out_whatever_they_hold():
    batch = decode_line(line_of(data={"free_bytes": [5], "invented": "not a list", "also": [1, 2, 3]}))
    assert batch.data == {"free_bytes": [5]}


def test_a_shared_column_cannot_be_overridden_from_the_data():
    batch = decode_line(line_of(data={"free_bytes": [5], "host": ["other"], "cluster": ["other"]}))
    assert batch.to_rows()[0]["host"] == HOST
    assert batch.to_rows()[0]["cluster"] == CLUSTER


@given(st.binary(max_size=200))
def test_no_bytes_make_the_decoder_raise_anything_but_bad_line(data):
    with pytest.raises(BadLine):
        decode_line(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(json.loads(line_of()))), json_values)
def test_any_json_in_any_field_is_a_reading_or_refused(name, value):
    try:
        batch = decode_line(json.dumps({**json.loads(line_of()), name: value}).encode())
    except BadLine:
        return
    assert len(batch.to_rows()) == batch.rows


def test_names_that_are_not_of_the_spool_are_passed_over(tmp_path):
    file = spool(tmp_path, reading_of(IOSTAT_CPU, T0))
    for name in (
        "notes.txt",
        "2026-13-01T00.agent.ndjson",
        "2026-03-05T10.agent.ndjson~",
        ".x.swp",
        "2026-03-05T99.a.ndjson",
    ):
        (file.parent / name).write_text("x")
    (tmp_path / "iostat_cpu" / "a-file").write_text("x")
    assert [found.path for found in spool_files(tmp_path)] == [file]
    assert list(spool_files(tmp_path / "nowhere")) == []


def test_the_files_of_one_day_are_those_of_its_24_hours(tmp_path):
    midnight = clock.start_of(T0.date())
    hours = [midnight + timedelta(hours=hour) for hour in (-1, 0, 23, 24)]
    spool(tmp_path, *(reading_of(table, hour) for hour in hours for table in (IOSTAT_CPU, DISK)))
    found = list(spool_files(tmp_path, "disk", T0.date()))
    assert [(file.table, file.host, file.hour) for file in found] == [("disk", HOST, hour) for hour in hours[1:3]]
    assert [file.path.name for file in found] == ["2026-03-05T00.agent.ndjson", "2026-03-05T23.agent.ndjson"]


def test_a_file_that_retention_deletes_while_it_is_opened_does_not_swallow_the_reading(tmp_path):
    """The writer waits for the lock that retention holds; the file is gone when it gets it."""
    file = spool(tmp_path, reading_of(IOSTAT_CPU, T0))
    code = (
        "import fcntl, os, sys, time\n"
        "file = open(sys.argv[1], 'ab'); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('locked', flush=True); time.sleep(0.2); os.unlink(sys.argv[1])\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE, text=True) as retention:
        assert retention.stdout.readline() == "locked\n"
        spool(tmp_path, reading_of(IOSTAT_CPU, at(7)))
    assert [batch.sample_time for batch in stored(file)] == ["2026-03-05T10:07:00.000Z"]


def test_a_file_that_stays_locked_is_an_error_that_says_so(tmp_path, monkeypatch):
    import fcntl

    file = spool(tmp_path, reading_of(IOSTAT_CPU, T0))
    monkeypatch.setattr("nomade_pipeline.store.spool.LOCK_SECONDS", 0.05)
    with file.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(SpoolError, match="stays locked by another writer") as caught:
            append_lines(file, b"{}\n")
    assert caught.value.category == "storage"


def test_what_does_not_fit_is_taken_back_whole(tmp_path):
    """RLIMIT_FSIZE acts like a disk that fills up in the middle of a write."""
    file = spool(tmp_path, reading_of(IOSTAT_CPU, T0))
    before = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(SpoolError) as caught:
            spool(tmp_path, reading_of(IOSTAT_CPU, at(1)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.category == "storage"
    assert str(file) in str(caught.value)
    assert file.read_bytes() == before
    spool(tmp_path, reading_of(IOSTAT_CPU, at(2)))
    assert len(stored(file)) == 2


def test_a_clock_that_steps_back_changes_the_time_of_receipt_only(tmp_path):
    writer = SpoolWriter(tmp_path, CLUSTER, HOST)
    with clock.set_to(at(30)):
        writer.append([reading_of(IOSTAT_CPU, at(30))])
    with clock.set_to(at(5)):
        writer.append([reading_of(IOSTAT_CPU, at(5))])
    (file,) = spool_files(tmp_path)
    assert [batch.sample_time[14:16] for batch in stored(file.path)] == ["30", "05"]
