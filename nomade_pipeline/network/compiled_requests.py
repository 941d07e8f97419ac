"""The sweep over time that finds similar earlier requests, compiled by numba. Called by `network.request` only."""

from __future__ import annotations

from typing import Any

import numpy as np

from nomade_pipeline.network.compiled import compiled, insert


@compiled()
def gower(words: Any, numbers: Any, hour: float, other_words: Any, other_numbers: Any, other_hour: float) -> float:
    """Return Gower's similarity of two requests; -1 where nothing is known of both. See `request.Requests`."""
    total, known = 0.0, 0
    for w in range(len(words)):
        if words[w] >= 0 and other_words[w] >= 0:
            known += 1
            total += words[w] == other_words[w]
    for v in range(len(numbers)):
        difference = abs(numbers[v] - other_numbers[v])
        if not np.isnan(difference):
            known += 1
            total += max(0.0, 1.0 - difference)
    # Hours are known wherever a submit time is.
    apart = abs(hour - other_hour)
    total += 1.0 - min(apart, 24.0 - apart) / 12.0
    return total / (known + 1) if known else -1.0


@compiled()
def remember(place: int, blocks: Any, offsets: Any, rings: Any, turns: Any) -> None:
    """Note in each block of a job that it has ended; the oldest of a full ring is forgotten."""
    for kind in range(len(blocks)):
        if blocks[kind] >= 0:
            block = offsets[kind] + blocks[kind]
            rings[block, turns[block] % rings.shape[1]] = place
            turns[block] += 1


@compiled()
def sweep(history: Any, ended: Any, wanted: Any, submitted: Any, blocks: Any, recent: int, near: Any) -> None:
    """Write the most similar earlier requests of each wanted one.

    Args:
        history: words, numbers, hours of the jobs that may be linked to, the one that ended last first.
        ended: when these ended, descending.
        wanted: words, numbers, hours of the jobs to link, in the order of their submission.
        submitted: when these were submitted, ascending.
        blocks: for each kind of block the block of each job of the history, that of each wanted one (-1: none), and
            the number of blocks.
        recent: how many of a block's jobs that ended last are looked at.
        near: results: places in the history and similarities, q × k.
    """
    words, numbers, hours = history
    own_words, own_numbers, own_hours = wanted
    block_of, block_wanted, sizes = blocks
    ids, scores = near
    kinds = len(sizes)
    offsets = np.zeros(kinds + 1, np.int64)
    for kind in range(kinds):
        offsets[kind + 1] = offsets[kind] + sizes[kind]
    rings = np.full((offsets[kinds], recent), -1, np.int32)
    turns = np.zeros(offsets[kinds], np.int64)
    seen = np.full(len(ended), -1, np.int32)
    place = len(ended) - 1
    for query in range(len(submitted)):
        while place >= 0 and ended[place] < submitted[query]:
            remember(place, block_of[:, place], offsets, rings, turns)
            place -= 1
        held = 0
        for kind in range(kinds):
            if block_wanted[kind, query] < 0:
                continue
            for other in rings[offsets[kind] + block_wanted[kind, query]]:
                if other < 0 or seen[other] == query:
                    continue
                seen[other] = query
                score = gower(
                    own_words[query], own_numbers[query], own_hours[query], words[other], numbers[other], hours[other]
                )
                if score >= 0:
                    held = insert(ids[query], scores[query], held, other, score)
