"""The agent as a process: killed, starved, reconfigured, started twice, and built as one file."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nomade_pipeline.collectors.registry import COLLECTORS
from nomade_pipeline.store.spool import BadLine, decode_line, spool_files, whole_lines

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("fake_agent.py")


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def rows(data, table="disk"):
    """Return the readable rows of a spool; a line cut off by a kill is not one."""
    found = []
    for file in spool_files(data / "spool", table):
        for line in whole_lines(file.path.read_bytes()):
            with contextlib.suppress(BadLine):
                found.extend(decode_line(line).to_rows())
    return found


def paths(data):
    return [row["path"] for row in rows(data)]


def marks(folder):
    """Return the marks: monotonic time and path, in order."""
    text = (folder / "marks").read_text() if (folder / "marks").exists() else ""
    return [(float(time), path) for time, path in (line.split() for line in text.splitlines())]


def log(data):
    """Return the events of the agent's log."""
    file = data / "logs" / "agent-h.log"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def events(data):
    return [entry["event"] for entry in log(data)]


class Site:
    """A folder with a configuration, and the agents started in it."""

    def __init__(self, folder):
        self.folder, self.data = folder, folder / "data"
        self.data.mkdir(exist_ok=True)
        self.config = folder / "nomade.toml"
        self.started = []
        self.configure()

    def configure(self, text="", cluster="c"):
        new = self.folder / "nomade.new"
        new.write_text(f'[general]\ncluster_name = "{cluster}"\nhost = "h"\ndata_dir = "{self.data}"\n{text}')
        new.replace(self.config)

    def start(self, *arguments, program=PROGRAM, **options):
        given = arguments or (self.config, self.folder / "marks")
        process = subprocess.Popen(
            [sys.executable, *([program] if isinstance(program, Path) else program), *map(str, given)],
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            **options,
        )
        self.started.append(process)
        return process

    def stop(self, process):
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=15)
        return process.returncode, errors


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    for process in site.started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


def children_of(pid):
    """Return the running descendants of a process."""
    direct = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            direct += [int(child) for child in (task / "children").read_text().split()]
    return direct + [each for child in direct for each in children_of(child)]


def alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_kill_9_at_any_moment_loses_and_doubles_no_row(site):
    chance = random.Random(7)
    kills = []
    for _ in range(10):
        process = site.start()
        began = len(marks(site.folder))
        assert until(lambda began=began: len(marks(site.folder)) > began + 2)
        time.sleep(chance.uniform(0.3, 0.6))
        process.kill()
        process.wait(5)
        kills.append(time.monotonic())
    stored = paths(site.data)
    assert len(stored) == len(set(stored))
    # What a collector returned in the last moments before a kill may be lost; nothing before.
    due = [path for moment, path in marks(site.folder) if all(not 0 <= kill - moment < 0.25 for kill in kills)]
    assert len(due) > 20
    assert set(due) <= set(stored)


def test_a_clean_end_stores_everything_and_says_so(site):
    process = site.start()
    assert until(lambda: len(paths(site.data)) > 5)
    code, errors = site.stop(process)
    assert (code, errors) == (0, "")
    assert paths(site.data) == [path for _, path in marks(site.folder)]
    assert [row["rows"] for row in rows(site.data, "collection_log")] == [1] * len(paths(site.data))
    assert events(site.data)[0] == "the agent started"
    assert events(site.data)[-1] == "the agent stopped"


@contextlib.contextmanager
def mounted(folder, *options):
    subprocess.run(["mount", *options, str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.needs("root")
def test_a_full_disk_delays_rows_and_loses_none(site):
    with mounted(site.data, "-t", "tmpfs", "-o", "size=512k", "tmpfs"):
        process = site.start()
        assert until(lambda: len(paths(site.data)) > 5)
        filler = site.data / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            file.writelines(b"x" * 4096 for _ in range(1000))
        # The page that each spool file has begun takes some rows still.
        assert until(lambda: "readings wait in memory" in events(site.data) or len(marks(site.folder)) > 200, 20)
        time.sleep(1.0)
        stored, measured = len(paths(site.data)), len(marks(site.folder))
        assert measured > stored + 5
        filler.unlink()
        assert until(lambda: len(paths(site.data)) > measured)
        assert site.stop(process)[0] == 0
        assert paths(site.data) == [path for _, path in marks(site.folder)]
        log_rows = [row for row in rows(site.data, "collection_log") if row["collector"] == "disk"]
        assert len(log_rows) == len(marks(site.folder))
        assert "readings that waited are stored" in events(site.data)


@pytest.mark.needs("root")
def test_a_read_only_spool_delays_rows_and_loses_none(site):
    process = site.start()
    assert until(lambda: len(paths(site.data)) > 5)
    spool = site.data / "spool"
    with mounted(spool, "--bind", str(spool)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(spool)], check=True)
        assert until(lambda: "readings wait in memory" in events(site.data))
        stored = len(paths(site.data))
        count = len(marks(site.folder))
        assert until(lambda: len(marks(site.folder)) > count + 10)
        assert len(paths(site.data)) == stored
    assert until(lambda: len(paths(site.data)) > count + 10)
    assert site.stop(process)[0] == 0
    assert paths(site.data) == [path for _, path in marks(site.folder)]
    waits = [entry for entry in log(site.data) if entry["event"] == "readings wait in memory"]
    assert any("Read-only file system; check the owner" in entry["problem"] for entry in waits)
    assert len(waits) <= 3


@pytest.mark.needs("root")
def test_an_end_with_readings_that_could_not_be_stored_is_told_by_the_exit_status(site):
    process = site.start()
    assert until(lambda: len(paths(site.data)) > 2)
    spool = site.data / "spool"
    with mounted(spool, "--bind", str(spool)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(spool)], check=True)
        assert until(lambda: "readings wait in memory" in events(site.data))
        code, errors = site.stop(process)
    assert code == 1
    assert "the agent ends with readings that could not be stored" in errors


def test_a_data_folder_that_cannot_be_made_is_told_at_the_start(site):
    site.data.rmdir()
    site.data.write_text("a file in the way")
    process = site.start()
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert f"the spool cannot be written: [Errno 20] Not a directory: '{site.data}/spool'" in errors


def test_a_broken_configuration_keeps_the_old_settings_and_is_told(site):
    process = site.start()
    assert until(lambda: rows(site.data))
    site.configure("[collectors.disk]\nenabled = 3\n", cluster="broken")
    process.send_signal(signal.SIGHUP)
    assert until(lambda: any("enabled: expected true or false" in event for event in events(site.data)))
    count = len(rows(site.data))
    assert until(lambda: len(rows(site.data)) > count + 3)
    site.configure(cluster="mended")
    process.send_signal(signal.SIGHUP)
    assert until(lambda: rows(site.data)[-1]["cluster"] == "mended")
    assert site.stop(process)[0] == 0
    assert {row["cluster"] for row in rows(site.data)} == {"c", "mended"}


def test_a_changed_configuration_is_picked_up_without_a_signal(site):
    process = site.start()
    assert until(lambda: rows(site.data))
    site.configure(cluster="other")
    assert until(lambda: rows(site.data)[-1]["cluster"] == "other")
    site.configure("[collectors.disk]\nenabled = false\n", cluster="other")
    assert until(lambda: events(site.data).count("the configuration changed") == 2)
    time.sleep(0.3)
    count = len(marks(site.folder))
    time.sleep(0.5)
    assert len(marks(site.folder)) == count
    assert site.stop(process)[0] == 0


def test_a_broken_configuration_at_the_start_is_refused(site):
    site.configure("[collectors.disk]\ninterval = 0\n")
    process = site.start()
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 2
    assert "nomade.toml:6: [collectors.disk] interval: 0 is outside 1 to 86400" in errors


def test_an_unknown_key_does_not_stop_the_agent(site):
    site.configure("[collectors.disk]\nnew_in_version_9 = 1\n")
    process = site.start()
    assert until(lambda: rows(site.data))
    assert any("new_in_version_9: unknown key" in event for event in events(site.data))
    assert site.stop(process)[0] == 0


def test_a_second_agent_of_the_host_refuses_and_names_the_first(site):
    first = site.start()
    assert until(lambda: rows(site.data))
    second = site.start()
    _, errors = second.communicate(timeout=10)
    assert second.returncode == 2
    assert f"process {first.pid}" in errors
    assert first.poll() is None
    first.kill()
    first.wait(5)
    # The lock dies with its owner.
    third = site.start()
    count = len(rows(site.data))
    assert until(lambda: len(rows(site.data)) > count)
    assert site.stop(third)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_running_tools_with_their_children_in_less_than_two_seconds(site, number):
    process = site.start(site.config, site.folder / "marks", "60")
    assert until(lambda: len(children_of(process.pid)) == 3)
    tools = children_of(process.pid)
    began = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=10)
    assert time.monotonic() - began < 2.0
    assert process.returncode == 0
    assert until(lambda: not any(alive(tool) for tool in tools), 1)
    # An interrupted run is no failure.
    assert rows(site.data, "collection_log") == []


@pytest.mark.needs("sysstat", "procps")
def test_the_real_tools_run_for_the_interval_and_end_with_the_agent(site):
    process = site.start(
        "--interval", 60, "-C", "iostat,mpstat,vmstat", "--config", site.config,
        program=["-m", "nomade_pipeline.agent"], env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    # A tool that is started within half a second of the boundary measures until it.
    assert until(lambda: len(children_of(process.pid)) >= 3, 15)
    tools = children_of(process.pid)
    commands = {Path(f"/proc/{tool}/cmdline").read_bytes().split(b"\0")[0].decode().split("/")[-1] for tool in tools}
    assert {"iostat", "mpstat", "vmstat"} <= commands
    began = time.monotonic()
    assert site.stop(process)[0] == 0
    assert time.monotonic() - began < 2.0
    assert until(lambda: not any(alive(tool) for tool in tools), 1)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The agent as one file, built twice."""
    folder = tmp_path_factory.mktemp("archive")
    for name in ("nomade-agent.pyz", "again.pyz"):
        subprocess.run([sys.executable, REPOSITORY / "scripts" / "build_agent.py", folder / name], check=True)
    return folder / "nomade-agent.pyz"


def test_the_same_sources_give_the_same_file(archive):
    assert archive.read_bytes() == archive.with_name("again.pyz").read_bytes()
    assert archive.stat().st_mode & 0o111


def python39():
    """Return a Python 3.9 that runs; the shims of pyenv often do not."""
    candidates = [*sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9")), shutil.which("python3.9")]
    for candidate in filter(None, candidates):
        if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(candidate)
    return None


NAMES = [collector.name for collector in COLLECTORS]


def sample_once(interpreter, archive, folder):
    """Run the one file where nothing is installed, with a configuration; return what it printed."""
    config = folder / "nomade.toml"
    config.write_text('[general]\ncluster_name = "c"\nhost = "h"\n[collectors.gpu]\nenabled = false\n')
    command = [interpreter, "-I", "-S", archive, "--once", "--interval", "1", "--json"]
    done = subprocess.run(
        [*command, "--config", config, "--data-dir", folder / "data"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "find", [pytest.param(lambda: sys.executable, id="this Python"), pytest.param(python39, id="Python 3.9")]
)
def test_the_one_file_samples_a_host_with_nothing_installed(archive, tmp_path, find):
    interpreter = find() or pytest.skip("no Python 3.9 here")
    reports = sample_once(interpreter, archive, tmp_path)
    assert [report["collector"] for report in reports] == [name for name in NAMES if name != "gpu"]
    assert {report["outcome"] for report in reports} <= {"success", "skipped"}
    stored = rows(tmp_path / "data", "vmstat")
    assert [(row["cluster"], row["host"], row["source"][:7]) for row in stored] == [("c", "h", "manual-")]
    log_rows = rows(tmp_path / "data", "collection_log")
    assert {row["writer"] for row in log_rows} == {"manual"}
    assert len(log_rows) == len(reports)


def test_the_one_file_samples_continuously_on_python_3_9(archive, tmp_path):
    interpreter = python39() or pytest.skip("no Python 3.9 here")
    process = subprocess.Popen(
        [interpreter, "-I", "-S", archive, "--interval", "1", "-C", "disk,vmstat", "--data-dir", tmp_path],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "NOMADE_GENERAL__HOST": "h"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert until(lambda: len(rows(tmp_path, "vmstat")) >= 2 and len(rows(tmp_path)) >= 2)
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_an_unknown_collector_is_named_with_those_that_exist(archive):
    done = subprocess.run([sys.executable, archive, "-C", "dsik"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no collector dsik; there are disk, iostat" in done.stderr
