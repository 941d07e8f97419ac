"""Whether the pipeline is silent, and who is to be told now: pure decisions of the dead-man's switch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Mapping, Optional, Tuple

from nomade_pipeline import clock
from nomade_pipeline.config.deadman_settings import DeadmanSettings
from nomade_pipeline.store.heartbeat import Heartbeat

SILENT, BACK = "silent", "back"
EMAIL, WEBHOOK = "email", "webhook"


@dataclass(frozen=True)
class Memory:
    """What outlives a restart.

    Attributes:
        watched_since: since when a heartbeat has been waited for; matters until there is a first one.
        silent_since: the last sign of life before the present silence; None while the pipeline lives.
        told: time of the last message to each target that was told of it.
    """

    watched_since: str
    silent_since: Optional[str] = None
    told: Tuple[Tuple[str, str], ...] = ()

    def after_telling(self, news: str, name: str, now: datetime) -> Memory:
        """Return the memory after a target took the news; when all know that it is back, the silence is forgotten."""
        told = dict(self.told)
        if news == SILENT:
            told[name] = clock.to_text(now)
        else:
            told.pop(name, None)
        silent_since = self.silent_since if told or news == SILENT else None
        return replace(self, silent_since=silent_since, told=tuple(sorted(told.items())))


@dataclass(frozen=True)
class Step:
    """What to do now.

    Attributes:
        memory: what to remember, before anybody is told.
        news: `SILENT` or `BACK`; empty: none.
        targets: those that are to be told.
        subject: of a mail.
        text: what to tell.
    """

    memory: Memory
    news: str = ""
    targets: Tuple[str, ...] = ()
    subject: str = ""
    text: str = ""


def target_names(settings: DeadmanSettings) -> Tuple[str, ...]:
    """Return the names of the targets that the section makes."""
    email = (EMAIL,) if settings.email_to else ()
    return (*email, WEBHOOK) if settings.webhook or settings.webhook_file else email


def decide(
    settings: DeadmanSettings,
    memory: Memory,
    beat: Optional[Heartbeat],
    up_since: datetime,
    cluster: str,
    now: datetime,
) -> Step:
    """Return what follows from the newest heartbeat.

    Args:
        settings: whom to tell, and after how long.
        memory: what was told before.
        beat: the newest heartbeat, None when there was never one.
        up_since: when this machine started: while it was off it could not evaluate, and nobody is told of that.
        cluster: name for the message.
        now: the present time.
    """
    alive = beat.time if beat is not None else clock.from_text(memory.watched_since)
    quiet = now - max(alive, up_since)
    if quiet <= timedelta(minutes=settings.after_minutes):
        return _back(settings, memory, cluster)
    last = "never" if beat is None else f"{_time(alive)} on {beat.host}"
    minutes = quiet.total_seconds() / 60
    text = (
        f"The monitoring of {cluster} is silent: it has evaluated no alerts for {minutes:.0f} minutes (last: {last}).\n"
        "Until it runs again nobody is told of anything else. See `nomade status` and `nomade logs`."
    )
    told = dict(memory.told)
    due = tuple(name for name in target_names(settings) if _is_due(told, name, settings.repeat_minutes, now))
    remembered = replace(memory, silent_since=memory.silent_since or clock.to_text(alive))
    return Step(remembered, SILENT, due, f"[nomade] the monitoring of {cluster} is silent", text)


def _back(settings: DeadmanSettings, memory: Memory, cluster: str) -> Step:
    """Return what to do while the pipeline lives: those who were told of a silence are told of its end."""
    names = target_names(settings)
    told = tuple((name, time) for name, time in memory.told if name in names)
    if memory.silent_since is None or not told:
        return Step(replace(memory, silent_since=None, told=()))
    since = _time(clock.from_text(memory.silent_since))
    text = f"The monitoring of {cluster} evaluates alerts again. It had not since {since}."
    targets = tuple(name for name, _ in told)
    return Step(replace(memory, told=told), BACK, targets, f"[nomade] the monitoring of {cluster} is back", text)


def _is_due(told: Mapping[str, str], name: str, repeat_minutes: float, now: datetime) -> bool:
    if name not in told:
        return True
    return repeat_minutes > 0 and now - clock.from_text(told[name]) >= timedelta(minutes=repeat_minutes)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
