"""`nomade collect` and `nomade parse`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Sequence

import click

from nomade_pipeline.cli.common import FINDING, FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import (
    bad,
    echo_json,
    faint,
    good,
    heading,
    note,
    printable,
    shorten_end,
    table,
    width,
)

if TYPE_CHECKING:
    from nomade_pipeline.collectors.base import Collector, Parsed


@click.command(
    "collect",
    epilog="\b\nExamples:\n  nomade collect --once\n  nomade collect --interval 60\n"
    "  nomade collect -C disk,iostat --once --json",
)
@click.option("--once", is_flag=True, help="Take one sample and end.")
@click.option(
    "--interval",
    "-i",
    type=click.IntRange(1, 86400),
    metavar="SECONDS",
    help="Between samples; with --once: how long rates are measured (default 5, at most 60).",
)
@click.option("--collectors", "-C", "names", multiple=True, metavar="NAMES", help="Only these, separated by commas.")
@json_option
@pass_invocation
def collect_command(
    invocation: Invocation,
    once: bool,
    interval: int | None,
    names: tuple[str, ...],
    as_json: bool,
) -> int:
    """Sample this host into the spool: once, or until stopped.

    Without --once this is the resident agent: SIGTERM ends it cleanly, SIGHUP reads the configuration again.
    """
    from nomade_pipeline.agent.once import choose
    from nomade_pipeline.collectors.registry import COLLECTORS

    only = [name.strip() for part in names for name in part.split(",") if name.strip()]
    try:
        collectors = choose(COLLECTORS, only)
    except ValueError as error:
        raise click.BadParameter(printable(error), param_hint="-C") from error
    if once:
        return _sample(invocation, collectors, interval, named=bool(only), as_json=as_json)
    if as_json:
        raise click.UsageError("--json goes with --once")
    from nomade_pipeline.agent.serve import serve

    return serve(
        invocation.config_path, collectors, interval=interval, always=bool(only), environment=invocation.environment
    )


def _sample(
    invocation: Invocation, collectors: Sequence[Collector], interval: int | None, *, named: bool, as_json: bool
) -> int:
    """Take one sample, store it and tell how it went."""
    from nomade_pipeline.agent.once import LONGEST, SHORTEST, USUAL, run_once, settings_of
    from nomade_pipeline.probes import LiveProbe

    config = invocation.config
    wanted = [each for each in collectors if named or settings_of(config, each).enabled]
    seconds = min(max(interval or USUAL, SHORTEST), LONGEST)
    if not as_json and wanted:
        note(faint(f"measuring for {seconds} s: {', '.join(each.name for each in wanted)}"))
    reports = run_once(config, wanted, LiveProbe(), seconds)
    if as_json:
        echo_json([report.to_dict() for report in reports])
    else:
        for report in reports:
            colour = {"success": good, "failed": bad}.get(report.outcome, faint)
            start = f"{report.collector:10} {report.outcome:8} {report.rows:5} rows {report.seconds:6.1f} s"
            reason = f"  {printable(f'{report.category}: {report.message}')}" if report.category else ""
            click.echo(colour(start) + shorten_end(reason, max(20, width() - len(start))))
        note(faint(f"stored below {config.paths.spool}"))
    return FINDING if any(report.outcome == "failed" for report in reports) else FINE


@click.command(
    "parse",
    epilog="\b\nExamples:\n  iostat -x 1 2 > report.txt; nomade parse iostat report.txt\n"
    "  nvidia-smi -q -x | nomade parse gpu - --json",
)
@click.argument("collector")
@click.argument("file", type=click.File("rb"))
@json_option
def parse_command(collector: str, file: Any, as_json: bool) -> int:
    """Read a tool's recorded output in FILE as COLLECTOR would; `-` is standard input.

    Nothing is stored. Exits with 1 when a part of it could not be read.
    """
    from nomade_pipeline.collectors.registry import collector_named

    try:
        chosen = collector_named(collector)
    except KeyError as error:
        raise click.BadParameter(printable(error.args[0]), param_hint="COLLECTOR") from error
    data = sys.stdin.buffer.read() if getattr(file, "name", "") == "<stdin>" else file.read()
    parsed = _parsed(chosen, data.decode("utf-8", "surrogateescape"))
    rejected = [{"reason": each.reason, "text": _safe(each.text)} for each in parsed.rejected]
    if as_json:
        rows = {
            name: [{key: _safe(value) for key, value in row.items()} for row in found]
            for name, found in parsed.rows.items()
        }
        echo_json({"collector": chosen.name, "rows": rows, "rejected": rejected})
    else:
        for name, found in parsed.rows.items():
            _show_rows(name, found)
        for each in rejected:
            part = shorten_end(printable(each["text"]), width())
            click.echo(f"{bad('rejected')}: {printable(each['reason'])}: {part}")
    if not rejected and not any(parsed.rows.values()):
        note("nothing in it could be read as this collector's output")
        return FINDING
    return FINDING if rejected else FINE


def _parsed(collector: Collector, text: str) -> Parsed:
    """Parse a text; one that is not this tool's output is rejected whole."""
    from nomade_pipeline.collectors.base import CollectorError, Parsed, Rejected

    try:
        return collector.parse(text)
    except CollectorError as error:
        return Parsed({}, (Rejected(text, str(error)),))


def _safe(value: Any) -> Any:
    """Make bytes that are no UTF-8 printable."""
    return (
        value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if isinstance(value, str)
        else value
    )


def _show_rows(name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print the rows of a table, without the columns that are null in all of them."""
    click.echo(heading(f"{name}: {len(rows)} rows"))
    columns = [
        key
        for key in dict.fromkeys(key for row in rows for key in row)
        if any(row.get(key) is not None for row in rows)
    ]
    if not columns:
        return
    # A wide table is told row by row, since a terminal would fold it.
    grid = table(columns, ([row.get(key) for key in columns] for row in rows))
    if max(map(len, grid.splitlines())) <= width():
        click.echo(grid)
        return
    for place, row in enumerate(rows, start=1):
        click.echo(faint(f"row {place}"))
        for key in columns:
            if row.get(key) is not None:
                click.echo(f"  {key:<36} {printable(row[key])}")
