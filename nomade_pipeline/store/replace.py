"""Replacing a small file as a whole. Standard library only, Python 3.9."""

from __future__ import annotations

import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Write a file so that readers find the old content or the new, never a part.

    Raises:
        OSError: it could not be written; the old one stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
    os.replace(beside, path)  # noqa: PTH105 - one system call, no second path
