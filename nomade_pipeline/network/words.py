"""Findings of the network in words, for screens and pictures."""

from __future__ import annotations

from typing import Any, Mapping

from nomade_pipeline.tables.features import QUANTITY

# Where a null model exchanges outcomes.
NULL_WORDS = {
    "permuted": "among all",
    "user_partition": "within user × partition",
    "user_week": "within user × week",
}
# Units that the name of a quantity says already.
_SAID = ("ratio", "0-1", "count", "flag")


def hotspot_words(row: Mapping[str, Any]) -> str:
    """Return the ranges of a hotspot in words."""
    parts = [_range(row, ""), *([_range(row, "second_")] if row["second_quantity"] else [])]
    return " and ".join(parts)


def _range(row: Mapping[str, Any], prefix: str) -> str:
    name, low, high = (row[f"{prefix}{part}"] for part in ("quantity", "low", "high"))
    unit = QUANTITY[name].unit
    shown = "" if unit in _SAID else f" {unit}"
    span = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    return f"{name} {span}{shown}"
