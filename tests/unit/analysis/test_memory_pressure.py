"""Memory pressure: 0 without trouble, 1 at the end, monotone, and null without measurements."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomade_pipeline.analysis.memory import memory_pressure, memory_pressure_expression

GB = 10**9


@pytest.mark.parametrize(
    ("row", "pressure"),
    [
        ({"memory_available_bytes": 60 * GB, "memory_total_bytes": 64 * GB}, 0.0),
        ({"memory_available_bytes": 10 * GB, "memory_total_bytes": 100 * GB}, 0.5),
        ({"memory_available_bytes": 0, "memory_total_bytes": 64 * GB}, 1.0),
        ({"swap_in_bytes_per_second": 4e6, "swap_out_bytes_per_second": 6e6}, 0.5),
        ({"swap_in_bytes_per_second": None, "swap_out_bytes_per_second": 0.0}, 0.0),
        ({"psi_memory_some_percent": 25.0}, 0.25),
        ({"psi_memory_some_percent": 25.0, "swap_in_bytes_per_second": 10e6}, 0.5),
    ],
)
def test_the_largest_term_counts(row: dict[str, float | None], pressure: float) -> None:
    assert memory_pressure(row) == pytest.approx(pressure)


@pytest.mark.parametrize("row", [{}, {"memory_total_bytes": 0, "memory_available_bytes": 0}, {"memory_total_bytes": 5}])
def test_nothing_measured_is_null_and_not_zero(row: dict[str, float]) -> None:
    assert memory_pressure(row) is None


amounts = st.one_of(st.none(), st.floats(0, 1e13))


@given(available=amounts, total=amounts, rate=amounts, psi=st.one_of(st.none(), st.floats(0, 100)))
def test_it_stays_between_0_and_1_and_grows_with_swapping(
    available: float | None, total: float | None, rate: float | None, psi: float | None
) -> None:
    row = {
        "memory_available_bytes": available,
        "memory_total_bytes": total,
        "swap_in_bytes_per_second": rate,
        "psi_memory_some_percent": psi,
    }
    pressure = memory_pressure(row)
    assert pressure is None or 0 <= pressure <= 1
    if pressure is not None and rate is not None:
        more = memory_pressure({**row, "swap_in_bytes_per_second": rate * 2})
        assert more is not None
        assert more >= pressure


MEASURES = {
    "memory_available_bytes": pl.Int64,
    "memory_total_bytes": pl.Int64,
    "swap_in_bytes_per_second": pl.Float64,
    "swap_out_bytes_per_second": pl.Float64,
    "psi_memory_some_percent": pl.Float64,
}


@given(st.fixed_dictionaries({name: st.none() | st.integers(0, 10**12) for name in MEASURES}))
def test_the_expression_over_a_table_says_the_same(row):
    found = pl.DataFrame([row], schema=MEASURES, strict=False).select(memory_pressure_expression()).item()
    assert found == pytest.approx(memory_pressure(row))
