"""How a benchmark tells its result: one Markdown table with the budget and the peer beside the figure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Report:
    """A table of measurements.

    Attributes:
        title: what was measured, under which conditions.
        columns: headings.
        rows: the cells as text.
        notes: what a reader must know to judge the figures.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """Append a row; floats are shown with three significant digits."""
        self.rows.append(tuple(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells))

    def markdown(self) -> str:
        """Return the report as Markdown."""
        lines = [f"## {self.title}", "", "| " + " | ".join(self.columns) + " |", "|" + " --- |" * len(self.columns)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join([*lines, "", *[f"{note}\n" for note in self.notes]])
