"""Reading the cells of many jobs at once, by the same parsers that read one job's.

Columns repeat their values, so each distinct text is parsed once; times and CPU times, which do not, are read as a
whole. A row with a cell that cannot be read, or that these short ways do not know, is marked as odd and left to
`collectors.sacct_rows`, which notes what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional, Sequence
from zoneinfo import ZoneInfo

from nomade_pipeline.collectors.slurm_values import ABSENT, parse_duration, parse_size, parse_time

if TYPE_CHECKING:
    import polars

# What Python takes for blank; Rust leaves out the separators of ASCII.
_BLANK = r"^[\s\x1c-\x1f]*$"
_ISO = r"^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$"
_EPOCH = r"^[1-9][0-9]{0,9}$"
_DURATION = r"^(?:(?<d>[0-9]{1,9})-)?(?:(?<h>[0-9]{1,9}):)?(?<m>[0-9]{1,9}):(?<s>[0-9]{1,9}(?:\.[0-9]{1,9})?)$"
_RESOURCES = r"^(?:[A-Za-z0-9_/:.-]+=[^,=]*(?:,[A-Za-z0-9_/:.-]+=[^,=]*)*)?$"
_LARGEST = 2**63 - 1
# Farther from a half than this, in units of the last digit that is kept, all ways of rounding agree.
_NEAR = 1e-3
# Slurm's NO_VAL and INFINITE, which are no seconds since 1970.
_NO_TIME = (4294967294, 4294967295)


class JobCells:
    """The cells of records as columns of text.

    Args:
        frame: one row a record; columns are named as sacct does, in lower case, and hold text; the four times of a
            job may be times in the zone of the source.
        zone: name of the zone in which times without an offset were written.

    Attributes:
        odd: rows that these short ways cannot read.
    """

    def __init__(self, frame: polars.DataFrame, zone: str = "UTC") -> None:
        import polars as pl

        self.frame = frame
        self.zone = zone
        self.odd = pl.repeat(False, frame.height, eager=True)

    def has(self, name: str) -> bool:
        """Whether the source has a column."""
        return name in self.frame.columns

    def text(self, *names: str) -> polars.Series:
        """Return the first cell of these columns that is not blank."""
        import polars as pl

        found = [pl.when(~pl.col(name).str.contains(_BLANK)).then(pl.col(name)) for name in names if self.has(name)]
        return self._selected(pl.coalesce(found) if found else pl.lit(None, pl.String))

    def known(self, name: str) -> polars.Series:
        """Return a column's cells that do not stand for no value."""
        import polars as pl

        if not self.has(name):
            return self._selected(pl.lit(None, pl.String))
        return self._selected(pl.when(~_is_absent(pl.col(name))).then(pl.col(name)))

    def size(self, *names: str, base: int = 1024) -> polars.Series:
        """Return the first size or number of these columns; see `parse_size`."""
        import polars as pl

        found = [self._sizes(self.frame[name], base) for name in names if self.has(name)]
        return pl.select(pl.coalesce(found)).to_series() if found else nulls(self.frame.height, pl.Int64)

    def amounts(self, name: str, resources: dict[str, int]) -> polars.DataFrame:
        """Return the amounts of some resources in a column such as ``cpu=4,mem=16G``.

        Args:
            name: the column.
            resources: what the suffixes of each are powers of.
        """
        import polars as pl

        if not self.has(name):
            return pl.DataFrame({resource: nulls(self.frame.height, pl.Int64) for resource in resources})
        cells = self.frame[name]
        self._mark(~cells.str.contains(_RESOURCES))
        return pl.DataFrame(
            {
                # Of a resource that is told twice the last one counts.
                resource: self._sizes(cells.str.extract(rf"^(?:.*,)?{resource}=([^,]*)").fill_null(""), base)
                for resource, base in resources.items()
            }
        )

    def _sizes(self, texts: polars.Series, base: int) -> polars.Series:
        import polars as pl

        groups = texts.str.extract_groups(r"^([0-9]{1,9})([KMG])$").struct.unnest()
        power = pl.col("2").replace_strict({"K": base, "M": base**2, "G": base**3}, default=None, return_dtype=pl.Int64)
        plain = texts.str.contains(r"^[0-9]{1,18}$") & ~texts.is_in(list(ABSENT))
        number = texts.set(~plain, None).cast(pl.Int64)
        found = groups.select(pl.coalesce(pl.lit(number), pl.col("1").cast(pl.Int64) * power)).to_series()
        rest = found.is_null() & (texts != "")
        if not rest.any():
            return found
        return self._parsed(texts, lambda text: parse_size(text, base=base), pl.Int64, only=rest).zip_with(rest, found)

    def read_parts(
        self, parse: Callable[[str], Optional[Sequence[Any]]], kinds: dict[str, Any], name: str
    ) -> polars.DataFrame:
        """Return what a parser finds several of in each cell of a column, in columns of the given names."""
        import polars as pl

        empty = pl.DataFrame({part: nulls(self.frame.height, kind) for part, kind in kinds.items()})
        if not self.has(name):
            return empty
        texts: list[str] = []
        parts: list[Sequence[Any]] = []
        for text in _distinct(self.frame[name]):
            value = self._attempt(self.frame[name], parse, text)
            if value is not None and not any(_too_large(part) for part in value):
                texts.append(text)
                parts.append(value)
        if not texts:
            return empty
        columns = zip(*parts, strict=True)
        known = {
            part: pl.Series(values, dtype=kind) for (part, kind), values in zip(kinds.items(), columns, strict=True)
        }
        table = pl.DataFrame({"_text": texts, **known})
        cells = self.frame.select(pl.col(name).alias("_text"))
        return cells.join(table, on="_text", how="left", maintain_order="left").drop("_text")

    def time(self, name: str) -> polars.Series:
        """Return a column of times as UTC milliseconds."""
        import polars as pl

        if not self.has(name):
            return nulls(self.frame.height, pl.Datetime("ms", "UTC"))
        cells = self.frame[name]
        if cells.dtype != pl.String:
            local = cells.cast(pl.Datetime("ms"))
            found = self._in_utc(local)
            self._mark(local.is_not_null() & found.is_null())
            return _unless_epoch(local, found)
        usual = cells.str.contains(_ISO)
        local = cells.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="ms", strict=False)
        found = _unless_epoch(local, self._in_utc(local)).set(~usual, None)
        rest = found.is_null() & (cells != "")
        if rest.any():
            seconds = pl.when(pl.col(name).str.contains(_EPOCH)).then(pl.col(name)).cast(pl.Int64)
            moment = pl.from_epoch(pl.when(~seconds.is_in(_NO_TIME)).then(seconds) * 1000, time_unit="ms")
            found = self._selected(moment.dt.replace_time_zone("UTC")).zip_with(rest, found)
            rest &= found.is_null()
        return self._rest_parsed(name, found, rest, lambda cell: parse_time(cell, ZoneInfo(self.zone)))

    def duration(self, name: str) -> polars.Series:
        """Return a column of durations as seconds."""
        import polars as pl

        if not self.has(name):
            return nulls(self.frame.height, pl.Float64)
        parts = self._selected(pl.col(name).str.extract_groups(_DURATION)).struct.unnest()
        days, hours, minutes, seconds = (pl.col(part) for part in ("d", "h", "m", "s"))
        usual = seconds.is_not_null() & (days.is_null() | hours.is_not_null())
        whole = (
            days.cast(pl.Int64).fill_null(0) * 86400
            + hours.cast(pl.Int64).fill_null(0) * 3600
            + minutes.cast(pl.Int64).fill_null(0) * 60
        )
        found = parts.select(pl.when(usual).then(whole + seconds.cast(pl.Float64))).to_series()
        return self._rest_parsed(name, found, found.is_null() & (self.frame[name] != ""), parse_duration)

    def _rest_parsed(
        self, name: str, found: polars.Series, rest: polars.Series, parse: Callable[[str], Any]
    ) -> polars.Series:
        """Fill in what the short way did not read, text by text."""
        if not rest.any():
            return found
        return self._parsed(self.frame[name], parse, found.dtype, only=rest).zip_with(rest, found)

    def _in_utc(self, local: polars.Series) -> polars.Series:
        """Return local times as UTC: the first of two at the end of summer time, none for those that never were."""
        if self.zone == "UTC":
            return local.dt.replace_time_zone("UTC")
        there = local.dt.replace_time_zone(self.zone, ambiguous="earliest", non_existent="null")
        return there.dt.convert_time_zone("UTC")

    def _parsed(
        self, texts: polars.Series, parse: Callable[[str], Any], kind: Any, *, only: Optional[polars.Series] = None
    ) -> polars.Series:
        """Return the values of cells, or of some of them."""
        import polars as pl

        values: dict[str, Any] = {}
        for text in _distinct(texts if only is None else texts.filter(only)):
            value = self._attempt(texts, parse, text)
            if value is not None and not _too_large(value):
                values[text] = value
        if not values:
            return nulls(len(texts), kind)
        known = pl.Series(list(values.values()), dtype=kind)
        return texts.replace_strict(list(values), known, default=None, return_dtype=kind)

    def _attempt(self, texts: polars.Series, parse: Callable[[str], Any], text: str) -> Any:
        """Return the value of a text; rows with one that cannot be read, or not be stored, are odd."""
        try:
            value = parse(text)
        except ValueError:
            self._mark(texts == text)
            return None
        if any(_too_large(part) for part in (value if isinstance(value, (tuple, list)) else (value,))):
            self._mark(texts == text)
        return value

    def _mark(self, rows: polars.Series) -> None:
        self.odd = self.odd | rows.fill_null(value=False)

    def _selected(self, expression: polars.Expr) -> polars.Series:
        import polars as pl

        column = self.frame.select(expression.alias("")).to_series()
        return (
            column
            if len(column) == self.frame.height
            else pl.repeat(column[0], self.frame.height, dtype=column.dtype, eager=True)
        )


def _distinct(texts: polars.Series) -> list[str]:
    return [text for text in texts.unique().to_list() if text]


def nulls(count: int, kind: Any) -> polars.Series:
    """Return a column of nulls."""
    import polars as pl

    return pl.repeat(None, count, dtype=kind, eager=True)


def _is_absent(text: polars.Expr) -> polars.Expr:
    return text.str.strip_chars().str.to_lowercase().is_in(list(ABSENT))


def _unless_epoch(local: polars.Series, found: polars.Series) -> polars.Series:
    """Return times but those of the first of January 1970 or earlier years, which Slurm writes for none."""
    early = (local.dt.year() <= 1970).fill_null(value=False)
    if not early.any():
        return found
    return found.set(early & (local.dt.month() == 1) & (local.dt.day() == 1), None)


def _too_large(value: Any) -> bool:
    return isinstance(value, int) and abs(value) > _LARGEST


def rounded(series: polars.Series, decimals: int) -> polars.Series:
    """Round as Python does, which the spool's writer uses: Polars rounds halves away from zero."""
    scaled = series * 10**decimals
    near_half = ((scaled - scaled.floor() - 0.5).abs() < _NEAR).fill_null(value=False)
    rounded = series.round(decimals)
    if not near_half.any():
        return rounded
    exact = [round(value, decimals) for value in series.filter(near_half)]
    return rounded.scatter(near_half.arg_true(), exact)
