"""The store under real processes: two writers, readers under publication, kill -9, full disks, no permission."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Callable, Iterator

import pytest
from support.needs import REPOSITORY
from support.rows import CLUSTER, DAY, HOST, T0, at, cpu_rows, frame_of, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.ingest.day import publish_day
from nomade_pipeline.ingest.rollup import roll_up_day
from nomade_pipeline.store.database import DatabaseError, migrate
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.lake import Lake, LakeError
from nomade_pipeline.store.spool import BadLine, SpoolError, SpoolWriter, decode_line, spool_files, whole_lines
from nomade_pipeline.tables.system import DISK, IOSTAT_CPU

ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}


def child(code: str, *arguments: object, **options) -> subprocess.Popen:
    """Start a Python process that runs ``code``; it can import the project and tests/support."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=ENVIRONMENT, cwd=REPOSITORY, **options)


def run(code: str, *arguments: object, **options) -> subprocess.CompletedProcess:
    with child(code, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options) as process:
        try:
            output, _ = process.communicate(timeout=120)
        finally:
            process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, output)


# Appends readings whose number of rows tells the writer and whose path tells the count, and says so afterwards.
WRITER = """
import os, sys
from pathlib import Path
from support.rows import T0, reading_of, data_of
from nomade_pipeline.store.spool import SpoolWriter
from nomade_pipeline.tables.system import DISK
writer = SpoolWriter(Path(sys.argv[1]), "alpha", "node1")
name, limit = sys.argv[2], int(sys.argv[3])
for count in range(limit):
    row = data_of(DISK, path=f"{name}-{count}", message="x" * 20000)
    writer.append([reading_of(DISK, T0, row)])
    os.write(1, f"{name}-{count}\\n".encode())
"""


def paths_in(root: Path) -> tuple[list[str], int]:
    """Return the paths of all readable readings of a spool, and the number of unreadable lines."""
    found, bad = [], 0
    for file in spool_files(root):
        for line in whole_lines(file.path.read_bytes()):
            try:
                found += decode_line(line).data["path"]
            except BadLine:
                bad += 1
    return found, bad


def test_two_writers_of_one_file_do_not_mix_their_lines(tmp_path):
    writers = [child(WRITER, tmp_path, name, 300, stdout=subprocess.DEVNULL) for name in ("one", "two")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    found, bad = paths_in(tmp_path)
    assert bad == 0
    assert sorted(found) == sorted(f"{name}-{count}" for name in ("one", "two") for count in range(300))
    for name in ("one", "two"):
        assert [path for path in found if path.startswith(name)] == [f"{name}-{count}" for count in range(300)]


def test_a_writer_killed_at_any_moment_loses_and_doubles_nothing_it_had_acknowledged(tmp_path):
    draw, acknowledged = random.Random(1), []
    for attempt in range(25):
        with child(WRITER, tmp_path, f"round{attempt}", 10**6, stdout=subprocess.PIPE) as writer:
            first = writer.stdout.readline()
            time.sleep(draw.uniform(0, 0.03))
            writer.send_signal(signal.SIGKILL)
            acknowledged += [line for line in (first + writer.stdout.read()).decode().split("\n")[:-1] if line]
    spool(tmp_path, reading_of(DISK, T0))
    found, bad = paths_in(tmp_path)
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    # Of each killed writer at most the one reading is there that it could not acknowledge any more.
    assert len(found) - 1 <= len(acknowledged) + 25
    assert bad <= 25
    assert len(acknowledged) > 100


@contextlib.contextmanager
def small_disk(kilobytes: int) -> Iterator[Path]:
    """Mount a file system of a few kilobytes; skip where that is not allowed."""
    folder = Path(tempfile.mkdtemp(prefix="nomade-small-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("mounting a small tmpfs is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def fill_up(write: Callable[[int], object], expected: type[Exception]) -> tuple[int, Exception]:
    """Write until it fails; return how often it went well, and the error."""
    for number in range(10_000):
        try:
            write(number)
        except expected as error:
            return number, error
    pytest.fail("the disk did not fill up")


def test_a_full_disk_leaves_nothing_half_written_in_the_spool_and_it_goes_on_afterwards():
    with small_disk(64) as disk:
        filler = disk / "filler"
        filler.write_bytes(b"x" * 16384)
        stored, error = fill_up(lambda number: spool(disk, reading_of(IOSTAT_CPU, T0)), SpoolError)
        assert error.category == "storage"
        assert str(disk) in str(error)
        (file,) = spool_files(disk)
        content = file.path.read_bytes()
        assert content.endswith(b"\n")
        assert len([decode_line(line) for line in whole_lines(content)]) == stored
        filler.unlink()
        spool(disk, reading_of(IOSTAT_CPU, T0))
        assert len([decode_line(line) for line in whole_lines(file.path.read_bytes())]) == stored + 1


def test_a_full_disk_keeps_what_the_lake_had():
    with small_disk(256) as disk:
        lake = Lake(disk)

        def publish(number: int) -> None:
            day = DAY + timedelta(days=number // 24)
            moment = clock.start_of(day) + timedelta(hours=number % 24)
            lake.publish(IOSTAT_CPU, CLUSTER, day, frame_of(IOSTAT_CPU, cpu_rows([0], sample_time=moment)))

        published, error = fill_up(publish, LakeError)
        assert "cannot write" in str(error)
        assert published
        assert lake.read(IOSTAT_CPU, T0 - timedelta(days=1), T0 + timedelta(days=30)).height == published
        assert list((disk / ".staging").iterdir()) == []


AS_NOBODY = """
import os, sys, tempfile
from pathlib import Path
from support.rows import DAY, T0, cpu_rows, frame_of, reading_of, spool
from nomade_pipeline.store.database import DatabaseError, migrate, open_readonly
from nomade_pipeline.store.lake import Lake, LakeError
from nomade_pipeline.store.spool import SpoolError
from nomade_pipeline.tables.system import IOSTAT_CPU

def use_all(root):
    spool(root / "spool", reading_of(IOSTAT_CPU, T0))
    Lake(root / "lake").publish(IOSTAT_CPU, "alpha", DAY, frame_of(IOSTAT_CPU, cpu_rows([1])))
    Lake(root / "lake").count(IOSTAT_CPU, "alpha", DAY)
    migrate(root / "nomade.db")

# Nobody may not read the interpreter's own folder, so everything is imported before becoming nobody.
with tempfile.TemporaryDirectory() as scratch:
    use_all(Path(scratch))
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
root = Path(sys.argv[1])
try:
    spool(root / "spool", reading_of(IOSTAT_CPU, T0))
except SpoolError as error:
    print(error.category, error)
try:
    Lake(root / "lake").publish(IOSTAT_CPU, "alpha", DAY, frame_of(IOSTAT_CPU, cpu_rows([1])))
except LakeError as error:
    print("lake", error)
try:
    migrate(root / "nomade.db")
except DatabaseError as error:
    print("database", error)
print(Lake(root / "lake").read(IOSTAT_CPU, T0, T0.replace(hour=23)).height, "rows read")
QUERY = "SELECT count(*) FROM ledger"
print(open_readonly(root / "nomade.db").execute(QUERY).fetchone()[0], "ledger rows read")
print("alone", flush=True)
sys.stdin.readline()
print(open_readonly(root / "nomade.db").execute(QUERY).fetchone()[0], "ledger rows read beside a writer")
"""


@pytest.mark.needs("root")
def test_a_user_without_permission_is_told_so_and_may_still_read():
    root = Path(tempfile.mkdtemp(prefix="nomade-permission-"))
    root.chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    try:
        with clock.set_to(at(60)):
            store = Store.at(root)
            spool(store.spool, reading_of(IOSTAT_CPU, T0))
            publish_day(store, IOSTAT_CPU, DAY)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with child(AS_NOBODY, root, **pipes) as user:
            alone = "".join(iter(user.stdout.readline, "alone\n"))
            with store.rollups.engine.connect() as writer:
                writer.exec_driver_sql("SELECT 1 FROM ledger")
                output, _ = user.communicate("go on\n", timeout=60)
    finally:
        shutil.rmtree(root)
    lines = [*alone.splitlines(), *output.splitlines()]
    assert user.returncode == 0, lines
    assert lines[0].startswith("permission cannot write")
    assert "Permission denied" in lines[0]
    assert lines[1].startswith(f"lake cannot write {root}/lake")
    assert lines[2].startswith(f"database {root}/nomade.db: attempt to write a readonly database")
    assert lines[3:] == ["1 rows read", "0 ledger rows read", "0 ledger rows read beside a writer"]


@pytest.mark.needs("root")
def test_a_folder_mounted_read_only_is_a_matter_of_permission():
    with small_disk(64) as disk:
        spool(disk / "spool", reading_of(IOSTAT_CPU, T0))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(SpoolError, match="Read-only file system") as caught:
            spool(disk / "spool", reading_of(IOSTAT_CPU, T0))
        assert caught.value.category == "permission"
        with pytest.raises(LakeError, match="Read-only file system"):
            Lake(disk / "lake").publish(IOSTAT_CPU, CLUSTER, DAY, frame_of(IOSTAT_CPU, cpu_rows([1])))
        with pytest.raises(DatabaseError, match=f"{disk}/nomade.db: "):
            migrate(disk / "nomade.db")


# Reads all that there is again and again, and says how much it saw; a row too many or too few is an error.
READER = """
import os, sys
from datetime import timedelta
from pathlib import Path
from support.rows import T0
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.system import IOSTAT_CPU
root, stop = Path(sys.argv[1]), Path(sys.argv[2])
lake, seen, reads = Lake(root), 0, 0
print("ready", flush=True)
while not stop.exists():
    rows = lake.read(IOSTAT_CPU, T0 - timedelta(days=1), T0 + timedelta(days=3))
    counted = sum(lake.count(IOSTAT_CPU, "alpha", day) for day in lake.days(IOSTAT_CPU, "alpha"))
    assert rows.height >= seen, f"{seen} rows became {rows.height}"
    assert counted >= rows.height, f"{rows.height} rows read, then {counted} counted"
    assert not rows.select(IOSTAT_CPU.key).is_duplicated().any(), "a row was read twice"
    seen, reads = rows.height, reads + 1
print(reads, seen)
"""


def test_a_reader_under_continuous_publication_and_closing_sees_whole_snapshots_only(tmp_path):
    lake, stop = Lake(tmp_path / "lake"), tmp_path / "stop"
    lake.publish(IOSTAT_CPU, CLUSTER, DAY, frame_of(IOSTAT_CPU, cpu_rows([0])))
    with child(READER, tmp_path / "lake", stop, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as reader:
        assert reader.stdout.readline() == "ready\n"
        end, written = time.monotonic() + 6, 1
        while time.monotonic() < end:
            day = DAY + timedelta(days=written // 40)
            for minute in range(20):
                rows = cpu_rows(
                    [20 * written + minute + 0.5], sample_time=at(minute + written % 40 * 20, clock.start_of(day))
                )
                lake.publish(IOSTAT_CPU, CLUSTER, day, frame_of(IOSTAT_CPU, rows))
                if minute == 10:
                    lake.close_day(IOSTAT_CPU, CLUSTER, day)
            written += 1
            if written >= 100:
                break
        stop.touch()
        output, _ = reader.communicate(timeout=60)
    assert reader.returncode == 0, output
    reads, seen = map(int, output.split())
    assert reads >= 20
    assert seen > 1


# Stops between the two renames of a swap until the reader has listed the days, or a second has passed.
SLOW_SWAP = """
import sys, time
from pathlib import Path
from support.rows import CLUSTER, DAY, cpu_rows, frame_of
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.system import IOSTAT_CPU
lake, between, listed = Lake(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])

def hook(event, arguments):
    if event == "os.rename" and ".staging" in str(arguments[0]) and str(arguments[1]).endswith(DAY.isoformat()):
        between.touch()
        end = time.monotonic() + 1
        while not listed.exists() and time.monotonic() < end:
            time.sleep(0.001)

sys.addaudithook(hook)
lake.publish(IOSTAT_CPU, CLUSTER, DAY, frame_of(IOSTAT_CPU, cpu_rows([2])))
"""

# Reads while the swap stands still, and gives it time to end between listing the days and the trash.
SLOW_READER = """
import sys, time
from datetime import timedelta
from pathlib import Path
from support.rows import T0
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.system import IOSTAT_CPU
lake, between, listed = Lake(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
lake.read(IOSTAT_CPU, T0, T0 + timedelta(days=1))

def hook(event, arguments):
    if event == "os.listdir" and str(arguments[0]).endswith(".trash"):
        listed.touch()
        time.sleep(0.3)

sys.addaudithook(hook)
print("ready", flush=True)
while not between.exists():
    time.sleep(0.001)
print(lake.read(IOSTAT_CPU, T0, T0 + timedelta(days=1)).height)
"""


def test_a_reader_that_comes_between_the_two_renames_of_a_swap_sees_the_day(tmp_path):
    lake, signals = Lake(tmp_path / "lake"), (tmp_path / "between", tmp_path / "listed")
    lake.publish(IOSTAT_CPU, CLUSTER, DAY, frame_of(IOSTAT_CPU, cpu_rows([0, 1])))
    lake.close_day(IOSTAT_CPU, CLUSTER, DAY)
    with child(SLOW_READER, lake.root, *signals, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout.readline() == "ready\n"
        assert run(SLOW_SWAP, lake.root, *signals).returncode == 0
        assert reader.communicate(timeout=30)[0] in ("2\n", "3\n")
    assert signals[0].exists()


# Runs a publication in forked processes; each is killed before another of its changes to the file system.
CRASHER = """
import os, sys
from pathlib import Path
from support.crashes import crash_everywhere, die
# Imported once, before forking; none of them starts threads by being imported.
import alembic.command, orjson, polars, pyarrow.compute, pyarrow.parquet, sqlalchemy.dialects.sqlite

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "fcntl.flock", "open"}

def die_before(step):
    count = 0
    def hook(event, arguments):
        nonlocal count
        if event in CHANGES and (event != "open" or isinstance(arguments[2], int) and arguments[2] & os.O_CREAT):
            count += 1
            if count == step:
                die()
    sys.addaudithook(hook)

def crash(prepare, action, verify):
    print(crash_everywhere(Path(sys.argv[1]), prepare, action, verify, die_before), "crashes")
"""

CRASHED_SWAP = """
from datetime import timedelta
from support.rows import CLUSTER, DAY, T0, cpu_rows, frame_of
from nomade_pipeline import clock
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.system import IOSTAT_CPU

closed = sys.argv[2] == "closed"

def rows_of(root):
    return Lake(root).read(IOSTAT_CPU, T0 - timedelta(days=1), T0 + timedelta(days=1)).height

def prepare(root):
    Lake(root).publish(IOSTAT_CPU, CLUSTER, DAY, frame_of(IOSTAT_CPU, cpu_rows([1, 61])))
    if closed:
        Lake(root).close_day(IOSTAT_CPU, CLUSTER, DAY)

def action(root):
    if closed:
        Lake(root).publish(IOSTAT_CPU, CLUSTER, DAY, frame_of(IOSTAT_CPU, cpu_rows([2])))
    else:
        Lake(root).close_day(IOSTAT_CPU, CLUSTER, DAY)

def verify(root):
    wanted = (2, 3) if closed else (2,)
    assert rows_of(root) in wanted, f"{rows_of(root)} rows before the recovery"
    with clock.set_to(clock.now() + timedelta(hours=2)):
        Lake(root).recover()
    assert rows_of(root) in wanted, f"{rows_of(root)} rows after the recovery"
    for place in (".trash", ".staging"):
        assert not (root / place).exists() or not list((root / place).iterdir()), place
    action(root)
    assert rows_of(root) == wanted[-1]
    assert Lake(root).is_closed(IOSTAT_CPU, CLUSTER, DAY)

crash(prepare, action, verify)
"""


@pytest.mark.parametrize("day", ["open", "closed"])
def test_a_publication_killed_at_any_step_loses_nothing(tmp_path, day):
    done = run(CRASHER + CRASHED_SWAP, tmp_path, day)
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split()[0]) >= 8


CRASHED_INGEST = """
from support.rows import DAY, at, reading_of, spool
from nomade_pipeline import clock
from nomade_pipeline.ingest.day import publish_day
from nomade_pipeline.ingest.rollup import roll_up_day
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.system import IOSTAT_CPU

# Between two of these lies one step of the ingest: a published file, or one transaction.
CHANGES = {"os.rename", "sqlite3.connect"}
TABLES = ("series", "hourly_rollup", "daily_rollup", "latest", "ingested_files", "lake_hours")

def prepare(root):
    file = spool(root / "spool", *(reading_of(IOSTAT_CPU, at(minute)) for minute in (1, 2, 61)))
    with file.open("ab") as end:
        end.write(b"garbage\\n")

def action(root):
    with clock.set_to(at(120)):
        store = Store.at(root)
        publish_day(store, IOSTAT_CPU, DAY)
        roll_up_day(store, DAY)

def state(root):
    store = Store.at(root)
    books = [sorted(map(str, store.rollups.rows(f"SELECT * FROM {table}"))) for table in TABLES]
    files = [(path.name, path.read_bytes()) for path in sorted((root / "lake" / "raw").rglob("*.parquet"))]
    return books, files, [entry for _, entry in store.quarantine.entries()]

def verify(root):
    action(root)
    undisturbed = root.parent / "undisturbed"
    if not undisturbed.exists():
        prepare(undisturbed)
        action(undisturbed)
    assert state(root) == state(undisturbed)

crash(prepare, action, verify)
"""


def test_an_ingest_killed_at_any_step_is_finished_by_the_next_one(tmp_path):
    done = run(CRASHER + CRASHED_INGEST, tmp_path)
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split()[0]) >= 15


INGESTER = """
import sys
from datetime import timedelta
from pathlib import Path
from support.rows import DAY, at
from nomade_pipeline import clock
from nomade_pipeline.ingest.day import publish_day
from nomade_pipeline.ingest.rollup import roll_up_day
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.system import IOSTAT_CPU
store = Store.at(Path(sys.argv[1]))
with clock.set_to(at(600)):
    for _ in range(4):
        publish_day(store, IOSTAT_CPU, DAY, everything=True)
        roll_up_day(store, DAY, everything=True)
"""


def test_two_ingests_at_the_same_time_give_the_rollups_of_one(tmp_path):
    roots = [tmp_path / "both", tmp_path / "one"]
    for root in roots:
        spool(root / "spool", *(reading_of(IOSTAT_CPU, at(10 * step)) for step in range(30)))
    both = [child(INGESTER, roots[0], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    with clock.set_to(at(600)):
        publish_day(Store.at(roots[1]), IOSTAT_CPU, DAY)
        roll_up_day(Store.at(roots[1]), DAY)
    query = "SELECT * FROM hourly ORDER BY host, metric, hour", "SELECT * FROM daily ORDER BY host, metric"
    found = [[Store.at(root).rollups.rows(each) for each in query] for root in roots]
    assert found[0] == found[1]
    assert len(found[0][1]) == 4


def test_several_processes_may_create_the_database_at_the_same_time(tmp_path):
    code = (
        "import sys; from pathlib import Path; from nomade_pipeline.store.database import migrate\n"
        "migrate(Path(sys.argv[1]))"
    )
    creators = [child(code, tmp_path / "nomade.db", stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for creator in creators:
        _, errors = creator.communicate(timeout=60)
        assert creator.returncode == 0, errors


def test_a_line_of_the_spool_is_what_json_says_it_is(tmp_path):
    """The format is documented for others: one JSON object a line, readable with any JSON library."""
    file = spool(tmp_path, reading_of(IOSTAT_CPU, T0))
    (line,) = file.read_text(encoding="ascii").splitlines()
    content = json.loads(line)
    assert (content["v"], content["table"], content["host"], content["rows"]) == (1, "iostat_cpu", HOST, 1)
    assert SpoolWriter(tmp_path, CLUSTER, HOST).path_for(reading_of(IOSTAT_CPU, T0)) == file
