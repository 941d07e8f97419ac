"""`nomade import`: what a person is told, and what a script reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.installation import nomade

from nomade_pipeline.store.home import Store

DUMP = (
    "JobID|JobName|State|Submit|Start|End\n"
    "1|train|COMPLETED|2026-03-05T01:00:00|2026-03-05T02:00:00|2026-03-05T03:00:00\n"
    "2|train|FAILED|2026-03-05T01:00:00|2026-03-05T02:00:00|2026-03-06T03:00:00\n"
    "3|train|RUNNING|2026-03-05T01:00:00|2026-03-05T02:00:00|Unknown\n"
)


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.txt"
    path.write_text(DUMP)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_it_says_how_many_jobs_of_which_days_are_new(dump: Path, root: Path) -> None:
    first = nomade("import", str(dump), "--cluster", "old", root=root)
    assert first.status == 0, first.stderr
    assert first.stdout.startswith("2 jobs of 2026-03-05 to 2026-03-06 in ")
    assert "2 of them new, as cluster old" in first.stdout
    assert "0 of them new" in nomade("import", str(dump), "--cluster", "old", root=root).stdout


def test_the_jobs_can_be_queried_at_once(dump: Path, root: Path) -> None:
    nomade("import", str(dump), "--cluster", "old", root=root)
    shown = nomade("sql", "SELECT job_id, state FROM job_metrics ORDER BY 1", "--format", "csv", root=root)
    assert shown.stdout.split() == ["job_id,state", "1,COMPLETED", "2,FAILED"]


def test_with_roll_up_they_are_in_the_job_table(dump: Path, root: Path) -> None:
    ended = nomade("import", str(dump), "--cluster", "old", "--roll-up", root=root)
    assert ended.status == 0, ended.stderr
    rows = Store.at(root).rollups.rows("SELECT job_id FROM jobs ORDER BY job_id")
    assert [row["job_id"] for row in rows] == ["1", "2"]


def test_json_tells_everything(dump: Path, root: Path) -> None:
    dump.write_text(DUMP + "4|x|FOO|2026-03-05T01:00:00|Unknown|2026-03-05T03:00:00\n5|broken\n")
    ended = nomade("import", str(dump), "--cluster", "old", "--json", root=root)
    assert ended.status == 1
    assert ended.json["jobs"] == ended.json["added"] == 3
    assert (ended.json["first_day"], ended.json["last_day"], ended.json["days"]) == ("2026-03-05", "2026-03-06", 2)
    assert ended.json["identified_by"] == {"submit": 3}
    assert ended.json["refused"] == {
        "a state that is in no list; its job has no class": 1,
        "the output ends within a record": 1,
    }


def test_a_source_without_submissions_is_told(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "jobs.txt"
    path.write_text("JobID|State|Start|End\n1|COMPLETED|2026-03-05T02:00:00|2026-03-05T03:00:00\n")
    ended = nomade("import", str(path), "--cluster", "old", root=root)
    assert "1 jobs have no time of submission" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--cluster", "../x"), "folder"),
        (("--cluster", "old", "--timezone", "Mars/Base"), "no time zone"),
        (("--cluster", "old", "--timezone", "../../etc/passwd"), "no time zone"),
        ((), "--cluster"),
        (("--cluster", "old", "--format", "xls"), "sacct"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_read(
    dump: Path, root: Path, arguments: tuple[str, ...], word: str
) -> None:
    ended = nomade("import", str(dump), *arguments, root=root)
    assert ended.status == 2
    assert word in ended.stderr
    assert not root.exists()


def test_a_file_that_is_no_dump_is_an_error_that_says_what_to_do(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("hello\n")
    ended = nomade("import", str(path), "--cluster", "old", root=root)
    assert ended.status == 1
    assert "--columns" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_file_without_ended_jobs_is_no_data(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("JobID|State|End\n1|RUNNING|Unknown\n")
    ended = nomade("import", str(path), "--cluster", "old", root=root)
    assert ended.status == 3
    assert "no job that has ended" in ended.stderr
