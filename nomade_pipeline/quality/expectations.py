"""Great Expectations suites, derived from the table contracts and run on closed partitions.

Importing Great Expectations costs six CPU-seconds, so it happens inside the functions only. The checks
that decide what enters the lake are those of `quality.contract`; these say the same in the words of a
tool that others know, on what the lake holds.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Iterator

from nomade_pipeline import clock
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.contract import Column, Table

if TYPE_CHECKING:
    import great_expectations as gx
    import polars

# What is shown of the values that broke an expectation.
SHOWN_VALUES = 5

# Pandas needs about 300 bytes a row of the widest table.
PART_ROWS = 1_000_000


@dataclass(frozen=True)
class SuiteResult:
    """What validating a frame against a table's suite gave.

    Attributes:
        success: whether every expectation was met.
        evaluated: number of expectations.
        failed: each broken expectation in words, with what was found.
    """

    success: bool
    evaluated: int
    failed: tuple[tuple[str, str], ...]

    def summary(self) -> str:
        """Say in one line what came out."""
        if self.success:
            return f"{self.evaluated} expectations met" if self.evaluated else "no rows of this day"
        return "; ".join(f"{expectation}: {found}" for expectation, found in self.failed)[:2000]


def suite_for(table: Table) -> gx.ExpectationSuite:
    """Return the suite of a table: its columns, nulls, ranges, closed sets and natural key."""
    with _quietly():
        import great_expectations as gx

        expect: Any = gx.expectations
        expectations: list[Any] = [
            expect.ExpectTableColumnsToMatchSet(column_set=list(table.column_names), exact_match=True),
            expect.ExpectCompoundColumnsToBeUnique(column_list=list(table.key)),
        ]
        for column in table.columns:
            expectations += _column_expectations(expect, column)
        return gx.ExpectationSuite(name=table.name, expectations=expectations)


def _column_expectations(expect: Any, column: Column) -> list[Any]:
    found: list[Any] = []
    if not column.nullable:
        found.append(expect.ExpectColumnValuesToNotBeNull(column=column.name))
    if column.minimum is not None or column.maximum is not None:
        found.append(
            expect.ExpectColumnValuesToBeBetween(column=column.name, min_value=column.minimum, max_value=column.maximum)
        )
    if column.allowed:
        found.append(expect.ExpectColumnValuesToBeInSet(column=column.name, value_set=list(column.allowed)))
    return found


def validate(table: Table, frame: polars.DataFrame) -> SuiteResult:
    """Validate rows of a table against its suite.

    Args:
        table: the contract.
        frame: rows of any number of partitions; uniqueness is judged over all of them.
    """
    suite = suite_for(table)
    with _quietly():
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        source = context.data_sources.add_pandas(table.name)
        batches = source.add_dataframe_asset(table.name).add_batch_definition_whole_dataframe(table.name)
        batch = batches.get_batch({"dataframe": frame.to_pandas(use_pyarrow_extension_array=True)})
        results = batch.validate(suite).results
    failed = tuple((_in_words(result), _what_was_found(result)) for result in results if not result.success)
    return SuiteResult(not failed, len(results), failed)


def validate_day(store: Store, table: Table, day: date) -> SuiteResult:
    """Validate a stored UTC day of all clusters, in parts of whole hours that fit into memory.

    The natural key holds the sample time, so rows of different hours cannot repeat each other.
    """
    results = [validate(table, part) for part in _parts(store, table, day)]
    if not results:
        return SuiteResult(True, 0, ())
    failed = tuple(fault for result in results for fault in result.failed)
    return SuiteResult(not failed, results[0].evaluated, failed)


def _parts(store: Store, table: Table, day: date) -> Iterator[polars.DataFrame]:
    import polars as pl

    waiting: list[polars.DataFrame] = []
    for cluster in store.lake.clusters(table):
        for hour in clock.hours_of(day):
            rows = store.lake.read_day(table, cluster, day, hour)
            if rows.height:
                waiting.append(rows)
            if sum(part.height for part in waiting) >= PART_ROWS:
                yield pl.concat(waiting)
                waiting = []
    if waiting:
        yield pl.concat(waiting)


def _in_words(result: Any) -> str:
    """Name an expectation and its columns: ``expect_column_values_to_not_be_null(host)``."""
    about = result.expectation_config.kwargs
    subject = about.get("column") or ", ".join(about.get("column_list", ()))
    return f"{result.expectation_config.type}({subject})"


def _what_was_found(result: Any) -> str:
    """Say how many values broke an expectation and show some, or what it said itself."""
    raised = [info["exception_message"] for info in _exceptions(result.exception_info) if info["raised_exception"]]
    if raised:
        return str(raised[0])
    details = result.result
    count = details.get("unexpected_count")
    if count is None:
        return str(details.get("details") or details.get("observed_value"))
    shown = ", ".join(str(value) for value in (details.get("partial_unexpected_list") or ())[:SHOWN_VALUES])
    return f"{count} of {details['element_count']}" + (f": {shown}" if shown else "")


def _exceptions(info: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the exceptions of a result, which stand alone or by metric."""
    return [info] if "raised_exception" in info else list(info.values())


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep Great Expectations from calling home, and its bars, warnings and logging off the terminal."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    loggers = [logging.getLogger(name) for name in ("great_expectations", "posthog")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
