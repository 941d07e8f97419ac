"""Many jobs at once and one by one give the same rows, and refuse the same for the same reasons."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from support.needs import REPOSITORY

from nomade_pipeline.collectors.base import Rejected
from nomade_pipeline.collectors.sacct_jobs import number_of
from nomade_pipeline.collectors.sacct_rows import rows_of
from nomade_pipeline.collectors.sacct_split import split
from nomade_pipeline.ingest import job_frame
from nomade_pipeline.ingest.job_frame import jobs_of_frame
from nomade_pipeline.ingest.job_steps import JobMerger
from nomade_pipeline.ingest.records import data_frame
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

TIMES = [
    "", "Unknown", "None", "0", "4294967294", "1772704800", "2026-03-05T10:00:00", "2026-03-05T11:30:00",
    "2026-03-29T02:30:00", "2026-10-25T02:30:00", "1970-01-01T00:00:00", "1969-01-01T05:00:00", "2026-02-30T00:00:00",
    "2026-03-05 10:00:00", "2026-03-05T10:00:00Z", "2026-03-05T10:00:00+02:00", "0000-05-05T00:00:00", "x",
]  # fmt: skip
SIZES = ["", "0", "1G", "4Gn", "4000Mc", "250.50G", "2147486648Mn", "12?", "9" * 19, "9999999999P", "1.5K", "N/A", "7"]
COUNTS = ["", "0", "1", "4", "1.50K", "0.00K", "x", "9" * 19, "4294967294", "9000000000000000000"]
DURATIONS = ["", "00:00:00", "01:31.654", "1-02:03:04", "2-12", "1-02:30", "100:00:00", "INVALID", "x", "00:00.0005"]
TRES = [
    "", "cpu=4,mem=8G,node=2", "cpu=4,mem=0,node=1", "cpu=2,gres/gpu=2,gres/gpu:a100=2", "gres/gpu:h100=1,energy=5K",
    "nonsense", "mem=12?", "billing=3", "cpu=4,mem=250.50G,energy=0", "gres/gpu=x",
]  # fmt: skip
USAGE = [
    "", "cpu=00:00:01,energy=0,fs/disk=100,mem=2G", "mem=0", "gres/gpumem=3G,gres/gpuutil=150", "mem=?", "energy=1K",
]  # fmt: skip
CODES = ["", "0:0", "1:0", "0:11", "0:125", "139:0", "0:9", "x", "5"]
NAMES = ["", " ", "train", "a|b", "None", "(null)", "ünï\n", "\x1f", "DOM\\ann"]
STATES = [
    "", "COMPLETED", "FAILED", "CANCELLED by 1000", "CANCELLED+", "RUNNING", "PENDING", "FOO", "OUT_OF_MEMORY",
    "TIMEOUT", "RESIZING", "REQUEUED", "CANCELLED by 99999999999999999999999",
]  # fmt: skip
NODES = ["", "n1", "n[1-2]", "None assigned", "(null)"]
LIMITS = ["", "UNLIMITED", "Partition_Limit", "90", "INVALID", "1-00:00:00", "x", "0.5"]
GRES = ["", "gpu:2", "gpu:a100:2(S:0-1),gpu:h100:1", "gpu:no:no:2", "(null)", "shard:3"]
CELLS = {
    "jobid": ["7", "8", "90_7", "90_[1-3%2]", "90_[1,2", "90+1", "90_" + "9" * 19],
    "jobidraw": ["7", "8", "9"],
    "state": STATES,
    **dict.fromkeys(("submit", "start", "end", "eligible"), TIMES),
    **dict.fromkeys(("elapsed", "suspended", "totalcpu", "usercpu", "systemcpu"), DURATIONS),
    **dict.fromkeys(("elapsedraw", "reqcpus", "alloccpus", "ncpus", "allocnodes", "nnodes", "reqnodes"), COUNTS),
    **dict.fromkeys(("ntasks", "restarts", "consumedenergyraw"), COUNTS),
    **dict.fromkeys(("reqmem", "maxrss", "averss", "avediskread", "consumedenergy"), SIZES),
    **dict.fromkeys(("reqtres", "alloctres"), TRES),
    **dict.fromkeys(("tresusageintot", "tresusageouttot"), USAGE),
    **dict.fromkeys(("exitcode", "derivedexitcode"), CODES),
    **dict.fromkeys(("user", "jobname", "partition", "comment", "sluid"), NAMES),
    **dict.fromkeys(("timelimit", "timelimitraw"), LIMITS),
    **dict.fromkeys(("reqgres", "allocgres"), GRES),
    "reason": ["", "None", "Dependency", "DependencyNeverSatisfied"],
    "nodelist": NODES,
}
GOOD = {
    "jobid": "7", "state": "COMPLETED", "submit": "2026-03-05T09:00:00", "start": "2026-03-05T10:00:00",
    "end": "2026-03-05T11:30:00", "elapsedraw": "5400", "alloccpus": "4", "totalcpu": "01:31.654",
}  # fmt: skip


# How often a cell is any of its column's, in which most are strange, and not one of its first usual ones.
STRANGE = 0.02
USUAL = {
    "jobid": ["7", "8", "90_7", "90_[1-3%2]", "90+1"], "state": STATES[1:8], "reqmem": SIZES[:5], "maxrss": SIZES[:3],
    **{name: [*TIMES[5:10], "None"] for name in ("submit", "start", "end", "eligible")},
    **dict.fromkeys(("reqtres", "alloctres"), TRES[:5]),
    **dict.fromkeys(("tresusageintot", "tresusageouttot"), USAGE[:4]),
}  # fmt: skip


def output_of(seed: int, records: int) -> list[dict[str, str]]:
    """Return the records of an output: some columns, most cells usual, numbers that are sometimes told twice."""
    chance = random.Random(seed)
    columns = ["jobid", *(name for name in list(CELLS)[1:] if chance.random() < chance.choice((0.3, 0.9)))]
    chance.shuffle(columns)

    def cell(name: str) -> str:
        usual = USUAL.get(name, CELLS[name][:4])
        return chance.choice(CELLS[name] if chance.random() < STRANGE else usual)

    found = []
    for number in range(records):
        record = {name: cell(name) for name in columns}
        if "jobidraw" in record and chance.random() < 0.9:
            record["jobidraw"] = str(number)
        elif chance.random() < 0.9:
            record["jobid"] = str(number)
        found.append(record)
    return found


def frame_of_records(records: list[dict[str, str]]) -> pl.DataFrame:
    return pl.DataFrame(records, schema=dict.fromkeys(records[0], pl.String))


def told(rejected: Any) -> Counter[tuple[str, str]]:
    return Counter((each.text, each.reason) for each in rejected)


def assert_agree(records: list[dict[str, str]], zone: str = "UTC") -> None:
    at_once = jobs_of_frame(frame_of_records(records), zone)
    one_by_one = rows_of(records, ZoneInfo(zone))
    expected = data_frame(one_by_one.rows, JOB_METRICS)
    order = ["job_id_raw", "submit_time"]
    found, wanted = at_once.rows.sort(order).to_dicts(), expected.sort(order).to_dicts()
    for row, other in zip(found, wanted, strict=True):
        assert row == other
    assert at_once.rows.schema == expected.schema
    assert told(at_once.rejected) == told(one_by_one.rejected)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize("seed", range(20))
def test_at_once_and_one_by_one_agree_on_any_records(seed, zone):
    assert_agree(output_of(seed, records=150), zone)


def test_many_records_of_this_test_take_the_fast_way():
    """A guard: were every record odd, the two ways would agree without proving anything."""
    records = [output_of(seed, records=150) for seed in range(20)]
    ended = sum(len(jobs_of_frame(frame_of_records(each)).rows) for each in records)
    fast = sum(len(job_frame._usual(frame_of_records(each), "UTC", None)[0]) for each in records)
    assert fast > 0.35 * ended
    assert ended > 800


@pytest.mark.parametrize("name", list(CELLS))
def test_at_once_and_one_by_one_agree_on_each_cell_of_each_column(name):
    for cell in CELLS[name]:
        assert_agree([{**GOOD, name: cell}])
    assert_agree([{**GOOD, "jobid": str(at), name: cell} for at, cell in enumerate(CELLS[name], start=1)])


def test_at_once_and_one_by_one_agree_on_the_allocations_of_a_real_output():
    text = (REPOSITORY / "tests/fixtures/slurm-22.05/ended/sacct-all-fields.txt").read_text(errors="backslashreplace")
    records = [each for each in split(text).records if "." not in each["jobid"]]
    assert len(records) > 60
    assert_agree(records)


def test_usual_records_take_the_fast_way():
    records = [{**GOOD, "jobid": str(number), "alloctres": "cpu=4,mem=8G,gres/gpu=1"} for number in range(1, 50)]
    rows, odd = job_frame._usual(frame_of_records(records), "UTC", None)
    assert (rows.height, odd.height) == (49, 0)
    assert rows["cpu_efficiency_ratio"][0] == round(91.654 / (5400 * 4), 4)


def test_times_that_are_times_already_are_taken_as_they_are():
    records = [GOOD, {**GOOD, "jobid": "8", "state": "FOO"}]
    frame = frame_of_records(records).with_columns(pl.col("submit", "start", "end").str.to_datetime(time_unit="us"))
    found = jobs_of_frame(frame, "Europe/Berlin")
    expected = jobs_of_frame(frame_of_records(records), "Europe/Berlin")
    assert found.rows.equals(expected.rows)
    assert told(found.rejected) == told(expected.rejected)


# --- with steps -------------------------------------------------------------------------------------------------

STEP_NAMES = ["batch", "extern", "interactive", "0", "1", "2"]


def output_with_steps(seed: int, jobs: int) -> list[dict[str, str]]:
    """Return the records of an output as sacct writes it: each allocation and then its steps."""
    chance = random.Random(1000 + seed)
    found = []
    for record in output_of(seed, jobs):
        found.append(record)
        step_cells = output_of(chance.randrange(10**6), 4)
        for name, step in zip(chance.sample(STEP_NAMES, chance.randrange(4)), step_cells, strict=False):
            cells = {key: step.get(key) or chance.choice(CELLS[key]) for key in record}
            cells["state"] = chance.choice(["COMPLETED", "FAILED", "OUT_OF_MEMORY", "CANCELLED", ""])
            for key in ("jobid", "jobidraw"):
                if key in record:
                    cells[key] = f"{record[key]}.{name}"
            found.append({key: cells[key] for key in record})
    return found


def merged_in_parts(
    records: list[dict[str, str]], zone: str, seed: int
) -> tuple[pl.DataFrame, list[Rejected], set[str]]:
    """Return what a merger makes of records that come in parts of any size."""
    chance = random.Random(seed)
    merger, at = JobMerger(zone), 0
    found = []
    while at < len(records):
        size = chance.randrange(1, 60)
        found.append(merger.take(frame_of_records(records).slice(at, size)))
        at += size
    found.append(merger.close())
    return pl.concat([each.rows for each in found]), [one for each in found for one in each.rejected], merger.scattered


def assert_agree_with_steps(records: list[dict[str, str]], zone: str, seed: int) -> None:
    rows, rejected, scattered = merged_in_parts(records, zone, seed)
    one_by_one = rows_of(records, ZoneInfo(zone))
    expected = data_frame(one_by_one.rows, JOB_METRICS)
    order = ["job_id_raw", "submit_time", "end_time"]
    for row, other in zip(rows.sort(order).to_dicts(), expected.sort(order).to_dicts(), strict=True):
        assert row == other
    assert told(rejected) == told(one_by_one.rejected)
    assert scattered == set()


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize("seed", range(20))
def test_steps_in_parts_and_all_one_by_one_agree(seed, zone):
    """Without numbers that come again elsewhere in the file, of which a part cannot know."""
    records = [record for record in output_with_steps(seed, jobs=60) if not number_of(record)[0].startswith("90")]
    records = [record for record in records if number_of(record)[0] not in CELLS["jobidraw"]]
    assert_agree_with_steps(records, zone, seed)


def test_a_requeued_number_keeps_its_steps_apart_at_once_too():
    other = {**GOOD, "submit": "2026-03-05T12:00:00", "start": "2026-03-05T12:01:00", "end": "2026-03-05T12:30:00"}
    step = {**GOOD, "jobid": "7.batch"}
    records = [{**GOOD, "state": "NODE_FAIL"}, step, other, {**step, "start": "2026-03-05T12:01:00"}]
    assert_agree_with_steps(records, "UTC", 1)


def test_steps_of_a_real_output_agree():
    text = (REPOSITORY / "tests/fixtures/slurm-22.05/ended/sacct-all-fields.txt").read_text(errors="backslashreplace")
    unsettled = ("8", "25", "39")
    records = [each for each in split(text).records if number_of(each)[0] not in unsettled]
    for seed in range(5):
        assert_agree_with_steps(records, "UTC", seed)


def test_usual_jobs_with_steps_take_the_fast_way(monkeypatch):
    steps = ({**GOOD, "jobid": f"7.{name}", "ntasks": "2", "maxrss": "4K"} for name in ("batch", "0"))
    records = [{**GOOD, "ntasks": "", "maxrss": ""}, *steps, {**GOOD, "jobid": "8", "ntasks": "", "maxrss": ""}]
    monkeypatch.setattr(job_frame, "rows_of", None)
    rows, _, _ = merged_in_parts(records, "UTC", 3)
    assert rows.select("job_id", "steps", "memory_max_rss_tasks_bytes", "cpu_seconds").rows() == [
        ("7", 2, 8192, 183.308),
        ("8", 0, None, 91.654),
    ]


def test_steps_that_stand_apart_from_their_job_are_told_for_a_second_reading():
    merger = JobMerger("UTC")
    merger.take(frame_of_records([{**GOOD, "jobid": "7.batch"}, {**GOOD, "jobid": "9"}, {**GOOD, "jobid": "10"}]))
    merger.take(frame_of_records([GOOD]))
    merger.close()
    assert merger.scattered == {"7"}
