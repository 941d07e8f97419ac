"""Tables of Slurm's commands: what people write into names neither shifts a column nor forges a row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomade_pipeline.collectors.base import CollectorError
from nomade_pipeline.collectors.slurm_parse import kind_of
from nomade_pipeline.collectors.slurm_tables import long_format, marked_table, new_mark, text_tables

MARK = "\x1f00c0ffee"
QUEUE = "JOBID PARTITION NAME USER ST TIME NODES NODELIST(REASON)\n"


def marked(*rows, mark=MARK):
    return "".join("".join(f"{cell}{mark}" for cell in row) + "\n" for row in rows)


def tables(text):
    return text_tables(text, kind_of)


# --- the form that we ask for -----------------------------------------------------------------------------


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_any_name_is_read_as_it_is(names):
    rows = [(str(number), name) for number, name in enumerate(names)]
    table = marked_table(marked(("JOBID", "NAME"), *rows))
    assert table.titles == ("JOBID", "NAME")
    assert [(row["JOBID"], row["NAME"]) for row in table.rows] == rows


def test_a_name_that_imitates_a_row_with_another_mark_stays_a_name():
    forged = "x\x1f00c0ffef\n999\x1f00c0ffefPENDING\x1f00c0ffef\n"
    (row,) = marked_table(marked(("JOBID", "NAME"), ("1", forged))).rows
    assert row == {"JOBID": "1", "NAME": forged}


def test_each_run_has_a_mark_of_its_own():
    assert len({new_mark() for _ in range(50)}) == 50
    assert long_format(("JobID", "Name"), MARK) == f"JobID:{MARK},Name:{MARK}"


@pytest.mark.parametrize("cut", range(1, 13))
def test_a_table_that_is_cut_off_is_refused_wherever_the_cut_is(cut):
    text = marked(("JOBID", "NAME"), ("1", "a"), ("2", "b"))
    with pytest.raises(CollectorError, match="cut off"):
        marked_table(text[:-cut])


def test_a_header_alone_is_an_empty_table_and_no_mark_is_no_table():
    assert marked_table(marked(("JOBID", "NAME"))).rows == []
    assert marked_table(QUEUE) is None
    assert marked_table("") is None


def test_a_title_that_comes_twice_is_numbered():
    (row,) = marked_table(marked(("JOBID", "PARTITION", "PRIORITY", "PARTITION"), ("1", "gpu", "10", "5"))).rows
    assert row == {"JOBID": "1", "PARTITION": "gpu", "PRIORITY": "10", "PARTITION 2": "5"}


# --- recorded forms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", ["|", "\t", "^", ";", ","])
@pytest.mark.parametrize("end", ["", "the delimiter"])
def test_fields_are_split_at_the_delimiter_of_the_header(delimiter, end):
    last = delimiter if end else ""
    text = f"JOBID{delimiter}ST{delimiter}USER{last}\n7{delimiter}R{delimiter}{last}\n"
    ((row,),) = (table.rows for table in tables(text))
    assert row == {"JOBID": "7", "ST": "R", "USER": ""}


def test_a_line_with_more_or_fewer_fields_than_the_header_is_rejected_and_not_shifted():
    (table,) = tables("JOBID|ST|NAME\n7|R|a|b\n8|R\n9|R|fine\n")
    assert [row["JOBID"] for row in table.rows] == ["9"]
    assert [each.text for each in table.rejected] == ["7|R|a|b", "8|R"]
    assert table.rejected[0].reason == "4 fields where the header has 3: JOBID ST NAME"


def test_blanks_within_a_reason_are_read_and_blanks_within_a_name_are_rejected():
    (table,) = tables(f"{QUEUE}1 gpu sleep ann PD 0:00 1 (Nodes are DOWN, DRAINED)\n2 gpu my job ann R 0:10 1 n1\n")
    assert [row["NODELIST(REASON)"] for row in table.rows] == ["(Nodes are DOWN, DRAINED)"]
    assert [each.text.split()[0] for each in table.rejected] == ["2"]


@pytest.mark.parametrize("prompt", ["$ ", "# ", "% ", "[ann@n16 load]$ ", "adev0: ", "bash-3.00$ ", "ann@head:~/x$ "])
def test_what_a_terminal_shows_between_tables_belongs_to_none(prompt):
    text = f"{prompt}squeue\n{QUEUE}1 gpu sleep ann R 0:10 1 n1\n\n{prompt}sbatch x\nSubmitted batch job 2\n"
    (table,) = tables(text)
    assert (len(table.rows), table.rejected) == (1, [])


def test_a_blank_line_does_not_end_a_table():
    (table,) = tables(f"{QUEUE}\n1 gpu sleep ann R 0:10 1 n1\n\n2 gpu sleep ann R 0:10 1 n1\n")
    assert len(table.rows) == 2


def test_a_column_of_a_newer_release_is_no_obstacle():
    (table,) = tables("JOBID PARTITION NOVELTY ST\n1 gpu x R\n")
    assert table.rows == [{"JOBID": "1", "PARTITION": "gpu", "NOVELTY": "x", "ST": "R"}]


def test_queues_of_several_clusters_in_one_text_are_refused():
    """`squeue -M a,b`: the rows do not tell whose they are."""
    one = f"CLUSTER: a\n{QUEUE}1 gpu sleep ann R 0:10 1 n1\n"
    assert len(tables(one)) == 1
    with pytest.raises(CollectorError, match="several clusters in one text, a, b"):
        tables(one + one.replace("CLUSTER: a", "CLUSTER: b"))


def test_the_records_of_sacct_and_sstat_are_no_queue():
    assert kind_of(["JOBID", "STATE", "EXITCODE"]) is None
    assert kind_of(["JOBID", "AVECPU", "STATE"]) is None
    assert tables("JobID STATE\n------- -----\n1 COMPLETED\n")[0].kind == ""
