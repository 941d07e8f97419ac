"""A changed file is picked up without a restart; a broken one changes nothing and says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nomade_pipeline.config.load import ConfigError
from nomade_pipeline.config.watch import ConfigWatcher


def write(file: Path, cluster: str) -> None:
    temporary = file.with_suffix(".new")
    temporary.write_text(f'[general]\ncluster_name = "{cluster}"\n')
    temporary.replace(file)


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "nomade.toml"
    write(file, "one")
    return file


def watcher(file: Path, **options) -> ConfigWatcher:
    return ConfigWatcher(file, {"HOME": str(file.parent)}, check_seconds=options.pop("check_seconds", 0), **options)


def test_a_changed_file_is_picked_up(file):
    watch = watcher(file)
    assert watch.current().general.cluster_name == "one"
    write(file, "two")
    assert watch.current().general.cluster_name == "two"
    assert watch.problem is None


def test_a_change_of_the_same_length_and_time_is_seen_by_its_inode(file):
    watch = watcher(file)
    before = file.stat()
    write(file, "two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert watch.current().general.cluster_name == "two"


def test_an_unchanged_file_is_not_read_again(file):
    watch = watcher(file)
    assert watch.current() is watch.current()


def test_a_broken_new_file_keeps_the_old_settings_and_says_so(file):
    watch = watcher(file)
    file.write_text("[general]\ncluster_name = 3\n")
    assert watch.current().general.cluster_name == "one"
    assert watch.problem is not None
    assert "nomade.toml:2: [general] cluster_name: expected a text" in watch.problem
    assert watch.current().general.cluster_name == "one"
    write(file, "three")
    assert watch.current().general.cluster_name == "three"
    assert watch.problem is None


def test_a_file_that_vanishes_keeps_the_old_settings(file):
    watch = watcher(file)
    file.unlink()
    assert watch.current().general.cluster_name == "one"
    assert "no such file" in str(watch.problem)
    write(file, "one")
    assert watch.current().general.cluster_name == "one"
    assert watch.problem is None


def test_a_searched_file_that_vanishes_does_not_fall_back_to_the_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ".config" / "nomade" / "nomade.toml"
    file.parent.mkdir(parents=True)
    write(file, "one")
    watch = ConfigWatcher(None, {"HOME": str(tmp_path)}, check_seconds=0)
    file.unlink()
    assert watch.current().general.cluster_name == "one"
    assert "is gone" in str(watch.problem)


def test_a_file_that_appears_is_picked_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    watch = ConfigWatcher(None, {"HOME": str(tmp_path)}, check_seconds=0)
    assert watch.current().source is None
    write(tmp_path / "nomade.toml", "one")
    assert watch.current().general.cluster_name == "one"


def test_the_file_is_looked_at_no_more_often_than_asked_but_reload_looks_at_once(file):
    watch = watcher(file, check_seconds=3600)
    write(file, "two")
    assert watch.current().general.cluster_name == "one"
    assert watch.reload().general.cluster_name == "two"
    assert watch.current().general.cluster_name == "two"


def test_a_broken_file_at_the_start_is_an_error(file):
    file.write_text("[general")
    with pytest.raises(ConfigError):
        watcher(file)


def test_for_the_agent_unknown_keys_of_a_new_file_are_warnings(file):
    watch = watcher(file, strict=False)
    file.write_text('[general]\ncluster_name = "two"\nnew = 1\n')
    assert watch.current().general.cluster_name == "two"
    assert watch.problem is None
    assert "unknown key" in watch.current().warnings[0]
