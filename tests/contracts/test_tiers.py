"""The tiers are enforced: each rule of tests/conftest.py is broken in a small tree of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.needs import COMPONENTS, REPOSITORY

TESTS = REPOSITORY / "tests"
PASSES = "def test_it_passes():\n    pass\n"


@pytest.fixture
def tree(tmp_path) -> Path:
    """Return an empty tests folder with our conftest and helpers."""
    tests = tmp_path / "tests"
    shutil.copytree(TESTS / "support", tests / "support")
    shutil.copy(TESTS / "conftest.py", tests)
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tests


def run(tree: Path, **environment: str) -> tuple[int, str]:
    """Run pytest over a tree; return its exit status and output."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tree)],
        capture_output=True,
        text=True,
        cwd=tree.parent,
        env={"PATH": os.environ["PATH"], "HOME": str(tree.parent), "PYTHONPATH": str(REPOSITORY), **environment},
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def add(tree: Path, place: str, text: str) -> None:
    (tree / place).parent.mkdir(parents=True, exist_ok=True)
    (tree / place).write_text(text)


def test_a_test_in_each_tier_is_run(tree):
    for tier in ("unit", "contracts", "shell", "integration"):
        add(tree, f"{tier}/deep/test_{tier}.py", PASSES)
    assert "4 passed" in run(tree)[1]


@pytest.mark.parametrize("place", ["test_outside.py", "end_to_end/test_elsewhere.py", "support/test_helper.py"])
def test_a_test_outside_of_the_tiers_ends_the_session(tree, place):
    add(tree, "unit/test_fine.py", PASSES)
    add(tree, place, PASSES)
    status, output = run(tree)
    assert status == pytest.ExitCode.USAGE_ERROR
    assert f"{place} is in none of the tiers" in output


@pytest.mark.parametrize(
    "line",
    [
        "import dagster as dg",
        "from dagster._core import storage",
        "from nomade_pipeline.definitions import defs",
        "from nomade_pipeline import definitions",
        "import assets.raw",
    ],
)
def test_a_unit_test_that_imports_dagster_ends_the_session_before_anything_is_run(tree, line):
    add(tree, "unit/test_wrong.py", f"def test_it():\n    {line}\n")
    add(tree, "unit/test_fine.py", PASSES)
    status, output = run(tree)
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "unit tests do without Dagster" in output
    assert "passed" not in output


def test_the_shell_may_import_dagster(tree):
    add(tree, "shell/test_right.py", "def test_it():\n    from pathlib import Path as dagster\n    import dagster\n")
    assert "1 passed" in run(tree)[1]


def test_a_unit_test_under_which_the_library_imports_dagster_fails(tree):
    add(tree, "unit/test_indirect.py", "def test_it():\n    __import__('dagster')\n")
    status, output = run(tree)
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "made the library import Dagster" in output


NEEDS_SLURM = "import pytest\n@pytest.mark.needs('slurm')\ndef test_it():\n    assert False, 'was run'\n"
NEEDS_GPU = NEEDS_SLURM.replace("slurm", "gpu")


def test_a_missing_component_skips_on_a_laptop_and_fails_in_ci(tree):
    """The path has nothing but what Python needs, so that Slurm is missing wherever this runs."""
    add(tree, "integration/test_slurm.py", NEEDS_SLURM)
    status, output = run(tree, PATH="/nowhere")
    assert (status, "SKIPPED" in output, "slurm is missing" in output) == (0, True, True)
    status, output = run(tree, PATH="/nowhere", CI="true")
    assert (status, "slurm is missing" in output) == (1, True)
    assert "was run" not in output


def test_a_component_that_ci_may_lack_is_skipped_there_too(tree):
    add(tree, "integration/test_gpu.py", NEEDS_GPU)
    status, output = run(tree, PATH="/nowhere", CI="true")
    assert (status, "1 skipped" in output) == (0, True)


def test_what_ci_may_lack_is_a_short_list():
    optional = {name for name, component in COMPONENTS.items() if component.may_miss_in_ci}
    assert optional == {"root", "gpu", "nfs", "hwmon", "cgroups", "python3.9", "shared"}


def test_an_unknown_component_is_an_error_and_no_silent_skip(tree):
    add(tree, "unit/test_typo.py", NEEDS_GPU.replace("'gpu'", "'gpus'"))
    status, output = run(tree)
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "KeyError: 'gpus'" in output
