"""From a tree of values to a checked `Config`: a pure function that reports every fault at once."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import Any, Dict, Iterator, List, Optional, Tuple

from nomade_pipeline.config.deadman_settings import DeadmanSettings
from nomade_pipeline.config.keys import FORMS, Key, keys_of, subsections_of
from nomade_pipeline.config.settings import AGENT_SECTIONS, AlertsSettings, Config, DerivedSettings
from nomade_pipeline.config.toml import KeyPath

KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", tuple: "a list of texts"}


@dataclass(frozen=True)
class Problem:
    """One fault of a configuration.

    Attributes:
        path: section and key.
        message: what is wrong and what would be right.
        fatal: False for what the agent tolerates.
    """

    path: KeyPath
    message: str
    fatal: bool = True


@dataclass
class _Findings:
    """What a walk through the tree has found so far."""

    strict: bool
    problems: List[Problem] = field(default_factory=list)

    def add(self, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(path, message))

    def unknown(self, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(path, message, fatal=self.strict))


def validate(tree: Dict[str, Any], *, strict: bool) -> Tuple[Config, List[Problem]]:
    """Check a tree of sections, keys and values.

    Args:
        tree: as TOML gives it.
        strict: False for the agent: only its own sections are read, and an unknown key is tolerated.

    Returns:
        The configuration, in which a faulty key has its default, and all faults found.
    """
    findings = _Findings(strict)
    if not strict:
        known = set(subsections_of(Config))
        tree = {name: value for name, value in tree.items() if name in AGENT_SECTIONS or name not in known}
    config = _section(Config(), tree, (), findings)
    _check_alerts(config.alerts, findings)
    _check_deadman(config.deadman, findings)
    _check_derived(config.derived, findings)
    return config, findings.problems


def _section(default: Any, tree: Dict[str, Any], path: KeyPath, findings: _Findings) -> Any:
    """Check one section and the sections within it; return it with the values that are right."""
    keys = {each.name: (each.default, about) for each, about in keys_of(default)}
    subsections = set(subsections_of(default))
    values: Dict[str, Any] = {}
    for name, value in tree.items():
        where = (*path, name)
        if name in subsections:
            if isinstance(value, dict):
                values[name] = _section(getattr(default, name), value, where, findings)
            else:
                findings.add(where, f"is a section, not a value; write [{'.'.join(where)}]")
        elif name in keys:
            usual, about = keys[name]
            checked, fault = _value(value, usual, about)
            if fault is None:
                values[name] = checked
            else:
                findings.add(where, fault)
        else:
            kind = "section" if isinstance(value, dict) else "key"
            findings.unknown(where, f"unknown {kind}{_suggestion(where, [*keys, *sorted(subsections)])}")
    return replace(default, **values)


def _value(value: Any, default: Any, about: Key) -> Tuple[Any, Optional[str]]:
    """Return a value in its key's kind, or what is wrong with it."""
    kind = type(default)
    if kind is float and type(value) is int:
        value = float(value)
    if kind is tuple and isinstance(value, list):
        value = tuple(value)
    if type(value) is not kind:
        return None, f"expected {KINDS[kind]}" + ("" if about.secret else f", found {_found(value)}")
    texts = value if kind is tuple else (value,) if kind is str else ()
    for text in texts:
        fault = _text_fault(text, about)
        if fault is not None:
            return None, fault
    return value, _number_fault(value, about) if kind in (int, float) else None


def _found(value: Any) -> str:
    """Describe a value of the wrong kind."""
    if isinstance(value, dict):
        return "a section"
    for kind, words in KINDS.items():
        if type(value) is kind:
            return f"{words} ({value!r:.60})"
    return "a list" if isinstance(value, list) else f"{value!r:.60}"


def _text_fault(text: Any, about: Key) -> Optional[str]:
    """Return what is wrong with a text, None if nothing is."""
    if not isinstance(text, str):
        return f"expected {KINDS[tuple]}, found {text!r:.60} in the list"
    if not text:
        return "is empty" if about.required else None
    if "\0" in text:
        return "holds a null character"
    if about.choices and text not in about.choices:
        return f"{text!r:.60} is none of {', '.join(about.choices)}{_nearest(text.upper(), about.choices)}"
    if about.form:
        pattern, advice = FORMS[about.form]
        if not re.fullmatch(pattern, text, re.DOTALL):
            return f"{'the value' if about.secret else f'{text!r:.80}'} is not possible here; {advice}"
    return None


def _number_fault(number: float, about: Key) -> Optional[str]:
    """Return what is wrong with a number, None if nothing is."""
    low, high = about.minimum, about.maximum
    if math.isfinite(number) and (low is None or number >= low) and (high is None or number <= high):
        return None
    if low is not None and high is not None:
        return f"{number:g} is outside {low:g} to {high:g}"
    if low is not None:
        return f"{number:g} is less than {low:g}" if math.isfinite(number) else f"{number:g} is no usable number"
    return f"{number:g} is no usable number"


def _check_alerts(alerts: AlertsSettings, findings: _Findings) -> None:
    """Check what holds between several keys."""
    if alerts.disk_warning_percent >= alerts.disk_critical_percent:
        findings.add(
            ("alerts", "disk_warning_percent"),
            f"{alerts.disk_warning_percent:g} is not below disk_critical_percent ({alerts.disk_critical_percent:g})",
        )
    if alerts.email_enabled:
        for name in ("email_to", "email_from", "smtp_host"):
            if not getattr(alerts, name):
                findings.add(("alerts", "email_enabled"), f"true, but {name} is empty")
    if alerts.slack_enabled and not (alerts.slack_webhook or alerts.slack_webhook_file):
        findings.add(("alerts", "slack_enabled"), "true, but slack_webhook is empty")
    _check_one_of(alerts, ("alerts", "slack_webhook_file"), "slack_webhook", findings)
    _check_mail(alerts, "alerts", findings)


def _check_deadman(deadman: DeadmanSettings, findings: _Findings) -> None:
    """Check that somebody can be told."""
    mailed = bool(deadman.email_to)
    if mailed:
        for name in ("email_from", "smtp_host"):
            if not getattr(deadman, name):
                findings.add(("deadman", "email_to"), f"there are recipients, but {name} is empty")
    if deadman.enabled and not (mailed or deadman.webhook or deadman.webhook_file):
        findings.add(("deadman", "enabled"), "true, but there is neither email_to nor webhook")
    _check_one_of(deadman, ("deadman", "webhook_file"), "webhook", findings)
    _check_mail(deadman, "deadman", findings)


def _check_mail(section: Any, name: str, findings: _Findings) -> None:
    """Check the keys of a mail server."""
    has_password = bool(section.smtp_password_file or section.smtp_password_env)
    _check_one_of(section, (name, "smtp_password_env"), "smtp_password_file", findings)
    if bool(section.smtp_user) != has_password:
        findings.add(
            (name, "smtp_user"), "give user and password (smtp_password_file or smtp_password_env), or neither"
        )
    if section.smtp_user and section.smtp_security == "none":
        findings.add((name, "smtp_security"), "none, but a password is not sent over an open line")


def _check_one_of(section: Any, path: KeyPath, other: str, findings: _Findings) -> None:
    if getattr(section, path[-1]) and getattr(section, other):
        findings.add(path, f"is given beside {other}; give one of them")


def _check_derived(derived: DerivedSettings, findings: _Findings) -> None:
    """Check that every further quantity is one that is rolled up."""
    if not derived.series:
        return
    from nomade_pipeline.tables.catalog import RAW_TABLES

    there = [f"{table.name}.{measure.name}" for table in RAW_TABLES for measure in table.measures]
    for name in derived.series:
        if name not in there:
            fault = f"{name!r:.80} is no quantity that is rolled up{_nearest(name, there)}"
            findings.add(("derived", "series"), f"{fault}; the data dictionary marks those that are")


def all_paths(section: Any = Config, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the path of every key."""
    default = section() if isinstance(section, type) else section
    for each, _ in keys_of(default):
        yield (*path, each.name)
    for name in subsections_of(default):
        yield from all_paths(getattr(default, name), (*path, name))


def _suggestion(path: KeyPath, siblings: List[str]) -> str:
    """Name the nearest valid key: in the same section, else elsewhere."""
    near = _nearest(path[-1], siblings)
    if near:
        return near
    elsewhere = [each for each in all_paths() if each[-1] == path[-1]]
    if elsewhere:
        return f"; it belongs in [{'.'.join(elsewhere[0][:-1])}]"
    # Of sections that share a key the first.
    names = {each[-1]: each for each in reversed(list(all_paths()))}
    closest = _closest(path[-1], list(names))
    if closest:
        return f"; did you mean {closest} in [{'.'.join(names[closest][:-1])}]?"
    return f"; there are {', '.join(siblings)}"


def _nearest(word: str, choices: Any) -> str:
    closest = _closest(word, list(choices))
    return f"; did you mean {closest}?" if closest else ""


def _closest(word: str, choices: List[str]) -> Optional[str]:
    # Imported when something is wrong only: the agent's start is on a budget.
    import difflib

    return next(iter(difflib.get_close_matches(word.lower(), choices, n=1)), None) or next(
        iter(difflib.get_close_matches(word, choices, n=1)), None
    )
