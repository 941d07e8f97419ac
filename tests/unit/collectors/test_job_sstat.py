"""sstat: sums over the steps of jobs that run on this node alone."""

from __future__ import annotations

import pytest

from nomade_pipeline.collectors.job_sstat import ask, parse
from nomade_pipeline.replay import Recorded, ReplayProbe

# As sstat of Slurm 22.05.8 printed it.
REAL = (
    "4.extern|lab147n002|cpu=00:00:00,energy=0,fs/disk=3980,mem=0,pages=0,vmem=0|energy=0,fs/disk=1\n"
    "4.batch|lab147n002|cpu=00:01:05,energy=0,fs/disk=4111,mem=216K,pages=0,vmem=216K|energy=0,fs/disk=20\n"
)


def test_the_steps_of_a_job_are_added_up_and_memory_is_their_largest():
    sums = parse(REAL, {"4": "lab147n002"})["4"]
    assert (sums.cpu_seconds, sums.memory_bytes) == (65.0, 216 * 1024)
    assert (sums.read_bytes, sums.write_bytes) == (8091, 21)


@pytest.mark.parametrize("nodes", ["n[1-2]", "n2", ""])
def test_a_job_that_is_on_other_nodes_too_cannot_be_told(nodes):
    text = f"4.batch|n1|cpu=00:00:01|fs/disk=1\n4.0|{nodes}|cpu=00:00:01|fs/disk=1\n"
    assert parse(text, {"4": "n1"}) == {}


@pytest.mark.parametrize("value", ["", "mem=18446744073709551614", "mem=?", "nonsense"])
def test_what_is_not_told_is_null(value):
    """Trap 26: INFINITE64 is no number."""
    sums = parse(f"4.batch|n1|{value}|\n", {"4": "n1"}).get("4")
    assert sums is None or (sums.memory_bytes, sums.read_bytes, sums.cpu_seconds) == (None, None, None)


def test_one_command_asks_about_all_jobs():
    probe = ReplayProbe([Recorded(("sstat",), REAL)])
    assert set(ask(probe, {"4": "lab147n002", "5": "n9"}).jobs) == {"4"}
    (argv,) = probe.asked
    assert argv[argv.index("-j") + 1] == "4,5"


def test_a_refusal_is_told():
    said = "sstat: error: problem getting step_layout for StepId=4.batch: Invalid user id\n"
    answer = ask(ReplayProbe([Recorded(("sstat",), "", said)]), {"4": "n1"})
    assert "Invalid user id" in answer.problem
    assert "not installed" in ask(ReplayProbe(), {"4": "n1"}).problem
