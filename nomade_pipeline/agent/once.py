"""One sample of this host, asked for by a person: all collectors at the same time."""

from __future__ import annotations

import threading
from typing import Any, Dict, List, Sequence

from nomade_pipeline.agent.runs import RunReport, log_reading, run_collector
from nomade_pipeline.collectors.base import Collector
from nomade_pipeline.config.settings import Config
from nomade_pipeline.probes import Interrupted, Probe
from nomade_pipeline.store.spool import SpoolWriter
from nomade_pipeline.tables.nodes import JOB_MONITOR

WRITER = "manual"
SHORTEST, LONGEST, USUAL = 1, 60, 5


def settings_of(config: Config, collector: Collector) -> Any:
    """Return a collector's section of the configuration; the job monitor's is `[monitor]`."""
    return config.monitor if collector.name == JOB_MONITOR.name else getattr(config.collectors, collector.name)


def choose(collectors: Sequence[Collector], only: Sequence[str]) -> List[Collector]:
    """Return the collectors that were asked for by name or alias; all when none was.

    Raises:
        ValueError: there is no such collector; the message lists those that exist.
    """
    if not only:
        return list(collectors)
    named = {name: each for each in collectors for name in (each.name, *each.aliases)}
    unknown = [name for name in only if name not in named]
    if unknown:
        raise ValueError(f"no collector {', '.join(unknown)}; there are {', '.join(each.name for each in collectors)}")
    wanted = {named[name].name for name in only}
    return [each for each in collectors if each.name in wanted]


def measure(config: Config, collectors: Sequence[Collector], probe: Probe, seconds: int) -> List[RunReport]:
    """Run collectors in parallel, whether enabled or not, and return their reports in the given order.

    Args:
        config: settings of the collectors.
        collectors: what to run.
        probe: the host.
        seconds: whole seconds that rates are measured.
    """
    reports: Dict[str, RunReport] = {}

    def run(collector: Collector) -> None:
        try:
            reports[collector.name] = run_collector(collector, probe, settings_of(config, collector), seconds)
        except Interrupted:
            return

    threads = [threading.Thread(target=run, args=(each.fresh(),), name=each.name, daemon=True) for each in collectors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [reports[each.name] for each in collectors if each.name in reports]


def store(config: Config, reports: Sequence[RunReport], writer: str = WRITER) -> int:
    """Write readings and the collection log to the spool; return the number of rows measured.

    Raises:
        SpoolError: they could not be written.
    """
    spool = SpoolWriter(config.paths.spool, config.general.cluster_name, config.general.host, writer)
    for report in reports:
        for reading in (*report.readings, log_reading(report, writer, report.seconds)):
            spool.append([reading])
    return sum(report.rows for report in reports)


def run_once(config: Config, collectors: Sequence[Collector], probe: Probe, seconds: int) -> List[RunReport]:
    """Measure once and store it as a sample that a person asked for.

    Raises:
        SpoolError: it could not be stored.
    """
    reports = measure(config, collectors, probe, seconds)
    store(config, reports)
    return reports
