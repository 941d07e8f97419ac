"""The queries of docs/queries.md, as a data scientist would run them: in order, on a cluster's data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from nomade_pipeline.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "queries.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some days of a simulated cluster with everything that is computed from it."""
    config = tmp_path / "nomade.toml"
    config.write_text(f"[general]\ncluster_name = 'sim-demo'\ndata_dir = '{tmp_path}/data'\n")
    monkeypatch.setenv("NOMADE_CONFIG", str(config))
    assert main(["simulate", "--days", "2", "--jobs", "200", "--hosts", "2"]) == 0
    assert main(["compute", "trends", "features"]) == 0
    return tmp_path


def test_every_block_of_the_page_runs_and_finds_something(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) == 11
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["outcomes"].height >= 3
    assert names["waits"].height >= 1
    assert names["during"].height > 10
    assert names["matrix"].shape[1] == 17
    assert "network_gb" in capsys.readouterr().out
