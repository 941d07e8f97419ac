"""What happens in a simulated cluster: times in order, no node oversubscribed, all classes with their causes."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from nomade_pipeline.tables.outcomes import OUTCOME_CLASSES
from nomade_pipeline.workload.errors import ScenarioError
from nomade_pipeline.workload.history import CAUSES, History, history_of
from nomade_pipeline.workload.scenario import DAY, PARTITIONS, Park, Scenario
from nomade_pipeline.workload.scheduler import DEPTH, Scheduler
from nomade_pipeline.workload.submissions import NONE

MIDNIGHT = datetime(2026, 3, 4, tzinfo=UTC)


def scenario(**about: object) -> Scenario:
    return Scenario.ending(MIDNIGHT, **{"days": 2, "cluster": "sim-a", "jobs": 50, "hosts": 2, **about})  # type: ignore[arg-type]


def test_every_job_ends_after_it_starts_after_it_is_submitted(many: History) -> None:
    jobs, schedule = many.jobs, many.schedule
    assert (np.diff(jobs.submit) >= 0).all()
    assert (schedule.start[many.started] >= jobs.submit[many.started]).all()
    ran = many.started & many.ended
    assert (schedule.end[ran] > schedule.start[ran]).all()
    assert (schedule.end[ran] - schedule.start[ran] <= jobs.limit[ran]).all()
    assert (schedule.end[many.ended] >= jobs.submit[many.ended]).all()
    assert (schedule.end[many.ended] < many.scenario.seconds).all()


def test_exactly_the_jobs_that_were_asked_for_are_submitted_within_the_window(many: History) -> None:
    assert len(many.jobs) == 12_000
    assert many.jobs.submit.min() >= 0
    assert many.jobs.submit.max() < many.scenario.seconds


def test_no_node_is_oversubscribed_at_any_moment(many: History) -> None:
    schedule = many.schedule
    job = np.repeat(np.arange(len(many.jobs)), np.diff(schedule.offsets))
    end = np.where(many.ended, schedule.end, many.scenario.seconds)[job]
    for name in ("cpus", "memory", "gpus"):
        asked, there = getattr(many.jobs, name)[job], getattr(many.park, name)
        # Those that end leave before others begin in the same second.
        moment = np.concatenate([schedule.start[job], end])
        change = np.concatenate([asked, -asked])
        node = np.concatenate([schedule.nodes] * 2)
        order = np.lexsort((change, moment, node))
        total = change[order].cumsum()
        # All that is taken from a node is given back, so sums over all nodes are those of one.
        assert (total <= there[node[order]]).all()
        assert total.min() >= 0


def test_jobs_run_on_nodes_of_their_partition_and_on_none_that_is_out(many: History) -> None:
    schedule = many.schedule
    job = np.repeat(np.arange(len(many.jobs)), np.diff(schedule.offsets))
    for number, name in enumerate(PARTITIONS):
        part = many.park.partitions[name]
        nodes = schedule.nodes[many.jobs.partition[job] == number]
        assert ((nodes >= part.start) & (nodes < part.stop)).all()
    outages = many.weather.outages
    for node, begin, stop in zip(outages.node, outages.begin, outages.end, strict=True):
        on_it = schedule.start[job[schedule.nodes == node]]
        assert not ((on_it > begin) & (on_it < stop)).any()


def test_a_job_that_runs_on_a_node_that_fails_ends_with_it(many: History) -> None:
    schedule = many.schedule
    job = np.repeat(np.arange(len(many.jobs)), np.diff(schedule.offsets))
    outages = many.weather.outages
    until = np.where(schedule.end == NONE, 0, schedule.end)
    killed = set()
    for node, begin in zip(outages.node[outages.failed], outages.begin[outages.failed], strict=True):
        on_it = job[schedule.nodes == node]
        # A failure that nobody ran into leaves no trace; one during a run ends it at that second.
        assert not ((schedule.start[on_it] < begin) & (until[on_it] > begin)).any() or begin >= many.scenario.seconds
        killed.update(on_it[until[on_it] == begin].tolist())
    failed = np.flatnonzero(many.cause == CAUSES.index("node_failure"))
    assert len(failed)
    assert set(failed.tolist()) <= killed


def test_all_eight_classes_occur_and_each_has_its_causes(many: History) -> None:
    assert set(many.outcome[many.ended].tolist()) == set(range(8))
    causes = {
        OUTCOME_CLASSES[code]: {CAUSES[cause] for cause in set(many.cause[many.outcome == code].tolist())}
        for code in range(8)
    }
    assert causes == {
        "SUCCESS": {"finished"},
        "TIMEOUT": {"short_limit", "nfs_storm"},
        "CANCELLED": {"user_cancelled", "lost_patience"},
        "FAILED": {"program_error"},
        "OOM": {"memory_request", "memory_leak"},
        "SEGFAULT": {"memory_error"},
        "NODE_FAIL": {"node_failure"},
        "DEPENDENCY": {"dependency"},
    }


def test_a_job_that_depends_on_one_that_failed_never_runs(many: History) -> None:
    child = np.flatnonzero(many.jobs.parent != NONE)
    parent = many.jobs.parent[child]
    assert (many.jobs.submit[parent] <= many.jobs.submit[child]).all()
    ran = many.started[child]
    assert (many.outcome[parent[ran]] == 0).all()
    assert (many.schedule.start[child[ran]] >= many.schedule.end[parent[ran]]).all()
    never = child[many.outcome[child] == 7]
    assert not many.started[never].any()
    assert (many.outcome[many.jobs.parent[never]] != 0).all()


def test_the_same_seed_gives_the_same_history_and_another_one_another() -> None:
    first, again, other = (history_of(scenario(seed=seed)) for seed in (1, 1, 2))
    for part in ("jobs", "schedule"):
        for each in fields(getattr(first, part)):
            one, two = (getattr(getattr(history, part), each.name) for history in (first, again))
            assert np.array_equal(one, two), each.name
    assert not np.array_equal(first.jobs.submit, other.jobs.submit)


@pytest.mark.parametrize(("jobs", "hosts", "days"), [(10, 1, 1), (1, 1, 2), (300, 3, 1), (40, 60, 2)])
def test_any_scale_gives_a_history(jobs: int, hosts: int, days: int) -> None:
    history = history_of(scenario(jobs=jobs, hosts=hosts, days=days))
    assert len(history.jobs) == jobs
    assert len(history.park.names) == hosts
    assert history.started.any()


def test_waits_come_from_the_load() -> None:
    crowded, empty = (history_of(scenario(jobs=400, hosts=hosts, seed=4)) for hosts in (1, 64))

    def waited(history: History) -> float:
        waits = (history.schedule.start - history.jobs.submit)[history.started]
        return float(np.quantile(waits, 0.8))

    assert waited(empty) < 60
    assert waited(crowded) > 10 * waited(empty)


def test_backfill_lets_a_small_job_pass_only_where_it_does_not_delay_the_first() -> None:
    # One node of 32 CPUs. At 0 a job takes 20 of them; then one wants all; the small ones want 4 for 1 and 100 minutes.
    jobs = history_of(scenario(jobs=4, hosts=1)).jobs
    one = np.ones(4, np.int64)
    values = {
        "submit": np.array([0, 30, 60, 60]),
        "nodes": one,
        "cpus": np.array([20, 32, 4, 4]),
        "memory": one,
        "gpus": one * 0,
        "limit": np.array([3600, 600, 60, 6000]),
        "parent": one * NONE,
        "patience": one * NONE,
        "profile": one * 0,
    }
    planned = type(jobs)(**{each.name: values.get(each.name, getattr(jobs, each.name)) for each in fields(jobs)})
    length = [1800, 600, 60, 6000]
    nobody = history_of(scenario(jobs=4, hosts=1)).weather.outages
    calm = type(nobody)(*(getattr(nobody, each.name)[:0] for each in fields(nobody)))
    scheduler = Scheduler(planned, Park.of(1), calm, lambda job, start: (start + length[job], True))
    found = scheduler.run(DAY, lambda _: None)
    assert found.start.tolist() == [0, 1800, 60, 2400]
    assert DEPTH > 2


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"cluster": "alpha"}, "could be taken for a real one"),
        ({"jobs": 0}, "jobs is 0"),
        ({"hosts": 10**6}, "hosts is 1000000"),
    ],
)
def test_what_cannot_be_simulated_is_refused(about: dict[str, object], said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        scenario(**about)


def test_a_window_ends_within_a_day_where_the_day_is_not_over() -> None:
    noon = Scenario.ending(MIDNIGHT + timedelta(hours=12), 2, cluster="sim-a", jobs=50, hosts=1)
    assert noon.seconds == 36 * 3600
    history = history_of(noon)
    assert history.jobs.submit.max() < noon.seconds
