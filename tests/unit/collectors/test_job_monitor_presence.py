"""Whether a host runs jobs of Slurm, as the registry's entry of the job monitor sees it."""

from __future__ import annotations

import pytest
from support.processes import Proc, files_of

from nomade_pipeline.collectors.base import Skipped
from nomade_pipeline.collectors.slurm_collectors import MONITOR
from nomade_pipeline.config.collector_settings import MonitorSettings
from nomade_pipeline.replay import Recorded, ReplayProbe

COMM = {"/proc/10/comm": "slurmd\n"}


def rows_on(probe):
    collected = MONITOR.fresh().collect(probe, MonitorSettings(), 1)
    return [row for reading in collected.readings for row in reading.rows]


def test_a_host_without_slurm_is_skipped():
    with pytest.raises(Skipped, match="no Slurm on this host"):
        rows_on(ReplayProbe(files=files_of(Proc(20).in_job("5"))))
    with pytest.raises(Skipped):
        rows_on(ReplayProbe())


def test_slurms_commands_may_lie_where_the_agents_path_does_not_lead():
    """A unit of systemd has a short PATH, and many sites have Slurm below /opt."""
    files = {**files_of(Proc(10, command="slurmd"), Proc(20).in_job("5")), **COMM}
    assert [row["job_id_raw"] for row in rows_on(ReplayProbe(files=files))] == ["5"]


def test_a_host_with_slurms_commands_alone_runs_no_jobs():
    """A login node: a shell of `salloc` is no process of a job."""
    shell = Proc(20)
    shell.environment = {"SLURM_JOB_ID": "5"}
    with pytest.raises(Skipped, match="no slurmd runs on this host"):
        rows_on(ReplayProbe([Recorded(("scontrol",), "")], files_of(shell)))
