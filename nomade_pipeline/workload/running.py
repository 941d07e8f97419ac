"""What ran where in one UTC day, minute by minute: the join of jobs, nodes and minutes that all series come from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.analysis.series import Flags, Floats, Integers
from nomade_pipeline.workload.history import History
from nomade_pipeline.workload.scenario import DAY, MINUTE


@dataclass(frozen=True)
class Running:
    """One entry for each job, node and minute in which the job runs on the node; a minute is named by its beginning.

    Attributes:
        history: what it is taken from.
        first_minute: minute of the window with which the day begins.
        minutes: how many minutes of the day are in the window.
        job, node, minute: numbers; the minute is that of the day.
        share: part of the minute in which it runs.
        pace: how fast it works in this minute.
        work: seconds of undisturbed work done by the minute's end, or the job's.
        present: it still runs at the end of the minute, when samples are taken.
    """

    history: History
    first_minute: int
    minutes: int
    job: Integers
    node: Integers
    minute: Integers
    share: Floats
    pace: Floats
    work: Floats
    present: Flags

    @property
    def moments(self) -> Integers:
        """The end of each minute of the day, seconds since the scenario's start: when samples are taken."""
        ends: Integers = (self.first_minute + 1 + np.arange(self.minutes)) * MINUTE
        return ends

    def added_up(self, values: Floats | Integers, *, present: bool = False) -> Floats:
        """Return, nodes × minutes, the sum of a value over the jobs, or over those present at the minute's end."""
        some = self.present if present else slice(None)
        count = len(self.history.park.names) * self.minutes
        cells = (self.node * self.minutes + self.minute)[some]
        sums: Floats = np.bincount(cells, values[some], count).astype(float).reshape(-1, self.minutes)
        return sums

    def largest(self, values: Floats) -> Floats:
        """Return, nodes × minutes, the largest value over the jobs; 0 where none runs."""
        found = np.zeros((len(self.history.park.names), self.minutes))
        np.maximum.at(found, (self.node, self.minute), values)
        return found


def running_on(history: History, day: date) -> Running:
    """Return what runs in the minutes whose ends, and so samples, lie in a day of the window."""
    scenario, schedule = history.scenario, history.schedule
    midnight = seconds_of(history, day)
    begin, end = max(midnight - MINUTE, 0), min(midnight + DAY, scenario.seconds) - MINUTE
    minutes = (end - begin) // MINUTE
    job, node = _placed(history, np.flatnonzero(history.started & (schedule.start < end) & (history.until > begin)))
    first = np.maximum(schedule.start[job], begin)
    last = np.minimum(history.until[job], end)
    from_minute = first // MINUTE
    length = -(-last // MINUTE) - from_minute
    pair = np.repeat(np.arange(len(job)), length)
    minute = from_minute[pair] + counted(length)
    job, node, first, last = job[pair], node[pair], first[pair], last[pair]
    until = np.minimum(history.until[job], (minute + 1) * MINUTE)
    profile = history.jobs.profile[job]
    return Running(
        history,
        begin // MINUTE,
        minutes,
        job,
        node,
        minute - begin // MINUTE,
        share=(np.minimum(last, (minute + 1) * MINUTE) - np.maximum(first, minute * MINUTE)) / MINUTE,
        pace=history.weather.pace[profile, minute],
        work=history.weather.work(profile, schedule.start[job], until),
        present=schedule.end[job] > (minute + 1) * MINUTE,
    )


def ending_on(history: History, day: date) -> Running:
    """Return an entry for each job that ended on a day of the window, and node, as it was at its end."""
    end, begin = history.schedule.end, seconds_of(history, day)
    job, node = _placed(history, np.flatnonzero(history.ended & history.started & (end >= begin) & (end < begin + DAY)))
    none = np.zeros(len(job))
    minute = (end[job] - begin) // MINUTE
    return Running(history, begin // MINUTE, DAY // MINUTE, job, node, minute, none, none, history.work[job], none > 0)


def seconds_of(history: History, day: date) -> int:
    """Return when a day begins, seconds since the scenario's start."""
    return int((clock.start_of(day) - history.scenario.start).total_seconds())


def _placed(history: History, jobs: Integers) -> tuple[Integers, Integers]:
    """Return job and node of each node that some jobs are on."""
    schedule = history.schedule
    count = np.diff(schedule.offsets)[jobs]
    return np.repeat(jobs, count), schedule.nodes[np.repeat(schedule.offsets[jobs], count) + counted(count)]


def counted(lengths: Integers) -> Integers:
    """Return 0, 1, … for each length, one behind the other."""
    return np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
