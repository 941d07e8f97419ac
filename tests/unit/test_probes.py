"""The environment of the tools: nothing of the agent's own may change what they print, or hide a part of it."""

from __future__ import annotations

import pytest

from nomade_pipeline.probes import LiveProbe, scrubbed_environment


@pytest.mark.parametrize(
    "name",
    [
        "SACCT_FORMAT",
        "SQUEUE_FORMAT2",
        "SQUEUE_USERS",
        "SQUEUE_STATES",
        "SINFO_PARTITION",
        "SCONTROL_ALL",
        "SPRIO_FORMAT",
        "SLURM_CLUSTERS",
        "SLURM_JSON",
        "S_TIME_FORMAT",
        "S_COLORS",
        "LANG",
    ],
)
def test_variables_that_change_an_output_or_hide_jobs_do_not_reach_the_tools(name):
    assert scrubbed_environment({name: "x", "PATH": "/bin"}) == scrubbed_environment({"PATH": "/bin"})


def test_what_says_where_the_cluster_is_reaches_them_and_forms_are_fixed():
    kept = scrubbed_environment({"SLURM_CONF": "/etc/slurm.conf", "SLURM_TIME_FORMAT": "relative", "TZ": "Asia/Tokyo"})
    assert kept["SLURM_CONF"] == "/etc/slurm.conf"
    fixed = {"LC_ALL": "C", "TZ": "UTC", "SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}
    assert {name: kept[name] for name in fixed} == fixed


def test_a_command_runs_in_that_environment(monkeypatch):
    monkeypatch.setenv("SQUEUE_USERS", "ann")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    printed = LiveProbe().run(("env",), 10.0).stdout.split("\n")
    assert "TZ=UTC" in printed
    assert not [line for line in printed if line.startswith("SQUEUE_")]
