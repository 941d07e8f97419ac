"""TOML as text: reading it, and finding the line on which a key stands.

The standard reader gives no line numbers, so the text is scanned a second time for sections and
keys. Python < 3.11 has no reader of its own; there the bundled `tomli` is taken.
"""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any, Dict, Optional, Tuple

KeyPath = Tuple[str, ...]

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"^\s*\[\[?\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(rf"^\s*({_DOTTED})\s*=")
_POSITION = re.compile(r"\s*\(at line (\d+), column \d+\)")


class TomlError(ValueError):
    """The text is no TOML.

    Attributes:
        line: where, None when the reader does not say.
    """

    def __init__(self, message: str, line: Optional[int]) -> None:
        super().__init__(message)
        self.line = line


def read_toml(text: str) -> Dict[str, Any]:
    """Return the content of a TOML document.

    Raises:
        TomlError: it is none.
    """
    reader = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        content: Dict[str, Any] = reader.loads(text)
    except reader.TOMLDecodeError as error:
        position = _POSITION.search(str(error))
        line = int(position.group(1)) if position else text.count("\n") + 1
        raise TomlError(_POSITION.sub("", str(error)), line) from error
    return content


def read_literal(text: str) -> Any:
    """Return the value of one TOML literal such as ``5``, ``true`` or ``["a"]``.

    Raises:
        TomlError: the text is no literal, or more than one.
    """
    content = read_toml(f"value = {text}")
    if set(content) != {"value"}:
        raise TomlError("more than one value", None)
    return content["value"]


def lines_of(text: str) -> Dict[KeyPath, int]:
    """Return the line number, from 1, of each section and key of a TOML document."""
    lines: Dict[KeyPath, int] = {}
    section: KeyPath = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        entry = _KEY.match(line)
        if header:
            section = path = _parts(header.group(1))
        elif entry:
            path = section + _parts(entry.group(1))
        else:
            continue
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], number)
    return lines


def line_of(lines: Dict[KeyPath, int], path: KeyPath) -> Optional[int]:
    """Return the line of a key, or of the nearest section around it; None when neither is found."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _parts(dotted: str) -> KeyPath:
    return tuple(part.strip("\"'") for part in re.findall(_PART, dotted))


def to_literal(value: Any) -> str:
    """Format a text, number, flag or tuple of them as a TOML literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _quoted(value)
    return "[" + ", ".join(to_literal(each) for each in value) + "]"


def _quoted(text: str) -> str:
    """Quote a text as a basic string; control characters and lone surrogates are escaped or replaced."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').encode("utf-8", "replace").decode("utf-8")
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match.group()):04x}", escaped) + '"'
