"""A wheel in an environment of its own: what a site installs works without this repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from support.needs import REPOSITORY


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, install it alone into a fresh environment, and return that environment.

    The dependencies come from the environment that runs the tests (a .pth file), so that this costs
    seconds and not gigabytes; the project itself comes from the wheel only.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True)
    environment = folder / "env"
    venv.create(environment, with_pip=False, symlinks=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    (wheel,) = folder.glob("*.whl")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(environment / "bin" / "python"),
        "install",
        "--no-deps",
        "--quiet",
    ]
    subprocess.run([*pip, str(wheel)], check=True)
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    return environment


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "NOMADE_GENERAL__DATA_DIR": str(folder / "data")}
    return subprocess.run(arguments, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_the_wheel_holds_the_package_and_the_dagster_shell_and_no_tests(installed: Path) -> None:
    (packages,) = installed.glob("lib/python3*/site-packages")
    names = {path.name for path in packages.iterdir()}
    assert {"nomade_pipeline", "assets", "jobs", "sensors"} <= names
    assert not {"tests", "benchmarks", "docs"} & names
    assert (packages / "nomade_pipeline/data/dagster.yaml").is_file()
    assert (packages / "nomade_pipeline/slurm_hooks/scripts/epilog.sh").is_file()
    assert list((packages / "nomade_pipeline/store/migrations/versions").glob("0001*.py"))


def test_the_wheel_initialises_collects_and_shows_status(installed: Path, tmp_path: Path) -> None:
    nomade = [str(installed / "bin" / "nomade"), "--config", str(tmp_path / "nomade.toml")]
    init = run(installed, tmp_path, *nomade, "init")
    assert init.returncode == 0, init.stdout + init.stderr
    once = run(installed, tmp_path, *nomade, "collect", "--once", "--interval", "1")
    assert once.returncode == 0, once.stdout + once.stderr
    status = run(installed, tmp_path, *nomade, "status", "--json")
    assert status.returncode == 0, status.stdout + status.stderr
    assert json.loads(status.stdout)["hosts"]


def test_the_wheel_loads_its_definitions_from_its_own_files(installed: Path, tmp_path: Path) -> None:
    script = (
        "import nomade_pipeline, assets.raw; from nomade_pipeline.definitions import defs;"
        "defs.get_repository_def(); print(nomade_pipeline.__file__); print(assets.raw.__file__)"
    )
    loaded = run(installed, tmp_path, str(installed / "bin" / "python"), "-c", script)
    assert loaded.returncode == 0, loaded.stderr
    assert all(line.startswith(str(installed)) for line in loaded.stdout.split())
