"""The texts of a lab's configuration files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nomade_pipeline.lab import configs, machine
from nomade_pipeline.lab.errors import LabError
from nomade_pipeline.lab.layout import Layout

LAB = Layout(Path("/srv/lab"), slot=2, nodes=5)


def settings(text: str) -> dict[str, str]:
    """Return the plain lines of a configuration, `Key=value`."""
    lines = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_every_file_of_slurm_stays_below_the_folder() -> None:
    for text in configs.render(LAB, "secret", "127.0.0.1").values():
        paths = re.findall(r"(?<![\w.:/])/(?!sys/fs/cgroup)[\w/.%-]+", re.sub(r"^#.*$", "", text, flags=re.MULTILINE))
        assert [path for path in paths if not path.startswith("/srv/lab/")] == []


def test_nothing_is_left_to_be_filled_in() -> None:
    for text in [*configs.render(LAB, "secret", None).values(), *configs.render_scale(LAB, None).values()]:
        assert "$" not in text


def test_each_node_has_a_port_of_its_own_and_the_last_one_the_gpus() -> None:
    lines = configs.node_lines(LAB, "127.0.0.1").splitlines()
    assert len(lines) == 5
    assert len({re.search(r" Port=(\d+) ", line).group(1) for line in lines}) == 5
    assert ["Gres=gpu:a100:2" in line for line in lines] == [False] * 4 + [True]


def test_slurmdbd_does_not_say_localhost_which_would_be_the_systems_socket() -> None:
    assert settings(configs.render(LAB, "secret", None)["slurmdbd.conf"])["StorageHost"] == "127.0.0.1"


def test_with_cgroups_memory_is_limited_and_without_them_no_cgroup_is_named() -> None:
    with_them = configs.render(LAB, "secret", None)
    assert settings(with_them["cgroup.conf"])["ConstrainRAMSpace"] == "yes"
    assert settings(with_them["slurm.conf"])["ProctrackType"] == "proctrack/cgroup"
    without = configs.render(Layout(Path("/srv/lab"), cgroups=False), "secret", None)
    assert "cgroup.conf" not in without
    assert "/cgroup" not in without["slurm.conf"]


def test_daemons_are_bound_to_loopback_where_the_hosts_name_is_there() -> None:
    bound = configs.render(LAB, "secret", "127.0.1.1")
    assert "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny" in bound["slurm.conf"]
    assert "SlurmctldHost=localhost(127.0.1.1)" in bound["slurm.conf"]
    assert settings(bound["slurmdbd.conf"])["DbdAddr"] == "127.0.1.1"
    free = configs.render(LAB, "secret", None)
    assert "CommunicationParameters" not in free["slurm.conf"]
    assert "SlurmctldHost=localhost(127.0.0.1)" in free["slurm.conf"]


def test_the_scale_profile_has_ten_thousand_nodes() -> None:
    text = configs.render_scale(Layout(Path("/srv/lab"), scale=True), None)["slurm.conf"]
    ranges = re.findall(r"NodeName=n\[(\d+)-(\d+)\]", text)
    assert sum(int(last) - int(first) + 1 for first, last in ranges) == 10_000


def test_the_password_is_in_slurmdbds_file_alone() -> None:
    holders = [name for name, text in configs.render(LAB, "s3cret", None).items() if "s3cret" in text]
    assert holders == ["slurmdbd.conf"]


def test_only_root_may_run_a_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(LabError, match="run it as root"):
        machine.require(Path("/srv/lab"))


def test_missing_packages_are_named_in_the_line_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(machine, "PATH", "/nowhere")
    with pytest.raises(LabError, match=r"apt-get install .*mariadb-server .*slurmdbd .*slurm-wlm-basic-plugins"):
        machine.require(Path("/srv/lab"))


def test_a_folder_behind_a_closed_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(machine, "missing_packages", list)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(LabError, match=r"chmod o\+x"):
        machine.require(closed / "lab")
