"""The entries of `alerts.toml`: arrays of tables such as `[[rule]]`, each with the lines that it stands on."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from nomade_pipeline.config.load import ConfigError
from nomade_pipeline.config.settings import Config
from nomade_pipeline.config.toml import TomlError, line_of, lines_of, read_toml

_HEADER = re.compile(r"\s*\[\[\s*([A-Za-z0-9_-]+)\s*\]\]\s*(?:#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")


@dataclass(frozen=True)
class Entry:
    """One table of an array of tables.

    Attributes:
        kind: name of the array.
        values: keys and values as TOML gives them.
        line: of its header, from 1.
        key_lines: line of each key.
    """

    kind: str
    values: Mapping[str, Any]
    line: int
    key_lines: Mapping[str, int] = field(default_factory=dict)


FILE_NAME = "alerts.toml"
KINDS = ("rule", "target", "route", "mute")


def alerts_file(config: Config) -> Optional[Path]:
    """Return the file that holds the entries: the one that is named, else the one beside nomade.toml; None without.

    Raises:
        ConfigError: the file that is named does not exist.
    """
    named = config.alerts.rules_file
    if named:
        if not os.path.isfile(named):
            raise ConfigError((f"{named}: no such file (named by [alerts] rules_file)",))
        return Path(named)
    return None if config.source is None else config.source.absolute().with_name(FILE_NAME)


def read_entries(path: Path) -> List[Entry]:
    """Return all entries of a file in their order; none when it does not exist.

    Raises:
        ConfigError: it cannot be read, is no TOML, or holds something else than arrays of tables.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        raise ConfigError((f"{path}: is not UTF-8 text (byte {error.start})",)) from error
    try:
        content = read_toml(text)
    except TomlError as error:
        raise ConfigError((f"{path}:{error.line}: is not valid TOML: {error}",)) from error
    places = _places(text)
    entries = []
    for kind, tables in content.items():
        if kind not in KINDS:
            raise ConfigError((_unknown(path, text, kind),))
        known = places.get(kind, [])
        # Inline arrays, and headers within texts of several lines, have no lines of their own.
        if not isinstance(tables, list) or len(tables) != len(known):
            line = line_of(lines_of(text), (kind,)) or 1
            raise ConfigError((f"{path}:{line}: {kind}: write each entry as [[{kind}]] with its keys below",))
        entries += [Entry(kind, table, *place) for table, place in zip(tables, known)]
    return sorted(entries, key=lambda entry: entry.line)


def _unknown(path: Path, text: str, kind: str) -> str:
    near = difflib.get_close_matches(kind.lower(), KINDS, n=1)
    advice = f"did you mean [[{near[0]}]]?" if near else f"there are {', '.join(f'[[{each}]]' for each in KINDS)}"
    return f"{path}:{line_of(lines_of(text), (kind,))}: [[{kind}]] is unknown; {advice}"


def _places(text: str) -> Dict[str, List[tuple[int, Dict[str, int]]]]:
    """Return the line of each header, and of each key below it."""
    found: Dict[str, List[tuple[int, Dict[str, int]]]] = {}
    keys: Dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            keys = {}
            found.setdefault(header.group(1), []).append((number, keys))
        elif key:
            keys.setdefault(key.group(1), number)
    return found
