"""Importing the history of jobs: any dump of sacct, SWF logs, Parquet traces; twice is once."""

from __future__ import annotations

import gzip
import hashlib
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from support.needs import SHARED

from nomade_pipeline import clock
from nomade_pipeline.collectors.sacct_rows import rows_of
from nomade_pipeline.collectors.sacct_split import split
from nomade_pipeline.ingest import import_parquet, import_sacct, import_swf, waiting_rows
from nomade_pipeline.ingest.import_parts import ImportRefusedError
from nomade_pipeline.ingest.importing import ImportReport, format_of, import_file
from nomade_pipeline.ingest.records import data_frame
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables import outcomes
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

FIXTURES = SHARED / "data" / "fixtures" / "sacct"
TRACES = SHARED / "data" / "traces"
COLUMNS = ("JobID", "JobName", "State", "Submit", "Start", "End", "NCPUS", "TotalCPU")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path / "data")


@pytest.fixture
def dump(tmp_path: Path):
    """Write a dump and return its path."""

    def write(*lines: str, name: str = "jobs.txt", header: str = "|".join(COLUMNS), end: str = "\n") -> Path:
        path = tmp_path / name
        path.write_bytes(
            "".join(f"{line}{end}" for line in (header, *lines) if line).encode("utf-8", "surrogateescape")
        )
        return path

    return write


def line(number: object, name: str = "train", *, day: int = 5, state: str = "COMPLETED", cpu: str = "00:01.500") -> str:
    times = (f"2026-03-{day:02}T0{hour}:00:00" for hour in (1, 2, 3))
    return "|".join((str(number), name, state, *times, "4", cpu))


def rows(store: Store, cluster: str = "old") -> pl.DataFrame:
    days = store.lake.days(JOB_METRICS, cluster)
    frames = [store.lake.read_day(JOB_METRICS, cluster, day) for day in days]
    return pl.concat(frames).sort("end_time", "job_id_raw") if frames else pl.DataFrame({"job_id": []})


def names(store: Store) -> dict[str, str]:
    return dict(rows(store).select("job_id", "job_name").iter_rows())


def content(store: Store) -> dict[str, str]:
    files = sorted(path for path in store.paths.root.rglob("*") if path.suffix in (".parquet", ".ndjson"))
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def imported(store: Store, path: Path, **options) -> ImportReport:
    return import_file(store, path, "old", **options)


# --- dumps of sacct ---------------------------------------------------------------------------------------------


def test_jobs_are_stored_as_closed_days_with_their_source(store, dump):
    report = imported(store, dump(line(1), line(2, day=6), line(3, day=6)))
    assert (report.rows, report.added, report.refused) == (3, 3, Counter())
    assert report.days == {date(2026, 3, 5): 1, date(2026, 3, 6): 2}
    assert all(store.lake.is_closed(JOB_METRICS, "old", day) for day in report.days)
    row = rows(store).row(0, named=True)
    assert (row["cluster"], row["host"], row["source"]) == ("old", "import", "import")
    assert row["received_time"] == row["sample_time"] == row["end_time"] == datetime(2026, 3, 5, 3, tzinfo=UTC)
    assert (row["cpu_seconds"], row["wait_seconds"], row["elapsed_seconds"]) == (1.5, 3600, 3600)


def test_a_second_import_changes_no_file(store, dump):
    path = dump(line(1), line(2, day=6, state="FOO"), "broken|line", line(3, day=7))
    first = imported(store, path)
    before = content(store)
    with clock.set_to(clock.now() + timedelta(days=3)):
        again = imported(store, path)
    assert content(store) == before
    assert (again.rows, again.added, again.refused) == (first.rows, 0, first.refused)
    assert len(before) == 4


def test_another_dump_of_the_same_jobs_adds_what_is_new(store, dump):
    imported(store, dump(line(1), line(2)))
    report = imported(store, dump(line(2), line(3), name="later.txt"))
    assert (report.rows, report.added) == (2, 1)
    assert list(names(store)) == ["1", "2", "3"]


def test_the_hours_are_booked_for_the_rollups(store, dump):
    imported(store, dump(line(1)))
    assert store.rollups.booked_hours(JOB_METRICS.name, date(2026, 3, 5)) == {
        "old": {datetime(2026, 3, 5, 3, tzinfo=UTC): 1}
    }


def test_jobs_of_today_stay_in_an_open_day(store, dump):
    with clock.set_to(datetime(2026, 3, 5, 12, tzinfo=UTC)):
        imported(store, dump(line(1), line(2, day=4)))
    assert [store.lake.is_closed(JOB_METRICS, "old", date(2026, 3, day)) for day in (4, 5)] == [True, False]


def test_a_job_that_ends_in_the_future_is_quarantined_with_the_reason(store, dump):
    with clock.set_to(datetime(2026, 3, 5, 12, tzinfo=UTC)):
        report = imported(store, dump(line(1), line(2, day=6)))
    assert report.rows == 1
    assert list(report.refused) == ["sample_time is in the future; is the host's clock right?"]
    assert [refused.reason for _, refused in store.quarantine.entries("job_metrics")] == list(report.refused)


@pytest.mark.parametrize("delimiter", ["|", "^|^", "\x1f", "\t", ";", "|#"])
@pytest.mark.parametrize("trailing", [True, False])
def test_any_delimiter_will_do(store, dump, delimiter, trailing):
    lines = [
        text.replace("|", delimiter) + delimiter * trailing for text in ("|".join(COLUMNS), line(1), line(2, day=6))
    ]
    assert imported(store, dump(*lines[1:], header=lines[0])).refused == Counter()
    assert names(store) == {"1": "train", "2": "train"}


def test_windows_line_ends_are_no_part_of_a_cell(store, dump):
    imported(store, dump(line(1), line(2), end="\r\n"))
    assert set(rows(store)["cpu_seconds"]) == {1.5}


def test_names_that_are_no_utf_8_are_stored_as_the_spool_would(store, dump):
    imported(store, dump(line(1, "caf\udce9"), line(2, "größe")))
    assert names(store) == {"1": "caf\\xe9", "2": "größe"}


STRANGE = ["two\nlines", "a|b", "x\n\ny", "|", "ünï|\ncode", "last"]


@pytest.mark.parametrize("chunk", [64, 257, 10**6])
def test_broken_records_are_put_together_wherever_the_file_is_cut(store, dump, monkeypatch, chunk):
    monkeypatch.setattr(import_sacct, "CHUNK_BYTES", chunk)
    lines = []
    for number in range(1, 60):
        lines.append(line(number, STRANGE[number // 7 % 6] if number % 7 == 0 else f"name {number}"))
    report = imported(store, dump(*lines))
    expected = rows_of(split("\n".join(("|".join(COLUMNS), *lines, ""))).records)
    assert report.refused == Counter(each.reason for each in expected.rejected) == Counter()
    assert names(store) == {row["job_id"]: row["job_name"] for row in expected.rows}
    assert report.rows == 59


@pytest.mark.parametrize("chunk", [100, 10**6])
def test_what_cannot_be_put_together_is_refused_as_one_by_one(store, dump, monkeypatch, chunk):
    monkeypatch.setattr(import_sacct, "CHUNK_BYTES", chunk)
    lines = [line(number) for number in range(1, 40)]
    lines[5] = "6|short"
    lines[20] = "COMPLETED|21|x|y"
    lines[30] = "sacct: error: something"
    found = split("\n".join(("|".join(COLUMNS), *lines, "")))
    report = imported(store, dump(*lines))
    assert report.refused == Counter(each.reason for each in found.rejected)
    assert report.rows == len(found.records)
    kept = {refused.content for _, refused in store.quarantine.entries("job_metrics")}
    assert kept == {each.text for each in found.rejected}


def test_a_file_of_broken_lines_only_is_read_line_by_line(store, dump, monkeypatch):
    monkeypatch.setattr(import_sacct, "CHUNK_BYTES", 200)
    report = imported(store, dump(*(line(number, "two\nlines") for number in range(1, 30))))
    assert (report.rows, report.refused) == (29, Counter())
    assert set(names(store).values()) == {"two\nlines"}


def test_a_file_without_an_end_of_line_is_read_to_its_end(store, dump):
    path = dump(line(1), line(2))
    path.write_bytes(path.read_bytes()[:-1])
    assert imported(store, path).rows == 2


@pytest.mark.parametrize("chunk", [150, 10**6])
def test_steps_are_put_to_their_jobs_wherever_the_file_is_cut(store, dump, monkeypatch, chunk):
    monkeypatch.setattr(import_sacct, "CHUNK_BYTES", chunk)
    lines = []
    for number in range(1, 30):
        lines += [
            line(number, cpu=""),
            line(f"{number}.batch", "batch", cpu="00:10"),
            line(f"{number}.0", "x", cpu="00:05"),
        ]
    report = imported(store, dump(*lines))
    assert (report.rows, report.refused) == (29, Counter())
    assert set(rows(store).select("steps", "cpu_seconds", "job_name").iter_rows()) == {(2, 15.0, "train")}


@pytest.mark.parametrize("chunk", [150, 10**6])
def test_steps_that_stand_apart_from_their_jobs_are_found_by_a_second_reading(store, dump, monkeypatch, chunk):
    monkeypatch.setattr(import_sacct, "CHUNK_BYTES", chunk)
    jobs = [line(number, cpu="", day=5 + number % 3) for number in range(1, 30)]
    steps = [line(f"{number}.batch", "batch", cpu="00:10") for number in range(1, 31)]
    report = imported(store, dump(*jobs, *steps))
    assert (report.rows, report.added) == (29, 29)
    assert set(rows(store)["steps"]) == {1}
    assert report.refused == Counter({"steps whose allocation is not in the output": 1})


def test_a_requeued_job_has_a_row_a_run(store, dump):
    again = line(1, state="COMPLETED").replace("T01", "T04").replace("T02", "T05").replace("T03", "T06")
    imported(store, dump(line(1, state="NODE_FAIL"), line(2), again))
    assert rows(store).select("job_id", "state").rows() == [("1", "NODE_FAIL"), ("2", "COMPLETED"), ("1", "COMPLETED")]


def test_one_cluster_of_several_is_imported_and_the_others_are_counted(store, dump):
    header = "Cluster|" + "|".join(COLUMNS)
    lines = [f"old|{line(1)}", *(f"new|{line(number)}" for number in range(1, 10))]
    report = imported(store, dump(*lines, header=header))
    assert (report.rows, report.other_clusters) == (1, Counter(new=9))
    report = import_file(store, dump(*lines, header=header), "neither")
    assert (report.rows, report.other_clusters) == (9, Counter(old=1))


def test_blocks_of_clusters_are_told_apart(store, dump):
    head = "|".join(COLUMNS)
    path = dump("CLUSTER: old", head, line(1), line(3), "CLUSTER: new", head, line(1), line(2), header="")
    report = imported(store, path)
    assert (report.rows, report.other_clusters) == (2, Counter(new=2))
    assert list(names(store)) == ["1", "3"]


def test_dumps_of_other_columns_one_behind_the_other_are_read(store, dump):
    path = dump(line(1), line(2), "JobID|State|End", "3|FAILED|2026-03-05T04:00:00")
    assert imported(store, path).rows == 3
    assert rows(store)["submit_time_source"].to_list() == ["submit", "submit", "end"]


def test_times_are_in_the_zone_of_the_source(store, dump):
    imported(store, dump(line(1)), zone="America/New_York")
    assert rows(store)["end_time"].to_list() == [datetime(2026, 3, 5, 8, tzinfo=UTC)]


def test_the_columns_of_a_dump_without_header_can_be_given(store, dump):
    path = dump(line(1), line(2), header="")
    with pytest.raises(ImportRefusedError, match="--columns"):
        imported(store, path)
    assert imported(store, path, columns=COLUMNS).rows == 2


def test_a_comma_separated_file_with_and_without_quotes_is_read(store, dump):
    plain = [text.replace("|", ",") for text in ("|".join(COLUMNS), line(1), line(2))]
    assert imported(store, dump(*plain[1:], header=plain[0], name="a.csv")).rows == 2
    quoted = line(3, '"a, b\nc"').replace("|", ",")
    assert imported(store, dump(quoted, header=plain[0], name="b.csv")).rows == 1
    assert names(store)["3"] == "a, b\nc"


def test_jobs_without_submission_are_identified_by_their_start_and_counted(store, dump):
    report = imported(
        store, dump("1|COMPLETED|2026-03-05T02:00:00|2026-03-05T03:00:00", header="JobID|State|Start|End")
    )
    assert report.submit_sources == Counter(start=1)


def test_a_dump_of_nothing_but_its_header_is_nothing(store, dump):
    report = imported(store, dump())
    assert (report.rows, report.days) == (0, {})


def test_an_import_that_fails_leaves_nothing_waiting(store, dump, monkeypatch):
    def fail(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(waiting_rows.WaitingRows, "publish", fail)
    with pytest.raises(KeyboardInterrupt):
        imported(store, dump(line(1)))
    assert list((store.lake.root / ".staging").iterdir()) == []


@pytest.mark.needs("shared")
@pytest.mark.parametrize("path", sorted(FIXTURES.iterdir()) if FIXTURES.is_dir() else [], ids=lambda path: path.name)
def test_every_recording_is_imported_as_it_is_parsed(store, path):
    found = split(path.read_bytes().decode("utf-8", "backslashreplace"))
    if found.layout is None:
        with pytest.raises(ImportRefusedError):
            imported(store, path, kind="sacct")
        return
    jobs = rows_of(found.records)
    report = imported(store, path, kind="sacct")
    told = Counter(each.reason for each in (*found.rejected, *jobs.rejected))
    if not report.other_clusters:
        assert report.refused == told
        expected = data_frame(jobs.rows, JOB_METRICS).sort("end_time", "job_id_raw")
        stored = rows(store)
        assert stored.height == len(jobs.rows) == report.rows
        if stored.height:
            assert stored.select(expected.columns).equals(expected)


# --- logs in the Standard Workload Format ------------------------------------------------------------------------

SWF = """; Version: 2.2
; MaxProcs: 128
;   UnixStartTime: 1083658443
; Note: the times below count from there
  1    0   10   100   8   50.5  2048   8   3600  4096  1  3  2  7  1  4 -1 -1
  2   20  5    -1   -1    -1    -1   4    600    -1  5  3  2 -1  1 -1 -1 -1
  3   40    1    60    2    -1    -1  -1     -1    -1  0 -1 -1 -1 -1 -1 -1 -1
  4   50   -1   -1   -1    -1    -1   4    600    -1  5  3  2 -1  1 -1 -1 -1
  5   60    1    60    2    -1    -1  -1     -1    -1 -1  3  2 -1  1 -1 -1 -1
  5   60    1    30    2    -1    -1  -1     -1    -1  2  3  2 -1  1 -1 -1 -1

 6 7 8
"""
BEGIN = datetime.fromtimestamp(1083658443, UTC)


@pytest.mark.parametrize("name", ["log.swf", "log.swf.gz"])
def test_a_log_in_swf_is_read_with_its_units_and_gaps(store, tmp_path, name):
    data = SWF.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    report = imported(store, tmp_path / name, zone="America/New_York")
    assert report.rows == 4
    assert report.refused == Counter(
        {"its End is not told": 1, "a piece of a job that is told as a whole": 1, "no line of 18 numbers": 1}
    )
    whole, cancelled, failed, unknown = rows(store).sort("job_id").to_dicts()
    assert (whole["submit_time"], whole["start_time"]) == (BEGIN, BEGIN + timedelta(seconds=10))
    assert (whole["end_time"], whole["elapsed_seconds"]) == (BEGIN + timedelta(seconds=110), 100)
    assert (whole["alloc_cpus"], whole["req_cpus"], whole["time_limit_seconds"]) == (8, 8, 3600)
    assert (whole["cpu_seconds"], whole["cpu_efficiency_ratio"]) == (404, 404 / 800)
    assert (whole["memory_seff_bytes"], whole["req_memory_bytes"]) == (8 * 2048 * 1024, 8 * 4096 * 1024)
    assert (whole["user"], whole["account"], whole["qos"], whole["partition"]) == ("u3", "g2", "1", "4")
    assert (cancelled["start_time"], cancelled["wait_seconds"], cancelled["alloc_cpus"]) == (None, None, None)
    assert (cancelled["end_time"], cancelled["failure_class"]) == (BEGIN + timedelta(seconds=25), outcomes.CANCELLED)
    assert (failed["failure_class"], failed["user"], failed["req_cpus"]) == (outcomes.FAILED, None, None)
    assert (unknown["state"], unknown["failure_class"], unknown["class_source"]) == (None, None, "unknown")


def test_a_log_in_swf_twice_is_once(store, tmp_path):
    (tmp_path / "log.swf").write_text(SWF)
    imported(store, tmp_path / "log.swf")
    before = content(store)
    assert imported(store, tmp_path / "log.swf").added == 0
    assert content(store) == before


def test_a_log_in_swf_is_read_in_parts(store, tmp_path, monkeypatch):
    monkeypatch.setattr(import_swf, "LINES", 2)
    (tmp_path / "log.swf").write_text(SWF)
    assert imported(store, tmp_path / "log.swf").rows == 4


def test_a_log_that_does_not_say_when_it_begins_is_refused(store, tmp_path):
    (tmp_path / "log.swf").write_text("; MaxProcs: 8\n" + SWF.splitlines()[4] + "\n")
    with pytest.raises(ImportRefusedError, match="UnixStartTime"):
        imported(store, tmp_path / "log.swf")


def test_a_damaged_gzip_file_is_refused(store, tmp_path):
    (tmp_path / "log.swf.gz").write_bytes(gzip.compress(SWF.encode() * 200)[:300])
    with pytest.raises(ImportRefusedError, match="damaged"):
        imported(store, tmp_path / "log.swf.gz")


# --- Parquet ------------------------------------------------------------------------------------------------------


def test_a_trace_in_parquet_is_read_by_its_column_names(store, tmp_path, monkeypatch):
    monkeypatch.setattr(import_parquet, "ROWS", 2)
    at = datetime(2020, 1, 1, 10, tzinfo=UTC).replace(tzinfo=None)
    pl.DataFrame(
        {
            "Cluster": ["old"] * 3,
            "JobID": ["9.server", "10.server", "11.server"],
            "User": ["ann", "bob", None],
            "Submit": [at, at, None],
            "Start": [at + timedelta(hours=1)] * 3,
            "End": [at + timedelta(hours=2)] * 3,
            "ElapsedRaw": [3600, 3600, 3600],
            "NCPUS": [4, 4, 4],
            "ReqCPUS": [4, 4, 4],
            "ReqMemPerCPU_MB": [1171.875, None, None],
            "AveRSSPerCPU_MB": [10.5, None, None],
            "AveCPU_s": [900, None, None],
            "MaxRSS_KB": [2048, 0, None],
            "Timelimit_s": [7200, None, None],
            "Exit_status": [0, 271, -11],
            "ReqNodes": ["1:ppn=4"] * 3,
            "State": ["COMPLETED", "CANCELLED", None],
        }
    ).write_parquet(tmp_path / "trace.parquet")
    report = imported(store, tmp_path / "trace.parquet", zone="Europe/Berlin")
    assert (report.rows, report.refused, report.submit_sources) == (3, Counter(), Counter(submit=2, start=1))
    stateless, cancelled, whole = sorted(rows(store).to_dicts(), key=lambda row: -int(row["job_id"]))
    assert whole["end_time"] == datetime(2020, 1, 1, 11, tzinfo=UTC)
    assert (whole["req_memory_bytes"], whole["memory_seff_bytes"]) == (round(1171.875 * 2**20) * 4, 42 * 2**20)
    assert (whole["cpu_seconds"], whole["cpu_efficiency_ratio"], whole["time_limit_seconds"]) == (3600, 0.25, 7200)
    assert (whole["memory_max_rss_bytes"], cancelled["memory_max_rss_bytes"]) == (2 * 2**20, None)
    assert (cancelled["exit_code"], cancelled["exit_signal"]) == (0, 15)
    assert (stateless["user"], stateless["failure_class"], stateless["class_source"]) == (None, None, "unknown")
    assert (stateless["submit_time_source"], stateless["exit_code"]) == ("start", None)


@pytest.mark.needs("shared")
@pytest.mark.parametrize(
    ("name", "count", "source"),
    [
        ("cea_curie_2012-03_10k", 10_000, "submit"),
        ("iu_mason_oct_nov_usage", 12_010, "submit"),
        ("xdmod_phillips_sacct", 4_285, "submit"),
    ],
)
def test_the_published_traces_are_imported_whole(store, name, count, source):
    path = TRACES / f"{name}.parquet"
    report = import_file(store, path, "trace")
    assert (report.rows, report.added, report.refused) == (count, count, Counter())
    assert report.submit_sources == Counter({source: count})
    trace, stored = pl.read_parquet(path), rows(store, "trace")
    assert stored.height == count
    assert stored["elapsed_seconds"].sum() == trace["ElapsedRaw"].sum()
    assert stored["alloc_cpus"].drop_nulls().sum() <= trace["NCPUS"].sum()
    states = trace["State"].value_counts(sort=True).rows()
    assert stored["state"].value_counts(sort=True).rows() == states


def test_what_is_no_parquet_file_or_no_list_of_jobs_is_refused(store, tmp_path):
    (tmp_path / "a.parquet").write_text("hello")
    with pytest.raises(ImportRefusedError, match="no Parquet file"):
        imported(store, tmp_path / "a.parquet")
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(ImportRefusedError, match="JobIDRaw or JobID, and End"):
        imported(store, tmp_path / "b.parquet")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.SWF", "swf"), ("a.swf.gz", "swf"), ("a.parquet", "parquet"), ("a.csv", "sacct"), ("dump", "sacct")],
)
def test_the_format_is_guessed_from_the_name(name, kind):
    assert format_of(Path(name)) == kind
