"""Imported rows that wait on the disk until the whole file is read, then go into the lake day by day."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Iterator, NamedTuple, Self

from nomade_pipeline import clock
from nomade_pipeline.ingest.import_parts import one_ahead
from nomade_pipeline.ingest.partition import is_over
from nomade_pipeline.ingest.records import stamped
from nomade_pipeline.quality.contract import REASON, check
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.quarantine import Refused
from nomade_pipeline.store.schema import conform
from nomade_pipeline.tables.contract import Table

if TYPE_CHECKING:
    import polars

    from nomade_pipeline.store.lake import Published

# Days are written by this many threads: most of the work is compression, which lets the others run.
WRITERS = max(1, min(4, os.cpu_count() or 1))
# So many rows are brought together, written and booked at a time.
ROWS_TOGETHER = 50_000


class WrittenDay(NamedTuple):
    """A day that was written: its jobs from the file, how they are identified, and what became of the partition."""

    day: date
    rows: int
    submit_sources: Counter[str]
    published: Published


class WaitingRows:
    """Rows of one table and cluster.

    Args:
        store: where they go.
        table: a table of events.
        cluster: of all rows.
        host: of all rows.

    Attributes:
        refused: rows that break the contract.
    """

    def __init__(self, store: Store, table: Table, cluster: str, host: str) -> None:
        self._store = store
        self._table = table
        self._cluster = cluster
        self._host = host
        self._folder = store.lake.root / ".staging" / uuid.uuid4().hex
        # Where the rows of each day lie: file, first row, number of rows.
        self._places: dict[date, list[tuple[Path, int, int]]] = {}
        self._left_out: list[str] = []
        self.refused: list[Refused] = []

    def __enter__(self) -> Self:
        """Make the folder in which the rows wait."""
        self._folder.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def days(self) -> int:
        """Number of days that have rows."""
        return len(self._places)

    def add(self, data: polars.DataFrame) -> Counter[str]:
        """Let rows wait, in the table's data columns; return why some of them are refused."""
        import polars as pl

        if data.is_empty():
            return Counter()
        frame = stamped(data, self._table, cluster=self._cluster, host=self._host, source="import")
        checked = check(frame, self._table, clock.now())
        self.refused += [
            Refused(row[REASON], json.dumps(row, default=str)) for row in checked.bad.iter_rows(named=True)
        ]
        good = checked.good.with_columns(_day=pl.col("sample_time").dt.date()).sort("_day", maintain_order=True)
        path = self._folder / f"{len(list(self._folder.iterdir())):06d}.arrow"
        # A column without any value needs no place on the disk.
        held = [column.name for column in good.get_columns() if column.null_count() < good.height]
        begin = 0
        for day, count in good.group_by("_day", maintain_order=True).len().iter_rows():
            self._places.setdefault(day, []).append((path, begin, count))
            begin += count
        good.select(name for name in held if name != "_day").write_ipc(path)
        return Counter(checked.reasons())

    def leave_out(self, numbers: set[str]) -> None:
        """Forget the rows so far of some jobs, by their number: better ones follow."""
        import polars as pl

        for path in sorted(self._folder.iterdir()) if numbers else ():
            frame = pl.read_ipc(path)
            kept = ~frame["job_id_raw"].is_in(list(numbers))
            if not kept.all():
                # Not in place: the frame is a view of the file.
                renewed = path.with_suffix(".kept")
                frame.filter(kept).write_ipc(renewed)
                self._move_places(path, renewed, kept)
                path.unlink()

    def _move_places(self, path: Path, renewed: Path, kept: polars.Series) -> None:
        begin = 0
        for day in sorted(self._places):
            places = self._places[day]
            for at, (file, first, count) in enumerate(places):
                if file == path:
                    left = int(kept[first : first + count].sum())
                    places[at] = (renewed, begin, left)
                    begin += left

    def publish(self) -> Iterator[WrittenDay]:
        """Write each day into the lake, and yield it when it and its hours are booked.

        Raises:
            LakeError: the lake cannot be written.
        """
        with ThreadPoolExecutor(WRITERS) as pool:
            for group in one_ahead(list(self._rows_of(days)) for days in self._groups()):
                written = list(pool.map(self._publish_day, *zip(*group, strict=True)))
                hours = {hour: told for each in written for hour, told in each.published.hours.items()}
                self._store.rollups.record_hours(self._table.name, self._cluster, hours)
                yield from written

    def _groups(self) -> Iterator[list[date]]:
        """Yield the days in order, so many together as fit into memory easily."""
        group: list[date] = []
        rows = 0
        for day, places in sorted(self._places.items()):
            count = sum(count for _, _, count in places)
            if group and rows + count > ROWS_TOGETHER:
                yield group
                group, rows = [], 0
            if count:
                group.append(day)
                rows += count
        if group:
            yield group

    def _rows_of(self, days: list[date]) -> Iterator[tuple[date, polars.DataFrame]]:
        """Yield the rows of each of some days."""
        import polars as pl

        places: dict[Path, list[tuple[int, int]]] = {}
        for day in days:
            for path, first, count in self._places[day]:
                places.setdefault(path, []).append((first, count))
        parts = []
        for path, ranges in places.items():
            frame = pl.read_ipc(path)
            parts += [frame.slice(first, count) for first, count in ranges]
        rows = conform(pl.concat(parts, how="diagonal"), self._table)
        by_day = rows.with_columns(_day=pl.col("sample_time").dt.date()).partition_by(
            "_day", as_dict=True, include_key=False
        )
        yield from sorted(((key[0], part) for key, part in by_day.items()), key=lambda pair: pair[0])

    def _publish_day(self, day: date, rows: polars.DataFrame) -> WrittenDay:
        over = is_over(day, clock.now())
        publish = self._store.lake.publish_over if over else self._store.lake.publish
        published = publish(self._table, self._cluster, day, rows)
        sources = Counter(dict(rows["submit_time_source"].value_counts().iter_rows()))
        return WrittenDay(day, rows.height, sources, published)
