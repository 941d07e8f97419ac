"""No test of the configuration may meet the one of the machine that it runs on."""

from __future__ import annotations

import pytest

from nomade_pipeline.config import load


@pytest.fixture(autouse=True)
def _no_configuration_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "SYSTEM_FOLDER", tmp_path / "etc" / "nomade")
