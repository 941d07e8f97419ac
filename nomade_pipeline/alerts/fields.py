"""Reading the keys of one entry of `alerts.toml`: each in its kind, every fault noted with file and line."""

from __future__ import annotations

import difflib
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

from nomade_pipeline.config.keys import FORMS
from nomade_pipeline.config.secret import Secret

if TYPE_CHECKING:
    from nomade_pipeline.config.entries import Entry

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Fields:
    """The keys of an entry, taken one after the other.

    Args:
        entry: the entry.
        path: its file.
        problems: gets one line a fault.

    Attributes:
        entry: the entry.
        problems: what was wrong so far, other entries' included.
    """

    def __init__(self, entry: Entry, path: Path, problems: list[str]) -> None:
        self.entry = entry
        self.problems = problems
        self._path = path
        self._known: dict[str, None] = {}

    def fault(self, key: str, message: str) -> None:
        """Note what is wrong with a key; an empty key stands for the entry."""
        line = self.entry.key_lines.get(key, self.entry.line)
        name = self.entry.values.get("name")
        about = f" {name}" if isinstance(name, str) and _NAME.fullmatch(name) else ""
        self.problems.append(f"{self._path}:{line}: [[{self.entry.kind}]]{about}: {key}{': ' if key else ''}{message}")

    def take(self, key: str, kind: type, default: Any, words: str) -> Any:
        """Return the value of a key, the default when it is absent or of another kind."""
        self._known[key] = None
        value = self.entry.values.get(key, default)
        if type(value) is kind or key not in self.entry.values:
            return value
        self.fault(key, f"expected {words}, found {value!r:.60}")
        return default

    def name(self) -> str:
        """Return the entry's name, which it must have."""
        name = self.text("name", required=True)
        if name and not _NAME.fullmatch(name):
            self.fault("name", f"{name!r:.60} is no name: up to 64 letters, digits and . _ -, a letter or digit first")
        return name

    def text(
        self, key: str, default: str = "", *, choices: Sequence[str] = (), form: str = "", required: bool = False
    ) -> str:
        """Return a text."""
        value: str = self.take(key, str, default, "a text")
        if not value:
            if required and type(self.entry.values.get(key, "")) is str:
                self.fault(key, "is missing")
            return value
        if choices and value not in choices:
            self.fault(key, f"{value!r:.60} is none of {', '.join(choices)}{nearest(value, choices)}")
            return default
        return value if not form or self._has_form(key, value, form) else default

    def texts(self, key: str, *, form: str = "", required: bool = False) -> tuple[str, ...]:
        """Return a list of texts."""
        values = self.take(key, list, [], "a list of texts")
        for value in values:
            if not isinstance(value, str) or not value:
                self.fault(key, f"expected a list of texts, found {value!r:.60} in it")
                return ()
        if required and not values:
            self.fault(key, "is missing" if key not in self.entry.values else "is empty")
        return tuple(value for value in values if not form or self._has_form(key, value, form))

    def _has_form(self, key: str, value: str, form: str) -> bool:
        pattern, advice = FORMS[form]
        if re.fullmatch(pattern, value, re.DOTALL):
            return True
        # An address may be a secret: it is not repeated.
        self.fault(key, advice if form == "url" else f"{value!r:.80} is not possible here; {advice}")
        return False

    def flag(self, key: str, default: bool) -> bool:  # noqa: FBT001 - the value of a flag
        """Return true or false."""
        value: bool = self.take(key, bool, default, "true or false")
        return value

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """Return a whole number within bounds, both inclusive."""
        value: int = self.take(key, int, default, "a whole number")
        if low <= value <= high:
            return value
        self.fault(key, f"{value} is outside {low} to {high}")
        return default

    def number(self, key: str, default: float | None) -> float | None:
        """Return a number, whole or not."""
        value = self.entry.values.get(key, default)
        self._known[key] = None
        if value is default or (
            isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        ):
            return None if value is None else float(value)
        self.fault(key, f"expected a number, found {value!r:.60}")
        return default

    def secret(self, key: str, *, form: str = "", inline: bool = True, required: bool = False) -> Secret:
        """Return where a secret stands: ``KEY``, ``KEY_file`` or ``KEY_env``."""
        value = ""
        if inline:
            value = self.text(key, form=form)
        elif key in self.entry.values:
            self._known[key] = None
            self.fault(key, f"a secret does not belong in this file; name a file with {key}_file, or use {key}_env")
        file, variable = self.text(f"{key}_file", form="path"), self.text(f"{key}_env", form="variable")
        ways = [name for name in (key, f"{key}_file", f"{key}_env") if name in self.entry.values]
        if len(ways) > 1:
            self.fault(ways[1], f"is given beside {ways[0]}; give one of them")
        elif required and not ways:
            self.fault("", f"{key} is missing; give {key}, {key}_file or {key}_env")
        return Secret(value, file, variable)

    def finish(self) -> None:
        """Note the keys that nobody took."""
        for key in self.entry.values:
            if key not in self._known:
                self.fault(
                    key, f"unknown key{nearest(key, list(self._known)) or '; there are ' + ', '.join(self._known)}"
                )


def nearest(word: str, choices: Sequence[str]) -> str:
    """Return the question whether the nearest choice was meant; empty when none is near."""
    close = difflib.get_close_matches(word.lower(), choices, n=1)
    return f"; did you mean {close[0]}?" if close else ""
