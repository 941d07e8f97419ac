from datetime import UTC, datetime

import polars as pl
import pytest

from nomade_pipeline.tables.contract import Table
from nomade_pipeline.workload.history import History, history_of
from nomade_pipeline.workload.scenario import Scenario
from nomade_pipeline.workload.write import tables_of_day

# A Monday: two working days.
END = datetime(2026, 3, 4, tzinfo=UTC)


@pytest.fixture(scope="session")
def small() -> History:
    """A cluster of eight hosts, three days."""
    return history_of(Scenario.ending(END, 3, cluster="sim-small", jobs=1000, hosts=8, seed=3))


@pytest.fixture(scope="session")
def many() -> History:
    """Many jobs on a large cluster, so that shares of outcomes can be told."""
    return history_of(Scenario.ending(END, 7, cluster="sim-many", jobs=12_000, hosts=40, seed=5))


@pytest.fixture(scope="session")
def days(small: History) -> list[dict[Table, pl.DataFrame]]:
    """All rows of the small cluster, a day each."""
    return [dict(tables_of_day(small, day)) for day in small.scenario.days]
