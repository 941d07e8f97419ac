"""Everything below one data folder, opened together: spool, lake, rollups, quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nomade_pipeline.config.paths import DataPaths
from nomade_pipeline.store.alerts import AlertStore
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.store.quarantine import Quarantine
from nomade_pipeline.store.rollups import Rollups


@dataclass(frozen=True)
class Store:
    """The open stores of one data folder.

    Attributes:
        paths: where everything lies.
        lake: the Parquet store.
        rollups: the rollup database.
        quarantine: what was refused.
    """

    paths: DataPaths
    lake: Lake
    rollups: Rollups
    quarantine: Quarantine

    @property
    def spool(self) -> Path:
        """The spool's folder."""
        return self.paths.spool

    @property
    def alerts(self) -> AlertStore:
        """The alert engine's tables."""
        return AlertStore(self.rollups)

    @classmethod
    def at(cls, root: Path | str) -> Store:
        """Open the stores below a data folder; nothing is touched on disk yet."""
        paths = DataPaths(Path(root))
        return cls(paths, Lake(paths.lake), Rollups(paths.database), Quarantine(paths.quarantine))
