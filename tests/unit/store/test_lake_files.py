"""The lake's files: hashes, schema evolution, and what happens to damaged ones."""

from __future__ import annotations

import dataclasses
import random
from datetime import timedelta

import polars as pl
import pyarrow.parquet as pq
import pytest
from support.rows import CLUSTER, DAY, T0, at, cpu_rows, frame_of, row_of

from nomade_pipeline.store.lake import Lake, LakeError
from nomade_pipeline.store.parquet import content_hash, write_parquet
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.tables.contract import JSON_TYPES, Column, raw_table
from nomade_pipeline.tables.features import JOB_FEATURES
from nomade_pipeline.tables.system import DISK, IOSTAT_CPU, VMSTAT

END = T0 + timedelta(days=1)


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake")


def only_file(lake: Lake):
    (file,) = (lake.root / "raw").rglob("*.parquet")
    return file


ALL_TYPES = raw_table(
    "all_types",
    "One column of each type.",
    tuple(Column(f"a_{kind}", kind, "A value.", null="nothing") for kind in JSON_TYPES),
    collector="test",
)


def test_the_hash_of_known_rows_never_changes():
    """Frozen: the books of every site hold such hashes; a library that changes them asks for all rollups anew."""
    rows = [
        row_of(ALL_TYPES),
        row_of(ALL_TYPES, a_text="ø", a_bool=True, a_int32=-(2**31), a_int64=2**62, a_float32=0.1, a_float64=0.1),
        row_of(ALL_TYPES, **{f"a_{kind}": None for kind in JSON_TYPES}),
    ]
    assert content_hash(frame_of(ALL_TYPES, rows)) == "305fd85dddda3b4472c8657cdaaa7018722f8650c23785e561f635d165715d69"


def changed(column: Column) -> list:
    other = {"text": ["y", "xx", ""], "bool": [True], "time": [at(1)], "int32": [2, 0], "int64": [2, 2**40]}
    values = other.get(column.type, [2.5, 0.0])
    return values + ([None] if column.nullable else [])


@pytest.mark.parametrize(
    "column", [column for column in DISK.columns if not column.allowed], ids=lambda column: column.name
)
def test_the_hash_is_sensitive_to_every_value(column):
    hashes = {
        content_hash(frame_of(DISK, [row_of(DISK, **{column.name: value}), row_of(DISK, path="z")]))
        for value in (row_of(DISK)[column.name], *changed(column))
    }
    assert len(hashes) == len(changed(column)) + 1


def test_the_hash_tells_where_one_text_ends_and_the_next_begins():
    frames = [frame_of(DISK, [row_of(DISK, path=a), row_of(DISK, path=b)]) for a, b in (("ab", "c"), ("a", "bc"))]
    assert content_hash(frames[0]) != content_hash(frames[1])


def test_the_hash_does_not_depend_on_how_the_frame_is_held():
    frame = frame_of(DISK, [row_of(DISK, path=f"/{number}") for number in range(10)])
    pieces = pl.concat([frame[:3], frame[3:]], rechunk=False)
    assert pieces.n_chunks() == 2
    assert content_hash(pieces) == content_hash(frame)
    assert content_hash(frame[:0]) != content_hash(frame)


def test_the_metadata_names_table_version_units_and_nullability(lake):
    lake.publish(VMSTAT, CLUSTER, DAY, frame_of(VMSTAT, [row_of(VMSTAT)]))
    schema = pq.read_schema(only_file(lake))
    assert schema.metadata[b"nomade.table"] == b"vmstat"
    assert schema.metadata[b"nomade.contract_version"] == str(VMSTAT.version).encode()
    assert schema.field("free_bytes").metadata[b"unit"] == b"bytes"
    assert schema.field("free_bytes").nullable
    assert not schema.field("host").nullable


def older_vmstat():
    """Return the contract as an earlier release might have had it: fewer and narrower columns."""
    kept = [
        dataclasses.replace(column, type="int32") if column.type == "int64" else column
        for column in VMSTAT.columns
        if column.name not in ("free_bytes", "psi_io_full_percent")
    ]
    return dataclasses.replace(VMSTAT, columns=tuple(kept), version=0)


def test_a_file_of_an_older_contract_reads_with_null_in_the_new_columns(lake):
    older = older_vmstat()
    lake.publish(older, CLUSTER, DAY, frame_of(older, [row_of(older, swap_used_bytes=7)]))
    rows = lake.read(VMSTAT, T0, END)
    assert rows.schema == frame_of(VMSTAT, []).schema
    assert rows["free_bytes"].to_list() == [None]
    assert rows["swap_used_bytes"].to_list() == [7]


def test_new_rows_join_those_of_an_older_contract(lake):
    older = older_vmstat()
    lake.publish(older, CLUSTER, DAY, frame_of(older, [row_of(older)]))
    lake.publish(VMSTAT, CLUSTER, DAY, frame_of(VMSTAT, [row_of(VMSTAT, sample_time=at(1), free_bytes=2**40)]))
    assert lake.read(VMSTAT, T0, END)["free_bytes"].to_list() == [None, 2**40]
    assert pq.read_schema(only_file(lake)).metadata[b"nomade.contract_version"] == str(VMSTAT.version).encode()


def test_a_file_of_a_newer_contract_reads_without_its_new_columns(lake):
    extra = Column("invented_percent", "float32", "Of the future.", "percent", null="not yet")
    newer = dataclasses.replace(VMSTAT, columns=(*VMSTAT.columns, extra), version=VMSTAT.version + 1)
    lake.publish(newer, CLUSTER, DAY, frame_of(newer, [row_of(newer)]))
    assert lake.read(VMSTAT, T0, END).equals(frame_of(VMSTAT, [row_of(VMSTAT)]))


def test_a_value_that_the_contract_cannot_hold_is_an_error_not_another_value(lake):
    wide = dataclasses.replace(
        VMSTAT,
        columns=tuple(dataclasses.replace(c, type="int64") if c.name == "procs_running" else c for c in VMSTAT.columns),
    )
    lake.publish(wide, CLUSTER, DAY, frame_of(wide, [row_of(wide, procs_running=2**40)]))
    with pytest.raises(LakeError, match="cannot be read as table vmstat"):
        lake.read(VMSTAT, T0, END)


def test_a_file_without_a_column_that_is_never_null_is_an_error(lake):
    other = dataclasses.replace(VMSTAT, columns=tuple(c for c in VMSTAT.columns if c.name != "source"))
    lake.publish(other, CLUSTER, DAY, frame_of(other, [row_of(other)]))
    with pytest.raises(LakeError, match="has no column source"):
        lake.read(VMSTAT, T0, END)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_an_error_that_names_it_and_what_to_do(lake, share):
    lake.publish(IOSTAT_CPU, CLUSTER, DAY, frame_of(IOSTAT_CPU, cpu_rows(range(50))))
    file = only_file(lake)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    for use in (
        lambda: lake.read(IOSTAT_CPU, T0, END),
        lambda: lake.count(IOSTAT_CPU, CLUSTER, DAY),
        lambda: lake.publish(IOSTAT_CPU, CLUSTER, DAY, frame_of(IOSTAT_CPU, cpu_rows([1]))),
        lambda: lake.close_day(IOSTAT_CPU, CLUSTER, DAY),
    ):
        with pytest.raises(LakeError, match="move it away and ingest the day again") as caught:
            use()
        assert str(file) in str(caught.value)


def test_a_damaged_file_of_a_computed_table_is_to_be_computed_again(lake):
    lake.replace(JOB_FEATURES, CLUSTER, DAY, pl.DataFrame(schema=polars_schema(JOB_FEATURES)))
    (lake.partition(JOB_FEATURES, CLUSTER, DAY) / "day.parquet").write_bytes(b"damaged")
    with pytest.raises(LakeError, match="move it away and compute the day again"):
        lake.read_day(JOB_FEATURES, CLUSTER, DAY)


def test_a_damaged_file_is_kept_for_the_one_who_will_look_at_it(lake):
    lake.publish(IOSTAT_CPU, CLUSTER, DAY, frame_of(IOSTAT_CPU, cpu_rows([1])))
    only_file(lake).write_bytes(b"damaged")
    with pytest.raises(LakeError):
        lake.publish(IOSTAT_CPU, CLUSTER, DAY, frame_of(IOSTAT_CPU, cpu_rows([2])))
    assert only_file(lake).read_bytes() == b"damaged"


def test_a_flipped_bit_never_becomes_another_value(lake):
    """Page checksums and the contract catch it, or it lies in a part that no value depends on."""
    frame = frame_of(IOSTAT_CPU, cpu_rows(range(50)))
    lake.publish(IOSTAT_CPU, CLUSTER, DAY, frame)
    file = only_file(lake)
    content = file.read_bytes()
    pages = content.index(b"\x15\x04\x19") if b"\x15\x04\x19" in content else len(content) // 2
    draw, caught = random.Random(20260305), 0
    for _ in range(150):
        damaged = bytearray(content)
        damaged[draw.randrange(4, pages)] ^= 1 << draw.randrange(8)
        file.write_bytes(damaged)
        try:
            assert lake.read(IOSTAT_CPU, T0, END).equals(frame)
        except LakeError:
            caught += 1
    assert caught > 100


def test_writing_does_not_depend_on_the_order_of_a_frames_columns(tmp_path):
    frame = frame_of(IOSTAT_CPU, cpu_rows(range(5)))
    write_parquet(IOSTAT_CPU, frame, tmp_path / "one")
    write_parquet(IOSTAT_CPU, frame.select(reversed(frame.columns)), tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
