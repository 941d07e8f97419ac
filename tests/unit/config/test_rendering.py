"""Written configurations read back as they were."""

from __future__ import annotations

import dataclasses
import re
from datetime import date
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nomade_pipeline.config.collector_settings import MonitorSettings
from nomade_pipeline.config.load import load_config
from nomade_pipeline.config.paths import DataPaths
from nomade_pipeline.config.render import describe, example, to_toml
from nomade_pipeline.config.settings import AlertsSettings, Config
from nomade_pipeline.config.toml import read_literal, to_literal
from nomade_pipeline.config.validate import all_paths


def load(tmp_path, text):
    file = tmp_path / "nomade.toml"
    file.write_text(text, encoding="utf-8")
    return load_config(file, {"HOME": str(tmp_path)})


def test_the_effective_configuration_reads_back_as_it_was(tmp_path):
    config = dataclasses.replace(
        Config(),
        alerts=AlertsSettings(smtp_user='a"b\\c\n', smtp_password_env="P", email_to=("x@y.z", "y@z")),
        monitor=MonitorSettings(nfs_paths=("/ü\x01",), port=5),
    )
    read = load(tmp_path, to_toml(config))
    assert read.alerts == config.alerts
    assert read.monitor == config.monitor
    assert to_toml(read).replace(f'host = "{read.general.host}"', 'host = ""') == to_toml(config)


def test_the_example_holds_every_key_and_means_the_defaults(tmp_path):
    text = example()
    assert load(tmp_path, text).collectors == Config().collectors
    active = re.sub(r"(?m)^# (\w+ = )", r"\1", text)
    read = load(tmp_path, active)
    assert dataclasses.replace(read, general=Config().general, source=None) == Config()
    assert len(re.findall(r"(?m)^\w+ = ", active)) == len(list(all_paths()))


def test_the_description_names_the_source_and_the_warnings(tmp_path):
    config = dataclasses.replace(Config(), source=Path("/etc/nomade/nomade.toml"), warnings=("odd key",))
    assert "# from /etc/nomade/nomade.toml\n# warning: odd key\n" in describe(config)
    assert "no file" in describe(Config())


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_the_literal(text):
    assert read_literal(to_literal(text)) == text


def test_the_layout_of_the_data_folder(tmp_path):
    paths = DataPaths(tmp_path)
    assert paths.day("raw", "disk", "c", date(2026, 1, 2)) == tmp_path / "lake/raw/disk/cluster=c/date=2026-01-02"
    for outside in (paths.staging, paths.trash):
        assert paths.lake not in outside.parents
