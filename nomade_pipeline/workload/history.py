"""All that happens in a scenario: who submits what, when it runs and where, how it ends, and why."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Callable

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats, Integers
from nomade_pipeline.tables import outcomes
from nomade_pipeline.workload import profiles
from nomade_pipeline.workload.fates import Draws, Runs, race
from nomade_pipeline.workload.people import People, people_of
from nomade_pipeline.workload.scenario import Park, Scenario
from nomade_pipeline.workload.scheduler import IMPATIENT, NEVER, NODE_FAILED, STARTED, Schedule, schedule_of
from nomade_pipeline.workload.submissions import NONE, Submissions, submissions_of
from nomade_pipeline.workload.weather import Weather, weather_of

# Why a job ended as it did; in the truth only.
CAUSES = (
    "finished", "program_error", "memory_error", "user_cancelled", "memory_request", "memory_leak", "short_limit",
    "nfs_storm", "node_failure", "lost_patience", "dependency", "",
)  # fmt: skip
_CAUSE = {name: number for number, name in enumerate(CAUSES)}
STILL_GOING = -1


@dataclass(frozen=True)
class History:
    """One simulated history; arrays have an entry a job, times are seconds since the scenario's start.

    Attributes:
        scenario, park, people, jobs, weather: what it is made of.
        runs: how each job would go by itself.
        schedule: when and where it ran.
        outcome: class of its end; `STILL_GOING` of one that has not ended within the window.
        cause: number of the cause in `CAUSES`.
        work: seconds of undisturbed work that it did, within the window.
        busy: share of its CPUs that computes while nothing holds it up.
        rates: factor on its profile's rates of I/O.
        vram: bytes of GPU memory for each of its GPUs.
    """

    scenario: Scenario
    park: Park
    people: People
    jobs: Submissions
    weather: Weather
    runs: Runs
    schedule: Schedule
    outcome: Integers
    cause: Integers
    work: Floats
    busy: Floats
    rates: Floats
    vram: Floats

    @property
    def ended(self) -> Flags:
        """Which jobs have ended within the window."""
        ended: Flags = self.outcome != STILL_GOING
        return ended

    @property
    def started(self) -> Flags:
        """Which jobs have started within the window."""
        started: Flags = self.schedule.start != NONE
        return started

    @cached_property
    def until(self) -> Integers:
        """Until when a job that has started ran: its end, or the end of the window."""
        return np.where(self.ended, self.schedule.end, self.scenario.seconds)

    @cached_property
    def eligible(self) -> Floats:
        """When a job could first start: at its submission, or when the job before it has ended well; NaN: never."""
        parent = self.jobs.parent
        waits = parent != NONE
        well = self.ended[parent] & (self.outcome[parent] == outcomes.SUCCESS)
        after = np.where(well, np.maximum(self.schedule.end[parent], self.jobs.submit), np.nan)
        return np.where(waits, after, self.jobs.submit)

    @cached_property
    def gpu_slots(self) -> Integers:
        """Which GPUs of its node a job holds, as bits: each takes the first that are free when it starts."""
        schedule, slots = self.schedule, np.zeros(len(self.jobs), np.int64)
        free_from: dict[tuple[int, int], int] = {}
        with_gpus = np.flatnonzero(self.started & (self.jobs.gpus > 0))
        for job in with_gpus[np.argsort(schedule.start[with_gpus], kind="stable")].tolist():
            node, start = int(schedule.nodes[schedule.offsets[job]]), int(schedule.start[job])
            there = range(self.park.kinds[node].gpus)
            free = [slot for slot in there if free_from.get((node, slot), 0) <= start]
            for slot in free[: int(self.jobs.gpus[job])]:
                free_from[node, slot] = int(schedule.end[job])
                slots[job] |= 1 << slot
        return slots

    def run_of(self, name: str) -> Floats:
        """Return a column of the runs, one value a job."""
        column: Floats = getattr(self.runs, name)[:, 0]
        return column

    def io_rate(self, which: str, jobs: Integers) -> Floats:
        """Return the bytes a second that jobs move on each node while undisturbed, such as ``nfs_write``."""
        return (self.jobs.of_profile(f"{which}_mbps") * 1e6 * self.rates)[jobs]


def _silent(share: float) -> None:
    del share


def history_of(scenario: Scenario, progress: Callable[[float], None] = _silent) -> History:
    """Return what happens in a scenario."""
    park = Park.of(scenario.hosts)
    people = people_of(scenario)
    jobs = submissions_of(scenario, people, park)
    weather = weather_of(scenario, park)
    runs = race(jobs, Draws.one_each(scenario, len(jobs)))
    profile, work, limit = jobs.profile.tolist(), runs.work[:, 0].tolist(), jobs.limit.tolist()
    ends_well = (runs.end[:, 0] == outcomes.SUCCESS).tolist()

    def end_of(job: int, start: int) -> tuple[int, bool]:
        end = weather.end_of(profile[job], start, work[job])
        if end > start + limit[job]:
            return start + limit[job], False
        return max(round(end), start + 1), ends_well[job]

    schedule = schedule_of(scenario, jobs, park, weather.outages, end_of, progress)
    return _settled(scenario, park, people, jobs, weather, runs, schedule)


def _settled(
    scenario: Scenario,
    park: Park,
    people: People,
    jobs: Submissions,
    weather: Weather,
    runs: Runs,
    schedule: Schedule,
) -> History:
    """Return the history with each job's outcome and its cause."""
    started, ended = schedule.start != NONE, (schedule.end != NONE) & (schedule.end < scenario.seconds)
    work, own_end = runs.work[:, 0], runs.end[:, 0]
    end = np.where(ended, schedule.end, scenario.seconds)
    done = np.where(started, weather.work(jobs.profile, schedule.start, end), 0.0)
    over_limit = (schedule.fate == STARTED) & (schedule.end - schedule.start >= jobs.limit) & (done < work - 1.0)
    leaks = jobs.of_profile("leaks") > 0
    conditions = [
        (schedule.fate == NEVER, outcomes.DEPENDENCY, "dependency"),
        (schedule.fate == IMPATIENT, outcomes.CANCELLED, "lost_patience"),
        (schedule.fate == NODE_FAILED, outcomes.NODE_FAIL, "node_failure"),
        (over_limit & (work > jobs.limit), outcomes.TIMEOUT, "short_limit"),
        (over_limit, outcomes.TIMEOUT, "nfs_storm"),
        ((own_end == outcomes.OOM) & leaks, outcomes.OOM, "memory_leak"),
        (own_end == outcomes.OOM, outcomes.OOM, "memory_request"),
        (own_end == outcomes.FAILED, outcomes.FAILED, "program_error"),
        (own_end == outcomes.SEGFAULT, outcomes.SEGFAULT, "memory_error"),
        (own_end == outcomes.CANCELLED, outcomes.CANCELLED, "user_cancelled"),
    ]
    tests = [condition for condition, _, _ in conditions]
    outcome = np.select(tests, [np.int64(code) for _, code, _ in conditions], outcomes.SUCCESS)
    cause = np.select(tests, [np.int64(_CAUSE[name]) for _, _, name in conditions], _CAUSE["finished"])
    return History(
        scenario, park, people, jobs, weather, runs, schedule,
        outcome=np.where(ended, outcome, STILL_GOING),
        cause=np.where(ended, cause, _CAUSE[""]),
        work=done,
        **_traits(scenario, jobs),
    )  # fmt: skip


def _traits(scenario: Scenario, jobs: Submissions) -> dict[str, Floats]:
    """Return what differs between the jobs of one profile and has no part in their end."""
    busy, rates, vram = scenario.random("traits").standard_normal((3, len(jobs)))
    return {
        "busy": np.minimum(jobs.of_profile("busy") * np.exp(profiles.BUSY_SPREAD * busy), 0.995),
        "rates": np.exp(profiles.IO_SPREAD * rates),
        "vram": jobs.of_profile("vram_gb") * 1e9 * np.exp(profiles.VRAM_SPREAD * vram),
    }
