"""Every feature declares when it is known, and the page that says so is current."""

from __future__ import annotations

import pytest
from support.needs import REPOSITORY

from nomade_pipeline.features.document import PAGE, render_page
from nomade_pipeline.features.registry import END, FEATURES, MOMENTS, RUNNING, START, SUBMIT, known_by
from nomade_pipeline.tables.catalog import RAW_TABLES
from nomade_pipeline.tables.features import JOB_FEATURES, QUANTITIES, VECTOR


@pytest.mark.parametrize("name", JOB_FEATURES.column_names)
def test_every_column_declares_source_and_moment(name: str) -> None:
    """A new column without a declaration fails here."""
    feature = FEATURES[name]
    assert feature.column is JOB_FEATURES.column(name)
    assert feature.availability in MOMENTS
    assert set(feature.sources) <= {table.name for table in RAW_TABLES}
    assert feature.sources or name in ("health_score", "measured")


def test_nothing_is_declared_that_is_no_column() -> None:
    assert set(FEATURES) == set(JOB_FEATURES.column_names)


def test_every_number_has_a_unit() -> None:
    numbers = (feature.column for feature in FEATURES.values() if feature.column.type.startswith(("int", "float")))
    assert [column.name for column in numbers if not column.unit] == []


def test_what_the_outcome_or_the_use_tells_is_known_at_the_end_only() -> None:
    early = set(known_by(START))
    assert not early & {quantity.name for quantity in QUANTITIES}
    assert not early & {"failure_class", "class_source", "state", "measured", "coverage_ratio", "sample_time"}
    assert set(known_by(SUBMIT)) < early == set(known_by(RUNNING)) < set(known_by(END))
    assert set(VECTOR) <= set(known_by(END))
    assert not set(known_by(SUBMIT)) & {"wait_minutes", "start_time", "node_list", "alloc_cpus"}


def test_there_are_no_other_moments() -> None:
    with pytest.raises(ValueError, match="tuple"):
        known_by("later")


def test_the_page_is_current() -> None:
    assert (REPOSITORY / PAGE).read_text("utf-8") == render_page(), "run: python -m nomade_pipeline.features.document"
