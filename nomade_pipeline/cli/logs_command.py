"""`nomade logs`: the logs of agents and supervisor."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import click

from nomade_pipeline.cli.common import FINE, Invocation, pass_invocation
from nomade_pipeline.cli.output import faint, note, printable
from nomade_pipeline.errors import NoData

POLL_SECONDS = 0.5
_BLOCK = 65536
# What an event of the agent's log begins with; the rest are its fields.
_HEAD = ("time", "level", "event")


@click.command(
    "logs", epilog="\b\nExamples:\n  nomade logs\n  nomade logs agent-node01 --lines 100\n  nomade logs --follow"
)
@click.argument("names", nargs=-1)
@click.option("--follow", "-f", is_flag=True, help="Keep printing new lines, until Ctrl-C.")
@click.option("--lines", "-n", type=click.IntRange(0), default=20, show_default=True, help="Last lines of each log.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@pass_invocation
def logs_command(invocation: Invocation, names: tuple[str, ...], follow: bool, lines: int, as_json: bool) -> int:
    """Show the last lines of the logs: all of them, or those whose name begins with one of NAMES."""
    folder = invocation.paths.logs
    tails = [Tail(path) for path in log_files(folder, names)]
    if not tails:
        raise NoData(
            f"there is no log{' of ' + ', '.join(names) if names else ''} in {folder}",
            "`nomade collect` and `nomade up` write them",
        )
    for tail in tails:
        last = tail.last(lines)
        if not as_json:
            note(faint(f"==> {tail.path} <=="))
        for line in last:
            _print(tail, line, as_json=as_json, named=False)
    if not follow:
        return FINE
    try:
        while True:
            time.sleep(POLL_SECONDS)
            for tail in tails:
                for line in tail.fresh():
                    _print(tail, line, as_json=as_json, named=len(tails) > 1)
    except KeyboardInterrupt:
        return FINE


def log_files(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """Return the current logs whose name begins with one of the given ones; rotated ones have other endings."""
    files = sorted(path for pattern in ("*.log", "*.out") for path in folder.glob(pattern) if path.is_file())
    return [path for path in files if not names or any(path.name.startswith(name) for name in names)]


def _print(tail: Tail, line: str, *, as_json: bool, named: bool) -> None:
    if as_json:
        click.echo(json.dumps({"log": tail.path.stem, **_event(line)}))
    else:
        click.echo((faint(f"{tail.path.stem}: ") if named else "") + readable(line))


def _event(line: str) -> dict[str, object]:
    """Return a line as an object; a plain line is its text."""
    try:
        event = json.loads(line)
    except ValueError:
        return {"text": line}
    return event if isinstance(event, dict) else {"text": line}


def readable(line: str) -> str:
    """Return a line of a log for people: JSON events as text, everything printable."""
    event = _event(line)
    if "text" in event and "event" not in event:
        return printable(line)
    rest = " ".join(f"{name}={value}" for name, value in event.items() if name not in _HEAD and value not in (None, 0))
    head = " ".join(str(event[name]) for name in _HEAD if name in event)
    return printable(f"{head} {rest}".rstrip())


@dataclass
class Tail:
    """Reads the end of a log file and what is appended to it, over rotations.

    Attributes:
        path: the file.
    """

    path: Path
    _offset: int = 0
    _inode: int = 0

    def last(self, count: int) -> list[str]:
        """Return the last lines and go on from there."""
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            wanted, data = _BLOCK, b""
            while count:
                file.seek(max(0, size - wanted))
                data = file.read(size - max(0, size - wanted))
                if data.count(b"\n") > count or wanted >= size:
                    break
                wanted *= 4
            self._inode = self.path.stat().st_ino
        complete = data[: data.rfind(b"\n") + 1]
        self._offset = size - (len(data) - len(complete))
        return [line.decode("utf-8", "replace") for line in complete.splitlines()[-count:]] if count else []

    def fresh(self) -> Iterator[str]:
        """Yield the lines that were appended since; a rotated or shortened file is read from its beginning."""
        try:
            status = self.path.stat()
            if status.st_ino != self._inode or status.st_size < self._offset:
                self._offset, self._inode = 0, status.st_ino
            if status.st_size == self._offset:
                return
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        complete = data[: data.rfind(b"\n") + 1]
        self._offset += len(complete)
        yield from (line.decode("utf-8", "replace") for line in complete.splitlines())
