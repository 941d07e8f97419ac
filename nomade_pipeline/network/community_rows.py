"""The rows of the tables of communities, from what was found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.network.communities import APART, Membership, membership_of
from nomade_pipeline.network.identity import Identity
from nomade_pipeline.network.profiles import Outlook, in_words, indicators, traits
from nomade_pipeline.network.resources import Resources
from nomade_pipeline.network.window_graph import WindowGraph
from nomade_pipeline.tables.outcomes import OUTCOME_CLASSES

if TYPE_CHECKING:
    import polars

# A community is one of GPUs, or of NFS, when this share of its jobs or of what they write is.
ONE_SIDE = 0.5


@dataclass(frozen=True)
class Found:
    """The communities of a window, by its jobs.

    Attributes:
        window: the jobs.
        labels: community of each job by behaviour, from 0; `APART` for none.
        real: community of each job by resources.
        membership: how firmly each job belongs to its community.
        identity: the numbers under which the communities are known.
    """

    window: WindowGraph
    labels: Integers
    real: Integers
    membership: Membership
    identity: Identity


def community_rows(found: Found) -> list[dict[str, Any]]:
    """Return a row of `communities` for each community, the largest first."""
    told = indicators(found.window.vectors, found.labels)
    return [
        {
            "community": int(number),
            **_description(found, community),
            **_figures(found, community),
            "indicators": json.dumps(
                {one.quantity: {"much": one.much, "value": round(one.value, 3)} for one in told[community]}
            ),
        }
        for community, number in enumerate(found.identity.numbers)
    ]


def _description(found: Found, community: int) -> dict[str, Any]:
    """Return the columns that tell what a community is like."""
    window, members = found.window, found.labels == community
    users, partitions = (np.asarray(window.text(name), dtype=object)[members] for name in ("user", "partition"))
    known_users = {name for name in users if name}
    told = traits(window.vectors, found.labels, community)
    return {
        "description": in_words(told, int(members.sum()), len(known_users) or None, list(partitions)),
        "users": len(known_users) or None,
        "traits": json.dumps({trait.quantity: round(trait.effect, 2) for trait in told}),
    }


def _figures(found: Found, community: int) -> dict[str, Any]:
    """Return the columns of counts and shares of a community."""
    window, members = found.window, found.labels == community
    stability = found.identity.stability[community]
    outlook = Outlook.of(window.classes[members])
    names = (f"{name.lower()}_jobs" for name in OUTCOME_CLASSES)
    return {
        "jobs": int(members.sum()),
        "nodes": len(np.unique(window.node[members])),
        **outlook_columns(outlook),
        **dict(zip(names, outlook.by_class, strict=True)),
        "gpu_share": _mean(window.quantity("vram_gb")[members] > 0, window.quantity("vram_gb")[members]),
        "nfs_share": _mean(window.quantity("nfs_ratio")[members], window.quantity("nfs_ratio")[members]),
        "transition_jobs": int(found.membership.in_transition[members].sum()),
        "stability": None if np.isnan(stability) else float(stability),
    }


def outlook_columns(outlook: Outlook) -> dict[str, Any]:
    """Return the columns of an outlook, as the contracts name them."""
    low, high = outlook.interval
    return {
        "judged": outlook.judged,
        "failed": outlook.failed,
        "failure_rate": outlook.rate,
        "failure_rate_low": low,
        "failure_rate_high": high,
    }


def _mean(values: Any, known: Floats) -> float | None:
    """Return the mean of values where something is known; None where it nowhere is."""
    kept = values[~np.isnan(known)]
    return float(np.mean(kept)) if len(kept) else None


def job_rows(found: Found, communities: list[dict[str, Any]]) -> polars.DataFrame:
    """Return the rows of `community_jobs`."""
    import polars as pl

    membership = found.membership
    firm = ~np.isnan(membership.own_share)
    mixed = [bool(value) if known else None for value, known in zip(membership.in_transition, firm, strict=True)]
    sides = _boundaries(communities)
    pairs = zip(found.labels.tolist(), membership.second.tolist(), mixed, strict=True)
    return found.window.jobs.select("job_id_raw", "submit_time", "node").with_columns(
        community=_numbers(found.labels, found.identity.numbers),
        real_community=_numbers(found.real, np.arange(int(found.real.max(initial=APART)) + 1)),
        own_share=_nullable(membership.own_share),
        participation=_nullable(np.where(firm, membership.participation, np.nan)),
        second_community=_numbers(membership.second, found.identity.numbers),
        in_transition=pl.Series(mixed, dtype=pl.Boolean),
        boundary=pl.Series(
            [sides.get((own, other)) if is_mixed else None for own, other, is_mixed in pairs], dtype=pl.String
        ),
    )


def _boundaries(communities: list[dict[str, Any]]) -> dict[tuple[int, int], str]:
    """Return in what each two communities lie on different sides, in words."""
    words = (("gpu_share", "CPU↔GPU"), ("nfs_share", "NFS↔local"))
    found = {}
    for own, one in enumerate(communities):
        for other, another in enumerate(communities):
            told = [
                word
                for share, word in words
                if one[share] is not None
                and another[share] is not None
                and (one[share] >= ONE_SIDE) != (another[share] >= ONE_SIDE)
            ]
            if told:
                found[own, other] = ", ".join(told)
    return found


def resource_rows(found: Found, resources: Resources, real: Integers) -> list[dict[str, Any]]:
    """Return the rows of `community_resources`.

    Args:
        found: the communities by behaviour.
        resources: the bipartite graph.
        real: community of each resource.
    """
    from scipy.sparse import csr_array

    links, placed = resources.incidence, found.labels >= 0
    count = len(found.identity.numbers)
    shape = (links.groups, count)
    jobs = csr_array((np.ones(placed.sum()), (resources.group[placed], found.labels[placed])), shape=shape)
    size = np.bincount(resources.group, minlength=links.groups)
    each = csr_array(
        (links.weight / size[links.group], (links.resource, links.group)), shape=(links.resources, links.groups)
    )
    use = (each @ jobs).toarray()
    main = np.where(use.sum(axis=1) > 0, use.argmax(axis=1), APART) if count else np.full(links.resources, APART)
    membership = membership_of(use, main)
    weight = np.bincount(links.resource, links.weight, minlength=links.resources)
    return [
        {
            "kind": kind,
            "resource": name,
            "weight": float(weight[i]),
            "real_community": int(real[i]) if real[i] != APART else None,
            "community": int(found.identity.numbers[main[i]]) if main[i] != APART else None,
            "own_share": float(membership.own_share[i]) if main[i] != APART else None,
            "participation": max(0.0, float(membership.participation[i])) if main[i] != APART else None,
            "in_transition": bool(membership.in_transition[i]) if main[i] != APART else None,
        }
        for i, (kind, name) in enumerate(resources.names)
    ]


def _numbers(labels: Integers, numbers: Integers) -> polars.Series:
    """Return the numbers of communities, null where there is none."""
    import polars as pl

    known = labels != APART
    told = numbers[np.where(known, labels, 0)] if len(numbers) else np.zeros(len(labels), np.int64)
    return pl.Series(
        [int(number) if is_known else None for number, is_known in zip(told, known, strict=True)], dtype=pl.Int32
    )


def _nullable(values: Floats) -> polars.Series:
    """Return values between 0 and 1 with NaN as null."""
    import polars as pl

    return pl.Series(np.clip(values, 0.0, 1.0)).fill_nan(None)
