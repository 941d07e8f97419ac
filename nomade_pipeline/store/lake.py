"""The lake: raw and derived tables as daily Parquet partitions, published whole and read as snapshots.

Layout: ``<layer>/<table>/cluster=<c>/date=<d>/`` holds ``hour-HH.parquet`` while the day is open and one
``day.parquet`` once it is closed. Nothing is ever rewritten in place, and every file is deterministic:
the same rows give the same bytes. Readers of ours go through ``read``: it opens each file once, into
memory, and starts over when a publication moved the files under it.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
import uuid
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Iterable, Iterator, Sequence

from nomade_pipeline import clock
from nomade_pipeline.config.settings import FORMS
from nomade_pipeline.store.files import LakeError, TableFile, hive_values, names_in, sync
from nomade_pipeline.store.merge import MERGE_ROWS, Range, Rows, merged
from nomade_pipeline.store.parquet import by_hour, content_hash, in_hour, winners
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.store.spool import is_folder_name
from nomade_pipeline.tables.catalog import lake_table_named
from nomade_pipeline.tables.contract import Table

if TYPE_CHECKING:
    import polars

DAY_FILE = "day.parquet"
_HOUR_FILE = re.compile(r"hour-\d\d\.parquet")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")

# A publication renames one folder; a reader that meets it twenty times in a row meets something else.
READ_ATTEMPTS = 20

# No publication takes an hour; what is older in the staging area was left by a crash.
STALE_STAGING_SECONDS = 3600


@dataclass(frozen=True)
class Published:
    """What one publication did to one partition.

    Attributes:
        rows: rows that the partition holds now.
        added: rows that it did not hold before.
        hours: content hash and row count of each hour that was touched.
    """

    rows: int
    added: int
    hours: dict[datetime, tuple[str, int]]


class Lake:
    """The Parquet store below one folder.

    Args:
        root: folder of the lake; made at the first publication.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def dataset(self, table: Table) -> Path:
        """Return the folder of one table."""
        return self.root / table.layer / table.name

    def partition(self, table: Table, cluster: str, day: date) -> Path:
        """Return the folder of one table, cluster and UTC day."""
        return self.dataset(table) / f"cluster={cluster}" / f"date={day.isoformat()}"

    def clusters(self, table: Table) -> list[str]:
        """Return the clusters that have data of a table."""
        return hive_values(self.dataset(table), "cluster")

    def days(self, table: Table, cluster: str) -> list[date]:
        """Return the days that have data of a table and cluster, oldest first."""
        with self._folders(table, cluster, fcntl.LOCK_SH):
            names = hive_values(self.dataset(table) / f"cluster={cluster}", "date")
            # A day whose swap was cut off lies in the trash until the next publication puts it back.
            names += [name.rsplit("@", 2)[1] for name in self._trashed(table, cluster)]
        return sorted({date.fromisoformat(name) for name in names if _DATE.fullmatch(name)})

    def is_closed(self, table: Table, cluster: str, day: date) -> bool:
        """Whether the day is one file."""
        return (self.partition(table, cluster, day) / DAY_FILE).exists()

    def has(self, table: Table, cluster: str, day: date) -> bool:
        """Whether the partition holds any file."""
        return bool(self._settled_files(table, cluster, day))

    def count(self, table: Table, cluster: str, day: date) -> int:
        """Return the number of rows of a partition, from the files' footers."""
        for _ in range(READ_ATTEMPTS):
            try:
                return sum(TableFile(table, path).count() for path in self._settled_files(table, cluster, day))
            except FileNotFoundError:
                continue
        raise LakeError(f"{self.partition(table, cluster, day)} would not stand still")

    def newest(self, table: Table, cluster: str, day: date) -> datetime | None:
        """Return the newest sample time of a partition; None when it is empty."""
        for _ in range(READ_ATTEMPTS):
            paths = self._settled_files(table, cluster, day)
            try:
                times = [TableFile(table, path).newest() for path in paths]
            except FileNotFoundError:
                continue
            return max((moment for moment in times if moment is not None), default=None)
        raise LakeError(f"{self.partition(table, cluster, day)} would not stand still")

    def publish(self, table: Table, cluster: str, day: date, frame: polars.DataFrame) -> Published:
        """Add rows to a partition; of readings with the same key the one received last stays.

        The result does not depend on the order of publications, and nothing stored is lost.

        Args:
            table: the contract.
            cluster: value of the hive key; every row has it too.
            day: UTC date of every row's sample time.
            frame: rows that fulfil the contract.

        Raises:
            LakeError: a stored file cannot be read, a new one cannot be written or does not read back,
                or the cluster's name cannot be a folder's.
        """
        self._check_cluster(cluster)
        with self._lock(table, cluster, day):
            if self.is_closed(table, cluster, day):
                return self._publish_closed(table, cluster, day, frame)
            return self._publish_open(table, cluster, day, frame)

    def publish_over(self, table: Table, cluster: str, day: date, frame: polars.DataFrame) -> Published:
        """Add rows to a day that is over and leave it closed; see `publish`.

        One file is written however many hours the rows are of; the hash told of each hour is the whole day's.
        """
        self._check_cluster(cluster)
        with self._lock(table, cluster, day):
            folder = self.partition(table, cluster, day)
            stored = [TableFile(table, path) for path in _parquet_files(folder)]
            before = sum(file.count() for file in stored)
            if before + frame.height > MERGE_ROWS:
                whole = merged(table, [*stored, Rows(table, frame)])
                digest, rows = self._swap_day(table, cluster, day, whole)
            else:
                held = [file.read() for file in stored]
                told_again = len(held) == 1 and frame.sort(table.key).equals(held[0])
                joined = held[0] if told_again else winners(table, [*held, frame])
                if self.is_closed(table, cluster, day) and joined.equals(held[0]):
                    digest, rows = content_hash(joined), joined.height
                else:
                    digest, rows = self._swap_day(table, cluster, day, [joined])
            hours = TableFile(table, folder / DAY_FILE).rows_by_hour()
        return Published(rows, rows - before, {hour: (digest, count) for hour, count in hours.items()})

    def replace(self, table: Table, cluster: str, day: date, frame: polars.DataFrame) -> int:
        """Put rows in the place of all that a partition holds, as one file; return their number.

        For derived tables: what is computed anew owes nothing to what was there. The same rows leave the file alone.

        Raises:
            LakeError: see `publish`.
        """
        self._check_cluster(cluster)
        with self._lock(table, cluster, day):
            before = self.partition(table, cluster, day) / DAY_FILE
            held = TableFile(table, before).content_hash() if before.exists() else None
            return self._swap_day(table, cluster, day, [frame.sort(table.key)], unless=held)[1]

    def _publish_open(self, table: Table, cluster: str, day: date, frame: polars.DataFrame) -> Published:
        """Rewrite the hours that the new rows belong to."""
        hours: dict[datetime, tuple[str, int]] = {}
        added = 0
        folder = self.partition(table, cluster, day)
        for hour, rows in by_hour(frame):
            path = folder / f"hour-{hour:%H}.parquet"
            stored = TableFile(table, path).read() if path.exists() else None
            joined = winners(table, [rows] if stored is None else [stored, rows])
            hours[hour] = self._put(table, [joined], path)
            added += joined.height - (0 if stored is None else stored.height)
        total = sum(TableFile(table, path).count() for path in _parquet_files(folder))
        return Published(total, added, hours)

    def _publish_closed(self, table: Table, cluster: str, day: date, frame: polars.DataFrame) -> Published:
        """Rewrite the day's one file beside the old one and swap the folders."""
        path = self.partition(table, cluster, day) / DAY_FILE
        stored = TableFile(table, path)
        before = stored.count()
        whole = merged(table, [stored, Rows(table, frame)])
        _, rows = self._swap_day(table, cluster, day, whole, unless=stored.content_hash())
        hours: dict[datetime, tuple[str, int]] = {}
        for hour, _ in by_hour(frame):
            held = stored.read(keep=in_hour(hour)).sort(table.key)
            hours[hour] = (content_hash(held), held.height)
        return Published(rows, rows - before, hours)

    def close_day(self, table: Table, cluster: str, day: date) -> bool:
        """Merge the hours of a day into one file; return False when there was nothing to do.

        Raises:
            LakeError: an hour cannot be read, or the day does not read back.
        """
        with self._lock(table, cluster, day):
            parts = _parquet_files(self.partition(table, cluster, day))
            if not parts or parts[0].name == DAY_FILE:
                return False
            self._swap_day(table, cluster, day, merged(table, [TableFile(table, part) for part in parts]))
            return True

    def _swap_day(
        self, table: Table, cluster: str, day: date, frames: Iterable[polars.DataFrame], *, unless: str | None = None
    ) -> tuple[str, int]:
        """Put a folder with one file of all frames in the place of the day's folder; return its hash and rows.

        Args:
            table: the contract.
            cluster: the cluster.
            day: the UTC day.
            frames: what the file is made of, sorted by key over all of them.
            unless: content hash with which the folder stays as it is.
        """
        folder = self.partition(table, cluster, day)
        staging = self._scratch()
        digest, rows = self._put(table, frames, staging / DAY_FILE)
        if digest == unless:
            shutil.rmtree(staging)
            return digest, rows
        trash = self.root / ".trash" / "@".join((table.name, cluster, day.isoformat(), uuid.uuid4().hex))
        try:
            trash.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
            with self._folders(table, cluster, fcntl.LOCK_EX):
                folder.rename(trash)
                staging.rename(folder)
            sync(folder.parent)
            shutil.rmtree(trash)
        except OSError as error:
            raise LakeError(f"cannot replace {folder}: {error.strerror or error}") from error
        return digest, rows

    @staticmethod
    def _check_cluster(cluster: str) -> None:
        if not is_folder_name(cluster):
            raise LakeError(f"cluster {cluster!r:.80}: {FORMS['name'][1]}")

    def _recover(self, table: Table, cluster: str, day: date) -> None:
        """Finish a swap that a crash cut off between its two renames; the lock is held."""
        home = self.partition(table, cluster, day)
        for name in self._trashed(table, cluster, day):
            trash = self.root / ".trash" / name
            if home.exists():
                shutil.rmtree(trash)
            else:
                with self._folders(table, cluster, fcntl.LOCK_EX):
                    trash.rename(home)

    def _trashed(self, table: Table, cluster: str, day: date | None = None) -> list[str]:
        """Return the names of the folders in the trash that are of a table and cluster, or of one day."""
        prefix = f"{table.name}@{cluster}@" + ("" if day is None else f"{day.isoformat()}@")
        return [name for name in names_in(self.root / ".trash") if name.startswith(prefix)]

    def recover(self) -> None:
        """Put back the days whose swap was cut off by a crash, and clear what crashes left behind."""
        for name in names_in(self.root / ".trash"):
            table, cluster, day, _ = name.split("@")
            with self._lock(lake_table_named(table), cluster, date.fromisoformat(day)):
                pass
        oldest = clock.now().timestamp() - STALE_STAGING_SECONDS
        for name in names_in(self.root / ".staging"):
            staging = self.root / ".staging" / name
            # Another process may finish with its file meanwhile.
            with contextlib.suppress(FileNotFoundError):
                if staging.stat().st_mtime < oldest:
                    shutil.rmtree(staging) if staging.is_dir() else staging.unlink()

    def read(
        self,
        table: Table,
        start: datetime,
        end: datetime,
        *,
        clusters: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> polars.DataFrame:
        """Return the rows with ``start <= sample_time < end``, sorted by key.

        Args:
            table: the contract; columns that a stored file lacks are null.
            start: beginning of the half-open interval, UTC.
            end: its end.
            clusters: only these; None for all.
            columns: only these; None for all.

        Raises:
            LakeError: a stored file cannot be read.
        """
        import polars as pl

        frames = [
            self.read_day(table, cluster, day)
            for cluster in (clusters if clusters is not None else self.clusters(table))
            for day in self.days(table, cluster)
            if start.date() <= day <= end.date()
        ]
        rows = pl.concat(frames) if frames else pl.DataFrame(schema=polars_schema(table))
        rows = rows.filter((pl.col("sample_time") >= start) & (pl.col("sample_time") < end))
        return rows if columns is None else rows.select(columns)

    def read_day(
        self,
        table: Table,
        cluster: str,
        day: date,
        hour: datetime | None = None,
        *,
        columns: Sequence[str] | None = None,
        part: Range | None = None,
    ) -> polars.DataFrame:
        """Return one partition, or some of it, as it stood at one moment, sorted by key; empty when there is none.

        Args:
            table: the contract.
            cluster: the cluster.
            day: the UTC day.
            hour: only this hour; None for all.
            columns: only these; None for all. Without the whole key the order is that of the key in each file.
            part: only this range of `Table.split_by`, first and last value; None for all.

        Raises:
            LakeError: a stored file cannot be read, or the partition would not stand still.
        """
        import polars as pl

        folder = self.partition(table, cluster, day)
        names = list(columns or table.column_names)
        empty = pl.DataFrame(schema=polars_schema(table)).select(names)
        for _ in range(READ_ATTEMPTS):
            paths = self._settled_files(table, cluster, day)
            keep = None if hour is None else in_hour(hour)
            if hour is not None:
                paths = [path for path in paths if path.name in (DAY_FILE, f"hour-{hour:%H}.parquet")]
            try:
                frames = [TableFile(table, path).read(keep=keep, part=part, columns=columns) for path in paths]
            except FileNotFoundError:
                continue
            rows = pl.concat([empty, *frames])
            # A file is sorted already; sorting a large day again costs more than reading it.
            return rows if len(frames) < 2 else rows.sort([name for name in table.key if name in names])
        raise LakeError(f"{folder} was replaced {READ_ATTEMPTS} times during one read; is a publication looping?")

    def _put(self, table: Table, frames: Iterable[polars.DataFrame], path: Path) -> tuple[str, int]:
        """Write one file under a temporary name, read it back, and put it in its place.

        Returns:
            The content hash and the number of rows.
        """
        staging = TableFile(table, self._scratch())
        try:
            staging.path.parent.mkdir(parents=True, exist_ok=True)
            written = staging.write(frames)
            if staging.content_hash() != written[0]:
                raise LakeError(f"{path} does not read back as written; is the disk faulty?")
            path.parent.mkdir(parents=True, exist_ok=True)
            staging.path.replace(path)
            sync(path.parent)
        except OSError as error:
            raise LakeError(f"cannot write {path}: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(OSError):
                staging.path.unlink(missing_ok=True)
        return written

    def _scratch(self) -> Path:
        return self.root / ".staging" / uuid.uuid4().hex

    @contextlib.contextmanager
    def _lock(self, table: Table, cluster: str, day: date) -> Iterator[None]:
        """Let one publication at a time change a partition.

        Raises:
            LakeError: the lake's folder cannot be written.
        """
        folder = self.root / ".locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{table.name}@{cluster}").touch()
            file = (folder / f"{table.name}@{cluster}@{day.isoformat()}").open("w")
        except OSError as error:
            raise LakeError(f"cannot write {folder}: {error.strerror}; check the owner of the data folder") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._recover(table, cluster, day)
            yield

    @contextlib.contextmanager
    def _folders(self, table: Table, cluster: str, mode: int) -> Iterator[None]:
        """Hold the days' folders of a cluster in place (LOCK_SH), or be the one that moves them (LOCK_EX).

        Held for one listing or two renames: a swap is then seen before or after, never in between.
        """
        path = self.root / ".locks" / f"{table.name}@{cluster}"
        with contextlib.ExitStack() as stack:
            # Without the file nothing was ever published, so nothing moves.
            with contextlib.suppress(FileNotFoundError):
                file = stack.enter_context(path.open("rb" if mode == fcntl.LOCK_SH else "ab"))
                fcntl.flock(file, mode)
            yield

    def _settled_files(self, table: Table, cluster: str, day: date) -> list[Path]:
        """Return the files of a partition, wherever a swap that was cut off has left them."""
        with self._folders(table, cluster, fcntl.LOCK_SH):
            trash = [self.root / ".trash" / name for name in self._trashed(table, cluster, day)]
            found = (_parquet_files(folder) for folder in (self.partition(table, cluster, day), *trash))
            return next(filter(None, found), [])

    def remove(self, table: Table, cluster: str, day: date) -> None:
        """Delete one partition (retention); readers see all of it or nothing."""
        with self._lock(table, cluster, day):
            doomed = self._scratch()
            doomed.parent.mkdir(parents=True, exist_ok=True)
            self.partition(table, cluster, day).rename(doomed)
            shutil.rmtree(doomed)


def _parquet_files(folder: Path) -> list[Path]:
    """Return the published files of a partition, sorted by name; none when it does not exist."""
    return [folder / name for name in names_in(folder) if name == DAY_FILE or _HOUR_FILE.fullmatch(name)]
