"""The quarantine: everything that was refused, whole, with the reason, beside the lake.

One file a spool file, rewritten whole when the spool file is read again, so nothing doubles.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

from nomade_pipeline.store.spool import SpoolFile


@dataclass(frozen=True)
class Refused:
    """One refused line or row of a spool file.

    Attributes:
        reason: why.
        content: the line as it stands, or the row as a JSON object.
    """

    reason: str
    content: str


class Quarantine:
    """The quarantine's folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def path_for(self, file: SpoolFile) -> Path:
        """Return where the refused parts of a spool file are kept."""
        return self.root / file.table / file.hour.date().isoformat() / f"{file.host}.{file.path.name}"

    def replace(self, file: SpoolFile, refused: Sequence[Refused]) -> None:
        """Keep exactly these refused parts of a spool file."""
        path = self.path_for(file)
        if not refused:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"reason": entry.reason, "content": entry.content}) for entry in refused]
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        temporary.replace(path)

    def entries(self, table: str | None = None) -> Iterator[tuple[Path, Refused]]:
        """Yield what was refused, with the file that holds it, oldest day first."""
        for path in sorted(self.root.glob(f"{table or '*'}/*/*.ndjson")):
            for line in path.read_text(encoding="utf-8").splitlines():
                content = json.loads(line)
                yield path, Refused(content["reason"], content["content"])
