"""A scheduler of whole clusters: first come, first served, with backfill, so that waiting times come from the load.

Every `CYCLE` seconds in which something has happened the queue of each partition is looked at from its front. What fits
starts. When the first job does not fit, the moment is found at which it would if all running jobs ran to their
limits; of the next `DEPTH` jobs those start that fit now and whose limit ends by then (EASY backfill; Lifka, 1995).
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from typing import Callable

import numpy as np

from nomade_pipeline.analysis.series import Integers
from nomade_pipeline.workload.scenario import PARTITIONS, Park, Scenario
from nomade_pipeline.workload.submissions import NONE, Submissions
from nomade_pipeline.workload.weather import Outages

# Slurm's own backfill looks at the queue every 30 seconds.
CYCLE = 30
DEPTH = 40
# More than any node has: taken from the free CPUs of a node that is out.
_OUT = 10**6
# The order of what happens in the same second: who leaves makes room first.
_END, _UP, _DOWN, _SUBMIT, _CANCEL = range(5)
# What became of a job; how one ended that ran is the business of its run.
PENDING, STARTED, IMPATIENT, NEVER, NODE_FAILED = range(5)


@dataclass(frozen=True)
class Schedule:
    """What became of the jobs, one entry each; times are seconds since the scenario's start.

    Attributes:
        start: when it started; `NONE`: it has not.
        end: when it ends, or ended without a start; `NONE`: not within the window, not started.
        fate: `PENDING`, `STARTED`, `IMPATIENT` (cancelled while it waited), `NEVER` (the job before failed), or
            `NODE_FAILED`.
        nodes: numbers of the nodes of all jobs, one behind the other.
        offsets: where those of each job begin; one more than there are jobs.
    """

    start: Integers
    end: Integers
    fate: Integers
    nodes: Integers
    offsets: Integers


class Scheduler:
    """The state of the cluster while it is simulated.

    Args:
        jobs: what is submitted.
        park: the nodes.
        outages: when nodes are out.
        end_of: tells when a job ends that starts at a moment, and whether it then ended well.
    """

    def __init__(
        self, jobs: Submissions, park: Park, outages: Outages, end_of: Callable[[int, int], tuple[int, bool]]
    ) -> None:
        self._end_of = end_of
        self._submit = jobs.submit.tolist()
        self._limit = jobs.limit.tolist()
        self._parent = jobs.parent.tolist()
        self._patience = jobs.patience.tolist()
        self._partition = jobs.partition.tolist()
        wanted = np.stack([jobs.nodes, jobs.cpus, jobs.memory, jobs.gpus], axis=1)
        self._wanted: list[tuple[int, int, int, int]] = list(map(tuple, wanted.tolist()))
        self._free = [park.cpus.copy(), park.memory.copy(), park.gpus.copy()]
        self._slices = [park.partitions[name] for name in PARTITIONS]
        count = len(jobs)
        self._start, self._end, self._fate = [NONE] * count, [NONE] * count, [PENDING] * count
        # Of jobs that run: whether they will end well; of those that have ended: whether they did.
        self._ends_well: dict[int, bool] = {}
        self._ended_well: dict[int, bool] = {}
        self._nodes: list[tuple[int, ...]] = [()] * count
        self._queues: list[deque[int]] = [deque() for _ in PARTITIONS]
        self._children: dict[int, list[int]] = {}
        self._on_node: list[set[int]] = [set() for _ in park.names]
        self._by_limit: list[list[tuple[int, int]]] = [[] for _ in PARTITIONS]
        self._outages = outages
        self._events = [(moment, _SUBMIT, job) for job, moment in enumerate(self._submit)]
        for number, (begin, end) in enumerate(zip(outages.begin.tolist(), outages.end.tolist(), strict=True)):
            self._events += [(begin, _DOWN, number), (end, _UP, number)]
        heapq.heapify(self._events)

    def run(self, seconds: int, progress: Callable[[float], None]) -> Schedule:
        """Return what happens until so many seconds after the start."""
        happen = {_END: self._ends, _UP: self._up, _DOWN: self._down, _SUBMIT: self._submitted, _CANCEL: self._cancel}
        told = 0.0
        while self._events and self._events[0][0] < seconds:
            tick = -(-self._events[0][0] // CYCLE) * CYCLE
            while self._events and self._events[0][0] <= min(tick, seconds - 1):
                moment, kind, number = heapq.heappop(self._events)
                happen[kind](number, moment)
            for partition in range(len(PARTITIONS)) if tick < seconds else ():
                self._start_jobs(partition, tick)
            if tick / seconds >= told + 0.01:
                progress(told := tick / seconds)
        lengths = [len(nodes) for nodes in self._nodes]
        return Schedule(
            start=np.array(self._start, np.int64),
            end=np.array(self._end, np.int64),
            fate=np.array(self._fate, np.int64),
            nodes=np.array([node for nodes in self._nodes for node in nodes], np.int64),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        )

    def _submitted(self, job: int, moment: int) -> None:
        parent = self._parent[job]
        if parent == NONE:
            self._queues[self._partition[job]].append(job)
        elif parent in self._ended_well:
            self._release_child(job, moment, well=self._ended_well[parent])
        else:
            self._children.setdefault(parent, []).append(job)
        if self._patience[job] != NONE:
            heapq.heappush(self._events, (moment + self._patience[job], _CANCEL, job))

    def _release_child(self, job: int, moment: int, *, well: bool) -> None:
        if self._fate[job] != PENDING:
            return
        if well:
            self._queues[self._partition[job]].append(job)
        else:
            self._close(job, moment, NEVER, well=False)

    def _cancel(self, job: int, moment: int) -> None:
        if self._fate[job] == PENDING:
            self._close(job, moment, IMPATIENT, well=False)

    def _close(self, job: int, moment: int, fate: int, *, well: bool) -> None:
        """Note the end of a job and tell those that wait for it."""
        self._fate[job], self._end[job], self._ended_well[job] = fate, moment, well
        for child in self._children.pop(job, ()):
            self._release_child(child, moment, well=well)

    def _ends(self, job: int, moment: int) -> None:
        if self._fate[job] == STARTED and self._end[job] == moment:
            self._give_back(job)
            self._close(job, moment, STARTED, well=self._ends_well[job])

    def _down(self, outage: int, moment: int) -> None:
        node = int(self._outages.node[outage])
        self._free[0][node] -= _OUT
        if not self._outages.failed[outage]:
            return
        for job in sorted(self._on_node[node]):
            self._give_back(job)
            self._close(job, max(moment, self._start[job] + 1), NODE_FAILED, well=False)

    def _up(self, outage: int, moment: int) -> None:
        del moment
        self._free[0][int(self._outages.node[outage])] += _OUT

    def _start_jobs(self, partition: int, now: int) -> None:
        queue = self._queues[partition]
        while queue:
            job = queue[0]
            if self._fate[job] == PENDING:
                nodes = self._fitting(job, partition)
                if nodes is None:
                    self._backfill(partition, now)
                    return
                self._begin(job, partition, nodes, now)
            queue.popleft()

    def _backfill(self, partition: int, now: int) -> None:
        queue = self._queues[partition]
        if len(queue) < 2:
            return
        shadow = self._when_fits(queue[0], partition)
        looked_at, place = 0, 1
        while place < len(queue) and looked_at < DEPTH:
            job = queue[place]
            looked_at += 1
            if self._fate[job] == PENDING:
                nodes = self._fitting(job, partition) if now + self._limit[job] <= shadow else None
                if nodes is None:
                    place += 1
                    continue
                self._begin(job, partition, nodes, now)
            del queue[place]

    def _fitting(self, job: int, partition: int) -> tuple[int, ...] | None:
        """Return the first nodes on which a job fits now, None when there are not enough."""
        count, cpus, memory, gpus = self._wanted[job]
        part = self._slices[partition]
        fits = (self._free[0][part] >= cpus) & (self._free[1][part] >= memory)
        if gpus:
            fits &= self._free[2][part] >= gpus
        found = np.flatnonzero(fits)
        return tuple((found[:count] + part.start).tolist()) if len(found) >= count else None

    def _when_fits(self, job: int, partition: int) -> float:
        """Return when a job fits at the latest, if no other one is started; infinity: not while nodes are out."""
        count, *wanted = self._wanted[job]
        part = self._slices[partition]
        free = [each.copy() for each in self._free]
        fitting = np.all([have[part] >= want for have, want in zip(free, wanted, strict=True)], axis=0)
        ready = set((np.flatnonzero(fitting) + part.start).tolist())
        for limit, other in self._by_limit[partition]:
            for node in self._nodes[other]:
                for have, given in zip(free, self._wanted[other][1:], strict=True):
                    have[node] += given
                if all(have[node] >= want for have, want in zip(free, wanted, strict=True)):
                    ready.add(node)
            if len(ready) >= count:
                return limit
        return float("inf")

    def _begin(self, job: int, partition: int, nodes: tuple[int, ...], now: int) -> None:
        end, well = self._end_of(job, now)
        self._start[job], self._end[job], self._fate[job], self._nodes[job] = now, end, STARTED, nodes
        self._ends_well[job] = well
        self._take(job, -1)
        insort(self._by_limit[partition], (now + self._limit[job], job))
        for node in nodes:
            self._on_node[node].add(job)
        heapq.heappush(self._events, (end, _END, job))

    def _give_back(self, job: int) -> None:
        self._take(job, 1)
        running = self._by_limit[self._partition[job]]
        del running[bisect_left(running, (self._start[job] + self._limit[job], job))]
        for node in self._nodes[job]:
            self._on_node[node].discard(job)

    def _take(self, job: int, sign: int) -> None:
        for have, given in zip(self._free, self._wanted[job][1:], strict=True):
            for node in self._nodes[job]:
                have[node] += sign * given


def schedule_of(
    scenario: Scenario,
    jobs: Submissions,
    park: Park,
    outages: Outages,
    end_of: Callable[[int, int], tuple[int, bool]],
    progress: Callable[[float], None],
) -> Schedule:
    """Return what becomes of a scenario's jobs; see `Scheduler`."""
    return Scheduler(jobs, park, outages, end_of).run(scenario.seconds, progress)
