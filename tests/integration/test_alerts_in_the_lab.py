"""Alerts on a real Slurm: a node set down, a job stuck, slurmctld stopped; each is told, and ends when it is mended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from support.jobs import jobs_on
from support.lab import running_lab
from support.site import Site

from nomade_pipeline import clock
from nomade_pipeline.alerts.evaluation import evaluate
from nomade_pipeline.alerts.installation import InstallationWatcher
from nomade_pipeline.config.load import load_config
from nomade_pipeline.store.home import Store

pytestmark = pytest.mark.needs("slurm")

RULES = """\
[[rule]]
name = "node-down"
clear_for = "1s"
[[rule]]
name = "scheduler-unreachable"
clear_for = "1s"
[[rule]]
name = "stuck-job"
clear_for = "1s"
"""
# The agent asks every two seconds; a scheduler that does not answer costs its time-out first.
SECONDS = 60.0


class Watch:
    """A lab that is watched by the resident agent and evaluated again and again."""

    def __init__(self, site: Site) -> None:
        self.site, self.watcher = site, InstallationWatcher()
        folder = site.folder
        (folder / "nomade.toml").write_text(f"[general]\ncluster_name = 'lab'\ndata_dir = '{folder}'\n")
        (folder / "alerts.toml").write_text(RULES)
        self.config = load_config(folder / "nomade.toml", {**site.environment, "NOMADE_ALERTS__QUEUE_STUCK_DAYS": "0"})
        self.store = Store.at(folder)

    def open_alerts(self) -> dict[tuple[str, str], str]:
        """Evaluate once; return the summaries of the alerts that fire."""
        installation = self.watcher.current(self.config)
        assert installation.problem is None
        done = evaluate(self.config, self.store, installation, clock.now())
        alerts = done.settled.decision.state.alerts.values()
        return {(alert.rule, alert.subject): alert.summary for alert in alerts if alert.is_open}

    def until(self, rule: str, subject: str, *, fires: bool) -> str:
        """Evaluate until an alert fires, or does not fire any more; return its summary."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            found = self.open_alerts()
            if ((rule, subject) in found) == fires:
                return found.get((rule, subject), "")
            time.sleep(1)
        pytest.fail(f"{rule} of {subject or 'the cluster'}: {found}")


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    # A lab of its own: what is done to it here would disturb what others measure.
    with running_lab() as lab:
        made = Site(lab, tmp_path_factory.mktemp("alerts"))
        argv = made.argv("collect", "-i", "2", "-C", "slurm,node_state")
        agent = subprocess.Popen(argv, env=made.environment, cwd=made.folder, stderr=subprocess.DEVNULL)
        try:
            yield Watch(made)
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait(30)


def test_a_node_that_is_set_down_is_told_with_the_reason_and_ends_when_it_is_back(watch: Watch) -> None:
    nodes = watch.site.slurm("sinfo", "--noheader", "--Node", "--states=idle,mix", "--format=%N").decode().split()
    node = sorted(set(nodes))[-1]
    watch.until("node-down", node, fires=False)
    watch.site.slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=pulled the plug")
    assert "pulled the plug" in watch.until("node-down", node, fires=True)
    watch.site.slurm("scontrol", "update", f"nodename={node}", "state=resume")
    watch.until("node-down", node, fires=False)


def test_a_job_that_waiting_cannot_help_is_told_and_ends_when_it_is_gone(watch: Watch) -> None:
    job = jobs_on(watch.site.lab).submit("true", "--hold")
    assert "JobHeld" in watch.until("stuck-job", f"job {job}", fires=True)
    watch.site.slurm("scancel", job)
    watch.until("stuck-job", f"job {job}", fires=False)


def test_a_scheduler_that_is_dead_is_told_and_ends_when_it_is_up(watch: Watch) -> None:
    watch.until("scheduler-unreachable", "", fires=False)
    pid = watch.site.lab.pids()["slurmctld"]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    watch.until("scheduler-unreachable", "", fires=True)
    watch.site.lab.up()
    watch.until("scheduler-unreachable", "", fires=False)


def test_the_page_of_open_alerts_is_what_the_engine_decided(watch: Watch) -> None:
    found = watch.open_alerts()
    rows = watch.site.json("alerts", "--unresolved")
    assert {(row["rule"], row["subject"]) for row in rows} >= set(found)
