"""Pictures as PNG: figures without pyplot, so without any global state."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Dagster's dialog shows no more of a picture.
WIDEST_PIXELS = 1060
# Smooth edges of text and points need some shades of each colour.
COLOURS = 128


def new_figure(width: float, height: float, dots_per_inch: int) -> Figure:
    """Return an empty figure of some inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dots_per_inch, layout="constrained")


def png_of(figure: Figure) -> bytes:
    """Return a figure as PNG of few colours: it is stored with each day's event in Dagster's database."""
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(COLOURS).save(small, format="png", optimize=True)
    return small.getvalue()
