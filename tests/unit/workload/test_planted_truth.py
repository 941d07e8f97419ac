"""Outcomes follow the stated causes with the stated strengths."""

import numpy as np
import pytest

from nomade_pipeline.tables import outcomes
from nomade_pipeline.workload.fates import Draws, chances, fate_probabilities, race
from nomade_pipeline.workload.history import CAUSES, History
from nomade_pipeline.workload.profiles import EFFECTS, PROFILES


def logistic(features: np.ndarray, happened: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients and standard errors of a logistic regression, by Newton's method."""
    weights = np.zeros(features.shape[1])
    for _ in range(30):
        chance = 1 / (1 + np.exp(-features @ weights))
        curvature = features.T * (chance * (1 - chance)) @ features
        weights += np.linalg.solve(curvature, features.T @ (happened - chance))
    return weights, np.sqrt(np.diag(np.linalg.inv(curvature)))


@pytest.mark.parametrize("fate", ["FAILED", "SEGFAULT", "CANCELLED"])
def test_the_strength_of_each_cause_is_recovered_within_its_interval(many: History, fate: str) -> None:
    # Against those with no fate at all: that is what the log-odds of a multinomial logit speak of.
    drawn = many.runs.fate[:, 0]
    kept = np.isin(drawn, [outcomes.SUCCESS, outcomes.OUTCOME_CLASSES.index(fate)])
    profile = np.eye(len(PROFILES))[many.jobs.profile[kept]]
    effects = [effect for effect in EFFECTS if effect.fate == fate]
    causes = [getattr(many.jobs, effect.cause)[kept].astype(float) for effect in effects]
    found, error = logistic(np.column_stack([*causes, profile]), drawn[kept] > 0)
    for effect, strength, deviation in zip(effects, found, error, strict=False):
        assert abs(strength - effect.strength) < 3 * deviation, effect
        assert effect.strength > 2 * deviation, "a test that cannot tell it from nothing says nothing"


def test_what_is_observed_follows_too_where_no_other_cause_comes_first(many: History) -> None:
    # Arrays ask for enough of everything: their failures are their programs'.
    array = many.ended & many.started & (many.jobs.of_profile("tasks") > 1)
    own = array & np.isin(many.outcome, [outcomes.SUCCESS, outcomes.FAILED])
    broken = many.jobs.broken_build[own].astype(float)
    features = np.column_stack([np.ones(own.sum()), broken, many.jobs.inexperience[own]])
    found, error = logistic(features, many.outcome[own] == outcomes.FAILED)
    assert abs(found[1] - 2.5) < 3 * error[1] + 0.15
    assert abs(found[2] - 0.7) < 3 * error[2] + 0.15


def test_the_true_probabilities_are_calibrated(many: History) -> None:
    """Of jobs with a stated probability of failing so many fail, in each tenth, within four standard errors."""
    outside = np.isin(many.cause, [CAUSES.index(name) for name in ("nfs_storm", "node_failure")])
    judged = many.started & many.ended & ~outside
    true = chances(many.jobs, Draws.one_each(many.scenario, len(many.jobs)))
    late = undisturbed(many)
    looks = ((true.early, late & (ran(many) > 600)), (true.half, late & (ran(many) > many.jobs.limit / 2)))
    for told, runs in ((true.at_submit, judged), *looks):
        # One in thousands runs on where none of the draws does: there is no share of none.
        some = runs & judged & ~np.isnan(told)
        assert some.sum() > 0.99 * (runs & judged).sum()
        failed, chance = np.isin(many.outcome[some], outcomes.FAILED_CLASSES), told[some]
        order = np.argsort(chance)
        for tenth in np.array_split(order, 10):
            spread = np.sqrt((chance[tenth] * (1 - chance[tenth])).mean() / len(tenth))
            assert abs(failed[tenth].mean() - chance[tenth].mean()) < 4 * spread + 0.015


def ran(history: History) -> np.ndarray:
    return np.where(history.started, history.until - history.schedule.start, 0)


def undisturbed(history: History) -> np.ndarray:
    # Storms stretch runs past a moment that they would not have come to.
    return np.abs(history.work - ran(history)) < 2


def test_probabilities_do_not_depend_on_what_is_drawn_later(many: History) -> None:
    part = many.jobs.taken(np.arange(200))
    one = chances(part, Draws(*(np.full((200, 1), value) for value in (0.0, 0.0, 0.5, 0.5, 0.5))))
    two = chances(part, Draws(*(np.full((200, 1), value) for value in (2.0, 0.0, 0.5, 0.1, 0.9))))
    assert np.array_equal(one.at_submit, two.at_submit)
    assert np.array_equal(one.early, two.early, equal_nan=True)


def test_a_job_that_asks_for_less_than_it_needs_is_killed_before_it_is_done(many: History) -> None:
    runs = race(many.jobs, Draws.one_each(many.scenario, len(many.jobs)))
    out = runs.end[:, 0] == outcomes.OOM
    assert out.any()
    assert (runs.memory_peak[out, 0] > many.jobs.memory[out]).all()
    assert (runs.work[out] < runs.natural[out]).all()
    enough = (runs.memory_peak[:, 0] <= many.jobs.memory) & (runs.end[:, 0] == outcomes.OOM)
    assert not enough.any()


def test_storms_slow_down_jobs_by_their_share_of_network_io(many: History) -> None:
    elapsed = ran(many).astype(float)
    ended = many.started & many.ended & (elapsed > 600)
    slowdown = elapsed[ended] / many.work[ended]
    assert slowdown.min() > 1 - 2 / 600
    share = many.jobs.of_profile("nfs_share")[ended]
    assert slowdown[share > 0.3].mean() > slowdown[share < 0.05].mean() + 0.01


def test_probabilities_of_fates_add_up_to_less_than_one(many: History) -> None:
    chance = fate_probabilities(many.jobs)
    assert (chance > 0).all()
    assert (chance.sum(axis=1) < 1).all()
