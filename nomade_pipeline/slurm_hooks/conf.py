"""What slurm.conf says of hooks, and the block of ours at its end.

Nothing but the block is ever changed, so that taking it away gives the file back byte by byte.
"""

from __future__ import annotations

import fnmatch
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

PROLOG, EPILOG, TASK_EPILOG = "Prolog", "Epilog", "TaskEpilog"
SETTINGS = (PROLOG, EPILOG, TASK_EPILOG)

_BEGIN, _END = b"# >>> nomade hooks", b"# <<< nomade hooks"
_ADDED_NEWLINE = b" (the line above had no end)"
_BLOCK = re.compile(
    rb"(?P<newline>\n?)^" + _BEGIN + rb"(?P<added>" + re.escape(_ADDED_NEWLINE) + rb")?:[^\n]*\n.*?^" + _END + rb"\n",
    re.MULTILINE | re.DOTALL,
)
_SETTING = re.compile(r"(?:^|\s)(prolog|epilog|taskepilog)\s*=\s*(\"[^\"]*\"|\S+)", re.IGNORECASE)
_INCLUDE = re.compile(r"\s*include\s+(\S+)", re.IGNORECASE)
# A file that includes itself is nobody's intention.
_DEEPEST = 8


class ConfError(Exception):
    """A slurm.conf that cannot be read or changed safely; the message says why and what to do."""


@dataclass(frozen=True)
class Setting:
    """One line that names a hook: which, its value, and where it stands."""

    name: str
    value: str
    place: str

    def runs(self, script: Path) -> bool:
        """Whether Slurm runs a script because of it: by its path, or by a pattern of paths."""
        return self.value == str(script) or (
            self.name != TASK_EPILOG and fnmatch.fnmatchcase(str(script), self.value) and "*" in self.value
        )


def read(path: Path) -> bytes:
    """Return a slurm.conf.

    Raises:
        ConfError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfError(f"{path} cannot be read: {error.strerror}; name slurm.conf with --conf") from error


def without_block(content: bytes) -> bytes:
    """Return a slurm.conf without our block, as it was before the block was added."""

    def as_before(match: re.Match[bytes]) -> bytes:
        return b"" if match.group("added") else match.group("newline")

    return _BLOCK.sub(as_before, content)


def with_block(content: bytes, lines: dict[str, str]) -> bytes:
    """Return a slurm.conf with our block at its end; unchanged without lines.

    Raises:
        ConfError: its last line goes on in the next, which would swallow the block.
    """
    before = without_block(content)
    if not lines:
        return before
    if before.rstrip(b"\n").endswith(b"\\"):
        raise ConfError("the last line of slurm.conf ends with a backslash; end it, then try again")
    is_open = bool(before) and not before.endswith(b"\n")
    head = _BEGIN + (_ADDED_NEWLINE if is_open else b"") + b": `nomade hooks uninstall` takes them away\n"
    body = "".join(f"{name}={value}\n" for name, value in lines.items()).encode()
    return before + (b"\n" if is_open else b"") + head + body + _END + b"\n"


def settings_of(path: Path, content: bytes | None = None) -> dict[str, Setting]:
    """Return the hooks that a slurm.conf and the files that it includes name; of a repeated one the last.

    Args:
        path: the file.
        content: in place of what stands in it.

    Raises:
        ConfError: a file cannot be read, or they include each other.
    """
    found: dict[str, Setting] = {}
    for setting in _settings(path, read(path) if content is None else content, 0):
        found[setting.name] = setting
    return found


def _settings(path: Path, content: bytes, depth: int) -> Iterator[Setting]:
    if depth > _DEEPEST:
        raise ConfError(f"{path}: files include each other")
    text = content.decode("utf-8", "surrogateescape").replace("\\\n", "  ")
    names = {name.lower(): name for name in SETTINGS}
    for number, line in enumerate(text.split("\n"), start=1):
        plain = line.partition("#")[0]
        include = _INCLUDE.match(plain)
        if include:
            inner = path.parent / include.group(1)
            # `%c` and the like are names that only Slurm knows.
            if "%" not in include.group(1):
                yield from _settings(inner, read(inner), depth + 1)
            continue
        for match in _SETTING.finditer(plain):
            yield Setting(names[match.group(1).lower()], match.group(2).strip('"'), f"{path}:{number}")


def quoted(words: list[str]) -> str:
    """Return a command as a shell reads it."""
    return " ".join(shlex.quote(word) for word in words)
