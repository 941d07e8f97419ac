"""What a tick looks at: newest readings from the spool's tail and the database, findings, remembered series.

Each table is read once a tick, however many rules look at it. A reading that is older than three intervals is no
evidence: its alerts stay as they are, and that nothing comes is a rule of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Iterable, Sequence

from nomade_pipeline.alerts.drift_source import JOB_DRIFT, newest_drift
from nomade_pipeline.alerts.evidence import Evidence, Place, Sample, sample_of, tells_of_the_cluster
from nomade_pipeline.alerts.rule import ABSENCE, FINDING, STATE, Rule
from nomade_pipeline.alerts.sources import (
    JOB_OUTCOMES,
    clusters_with_queue,
    findings,
    hosts_without_data,
    job_outcomes,
    queued_jobs,
)
from nomade_pipeline.config.settings import Config
from nomade_pipeline.status.collection import Record, records
from nomade_pipeline.status.findings import Found, findings_by_cluster
from nomade_pipeline.status.live import Database, Snapshot, configured_interval, newest
from nomade_pipeline.status.queue import live_jobs
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.catalog import raw_table_named
from nomade_pipeline.tables.slurm_queue import SLURM_JOB

if TYPE_CHECKING:
    from nomade_pipeline.alerts.windows import Windows


@dataclass
class Gatherer:
    """The evidence of one tick.

    Attributes:
        database: the rollup database, for reading.
        windows: remembered series.
    """

    config: Config
    database: Database
    windows: Windows
    now: datetime
    _snapshots: dict[str, list[Snapshot]] = field(default_factory=dict)
    _samples: dict[tuple[str, tuple[str, ...]], list[Sample]] = field(default_factory=dict)

    def evidence(self, rule: Rule) -> Evidence:
        """Return what is known for a rule."""
        if rule.kind == FINDING:
            found = {cluster: kinds[rule.column] for cluster, kinds in self._findings.items()}
            return findings(found, rule.column, self._clusters, self.now)
        if rule.kind == ABSENCE:
            silent = hosts_without_data(self.config, self._records, rule.collector, self.now)
            return Evidence(tuple(filter_for(rule, silent)))
        if rule.table == JOB_OUTCOMES.name:
            return self._with_series(rule, Evidence(tuple(filter_for(rule, job_outcomes(self.database, self.now)))))
        if rule.table == JOB_DRIFT.name:
            return Evidence(tuple(filter_for(rule, newest_drift(Lake(self.config.paths.lake), self.now))))
        if rule.table == SLURM_JOB.name:
            queue = live_jobs(self.config.paths.spool, self.now)
            jobs = queued_jobs(queue, self._clusters, rule.subject, self.now)
            return self._with_series(rule, replace(jobs, samples=tuple(filter_for(rule, jobs.samples))))
        snapshots = self._fresh(rule.table)
        place = (rule.table, rule.subject)
        if place not in self._samples:
            self._samples[place] = newest_samples(rule, snapshots)
        samples = tuple(filter_for(rule, self._samples[place]))
        clusters = tuple(sorted({snapshot.cluster for snapshot in snapshots}))
        return self._with_series(rule, Evidence(samples, is_complete(rule), clusters))

    def _with_series(self, rule: Rule, evidence: Evidence) -> Evidence:
        if not rule.needs_series:
            return evidence
        found = self.windows.series(rule, evidence.samples)
        samples, series = found if found is not None else ((), None)
        # A subject whose series has nothing new is not among them, and not gone.
        return replace(evidence, samples=samples, series=series, complete=False)

    @cached_property
    def _findings(self) -> dict[str, Found]:
        return findings_by_cluster(self.config, self.now)

    @cached_property
    def _records(self) -> list[Record]:
        return records(self.config.paths, self.database, self.now)

    @cached_property
    def _clusters(self) -> tuple[str, ...]:
        return clusters_with_queue(self.config, self.database, self.now)

    def _fresh(self, name: str) -> list[Snapshot]:
        """Return the newest readings of a table that are young enough to say something."""
        if name not in self._snapshots:
            table = raw_table_named(name)
            interval = configured_interval(self.config, table.collector)
            self._snapshots[name] = [
                snapshot
                for snapshot in newest(self.config.paths, self.database, table)
                if not snapshot.is_stale(self.now, interval)
            ]
        return self._snapshots[name]


def is_complete(rule: Rule) -> bool:
    """Whether a subject that is not in the newest reading is gone; of a host that is silent nothing is known."""
    return rule.kind == STATE and tells_of_the_cluster(raw_table_named(rule.table))


def newest_samples(rule: Rule, snapshots: Iterable[Snapshot]) -> list[Sample]:
    """Return the newest sample of each subject; what many hosts see (a network file system) counts once."""
    table = raw_table_named(rule.table)
    found: dict[Place, Sample] = {}
    for snapshot in snapshots:
        common = {"cluster": snapshot.cluster, "host": snapshot.host}
        for row in snapshot.rows:
            sample = sample_of(table, {**row, **common}, rule.subject, snapshot.sample_time)
            known = found.get(sample.place)
            if known is None or (sample.time, sample.row["host"]) > (known.time, known.row["host"]):
                found[sample.place] = sample
    return list(found.values())


def filter_for(rule: Rule, samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples that a rule looks at."""
    return [sample for sample in samples if rule.holds_for(sample.row)]
