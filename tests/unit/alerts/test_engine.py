"""What the engine decides: each state and each way between them, one alert at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from support.alerts import RULE, Site, judged, policy, verdict
from support.rows import CLUSTER, at

from nomade_pipeline.alerts.engine import Controls, Silence, State, decide
from nomade_pipeline.alerts.machine import acknowledged, resolved
from nomade_pipeline.alerts.policy import HOUR, MINUTE
from nomade_pipeline.alerts.verdict import BETWEEN, FINE, Judgement

YEAR = timedelta(days=365)


def silence(until: float, **patterns: str) -> Silence:
    return Silence(1, **{"rule": "*", "cluster": "*", "subject": "*", **patterns}, ends_time=at(until), author="ann")


# Beginning and ending.


def test_an_alert_without_a_waiting_time_fires_and_is_told_with_its_first_verdict() -> None:
    site = Site()
    assert site.see(0, "warning") == ["firing"]
    assert site.alert.state == "firing"
    assert site.alert.episode == 1


def test_an_alert_that_must_hold_is_pending_until_its_samples_have_held_for_so_long() -> None:
    site = Site(policy(for_seconds=2 * MINUTE))
    assert site.see(0, "warning") == []
    assert site.alert.state == "pending"
    # A tick without a newer sample proves nothing.
    assert site.tick(9, judged(verdict("warning", at(0)))) == []
    assert site.see(2, "warning") == ["firing"]


@pytest.mark.parametrize("level", [FINE, BETWEEN])
def test_a_pending_alert_whose_condition_ceases_leaves_nothing_behind(level: str) -> None:
    site = Site(policy(for_seconds=2 * MINUTE))
    site.see(0, "warning")
    assert site.see(1, level) == []
    assert site.state.alerts == {}
    assert site.see(2, "warning") == []


def test_between_the_thresholds_no_alert_begins_and_none_ends() -> None:
    site = Site(policy(clear_for_seconds=0))
    assert site.see(0, BETWEEN) == []
    assert site.state.alerts == {}
    site.see(1, "warning")
    assert site.see(2, BETWEEN) == []
    assert site.alert.state == "firing"


def test_an_alert_is_resolved_when_its_samples_have_been_clear_for_so_long() -> None:
    site = Site(policy(clear_for_seconds=2 * MINUTE))
    site.see(0, "warning")
    assert site.see(1, FINE) == []
    assert site.see(2, BETWEEN) == []
    assert site.see(3, FINE) == []
    assert site.see(4, FINE) == []
    assert site.see(5, FINE) == ["resolved"]
    assert (site.alert.state, site.alert.reason) == ("resolved", "cleared")
    assert site.see(6, FINE) == []


def test_the_word_of_the_rule_says_what_the_opposite_sign_means() -> None:
    site = Site(policy(clear_for_seconds=0))
    site.see(0, "warning")
    site.tick(1, judged(verdict(FINE, at(1), ok_word="clean-up in progress")))
    assert site.notices[-1].reason == "cleared: clean-up in progress"


def test_an_alert_whose_subject_has_left_a_complete_judgement_is_over() -> None:
    site = Site()
    site.see(0, "warning")
    assert site.tick(1, Judgement(RULE, (), complete=True, clusters=("other",))) == []
    assert site.tick(2, Judgement(RULE, ())) == []
    assert site.tick(3, Judgement(RULE, (), complete=True, clusters=(CLUSTER,))) == ["resolved"]
    assert site.alert.reason == "its subject is gone"


def test_a_rule_that_could_not_be_judged_leaves_its_alerts_alone() -> None:
    site = Site(policy(vanished_seconds=HOUR))
    site.see(0, "warning")
    problem = Judgement(RULE, (), complete=True, clusters=(CLUSTER,), problem="the lake cannot be read")
    assert site.tick(600, problem) == ["escalated", "repeated"]
    assert site.alert.state == "firing"


def test_a_subject_that_is_not_heard_of_any_more_has_vanished() -> None:
    site = Site(policy(vanished_seconds=HOUR, escalate_seconds=0))
    site.see(0, "warning")
    assert site.tick(59, judged()) == []
    assert site.tick(60, judged()) == ["resolved"]
    assert site.alert.reason == "nothing was heard of its subject any more"


def test_a_subject_has_not_vanished_because_nothing_was_evaluated() -> None:
    site = Site(policy(vanished_seconds=HOUR, escalate_seconds=0, repeat_seconds=0))
    site.see(0, "warning")
    site.controls = Controls(resumed=True)
    assert site.tick(1000, judged()) == []
    site.controls = Controls()
    assert site.tick(1059, judged()) == []
    assert site.tick(1060, judged()) == ["resolved"]


def test_alerts_of_a_rule_that_is_no_longer_configured_are_over() -> None:
    site = Site()
    site.see(0, "warning")
    site.policies = {"other": policy(rule="other")}
    assert site.tick(1) == ["resolved"]
    assert site.alert.reason == "its rule was removed"


def test_a_new_episode_has_a_new_number_and_remembers_the_old_one_until_it_fires() -> None:
    site = Site(policy(for_seconds=MINUTE, clear_for_seconds=0))
    for minute, level in enumerate(["warning", "warning", FINE, "warning", FINE]):
        site.see(minute, level)
    assert (site.alert.state, site.alert.episode) == ("resolved", 1)
    site.see(5, "warning")
    site.see(6, "warning")
    assert (site.alert.state, site.alert.episode) == ("firing", 2)


# Severity.


def test_a_worse_severity_is_told_and_a_milder_one_is_not() -> None:
    site = Site()
    told = [site.see(minute, level) for minute, level in enumerate(["info", "critical", "warning", "critical"])]
    assert told == [["firing"], ["worse"], [], []]
    assert [event.kind for event in site.events] == ["fired", "told", "worse", "told", "eased", "worse"]


def test_a_resolved_notice_names_the_worst_severity_of_the_episode() -> None:
    site = Site(policy(clear_for_seconds=0))
    for minute, level in enumerate(["critical", "info", FINE]):
        site.see(minute, level)
    assert site.notices[-1].severity == "critical"


def test_an_acknowledged_alert_that_becomes_worse_asks_again() -> None:
    site = Site(policy(repeat_seconds=HOUR, escalate_seconds=HOUR))
    site.see(0, "warning")
    site.put(acknowledged(site.alert, "ann", at(1)))
    assert site.see(600, "warning") == []
    assert site.see(601, "critical") == ["worse"]
    assert site.alert.state == "firing"
    assert site.see(602, "critical") == []
    assert site.see(661, "critical") == ["escalated", "repeated"]


# Cooldown and escalation.


def test_an_unacknowledged_alert_is_repeated_after_each_cooldown_and_not_before() -> None:
    site = Site(policy(repeat_seconds=HOUR, escalate_seconds=0))
    told = [site.see(minute, "warning") for minute in (0, 1, 59, 60, 61, 119, 120)]
    assert told == [["firing"], [], [], ["repeated"], [], [], ["repeated"]]


def test_a_cooldown_of_zero_never_repeats() -> None:
    site = Site(policy(repeat_seconds=0, escalate_seconds=0))
    site.see(0, "warning")
    assert site.see(100_000, "warning") == []


def test_an_alert_escalates_once_an_episode() -> None:
    site = Site(policy(repeat_seconds=0, escalate_seconds=HOUR, clear_for_seconds=0))
    told = [site.see(minute, "warning") for minute in (0, 59, 60, 61, 500)]
    assert told == [["firing"], [], ["escalated"], [], []]
    site.see(501, FINE)
    site.see(502, "warning")
    assert site.see(562, "warning") == ["escalated"]


def test_nothing_is_repeated_while_the_condition_is_clear() -> None:
    site = Site(policy(repeat_seconds=HOUR, clear_for_seconds=10 * HOUR))
    site.see(0, "warning")
    assert site.see(100, FINE) == []
    assert site.see(101, "warning") == ["escalated", "repeated"]


# What keeps an alert from being told.


def test_a_silenced_alert_is_tracked_and_told_when_the_silence_ends() -> None:
    site = Site()
    site.controls = Controls((silence(10, rule="dis*", subject="h*"),))
    assert site.see(0, "warning") == []
    assert (site.alert.state, site.alert.held, site.alert.held_by) == ("firing", "silenced", "silence 1 of ann")
    assert site.see(9, "warning") == []
    assert site.see(10, "warning") == ["firing"]
    assert [event.kind for event in site.events] == ["fired", "silenced", "released", "told"]


def test_a_silence_for_others_holds_nothing_back() -> None:
    site = Site()
    site.controls = Controls((silence(10, rule="gpu*"), silence(10, cluster="beta"), silence(10, subject="h?")))
    assert site.see(0, "warning") == ["firing"]


def test_what_fires_and_ends_under_a_silence_is_never_told() -> None:
    site = Site(policy(clear_for_seconds=0))
    site.controls = Controls((silence(10),))
    site.see(0, "warning")
    assert site.see(5, FINE) == []
    assert site.tick(11, judged()) == []
    assert [event.kind for event in site.events] == ["fired", "silenced", "resolved"]


def test_whoever_was_told_hears_the_end_in_spite_of_a_silence() -> None:
    site = Site(policy(clear_for_seconds=0))
    site.see(0, "warning")
    site.controls = Controls((silence(10),))
    assert site.see(5, FINE) == ["resolved"]


def test_a_mute_holds_back_until_it_is_over() -> None:
    site = Site()
    site.controls = Controls(held_back=lambda _alert, now: "muted by night" if now < at(10) else None)
    assert site.see(0, "warning") == []
    assert (site.alert.held, site.alert.held_by) == ("held_back", "muted by night")
    assert site.see(10, "warning") == ["firing"]


@pytest.mark.parametrize(
    ("host", "cause_host", "inhibited"),
    [("n1", "n1", True), ("n1", "n2", False), ("n1", "", True), ("", "n1", True)],
)
def test_an_alert_is_inhibited_by_another_of_the_same_cluster_and_host(
    host: str, cause_host: str, inhibited: bool
) -> None:
    site = Site(policy(inhibited_by=("node_down",)), policy(rule="node_down", clear_for_seconds=0))
    cause = verdict("critical", at(0), rule="node_down", subject="n", host=cause_host)
    told = site.tick(0, judged(cause, rule="node_down"), judged(verdict("warning", at(0), host=host)))
    assert told == (["firing"] if inhibited else ["firing", "firing"])
    mended = replace(cause, level=FINE, time=at(1))
    told = site.tick(1, judged(mended, rule="node_down"), judged(verdict("warning", at(1), host=host)))
    assert told == (["resolved", "firing"] if inhibited else ["resolved"])


def test_of_rules_that_inhibit_each_other_one_is_told() -> None:
    site = Site(policy(inhibited_by=("b",), rule="a"), policy(rule="b", inhibited_by=("c",)))
    site.policies["c"] = policy(rule="c", inhibited_by=("a",))
    told = site.tick(0, *(judged(verdict("warning", at(0), rule=name), rule=name) for name in "abc"))
    assert told == ["firing"]


def test_alerts_of_a_group_wait_for_each_other() -> None:
    site = Site(policy(group_seconds=2 * MINUTE))
    first, second = verdict("warning", at(0), subject="h:a"), verdict("warning", at(1), subject="h:b")
    assert site.tick(0, judged(first)) == []
    assert site.tick(1, judged(first, second)) == []
    assert site.tick(2, judged(first, second)) == ["firing", "firing"]


# Flapping.


def flap(site: Site, start: int, times: int) -> list[list[str]]:
    """Let the alert fire and end so many times, every two minutes."""
    told = []
    for minute in range(start, start + 2 * times, 2):
        told.append(site.see(minute, "warning") + site.see(minute + 1, FINE))
    return told


def test_a_flapping_alert_is_told_once_as_such_and_not_again_until_it_has_been_quiet() -> None:
    site = Site(policy(flap_limit=3, flap_window_seconds=HOUR, clear_for_seconds=0))
    told = flap(site, 0, 5)
    assert told == [["firing", "resolved"], ["firing", "resolved"], ["flapping", "resolved"], [], []]
    assert site.see(8 + 60, FINE) == []
    assert site.alert.flapping_time is None
    assert flap(site, 100, 1) == [["firing", "resolved"]]
    assert [event.kind for event in site.events if event.kind in ("flapping", "steady")] == ["flapping", "steady"]


def test_a_flapping_alert_that_then_stays_is_told_after_the_window() -> None:
    site = Site(policy(flap_limit=3, flap_window_seconds=HOUR, clear_for_seconds=0))
    flap(site, 0, 4)
    assert site.see(8, "warning") == []
    assert site.see(67, "warning") == []
    assert site.see(68, "warning") == ["firing"]


def test_a_flapping_alert_that_is_worse_than_what_was_told_is_told() -> None:
    site = Site(policy(flap_limit=3, flap_window_seconds=HOUR, clear_for_seconds=0))
    flap(site, 0, 4)
    assert site.see(8, "critical") == ["flapping"]
    site.see(9, FINE)
    assert site.see(10, "critical") == []


# Time.


def test_a_verdict_older_than_the_last_one_changes_nothing() -> None:
    site = Site(policy(clear_for_seconds=0))
    site.see(10, "warning")
    assert site.tick(11, judged(verdict(FINE, at(9)))) == []
    assert site.alert.state == "firing"


def test_a_sample_of_the_future_counts_as_one_of_now_and_later_ones_still_count() -> None:
    site = Site(policy(clear_for_seconds=0))
    assert site.tick(0, judged(verdict("warning", at(0) + YEAR))) == ["firing"]
    assert site.alert.last_time == at(0)
    assert site.see(1, FINE) == ["resolved"]


def test_a_clock_that_was_ahead_and_is_set_back_keeps_no_alert_from_anything() -> None:
    site = Site(policy(repeat_seconds=HOUR, escalate_seconds=0, clear_for_seconds=0))
    site.tick(0, judged(verdict("warning", at(0) + YEAR)), ahead=YEAR)
    assert site.see(1, "warning") == []
    assert site.see(60, "warning") == []
    assert site.see(61, "warning") == ["repeated"]
    assert site.see(62, FINE) == ["resolved"]


# By hand.


def test_an_alert_resolved_by_hand_is_told_as_ended_and_fires_anew_while_its_condition_holds() -> None:
    site = Site()
    site.see(0, "warning")
    site.put(resolved(site.alert, "by hand", at(1)))
    assert site.see(1, "warning") == ["resolved", "firing"]
    assert [notice.episode for notice in site.notices] == [1, 1, 2]


def test_nothing_at_all_decides_nothing() -> None:
    decision = decide({}, State(), (), Controls(), at(0))
    assert (decision.changed, decision.events, decision.notices, decision.state) == ((), (), (), State())


def test_a_tick_that_changes_nothing_writes_nothing() -> None:
    site = Site()
    site.see(0, "warning")
    decision = decide(site.policies, site.state, (Judgement(RULE, problem="no"),), Controls(), at(1))
    assert (decision.changed, decision.dropped, decision.events) == ((), (), ())
