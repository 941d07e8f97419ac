"""From a real spool to alerts: identity, age of samples, series over ticks, silence."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.installation import ingest
from support.rows import T0, at, data_of, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.alerts.evaluation import evaluate
from nomade_pipeline.alerts.installation import Installation
from nomade_pipeline.alerts.machine import Alert
from nomade_pipeline.alerts.route_file import load_outlets
from nomade_pipeline.alerts.rule_file import rules_of
from nomade_pipeline.config.entries import read_entries
from nomade_pipeline.config.load import load_config
from nomade_pipeline.config.settings import Config
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.nodes import NODE_STATE
from nomade_pipeline.tables.operations import COLLECTION_LOG
from nomade_pipeline.tables.slurm_queue import SLURM_JOB, SLURM_QUEUE, SLURM_SCHEDULER
from nomade_pipeline.tables.system import DISK

GB = 10**9


def disk(path: str, used: float = 91.0, source: str = "", **values: Any) -> dict[str, Any]:
    plain = {"path": path, "mount": path, "filesystem_id": source or f"node1:{path}", "status": "ok",
             "used_percent": used, "inodes_used_percent": 1.0, "used_bytes": 500 * GB, "available_bytes": 500 * GB,
             "inodes_used": 10, "inodes_total": 1000}  # fmt: skip
    return data_of(DISK, **{**plain, **values})


QUEUE_RULE = """
[[rule]]
name = "held-by-admin"
summary = "A job is held."
kind = "state"
table = "slurm_job"
column = "reason"
bad = { JobHeldAdmin = "info" }
"""
ABSENCE_RULE = "".join(
    f'[[rule]]\nname = "no-{name}-data"\nsummary = "x"\nkind = "absence"\ntable = "{name}"\nwarning = 1\n'
    for name in ("gpu", "disk")
)


def job_row(number: str, kind: str, reason: str = "JobHeldAdmin") -> dict[str, Any]:
    return data_of(SLURM_JOB, job_id_raw=number, job_id=number, kind=kind, state="PENDING", reason=reason)


class Site:
    """A data folder whose alerts are evaluated."""

    def __init__(self, root: Path, rules: str = "") -> None:
        self.store, self.file = Store.at(root), root / "alerts.toml"
        self.file.write_text(rules)
        self.config: Config = load_config(None, {"NOMADE_GENERAL__DATA_DIR": str(root), "HOME": str(root)})

    def tick(self, moment: datetime) -> dict[tuple[str, str], Alert]:
        """Evaluate; return the alerts that fire by rule and subject."""
        rules = rules_of(self.config, read_entries(self.file), self.file)
        with clock.set_to(moment):
            done = evaluate(self.config, self.store, Installation(rules, load_outlets(self.config)), clock.now())
        assert done.problems == ()
        alerts = done.settled.decision.state.alerts
        return {(alert.rule, alert.subject): alert for alert in alerts.values() if alert.is_open}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_two_disks_of_one_host_are_two_alerts_and_one_network_file_system_of_two_hosts_is_one(site: Site) -> None:
    net = disk("/home", source="server:/export/home")
    spool(site.store.spool, reading_of(DISK, T0, disk("/a"), disk("/b"), net), host="node1")
    spool(site.store.spool, reading_of(DISK, T0, net), host="node2")
    fired = site.tick(at(0.2))
    assert {subject for rule, subject in fired if rule == "disk-full"} == {
        "node1:/a",
        "node1:/b",
        "server:/export/home",
    }
    assert fired["disk-full", "server:/export/home"].host == ""
    assert fired["disk-full", "node1:/a"].host == "node1"


def test_an_old_sample_is_no_evidence_and_ends_nothing(site: Site) -> None:
    spool(site.store.spool, reading_of(DISK, T0, disk("/a")))
    assert ("disk-full", "node1:/a") in site.tick(at(0.2))
    spool(site.store.spool, reading_of(DISK, at(1), disk("/a", used=10.0)))
    # Nobody looked while that was new; an hour later it says nothing of the present.
    assert ("disk-full", "node1:/a") in site.tick(at(60))


def test_a_file_system_whose_identity_is_not_known_is_told_by_its_path_on_its_host(site: Site) -> None:
    for host in ("node1", "node2"):
        spool(site.store.spool, reading_of(DISK, T0, disk("/a", filesystem_id=None)), host=host)
    assert {("disk-full", "node1:/a"), ("disk-full", "node2:/a")} <= set(site.tick(at(0.2)))


def test_what_a_silent_host_told_last_is_not_over_because_another_host_still_speaks(site: Site) -> None:
    spool(site.store.spool, reading_of(DISK, T0, disk("/net", used=10.0, status="hung")), host="node1")
    for minute in range(8):
        spool(site.store.spool, reading_of(DISK, at(minute), disk("/a", used=10.0)), host="node2")
        if minute < 3:
            spool(site.store.spool, reading_of(DISK, at(minute), disk("/net", used=10.0, status="hung")), host="node1")
        fired = site.tick(at(minute + 0.2))
    assert ("disk-not-answering", "node1:/net") in fired


def test_a_rule_on_the_queue_sees_the_jobs_that_are_in_it_and_ends_when_they_leave(tmp_path: Path) -> None:
    site = Site(tmp_path, QUEUE_RULE)

    def queue(minute: float, *jobs: dict[str, Any]) -> None:
        size = data_of(SLURM_QUEUE, partition="(cluster)", pending_jobs=1)
        readings = [reading_of(SLURM_JOB, at(minute), *jobs)] if jobs else []
        spool(site.store.spool, *readings, reading_of(SLURM_QUEUE, at(minute), size), host="head")

    queue(0, job_row("7", "full"), job_row("8", "full", reason="Priority"))
    assert ("held-by-admin", "7") in site.tick(at(0.2))
    queue(1)
    assert {key for key in site.tick(at(1.2)) if key[0] == "held-by-admin"} == {("held-by-admin", "7")}
    queue(2, job_row("7", "gone"))
    assert ("held-by-admin", "7") not in site.tick(at(2.2))


def test_an_absence_can_be_that_of_one_collector(tmp_path: Path) -> None:
    site = Site(tmp_path, ABSENCE_RULE)
    for name in ("disk", "gpu"):
        row = data_of(COLLECTION_LOG, collector=name, writer="agent", outcome="success", category=None, message=None)
        moments = (0, 1, 2, 3, 4, 5) if name == "disk" else (0,)
        for minute in moments:
            spool(site.store.spool, reading_of(COLLECTION_LOG, at(minute), row), host="node1")
    assert site.tick(at(5.2))["no-gpu-data", "node1"].summary == "node1: nothing comes from gpu"
    assert ("no-disk-data", "node1") not in site.tick(at(5.4))


def test_an_alert_ends_when_the_value_has_been_low_for_long_enough(site: Site) -> None:
    spool(site.store.spool, reading_of(DISK, T0, disk("/a")))
    site.tick(at(0.2))
    for minute in range(1, 8):
        spool(site.store.spool, reading_of(DISK, at(minute), disk("/a", used=50.0)))
        fired = site.tick(at(minute + 0.2))
    assert ("disk-full", "node1:/a") not in fired


def test_a_filling_disk_is_seen_over_ticks_before_it_is_full(tmp_path: Path) -> None:
    site = Site(tmp_path, '[[rule]]\nname = "disk-forecast"\nwindow = "1h"\nwarning = 0.1\ncritical = 0.01\n')
    fired: dict[tuple[str, str], Alert] = {}
    for minute in range(34):
        used = (500 + 8 * minute) * GB
        row = disk("/a", used=used / 10 / GB, used_bytes=used, available_bytes=1000 * GB - used)
        spool(site.store.spool, reading_of(DISK, at(minute), row))
        fired = site.tick(at(minute + 0.2))
    alert = fired["disk-forecast", "node1:/a"]
    assert alert.value == pytest.approx((1000 - 764) / 8 / 1440, rel=0.02)
    assert ("disk-full", "node1:/a") not in fired
    assert len(alert.details["series"]["times"]) > 20


def test_the_first_look_takes_the_past_from_the_lake(tmp_path: Path) -> None:
    site = Site(tmp_path, '[[rule]]\nname = "disk-forecast"\nwindow = "1h"\nwarning = 0.1\ncritical = 0.01\n')
    for minute in range(30):
        used = (500 + 9 * minute) * GB
        row = disk("/a", used=used / 10 / GB, used_bytes=used, available_bytes=1000 * GB - used)
        spool(site.store.spool, reading_of(DISK, at(minute), row))
    ingest(tmp_path, end=at(30))
    assert ("disk-forecast", "node1:/a") in site.tick(at(29.2))


def test_the_first_look_over_a_week_takes_the_past_from_the_rollups(site: Site) -> None:
    hours = 60
    for hour in range(hours):
        used = (500 + 5 * hour) * GB
        row = disk("/a", used=used / 10 / GB, used_bytes=used, available_bytes=1000 * GB - used)
        spool(site.store.spool, reading_of(DISK, at(60 * hour), row))
    for end in (1440, 60 * hours):
        ingest(site.store.spool.parent, end=at(end), minutes=1440)
    alert = site.tick(at(60 * (hours - 1) + 0.2))["disk-forecast", "node1:/a"]
    assert alert.value == pytest.approx((500 - 5 * 59) / 5 / 24, rel=0.05)


def test_a_flat_disk_never_alarms(site: Site) -> None:
    for minute in range(0, 40, 2):
        spool(site.store.spool, reading_of(DISK, at(minute), disk("/a", used=50.0 + 0.01 * (minute % 4))))
        assert not {rule for rule, _ in site.tick(at(minute + 0.2))} & {"disk-full", "disk-acceleration", "disk-jump"}


def test_a_node_that_is_down_and_one_that_is_drained_are_told_and_end_when_mended(site: Site) -> None:
    def nodes(minute: float, first: str, second: int) -> None:
        rows = [
            data_of(NODE_STATE, node="n1", node_host="n1", state=first, drained=0, reason="power", reason_user="root"),
            data_of(
                NODE_STATE, node="n2", node_host="n2", state="IDLE", drained=second, reason="disk", reason_user="x"
            ),
        ]
        spool(site.store.spool, reading_of(NODE_STATE, at(minute), *rows), host="head")

    nodes(0, "DOWN", 1)
    assert {("node-down", "n1"), ("node-drained", "n2")} <= set(site.tick(at(0.2)))
    for minute in (1, 2, 3):
        nodes(minute, "IDLE", 0)
        fired = site.tick(at(minute + 0.2))
    assert not {rule for rule, _ in fired} & {"node-down", "node-drained"}


def test_a_host_from_which_nothing_comes_is_told_once_and_by_name(site: Site) -> None:
    row = data_of(COLLECTION_LOG, collector="disk", writer="agent", outcome="success", category=None, message=None)
    spool(site.store.spool, reading_of(COLLECTION_LOG, T0, row), host="node1")
    for minute in range(14):
        fired = site.tick(at(minute))
    alert = fired["collector-silent", "node1"]
    assert alert.summary.startswith("node1 has sent nothing for")
    assert alert.fired_time is not None
    assert alert.fired_time - T0 >= timedelta(minutes=8)
    assert [key for key in fired if key[0] == "collector-silent"] == [("collector-silent", "node1")]


def test_a_collector_that_rests_to_spare_the_scheduler_is_not_silent(site: Site) -> None:
    row = data_of(COLLECTION_LOG, collector="slurm", writer="agent", outcome="success", category=None, message=None)
    for minute in (0, 10):
        spool(site.store.spool, reading_of(COLLECTION_LOG, at(minute), row, interval=600.0), host="head")
    ingest(site.store.spool.parent, end=at(10))
    for minute in (20, 30):
        assert ("collector-silent", "head") not in site.tick(at(minute))
    site.tick(at(41))
    assert ("collector-silent", "head") in site.tick(at(47))


def test_that_slurm_does_not_answer_is_told_by_the_rules_on_its_daemons_only(site: Site) -> None:
    down = {"outcome": "failed", "category": "service_down", "message": "no slurmctld answers"}
    for minute in range(12):
        rows = [data_of(COLLECTION_LOG, collector=name, writer="agent", **down) for name in ("slurm", "node_state")]
        scheduler = data_of(SLURM_SCHEDULER, controller_up=False, dbd_up=True)
        told = (reading_of(COLLECTION_LOG, at(minute), *rows), reading_of(SLURM_SCHEDULER, at(minute), scheduler))
        spool(site.store.spool, *told, host="head")
        fired = site.tick(at(minute + 0.2))
    assert [rule for rule, _ in fired] == ["scheduler-unreachable"]


def test_remembered_samples_do_not_grow_without_end(tmp_path: Path) -> None:
    site = Site(tmp_path, '[[rule]]\nname = "disk-forecast"\nwindow = "10m"\n')
    for minute in range(60):
        spool(site.store.spool, reading_of(DISK, at(minute), disk("/a")))
        site.tick(at(minute + 0.2))
    count = "SELECT count(*) AS n FROM alert_window WHERE column_name = 'inodes_used'"
    assert site.store.rollups.rows(count)[0]["n"] <= 6
