"""Text of strangers, made fit for one line of a log, a header or a terminal."""

from __future__ import annotations

from typing import Any

LONGEST = 200


def one_line(text: Any, longest: int = LONGEST) -> str:
    r"""Return text on one line: control characters and broken text as ``\x0a``, cut after ``longest`` characters."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    plain = words if words.isprintable() else "".join(map(_shown, words))
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def _shown(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii")
