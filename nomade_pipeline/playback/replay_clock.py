"""The time of a replay: a file in its data folder that everybody who takes part reads. Standard library only.

A replay lives in the time of its data: while it goes on, `clock.now()` of the feeder, of the stand-ins and of the
commands on its data folder is the replayed moment.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from nomade_pipeline.store.replace import replace_text

FILE_NAME = "replay.json"


@dataclass(frozen=True)
class ReplayClock:
    """What time it is in a replay; all times are seconds since 1970.

    Attributes:
        source: cluster that is replayed.
        cluster: its name here, ``replay-…``.
        start: replayed moment at ``began``.
        began: moment of the real clock.
        speed: replayed seconds a real second; 0: the replay is moved on step by step.
        end: last replayed moment: there the clock stands still.
    """

    source: str
    cluster: str
    start: float
    began: float
    speed: float
    end: float

    @classmethod
    def read(cls, folder: Path) -> ReplayClock:
        """Return the clock of a data folder.

        Raises:
            OSError, ValueError, TypeError: it has none, or a damaged one.
        """
        return cls(**json.loads((folder / FILE_NAME).read_text(encoding="utf-8")))

    def write(self, folder: Path) -> None:
        """Put it into a data folder, in the place of the one before.

        Raises:
            OSError: it cannot be written.
        """
        replace_text(folder / FILE_NAME, json.dumps(asdict(self)))

    def seconds(self) -> float:
        """Return the replayed moment."""
        # The real time, whatever this process takes for the present.
        return min(self.end, self.start + max(0.0, time.time() - self.began) * self.speed)


def replayed_folder(folder: Path) -> bool:
    """Whether a data folder is a replay's."""
    return (folder / FILE_NAME).is_file()
