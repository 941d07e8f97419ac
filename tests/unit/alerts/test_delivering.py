"""Trying what is due: pauses, other targets, giving up, and time that runs out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from support.notices import message_of, notice_of
from support.rows import T0

from nomade_pipeline import clock
from nomade_pipeline.alerts.deliver import (
    DELIVERY_RULE,
    FIRST_PAUSE,
    GIVE_UP_AFTER,
    LONGEST_PAUSE,
    TELL_OTHERS_AFTER,
    deliver,
    for_others,
    pause,
)
from nomade_pipeline.transport.failure import DeliveryError


@dataclass
class Target:
    """A target in this process: what it took, and why it takes no more."""

    name: str
    error: Exception | None = None
    seconds: float = 0.0
    taken: list[str] = field(default_factory=list)
    tried: int = 0
    kind: str = "test"

    def send(self, message, seconds):
        self.tried += 1
        time.sleep(min(self.seconds, seconds))
        if self.error is not None:
            raise self.error
        self.taken.append(message.message_id)


@dataclass
class Memory:
    """An outbox without a database: the store's has tests of its own."""

    messages: dict = field(default_factory=dict)
    states: dict = field(default_factory=dict)

    def due(self, now):
        return [
            self.messages[name] for name, state in self.states.items() if isinstance(state, type(now)) and state <= now
        ]

    def add(self, messages):
        for message in messages:
            if self.messages.setdefault(message.message_id, message) is message:
                self.states[message.message_id] = message.created_time

    def delivered(self, message_id, now):
        self.states[message_id] = "delivered"

    def failed(self, message_id, now, problem, next_time):
        message = self.messages[message_id]
        self.messages[message_id] = replace(message, attempts=message.attempts + 1)
        self.states[message_id] = next_time

    def given_up(self, message_id, now, problem):
        self.states[message_id] = f"given up: {problem}"


@pytest.fixture
def at():
    """Return a function that delivers at a moment, in seconds after the message was made."""

    def run(outbox, *targets, seconds=0.0, budget=5.0):
        now = T0 + timedelta(seconds=seconds)
        with clock.set_to(now):
            return deliver(outbox, {target.name: target for target in targets}, now, budget)

    return run


def outbox_of(*messages):
    outbox = Memory()
    outbox.add(messages)
    return outbox


DOWN = DeliveryError("it is down")
REFUSES = DeliveryError("it will not have it", retryable=False)


def test_what_is_due_goes_to_its_target_and_is_not_due_again(at):
    outbox, mail, chat = (
        outbox_of(message_of(), message_of(target="chat", message_id="2")),
        Target("email"),
        Target("chat"),
    )
    outcomes = at(outbox, mail, chat)
    assert (mail.taken, chat.taken) == (["0123abcd"], ["2"])
    assert [outcome.problem for outcome in outcomes] == [None, None]
    assert not at(outbox, mail, chat)


def test_a_failed_message_is_due_again_after_a_pause_and_not_before(at):
    outbox, mail = outbox_of(message_of()), Target("email", DOWN)
    [outcome] = at(outbox, mail)
    assert outcome.problem == "it is down"
    wait = (outcome.next_time - T0).total_seconds()
    assert FIRST_PAUSE / 2 <= wait <= FIRST_PAUSE
    assert not at(outbox, mail, seconds=wait - 1)
    mail.error = None
    assert at(outbox, mail, seconds=wait)[0].problem is None


def test_pauses_double_up_to_an_hour_and_differ_from_message_to_message():
    waits = [[pause(message_of(message_id=f"m{i}", attempts=tried)) for tried in range(30)] for i in range(20)]
    for message in waits:
        for tried, wait in enumerate(message):
            longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**tried)
            assert longest / 2 <= wait <= longest
    assert len({message[0] for message in waits}) == 20


def test_the_pause_that_a_target_asks_for_is_kept_up_to_an_hour():
    assert pause(message_of(), 600.0) == 600.0
    assert pause(message_of(), 1e9) == LONGEST_PAUSE
    assert pause(message_of(), 0.0) >= FIRST_PAUSE / 2


def test_a_refused_message_is_given_up_at_once_and_the_other_targets_are_told_with_all_of_it(at):
    outbox = outbox_of(message_of(notice_of(), notice_of(subject="n2", episode=2)))
    mail, chat = Target("email", REFUSES), Target("chat")
    [outcome] = at(outbox, mail, chat)
    assert outcome.next_time is None
    assert outbox.states["0123abcd"] == "given up: it will not have it"
    at(outbox, mail, chat)
    [told] = [outbox.messages[name] for name in chat.taken]
    assert told.notices[0].rule == DELIVERY_RULE
    assert told.notices[0].summary == "2 alerts could not be delivered to email: it will not have it"
    assert [notice.subject for notice in told.notices[1:]] == ["node1:/home", "n2"]


def test_a_target_that_is_down_for_a_quarter_of_an_hour_is_told_to_the_others_once_and_still_tried(at):
    outbox, mail, chat = outbox_of(message_of()), Target("email", DOWN), Target("chat")
    now = 0.0
    while now < 6 * 3600:
        at(outbox, mail, chat, seconds=now)
        assert not chat.taken or now >= TELL_OTHERS_AFTER
        now += 30
    assert len(chat.taken) == 1
    mail.error = None
    at(outbox, mail, chat, seconds=now + LONGEST_PAUSE)
    assert mail.taken == ["0123abcd"]


def test_a_message_is_given_up_after_a_day_and_is_kept_with_the_reason(at):
    outbox, mail = outbox_of(message_of()), Target("email", DOWN)
    at(outbox, mail, seconds=GIVE_UP_AFTER - 1)
    assert outbox.states["0123abcd"] > T0
    at(outbox, mail, seconds=GIVE_UP_AFTER + LONGEST_PAUSE)
    assert outbox.states["0123abcd"] == "given up: it is down"


def test_news_of_a_failed_delivery_that_fails_too_makes_no_further_news():
    [news] = for_others(message_of(), ["email", "chat"], "down", T0)
    assert news.target == "chat"
    assert for_others(news, ["email", "chat"], "down", T0) == []


def test_a_message_to_a_target_that_is_no_longer_configured_goes_to_the_others(at):
    outbox, chat = outbox_of(message_of()), Target("chat")
    [outcome] = at(outbox, chat)
    assert outcome.problem == "there is no target email any more"
    at(outbox, chat)
    assert len(chat.taken) == 1


def test_a_message_that_cannot_be_put_together_does_not_stop_the_others(at):
    outbox = outbox_of(message_of(), message_of(target="chat", message_id="2"))
    mail, chat = Target("email", UnicodeError("odd")), Target("chat")
    at(outbox, mail, chat)
    assert outbox.states["0123abcd"] == "given up: the message cannot be put together: UnicodeError('odd')"
    assert "2" in chat.taken


def test_a_slow_target_costs_the_others_nothing_and_what_does_not_fit_stays_due(at):
    outbox = outbox_of(*(message_of(message_id=f"s{i}", target="slow") for i in range(5)), message_of(message_id="f"))
    slow, mail = Target("slow", seconds=0.3), Target("email")
    outcomes = at(outbox, slow, mail, budget=1.0)
    assert mail.taken == ["f"]
    assert 0 < slow.tried < 5
    assert len(outcomes) == slow.tried + 1
    assert len(outbox.due(T0)) == 5 - slow.tried


def test_a_target_that_is_down_is_asked_once_a_pass_however_many_messages_wait(at):
    outbox, mail = outbox_of(*(message_of(message_id=f"m{i}") for i in range(50))), Target("email", DOWN)
    at(outbox, mail)
    assert mail.tried == 1
    mail.error = REFUSES
    at(outbox, mail)
    assert mail.tried == 50


def test_a_dry_run_is_never_sent(at):
    mail = Target("email")
    assert at(outbox_of(message_of(dry_run=True)), mail) == []
    assert not mail.tried
