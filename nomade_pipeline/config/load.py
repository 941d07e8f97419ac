"""Finding and loading `nomade.toml`, with overrides from the environment.

The search order is: the given path, ``$NOMADE_CONFIG``, ``./nomade.toml``, ``~/.config/nomade/``,
``/etc/nomade/``; without a file the defaults hold. ``NOMADE_ALERTS__SMTP_HOST`` overrides
``[alerts] smtp_host`` and ``NOMADE_COLLECTORS__DISK__FILESYSTEMS`` a key of a nested section.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from nomade_pipeline.config.keys import FORMS, keys_of
from nomade_pipeline.config.settings import Config
from nomade_pipeline.config.toml import KeyPath, TomlError, line_of, lines_of, read_literal, read_toml
from nomade_pipeline.config.validate import Problem, validate

FILE_NAME = "nomade.toml"
SYSTEM_FOLDER = Path("/etc/nomade")
_PREFIX, _SEPARATOR = "NOMADE_", "__"


class ConfigError(Exception):
    """A configuration that cannot be used.

    Attributes:
        problems: one line a fault, each with file, line, section and key.
    """

    def __init__(self, problems: Tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load_config(
    path: Optional[Path] = None, environment: Optional[Mapping[str, str]] = None, *, strict: bool = True
) -> Config:
    """Find, read and check the configuration.

    Args:
        path: the file to read; None searches for it.
        environment: variables in place of the process's own.
        strict: False for the agent, which tolerates unknown keys and reads only its own sections.

    Raises:
        ConfigError: a file cannot be read, is no TOML, or holds faulty keys; all of them are named.
    """
    variables = os.environ if environment is None else environment
    source = find_config(path, variables)
    text = "" if source is None else _read(source)
    tree = _parse(source, text)
    overrides = _overrides(variables)
    for where, (_, value) in overrides.items():
        _insert(tree, where, value)
    config, problems = validate(tree, strict=strict)
    config, derived = _derive(config, tree, variables)
    origins = {where: name for where, (name, _) in overrides.items()}
    lines = lines_of(text) if problems else {}
    fatal = tuple(_worded(problem, source, lines, origins) for problem in (*problems, *derived) if problem.fatal)
    if fatal:
        raise ConfigError(fatal)
    tolerated = tuple(_worded(problem, source, lines, origins) for problem in problems)
    return replace(config, source=source, warnings=tolerated)


def environment_with(overrides: Mapping[str, str]) -> Dict[str, str]:
    """Return the process's environment with further variables, such as those of command-line options."""
    return {**os.environ, **overrides}


def find_config(path: Optional[Path], environment: Mapping[str, str]) -> Optional[Path]:
    """Return the file to read, None when there is none.

    Raises:
        ConfigError: the file that was named does not exist.
    """
    named = [(path, "--config")] if path is not None else []
    if not named and environment.get("NOMADE_CONFIG"):
        named = [(Path(environment["NOMADE_CONFIG"]), "NOMADE_CONFIG")]
    for file, by in named:
        if not _is_file(file):
            raise ConfigError((f"{file}: no such file (named by {by})",))
        return file
    return next((file for file in _searched(_home(environment), SYSTEM_FOLDER) if _is_file(file)), None)


@lru_cache(maxsize=8)
def _searched(home: str, system: Path) -> Tuple[Path, ...]:
    """Return the usual places; kept, because an agent looks every minute (see `LiveProbe`)."""
    return Path(FILE_NAME), Path(home) / ".config" / "nomade" / FILE_NAME, system / FILE_NAME


def _is_file(path: Path) -> bool:
    # Unlike Path.is_file this says no, and does not raise, where a folder above may not be searched.
    return os.path.isfile(path)


def _home(environment: Mapping[str, str]) -> str:
    return environment.get("HOME") or os.path.expanduser("~")


def _read(source: Path) -> str:
    """Return the text of a configuration file."""
    try:
        return source.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError((f"{source}: cannot be read: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        raise ConfigError((f"{source}: is not UTF-8 text (byte {error.start})",)) from error


def _parse(source: Optional[Path], text: str) -> Dict[str, Any]:
    try:
        return read_toml(text)
    except TomlError as error:
        raise ConfigError((f"{source}:{error.line}: is not valid TOML: {error}",)) from error


def _overrides(environment: Mapping[str, str]) -> Dict[KeyPath, Tuple[str, Any]]:
    """Return the keys that environment variables set, each with the variable's name and the value."""
    found: Dict[KeyPath, Tuple[str, Any]] = {}
    for name in sorted(environment):
        if name.startswith(_PREFIX) and _SEPARATOR in name:
            where = tuple(name[len(_PREFIX) :].lower().split(_SEPARATOR))
            found[where] = (name, _from_text(environment[name], _default_of(where)))
    return found


def _default_of(path: KeyPath) -> Any:
    """Return the default of a key, None when there is no such key."""
    section: Any = Config()
    for name in path[:-1]:
        section = getattr(section, name, None)
    if not hasattr(section, "__dataclass_fields__"):
        return None
    return next((each.default for each, _ in keys_of(section) if each.name == path[-1]), None)


def _from_text(text: str, default: Any) -> Any:
    """Read a variable as the kind of value its key wants; what cannot be read stays a text."""
    if isinstance(default, tuple) and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        value = read_literal(text)
    except TomlError:
        return text
    return text if isinstance(default, str) and not isinstance(value, str) else value


def _insert(tree: Dict[str, Any], path: KeyPath, value: Any) -> None:
    """Set a key of a tree; a value in the place of a section gives way, the file's fault with it."""
    for name in path[:-1]:
        if not isinstance(tree.get(name), dict):
            tree[name] = {}
        tree = tree[name]
    tree[path[-1]] = value


def _derive(config: Config, tree: Dict[str, Any], environment: Mapping[str, str]) -> Tuple[Config, List[Problem]]:
    """Fill in what follows from the machine: the host's name and a data folder that can be written."""
    problems: List[Problem] = []
    general = config.general
    host = general.host or environment.get("SLURMD_NODENAME") or os.uname().nodename.split(".")[0].lower()
    if not re.fullmatch(FORMS["name"][0], host):
        advice = "give a host of letters, digits and . _ - here"
        problems.append(
            Problem(("general", "host"), f"the name of this host, {host!r:.80}, cannot name a folder; {advice}")
        )
    data_dir = general.data_dir
    home = _home(environment)
    if "data_dir" not in _general(tree) and not _can_write(Path(data_dir)):
        data_dir = os.path.join(home, ".local", "share", "nomade")
    if data_dir == "~" or data_dir.startswith("~/"):
        data_dir = str(home) + data_dir[1:]
    return replace(config, general=replace(general, host=host, data_dir=data_dir)), problems


def _general(tree: Dict[str, Any]) -> Dict[str, Any]:
    section = tree.get("general")
    return section if isinstance(section, dict) else {}


def _can_write(folder: Path) -> bool:
    """Return whether this user may write into a folder, or make it."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)


def _worded(problem: Problem, source: Optional[Path], lines: Dict[KeyPath, int], origins: Dict[KeyPath, str]) -> str:
    """Word a fault with the place where it stands."""
    section, name = ".".join(problem.path[:-1]), problem.path[-1]
    key = f"[{section}] {name}" if section else f"[{name}]"
    line = line_of(lines, problem.path)
    if problem.path not in lines or problem.path in origins:
        # An unknown section may stand in the environment only: then a variable begins with its path.
        for path, variable in origins.items():
            if path[: len(problem.path)] == problem.path:
                return f"environment variable {variable}: {key}: {problem.message}"
    place = "defaults" if source is None else str(source) if line is None else f"{source}:{line}"
    return f"{place}: {key}: {problem.message}"
