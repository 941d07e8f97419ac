"""The four tiers of tests, and what holds for all of them.

``unit`` (milliseconds, without Dagster), ``contracts``, ``shell`` and ``integration``; a test anywhere else
ends the session, and so does a unit test that imports Dagster.
"""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path
from typing import Iterator

import pytest
from hypothesis import settings

TESTS = Path(__file__).resolve().parent
TIERS = ("unit", "contracts", "shell", "integration")

# Importing one of these imports Dagster.
SHELL_MODULES = (
    "dagster",
    "nomade_pipeline.definitions",
    "nomade_pipeline.resources",
    "assets",
    "jobs",
    "sensors",
)

# Helpers of several tests live in tests/support and are imported as ``support.…``.
sys.path.insert(0, str(TESTS))

# Two shared cores make any deadline a lottery; in CI the same examples are tried in each run.
settings.register_profile("nomade", deadline=None, database=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("nomade")


def tier_of(path: Path) -> str | None:
    """Return the tier of a test file; None when it lies outside of all."""
    try:
        first = path.relative_to(TESTS).parts[0]
    except ValueError:
        return None
    return first if first in TIERS else None


def shell_imports(source: str) -> list[str]:
    """Return the modules that a test module imports, anywhere in it, and that import Dagster."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return sorted(
        {name for name in names if name.startswith(tuple(f"{m}." for m in SHELL_MODULES)) or name in SHELL_MODULES}
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(component): skipped without it, failed in CI; see tests/support/needs.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for path in sorted({item.path for item in items}):
        tier = tier_of(path)
        if tier is None:
            raise pytest.UsageError(f"{path} is in none of the tiers: move it below tests/ into {', '.join(TIERS)}")
        found = shell_imports(path.read_text(encoding="utf-8")) if tier == "unit" else []
        if found:
            raise pytest.UsageError(
                f"{path} imports {', '.join(found)}: unit tests do without Dagster, move it to shell"
            )


def pytest_runtest_setup(item: pytest.Item) -> None:
    from support.needs import require

    for marker in item.iter_markers("needs"):
        for name in marker.args:
            require(name)


@pytest.fixture(autouse=True)
def _unit_tests_load_no_dagster(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a unit test under which some code of the library imported Dagster."""
    loaded = "dagster" in sys.modules
    yield
    if tier_of(request.path) == "unit" and not loaded and "dagster" in sys.modules:
        pytest.fail("this unit test made the library import Dagster")
