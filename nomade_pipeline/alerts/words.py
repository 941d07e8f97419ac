"""Quantities and lengths of time as people say them."""

from __future__ import annotations

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
# Units that take a prefix (k, M, G, T), with their signs.
BASE_UNITS = {"bytes": "B", "bytes/s": "B/s", "hertz": "Hz", "watts": "W"}


def quantity(value: float, unit: str) -> str:
    """Return a value with its unit: ``91.2 %``, ``12.3 GB``, ``84 °C``, ``350 ms``."""
    if unit in BASE_UNITS:
        size, prefix = next(((size, prefix) for size, prefix in _PREFIXES if abs(value) >= size), (1.0, ""))
        return f"{value / size:.3g} {prefix}{BASE_UNITS[unit]}"
    if unit == "percent":
        return f"{value:.1f} %"
    if unit == "celsius":
        return f"{value:.0f} °C"
    if unit == "seconds":
        return f"{value * 1000:.0f} ms" if abs(value) < 1 else duration(value)
    text = f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.3g}"
    return text if unit in ("", "flag", "count", "ratio") else f"{text} {unit}"


def duration(seconds: float) -> str:
    """Return a length of time in its largest fitting unit: ``3.2 days``, ``5 h``, ``12 min``, ``40 s``."""
    for size, word in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size or (size < 86400 and seconds >= size):
            return f"{seconds / size:.1f} {word}" if seconds < 10 * size else f"{seconds / size:.0f} {word}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def in_days(days: float) -> str:
    """Return a time in days as people say it."""
    return duration(days * 86400.0)
