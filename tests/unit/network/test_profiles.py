"""Communities in words, indicator quantities and outlooks."""

from __future__ import annotations

import numpy as np
import pytest
from support.planted import PROFILES, planted_jobs

from nomade_pipeline.network.profiles import WORDS, Outlook, in_words, indicators, traits
from nomade_pipeline.tables.features import QUANTITY
from nomade_pipeline.tables.outcomes import CANCELLED, DEPENDENCY, OOM, SUCCESS, TIMEOUT


@pytest.fixture(scope="module")
def jobs():
    return planted_jobs(1200, seed=2)


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("cpu", "CPU-bound"),
        ("gpu", "uses GPU memory"),
        ("nfs writer", "writes to NFS"),
        ("local writer", "writes to local disks"),
        ("memory", "swaps"),
        ("short", "short"),
        ("serial", "leaves its CPUs idle"),
    ],
)
def test_a_planted_profile_is_told_by_what_it_is(jobs, profile: str, words: str) -> None:
    told = traits(jobs.vectors, jobs.profile, PROFILES.index(profile))
    assert words in {trait.words for trait in told}


def test_indicators_of_a_community_are_had_by_its_jobs_and_few_others(jobs) -> None:
    of_gpu = indicators(jobs.vectors, jobs.profile)[PROFILES.index("gpu")]
    assert (of_gpu[0].quantity, of_gpu[0].much) == ("vram_gb", True)
    assert of_gpu[0].value == pytest.approx(1)


def test_a_quantity_that_was_not_measured_tells_nothing(jobs) -> None:
    vectors = planted_jobs(1200, seed=2).vectors
    column = vectors.scaler.dimensions.index("vram_gb")
    vectors.mask[:, column] = False
    gpu = PROFILES.index("gpu")
    assert "vram_gb" not in {trait.quantity for trait in traits(vectors, jobs.profile, gpu)}
    assert "vram_gb" not in {one.quantity for one in indicators(vectors, jobs.profile)[gpu]}


def test_cancelled_jobs_and_those_that_never_ran_are_in_no_rate() -> None:
    outlook = Outlook.of(np.array([SUCCESS, SUCCESS, TIMEOUT, OOM, CANCELLED, DEPENDENCY, -1]))
    assert (outlook.failed, outlook.judged, outlook.rate) == (2, 4, 0.5)
    assert outlook.by_class == (2, 1, 1, 0, 1, 0, 0, 1)
    assert outlook.interval == pytest.approx((0.150, 0.850), abs=1e-3)
    nobody = Outlook.of(np.array([CANCELLED]))
    assert (nobody.rate, nobody.interval) == (None, (None, None))


def test_the_sentence_tells_jobs_users_and_the_partition_of_most() -> None:
    assert in_words([], 312, 14, ["gpu"] * 9 + ["cpu"]) == (
        "Like the mean of all jobs; 312 jobs of 14 users, mostly in partition gpu (90 %)"
    )
    assert in_words([], 2, 1, ["a", "a"]) == "Like the mean of all jobs; 2 jobs of 1 user, all in partition a"
    assert in_words([], 3, None, ["a", "b", "c"]) == "Like the mean of all jobs; 3 jobs"


def test_every_quantity_has_words() -> None:
    assert set(WORDS) == set(QUANTITY)
