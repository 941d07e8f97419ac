"""`[simulation]` and `[drift]`: the cloud of plausible jobs, and when jobs have changed.

Standard library only, Python 3.9.
"""

from __future__ import annotations

from dataclasses import dataclass

from nomade_pipeline.config.keys import key

_TEST = "tests/unit/simulation/test_days.py"
_DRIFT_TEST = "tests/unit/simulation/test_drift.py"


@dataclass(frozen=True)
class SimulationSettings:
    """`[simulation]`: the cloud."""

    window_days: int = key(
        30,
        "Days of jobs, before the day in question, that the cloud is made of and drift is held against.",
        minimum=1,
        maximum=3660,
        test=f"{_TEST}::test_the_window_of_the_cloud_is_configured",
    )
    jobs: int = key(
        10000,
        "Simulated jobs that are stored each day.",
        minimum=100,
        maximum=1000000,
        test=f"{_TEST}::test_the_number_of_simulated_jobs_is_configured",
    )


@dataclass(frozen=True)
class DriftSettings:
    """`[drift]`: when jobs count as changed."""

    look_back_days: int = key(
        7,
        "Days whose jobs are held against the window before them.",
        minimum=1,
        maximum=90,
        test=f"{_TEST}::test_the_days_that_are_looked_back_at_are_configured",
    )
    drift_days: int = key(
        90,
        "Level `drift` is false on at most one of so many days.",
        minimum=1,
        maximum=100000,
        test=f"{_DRIFT_TEST}::test_the_levels_are_those_of_the_configuration",
    )
    watch_days: int = key(
        14,
        "Level `watch` is false on at most one of so many days.",
        minimum=1,
        maximum=100000,
        test=f"{_DRIFT_TEST}::test_the_levels_are_those_of_the_configuration",
    )
