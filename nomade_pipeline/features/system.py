"""System quantities of jobs: what the hosts that they ran on did during their run.

A mean is over hosts and time, each moment of each host with the same weight; a peak is the largest of any host. Work is
done by ranges of hosts, so that memory does not grow with the cluster, and each sample is read once however many jobs
shared it.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Iterable, Iterator

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.features.host_samples import COVERAGE_TABLES, Source, raw_samples, rolled_up_samples, sources
from nomade_pipeline.features.intervals import Samples
from nomade_pipeline.features.runs import hosts_of_runs, node_hosts
from nomade_pipeline.ingest.derived_sources import Reader
from nomade_pipeline.store.home import Store

if TYPE_CHECKING:
    import polars

# Raw samples are read of the day and of the day before; what ran longer has its older hours from the rollups.
RAW_DAYS, MOST_DAYS = 2, 31
# So many hosts at a time: a day of theirs with eight disks each is 3 million rows.
HOSTS_AT_ONCE = 250


def system_quantities(
    store: Store, cluster: str, day: date, jobs: polars.DataFrame, least_seconds: float = 0.0
) -> polars.DataFrame:
    """Return the system quantities, ``coverage_ratio`` and ``shared_host`` of jobs, in their order; null: no sample.

    Args:
        store: where the samples lie.
        cluster: whose.
        day: the last UTC day whose samples are looked at.
        jobs: ``start_time``, ``end_time`` and ``node_list``. The run may be cut short: quantities of a running job at a
            moment are those of a run that ends then.
        least_seconds: a shorter run has none: the samples say more of others.

    Raises:
        LakeError, DatabaseError: lake or database cannot be read.
    """
    import polars as pl

    begin, end = (_seconds(jobs[name]) for name in ("start_time", "end_time"))
    end = np.where(end - begin < least_seconds, np.nan, end)
    days = raw_days(day, begin)
    runs = hosts_of_runs(jobs, node_hosts(store.lake, cluster, days))
    ran = runs.filter(pl.Series(end[runs["row"]] > begin[runs["row"]], dtype=pl.Boolean))
    totals = {each.table.name: _Totals(each, len(begin)) for each in sources()}
    if ran.height:
        _add_all(store, cluster, days, _Runs(ran, begin, end), totals)
    return pl.DataFrame(
        {
            **{name: values for each in totals.values() for name, values in each.quantities().items()},
            "coverage_ratio": _coverage(totals, ran, begin, end),
            "shared_host": _shared(runs, len(begin)),
        },
        nan_to_null=True,
    )


def raw_days(day: date, begin: Floats) -> list[date]:
    """Return the days whose raw samples are read: the day, and the one before where any job began before the day."""
    earlier = bool(np.nanmin(begin, initial=np.inf) < clock.start_of(day).timestamp())
    return [day - timedelta(days=back) for back in range(RAW_DAYS if earlier else 1)]


def _seconds(times: polars.Series) -> Floats:
    """Return times as seconds since 1970 UTC; NaN for null."""
    import polars as pl

    seconds: Floats = (times.dt.epoch("ms").cast(pl.Float64) / 1000).fill_null(float("nan")).to_numpy()
    return seconds


class _Runs:
    """Which jobs ran on each host, and when.

    Args:
        runs: ``row`` and ``host``, sorted by host.
        begin, end: of each job.
    """

    def __init__(self, runs: polars.DataFrame, begin: Floats, end: Floats) -> None:
        self._rows = runs["row"].to_numpy().astype(np.int64)
        self._begin, self._end = begin, end
        hosts = runs["host"]
        edges = np.flatnonzero(np.diff(hosts.rle_id().to_numpy(), prepend=-1))
        self.hosts: list[str] = hosts.gather(edges).to_list()
        self._ranges = dict(zip(self.hosts, zip(edges, [*edges[1:], len(hosts)], strict=True), strict=True))

    @property
    def earliest(self) -> float:
        """When the first of them began."""
        return float(self._begin[self._rows].min())

    def on(self, host: str) -> tuple[Integers, Floats, Floats] | None:
        """Return the jobs of a host with begin and end, None when there is none."""
        if host not in self._ranges:
            return None
        first, last = self._ranges[host]
        rows = self._rows[first:last]
        return rows, self._begin[rows], self._end[rows]


class _Totals:
    """What is added up of one source for each of n jobs."""

    def __init__(self, source: Source, jobs: int) -> None:
        self.source = source
        # The last column is the time that was sampled.
        self._integrals = np.zeros((jobs, len(source.means) + 1))
        self._seconds = np.zeros((jobs, len(source.means) + 1))
        self._peaks = np.full((jobs, len(source.peaks)), -np.inf)

    def add(self, samples: Iterable[tuple[str, Samples]], runs: _Runs) -> None:
        """Add the samples of some hosts."""
        for host, each in samples:
            found = runs.on(host)
            if found is None:
                continue
            rows, begin, end = found
            integrals, seconds = each.integrals(begin, end)
            self._integrals[rows] += integrals
            self._seconds[rows] += seconds
            if self.source.peaks:
                self._peaks[rows] = np.maximum(self._peaks[rows], each.maxima(begin, end))

    @property
    def covered(self) -> Floats:
        """Seconds of each job, over its hosts, that samples cover."""
        covered: Floats = self._seconds[:, -1]
        return covered

    def quantities(self) -> dict[str, Floats]:
        """Return the quantities; NaN where there was no sample."""
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(self._seconds > 0, self._integrals / self._seconds, np.nan)
        peaks = np.where(np.isfinite(self._peaks), self._peaks, np.nan)
        found = {name: means[:, place] for place, name in enumerate(self.source.means)}
        return {**found, **{name: peaks[:, place] for place, name in enumerate(self.source.peaks)}}


def _add_all(store: Store, cluster: str, days: list[date], runs: _Runs, totals: dict[str, _Totals]) -> None:
    """Add the samples of all hosts: raw ones of the days, older ones from the rollups."""
    for each in totals.values():
        for day in days:
            for part in _parts(runs.hosts):
                each.add(raw_samples(store.lake, cluster, day, each.source, part), runs)
        last, first = clock.start_of(min(days)), _first_hour(max(days), runs.earliest)
        if first < last:
            each.add(rolled_up_samples(Reader(store.paths), cluster, each.source, first, last), runs)


def _parts(hosts: list[str]) -> Iterator[tuple[str, str]]:
    for first in range(0, len(hosts), HOSTS_AT_ONCE):
        part = hosts[first : first + HOSTS_AT_ONCE]
        yield part[0], part[-1]


def _first_hour(day: date, earliest: float) -> datetime:
    """Return the first hour that is looked at: that of the earliest begin, at most `MOST_DAYS` back."""
    oldest = clock.start_of(day - timedelta(days=MOST_DAYS - 1))
    return max(oldest, clock.hour_of(clock.from_epoch(earliest)))


def _coverage(totals: dict[str, _Totals], runs: polars.DataFrame, begin: Floats, end: Floats) -> Floats:
    """Return the share of the run time over all hosts that samples cover: mean over the tables; NaN for no run."""
    hosts = np.bincount(runs["row"].to_numpy(), minlength=len(begin))
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.where(hosts > 0, hosts * (end - begin), np.nan)
        shares = [totals[table.name].covered / expected for table in COVERAGE_TABLES]
    covered: Floats = np.minimum(np.mean(shares, axis=0), 1.0)
    return covered


def _shared(runs: polars.DataFrame, jobs: int) -> polars.Series:
    """Return whether any host of each job carries several nodes; null where that is not known of all."""
    import polars as pl

    by_job = runs.group_by("row").agg(pl.col("shared").any(ignore_nulls=False))
    rows = pl.DataFrame({"row": pl.int_range(jobs, dtype=pl.UInt32, eager=True)})
    return rows.join(by_job, on="row", how="left", maintain_order="left")["shared"]
