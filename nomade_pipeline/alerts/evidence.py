"""What a rule is judged by: the newest sample of each subject, and their series."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Mapping

from nomade_pipeline.tables.contract import Table

if TYPE_CHECKING:
    from nomade_pipeline.analysis.series import SeriesBatch

# Cluster and subject.
Place = tuple[str, str]

_FILESYSTEM = ("filesystem_id",)


@dataclass(frozen=True)
class Sample:
    """The newest reading of one subject.

    Attributes:
        host: machine or node that it concerns, empty when it is none in particular.
        time: end of the sample, UTC.
        row: all columns.
    """

    cluster: str
    subject: str
    host: str
    time: datetime
    row: Mapping[str, Any]

    @property
    def place(self) -> Place:
        """Cluster and subject."""
        return self.cluster, self.subject


@dataclass(frozen=True)
class Evidence:
    """What is known for one rule at one moment.

    Attributes:
        samples: the newest of each subject, none that is too old to say anything.
        complete: whether they are all subjects that there are in ``clusters``.
        series: of a rule that looks back: row i is the series of sample i; None: there is nothing new to look at.
        plots: whether verdicts on series are to carry them for a plot.
        problem: why there is no evidence; None when there is.
    """

    samples: tuple[Sample, ...] = ()
    complete: bool = False
    clusters: tuple[str, ...] = ()
    series: SeriesBatch | None = field(default=None, compare=False)
    plots: bool = True
    problem: str | None = None


def sample_of(table: Table, row: Mapping[str, Any], subject: tuple[str, ...], time: datetime) -> Sample:
    """Return a row as the sample of its subject; see `subject_columns`."""
    names = subject or subject_columns(table)
    if names == _FILESYSTEM and row["filesystem_id"] is None:
        # `df` does not tell which file system a path lies on: its path on this host stands for it.
        names = ("host", *table.subject)
    text = ":".join(str(row[name]) for name in names if row[name] not in (None, ""))
    return Sample(row["cluster"], text, _host(row, names), time, row)


def subject_columns(table: Table) -> tuple[str, ...]:
    """Return the columns that name what a table measures.

    One file system that a thousand hosts mount is one subject. What the
    head node tells of the cluster is no host's, and a node is told by its own name.
    """
    if table.rollup_by == _FILESYSTEM:
        return _FILESYSTEM
    if tells_of_the_cluster(table) or table.collector == "job_monitor":
        return table.subject
    return ("host", *table.subject)


def tells_of_the_cluster(table: Table) -> bool:
    """Whether one reading of the head node holds all subjects of the cluster, so that one that is not in it is gone."""
    return table.collector in ("slurm", "node_state")


def _host(row: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Return the machine that a row concerns: of a node its own, of a network file system none."""
    if "node" in names:
        return str(row.get("node_host") or row["node"])
    host = str(row.get("host") or "")
    if "filesystem_id" in names:
        return host if str(row["filesystem_id"]).startswith(f"{host}:") else ""
    return host if "host" in names else ""
