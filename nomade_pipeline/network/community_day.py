"""The communities of a window: found, numbered as the day before, described, and written."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from nomade_pipeline.analysis.series import Integers
from nomade_pipeline.config.settings import Config
from nomade_pipeline.network.communities import (
    APART,
    RESOLUTION,
    Membership,
    agreement,
    data_space,
    edge_weights,
    membership_of,
    real_space,
)
from nomade_pipeline.network.community_rows import Found, community_rows, job_rows, resource_rows
from nomade_pipeline.network.identity import Identity, identify
from nomade_pipeline.network.resources import resources_of
from nomade_pipeline.network.window_graph import WindowGraph, day_before, window_graphs, write
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.network import COMMUNITIES, COMMUNITY_JOBS, COMMUNITY_RESOURCES, COMMUNITY_WINDOWS


def communities_of_day(store: Store, config: Config, day: date) -> dict[str, Any]:
    """Write the communities of the windows that end with a UTC day; return figures to show.

    Raises:
        LakeError: a stored file cannot be read or written.
    """
    windows = [_communities(store, config, window) for window in window_graphs(store, config, day)]
    return {
        "communities": sum(each["communities"] for each in windows),
        "apart_jobs": sum(each["apart_jobs"] for each in windows),
        "transition_jobs": sum(each["transition_jobs"] for each in windows),
        "agreement": next((each["agreement"] for each in windows if each["agreement"] is not None), None),
        "note": "; ".join(each["note"] for each in windows if each["note"]) or None,
    }


def _communities(store: Store, config: Config, window: WindowGraph) -> dict[str, Any]:
    by_node = data_space(window.edges, window.jobs_of_node)
    membership = membership_of(edge_weights(window.edges, by_node), by_node)
    resources = resources_of(window.jobs)
    groups, real = real_space(resources.incidence)
    labels = _of_jobs(by_node, window.node, APART)
    identity = _identity(store, config, window, labels)
    found = Found(window, labels, groups[resources.group], _by_job(membership, window.node), identity)
    rows = community_rows(found)
    write(store, COMMUNITIES, window, rows)
    write(store, COMMUNITY_JOBS, window, job_rows(found, rows))
    write(store, COMMUNITY_RESOURCES, window, resource_rows(found, resources, real))
    summary = _summary(found, real)
    write(store, COMMUNITY_WINDOWS, window, [summary])
    return summary


def _summary(found: Found, real: Integers) -> dict[str, Any]:
    """Return the row of `community_windows`."""
    window, placed = found.window, found.window.node >= 0
    return {
        "jobs": window.jobs.height,
        "placed_jobs": int(placed.sum()),
        "communities": len(found.identity.numbers),
        "real_communities": len(np.unique(real[real != APART])),
        "apart_jobs": int(np.sum((found.labels == APART) & placed)),
        "transition_jobs": int(found.membership.in_transition.sum()),
        "agreement": agreement(found.labels, found.real),
        "resolution": RESOLUTION,
        "largest_number": found.identity.given,
        "circular": window.circular,
        "note": window.note,
    }


def _of_jobs(by_node: Any, node: Integers, missing: float) -> Any:
    """Return what the nodes of jobs have, or what is missing where a job has none."""
    return np.where(node >= 0, by_node[node], missing) if len(by_node) else np.full(len(node), missing)


def _by_job(membership: Membership, node: Integers) -> Membership:
    """Return the memberships of jobs from those of their nodes."""
    own, spread = (_of_jobs(values, node, np.nan) for values in (membership.own_share, membership.participation))
    return Membership(own, spread, _of_jobs(membership.second, node, APART))


def _identity(store: Store, config: Config, window: WindowGraph, labels: Integers) -> Identity:
    """Return the numbers of today's communities, matched to those of the newest day before."""
    import polars as pl

    count = int(labels.max(initial=APART)) + 1
    lake, days = store.lake, config.similarity.window_days
    before = day_before(lake, COMMUNITY_WINDOWS, window.cluster, window.day, days)
    if before is None:
        return identify(labels[:0], labels[:0], count, 0)
    key = ["job_id_raw", "submit_time"]
    then = lake.read_day(COMMUNITY_JOBS, window.cluster, before).select(*key, "community")
    given = lake.read_day(COMMUNITY_WINDOWS, window.cluster, before)["largest_number"].item()
    both = window.jobs.select(*key, today=pl.Series(labels)).join(then, on=key, how="inner")
    old = both["community"].fill_null(APART).to_numpy().astype(np.int64)
    return identify(both["today"].to_numpy(), old, count, int(given))
