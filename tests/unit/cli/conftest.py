"""An environment in which no configuration of this machine is found."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest
from support.installation import fill_spool, ingest
from support.rows import T0, at

from nomade_pipeline import clock


@pytest.fixture(autouse=True)
def _nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TZ", "UTC")
    for name in ("NOMADE_CONFIG", "NO_COLOR", "NOMADE_GENERAL__DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(home)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A data folder that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture(scope="session")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("filled")
    fill_spool(root)
    ingest(root)
    return root


@pytest.fixture
def filled(_filled: Path) -> Iterator[Path]:
    """A data folder with 90 minutes of one host, ingested; now is five seconds after its last sample. Read-only."""
    with clock.set_to(at(5 / 60, T0)):
        yield _filled
