"""A tick and a delivery killed between any two statements: nothing is lost, and at most one message comes twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.needs import REPOSITORY

# The tick begins an alert, ends one and repeats one; the target writes down what it accepts.
CRASHED_TICK = """
import os, sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
import alembic.command, sqlalchemy as sa, sqlalchemy.dialects.sqlite
from support.alerts import RULE, judged, plain, policy, verdict
from support.crashes import crash_everywhere, die
from support.rows import CLUSTER, at
from nomade_pipeline import clock
from nomade_pipeline.alerts.outbox import opened
from nomade_pipeline.alerts.tick import Memory, settle
from nomade_pipeline.store.alerts import AlertStore, OutboxStore
from nomade_pipeline.store.rollups import Rollups

POLICIES = {RULE: policy(clear_for_seconds=0, repeat_seconds=600, escalate_seconds=0)}
step_of = None

def die_before(step):
    global step_of
    count = 0
    def step_of(*_about):
        nonlocal count
        count += 1
        if count == step:
            die()
    for name in ("before_cursor_execute", "commit", "rollback"):
        sa.event.listen(sa.Engine, name, step_of)

def tick(root, minute, **levels):
    store = AlertStore(Rollups(root / "db"))
    bin = {"table_name": "t", "column_name": "c", "cluster": CLUSTER, "subject": "", "value": 1.0}
    bin["bin_time"] = clock.to_text(at(minute))
    verdicts = [verdict(level, at(minute), subject=subject) for subject, level in levels.items()]
    memory = Memory([bin], {("t", "c"): at(minute - 1)})
    settle(store, POLICIES, [judged(*verdicts)], plain("desk", "mail"), at(minute), memory)

def deliver(root, minute):
    accepted = os.open(root / "accepted", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with opened(OutboxStore(Rollups(root / "db"))) as outbox:
        for message in outbox.due(at(minute)):
            if step_of: step_of()
            os.write(accepted, f"{message.message_id} {message.target}\\n".encode())
            if step_of: step_of()
            outbox.delivered(message.message_id, at(minute))

def prepare(root):
    tick(root, 0, ends="warning", lasts="warning")
    deliver(root, 0)

def action(root):
    tick(root, 10, begins="critical", ends="fine", lasts="warning")
    deliver(root, 10)

def verify(root):
    tick(root, 15, begins="critical", ends="fine", lasts="warning")
    deliver(root, 15)
    rollups = Rollups(root / "db")
    told = rollups.rows("SELECT episode, reason FROM alert_events WHERE kind = 'told'")
    assert sorted(tuple(row.values()) for row in told) == TOLD, told
    lines = (root / "accepted").read_text().splitlines()
    sent = {row["message_id"]: row for row in rollups.rows("SELECT * FROM alert_outbox")}
    assert {line.rpartition(" ")[0] for line in lines} == set(sent), "everything arrived"
    assert len(lines) - len(set(lines)) <= 1, "at most one came twice"
    assert all(row["delivered_time"] for row in sent.values())
    kinds = Counter(row["kind"] for row in rollups.rows("SELECT kind FROM alert_events"))
    assert (kinds["fired"], kinds["resolved"]) == (3, 1)
    assert rollups.rows("SELECT bin_time FROM alert_window") == [{"bin_time": clock.to_text(at(15))}]

TOLD = sorted([(1, "firing"), (2, "firing"), (1, "resolved"), (2, "repeated"), (3, "firing")])
print(crash_everywhere(Path(sys.argv[1]), prepare, action, verify, die_before))
"""


def test_a_tick_killed_between_any_two_statements_loses_nothing_and_doubles_at_most_one_message(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}
    command = [sys.executable, "-c", CRASHED_TICK, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) >= 20
