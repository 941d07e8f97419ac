"""The layout of the data folder; the only place that names its parts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path


@dataclass(frozen=True)
class DataPaths:
    """Where each kind of data lives below one folder.

    Attributes:
        root: the data folder, ``[general] data_dir``.
    """

    root: Path

    @property
    def spool(self) -> Path:
        """Readings that the agents append; may be on a shared file system."""
        return self.root / "spool"

    @property
    def lake(self) -> Path:
        """Parquet datasets."""
        return self.root / "lake"

    @property
    def quarantine(self) -> Path:
        """Lines and rows that broke a contract, with the reason."""
        return self.root / "quarantine"

    @property
    def database(self) -> Path:
        """SQLite file of the rollups; never on a network file system."""
        return self.root / "nomade.db"

    @property
    def logs(self) -> Path:
        """Log files."""
        return self.root / "logs"

    def agent_log(self, host: str, writer: str = "agent") -> Path:
        """Return the log of one host's agent, or of its monitor; hosts may share the data folder."""
        return self.logs / f"{writer}-{host}.log"

    def agent_lock(self, host: str, writer: str = "agent") -> Path:
        """Return the file that keeps a second agent (or monitor) of a host from writing the same spool."""
        return self.spool / f".{writer}-{host}.lock"

    def agent_state(self, host: str, writer: str, collector: str) -> Path:
        """Return the file in which an agent keeps what a collector remembers over a restart."""
        return self.spool / f".{writer}-{host}.{collector}.json"

    @property
    def heartbeat(self) -> Path:
        """File that tells when alerts were last evaluated; agents read it."""
        return self.root / "heartbeat.json"

    @property
    def truth(self) -> Path:
        """What is true of simulated clusters, a folder each; nothing that predicts reads it."""
        return self.root / "truth"

    @property
    def dagster_home(self) -> Path:
        """Dagster's own storage."""
        return self.root / "dagster"

    @property
    def staging(self) -> Path:
        """Days that are being built; beside the lake, so that no reader's glob meets them."""
        return self.root / ".staging"

    @property
    def trash(self) -> Path:
        """Days that were replaced and wait for their readers to end."""
        return self.root / ".trash"

    @property
    def locks(self) -> Path:
        """Lock files of processes of this machine."""
        return self.root / "locks"

    def dataset(self, layer: str, table: str) -> Path:
        """Return the folder of one dataset, such as ``raw`` and ``disk``."""
        return self.lake / layer / table

    def day(self, layer: str, table: str, cluster: str, day: date) -> Path:
        """Return the folder of one cluster and UTC day of a dataset."""
        return self.dataset(layer, table) / f"cluster={cluster}" / f"date={day.isoformat()}"
