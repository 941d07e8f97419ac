"""Installing the hooks beside slurm.conf and taking them away: first a plan, which can be shown, then its steps."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from nomade_pipeline.slurm_hooks.conf import (
    EPILOG,
    PROLOG,
    TASK_EPILOG,
    ConfError,
    Setting,
    quoted,
    read,
    settings_of,
    with_block,
    without_block,
)

# Which script each setting runs, and the folder beside slurm.conf that holds it.
SCRIPTS = {PROLOG: ("prolog.sh", "prolog.d"), EPILOG: ("epilog.sh", "epilog.d"), TASK_EPILOG: ("epilog.sh", "epilog.d")}
INSTALLED_NAME = "nomade.sh"
# By this line a script is known as ours, and that its folder was made for it.
_OURS, _MADE = "# Installed by `nomade hooks install`.", "# Its folder was made for it."
RUN_FOLDER = Path("/run/nomade")


@dataclass(frozen=True)
class Wish:
    """What the hooks are to do.

    Attributes:
        conf: slurm.conf.
        agent: the command that delivers what they leave: `nomade-agent` with its arguments.
        run: folder of this node, on a local file system, in which they leave it.
    """

    conf: Path
    agent: tuple[str, ...]
    run: Path = RUN_FOLDER


@dataclass
class Plan:
    """Steps of an installation or a removal.

    Attributes:
        folders: to be made.
        files: scripts to be written, by path.
        removed: scripts and folders to be removed.
        conf: slurm.conf and its new content, None when it stays.
        lines: the settings of our block.
        advice: what only a person can do: somebody else's hook is never replaced.
    """

    folders: list[Path] = field(default_factory=list)
    files: dict[Path, str] = field(default_factory=dict)
    removed: list[Path] = field(default_factory=list)
    conf: tuple[Path, bytes] | None = None
    lines: dict[str, str] = field(default_factory=dict)
    advice: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.folders or self.files or self.removed or self.conf)


def script_path(conf: Path, setting: str) -> Path:
    """Return where the script of a setting lies."""
    return conf.parent / SCRIPTS[setting][1] / INSTALLED_NAME


def plan_install(wish: Wish) -> Plan:
    """Return what installing, or installing again, changes.

    Raises:
        ConfError: slurm.conf cannot be read or changed safely.
    """
    plan = Plan()
    content = read(wish.conf)
    theirs = settings_of(wish.conf, without_block(content))
    for setting, (source, _) in SCRIPTS.items():
        path = script_path(wish.conf, setting)
        _plan_script(plan, path, source, wish)
        known = theirs.get(setting)
        if known is None:
            plan.lines[setting] = str(path)
        elif not known.runs(path):
            plan.advice.append(_advice(known, path))
    changed = with_block(content, plan.lines)
    if changed != content:
        plan.conf = (wish.conf, changed)
    return plan


def _plan_script(plan: Plan, path: Path, source: str, wish: Wish) -> None:
    present = _text(path)
    if present is not None and _OURS not in present:
        raise ConfError(f"{path} is not ours; move it away, then try again")
    is_new_folder = not path.parent.exists() or (present is not None and _MADE in present)
    text = render(source, wish, made_folder=is_new_folder)
    if not path.parent.exists() and path.parent not in plan.folders:
        plan.folders.append(path.parent)
    if text != present:
        plan.files[path] = text


def render(source: str, wish: Wish, *, made_folder: bool) -> str:
    """Return a script with the agent's command and the folder of this site."""
    text = (resources.files("nomade_pipeline.slurm_hooks") / "scripts" / source).read_text("utf-8")
    marks = f"#!/bin/sh\n{_OURS}\n" + (f"{_MADE}\n" if made_folder else "")
    text = text.replace("#!/bin/sh\n", marks, 1)
    for pattern, line in (
        (r"^agent\(\) .*$", f'agent() {{ exec {quoted(list(wish.agent))} "$@"; }}'),
        (r"^RUN=.*$", f"RUN={quoted([str(wish.run)])}"),
    ):
        text, count = re.subn(pattern, lambda _: line, text, count=1, flags=re.MULTILINE)  # noqa: B023
        assert count == 1, source
    return text


def _advice(known: Setting, path: Path) -> str:
    """Say how somebody's hook and ours can both run."""
    if known.name == TASK_EPILOG:
        return f"{known.place}: {known.name}={known.value} stays; let it call `{path}` as its last command"
    return (
        f"{known.place}: {known.name}={known.value} stays; let it call `{path}`, or move it into {path.parent} and set "
        f"{known.name}={path.parent}/*"
    )


def plan_uninstall(conf: Path) -> Plan:
    """Return what takes the hooks away again.

    Raises:
        ConfError: slurm.conf cannot be read.
    """
    plan = Plan()
    content = read(conf)
    if without_block(content) != content:
        plan.conf = (conf, without_block(content))
    for path in dict.fromkeys(script_path(conf, setting) for setting in SCRIPTS):
        present = _text(path)
        if present is None or _OURS not in present:
            continue
        plan.removed.append(path)
        if _MADE in present and [each.name for each in path.parent.iterdir()] == [INSTALLED_NAME]:
            plan.removed.append(path.parent)
        named = [each for each in settings_of(conf, without_block(content)).values() if each.value == str(path)]
        plan.advice += [f"{each.place}: take {each.name}={each.value} away" for each in named]
    return plan


def carry_out(plan: Plan) -> None:
    """Do what a plan says: scripts first and slurm.conf last, so that it never names what is not there.

    Raises:
        OSError: something cannot be written; what was done so far is harmless and can be done again.
    """
    removing = bool(plan.removed)
    if plan.conf is not None and removing:
        replace(*plan.conf)
    for folder in plan.folders:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    for path, text in plan.files.items():
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(text, "utf-8")
        beside.chmod(0o755)
        beside.replace(path)
    if plan.conf is not None and not removing:
        replace(*plan.conf)
    for path in plan.removed:
        path.rmdir() if path.is_dir() else path.unlink()


def replace(path: Path, content: bytes) -> None:
    """Replace a file as a whole, with its owner, mode and attributes; a link to it stays one.

    Raises:
        OSError: it cannot be written; the old one stays.
    """
    real = path.resolve()
    beside = real.with_name(f".{real.name}.nomade")
    try:
        beside.write_bytes(content)
        about = real.stat()
        os.chown(beside, about.st_uid, about.st_gid)
        shutil.copystat(real, beside)
        os.utime(beside)
        beside.replace(real)
    finally:
        beside.unlink(missing_ok=True)


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return None


@dataclass(frozen=True)
class HookState:
    """How a setting stands: its script, whether that is installed, and what slurm.conf has it run."""

    setting: str
    script: Path
    is_installed: bool
    runs: str | None
    is_active: bool


def states(conf: Path) -> list[HookState]:
    """Return how each hook stands.

    Raises:
        ConfError: slurm.conf cannot be read.
    """
    found = settings_of(conf)
    return [
        HookState(
            setting,
            path := script_path(conf, setting),
            is_there := _OURS in (_text(path) or ""),
            found[setting].value if setting in found else None,
            is_there and setting in found and found[setting].runs(path),
        )
        for setting in SCRIPTS
    ]
