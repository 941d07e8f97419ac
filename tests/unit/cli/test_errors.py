"""Nothing a user can cause ends in a traceback, and exit codes mean what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.installation import fill_spool, nomade

PROGRAM = [sys.executable, "-W", "error", "-m", "nomade_pipeline.cli.main"]


def program(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload,no-any-return]


def test_an_unknown_command_is_answered_with_the_nearest_one() -> None:
    ended = nomade("statu")
    assert ended.status == 2
    assert "status" in ended.stderr


@pytest.mark.parametrize(
    "arguments", [("status", "--nope"), ("disk", "/", "--hours", "0"), ("collect", "-C", "nope"), ("sql",)]
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...], empty: Path) -> None:
    ended = nomade(*arguments, root=empty)
    assert ended.status == 2
    assert "Traceback" not in ended.stderr


def test_all_faults_of_a_configuration_are_named_and_the_exit_status_is_2(tmp_path: Path) -> None:
    config = tmp_path / "nomade.toml"
    config.write_text("[general]\ncluster_nam = 'x'\nlog_level = 7\n")
    ended = nomade("--config", str(config), "status")
    assert ended.status == 2
    assert f"{config}:2" in ended.stderr
    assert f"{config}:3" in ended.stderr
    assert "cluster_name" in ended.stderr


def test_a_configuration_that_does_not_exist_is_named(tmp_path: Path) -> None:
    ended = nomade("--config", str(tmp_path / "none.toml"), "status")
    assert ended.status == 2
    assert "none.toml" in ended.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("ledger",),
        ("tables",),
        ("sql", "SELECT * FROM hourly"),
        ("ingest",),
        ("retention",),
        ("migrate",),
        ("quarantine",),
    ],
)
def test_a_corrupt_database_is_a_message(empty: Path, command: tuple[str, ...]) -> None:
    fill_spool(empty, minutes=1)
    (empty / "nomade.db").write_bytes(b"this is no database" * 1000)
    ended = nomade(*command, root=empty)
    assert "Traceback" not in ended.stderr
    if command != ("quarantine",):
        assert ended.status in (1, 2)
        assert "database" in ended.stderr


@pytest.mark.parametrize(
    "command", [("init",), ("collect", "--once", "-i", "1", "-C", "disk"), ("migrate",), ("ingest",)]
)
def test_a_folder_in_which_nobody_may_write_is_a_message(tmp_path: Path, command: tuple[str, ...]) -> None:
    # Not even root may make a folder in /sys; a configuration of its own, or root's `init` would write /etc/nomade.
    config = tmp_path / "nomade.toml"
    config.write_text("[general]\n")
    ended = nomade("--config", str(config), *command, root=Path("/sys/nomade-test"))
    assert ended.status in (1, 3)
    assert "/sys/nomade-test" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", [("init",), ("collect", "--once", "-i", "1", "-C", "disk"), ("migrate",)])
def test_a_file_in_the_place_of_the_data_folder_is_a_message(tmp_path: Path, command: tuple[str, ...]) -> None:
    config = tmp_path / "nomade.toml"
    (tmp_path / "file").touch()
    config.write_text(f"[general]\ndata_dir = '{tmp_path / 'file' / 'data'}'\n")
    ended = nomade("--config", str(config), *command)
    assert ended.status == 1
    assert str(tmp_path / "file") in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_reader_that_leaves_early_is_no_error(filled: Path) -> None:
    pipe = subprocess.run(
        ["bash", "-c", f'{" ".join(PROGRAM)} --data-dir {filled} sql "FROM iostat" | head -1; exit ${{PIPESTATUS[0]}}'],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert pipe.stderr.count("rows") <= 1
    assert "Traceback" not in pipe.stderr
    assert "Broken" not in pipe.stderr


def test_ctrl_c_is_not_a_traceback(monkeypatch: pytest.MonkeyPatch, filled: Path) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nomade_pipeline.cli.status_command.overview", interrupted)
    ended = nomade("status", root=filled)
    assert ended.status == 130
    assert "Traceback" not in ended.stderr


def test_a_watch_ends_with_ctrl_c_as_meant(monkeypatch: pytest.MonkeyPatch, filled: Path) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nomade_pipeline.cli.status_command.time.sleep", interrupted)
    ended = nomade("status", "--watch", "1", root=filled)
    assert ended.status == 0
    assert "Filesystems:" in ended.stdout


def test_a_fault_of_our_own_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, filled: Path) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("nomade_pipeline.cli.status_command.overview", broken)
    with pytest.raises(ZeroDivisionError):
        nomade("status", root=filled)


def test_a_terminal_that_knows_only_ascii_gets_question_marks(filled: Path) -> None:
    ended = program("--data-dir", str(filled), "status", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert ended.returncode == 0
    assert "?" in ended.stdout


def on_a_terminal(filled: Path, **variables: str) -> str:
    """Return what the program writes to a pseudo-terminal."""
    import pty

    parent, child = pty.openpty()
    subprocess.run(
        [*PROGRAM, "--data-dir", str(filled), "status"],
        stdout=child,
        env={**os.environ, "TERM": "xterm", **variables},
        check=False,
        timeout=60,
    )
    os.close(child)
    content = b""
    while True:
        try:
            block = os.read(parent, 65536)
        except OSError:
            break
        if not block:
            break
        content += block
    os.close(parent)
    return content.decode("utf-8", "replace")


def test_colours_are_for_terminals_and_not_for_those_who_say_no(filled: Path) -> None:
    assert "\x1b[" in on_a_terminal(filled)
    assert "\x1b[" not in on_a_terminal(filled, NO_COLOR="1")
    assert "\x1b[" not in program("--data-dir", str(filled), "status").stdout
