"""From the queue of the hooks to the spool: final rows, what the monitor knew, hostile files, and what is kept back."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from nomade_pipeline.agent import hooks
from nomade_pipeline.agent.hooks import deliver
from nomade_pipeline.store.spool import SpoolError

CONTEXT = {
    "job_id": "77",
    "node": "n1",
    "uid": str(os.geteuid()),
    "user": "alice",
    "account": "physics",
    "partition": "batch",
    "cpus": "2(x2),4",
    "nodes": "n[1-3]",
    "restarts": "0",
}


@pytest.fixture(autouse=True)
def _no_alarm():
    yield
    signal.alarm(0)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    (folder / "queue").mkdir(parents=True)
    return folder


def leave(run, hook="epilog", name="77.n1.1", end="1", age=0.0, **values):
    """Leave what a hook leaves; return the file."""
    lines = {"hook": hook, **CONTEXT, **values, "end": end}
    path = run / "queue" / name
    path.write_text("".join(f"{key}={value}\n" for key, value in lines.items() if value is not None))
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path


def leave_task(run, text):
    folder = run / "jobs" / "77.n1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "last").write_text(text)
    return folder


def rows(agents, tmp_path):
    return agents.spooled(tmp_path / "data", "job_monitor")


def deliver_in(agents, tmp_path, run):
    return deliver(run, agents.config_in(tmp_path / "data"))


def test_a_prolog_tells_that_a_job_begins(agents, tmp_path, run):
    leave(run, "prolog", age=5.0)
    assert deliver_in(agents, tmp_path, run) == 1
    (row,) = rows(agents, tmp_path)
    assert (row["found_by"], row["is_final"], row["job_id_raw"], row["node"]) == ("prolog", False, "77", "n1")
    assert (row["user"], row["account"], row["partition"], row["cpus"]) == ("alice", "physics", "batch", 2)
    assert row["cpu_seconds"] is None
    assert list((run / "queue").iterdir()) == []


def test_an_epilog_tells_the_last_readings_of_the_cgroup(agents, tmp_path, run):
    folder = leave_task(run, "hook=task\nmemory_peak_bytes=900\ncpu_nanoseconds=2500000000\noom_kills=1\nend=1\n")
    leave(run, exit="3:9", memory_limit_bytes="1000")
    deliver_in(agents, tmp_path, run)
    (row,) = rows(agents, tmp_path)
    assert (row["is_final"], row["exit_code"], row["exit_signal"]) == (True, 3, 9)
    assert (row["cpu_seconds"], row["memory_peak_bytes"], row["memory_limit_bytes"], row["oom_kills"]) == (
        2.5,
        900,
        1000,
        1,
    )
    assert not folder.exists()


def test_the_time_is_the_hooks_and_not_the_deliverys(agents, tmp_path, run):
    path = leave(run, age=600.0)
    written = path.stat().st_mtime
    deliver_in(agents, tmp_path, run)
    (row,) = rows(agents, tmp_path)
    from nomade_pipeline import clock

    assert clock.from_text(row["sample_time"]).timestamp() == pytest.approx(written, abs=0.01)


def keep_state(agents, tmp_path, writer="agent", **values):
    row = {"job_id_raw": "77", "node": "n1", "user": "alice", "start_time": "2026-03-05T10:00:00.000Z", "restarts": 0}
    row |= {
        "found_by": "cgroup",
        "is_final": False,
        "processes": 4,
        "unread": 0,
        "memory_bytes": 5,
        "gpu_uuids": "GPU-1",
    }
    row |= {"cpu_seconds": 9.0, "memory_peak_bytes": 800, "write_bytes": 1234, "network_write_bytes": 1000}
    row |= {"gpu_util_percent": 50.0, **values}
    config = agents.config_in(tmp_path / "data")
    path = config.paths.agent_state("h", writer, "job_monitor")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"boot_id": "b", "jobs": [{"job": "77", "node": "n1", "row": row}]}))
    return path


@pytest.mark.parametrize("writer", ["agent", "monitor"])
def test_what_the_monitor_saw_is_in_the_final_row(agents, tmp_path, run, writer):
    keep_state(agents, tmp_path, writer)
    leave_task(run, "hook=task\nmemory_peak_bytes=900\ncpu_nanoseconds=2500000000\nend=1\n")
    leave(run)
    deliver_in(agents, tmp_path, run)
    (row,) = rows(agents, tmp_path)
    # Counters never fall: the larger of what the monitor and the cgroup told.
    assert (row["cpu_seconds"], row["memory_peak_bytes"]) == (9.0, 900)
    assert (row["write_bytes"], row["network_write_bytes"], row["gpu_uuids"]) == (1234, 1000, "GPU-1")
    assert (row["found_by"], row["is_final"], row["start_time"]) == ("epilog", True, "2026-03-05T10:00:00.000Z")
    # What describes a moment at which it still ran is not told.
    assert (row["processes"], row["memory_bytes"], row["gpu_util_percent"]) == (None, None, None)


def test_what_the_monitor_saw_of_the_run_before_a_requeue_is_not_told(agents, tmp_path, run):
    keep_state(agents, tmp_path, restarts=0)
    leave(run, restarts="1")
    deliver_in(agents, tmp_path, run)
    (row,) = rows(agents, tmp_path)
    assert (row["write_bytes"], row["restarts"]) == (None, 1)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"jobs": [{}]}', '{"jobs": [{"job": "77", "node": "n1", "row": {"start_time": 5}}]}']
)
def test_a_state_that_is_damaged_costs_only_itself(agents, tmp_path, run, text):
    keep_state(agents, tmp_path).write_text(text)
    leave(run)
    assert deliver_in(agents, tmp_path, run) == 1


# --- hostile files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"job_id": "7; x"},
        {"job_id": None},
        {"job_id": "../../etc"},
        {"node": "../../etc"},
        {"node": None},
        {"node": ".x"},
    ],
)
def test_a_file_that_names_no_job_is_given_up(agents, tmp_path, run, values):
    leave(run, **values)
    assert deliver_in(agents, tmp_path, run) == 0
    assert list((run / "queue").iterdir()) == []


def test_numbers_that_are_none_are_null(agents, tmp_path, run):
    leave(
        run,
        cpus="x(x9999999999",
        exit="?",
        restarts="-1",
        memory_peak_bytes="9" * 30,
        oom_kills="",
        cpu_nanoseconds="1e9",
    )
    leave_task(run, "hook=task\nmemory_limit_bytes=9223372036854771712\nmemory_peak_bytes=max\nend=1\n")
    deliver_in(agents, tmp_path, run)
    (row,) = rows(agents, tmp_path)
    for column in (
        "cpus",
        "exit_code",
        "restarts",
        "memory_peak_bytes",
        "oom_kills",
        "cpu_seconds",
        "memory_limit_bytes",
    ):
        assert row[column] is None, column


def test_a_users_folder_may_hold_anything(agents, tmp_path, run):
    """It belongs to the job's user; the delivery is root."""
    secret = tmp_path / "secret"
    secret.write_text("hook=task\nmemory_peak_bytes=666\nend=1\n")
    folder = leave_task(run, "")
    (folder / "last").unlink()
    (folder / "last").symlink_to(secret)
    (folder / "out").symlink_to(tmp_path)
    leave(run)
    deliver_in(agents, tmp_path, run)
    (row,) = rows(agents, tmp_path)
    assert row["memory_peak_bytes"] is None
    assert secret.exists()
    assert not folder.exists()


def test_a_pipe_in_place_of_a_file_does_not_hang(agents, tmp_path, run):
    folder = leave_task(run, "")
    (folder / "last").unlink()
    os.mkfifo(folder / "last")
    os.mkfifo(run / "queue" / "pipe")
    leave(run)
    began = time.monotonic()
    assert deliver_in(agents, tmp_path, run) == 1
    assert time.monotonic() - began < 2


@pytest.mark.needs("root")
def test_a_task_file_of_another_user_is_not_believed(agents, tmp_path, run):
    folder = leave_task(run, "hook=task\nmemory_peak_bytes=666\nend=1\n")
    os.chown(folder / "last", 65534, 65534)
    leave(run)
    deliver_in(agents, tmp_path, run)
    assert rows(agents, tmp_path)[0]["memory_peak_bytes"] is None


def test_a_file_without_end_and_one_too_large_are_not_believed(agents, tmp_path, run):
    leave_task(run, "hook=task\nmemory_peak_bytes=1\nend=1\n" + "x" * hooks._LARGEST_BYTES)
    leave(run)
    deliver_in(agents, tmp_path, run)
    assert rows(agents, tmp_path)[0]["memory_peak_bytes"] is None


# --- what is kept back ------------------------------------------------------------------------------------


def test_a_torn_file_waits_a_minute_and_is_given_up(agents, tmp_path, run):
    path = leave(run, end="")
    deliver_in(agents, tmp_path, run)
    assert path.exists()
    leave(run, end="", age=hooks._TORN_SECONDS + 5)
    deliver_in(agents, tmp_path, run)
    assert not path.exists()
    assert rows(agents, tmp_path) == []


def test_what_cannot_be_stored_waits_for_the_next_hook(agents, tmp_path, run):
    path = leave(run)
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(SpoolError):
        deliver_in(agents, tmp_path, run)
    assert path.exists()
    (tmp_path / "data").unlink()
    assert deliver_in(agents, tmp_path, run) == 1


def test_what_cannot_be_stored_for_a_day_is_given_up(agents, tmp_path, run):
    path = leave(run, age=hooks._OLD_SECONDS + 60)
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(SpoolError):
        deliver_in(agents, tmp_path, run)
    assert not path.exists()


def test_two_deliveries_store_nothing_twice(agents, tmp_path, run):
    for number in range(30):
        leave(run, name=f"77.n1.{number}", job_id=str(number + 1))
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                deliver_in(agents, tmp_path, run)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert sorted(int(row["job_id_raw"]) for row in rows(agents, tmp_path)) == list(range(1, 31))


def test_a_delivery_that_waits_too_long_leaves_it_to_the_other(agents, tmp_path, run, monkeypatch):
    monkeypatch.setattr(hooks, "_LOCK_SECONDS", 0.1)
    path = leave(run)
    with hooks._locked(run / "lock") as is_ours:
        assert is_ours
        assert deliver_in(agents, tmp_path, run) == 0
    assert path.exists()


@pytest.mark.needs("root")
def test_what_root_stores_belongs_to_the_owner_of_the_data_folder(agents, tmp_path, run):
    """Else an agent without privileges could no longer write there."""
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 65534, 65534)
    for folder in (tmp_path, *tmp_path.parents):
        if len(folder.parts) > 2:
            folder.chmod(0o755)
    leave(run)
    deliver_in(agents, tmp_path, run)
    assert {path.stat().st_uid for path in data.rglob("*")} == {65534}
    assert os.geteuid() == 0
