"""Rules of alerts.toml: what is changed, what is added, and every fault with its file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.needs import REPOSITORY

from nomade_pipeline.alerts.rule import Rule
from nomade_pipeline.alerts.rule_file import rules_of
from nomade_pipeline.config.entries import read_entries
from nomade_pipeline.config.load import ConfigError
from nomade_pipeline.config.settings import Config

OWN = """\
[[rule]]
name = "iowait"
summary = "A host waits for its disks."
kind = "threshold"
table = "vmstat"
column = "iowait_percent"
warning = 30
"""
STATE_OF_GPU = """\
[[rule]]
name = "gpu-fault"
summary = "The driver reports a fault."
kind = "state"
table = "gpu"
column = "health"
bad = { error = "critical" }
"""
GROWING_JOB = """\
[[rule]]
name = "growing"
summary = "A job grows."
kind = "growth"
table = "slurm_job"
column = "memory_bytes"
warning = 1
"""
SILENCE = """\
[[rule]]
name = "no-gpu-data"
summary = "No readings of the GPUs."
kind = "absence"
table = "gpu"
warning = 1
"""


def rules(folder: Path, text: str) -> dict[str, Rule]:
    path = folder / "alerts.toml"
    path.write_text(text)
    return {rule.name: rule for rule in rules_of(Config(), read_entries(path), path)}


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        rules(folder, text)
    return str(caught.value).splitlines()


def test_a_shipped_rule_is_changed_in_what_is_named_only(tmp_path: Path) -> None:
    shipped = rules(tmp_path, "")["disk-forecast"]
    found = rules(tmp_path, '[[rule]]\nname = "disk-forecast"\nwarning = 3\nrepeat = "1d"\n')["disk-forecast"]
    assert (found.warning, found.policy.repeat_seconds) == (3.0, 86400.0)
    assert (found.column, found.limit, found.critical) == (shipped.column, shipped.limit, shipped.critical)


def test_a_rule_can_be_switched_off(tmp_path: Path) -> None:
    assert "disk-jump" not in rules(tmp_path, '[[rule]]\nname = "disk-jump"\nenabled = false\n')


def test_the_shipped_rules_are_as_valid_as_those_of_the_file(tmp_path: Path) -> None:
    shipped = rules(tmp_path, "")
    named = "".join(f'[[rule]]\nname = "{name}"\n' for name in shipped)
    assert rules(tmp_path, named) == shipped


def test_a_rule_of_ones_own_is_added(tmp_path: Path) -> None:
    found = rules(tmp_path, OWN + 'aggregate = "mean"\nwindow = "10m"\nfor = "5m"\nwhere = { host = ["n1", "n2"] }\n')
    rule = found["iowait"]
    assert (rule.window_seconds, rule.policy.for_seconds, rule.needs_series) == (600.0, 300.0, True)
    assert rule.holds_for({"host": "n2"})
    assert not rule.holds_for({"host": "n3"})


def test_the_examples_of_the_manual_are_rules(tmp_path: Path) -> None:
    manual = (REPOSITORY / "docs" / "alert-rules.md").read_text("utf-8")
    found = rules(tmp_path, manual.split("```toml\n")[1].split("```")[0])
    assert {"iowait", "gpu-memory-forecast", "gpu-fault", "no-gpu-data"} <= set(found)
    assert "fairshare-imbalance" not in found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[[rule]]\nname = "x"\n', ":1: summary: is missing"),
        (OWN.replace("vmstat", "vmstats"), ":5: table: there is no table 'vmstats'; did you mean vmstat?"),
        (OWN.replace("iowait_p", "iowaitp"), ":6: column: table vmstat has no column 'iowaitpercent'"),
        (OWN.replace("iowait_percent", "host"), ":6: column: host is no number"),
        (OWN.replace("warning = 30", ""), ":1: warning: neither warning nor critical is given"),
        (OWN + "critical = 20\n", ":8: critical: 20 is not beyond the warning threshold (30)"),
        (OWN + 'for = "5 minutes"\n', ":8: for: '5 minutes' is no length of time; write 90s, 5m, 24h or 7d"),
        (OWN + "where = { hots = 1 }\n", ":8: where: table vmstat has no column 'hots'; did you mean host?"),
        (OWN + 'inhibited_by = ["node-dwon"]\n', ":8: inhibited_by: there is no rule 'node-dwon'; did you mean"),
        (OWN + "warnig = 3\n", ":8: warnig: unknown key; did you mean warning?"),
        (OWN.replace('"threshold"', '"forecast"'), ":1: limit: is missing: a number, or a column of the table"),
        (OWN.replace('"threshold"', '"state"'), ":1: bad: is missing"),
        (OWN + "warning = true\n".replace("warning", "critical"), ":8: critical: expected a number, found True"),
        (OWN + OWN, ":9: name: there is a [[rule]] 'iowait' already"),
        (OWN + 'limit = "host"\n', ":8: limit: means nothing for a rule of kind threshold"),
        (OWN.replace("30", "130"), ":7: warning: 130 is nothing that iowait_percent (percent) can be"),
        (STATE_OF_GPU.replace("error", "lost"), ":7: bad: health is never 'lost'; it is ok, error or null"),
        (STATE_OF_GPU + 'where = { mig_enabled = "yes" }\n', ":8: where: mig_enabled is never 'yes'; it is true"),
        (GROWING_JOB, ":5: table: slurm_job has no series"),
        (SILENCE.replace("gpu", "gpus"), ":5: table: there is no table 'gpus'; did you mean gpu?"),
        (SILENCE.replace("gpu", "job_outcomes"), ":5: table: job_outcomes has no collector of its own"),
        (SILENCE + "where = { gpu_uuid = 1 }\n", ":7: where: gpu_uuid: a rule of kind absence knows cluster and host"),
        ('[[rulle]]\nname = "x"\n', ":1: [[rulle]] is unknown; did you mean [[rule]]?"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_file_line_and_what_would_be_right(tmp_path: Path, text: str, fault: str) -> None:
    told = [re.sub(r"\[\[rule]] [\w-]+: ", "", line) for line in faults(tmp_path, text)]
    assert any(line.startswith(f"{tmp_path}/alerts.toml{fault}") for line in told), told


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    assert len(faults(tmp_path, OWN.replace("vmstat", "x") + 'for = "week"\n')) == 2
