"""The agent as a program of its own: `nomade-agent.pyz` and ``python -m nomade_pipeline.agent``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from nomade_pipeline import __version__
from nomade_pipeline.agent import once
from nomade_pipeline.agent.monitor import WRITER as MONITOR_WRITER
from nomade_pipeline.agent.monitor import snapshot, table
from nomade_pipeline.agent.runs import RunReport
from nomade_pipeline.agent.serve import FAILED, FINE, REFUSED, serve
from nomade_pipeline.agent.service import WRITER
from nomade_pipeline.collectors.base import Collector
from nomade_pipeline.collectors.registry import COLLECTORS
from nomade_pipeline.config.load import ConfigError, environment_with, load_config
from nomade_pipeline.probes import LiveProbe
from nomade_pipeline.store.spool import SpoolError
from nomade_pipeline.tables.nodes import JOB_MONITOR


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Parse the command line and run; return the exit status."""
    options = _parser().parse_args(arguments)
    if options.monitor:
        options.collectors = [JOB_MONITOR.name]
    only = [name for part in options.collectors for name in part.split(",") if name]
    try:
        collectors = once.choose(COLLECTORS, only)
    except ValueError as error:
        print(error, file=sys.stderr)
        return REFUSED
    overrides: Dict[str, str] = {}
    if options.data_dir is not None:
        overrides["NOMADE_GENERAL__DATA_DIR"] = os.path.abspath(options.data_dir)  # noqa: PTH100 - keeps symbolic links
    environment = environment_with(overrides)
    if not options.once:
        writer = MONITOR_WRITER if options.monitor else WRITER
        return serve(
            options.config,
            collectors,
            interval=options.interval,
            always=bool(only),
            writer=writer,
            environment=environment,
        )
    return _sample_once(options, collectors, environment, always=bool(only))


def _sample_once(
    options: argparse.Namespace, collectors: Sequence[Collector], environment: Dict[str, str], *, always: bool
) -> int:
    """Take one sample, store it and show how it went."""
    try:
        config = load_config(options.config, environment, strict=False)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return REFUSED
    wanted = [each for each in collectors if always or once.settings_of(config, each).enabled]
    seconds = min(max(options.interval or once.USUAL, once.SHORTEST), once.LONGEST)
    if options.monitor:
        seen = snapshot(config, LiveProbe(), seconds)
        reports = [seen.report]
        if seen.jobs and not options.json:
            print(printable(table(seen.jobs)))
    else:
        reports = once.measure(config, wanted, LiveProbe(), seconds)
    problem = None
    try:
        once.store(config, reports)
    except SpoolError as error:
        problem = str(error)
    _show(reports, as_json=options.json)
    if problem is not None:
        print(problem, file=sys.stderr)
    return FAILED if problem or any(report.outcome == "failed" for report in reports) else FINE


def _show(reports: List[RunReport], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([report.to_dict() for report in reports]))
        return
    for report in reports:
        reason = f"  {': '.join(filter(None, (report.category, report.message)))}"
        line = f"{report.collector:10} {report.outcome:8} {report.rows:6} rows {report.seconds:7.1f} s{reason}"
        print(printable(line.rstrip()))


def printable(text: str) -> str:
    """Return text that any terminal can show: undecodable bytes as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nomade-agent", description="Samples this host into a spool of JSON lines.")
    parser.add_argument("--once", action="store_true", help="take one sample and end")
    parser.add_argument(
        "--interval", "-i", type=_positive, metavar="SECONDS", help="between samples; with --once: to measure (5)"
    )
    parser.add_argument(
        "--collectors", "-C", action="append", default=[], metavar="NAMES", help="only these, separated by commas"
    )
    parser.add_argument(
        "--monitor", action="store_true", help="watch the running jobs only, beside an agent that does not"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file")
    parser.add_argument("--data-dir", metavar="FOLDER", help="in place of [general] data_dir")
    parser.add_argument("--json", action="store_true", help="with --once: print JSON")
    parser.add_argument("--version", action="version", version=f"nomade-agent {__version__}")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 86400:
        raise argparse.ArgumentTypeError("must be 1 to 86400")
    return number


if __name__ == "__main__":
    sys.exit(main())
