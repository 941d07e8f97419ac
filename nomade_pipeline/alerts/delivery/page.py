"""A message as HTML for mail: tables and inline styles, as mail readers know nothing else; everything escaped."""

from __future__ import annotations

from html import escape
from typing import Mapping

from nomade_pipeline.alerts.delivery import wording
from nomade_pipeline.alerts.notice import Message, Notice

_COLOURS = {"info": "#1f5fa8", "warning": "#b26a00", "critical": "#b3261e"}
_RESOLVED = "#2e7d32"
_FONT = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"


def page(message: Message, pictures: Mapping[int, str]) -> str:
    """Return the HTML of a message.

    Args:
        message: what is told.
        pictures: content ids of the plots, by the place of their notice.
    """
    notices, left = wording.told_in_full(message)
    rules = "".join(f"<li>{escape(line)}</li>" for line in wording.counts_by_rule(message))
    blocks = "".join(_block(notice, pictures.get(place)) for place, notice in enumerate(notices))
    more = f"<p>… and {left} more. {escape(wording.MORE_HINT)}</p>" if left else ""
    return (
        f'<!DOCTYPE html><html><head><meta charset="utf-8"><title>{escape(wording.subject(message))}</title></head>'
        f'<body style="{_FONT};font-size:14px;color:#1b1b1f"><p><b>{escape(wording.counts(message))}</b></p>'
        f"{f'<ul>{rules}</ul>' if rules else ''}{blocks}{more}</body></html>\n"
    )


def _block(notice: Notice, picture: str | None) -> str:
    colour = _RESOLVED if notice.kind == "resolved" else _COLOURS[notice.severity]
    rows = "".join(
        f'<tr><td style="color:#5f6368;padding-right:12px;vertical-align:top">{escape(label)}</td>'
        f"<td>{escape(value)}</td></tr>"
        for label, value in wording.facts(notice)
    )
    image = ""
    if picture is not None:
        image = f'<img src="cid:{escape(picture)}" alt="measured values, projection and limit" width="640">'
    return (
        f'<div style="border-left:4px solid {colour};padding:4px 12px;margin:0 0 16px">'
        f'<div style="font-weight:600;color:{colour}">{escape(wording.headline(notice))}</div>'
        f'<table style="font-size:13px;border-collapse:collapse">{rows}</table>{image}</div>'
    )
