"""Properties that hold for any history; the state goes through the database at each step, as over a restart."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.alerts import RULE, plain, policy, verdict
from support.rows import CLUSTER, T0

from nomade_pipeline.alerts.acts import ActError, acknowledge, resolve, silence
from nomade_pipeline.alerts.engine import Silence
from nomade_pipeline.alerts.machine import Alert
from nomade_pipeline.alerts.policy import MINUTE, SEVERITIES
from nomade_pipeline.alerts.records import alert_of, alert_row
from nomade_pipeline.alerts.tick import settle
from nomade_pipeline.alerts.verdict import BETWEEN, FINE, Judgement
from nomade_pipeline.store.alerts import AlertStore
from nomade_pipeline.store.rollups import Rollups
from nomade_pipeline.tables.alerts import ALERT_TABLES

SUBJECTS = ("a", "b")
LEVELS = (FINE, BETWEEN, *SEVERITIES)
FLAP_MINUTES, COOLDOWN, ESCALATION = 30, 20, 45
POLICY = policy(
    for_seconds=2 * MINUTE,
    clear_for_seconds=3 * MINUTE,
    repeat_seconds=COOLDOWN * MINUTE,
    escalate_seconds=ESCALATION * MINUTE,
    flap_limit=3,
    flap_window_seconds=FLAP_MINUTES * MINUTE,
)
BEGINNINGS = ("firing", "flapping")

# A step: minutes since the last one, then what happens: levels of the subjects (None: no verdict), or something else.
levels = st.tuples(*(st.sampled_from((*LEVELS, None)) for _ in SUBJECTS))
steps = st.tuples(
    st.sampled_from((0, 1, 1, 1, 2, 5, 25)),
    st.one_of(
        levels,
        levels,
        levels,
        st.sampled_from(("problem", "complete", "late", "silence", "unsilence", "acknowledge", "resolve", "nothing")),
    ),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> AlertStore:
    return AlertStore(Rollups(tmp_path_factory.mktemp("alerts") / "db"))


@dataclass
class History:
    """One history on an empty database."""

    store: AlertStore
    now: datetime = T0
    # Since when each subject's condition has held without a break, by the same rules in the fewest words.
    bad_since: dict[str, datetime] = field(default_factory=dict)
    newest: dict[str, datetime] = field(default_factory=dict)
    told: list[tuple[str, int, datetime]] = field(default_factory=list)
    messages: int = 0

    def run(self, minutes: int, what: object) -> None:
        self.now += timedelta(minutes=minutes)
        if isinstance(what, tuple):
            self.judge(what)
        elif what in ("acknowledge", "resolve", "silence", "unsilence"):
            getattr(self, str(what))()
        else:
            late = [(subject, time - timedelta(seconds=1)) for subject, time in self.newest.items()]
            self.settle(
                {
                    "problem": Judgement(RULE, complete=True, clusters=(CLUSTER,), problem="broken"),
                    "complete": Judgement(RULE, complete=True, clusters=(CLUSTER,)),
                    "late": Judgement(RULE, tuple(verdict(FINE, time, subject=subject) for subject, time in late)),
                    "nothing": Judgement(RULE),
                }[str(what)]
            )
            if what == "complete":
                self.bad_since.clear()

    def judge(self, found: tuple[str | None, ...]) -> None:
        pairs = [(subject, level) for subject, level in zip(SUBJECTS, found, strict=True) if level is not None]
        for subject, level in pairs:
            self.newest[subject] = self.now
            if level in SEVERITIES:
                self.bad_since.setdefault(subject, self.now)
            else:
                self.bad_since.pop(subject, None)
        self.settle(Judgement(RULE, tuple(verdict(level, self.now, subject=subject) for subject, level in pairs)))
        for subject, level in pairs:
            if level in SEVERITIES and self.now - self.bad_since[subject] >= timedelta(seconds=POLICY.for_seconds):
                assert self.alerts()[subject].is_open, "what held for long enough fires"

    def settle(self, judgement: Judgement) -> None:
        settled = settle(self.store, {RULE: POLICY}, (judgement,), plain(), self.now)
        self.messages += len(settled.messages)
        self.told += [(notice.kind, notice.episode, self.now) for notice in settled.decision.notices]
        for alert in self.alerts().values():
            if alert.is_open and not alert.is_held and alert.flapping_time is None and alert.clear_since_time is None:
                assert alert.told_time is not None, "what fires and is not held back has been told"
            if alert.state == "resolved":
                assert alert.told_time is None, "who was told of an ended episode has been given the all-clear"

    def alerts(self) -> dict[str, Alert]:
        rows = self.store.rollups.rows("SELECT * FROM alerts")
        return {row["subject"]: alert_of(row) for row in rows}

    def acknowledge(self) -> None:
        for alert in self.alerts().values():
            if alert.is_open:
                acknowledge(self.store, alert.key, "ann", "", self.now)
            else:
                with pytest.raises(ActError):
                    acknowledge(self.store, alert.key, "ann", "", self.now)

    def resolve(self) -> None:
        for alert in self.alerts().values():
            if alert.is_open:
                resolve(self.store, alert.key, "ann", "", self.now)
                self.bad_since.pop(alert.subject, None)

    def silence(self) -> None:
        silence(self.store, Silence(0, "*", "*", "a", self.now + timedelta(hours=5), "ann"), self.now)

    def unsilence(self) -> None:
        for row in self.store.rollups.rows("SELECT silence_id FROM alert_silences"):
            self.store.end_silence(row["silence_id"], self.now)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(steps, min_size=5, max_size=30))
def test_no_alert_is_lost_and_none_is_told_twice(store: AlertStore, history: list[tuple[int, object]]) -> None:
    store.rollups.run_together((f"DELETE FROM {table.name}", ()) for table in ALERT_TABLES)
    site = History(store)
    for minutes, what in history:
        site.run(minutes, what)
    site.unsilence()
    # Long enough for every waiting time; by its end nothing can hold back what holds all the time.
    for _ in range(3):
        site.run(FLAP_MINUTES // 2, ("critical", "critical"))
    assert all(alert.told_time is not None for alert in site.alerts().values())
    for _ in range(2):
        site.run(3, (FINE, FINE))
    assert all(alert.state == "resolved" for alert in site.alerts().values())
    check_what_was_told(site.told)
    check_the_history(store, site.told)
    outbox = store.rollups.rows("SELECT count(*) AS n, count(DISTINCT message_id) AS d FROM alert_outbox")[0]
    assert outbox["n"] == outbox["d"] == site.messages


def check_what_was_told(told: list[tuple[str, int, datetime]]) -> None:
    counts = Counter((kind, episode) for kind, episode, _ in told)
    for episode in {episode for _, episode, _ in told}:
        begun = sum(counts[kind, episode] for kind in BEGINNINGS)
        assert begun == 1, "one beginning an episode"
        assert counts["resolved", episode] == 1, "one end of what was told"
        assert counts["escalated", episode] <= 1
        mine = [(kind, time) for kind, number, time in told if number == episode]
        assert mine[0][0] in BEGINNINGS
        assert mine[-1][0] == "resolved"
        last = mine[0][1]
        for kind, time in mine[1:]:
            assert kind != "repeated" or time - last >= timedelta(minutes=COOLDOWN), "the cooldown survives restarts"
            last = time if kind in ("worse", "repeated") else last


def check_the_history(store: AlertStore, told: list[tuple[str, int, datetime]]) -> None:
    events = store.rollups.rows("SELECT kind, episode, reason FROM alert_events ORDER BY event_id")
    assert [(row["reason"], row["episode"]) for row in events if row["kind"] == "told"] == [
        (kind, episode) for kind, episode, _ in told
    ]
    fired = Counter(row["episode"] for row in events if row["kind"] == "fired")
    resolved = Counter(row["episode"] for row in events if row["kind"] == "resolved")
    assert fired == resolved
    assert set(fired.values()) <= {1}


def test_an_alert_comes_back_from_its_row_as_it_was() -> None:
    whole = Alert(
        *("rule", "cluster", "subject", "firing", "warning", T0, T0, T0, "h", "critical", 7, T0, T0, T0, "ann", T0),
        *("cleared", T0, "warning", T0, T0, ("desk", "mail"), "silenced", "silence 1", T0, (T0, T0), 1.5, "text", "ok"),
        {"threshold": 85, "who": "ø"},
    )
    assert alert_of(alert_row(whole)) == whole
