"""Each shipped rule on evidence for which it must speak, and on evidence for which it must not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np
import pytest
from support.needs import REPOSITORY
from support.rows import T0, row_of

from nomade_pipeline.alerts.document import PAGE, render_page
from nomade_pipeline.alerts.drift_source import JOB_DRIFT
from nomade_pipeline.alerts.evidence import Evidence, sample_of
from nomade_pipeline.alerts.installation import OWN_POLICIES
from nomade_pipeline.alerts.judge import judge, level_of
from nomade_pipeline.alerts.phrases import TABLES
from nomade_pipeline.alerts.rule import THRESHOLD, Rule
from nomade_pipeline.alerts.shipped import shipped_rules
from nomade_pipeline.alerts.sources import JOB_OUTCOMES
from nomade_pipeline.alerts.verdict import FINE, Verdict
from nomade_pipeline.analysis.series import SeriesBatch
from nomade_pipeline.config.settings import Config

GB = 1e9
RULES = {rule.name: rule for rule in shipped_rules(Config())}
Shape = Callable[[np.ndarray], np.ndarray]


def flat(level: float, noise: float = 0.0) -> Shape:
    """A level with noise; the argument is hours before now, ascending to 0."""
    return lambda hours: level + noise * np.random.default_rng(1).standard_normal(len(hours))


def rising(level: float, a_hour: float) -> Shape:
    return lambda hours: level + a_hour * hours


def bending(level: float, half_of_a: float) -> Shape:
    """Begins flat at the beginning of the window and accelerates."""
    return lambda hours: level + half_of_a * (hours - hours[0]) ** 2


def noisy(shape: Shape, noise: float) -> Shape:
    return lambda hours: shape(hours) + flat(0.0, noise)(hours)


def stepping(before: float, after: float) -> Shape:
    """A step in the last quarter of the window."""
    return lambda hours: np.where(hours < hours[0] / 4, before, after) + flat(0.0, 0.01)(hours)


@dataclass(frozen=True)
class Case:
    """Evidence on one subject: its newest row, and its series where the rule looks back."""

    row: dict[str, Any]
    shape: Shape | None = None

    def evidence(self, rule: Rule) -> Evidence:
        hours = np.linspace(-1.25 * rule.window_seconds / 3600, 0.0, 121)
        newest = {} if self.shape is None else {rule.column: float(self.shape(hours)[-1])}
        if rule.table == JOB_OUTCOMES.name:
            row: dict[str, Any] = {"cluster": "alpha", "partition": "gpu", "jobs": 40, **self.row, **newest}
        elif rule.table == JOB_DRIFT.name:
            row = {"cluster": "alpha", **self.row}
        elif rule.table:
            row = row_of(TABLES[rule.table], **{**self.row, **newest})
        else:
            row = {"cluster": "alpha", "host": "n1", **self.row}
        table = TABLES.get(rule.table, JOB_OUTCOMES)
        sample = sample_of(table, row, rule.subject or (() if rule.table else ("host",)), T0)
        if self.shape is None:
            return Evidence((sample,))
        return Evidence((sample,), series=SeriesBatch.of([(T0.timestamp() + 3600 * hours, self.shape(hours))]))


DISK = {"host": "n1", "filesystem_id": "n1:/scratch", "path": "/scratch", "mount": "/scratch",
        "used_bytes": int(500 * GB), "available_bytes": int(500 * GB)}  # fmt: skip
INODES = {**DISK, "inodes_used": 500_000, "inodes_total": 1_000_000}
NODE = {"node": "n1", "node_host": "n1", "state": "IDLE", "drained": 0, "reason": "disk", "reason_user": "root"}
NFS = {"host": "n1", "mount": "/home"}
GPU = {"host": "n1", "gpu_uuid": "G"}
JOB = {"job_id_raw": "7", "node": "n1", "memory_limit_bytes": int(8 * GB)}
WHOLE = {"partition": "(cluster)"}
SILENT = {
    "without_data": 1,
    "collectors": "disk",
    "reason": "timeout: statfs",
    "silent_seconds": 0.0,
    "all_silent": False,
}
SHARE = {"account": "a", "user": "", "partition": "", "usage_per_share_ratio": 3.0, "share_ratio": 0.2}
ARRAY = {"array_job_id": "9", "job_name": "x", "user": "u", "failed_ratio": 0.5, "ended": 10, "spread_ratio": None}

# For each rule: evidence for which it speaks, and evidence for which it is silent.
CASES: dict[str, tuple[Case, Case | None]] = {
    "disk-full": (Case({**DISK, "used_percent": 91.0}), Case({**DISK, "used_percent": 40.0})),
    "inodes-full": (Case({**DISK, "inodes_used_percent": 99.0}), Case({**DISK, "inodes_used_percent": 10.0})),
    "disk-forecast": (Case(DISK, rising(900 * GB, 4 * GB)), Case(DISK, flat(500 * GB, 0.1 * GB))),
    "disk-filling": (Case(DISK, rising(80.0, 7.0)), Case(DISK, rising(80.0, 1.0))),
    "inodes-forecast": (Case(INODES, rising(9e5, 4e3)), Case(INODES, flat(5e5, 100))),
    "disk-acceleration": (Case(DISK, bending(300 * GB, 0.01 * GB)), Case(DISK, rising(600 * GB, 1 * GB))),
    "disk-jump": (Case(DISK, stepping(30.0, 60.0)), Case(DISK, rising(30.0, 2.0))),
    "disk-not-answering": (Case({**DISK, "status": "hung"}), Case({**DISK, "status": "ok"})),
    "nfs-latency": (Case({**NFS, "read_rtt_seconds": 0.4}), Case({**NFS, "read_rtt_seconds": 0.01})),
    "nfs-write-latency": (Case({**NFS, "write_rtt_seconds": 2.0}), Case({**NFS, "write_rtt_seconds": 0.01})),
    "nfs-latency-acceleration": (Case(NFS, bending(0.01, 0.05)), Case(NFS, flat(0.01, 1e-4))),
    "job-memory-forecast": (Case(JOB, rising(6 * GB, 4 * GB)), Case(JOB, flat(6 * GB, 0.01 * GB))),
    "job-memory-leak": (Case(JOB, rising(20 * GB, 8 * GB)), Case(JOB, rising(5 * GB, 0.5 * GB))),
    "gpu-temperature": (
        Case({**GPU, "temperature_celsius": 95.0}), Case({**GPU, "temperature_celsius": 60.0})
    ),
    "scheduler-unreachable": (Case({"controller_up": False}), Case({"controller_up": True})),
    "slurmdbd-unreachable": (Case({"dbd_up": False}), Case({"dbd_up": True})),
    "node-down": (Case({**NODE, "state": "DOWN"}), Case(NODE)),
    "node-drained": (Case({**NODE, "drained": 1}), Case(NODE)),
    "queue-acceleration": (Case(WHOLE, bending(10.0, 4.0)), Case(WHOLE, flat(50.0, 1.0))),
    "failure-rate": (Case({"failed_percent": 45.0}), Case({"failed_percent": 5.0})),
    "failure-rate-acceleration": (Case({}, bending(5.0, 1.2)), Case({}, flat(5.0, 0.5))),
    "stuck-job": (Case({"job_id": "3", "message": "job 3 waits 9.0 days for JobHeldAdmin"}), None),
    "zombie-job": (Case({"job_id_raw": "3", "message": "2 processes of job 3 live on n1"}), None),
    "array-failures": (Case(ARRAY), None),
    "fairshare-imbalance": (Case(SHARE), None),
    "job-drift": (
        Case({"level": "drift", "message": "cpu_efficiency is lower for about 10% of the jobs since 2026-03-01"}),
        Case({"level": "stable", "message": "as in the window"}),
    ),
    "collector-silent": (Case(SILENT), Case({**SILENT, "without_data": 0})),
}  # fmt: skip


def verdict(name: str, case: Case) -> Verdict:
    rule = RULES[name]
    (found,) = judge(rule, case.evidence(rule)).verdicts
    return found


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_rule_speaks_when_it_should(name: str) -> None:
    found = verdict(name, CASES[name][0])
    assert found.level in ("info", "warning", "critical"), found.summary
    assert found.summary
    assert found.subject or name in ("scheduler-unreachable", "slurmdbd-unreachable", "job-drift")


@pytest.mark.parametrize("name", sorted(name for name, (_, silent) in CASES.items() if silent is not None))
def test_a_rule_is_silent_when_nothing_is_wrong(name: str) -> None:
    silent = CASES[name][1]
    assert silent is not None
    assert verdict(name, silent).level == FINE, verdict(name, silent).summary


def test_every_shipped_rule_is_tried_here() -> None:
    assert set(CASES) == set(RULES)


@pytest.mark.parametrize("name", [*sorted(RULES), *(policy.rule for policy in OWN_POLICIES)])
def test_every_rule_has_its_entry_in_the_on_call_page(name: str) -> None:
    page = (REPOSITORY / "docs" / "on-call.md").read_text("utf-8")
    (entry,) = re.findall(rf"^### `{name}`.*?(?=^###? |\Z)", page, re.MULTILINE | re.DOTALL)
    for part in ("**Means**", "**Check**", "**Do**"):
        assert part in entry, part


def test_the_page_of_the_shipped_rules_is_up_to_date() -> None:
    assert (REPOSITORY / PAGE).read_text("utf-8") == render_page(), "run: python -m nomade_pipeline.alerts.document"


def test_what_a_rule_names_exists() -> None:
    for rule in RULES.values():
        assert rule.policy.rule == rule.name
        assert {*rule.policy.inhibited_by, *filter(None, [rule.ahead_of])} <= set(RULES)


def test_a_value_between_threshold_and_clear_is_neither_bad_nor_fine() -> None:
    assert verdict("disk-full", Case({**DISK, "used_percent": 84.0})).level == "between"
    assert verdict("disk-full", Case({**DISK, "used_percent": 83.0})).level == FINE


@pytest.mark.parametrize("name", sorted(name for name, rule in RULES.items() if rule.kind == THRESHOLD))
def test_an_alert_of_a_threshold_is_over_beyond_its_clear_value_only(name: str) -> None:
    rule = RULES[name]
    assert rule.warning is not None
    assert rule.clear is not None
    assert rule.clear < rule.warning
    assert level_of(rule, rule.warning) == "warning"
    assert level_of(rule, (rule.clear + rule.warning) / 2) == "between"
    assert level_of(rule, rule.clear) == FINE


@pytest.mark.parametrize(
    ("name", "row", "shape"),
    [
        ("job-memory-leak", JOB, noisy(rising(5 * GB, 6 * GB), 8 * GB)),
        ("disk-acceleration", DISK, noisy(bending(300 * GB, 0.002 * GB), 20 * GB)),
        ("disk-forecast", DISK, noisy(rising(700 * GB, 3.1 * GB), 20 * GB)),
    ],
)
def test_what_is_beyond_a_threshold_but_not_surely_so_begins_no_alert_and_ends_none(
    name: str, row: dict[str, Any], shape: Shape
) -> None:
    assert verdict(name, Case(row, shape)).level == "between"


def test_a_file_system_is_told_as_an_admin_would_say_it_with_both_dates_where_the_filling_accelerates() -> None:
    found = verdict("disk-acceleration", Case(DISK, bending(300 * GB, 0.01 * GB)))
    assert re.fullmatch(
        r"file system /scratch on n1 is 59.7 % full \(741 GB of 1.24 TB\); used space accelerates by [\d.]+ GB/day², "
        r"full in [\d.]+ days at this acceleration, [\d.]+ days at the present rate",
        found.summary,
    )
    assert len(found.details["series"]["times"]) == 121
    assert found.details["series"]["limit"] == pytest.approx(1241 * GB, rel=0.001)


def test_ten_gigabytes_a_day_with_490_left_are_49_days() -> None:
    row = {**DISK, "used_bytes": int(510 * GB), "available_bytes": int(490 * GB)}
    found = verdict("disk-forecast", Case(row, rising(510 * GB, 10 * GB / 24)))
    assert found.level == FINE
    assert "49 days if the rate holds" in found.summary


def test_no_forecast_reaches_further_ahead_than_the_series_is_old() -> None:
    rule, hours = RULES["disk-forecast"], np.linspace(-48.0, 0.0, 40)
    levels = {}
    for days_left in (1.5, 2.5):
        left = int(days_left * 24 * GB)
        row = row_of(TABLES["disk"], **{**DISK, "used_bytes": int(500 * GB), "available_bytes": left})
        series = SeriesBatch.of([(T0.timestamp() + 3600 * hours, (500 + hours) * GB)])
        sample = sample_of(TABLES["disk"], row, (), T0)
        (found,) = judge(rule, Evidence((sample,), series=series)).verdicts
        levels[days_left] = found.level
    assert levels == {1.5: "warning", 2.5: "between"}


def test_the_opposite_sign_says_what_is_good_of_it_and_a_flat_series_does_not() -> None:
    found = verdict("disk-acceleration", Case(DISK, bending(900 * GB, -0.01 * GB)))
    assert (found.level, found.ok_word) == (FINE, "clean-up in progress")
    assert "clean-up in progress" in found.summary
    assert verdict("disk-acceleration", Case(DISK, flat(900 * GB, 0.1 * GB))).ok_word == ""


def test_what_was_not_measured_is_not_judged() -> None:
    rule = RULES["gpu-temperature"]
    assert judge(rule, Case({**GPU, "temperature_celsius": None}).evidence(rule)).verdicts == ()
    dbd = RULES["slurmdbd-unreachable"]
    assert judge(dbd, Case({"dbd_up": None}).evidence(dbd)).verdicts == ()


def test_a_drained_node_is_told_with_reason_and_author() -> None:
    assert "reason: disk, by root" in verdict("node-drained", Case({**NODE, "drained": 1})).summary


def test_the_thresholds_are_those_of_the_configuration() -> None:
    from dataclasses import replace

    plain = Config().alerts
    bends = replace(plain.derivatives, disk_acceleration_warning=2.0, queue_acceleration_warning=3.0)
    alerts = replace(
        plain, disk_warning_percent=50.0, disk_critical_percent=60.0, gpu_temp_warning=70.0, derivatives=bends
    )
    rules = {rule.name: rule for rule in shipped_rules(replace(Config(), alerts=alerts))}
    for name in ("disk-full", "inodes-full"):
        assert (rules[name].warning, rules[name].critical) == (50.0, 60.0)
    assert rules["gpu-temperature"].warning == 70.0
    assert rules["disk-acceleration"].warning == 2.0 * GB
    assert rules["queue-acceleration"].warning == 3.0
