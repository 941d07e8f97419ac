"""What a collector is, what it returns and how it says that it could not.

A collector is one module: pure parsers and a `collect(probe, settings, interval)`. It never touches
the spool or the lake.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Callable, Dict, Mapping, Optional, Protocol, Sequence, Tuple, runtime_checkable

from nomade_pipeline import clock
from nomade_pipeline.probes import Probe
from nomade_pipeline.tables.contract import Table

Row = Dict[str, Any]

TOOL, PROC = "tool", "proc"


@dataclass(frozen=True)
class Rejected:
    """A part of a tool's output that could not be read, kept with the reason."""

    text: str
    reason: str


@dataclass(frozen=True)
class Parsed:
    """What a pure parser made of one output: rows per table, and what it could not read."""

    rows: Dict[str, list[Row]]
    rejected: Tuple[Rejected, ...] = ()


@dataclass(frozen=True)
class Reading:
    """Rows of one table measured over one interval of one host.

    A row holds the contract's data columns only (``Table.data_columns``); a missing column is null.

    Attributes:
        table: name of the raw table.
        rows: the rows; may be empty (no NFS mount at the moment).
        sample_time: end of the interval, UTC.
        interval_seconds: the length that the values cover; averages weight by it.
        source: ``tool``, ``proc`` or ``sadf``.
    """

    table: str
    rows: Sequence[Row]
    sample_time: datetime
    interval_seconds: float
    source: str = TOOL


@dataclass(frozen=True)
class Collected:
    """The result of one collector run.

    Attributes:
        note: what could not be done although the run succeeded, for the collection log; None for nothing.
    """

    readings: Tuple[Reading, ...]
    rejected: Tuple[Rejected, ...] = ()
    note: Optional[str] = None


class CollectorError(Exception):
    """A collector run that did not give what it should.

    Args:
        category: one of ``tables.operations.CATEGORIES``.
        message: what was wrong, where, and what to do.
        readings: what the failed run can tell all the same, such as that a service does not answer; it is stored.
    """

    def __init__(self, category: str, message: str, readings: Sequence[Reading] = ()) -> None:
        """Keep category and message apart for the collection log."""
        super().__init__(message)
        self.category = category
        self.readings = tuple(readings)


class Skipped(CollectorError):
    """There is nothing to collect on this host, and that is no fault (no GPU, no NFS mount)."""


def event_readings(table: Table, rows: Sequence[Row], source: str = TOOL) -> Tuple[Reading, ...]:
    """Turn rows of an event table into readings, one for each UTC hour of their own time.

    Raises:
        KeyError: a row lacks its own time.
    """
    by_hour: Dict[datetime, list[Row]] = {}
    for row in rows:
        by_hour.setdefault(clock.hour_of(row[table.own_time]), []).append(row)
    return tuple(
        Reading(table.name, found, max(row[table.own_time] for row in found), 0.0, source)
        for _, found in sorted(by_hour.items())
    )


CollectFunction = Callable[[Probe, Any, int], Collected]


class Memory(Protocol):
    """What a collector remembers from one run to the next."""

    def collect(self, probe: Probe, settings: Any, interval: int) -> Collected:
        """See ``Collector.collect``."""

    def forget(self) -> None:
        """Forget everything: what was collected may have been lost, so that the next run tells all of it."""


@runtime_checkable
class LastingMemory(Memory, Protocol):
    """A memory that outlives a restart of the agent, which keeps its state in a file."""

    def to_state(self, boot_id: str) -> Optional[Dict[str, Any]]:
        """Return what is to be kept, for JSON; None for nothing. ``boot_id`` tells this boot from others."""

    def recall(self, state: Mapping[str, Any], boot_id: str) -> None:
        """Take over what `to_state` gave before a restart.

        Raises:
            KeyError, TypeError, ValueError: it is no such state.
        """


@dataclass(frozen=True)
class Collector:
    """One collector as the registry holds it.

    Attributes:
        name: also the key of its section in the configuration.
        title: one line for people.
        command: the command it runs, for documents and `syscheck`.
        tables: the raw tables it fills.
        collect: ``collect(probe, settings, interval) -> Collected``; settings is the section's dataclass
            of `config.settings`, interval the whole seconds to measure.
        parse: ``parse(text) -> Parsed``: recognises every recorded form of the tool's output.
        spans_interval: True when `collect` blocks for the whole interval (rates), False for a
            reading of the moment (its interval is then the time since the last cycle).
        default_interval: seconds between samples unless configured.
        optional: True when a host without the device or tool is no failure.
        load_budget: largest share of the time that it may keep the service that it asks busy; the interval
            stretches until it holds. 0: it asks no service.
        remembering: makes a new memory, for a collector that tells only what has changed; None for all others.
        forget: empties the memory of a collector made by `fresh`.
        lasting: the memory of a collector made by `fresh`, if it outlives a restart.
    """

    name: str
    title: str
    command: str
    tables: Tuple[Table, ...]
    collect: CollectFunction
    parse: Callable[[str], Parsed]
    spans_interval: bool
    default_interval: int = 60
    optional: bool = False
    aliases: Tuple[str, ...] = field(default=())
    load_budget: float = 0.0
    remembering: Optional[Callable[[], Memory]] = None
    forget: Callable[[], None] = lambda: None
    lasting: Optional[LastingMemory] = None

    def fresh(self) -> Collector:
        """Return this collector with a memory of its own, which is empty."""
        if self.remembering is None:
            return self
        memory = self.remembering()
        lasting = memory if isinstance(memory, LastingMemory) else None
        return replace(self, collect=memory.collect, forget=memory.forget, lasting=lasting)


def optional_float(text: Optional[str]) -> Optional[float]:
    """Read a decimal number with a point or a comma; None for an empty or absent text.

    Raises:
        ValueError: the text is no number.
    """
    if text is None or not text.strip():
        return None
    return float(text.strip().replace(",", "."))
