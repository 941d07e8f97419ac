"""What every screen needs: tables, bars, ages, sizes, and text that is safe on a terminal."""

from __future__ import annotations

import json
import shutil
import unicodedata
from typing import Any, Iterable, Mapping, Sequence

import click

from nomade_pipeline.tables.contract import is_simulated, labelled

BAR_CELLS = 20
_SPARKS = "▁▂▃▄▅▆▇█"
_SIZES = ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB"))
# An em dash stands for null; it cannot be mistaken for zero.
NULL = "–"


def echo_json(value: Any) -> None:
    """Print a value as JSON; the one form for every ``--json``."""
    click.echo(json.dumps(value, indent=2, default=str))


def printable(text: object) -> str:
    r"""Return text in which control characters are written out as ``\x1b``.

    Names of mounts, devices and jobs are chosen by anybody; none of them may steer a terminal.
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii") for char in plain
    )


def width() -> int:
    """Return the number of columns to write in: the terminal's, 80 to 160."""
    return max(80, min(160, shutil.get_terminal_size((100, 24)).columns))


def cells(text: str) -> int:
    """Return how many columns a text takes on a terminal: East Asian characters take two."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def pad(text: str, size: int, *, right: bool = False) -> str:
    """Fill a text with spaces to ``size`` columns."""
    space = " " * max(0, size - cells(text))
    return space + text if right else text + space


def shorten(text: str, size: int) -> str:
    """Cut a text in its middle to at most ``size`` columns, so that both ends stay."""
    if cells(text) <= size:
        return text
    head = max(1, (size - 1) // 2)
    return text[:head] + "…" + text[-(size - head - 1) :]


def shorten_end(text: str, size: int) -> str:
    """Cut a sentence at its end to at most ``size`` characters."""
    return text if len(text) <= size else text[: size - 1].rstrip() + "…"


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()) -> str:
    """Lay out rows under headers; columns named in ``right`` are aligned to the right."""
    texts = [[NULL if value is None else printable(value) for value in row] for row in rows]
    sizes = [max([cells(name), *(cells(row[i]) for row in texts)]) for i, name in enumerate(headers)]
    lines = [list(headers), ["─" * size for size in sizes], *texts]
    return "\n".join(
        "  ".join(pad(text, sizes[i], right=headers[i] in right) for i, text in enumerate(line)).rstrip()
        for line in lines
    )


def cluster_first(
    headers: Sequence[str], rows: Sequence[Mapping[str, Any]], lines: Sequence[Sequence[Any]]
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Return headers and lines of a table, led by the cluster where the rows are of more than one, or of none real."""
    clusters = {row["cluster"] for row in rows}
    if len(clusters) < 2 and not any(map(is_simulated, clusters)):
        return tuple(headers), [tuple(line) for line in lines]
    return ("cluster", *headers), [(cluster_name(row["cluster"]), *line) for row, line in zip(rows, lines, strict=True)]


def cluster_name(cluster: str) -> str:
    """Return the name of a cluster as every screen shows it: one that is not real says so."""
    return printable(labelled(cluster))


def bar(percent: float, size: int = BAR_CELLS) -> str:
    """Draw a percentage; anything above zero shows, and only 100 fills the bar."""
    filled = int(percent / 100 * size)
    filled = max(1 if percent > 0 else 0, min(filled, size))
    return f"[{'█' * filled}{'░' * (size - filled)}]"


def spark(values: Sequence[float], size: int) -> str:
    """Draw a series as one line of at most ``size`` blocks, scaled between its smallest and largest value."""
    if not values:
        return ""
    step = max(1.0, len(values) / size)
    chosen = [values[min(len(values) - 1, int((i + 1) * step) - 1)] for i in range(min(size, len(values)))]
    low, high = min(chosen), max(chosen)
    if high == low:
        return _SPARKS[0] * len(chosen)
    return "".join(_SPARKS[round((value - low) / (high - low) * (len(_SPARKS) - 1))] for value in chosen)


def size_text(size: float | None) -> str:
    """Return bytes in decimal units (GB = 10⁹ bytes)."""
    if size is None:
        return NULL
    for factor, name in _SIZES:
        if abs(size) >= factor:
            return f"{size / factor:.2f} {name}"
    return f"{size:.0f} B"


def age_text(seconds: float) -> str:
    """Return a length of time for people: ``12 s``, ``5 min``, ``3 h``, ``2 days``."""
    if seconds < 0:
        return f"{age_text(-seconds)} in the future"
    for limit, factor, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / factor:.0f} {name}"
    return f"{seconds / 86400:.0f} days"


def number(value: float | None, form: str = ".1f", unit: str = "") -> str:
    """Format a number; null is a dash, never zero."""
    return NULL if value is None else f"{value:{form}}{unit}"


def good(text: str) -> str:
    """Colour what is fine."""
    return click.style(text, fg="green")


def warn(text: str) -> str:
    """Colour what deserves a look."""
    return click.style(text, fg="yellow")


def bad(text: str) -> str:
    """Colour what is wrong."""
    return click.style(text, fg="red")


def faint(text: str) -> str:
    """Dim what is beside the point."""
    return click.style(text, dim=True)


def heading(text: str) -> str:
    """Set off a heading."""
    return click.style(text, bold=True)


def note(text: str) -> None:
    """Tell a person something beside the result: on standard error, so that pipes stay clean."""
    click.echo(text, err=True)
