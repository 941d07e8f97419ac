"""Every command: help with examples, JSON where there is something to read, honesty on an empty installation."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import click
import pytest
from support.installation import fill_spool, ingest, nomade
from support.rows import T0, spool
from support.slurm import ENDED, slurm_cycle

from nomade_pipeline.cli.lazy import COMMANDS, SECTIONS, load
from nomade_pipeline.cli.main import cli
from nomade_pipeline.computing import STEPS, days_with_jobs
from nomade_pipeline.config.settings import Config

# What each command is called with where it needs arguments.
ARGUMENTS = {
    "disk": ["/"],
    "job": [ENDED],
    "features": [ENDED],
    "sql": ["SELECT 1"],
    "forget": ["nope", "--dry-run"],
    "completion": ["bash"],
}
# They start something that stays, ask the network or this machine, or are tried elsewhere at length.
NOT_RUN = {
    "hooks",
    "import",
    "lab",
    "up",
    "start",
    "demo",
    "parse",
    "init",
    "migrate",
    "uninstall",
    "collect",
    "monitor",
    "syscheck",
    "test-alerts",
    "simulate",
    "replay",
}
WRITERS = {*NOT_RUN, "stop", "completion", "backfill", "dashboard", "logs"}
READERS = sorted(set(COMMANDS) - WRITERS)
LATER = sorted(name for name, entry in COMMANDS.items() if entry.module == "later_commands")
HEAVY = ("polars", "pyarrow", "pandas", "numpy", "sqlalchemy", "alembic", "dagster", "duckdb", "rich", "torch", "scipy")


@pytest.fixture(autouse=True)
def _nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("NOMADE_CONFIG", "NO_COLOR", "NOMADE_GENERAL__DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("filled")
    fill_spool(root, minutes=3)
    spool(root / "spool", *slurm_cycle(T0 - timedelta(minutes=1)), host="head")
    store = ingest(root, minutes=60)
    for step in STEPS.values():
        for day in days_with_jobs(store):
            step.compute(store, Config(), day)
    return root


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_the_command_and_shows_examples(name: str) -> None:
    ended = nomade(name, "--help")
    assert ended.status == 0
    assert "Examples:" in ended.stdout
    assert f"nomade {name}" in ended.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_is_explained(name: str) -> None:
    command = load(name)
    assert command.name == name
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_the_general_help_lists_every_command_with_its_line() -> None:
    shown = nomade("--help").stdout
    for section, entries in SECTIONS.items():
        assert f"{section}:" in shown
        for name, entry in entries.items():
            assert f"  {name} " in shown
            assert len(entry.summary) <= 62, "a line of the help must not fold"
    assert "Exit codes" in shown


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_json(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in load(name).params)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - NOT_RUN))
def test_an_empty_installation_is_told_what_is_missing_and_stays_empty(name: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    ended = nomade(name, *ARGUMENTS.get(name, []), root=root)
    assert "Traceback" not in ended.stderr
    if ended.status == 3:
        assert "→" in ended.stderr, "no data comes with a hint"
    else:
        assert ended.status == 0
        assert ended.stdout.strip()
    assert not root.exists()


@pytest.mark.parametrize("name", sorted(set(READERS) - set(LATER)))
def test_json_is_valid_on_a_filled_installation(name: str, filled: Path) -> None:
    arguments = [*ARGUMENTS.get(name, []), "--json"]
    if name == "ledger":
        arguments += ["--date", T0.date().isoformat()]
    if name == "forget":
        arguments = ["alpha", "--dry-run", "--force", "--json"]
    ended = nomade(name, *arguments, root=filled)
    assert ended.status == 0, ended.stderr
    assert ended.json is not None


@pytest.mark.parametrize("name", LATER)
def test_a_command_of_a_later_version_says_so_and_exits_with_3(name: str) -> None:
    ended = nomade(name)
    assert ended.status == 3
    assert "later version" in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs", "--user", "jsmith"),
        ("similarity", "--find-similar", "12345"),
        ("similarity", "--export", "viz.json"),
        ("alerts", "--unresolved"),
    ],
)
def test_the_options_of_the_reference_are_accepted(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert nomade(*arguments, root=tmp_path / "none").status == 3


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_completion_for_each_shell(shell: str) -> None:
    ended = nomade("completion", shell)
    assert ended.status == 0
    assert "_NOMADE_COMPLETE" in ended.stdout


def test_completion_knows_commands_and_options() -> None:
    def complete(words: str, place: int) -> str:
        variables = {"_NOMADE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(place)}
        return program(**variables).stdout

    assert "plain,status" in complete("nomade sta", 1)
    assert "plain,--watch" in complete("nomade status --w", 2)


def program(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "nomade_pipeline.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **variables},
    )


@pytest.mark.parametrize(
    "arguments", [("--help",), ("version",), ("status",), ("status", "--json"), ("logs",), ("ledger",), ("config",)]
)
def test_what_must_answer_at_once_imports_nothing_heavy(arguments: tuple[str, ...], filled: Path) -> None:
    code = (
        "import sys; from nomade_pipeline.cli.main import main; status = main(sys.argv[1:]); "
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "--data-dir", str(filled), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    imported = set(ended.stderr.splitlines()[-1].split())
    assert "click" in imported
    assert not imported & set(HEAVY)


def test_the_general_help_imports_no_command() -> None:
    ended = program("--help", PYTHONPROFILEIMPORTTIME="1")
    assert "nomade_pipeline.cli.lazy" in ended.stderr
    assert "nomade_pipeline.cli.status_command" not in ended.stderr


def test_the_program_as_a_process_gives_output_and_exit_status(filled: Path, tmp_path: Path) -> None:
    assert program("--version").stdout.startswith("nomade ")
    assert program("--data-dir", str(filled), "status").returncode == 0
    assert program("--data-dir", str(tmp_path / "none"), "status").returncode == 3
    assert program("nope").returncode == 2


def test_the_group_and_the_table_of_commands_agree() -> None:
    context = click.Context(cli)
    assert cli.list_commands(context) == list(COMMANDS)
    assert cli.get_command(context, "quality") is load("ledger")
    assert cli.get_command(context, "nope") is None
