"""`nomade alerts` and its subcommands, on a database as ticks leave it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support.alerts import RULE, SUBJECT, judged, plain, policy, verdict
from support.installation import Ended, fill_spool, nomade
from support.rows import CLUSTER, T0, at

from nomade_pipeline import clock
from nomade_pipeline.alerts.outbox import opened
from nomade_pipeline.alerts.tick import settle
from nomade_pipeline.alerts.verdict import FINE
from nomade_pipeline.status.alerts import leads
from nomade_pipeline.store.alerts import OutboxStore
from nomade_pipeline.store.heartbeat import beat
from nomade_pipeline.store.home import Store

KEY = f"{RULE}/{CLUSTER}/{SUBJECT}"
POLICIES = {name: policy(rule=name, clear_for_seconds=0) for name in (RULE, "node-down")}


def see(root: Path, minute: float, level: str, **about: str) -> None:
    found = verdict(level, at(minute), **about)
    settle(Store.at(root).alerts, POLICIES, [judged(found, rule=found.rule)], plain(), at(minute))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warning that fires, a hostile one that is critical, and one that is over."""
    root = tmp_path_factory.mktemp("template")
    see(root, 0, "warning", subject="over")
    see(root, 4, FINE, subject="over")
    see(root, 10, "warning")
    see(root, 20, "critical", rule="node-down", subject="n\x1b[2J1", summary="n\x1b[2J1 is down")
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(template, tmp_path / "data"))


def run(root: Path, *arguments: str, minute: float = 30) -> Ended:
    with clock.set_to(at(minute)):
        return nomade("alerts", *arguments, root=root)


def episodes(ended: Ended) -> list[int]:
    return [row["episode"] for row in ended.json]


def test_the_list_shows_what_fires_and_what_has_and_no_name_steers_the_terminal(root: Path) -> None:
    shown = run(root).stdout
    assert "\x1b[2J" not in shown
    assert shown.index("node-down") < shown.index(SUBJECT) < shown.index("over")
    assert "resolved" in shown


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ((), [3, 2, 1]),
        (("--unresolved",), [3, 2]),
        (("--severity", "critical"), [3]),
        # What fires is shown however long it has.
        (("--since", "5m"), [3, 2]),
    ],
)
def test_the_list_is_narrowed_by_state_severity_and_time(
    root: Path, options: tuple[str, ...], numbers: list[int]
) -> None:
    assert episodes(run(root, "--json", *options)) == numbers


def test_the_exit_code_says_whether_anything_is_in_the_list(root: Path) -> None:
    assert run(root, "--unresolved").status == 0
    assert run(root, "--unresolved", "--exit-code").status == 1
    assert run(root, "--severity", "critical", "--exit-code").status == 1
    assert run(root, "resolve", "2", "3").status == 0
    assert run(root, "--unresolved", "--exit-code").status == 0


def test_an_installation_that_was_never_evaluated_has_no_data(tmp_path: Path) -> None:
    ended = run(tmp_path / "none")
    assert ended.status == 3
    assert "nomade up" in ended.stderr


def test_a_database_of_an_older_version_is_told_so(tmp_path: Path) -> None:
    import alembic.command

    from nomade_pipeline.store import database

    path = Store.at(tmp_path).paths.database
    alembic.command.upgrade(database._alembic_config(path), "0002")
    ended = run(tmp_path)
    assert ended.status == 3
    assert "nomade migrate" in ended.stderr


def test_an_acknowledgement_is_kept_with_name_and_comment_and_shown(root: Path) -> None:
    ended = run(root, "ack", "2", "--author", "ann", "--comment", "disk ordered")
    assert (ended.status, KEY in ended.stdout) == (0, True)
    shown = run(root, "show", KEY).stdout
    assert "acknowledged by ann" in shown
    assert "disk ordered" in shown
    (row,) = [row for row in run(root, "--json").json if row["episode"] == 2]
    assert (row["state"], row["acknowledged_by"], row["acknowledged_time"]) == (
        "acknowledged",
        "ann",
        clock.to_text(at(30)),
    )


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("ack", "99"), 3, "no episode 99"),
        (("ack", "no/such/alert"), 3, "no alert no/such/alert"),
        (("ack", "9" * 30), 3, "no alert 999"),
        (("ack", "1"), 1, "is resolved"),
        (("silence", "--for", "2h"), 2, "say which alerts"),
        (("silence", "--rule", "x", "--for", "soon"), 2, "write 30m, 2h"),
        (("silence", "--rule", "x", "--for", "0h"), 2, "write 30m, 2h"),
        (("silence", "--rule", "x", "--for", "99999999w"), 2, "write 30m, 2h"),
        (("unsilence", "7"), 2, "no silence 7 in force; there are none"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(root: Path, arguments: tuple[str, ...], status: int, said: str) -> None:
    ended = run(root, *arguments)
    assert ended.status == status
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_silence_is_made_listed_and_ended(root: Path) -> None:
    made = run(root, "silence", "--rule", "disk*", "--for", "2h", "--author", "ann", "--comment", "new disk")
    assert made.stdout.startswith("silence 1 until")
    assert "silences in force: 1" in run(root).stdout
    (row,) = run(root, "unsilence", "--json").json
    assert (row["ends_time"], row["author"], row["comment"]) == (clock.to_text(at(150)), "ann", "new disk")
    assert "new disk" in run(root, "unsilence").stdout
    assert run(root, "unsilence", "1").status == 0
    assert run(root, "unsilence", "--json").json == []


def test_show_tells_of_the_messages_and_what_became_of_them(root: Path) -> None:
    assert "tried 0 times" in run(root, "show", "2").stdout
    with opened(OutboxStore(Store.at(root).rollups)) as outbox:
        for message in outbox.due(at(30)):
            outbox.failed(message.message_id, at(30), "connection refused", at(40))
    assert "tried 1 times" in run(root, "show", "2").stdout
    assert "waiting for desk: 4 (connection refused" in run(root).stdout
    with opened(OutboxStore(Store.at(root).rollups)) as outbox:
        for message in outbox.due(at(40)):
            outbox.delivered(message.message_id, at(40))
    assert [message["delivered_time"] for message in run(root, "show", "2", "--json").json["messages"]] == [
        clock.to_text(at(40))
    ]


def test_statistics_tell_by_rule_what_was_sent_and_how_soon_somebody_answered(root: Path) -> None:
    run(root, "ack", "2", minute=15)
    with opened(OutboxStore(Store.at(root).rollups)) as outbox:
        for message in outbox.due(at(30)):
            outbox.delivered(message.message_id, at(30))
    disk, node = run(root, "stats", "--json").json
    assert disk == {
        "rule": RULE,
        "episodes": 2,
        "sent": 3,
        "untold": 0,
        "acknowledged": 1,
        "acknowledged_after_seconds": 300.0,
        "resolved_after_seconds": 240.0,
        "flapped": 0,
        "lead_seconds": None,
    }
    assert (node["rule"], node["sent"], node["acknowledged_after_seconds"]) == ("node-down", 1, None)
    assert "5 min" in run(root, "stats").stdout


def episode(subject: str, fired: float, ended: float | None = None) -> dict[str, str | None]:
    end = None if ended is None else clock.to_text(at(ended))
    return {"cluster": CLUSTER, "subject": subject, "fired_time": clock.to_text(at(fired)), "resolved_time": end}


def test_the_lead_time_is_from_the_early_alert_to_the_threshold_of_the_same_subject() -> None:
    early = [episode("a", 0), episode("b", 0, ended=5), episode("c", 20)]
    late = [episode("a", 60), episode("a", 30), episode("b", 10), episode("c", 10)]
    assert leads(early, late) == [1800.0]


def test_the_status_screen_shows_open_alerts_and_whether_they_are_evaluated(root: Path) -> None:
    fill_spool(root, minutes=1)
    with clock.set_to(at(30)):
        shown = nomade("status", root=root).stdout
        assert "never evaluated" in shown
        assert "disk_full: 91.5 % full" in shown
        assert "\x1b[2J" not in shown
        beat(root / "heartbeat.json", "h", T0)
        found = nomade("status", "--json", root=root).json["alerts"]
        assert [row["severity"] for row in found["open"]] == ["critical", "warning"]
        assert found["evaluated_age_seconds"] == timedelta(minutes=30).total_seconds()
        assert "last evaluated 30 min ago" in nomade("status", root=root).stdout
