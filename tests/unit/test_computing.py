"""The steps of `nomade compute`: each can be called, on days on which jobs ended."""

from __future__ import annotations

import importlib
from datetime import timedelta
from pathlib import Path

import pytest
from support.installation import nomade
from support.rows import CLUSTER, DAY, T0, frame_of, row_of

from nomade_pipeline.computing import STEPS, days_with_jobs
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.features import JOB_FEATURES
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS


def with_jobs(root: Path, days: int) -> Store:
    store = Store.at(root)
    for back in range(days):
        end = T0 - timedelta(days=back)
        row = row_of(JOB_METRICS, job_id_raw=str(back), end_time=end, sample_time=end)
        store.lake.publish(JOB_METRICS, CLUSTER, end.date(), frame_of(JOB_METRICS, [row]))
    return store


@pytest.mark.parametrize("name", STEPS)
def test_every_step_names_a_function_that_exists(name: str) -> None:
    module, _, function = STEPS[name].function.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_features_are_computed_of_each_day_on_which_jobs_ended(tmp_path: Path) -> None:
    store = with_jobs(tmp_path, days=3)
    ended = nomade("compute", "features", "--json", root=tmp_path)
    assert [one["jobs"] for one in ended.json] == [1, 1, 1]
    assert [one["date"] for one in ended.json] == [day.isoformat() for day in days_with_jobs(store)]
    assert store.lake.days(JOB_FEATURES, CLUSTER) == days_with_jobs(store)


def test_one_day_or_those_since_a_day_can_be_asked_for(tmp_path: Path) -> None:
    with_jobs(tmp_path, days=3)
    yesterday = (DAY - timedelta(days=1)).isoformat()
    assert [
        one["date"] for one in nomade("compute", "features", "--date", yesterday, "--json", root=tmp_path).json
    ] == [yesterday]
    since = nomade("compute", "features", "--since", yesterday, "--json", root=tmp_path)
    assert [one["date"] for one in since.json] == [yesterday, DAY.isoformat()]
    assert nomade("compute", "--date", yesterday, "--since", yesterday, root=tmp_path).status == 2


def test_a_day_without_jobs_is_no_data(tmp_path: Path) -> None:
    with_jobs(tmp_path, days=1)
    assert nomade("compute", "--date", "2020-01-01", root=tmp_path).status == 3
