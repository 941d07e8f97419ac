"""Betting against "nothing has changed": conformal test martingales.

Under exchangeability sequential conformal p-values are independent and uniform. Whoever bets on them with a fixed rule
then has a fair game; that the stake ever grows a hundredfold has a probability of at most 1 % (Ville's inequality).
See Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2nd edition, 2022, chapter 8.
"""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np

from nomade_pipeline.analysis.series import Floats, Integers

# A p-value of exactly 0 would win everything.
LEAST_P = 1e-9
# A bet: a share of the jobs has p-values with density κ p^(κ-1), the others are as before.
_SHARES, _POWERS = (0.05, 0.1, 0.2, 0.5), (0.1, 0.3, 0.6)


def sequential_shares(before: Floats, after: Floats, random: np.random.Generator) -> Floats:
    """Return for each of a stream's values its rank among all earlier ones, as a share; ties in random order.

    Under exchangeability they are independent and uniform on (0, 1), whatever the distribution.

    Args:
        before: m values from before the stream.
        after: n values of the stream, in its order.
        random: breaks ties, and spreads each share over its step.
    """
    values = np.concatenate([before, after])
    places = np.empty(len(values), np.int64)
    places[np.lexsort((random.random(len(values)), values))] = np.arange(len(values))
    seen = sorted(places[: len(before)].tolist())
    ranks = np.empty(len(after))
    for number, place in enumerate(places[len(before) :].tolist()):
        ranks[number] = bisect_left(seen, place)
        insort(seen, place)
    shares: Floats = (ranks + random.random(len(after))) / (len(before) + np.arange(len(after)) + 1.0)
    return shares


def two_sided(shares: Floats) -> Floats:
    """Return the p-values that bets on high, on low and on extreme values look at (3 × n)."""
    return np.stack([1.0 - shares, shares, 2.0 * np.minimum(shares, 1.0 - shares)])


def log_evidence(p: Floats, starts: Integers) -> Floats:
    """Return the logarithm of the evidence that the stream has changed, after each of its n jobs.

    It is the mean stake of bets of all shares and powers on each row of p-values, begun at each of some places of the
    stream: when the change began need not be known.

    Args:
        p: r × n, rows of p-values of the same jobs.
        starts: ascending places where bets begin; the first is 0.
    """
    from scipy.special import logsumexp

    courses = np.concatenate([_courses(row) for row in p])
    before = np.concatenate([np.zeros((len(courses), 1)), courses], axis=1)[:, starts]
    # A bet that has not begun still has its stake of 1.
    stakes = np.zeros((len(starts), p.shape[1]))
    for number, start in enumerate(starts):
        own = courses[:, start:] - before[:, number][:, None]
        stakes[number, start:] = logsumexp(own, axis=0) - np.log(len(courses))
    evidence: Floats = logsumexp(stakes, axis=0) - np.log(len(starts))
    return evidence


def best_bet(p: Floats, starts: Integers) -> tuple[int, int]:
    """Return the row of p-values, and the place of the stream, whose bets have won most at the end.

    The place is where the change most likely began.
    """
    from scipy.special import logsumexp

    won = np.empty((len(p), len(starts)))
    for number, row in enumerate(p):
        courses = _courses(row)
        before = np.concatenate([np.zeros((len(courses), 1)), courses], axis=1)[:, starts]
        won[number] = logsumexp(courses[:, -1:] - before, axis=0)
    row_number, start = np.unravel_index(np.argmax(won), won.shape)
    return int(row_number), int(starts[start])


def _courses(p: Floats) -> Floats:
    """Return the logarithm of the stake of each bet (b × n) that began with the first p-value (n)."""
    log_p = np.log(np.maximum(p, LEAST_P))
    steps = [np.log1p(share * (power * np.exp((power - 1.0) * log_p) - 1.0)) for share in _SHARES for power in _POWERS]
    return np.cumsum(steps, axis=1)
