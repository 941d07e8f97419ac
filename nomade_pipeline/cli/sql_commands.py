"""`nomade sql` and `nomade tables`."""

from __future__ import annotations

import csv
import io
import json
import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import NULL, echo_json, faint, heading, note, printable, shorten_end, table, width
from nomade_pipeline.errors import NoData

if TYPE_CHECKING:
    import pyarrow

    from nomade_pipeline.tables.contract import Table

FORMATS = ("table", "csv", "json", "parquet")


@click.command(
    "sql",
    epilog="\b\nExamples:\n"
    '  nomade sql "SELECT host, path, used_percent FROM disk ORDER BY sample_time DESC LIMIT 5"\n'
    "  nomade sql \"SELECT * FROM hourly WHERE metric = 'busy_percent'\" --format csv\n"
    '  nomade sql "FROM iostat" --format parquet -o iostat.parquet\n'
    "  echo 'SHOW TABLES' | nomade sql -",
)
@click.argument("query")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: table, or by the ending of --output.")
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write to a file."
)
@pass_invocation
def sql_command(invocation: Invocation, query: str, form: str | None, as_json: bool, output: Path | None) -> int:
    """Run one reading SQL statement (DuckDB) over all tables; `-` reads it from standard input.

    There is a view for every raw table and every rollup, named as `nomade tables` lists them. What is not
    ingested yet is not seen.
    """
    from nomade_pipeline.sql import run

    ending = output.suffix.lstrip(".") if output is not None else ""
    chosen = "json" if as_json else form or (ending if ending in FORMATS else "table")
    if chosen == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("Parquet is not for a terminal: give --output FILE")
    result = run(invocation.paths, sys.stdin.read() if query == "-" else query)
    if output is None:
        _print(result, chosen)
    else:
        output.write_bytes(render(result, chosen))
        note(f"{result.num_rows} rows written to {output}")
    return FINE


def _print(result: pyarrow.Table, form: str) -> None:
    content = render(result, form)
    if form == "parquet":
        sys.stdout.buffer.write(content)
    else:
        click.echo(content.decode("utf-8"), nl=form != "csv")
    if form == "table" and result.num_rows != 1:
        note(faint(f"{result.num_rows} rows"))


def render(result: pyarrow.Table, form: str) -> bytes:
    """Return a result in one of the formats."""
    if form == "parquet":
        import pyarrow.parquet as pq

        sink = io.BytesIO()
        pq.write_table(result, sink, compression="zstd")
        return sink.getvalue()
    names = result.column_names
    columns = [column.to_pylist() for column in result.columns]
    rows = [list(row) for row in zip(*columns, strict=True)] if columns else []
    if form == "json":
        return json.dumps([dict(zip(names, map(_plain, row), strict=True)) for row in rows], indent=2).encode()
    if form == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([["" if value is None else _plain(value) for value in row] for row in rows])
        return text.getvalue().encode("utf-8", "backslashreplace")
    if names == ["explain_key", "explain_value"]:
        return "\n".join(printable(line) for row in rows for line in str(row[1]).splitlines()).encode()
    numeric = [
        name
        for name, field in zip(names, result.schema, strict=True)
        if str(field.type).startswith(("int", "float", "double", "uint", "decimal"))
    ]
    shown = [[_shown(value) for value in row] for row in rows]
    return table(names, shown, right=numeric).encode("utf-8", "backslashreplace")


def _plain(value: Any) -> Any:
    """Return a value as JSON and CSV hold it."""
    if isinstance(value, datetime):
        return clock.to_text(value) if value.tzinfo is not None else value.isoformat()
    if isinstance(value, (date, bytes)):
        return value.isoformat() if isinstance(value, date) else value.hex()
    if isinstance(value, (str, int, float, bool)) or value is None:
        return None if isinstance(value, float) and value != value else value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return str(value)


def _shown(value: Any) -> str | None:
    """Return a value as a table shows it."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return None if value is None else str(_plain(value))


@click.command("tables", epilog="\b\nExamples:\n  nomade tables\n  nomade tables disk\n  nomade tables --json")
@click.argument("name", required=False)
@json_option
@pass_invocation
def tables_command(invocation: Invocation, name: str | None, as_json: bool) -> int:
    """List all tables with their rows, days and newest data, or the columns of one table."""
    from nomade_pipeline.sql import CATALOG

    if name is not None:
        if name not in CATALOG:
            raise click.UsageError(f"no table {name!r}; there are {', '.join(CATALOG)}")
        _show_columns(CATALOG[name], as_json=as_json)
        return FINE
    from nomade_pipeline.status.inventory import inventory

    found = inventory(invocation.paths, CATALOG)
    if as_json:
        echo_json(found)
        return FINE
    headers = ("table", "layer", "rows", "days", "newest", "clusters", "what one row is")
    rows = [[row[key] for key in ("table", "layer", "rows", "days", "newest", "clusters")] for row in found]
    for line, row in zip(rows, found, strict=True):
        line[5] = ", ".join(row["clusters"]) or None
        line.append(shorten_end(str(row["description"]).split(".")[0].split(": ")[0], max(20, width() - 70)))
    click.echo(table(headers, rows, right=("rows", "days")))
    if not any(row["rows"] for row in found):
        raise NoData("the tables are empty", "`nomade collect --once`, then `nomade ingest` fill them")
    return FINE


def _show_columns(contract: Table, *, as_json: bool) -> None:
    """Print a contract."""
    columns: list[Mapping[str, Any]] = [
        {
            "name": column.name,
            "type": column.type,
            "unit": column.unit or None,
            "key": column.name in contract.key,
            "null": column.null,
            "description": column.description,
        }
        for column in contract.columns
    ]
    if as_json:
        echo_json(
            {"table": contract.name, "layer": contract.layer, "description": contract.description, "columns": columns}
        )
        return
    click.echo(f"{heading(contract.name)} ({contract.layer}): {printable(contract.description)}")
    for column in columns:
        about = ", ".join(
            str(part) for part in (column["type"], column["unit"], "key" if column["key"] else None) if part
        )
        click.echo(f"  {heading(str(column['name']))}  {faint(about)}")
        click.echo(f"      {printable(column['description'])}")
        if column["null"] is not None:
            click.echo(faint(f"      null: {printable(column['null'])}"))
    click.echo(faint(f"{NULL} stands for null on every screen"))
