"""`scripts/nomade.sh`: each short name calls the command it stands for, with its arguments untouched."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "nomade.sh"
HELPERS = {
    "nstatus": ["status"],
    "nwatch": ["status", "--watch", "5"],
    "nwatch 2": ["status", "--watch", "2"],
    "nwatch 2 --host n1": ["status", "--watch", "2", "--host", "n1"],
    "ndisk /home --hours 48": ["disk", "/home", "--hours", "48"],
    "ndisk '/a b; rm -rf $HOME'": ["disk", "/a b; rm -rf $HOME"],
    "njobs --user alice": ["jobs", "--user", "alice"],
    "nsimilarity": ["similarity"],
    "nalerts --unresolved": ["alerts", "--unresolved"],
    "ncollect": ["collect", "--once"],
    "ncollect -C disk": ["collect", "-C", "disk"],
    "nmonitor": ["monitor"],
    "nsyscheck": ["syscheck"],
    "nlog": ["logs", "--follow"],
}
SHELLS = [shell for shell in ("bash", "zsh") if shutil.which(shell)]


def sourced(call: str, shell: str = "bash") -> subprocess.CompletedProcess[str]:
    """Run a line in a shell that has sourced the script."""
    argv = [shell, "-c", f"set -u; . '{SCRIPT}'; {call}"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """A program that prints each of its arguments on a line."""
    program = tmp_path / "recorder"
    program.write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\nexit 7\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("call", HELPERS)
def test_each_helper_passes_its_arguments_on_and_its_exit_status_back(shell: str, call: str, recorder: Path) -> None:
    ended = sourced(f"NOMADE_COMMAND='{recorder}'; {call}", shell)
    assert (ended.stdout.splitlines(), ended.returncode, ended.stderr) == (HELPERS[call], 7, "")


def test_ndisk_without_a_path_says_how_it_is_used() -> None:
    ended = subprocess.run(
        ["bash", "-c", f". '{SCRIPT}'; ndisk"], capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.returncode == 2
    assert "usage: ndisk PATH" in ended.stderr


def test_nhelp_names_every_helper() -> None:
    text = SCRIPT.read_text()
    listed = subprocess.run(
        ["bash", "-c", f". '{SCRIPT}'; nhelp"], capture_output=True, text=True, timeout=20, check=True
    ).stdout
    for name in re.findall(r"^(n\w+)\(\)", text, re.MULTILINE):
        assert re.search(rf"^{name}\b", listed, re.MULTILINE), name


def test_the_script_has_no_eval_and_is_clean() -> None:
    assert "eval" not in SCRIPT.read_text()
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(SCRIPT)], check=True, timeout=60)
