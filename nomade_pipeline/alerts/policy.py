"""How the alerts of one rule behave over time, whatever the rule looks at. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from nomade_pipeline.tables.alerts import SEVERITIES as SEVERITIES  # noqa: PLC0414 - offered here too

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def is_worse(severity: str, than: str) -> bool:
    """Whether a severity is above another one."""
    return SEVERITIES.index(severity) > SEVERITIES.index(than)


@dataclass(frozen=True)
class Policy:
    """When an alert fires, is told again, escalates and resolves.

    Attributes:
        rule: name of the rule.
        for_seconds: how long its condition must hold, by the times of the samples, before an alert fires.
        clear_for_seconds: how long it must be clear before the alert is resolved.
        repeat_seconds: cooldown: a firing alert that nobody acknowledged is told again after so long; 0: never.
        escalate_seconds: after so long without an acknowledgement it goes to the escalation targets, once; 0: never.
        flap_limit: episodes of one subject within ``flap_window_seconds`` from which on it counts as flapping: it is
            told once as such and its further episodes are not told until it has been quiet for the window.
        inhibited_by: rules whose firing alert of the same cluster, and of the same host where both name one, keeps
            alerts of this rule from being told.
        vanished_seconds: a subject without any verdict for so long is resolved as vanished; 0: never.
        group_seconds: alerts that fire within so long of each other are told in one message.
    """

    rule: str
    for_seconds: float = 0.0
    clear_for_seconds: float = 5 * MINUTE
    repeat_seconds: float = 4 * HOUR
    escalate_seconds: float = HOUR
    flap_limit: int = 5
    flap_window_seconds: float = HOUR
    inhibited_by: tuple[str, ...] = ()
    vanished_seconds: float = DAY
    group_seconds: float = 0.0
