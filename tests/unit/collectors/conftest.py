"""What the tests of the collectors share: recorded outputs, and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

ROOT = Path(__file__).resolve().parents[3]


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape")


@pytest.fixture
def recorded() -> Callable[[str], str]:
    """Return the text of a file below tests/fixtures."""
    return lambda name: text_of(ROOT / "tests" / "fixtures" / name)


@pytest.fixture
def shared() -> Callable[[str], str]:
    """Return the text of a file of the shared collection; skip where it is not at hand."""

    def read(name: str) -> str:
        path = ROOT.parent / "shared" / "data" / "fixtures" / name
        if not path.exists():
            pytest.skip(f"the shared collection of recorded outputs is not at {path.parents[1]}")
        return text_of(path)

    return read
