"""The alert engine's tables: one transaction a tick, the outbox's leases, people's acts, and what is kept."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from support.alerts import RULE, SUBJECT, judged, migrated, plain, policy, verdict
from support.rows import CLUSTER, T0, at

from nomade_pipeline import clock
from nomade_pipeline.alerts.acts import ActError, acknowledge, resolve, silence
from nomade_pipeline.alerts.engine import Silence
from nomade_pipeline.alerts.outbox import opened
from nomade_pipeline.alerts.routes import Routes
from nomade_pipeline.alerts.tick import Memory, Settled, settle
from nomade_pipeline.alerts.verdict import FINE
from nomade_pipeline.config.settings import RetentionSettings
from nomade_pipeline.forgetting import forget
from nomade_pipeline.retention import apply
from nomade_pipeline.store.alerts import OutboxStore
from nomade_pipeline.store.home import Store

KEY = (RULE, CLUSTER, SUBJECT)
POLICIES = {RULE: policy(clear_for_seconds=0)}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database; each test works on a copy."""
    return migrated(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def store(empty: Path, tmp_path: Path) -> Store:
    shutil.copy(empty, tmp_path)
    return Store.at(tmp_path)


def see(store: Store, minute: float, level: str, *, subject: str = SUBJECT, cluster: str = CLUSTER) -> Settled:
    found = judged(verdict(level, at(minute), subject=subject, cluster=cluster))
    return settle(store.alerts, POLICIES, [found], plain(), at(minute))


def rows(store: Store, table: str) -> list[dict[str, object]]:
    return store.rollups.rows(f"SELECT * FROM {table}")


def state_of(store: Store) -> object:
    return rows(store, "alerts")[0]["state"]


def test_an_acknowledgement_that_comes_during_a_tick_is_not_lost(store: Store) -> None:
    see(store, 0, "warning")
    done = threading.Event()

    def person() -> None:
        acknowledge(Store.at(store.paths.root).alerts, KEY, "ann", "looking", at(1))
        done.set()

    class Slow(Routes):
        """Routes that are asked in the midst of a tick, when the person comes."""

        def held_back(self, alert, now):
            thread.start()
            assert not done.wait(0.2), "the tick is one transaction"

    thread = threading.Thread(target=person)
    settle(store.alerts, POLICIES, [judged(verdict("warning", at(1)))], Slow(), at(1))
    thread.join()
    see(store, 2, "warning")
    assert state_of(store) == "acknowledged"


def test_what_a_person_did_is_in_the_history_with_name_and_comment(store: Store) -> None:
    see(store, 0, "warning")
    acknowledge(store.alerts, KEY, "ann", "looking", at(1))
    resolve(store.alerts, KEY, "bob", "mended", at(2))
    found = [(row["kind"], row["author"], row["reason"]) for row in rows(store, "alert_events") if row["author"]]
    assert found == [("acknowledged", "ann", "looking"), ("resolved", "bob", "mended")]
    assert rows(store, "alerts")[0]["reason"] == "by hand, bob: mended"


@pytest.mark.parametrize("act", [acknowledge, resolve])
def test_only_what_fires_can_be_acknowledged_or_resolved(store: Store, act) -> None:
    with pytest.raises(ActError, match="no alert disk_full/alpha/h:/data; `nomade alerts` lists"):
        act(store.alerts, KEY, "ann", "", at(0))
    see(store, 0, "warning")
    see(store, 1, FINE)
    with pytest.raises(ActError, match="is resolved"):
        act(store.alerts, KEY, "ann", "", at(2))


def test_a_silence_ends_when_it_is_ended_and_only_once(store: Store) -> None:
    made = silence(store.alerts, Silence(0, "*", "*", "*", at(60), "ann"), at(0))
    assert see(store, 1, "warning").decision.notices == ()
    assert store.alerts.end_silence(made.silence_id, at(2))
    assert not store.alerts.end_silence(made.silence_id, at(3))
    assert [notice.kind for notice in see(store, 3, "warning").decision.notices] == ["firing"]


def test_whoever_was_told_of_an_episode_and_nobody_else_hears_of_its_end(store: Store) -> None:
    see(store, 0, "warning")
    settle(store.alerts, POLICIES, [judged(verdict("critical", at(1)))], plain("mail"), at(1))
    settled = settle(store.alerts, POLICIES, [judged(verdict(FINE, at(2)))], plain("desk", "mail", "new"), at(2))
    assert [message.target for message in settled.messages] == ["desk", "mail"]


def test_the_all_clear_of_what_a_person_ended_is_given_however_long_no_tick_ran(store: Store) -> None:
    see(store, 0, "warning")
    resolve(store.alerts, KEY, "ann", "", at(1))
    settled = settle(store.alerts, POLICIES, [], plain(), at(10_000))
    assert [notice.kind for notice in settled.decision.notices] == ["resolved"]


def test_how_often_an_alert_has_flapped_survives_restarts(store: Store) -> None:
    policies = {RULE: policy(clear_for_seconds=0, flap_limit=3)}
    for minute, level in enumerate(["warning", FINE, "warning", FINE, "warning"]):
        found = [judged(verdict(level, at(minute)))]
        settled = settle(Store.at(store.paths.root).alerts, policies, found, plain(), at(minute))
    assert [notice.kind for notice in settled.decision.notices] == ["flapping"]


def test_an_old_alert_that_fires_again_has_a_new_number(store: Store) -> None:
    see(store, 0, "warning")
    see(store, 1, FINE)
    (alert,) = see(store, 10_000, "warning").decision.changed
    assert alert.episode == 2


def test_the_memory_of_the_rules_is_kept_read_and_forgotten(store: Store) -> None:
    bins = [
        {"table_name": "disk", "column_name": "used_bytes", "cluster": CLUSTER, "subject": "s", "value": minute}
        | {"bin_time": clock.to_text(at(minute))}
        for minute in (0.0, 1.0, 2.0)
    ]
    settle(store.alerts, {}, [], plain(), at(3), Memory(bins))
    place, other = (CLUSTER, "s"), (CLUSTER, "other")
    assert store.alerts.newest_bins("disk", "used_bytes", [place, other]) == {place: at(2).timestamp()}
    assert store.alerts.window("disk", "used_bytes", at(1), [place, other]) == {
        place: [(at(minute).timestamp(), minute) for minute in (1.0, 2.0)],
        other: [],
    }
    forget_it = {("disk", "used_bytes"): at(2)}
    settle(store.alerts, {}, [], plain(), at(4), Memory(forget=forget_it))
    assert len(store.alerts.window("disk", "used_bytes", T0, [place])[place]) == 1


# The outbox.


@pytest.fixture
def outbox(store: Store) -> OutboxStore:
    see(store, 0, "warning")
    return OutboxStore(store.rollups, lease_seconds=120)


def test_a_message_is_given_to_one_deliverer_at_a_time(outbox: OutboxStore) -> None:
    assert [row["target"] for row in outbox.take_due(at(0))] == ["desk"]
    assert outbox.take_due(at(1.9)) == []
    assert len(outbox.take_due(at(2))) == 1


def test_a_message_comes_out_as_it_went_in(store: Store, outbox: OutboxStore) -> None:
    (sent,) = see(store, 1, "critical").messages
    with opened(outbox) as box:
        assert box.due(at(1))[1] == sent


def test_what_a_deliverer_does_not_get_to_is_due_again_at_once(outbox: OutboxStore) -> None:
    with clock.set_to(at(0)), opened(outbox) as box:
        box.due(at(0))
    assert len(outbox.take_due(at(0))) == 1


def test_a_delivered_or_given_up_message_is_not_due_again_and_a_failed_one_when_its_time_has_come(
    store: Store, outbox: OutboxStore
) -> None:
    see(store, 1, "critical")
    with opened(outbox) as box:
        first, second = box.due(at(1))
        box.failed(first.message_id, at(1), "refused", at(5))
        box.delivered(second.message_id, at(1))
    assert outbox.take_due(at(4)) == []
    with opened(outbox) as box:
        (again,) = box.due(at(5))
        assert again.attempts == 1
        box.given_up(again.message_id, at(5), "gone")
    assert outbox.take_due(at(10_000)) == []
    assert sorted((row["attempts"], row["error"]) for row in rows(store, "alert_outbox")) == [(1, None), (2, "gone")]


def test_a_dry_run_is_kept_and_never_given_out_and_a_known_message_stays_as_it_is(store: Store) -> None:
    (message,) = see(store, 0, "warning").messages
    with opened(OutboxStore(store.rollups)) as box:
        box.add([replace(message, target="other"), replace(message, message_id="dry", dry_run=True)])
        assert [each.target for each in box.due(at(0))] == ["desk"]
    assert len(rows(store, "alert_outbox")) == 2


# What is kept.

DAYS = RetentionSettings(0, 0, 0, 0, 0, 0, 0, 0, 10)


def retain(store: Store, day: int) -> dict[str, int]:
    with clock.set_to(T0 + timedelta(days=day)):
        return apply(store, DAYS).rows


def test_alerts_that_are_over_go_and_open_ones_stay(store: Store) -> None:
    see(store, 0, "warning", subject="stays")
    see(store, 1, "warning")
    see(store, 2, FINE)
    see(store, 3, "warning", subject="newest")
    silence(store.alerts, Silence(0, "*", "*", "*", at(5), "ann"), at(4))
    with opened(OutboxStore(store.rollups)) as box:
        box.delivered(box.due(at(1))[0].message_id, at(1))
    assert retain(store, 9) == {}
    assert retain(store, 11) == {"alerts": 1, "alert_events": 4, "alert_outbox": 1, "alert_silences": 1}
    assert {row["subject"] for row in rows(store, "alerts")} == {"stays", "newest"}
    assert {row["episode"] for row in rows(store, "alert_events")} == {1, 3}


def test_the_number_of_the_newest_episode_is_never_given_again(store: Store) -> None:
    see(store, 0, "warning")
    see(store, 1, FINE)
    retain(store, 5000)
    assert rows(store, "alerts") == []
    (alert,) = see(store, 2, "warning").decision.changed
    assert alert.episode == 2


def test_a_forgotten_cluster_leaves_no_alert_and_no_message_of_its_own(store: Store) -> None:
    see(store, 0, "warning")
    see(store, 0, "warning", cluster="beta")
    forget(store, "beta")
    for table in ("alerts", "alert_events"):
        assert {row["cluster"] for row in rows(store, table)} == {CLUSTER}
    assert len(rows(store, "alert_outbox")) == 1
