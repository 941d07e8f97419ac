"""Splitting sacct's output: any columns, any delimiter, and names that hold newlines and delimiters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomade_pipeline.collectors.sacct_split import read_header, split

GOOD = "7|train|COMPLETED|2026-03-05T10:00:00"
HEADER = "JobID|JobName|State|End"
SECOND = {"jobid": "7", "jobname": "train", "state": "COMPLETED", "end": "2026-03-05T10:00:00"}


def records(*lines: str, header: str = HEADER, **options: object) -> list[dict[str, str]]:
    found = split("\n".join([header, *lines]) + "\n", **options)
    assert found.rejected == []
    return found.records


def reasons(text: str) -> list[str]:
    return [each.reason for each in split(text).rejected]


@pytest.mark.parametrize(
    ("delimiter", "trailing"), [("|", False), ("|", True), ("^|^", False), ("|#", True), ("\x1f", False), ("\t", False)]
)
def test_any_delimiter_is_found_in_the_header_and_may_also_end_the_record(delimiter, trailing):
    end = delimiter if trailing else ""
    text = "".join(f"{line.replace('|', delimiter)}{end}\n" for line in (HEADER, GOOD))
    found = split(text)
    assert found.records == [SECOND]
    assert found.rejected == []
    assert found.layout is not None
    assert (found.layout.delimiter, found.layout.trailing) == (delimiter, trailing)


def test_columns_are_known_by_name_without_regard_to_case_and_in_any_order():
    assert records("COMPLETED|7", header="STATE|jobid") == [{"state": "COMPLETED", "jobid": "7"}]


def test_a_column_nobody_knows_is_kept_apart():
    assert records("7|x|y|COMPLETED", header="JobID|Brand_New|Newer2|State")[0]["brand_new"] == "x"


def test_lines_before_the_header_are_passed_over():
    text = f"$ sacct -P -o jobid,jobname,state,end\n\n{HEADER}\n{GOOD}\n"
    assert split(text).records == [SECOND]


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_any_cell():
    assert split(f"\ufeff{HEADER}\r\n{GOOD}\r\n").records == [SECOND]


def test_a_header_that_is_repeated_is_no_job_and_another_one_holds_from_there_on():
    assert records(GOOD, HEADER, GOOD) == [SECOND, SECOND]
    found = records(GOOD, "JobID|State", "8|FAILED")
    assert found == [SECOND, {"jobid": "8", "state": "FAILED"}]


def test_blocks_of_several_clusters_keep_their_cluster():
    text = f"CLUSTER: alpha\n{HEADER}\n{GOOD}\nCLUSTER: beta\n{HEADER}\n{GOOD}\n"
    assert [each["cluster"] for each in split(text).records] == ["alpha", "beta"]


def test_blocks_of_several_clusters_are_told_apart_when_records_end_with_the_delimiter():
    block = f"{HEADER}|\n{GOOD}|\n"
    found = split(f"{block}CLUSTER: beta\n{block}")
    assert [each.get("cluster") for each in found.records] == [None, "beta"]
    assert found.rejected == []


@pytest.mark.parametrize(
    "name", ["two\nlines", "three\n\nlines", "\nfirst", "last\n", "a|b", "|", "a||b", "8|x", "a\tb", "'\"\\"]
)
def test_a_name_with_newlines_and_delimiters_is_put_together_again(name):
    """The name is the only cell that may hold anything, so there is one way only."""
    found = split(f"{HEADER}\n{GOOD}\n8|{name}|FAILED|2026-03-05T11:00:00\n{GOOD}\n")
    assert found.rejected == []
    assert [each["jobname"] for each in found.records] == ["train", name, "train"]


def test_a_newline_in_the_last_cell_belongs_to_the_record_before():
    header = "JobID|State|JobName"
    assert records("7|COMPLETED|two", "lines", "8|FAILED|one", header=header) == [
        {"jobid": "7", "state": "COMPLETED", "jobname": "two\nlines"},
        {"jobid": "8", "state": "FAILED", "jobname": "one"},
    ]


def test_a_name_between_two_free_texts_cannot_be_settled_and_is_refused():
    text = "JobID|JobName|Comment|State\n7|a|b|c|COMPLETED\n8|a|b|FAILED\n"
    found = split(text)
    assert [each["jobid"] for each in found.records] == ["8"]
    assert [(each.text, each.reason) for each in found.rejected] == [("7|a|b|c|COMPLETED", "not 4 cells")]


def test_a_record_that_is_too_short_is_refused_and_the_next_one_is_read():
    found = split(f"{HEADER}\n6\n{GOOD}\n")
    assert found.records == [SECOND]
    assert [each.text for each in found.rejected] == ["6"]


def test_a_name_that_holds_a_whole_record_makes_no_job():
    """Either job 8 is called `x⏎9|y`, or its record is broken: nothing proves which, so neither is believed."""
    found = split(f"{HEADER}\n8|x\n9|y|FAILED|2026-03-05T11:00:00\n{GOOD}\n")
    assert found.records == [SECOND]
    assert [each.text for each in found.rejected] == ["8|x\n9|y|FAILED|2026-03-05T11:00:00"]


def test_an_output_that_ends_within_a_record_says_so():
    assert reasons(f"{HEADER}\n{GOOD}\n8|na") == ["the output ends within a record"]
    assert reasons("JobID|State|JobName\n7|COMPLETED|x\n8") == ["the output ends within a record"]


def test_cells_that_do_not_fit_their_columns_are_never_shifted_into_others():
    found = split(f"{HEADER}\nCOMPLETED|7|train|2026-03-05T10:00:00\n{GOOD}\n")
    assert found.records == [SECOND]
    assert [each.reason for each in found.rejected] == ["the cells do not fit their columns"]


@pytest.mark.parametrize(
    "text", ["1|alice|4\n", "JobName|State\nx|COMPLETED\n", "  JobID   State\n  -----  -----\n  7  X\n"]
)
def test_an_output_that_does_not_name_its_columns_is_refused_whole(text):
    found = split(text)
    assert found.records == []
    assert [each.text for each in found.rejected] == [text]
    assert "names the columns" in found.rejected[0].reason


def test_nothing_is_nothing():
    assert split("") == split("\n \n")
    assert split("").rejected == []
    assert records() == []


@pytest.mark.parametrize("delimiter", ["|", "^|^", ","])
def test_the_columns_of_an_output_without_header_can_be_given(delimiter):
    text = GOOD.replace("|", delimiter)
    for end in ("\n", f"{delimiter}\n"):
        assert split(text + end, columns=HEADER.split("|")).records == [SECOND]


def test_columns_that_do_not_fit_an_output_without_header_are_refused():
    assert split(f"{GOOD}\n", columns=("JobID", "State")).records == []


def test_a_comma_separated_file_has_quoted_cells():
    text = 'JobID,JobName,AllocTRES,State\r\n7,"a, ""b""\r\nc","cpu=1,mem=2G",COMPLETED\r\n'
    assert split(text).records == [
        {"jobid": "7", "jobname": 'a, "b"\r\nc', "alloctres": "cpu=1,mem=2G", "state": "COMPLETED"}
    ]
    quoted = '"JobID","State"\n"7","COMPLETED"\n'
    assert split(quoted).records == [{"jobid": "7", "state": "COMPLETED"}]


def test_a_comma_separated_file_that_cannot_be_read_to_its_end_tells_what_is_lost():
    rest = '8,"' + "x" * 200_000 + '",FAILED\n9,y,FAILED\n'
    found = split("JobID,JobName,State\n7,train,COMPLETED\n" + rest)
    assert [each["jobid"] for each in found.records] == ["7"]
    assert [each.text for each in found.rejected] == [rest]


def test_commas_that_nobody_quoted_are_settled_where_one_cell_only_can_hold_them():
    header = "JobID,AllocTRES,State"
    assert records("7,cpu=1,mem=2G,node=1,COMPLETED", header=header)[0]["alloctres"] == "cpu=1,mem=2G,node=1"


def test_a_data_row_is_no_header():
    assert read_header("7|jobid|COMPLETED") is None
    assert read_header("jobid") is None
    assert read_header("JobID|State|") is not None


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\x1f"), max_size=20), min_size=1, max_size=5))
def test_names_without_the_delimiter_come_back_whatever_they_hold(names):
    """The form that our own command asks for: a delimiter that no name holds, which also ends the record."""
    mark = "\x1f!#"
    lines = [["JobID", "JobName", "State"], *([str(at), name, "FAILED"] for at, name in enumerate(names))]
    found = split("".join(mark.join(cells) + mark + "\n" for cells in lines))
    assert [each["jobname"] for each in found.records] == names
    assert found.rejected == []


@given(st.text(alphabet='|\n7aJobIDStateCOMPLETED," ', max_size=80))
def test_no_line_is_lost_in_silence(tail):
    """Every printable character of what follows the header is in a record or in what was refused."""
    found = split(f"JobID|JobName|State\n{tail}")
    kept = "".join(text for each in (*found.records,) for text in each.values())
    told = kept + "".join(each.text for each in found.rejected)
    if found.layout is not None and len(found.layout.columns) == 3 and "jobid" not in tail.lower():
        for letter in "7aJobIDStateCOMPLETED":
            assert told.count(letter) == tail.count(letter)
