"""Alerts on the status screen."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from nomade_pipeline.cli.alerts_commands import COLOURS, local, state_words
from nomade_pipeline.cli.output import age_text, bad, faint, good, heading, pad, printable, shorten_end

MOST_ALERTS = 8
# The evaluation runs every 30 s.
LATE_SECONDS = 300.0


def alert_lines(found: Mapping[str, Any], columns: int) -> Iterator[str]:
    """Yield the open alerts, the most severe first, and whether they are evaluated at all."""
    alerts = found["alerts"]
    yield heading("Alerts:") + _mark(alerts["evaluated_age_seconds"])
    if not alerts["open"]:
        yield good("  none fires") if alerts["evaluated_age_seconds"] is not None else faint("  – none known")
    for row in alerts["open"][:MOST_ALERTS]:
        start = f"  {pad(row['severity'], 9)}{local(row['fired_time'])}  {printable(row['rule'])}: "
        text = shorten_end(f"{printable(row['summary'])}  {printable(state_words(row))}", columns - len(start))
        yield COLOURS[row["severity"]](start) + text
    if len(alerts["open"]) > MOST_ALERTS:
        yield faint(f"  … {len(alerts['open']) - MOST_ALERTS} more; `nomade alerts --unresolved` lists them")


def _mark(age: float | None) -> str:
    if age is None:
        return faint(" (never evaluated; `nomade up` does)")
    return bad(f" (last evaluated {age_text(age)} ago; does `nomade up` run?)") if age > LATE_SECONDS else ""
