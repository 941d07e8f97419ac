"""What a table contract is: columns with type, unit, range and the meaning of null.

A contract is a plain value. Polars, Arrow, SQL, Dagster and Great Expectations schemas and the data
dictionary are derived from it elsewhere, so this module imports nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Dict, Optional, Tuple

# Logical types and the Python types that a value of them has in a spool line.
JSON_TYPES: dict[str, Tuple[type, ...]] = {
    "text": (str,),
    "bool": (bool,),
    "int32": (int,),
    "int64": (int,),
    "float32": (float, int),
    "float64": (float, int),
    "time": (str,),
    "date": (str,),
}

RAW, ROLLUP = "raw", "rollup"
# Layers whose tables are computed from others, a UTC day at a time, and replaced as a whole.
DERIVED, FEATURES, GRAPH, SIMULATION = COMPUTED_LAYERS = ("derived", "features", "graph", "simulation")


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: snake case; the base unit is its suffix (``_bytes``, ``_seconds``, ``_percent``).
        type: a logical type, one of ``JSON_TYPES``.
        description: what the value means.
        unit: the unit in words, empty for text and flags.
        null: what null means; None says that the column is never null.
        minimum, maximum: inclusive range, None for no bound.
        allowed: the closed set of a text column, empty when open.
        decimals: digits kept of a float, so that files stay small and stable; None keeps all.
        rollup: whether hourly and daily rollups carry this quantity.
    """

    name: str
    type: str
    description: str
    unit: str = ""
    null: Optional[str] = None
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    allowed: Tuple[str, ...] = ()
    decimals: Optional[int] = None
    rollup: bool = False

    @property
    def nullable(self) -> bool:
        """Whether the column may be null."""
        return self.null is not None


@dataclass(frozen=True)
class Table:
    """One table: its columns, its natural key, and how it is rolled up.

    Attributes:
        name: also the folder in the lake, the second part of the asset key and the SQL view.
        layer: ``raw`` or one of `COMPUTED_LAYERS` (Parquet in the lake), or ``rollup`` (SQLite).
        description: what one row is.
        columns: in storage order.
        key: columns that identify a row; never null. The files are sorted by it.
        collector: name of the collector that fills a raw table.
        subject: key columns that name the thing measured within a host; latest readings are per
            cluster, host and subject.
        rollup_by: columns whose values name one rolled-up series.
        own_time: column whose value decides a row's hour and day and stands in ``sample_time``, for records of
            something that happened (a job that ended); empty for samples.
        transient: its subjects come and go (jobs): a run may rightly give no row, and no latest row is kept.
        version: grows with every change of the contract; columns are only added or widened.
    """

    name: str
    layer: str
    description: str
    columns: Tuple[Column, ...]
    key: Tuple[str, ...]
    collector: str = ""
    subject: Tuple[str, ...] = ()
    rollup_by: Tuple[str, ...] = ("host",)
    own_time: str = ""
    transient: bool = False
    version: int = 1

    def __post_init__(self) -> None:
        """Refuse a contract that contradicts itself.

        Raises:
            ValueError: a repeated or unknown column, an unknown type, or a nullable key.
        """
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"table {self.name}: a column is declared twice")
        for name in (*self.key, *self.subject, *self.rollup_by, *filter(None, [self.own_time])):
            if self.layer != ROLLUP and name not in names:
                raise ValueError(f"table {self.name}: {name} is not a column")
        for column in self.columns:
            if column.type not in JSON_TYPES:
                raise ValueError(f"table {self.name}.{column.name}: unknown type {column.type}")
            if column.name in self.key and column.nullable:
                raise ValueError(f"table {self.name}.{column.name}: a key is never null")

    def column(self, name: str) -> Column:
        """Return the column called ``name``.

        Raises:
            KeyError: there is none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise KeyError(f"table {self.name} has no column {name}") from None

    @property
    def split_by(self) -> str:
        """The column behind cluster in the order of the files: large days are worked on by ranges of it."""
        return self.key[1]

    @cached_property
    def _by_name(self) -> Dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def column_names(self) -> Tuple[str, ...]:
        """Names of all columns in storage order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def measures(self) -> Tuple[Column, ...]:
        """The columns that hourly and daily rollups carry."""
        return tuple(column for column in self.columns if column.rollup)

    @cached_property
    def data_columns(self) -> Tuple[Column, ...]:
        """The columns that a collector fills itself, beside the common ones."""
        return tuple(c for c in self.columns if c.name not in COMMON_NAMES)

    @cached_property
    def number_columns(self) -> Tuple[Column, ...]:
        """The columns of numbers among them."""
        return tuple(c for c in self.data_columns if c.type.startswith(("int", "float")))


def percent(name: str, description: str, *, rollup: bool = False, null: Optional[str] = None) -> Column:
    """Build a percentage column, 0-100 with two decimals."""
    return Column(
        name,
        "float32",
        description,
        "percent",
        null,
        minimum=0,
        maximum=100,
        decimals=2,
        rollup=rollup,
    )


# Value of ``source`` of rows that nobody measured.
SIMULATED = "simulated"
# How the names of clusters begin whose data is no real cluster's own, and what it is.
_NOT_REAL = {"sim-": SIMULATED, "replay-": "replayed"}


def is_simulated(cluster: str) -> bool:
    """Whether a cluster is simulated or replayed, by its name: whatever is shown of it says so."""
    return bool(origin_of(cluster))


def origin_of(cluster: str) -> str:
    """Return what a cluster's data is, for people: ``simulated``, ``replayed``, or empty for a real cluster."""
    return next((word for beginning, word in _NOT_REAL.items() if cluster.startswith(beginning)), "")


def labelled(cluster: str) -> str:
    """Return a cluster's name as people are shown it: `sim-demo (simulated)`."""
    origin = origin_of(cluster)
    return f"{cluster} ({origin})" if origin else cluster


CLUSTER = Column("cluster", "text", "Name of the cluster, from `[general] cluster_name`.")
HOST = Column("host", "text", "Machine that took the sample: short lower-case host name.")
SAMPLE_TIME = Column("sample_time", "time", "End of the measured interval; decides hour and day.", "UTC")
INTERVAL_SECONDS = Column(
    "interval_seconds",
    "float32",
    "Length of the measured interval; averages weight by it.",
    "seconds",
    minimum=0,
    decimals=3,
)
SOURCE = Column(
    "source",
    "text",
    "Where the values come from: `tool` (the named command), `proc` (differences of /proc), "
    "`sadf` (sysstat archive), `import` (a file that was imported), `simulated` (`nomade simulate`: nothing was "
    "measured); `manual-` before it when a person asked for the sample.",
    allowed=("tool", "proc", "sadf", "import", SIMULATED, "manual-tool", "manual-proc"),
)
RECEIVED_TIME = Column("received_time", "time", "When the row was written to the spool.", "UTC")

COMMON = (CLUSTER, HOST, SAMPLE_TIME, INTERVAL_SECONDS, SOURCE)
COMMON_NAMES = frozenset(column.name for column in (*COMMON, RECEIVED_TIME))


def raw_table(
    name: str,
    description: str,
    columns: Tuple[Column, ...],
    *,
    collector: str,
    subject: Tuple[str, ...] = (),
    rollup_by: Optional[Tuple[str, ...]] = None,
    transient: bool = False,
    version: int = 1,
) -> Table:
    """Build a raw table: the common columns, then its own, then the time of receipt.

    Its key is cluster, host, subject and sample time, so files are sorted by series and compress well.
    """
    return Table(
        name=name,
        layer=RAW,
        description=description,
        columns=(*COMMON, *columns, RECEIVED_TIME),
        key=("cluster", "host", *subject, "sample_time"),
        collector=collector,
        subject=subject,
        rollup_by=rollup_by if rollup_by is not None else ("host", *subject),
        transient=transient,
        version=version,
    )


def event_table(
    name: str,
    description: str,
    columns: Tuple[Column, ...],
    *,
    collector: str,
    identity: Tuple[str, ...],
    own_time: str,
    version: int = 1,
) -> Table:
    """Build a raw table of records of what happened, each told once or many times by any host.

    Its key is cluster and ``identity``, so that the same record from two hosts is one row; its day is that of
    ``own_time``. ``interval_seconds`` is 0: a record covers no interval.
    """
    return Table(
        name=name,
        layer=RAW,
        description=description,
        columns=(*COMMON, *columns, RECEIVED_TIME),
        key=("cluster", *identity),
        collector=collector,
        subject=identity,
        own_time=own_time,
        transient=True,
        version=version,
    )
