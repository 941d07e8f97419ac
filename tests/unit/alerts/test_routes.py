"""Which alerts go to which targets, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from support.notices import notice_of
from support.rows import T0

from nomade_pipeline.alerts.calendar import Stretch, Window
from nomade_pipeline.alerts.delivery import wording
from nomade_pipeline.alerts.routes import MOST_IN_FULL, Mute, Route, Routes, Scope, episode_key, route

BERLIN = ZoneInfo("Europe/Berlin")
ALL = Routes((Route(("mail", "chat")),))


def told(notices, routes, before=()):
    """Return the targets of real messages, and those of dry runs; ``before`` are those that were told earlier."""
    messages = route(notices, routes, T0, {episode_key(notice): before for notice in notices})
    return [m.target for m in messages if not m.dry_run], [m.target for m in messages if m.dry_run]


def test_every_target_of_a_route_gets_one_message_however_many_alerts_fire():
    notices = [notice_of(subject=f"n{i}", episode=i) for i in range(1000)]
    messages = route(notices, ALL, T0, {})
    assert [message.target for message in messages] == ["chat", "mail"]
    assert {len(message.notices) for message in messages} == {1000}


def test_a_message_of_a_thousand_tells_counts_and_the_twenty_most_severe_in_full():
    notices = [
        notice_of(
            rule=f"rule{i % 3}", subject=f"node{i:04}", episode=i, severity="critical" if i % 100 == 7 else "warning"
        )
        for i in range(1000)
    ]
    message = route(notices, ALL, T0, {})[0]
    text = wording.body(message)
    assert text.startswith("1000 alerts: 10 critical, 990 warning\n  rule0: 334\n  rule1: 333\n  rule2: 333\n")
    assert text.count("since: ") == MOST_IN_FULL
    assert text.count("CRITICAL ") == 10
    assert "… and 980 more." in text
    assert wording.subject(message).startswith("[nomade] 1000 alerts: 10 critical, 990 warning; first CRITICAL rule")
    assert len(text) < 5000


def test_only_the_alerts_told_in_full_carry_their_series():
    notices = [notice_of(subject=f"n{i:03}", episode=i, details={"series": {}, "unit": "%"}) for i in range(30)]
    details = [notice.details for notice in route(notices, ALL, T0, {})[0].notices]
    assert sum("series" in each for each in details) == MOST_IN_FULL
    assert all(each["unit"] == "%" for each in details)


def test_the_same_notices_in_any_order_make_the_same_messages_and_others_do_not():
    notices = [notice_of(subject=f"n{i}", episode=i) for i in range(5)]
    ids = [message.message_id for message in route(notices, ALL, T0, {})]
    assert ids == [message.message_id for message in route(notices[::-1], ALL, T0, {})]
    assert len(set(ids)) == 2
    for change in ({"kind": "repeated"}, {"episode": 9}, {"time": T0 + timedelta(hours=4)}):
        changed = [replace(notices[0], **change), *notices[1:]]
        assert not set(ids) & {message.message_id for message in route(changed, ALL, T0, {})}


def test_a_route_tells_from_its_severity_on():
    routes = Routes((Route(("mail",), severity="info"), Route(("pager",), severity="critical")))
    assert told([notice_of(severity="info")], routes) == (["mail"], [])
    assert told([notice_of(severity="critical")], routes) == (["mail", "pager"], [])
    assert told([notice_of(severity="info")], ALL) == ([], [])


@pytest.mark.parametrize(
    ("scope", "is_told"),
    [
        (Scope(), True),
        (Scope(rules=("disk*", "x")), True),
        (Scope(rules=("gpu*",)), False),
        (Scope(clusters=("alph?",), subjects=("*:/home",)), True),
        (Scope(clusters=("alpha",), subjects=("*:/scratch",)), False),
    ],
)
def test_a_route_is_for_the_alerts_that_its_patterns_name(scope, is_told):
    assert (told([notice_of()], Routes((Route(("mail",), scope=scope),))) == (["mail"], [])) is is_told


def test_an_alert_that_nobody_acknowledged_goes_to_others_where_there_are_any():
    escalated = notice_of("escalated")
    assert told([escalated], Routes((Route(("mail",), escalate_to=("boss",)),))) == (["boss"], [])
    assert told([escalated], Routes((Route(("mail",)),))) == (["mail"], [])


def test_the_end_is_told_to_those_who_were_told_of_the_alert_at_any_hour_and_to_nobody_else():
    closed = Window(frozenset())
    routes = Routes((Route(("mail", "chat"), escalate_to=("boss",), window=closed), Route(("silent",), resolved=False)))
    assert told([notice_of("resolved")], routes, ["boss", "mail", "silent"]) == (["boss", "mail"], [])
    assert told([notice_of("resolved")], routes) == ([], [])


def test_simulated_and_replayed_clusters_go_to_the_dry_run_only():
    for cluster in ("sim-1", "replay-alpha"):
        assert told([notice_of(cluster=cluster)], ALL) == ([], ["chat", "mail"])
    both = Routes((Route(("mail",), dry_run=True), Route(("chat",), dry_run=True), Route(("chat",))))
    assert told([notice_of()], both) == (["chat"], ["mail"])


def test_the_most_severe_comes_first_and_what_has_ended_last():
    notices = [
        notice_of("resolved", severity="critical", subject="a"),
        notice_of(severity="warning", subject="b"),
        notice_of(severity="critical", subject="c"),
    ]
    message = route(notices, Routes((Route(("mail",)),)), T0, {episode_key(notices[0]): ("mail",)})[0]
    assert [notice.subject for notice in message.notices] == ["c", "b", "a"]
    assert wording.counts(message) == "3 alerts: 1 critical, 1 warning, 1 resolved"


# Times.

FRIDAY = datetime(2026, 3, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "hours", "is_open"),
    [
        (Window(frozenset({4}), 8 * 60, 18 * 60), 8, True),
        (Window(frozenset({4}), 8 * 60, 18 * 60), 18, False),
        (Window(frozenset({4}), 8 * 60, 18 * 60, BERLIN), 7, True),
        (Window(frozenset({5}), 8 * 60, 18 * 60), 9, False),
        # Over midnight: Friday's window reaches into Saturday, Thursday's does not exist.
        (Window(frozenset({4}), 22 * 60, 6 * 60), 29, True),
        (Window(frozenset({4}), 22 * 60, 6 * 60), 30, False),
        (Window(frozenset({4}), 22 * 60, 6 * 60), 5, False),
        (Window(), 23.99, True),
    ],
)
def test_a_window_opens_by_the_clock_of_its_zone(window, hours, is_open):
    assert window.holds(FRIDAY + timedelta(hours=hours)) is is_open
    routes = Routes((Route(("mail",), window=window),))
    now = FRIDAY + timedelta(hours=hours)
    assert bool(routes.messages([notice_of()], now, {})) is is_open
    assert routes.held_back(notice_of(), now) == (None if is_open else "no route is open now")


def test_summer_time_moves_the_window_with_the_people():
    window = Window(begin=8 * 60, end=9 * 60, zone=BERLIN)
    assert window.holds(datetime(2026, 1, 15, 7, 30, tzinfo=UTC))
    assert window.holds(datetime(2026, 7, 15, 6, 30, tzinfo=UTC))


def test_a_mute_holds_an_alert_back_as_long_as_it_lasts():
    stretch = Stretch(T0, T0 + timedelta(hours=2))
    routes = Routes(ALL.routes, (Mute("works", Scope(subjects=("node1:*",)), stretch),))
    assert routes.held_back(notice_of(), T0) == "muted by works"
    assert routes.held_back(notice_of(subject="node2:/"), T0) is None
    assert routes.held_back(notice_of(), T0 + timedelta(hours=2)) is None
    assert routes.held_back(notice_of(), T0 - timedelta(seconds=1)) is None


def test_an_alert_that_no_route_is_for_is_held_back_with_the_reason():
    assert ALL.held_back(notice_of(severity="info"), T0) == "no route is for it"
