"""How Slurm writes values: each case is one that some monitoring system misread."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomade_pipeline.collectors import slurm_values as values
from nomade_pipeline.collectors.slurm_states import (
    End,
    outcome_class,
    parse_job_state,
    parse_node_state,
    reason_class,
)
from nomade_pipeline.tables import outcomes
from nomade_pipeline.tables.outcomes import REASON_CLASSES


@pytest.mark.parametrize("text", [None, "", "Unknown", "None", "N/A", "(null)", "None assigned", "0"])
def test_a_time_that_is_not_known_is_null_and_never_1970(text):
    assert values.parse_time(text) is None


def test_a_time_is_read_from_seconds_and_from_text_with_its_zone():
    expected = datetime(2020, 11, 16, 11, 59, 11, tzinfo=UTC)
    assert values.parse_time("1605527951") == expected
    assert values.parse_time("2020-11-16T11:59:11") == expected
    assert values.parse_time("2020-11-16T12:59:11+01:00") == expected
    assert values.parse_time("2020-11-16T12:59:11", timezone(timedelta(hours=1))) == expected


@pytest.mark.parametrize("text", ["yesterday", "99999999999999999999", "2020-13-01T00:00:00"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError):
        values.parse_time(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:00:48", 48),
        ("01:31.654", 91.654),
        ("00:02.000", 2),
        ("6-00:00:00", 518400),
        ("1-02:03:04", 93784),
        ("100:00:00", 360000),
        ("2-12", 216000),
        ("1-02:30", 95400),
        ("", None),
        ("INVALID", None),
    ],
)
def test_a_duration_is_read_in_every_form(text, seconds):
    assert values.parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("UNLIMITED", ("unlimited", None)),
        ("Partition_Limit", ("partition", None)),
        ("", ("unknown", None)),
        ("INVALID", ("unknown", None)),
        ("30", ("limited", 1800)),
        ("3-00:00:00", ("limited", 259200)),
    ],
)
def test_no_limit_is_never_a_limit_of_zero(text, found):
    assert values.parse_time_limit(text) == found


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64G", 64 * 2**30),
        ("250.50G", 268972326912),
        ("77460K", 77460 * 1024),
        ("1T", 2**40),
        ("2P", 2 * 2**50),
        ("1.5E", 3 * 2**59),
        ("9787912", 9787912),
        ("0", 0),
        ("", None),
        ("18446744073709551614", None),
    ],
)
def test_sizes_are_powers_of_1024_and_keep_their_decimals(text, size):
    assert values.parse_size(text) == size


def test_a_number_without_suffix_counts_what_its_field_says():
    assert values.parse_size("64000", bare_unit=2**20) == 64000 * 2**20


@pytest.mark.parametrize("text", ["12?", "4Gn", "-3G", "G"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError):
        values.parse_size(text)


@pytest.mark.parametrize(
    ("tres", "gpus"),
    [
        ("cpu=4,gres/gpu=4,gres/gpu:a100=4", (4, ["a100"])),
        ("gres/gpu:a100=2,gres/gpu:h100=1", (3, ["a100", "h100"])),
        ("cpu=4,mem=16G", (0, [])),
        ("gres/gpumem=16G,gres/gpuutil=50", (0, [])),
        ("gres/gpu=2", (2, [])),
    ],
)
def test_gpus_told_twice_are_counted_once(tres, gpus):
    assert values.gpus_of_tres(values.parse_tres(tres)) == gpus


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("gpu:a100:2(S:0-1),gpu:h100:1(IDX:0,3)", (3, ["a100", "h100"])),
        ("gpu:1g.10gb:7", (7, ["1g.10gb"])),
        ("gpu:0", (0, [])),
        ("gpu:4", (4, [])),
        ("gpu", (1, [])),
        ("gres:gpu:2", (2, [])),
        ("gres/gpu:2", (2, [])),
        ("shard:100,mps:200", (0, [])),
        ("(null)", (0, [])),
        ("gpu:tesla:no_consume:2", None),
    ],
)
def test_generic_resources_are_split_outside_of_brackets(gres, gpus):
    if gpus is None:
        with pytest.raises(ValueError):
            values.parse_gres(gres)
    else:
        assert values.parse_gres(gres) == gpus


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n[001-003,7]", ["n001", "n002", "n003", "n7"]),
        ("gpu-[1-2]-ib[0-1]", ["gpu-1-ib0", "gpu-1-ib1", "gpu-2-ib0", "gpu-2-ib1"]),
        ("a,b[1-2],c", ["a", "b1", "b2", "c"]),
        ("None assigned", []),
        ("(null)", []),
        ("", []),
    ],
)
def test_node_lists_are_expanded(text, names):
    assert values.expand_hostlist(text) == names


@pytest.mark.parametrize("text", ["n[1-", "n1]", "n[a-b]", "n[1-3", "n[]"])
def test_a_broken_node_list_is_refused(text):
    with pytest.raises(ValueError):
        values.expand_hostlist(text)


def test_a_node_list_that_would_fill_the_memory_is_refused():
    with pytest.raises(ValueError, match="more than"):
        values.expand_hostlist("n[0-999999999]")


@pytest.mark.parametrize(
    ("text", "code"),
    [("0:0", (0, 0)), ("3:0", (3, 0)), ("0:125", (0, 125)), ("1", (1, None)), ("", (None, None))],
)
def test_an_exit_code_is_status_and_signal(text, code):
    assert values.parse_exit_code(text) == code


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("COMPLETED", ("COMPLETED", None)),
        ("CANCELLED by 1185300516", ("CANCELLED", 1185300516)),
        ("CANCELLED+", ("CANCELLED", None)),
        ("OUT_OF_ME+", ("OUT_OF_MEMORY", None)),
        ("PD", ("PENDING", None)),
        ("FOO", (None, None)),
        ("", (None, None)),
        ("RE+", (None, None)),
    ],
)
def test_a_state_is_read_with_its_appendages_and_an_unknown_one_is_null(text, state):
    assert parse_job_state(text) == state


@pytest.mark.parametrize(
    ("end", "found"),
    [
        (End("RUNNING"), (None, "unknown")),
        (End(None), (None, "unknown")),
        (End("COMPLETED", oom_killed=True), (outcomes.SUCCESS, "state")),
        (End("CANCELLED"), (outcomes.CANCELLED, "state")),
        (End("PREEMPTED"), (outcomes.CANCELLED, "state")),
        (End("CANCELLED", started=False, reason="DependencyNeverSatisfied"), (outcomes.DEPENDENCY, "reason")),
        (End("CANCELLED", started=True, reason="Dependency"), (outcomes.CANCELLED, "state")),
        (End("DEADLINE"), (outcomes.TIMEOUT, "state")),
        (End("OUT_OF_MEMORY", exit_signal=125), (outcomes.OOM, "state")),
        (End("FAILED", oom_killed=True), (outcomes.OOM, "oom_kill")),
        (End("FAILED", exit_signal=11), (outcomes.SEGFAULT, "signal")),
        (End("FAILED", exit_code=139), (outcomes.SEGFAULT, "signal")),
        (End("FAILED", exit_signal=9), (outcomes.FAILED, "state")),
        (End("FAILED", exit_code=137), (outcomes.FAILED, "state")),
        (End("FAILED", exit_code=3), (outcomes.FAILED, "state")),
        (End("BOOT_FAIL"), (outcomes.NODE_FAIL, "state")),
    ],
)
def test_the_first_fitting_rule_gives_the_outcome_class(end, found):
    assert outcome_class(end) == found


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("Resources", "resources"),
        ("Priority", "priority"),
        ("(null)", "none"),
        ("None", "none"),
        ("Dependency", "dependency"),
        ("DependencyNeverSatisfied", "dependency"),
        ("QOSMaxCpuPerUserLimit", "limit"),
        ("AssocGrpGRES", "limit"),
        ("JobHeldUser", "held"),
        ("JobHeldAdmin", "held"),
        ("BeginTime", "begin_time"),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-9]", "node_unavailable"),
        ("ReqNodeNotAvail,_UnavailableNodes:n1", "node_unavailable"),
        ("PartitionTimeLimit", "partition"),
        ("PartitionDown", "partition"),
        ("Licenses", "licence"),
        ("Reservation", "reservation"),
        ("Something new in 27.05", "other"),
    ],
)
def test_a_reason_belongs_to_a_closed_set(reason, kind):
    assert reason_class(reason) == kind


@given(st.text())
def test_whatever_a_reason_is_its_class_is_known(reason):
    assert reason_class(reason) in REASON_CLASSES


@pytest.mark.parametrize(
    ("text", "state", "flags", "usable"),
    [
        ("IDLE", "IDLE", (), True),
        ("idle*", "IDLE", ("NOT_RESPONDING",), False),
        ("MIXED+DRAIN+PLANNED", "MIXED", ("DRAIN", "PLANNED"), False),
        ("mixed-", "MIXED", ("PLANNED",), True),
        ("drained", "IDLE", ("DRAIN",), False),
        ("draining*", "ALLOCATED", ("DRAIN", "NOT_RESPONDING"), False),
        ("idle~", "IDLE", ("POWERED_DOWN",), True),
        ("down*", "DOWN", ("NOT_RESPONDING",), False),
        ("DOWN+NOT_RESPONDING", "DOWN", ("NOT_RESPONDING",), False),
        ("alloc", "ALLOCATED", (), True),
        ("weird", None, ("WEIRD",), False),
    ],
)
def test_base_state_and_flags_of_a_node_are_told_apart(text, state, flags, usable):
    found = parse_node_state(text)
    assert (found.state, found.flags, found.usable) == (state, flags, usable)


@given(st.text(max_size=30))
def test_no_text_breaks_the_parsers_of_states(text):
    parse_job_state(text)
    parse_node_state(text)


@given(st.text(max_size=30))
def test_a_text_is_read_or_refused_but_never_crashes_a_parser(text):
    for parse in (
        values.parse_time,
        values.parse_duration,
        values.parse_time_limit,
        values.parse_size,
        values.parse_tres,
        values.parse_gres,
        values.parse_exit_code,
        values.expand_hostlist,
    ):
        try:
            parse(text)
        except ValueError:
            continue
