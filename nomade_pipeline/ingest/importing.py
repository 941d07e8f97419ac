"""Importing the history of jobs from a file into the lake, in memory that does not grow with the file.

The file is read once, part by part; rows wait on the disk, sorted by day, until each day can be written as one file.
A second import of the same file changes no file of the lake.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterator, Sequence

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import Rejected
from nomade_pipeline.ingest.import_parquet import read_parquet
from nomade_pipeline.ingest.import_parts import Part, one_ahead
from nomade_pipeline.ingest.import_sacct import read_sacct
from nomade_pipeline.ingest.import_swf import read_swf
from nomade_pipeline.ingest.job_frame import JobFrame, jobs_of_frame
from nomade_pipeline.ingest.job_steps import JobMerger, of_numbers, one_by_one
from nomade_pipeline.ingest.records import refused_of
from nomade_pipeline.ingest.waiting_rows import WaitingRows
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.quarantine import Refused
from nomade_pipeline.store.spool import SpoolFile
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

if TYPE_CHECKING:
    import polars

SACCT, SWF, PARQUET = "sacct", "swf", "parquet"
FORMATS = (SACCT, SWF, PARQUET)
HOST = "import"

# More refused records than these of one file are counted and not kept.
MOST_KEPT = 100_000

Progress = Callable[[str, float], None]


def _silent(what: str, share: float) -> None:
    del what, share


@dataclass
class ImportReport:
    """What an import did.

    Attributes:
        rows: jobs that were imported.
        added: of them those that the lake did not hold.
        days: rows that each day's partition holds now, of days that were touched.
        refused: what could not be read, by reason; a job is stored nevertheless where only a cell was no good.
        other_clusters: records of other clusters than the one that was imported, by cluster.
        submit_sources: how many jobs are identified by their submission, start or end.
    """

    rows: int = 0
    added: int = 0
    days: dict[date, int] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    other_clusters: Counter[str] = field(default_factory=Counter)
    submit_sources: Counter[str] = field(default_factory=Counter)


def format_of(path: Path) -> str:
    """Guess a file's format from its name: `.parquet`, `.swf`, `.swf.gz`, else a dump of sacct."""
    name = path.name.lower()
    if name.endswith((".swf", ".swf.gz")):
        return SWF
    return PARQUET if name.endswith((".parquet", ".pq")) else SACCT


def import_file(
    store: Store,
    path: Path,
    cluster: str,
    *,
    kind: str = "",
    zone: str = "UTC",
    columns: Sequence[str] = (),
    progress: Progress = _silent,
) -> ImportReport:
    """Import a file's jobs.

    Args:
        store: where.
        path: the file.
        cluster: name of the cluster in the lake; of a file with several clusters the one of this name is imported.
        kind: one of `FORMATS`; empty: guessed from the name.
        zone: name of the zone in which times without an offset were written.
        columns: names of the columns of a dump without header.
        progress: is told what is done and its share, 0 to 1.

    Raises:
        ImportRefusedError: the file cannot be read in this format.
        LakeError: the lake cannot be written.
        OSError: the file cannot be read.
    """
    report = ImportReport()
    intake = _Intake(path, cluster, kind or format_of(path), zone, columns, report, progress)
    with WaitingRows(store, JOB_METRICS, cluster, HOST) as waiting:
        for jobs in intake.jobs():
            report.refused.update(waiting.add(jobs.rows))
            intake.refuse(jobs.rejected)
        waiting.leave_out(intake.scattered)
        for jobs in intake.scattered_jobs():
            report.refused.update(waiting.add(jobs.rows))
            intake.refuse(jobs.rejected)
        for written in waiting.publish():
            report.rows += written.rows
            report.added += written.published.added
            report.submit_sources += written.submit_sources
            report.days[written.day] = written.published.rows
            progress("writing days", len(report.days) / waiting.days)
        _quarantine(store, path, [*intake.refused, *waiting.refused])
    return report


class _Intake:
    """Reads a file's jobs, of one cluster."""

    def __init__(
        self,
        path: Path,
        cluster: str,
        kind: str,
        zone: str,
        columns: Sequence[str],
        report: ImportReport,
        progress: Progress,
    ) -> None:
        self._path = path
        self._cluster = cluster
        self._kind = kind
        # An SWF log counts its seconds from an epoch.
        self._zone = "UTC" if kind == SWF else zone
        self._columns = columns
        self._report = report
        self._progress = progress
        self._wanted: str | None = None
        self.scattered: set[str] = set()
        self.refused: list[Refused] = []

    def jobs(self) -> Iterator[JobFrame]:
        """Yield the jobs of each part."""
        merger = JobMerger(self._zone)
        for part in self._parts("reading"):
            self.refuse(part.rejected)
            frame = self._of_cluster(part.frame)
            yield merger.take(frame) if self._kind == SACCT else jobs_of_frame(frame, self._zone)
        yield merger.close()
        self.scattered = merger.scattered

    def scattered_jobs(self) -> Iterator[JobFrame]:
        """Read the file again for the jobs whose steps stand apart from them, and yield those."""
        import polars as pl

        if not self.scattered:
            return
        counted, self._report.other_clusters = self._report.other_clusters, Counter()
        found = [of_numbers(self._of_cluster(part.frame), self.scattered) for part in self._parts("reading again")]
        self._report.other_clusters = counted
        yield one_by_one(pl.concat(found, how="diagonal"), self._zone)

    def refuse(self, rejected: Sequence[Rejected]) -> None:
        """Note what could not be read."""
        self._report.refused.update(each.reason for each in rejected)
        self.refused += refused_of(rejected[: max(0, MOST_KEPT - len(self.refused))])

    def _parts(self, what: str) -> Iterator[Part]:
        if self._kind == SACCT:
            parts = read_sacct(self._path, self._columns)
        else:
            parts = read_swf(self._path) if self._kind == SWF else read_parquet(self._path)
        for part in one_ahead(parts):
            self._progress(what, part.done)
            yield part

    def _of_cluster(self, frame: polars.DataFrame) -> polars.DataFrame:
        """Keep the records of one cluster: the one of the given name, else the one that is named most at first."""
        import polars as pl

        if "cluster" not in frame.columns:
            return frame
        told = frame["cluster"].fill_null("")
        names = Counter(told.filter(told != "").to_list()) if self._wanted is None else Counter()
        if names:
            self._wanted = self._cluster if self._cluster in names else names.most_common(1)[0][0]
        kept = (told == "") | (told == (self._wanted or ""))
        for name, count in told.filter(~kept).value_counts().iter_rows():
            self._report.other_clusters[name] += count
        return frame.filter(kept).with_columns(pl.lit(self._wanted or "").alias("cluster"))


def _quarantine(store: Store, path: Path, refused: Sequence[Refused]) -> None:
    """Keep what was refused of a file, under its content's hash, so that a second import replaces it."""
    with path.open("rb") as file:
        name = f"{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}.ndjson"
    quarantine = store.quarantine
    known = sorted(quarantine.root.glob(f"{JOB_METRICS.name}/*/{HOST}.{name}"))
    day = date.fromisoformat(known[0].parent.name) if known else clock.today()
    place = SpoolFile(quarantine.root / name, JOB_METRICS.name, HOST, clock.start_of(day), HOST)
    quarantine.replace(place, refused)
