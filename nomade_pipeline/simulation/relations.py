"""What holds between quantities of one job by their definitions; a cloud must not break it."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from nomade_pipeline.analysis.series import Floats

# Quantity, what it is the ratio of.
RATIOS = (("write_intensity", "total_write_gb", "runtime_minutes"),)
# The first is never above the second: a mean and a peak.
ORDERED = (("avg_iowait", "peak_iowait"), ("avg_core_busy", "max_core_busy"))
# Rounding of what is stored.
_TOLERANCE = 1e-6


def relations_in(raw: Floats, dimensions: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return those of the relations above that hold for all jobs (n × d, in their units; NaN is null)."""
    place = {name: number for number, name in enumerate(dimensions)}
    found = []
    for relation in (*RATIOS, *ORDERED):
        if all(name in place for name in relation):
            first, *others = (raw[:, place[name]] for name in relation)
            known = ~np.isnan(np.stack([first, *others])).any(axis=0)
            if known.any() and _holds(first[known], [other[known] for other in others]):
                found.append(relation)
    return tuple(found)


def _holds(first: Floats, others: list[Floats]) -> bool:
    if len(others) == 1:
        return bool((first <= others[0] * (1 + _TOLERANCE) + _TOLERANCE).all())
    return bool(np.allclose(first * others[1], others[0], rtol=_TOLERANCE, atol=_TOLERANCE))


def impose(relations: Sequence[tuple[str, ...]], raw: Floats, dimensions: Sequence[str]) -> Floats:
    """Return jobs (n × d) for which relations hold: a ratio is computed, mean and peak are put in order."""
    place = {name: number for number, name in enumerate(dimensions)}
    found = raw.copy()
    for relation in relations:
        first, *others = (place[name] for name in relation)
        if len(others) == 1:
            low, high = raw[:, first], raw[:, others[0]]
            # A comparison with NaN is false: a null stays where it is.
            found[:, first] = np.where(low > high, high, low)
            found[:, others[0]] = np.where(low > high, low, high)
        else:
            over, under = (raw[:, other] for other in others)
            with np.errstate(divide="ignore", invalid="ignore"):
                found[:, first] = np.where(under > 0, over / under, np.nan)
    return found
