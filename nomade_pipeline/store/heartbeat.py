"""The pipeline's heartbeat: a small file that says when alerts were last evaluated, and where.

The evaluating tick writes it when all is done; the dead-man's switch of an agent reads it, without any database.
Standard library only, Python 3.9.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Optional

from nomade_pipeline import clock
from nomade_pipeline.store.replace import replace_text


@dataclass(frozen=True)
class Heartbeat:
    """The newest evaluation.

    Attributes:
        time: when it ended.
        host: short name of the host that it ran on.
    """

    time: datetime
    host: str


def beat(path: Path, host: str, now: datetime) -> None:
    """Note an evaluation.

    Raises:
        OSError: the file cannot be written.
    """
    replace_text(path, json.dumps({"time": clock.to_text(now), "host": host}) + "\n")


def last_beat(path: Path) -> Optional[Heartbeat]:
    """Return the newest evaluation, None when there was none.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    try:
        return Heartbeat(clock.from_text(content["time"]), str(content["host"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no heartbeat") from error
