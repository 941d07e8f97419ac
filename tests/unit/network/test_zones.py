"""Safe and danger zones."""

from __future__ import annotations

import numpy as np

from nomade_pipeline.config.settings import ZoneSettings
from nomade_pipeline.network.zones import zones_of

# NFS GB, local GB, I/O wait.
POINTS = np.array([[0.0, 9.0, 1.0], [9.0, 0.0, 30.0], [1.0, 1.0, 2.0], [0.0, np.nan, 1.0]])


def held(settings: ZoneSettings) -> dict[str, list[bool]]:
    return {zone.name: zone.holds(POINTS).tolist() for zone in zones_of(POINTS, settings)}


def test_the_zones_are_bounded_by_the_medians_and_hold_no_job_of_which_one_is_not_known() -> None:
    assert held(ZoneSettings()) == {"safe": [True, False, False, False], "danger": [False, True, False, False]}


def test_the_bounds_of_the_zones_are_configured() -> None:
    wide = ZoneSettings(
        safe_nfs_write_gb=10,
        safe_local_write_gb=0.5,
        safe_iowait_percent=50,
        danger_nfs_write_gb=0.5,
        danger_local_write_gb=5,
        danger_iowait_percent=1.5,
    )
    assert held(wide) == {"safe": [True, False, True, False], "danger": [False, True, True, False]}


def test_without_any_known_job_nothing_is_held() -> None:
    nothing = np.full((2, 3), np.nan)
    assert not any(zone.holds(nothing).any() for zone in zones_of(nothing, ZoneSettings()))
