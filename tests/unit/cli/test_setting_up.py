"""`nomade init`, `migrate`, `config` and `uninstall`: made once, kept, shown, taken away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.installation import fill_spool, ingest, nomade

from nomade_pipeline.cli import uninstall_command
from nomade_pipeline.cli.common import Invocation
from nomade_pipeline.cli.init_command import config_target
from nomade_pipeline.cli.uninstall_command import why_dangerous
from nomade_pipeline.config.load import load_config
from nomade_pipeline.store.database import head_version, version_of


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def installed(tmp_path: Path) -> tuple[Path, Path]:
    """Return configuration and data folder of a fresh installation."""
    config, data = tmp_path / "etc" / "nomade.toml", tmp_path / "data"
    ended = nomade("--config", str(config), "init", "--cluster-name", "zeta", root=data)
    assert ended.status == 0, ended.stderr
    return config, data


def test_init_creates_configuration_folders_database_and_dagster_home(tmp_path: Path) -> None:
    config, data = installed(tmp_path)
    loaded = load_config(config, {"HOME": str(tmp_path)})
    assert (loaded.general.cluster_name, loaded.general.data_dir) == ("zeta", str(data))
    assert version_of(data / "nomade.db") == head_version()
    assert (data / "dagster" / "dagster.yaml").exists()
    assert (data / "spool").is_dir()


def test_init_twice_changes_nothing_and_says_so(tmp_path: Path) -> None:
    config, data = installed(tmp_path)
    config.write_text(config.read_text() + "\n# mine\n")
    (data / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n# mine\n")
    before = snapshot(tmp_path)
    ended = nomade("--config", str(config), "init", root=data)
    assert ended.status == 0
    assert "created" not in ended.stdout
    after = snapshot(tmp_path)
    assert {name for name in before if before[name] != after.get(name)} <= {"data/dagster/workspace.yaml"}


def test_init_does_not_rename_a_cluster_that_has_a_configuration(tmp_path: Path) -> None:
    config, data = installed(tmp_path)
    ended = nomade("--config", str(config), "init", "--cluster-name", "other", root=data)
    assert "zeta" in ended.stderr
    assert load_config(config, {}).general.cluster_name == "zeta"


def test_init_warns_of_a_database_on_a_network_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nomade_pipeline.syscheck.network_filesystem", lambda *_: "nfs4")
    ended = nomade("--config", str(tmp_path / "nomade.toml"), "init", root=tmp_path / "data")
    assert "network file system (nfs4)" in ended.stderr


def test_root_is_given_a_configuration_in_etc_and_others_one_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nomade_pipeline.cli.init_command.find_config", lambda *_: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert config_target(Invocation()) == Path("/etc/nomade/nomade.toml")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert config_target(Invocation()) == Path.home() / ".config" / "nomade" / "nomade.toml"


def test_migrate_says_whether_there_was_anything_to_do(empty: Path) -> None:
    assert "was none" in nomade("migrate", root=empty).stdout
    assert "already" in nomade("migrate", root=empty).stdout


def test_config_shows_values_with_their_origin_and_reads_back(tmp_path: Path) -> None:
    config, _ = installed(tmp_path)
    shown = nomade("--config", str(config), "config").stdout
    assert str(config) in shown
    again = tmp_path / "again.toml"
    again.write_text(shown)
    assert load_config(again, {}).general.cluster_name == "zeta"
    assert nomade("--config", str(config), "config", "--json").json["settings"]["collectors"]["disk"]["interval"] == 60


def test_config_check_names_the_faults_of_a_file_before_it_is_used(tmp_path: Path) -> None:
    new = tmp_path / "new.toml"
    new.write_text("[collectors.disk]\nintervall = 5\n")
    ended = nomade("config", "check", str(new))
    assert ended.status == 2
    assert "interval" in ended.stderr
    new.write_text("[collectors.disk]\ninterval = 5\n")
    assert nomade("config", "check", str(new)).status == 0


def test_uninstall_keeps_the_measurements_and_purge_leaves_no_trace(tmp_path: Path) -> None:
    config, data = installed(tmp_path)
    fill_spool(data, minutes=1)
    ingest(data, minutes=1)
    assert nomade("--config", str(config), "uninstall", "--yes").status == 0
    assert sorted(path.name for path in data.iterdir()) == ["lake", "quarantine", "spool"]
    assert not config.exists()
    assert nomade("uninstall", "--purge", "--yes", root=data).status == 0
    assert not data.exists()


def test_uninstall_asks_and_a_no_deletes_nothing(tmp_path: Path) -> None:
    config, data = installed(tmp_path)
    before = snapshot(tmp_path)
    ended = nomade("--config", str(config), "uninstall", "--purge", root=data, stdin=b"n\n")
    assert ended.status == 130
    assert snapshot(tmp_path) == before
    assert nomade("--config", str(config), "uninstall", "--dry-run", root=data).status == 0
    assert snapshot(tmp_path) == before


def test_uninstall_touches_nothing_that_is_not_ours(tmp_path: Path) -> None:
    config, data = installed(tmp_path)
    (data / "thesis.tex").write_text("42")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (data / "lake").rmdir()
    (data / "lake").symlink_to(elsewhere)
    ended = nomade("--config", str(config), "uninstall", "--purge", "--yes", root=data)
    assert ended.status == 0
    assert (data / "thesis.tex").read_text() == "42"
    assert (elsewhere / "kept").exists(), "only the link is ours"
    assert not (data / "lake").exists()
    assert "thesis.tex" in ended.stderr


def test_units_of_systemd_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units = tmp_path / "units"
    units.mkdir()
    for name in ("nomade-agent.service", "nomade.service", "other.service"):
        (units / name).touch()
    monkeypatch.setattr(uninstall_command, "UNIT_FOLDERS", (str(units),))
    monkeypatch.setattr(uninstall_command, "_disable", lambda names: names)
    assert nomade("uninstall", "--yes", root=tmp_path / "data").status == 0
    assert [path.name for path in units.iterdir()] == ["other.service"]


@pytest.mark.parametrize("folder", ["/", "/tmp", "/var/lib", "/home", "/usr/local", "/etc/../usr"])
def test_folders_of_the_system_are_refused(folder: str) -> None:
    assert why_dangerous(Path(folder)) is not None


def test_home_and_what_holds_it_are_refused(tmp_path: Path) -> None:
    assert why_dangerous(Path.home()) is not None
    assert why_dangerous(tmp_path) is not None, "it holds this test's home"
    link = tmp_path / "data-link"
    link.symlink_to(Path.home())
    assert why_dangerous(link) is not None
    ended = nomade("uninstall", "--purge", "--yes", root=Path.home())
    assert ended.status == 2
    assert "home" in ended.stderr


def test_an_ordinary_data_folder_is_not_refused(tmp_path: Path) -> None:
    assert why_dangerous(tmp_path / "data") is None
    assert why_dangerous(Path("/var/lib/nomade")) is None


def test_a_broken_configuration_does_not_keep_anybody_from_uninstalling(tmp_path: Path) -> None:
    config, data = installed(tmp_path)
    config.write_text("[general\n")
    assert nomade("--config", str(config), "uninstall", "--purge", "--yes").status == 2
    assert nomade("--config", str(config), "uninstall", "--purge", "--yes", root=data).status == 0
    assert not data.exists()
    assert not config.exists()
