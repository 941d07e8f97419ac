"""disk: statfs in its own process, mounts, automount, hung paths, and recorded df."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from nomade_pipeline.collectors import disk
from nomade_pipeline.collectors.base import CollectorError
from nomade_pipeline.config.collector_settings import DiskSettings
from nomade_pipeline.probes import Interrupted, LiveProbe, TimedOut
from nomade_pipeline.replay import Recorded, ReplayProbe

MOUNTINFO = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 254:1 / /data rw,relatime - xfs /dev/vdb rw
31 27 254:1 /sub /bind rw,relatime - xfs /dev/vdb rw
32 27 0:40 / /run rw - tmpfs tmpfs rw,size=1k
33 27 0:41 / /net rw - autofs /etc/auto.net rw,fd=7
34 27 0:42 / /home rw - autofs auto.home rw,fd=7
35 34 0:43 / /home rw,relatime - nfs4 store01:/export/home rw,vers=4.2
36 27 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro
37 27 0:44 / /work\\040space ro,relatime - lustre 10.0.0.1@tcp:/fs rw
38 27 0:45 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
"""
FILES = {"/proc/self/mountinfo": MOUNTINFO, "/proc/sys/kernel/hostname": "Head01.Cluster.local\n"}
GIB = 2**30


def statfs(path, text="4096 1000 400 300 100 40\n", **about):
    return Recorded(("stat", "-f", disk.STATFS_FORMAT, "--", path), text, **{"seconds": 0.01, **about})


def readlink(path, target=None):
    return Recorded(("readlink", "-f", "--", path), (target or path) + "\n")


def collected(*commands, filesystems=(), files=None, timeout=5.0):
    probe = ReplayProbe(commands, {**FILES, **(files or {})})
    result = disk.collect(probe, DiskSettings(filesystems=filesystems, statfs_timeout=timeout), 60)
    return {row["path"]: row for row in result.readings[0].rows}, result, probe


def test_the_figures_are_those_of_df():
    """Trap 91: used / (used + available), reserved blocks and inodes beside bytes."""
    row = disk.statfs_figures("4096 1000 400 300 100 40\n")
    assert row["total_bytes"] == 1000 * 4096
    assert row["used_bytes"] == 600 * 4096
    assert row["free_bytes"] == 400 * 4096
    assert row["available_bytes"] == 300 * 4096
    assert row["used_percent"] == pytest.approx(100 * 600 / 900)
    assert (row["inodes_total"], row["inodes_used"], row["inodes_free"]) == (100, 60, 40)
    assert row["inodes_used_percent"] == pytest.approx(60.0)


def test_a_file_system_without_a_number_of_inodes_has_null_inodes():
    """Trap 91: btrfs."""
    row = disk.statfs_figures("4096 1000 400 300 0 0\n")
    assert row["inodes_total"] is None
    assert row["inodes_used"] is None
    assert row["inodes_used_percent"] is None


def test_a_file_system_of_size_zero_has_no_percentage():
    assert disk.statfs_figures("4096 0 0 0 0 0\n")["used_percent"] is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4096 1000",
        "4096 1000 400 18446744073709551000 100 40",
        "4096 10 20 5 1 1",
        "a b c d e f",
        "4096 9 1 1 5 6",
        "-1 2 3 4 5 6",
    ],
)
def test_figures_that_cannot_be_are_refused(text):
    with pytest.raises(ValueError, match="stat -f gave"):
        disk.statfs_figures(text)


def test_without_a_list_every_real_mount_is_read_once():
    """Trap 91: no pseudo file systems, no bind duplicates, no images; tmpfs only when asked for."""
    rows, _, _ = collected(statfs("/"), statfs("/data"), statfs("/home"), statfs("/work space"))
    assert sorted(rows) == ["/", "/data", "/home", "/work space"]
    assert {row["status"] for row in rows.values()} == {"ok"}


def test_identities_of_local_and_network_file_systems():
    rows, _, _ = collected(statfs("/"), statfs("/data"), statfs("/home"), statfs("/work space"))
    assert rows["/data"]["filesystem_id"] == "head01:/data"
    assert rows["/home"]["filesystem_id"] == "store01:/export/home"
    assert rows["/work space"]["filesystem_id"] == "10.0.0.1@tcp:/fs"
    assert rows["/work space"]["read_only"] is True
    assert rows["/data"]["read_only"] is False
    assert rows["/home"]["fstype"] == "nfs4"


def test_only_the_paths_of_the_configuration_are_read_and_tmpfs_is_one_of_them():
    rows, _, _ = collected(
        statfs("/run"), statfs("/data/deep"), readlink("/data/deep"), filesystems=("/run", "/data/deep")
    )
    assert rows["/run"]["fstype"] == "tmpfs"
    assert rows["/data/deep"]["mount"] == "/data"


def test_the_mount_behind_a_symbolic_link_is_named():
    rows, _, _ = collected(statfs("/scratch"), readlink("/scratch", "/work space/scratch"), filesystems=("/scratch",))
    assert rows["/scratch"]["mount"] == "/work space"
    assert rows["/scratch"]["filesystem_id"] == "10.0.0.1@tcp:/fs"


def test_an_absent_path_is_a_reading():
    said = "stat: cannot read file system information for '/gone': No such file or directory\n"
    rows, _, _ = collected(readlink("/gone"), statfs("/gone", "", stderr=said, returncode=1), filesystems=("/gone",))
    assert rows["/gone"]["status"] == "absent"
    assert rows["/gone"]["mount"] is None
    assert rows["/gone"]["used_bytes"] is None
    assert "No such file" in rows["/gone"]["message"]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("Permission denied", "denied"),
        ("Stale file handle", "error"),
        ("Transport endpoint is not connected", "error"),
        ("Not a directory", "absent"),
    ],
)
def test_what_stat_says_decides_the_status(said, status):
    rows, _, _ = collected(statfs("/home", "", stderr=f"stat: '/home': {said}\n", returncode=1), filesystems=("/home",))
    assert rows["/home"]["status"] == status
    assert said in rows["/home"]["message"]


def test_an_automount_point_is_never_touched():
    """Trap 92."""
    rows, _, probe = collected(statfs("/home"), filesystems=("/net/server/export", "/net", "/home"))
    assert rows["/net/server/export"]["status"] == "automount"
    assert rows["/net"]["status"] == "automount"
    assert rows["/home"]["status"] == "ok", "a mounted automount point is a file system like others"
    assert not any("/net" in word for words in probe.asked for word in words if words[0] == "stat")


def test_a_link_into_an_automount_point_is_not_measured():
    """Trap 92."""
    rows, _, probe = collected(readlink("/proj", "/net/server/proj"), statfs("/"), filesystems=("/proj",))
    assert rows["/proj"]["status"] == "automount"
    assert [words[0] for words in probe.asked] == ["readlink"]


def test_a_time_out_of_the_probe_is_a_hung_file_system():
    """Trap 92."""
    rows, _, _ = collected(
        statfs("/home", error=TimedOut("stat did not answer within 5 s")),
        statfs("/data"),
        filesystems=("/home", "/data"),
    )
    assert rows["/home"]["status"] == "hung"
    assert rows["/home"]["filesystem_id"] == "store01:/export/home"
    assert rows["/home"]["used_percent"] is None
    assert rows["/data"]["status"] == "ok"


def test_stopping_the_agent_ends_the_collector():
    with pytest.raises(Interrupted):
        collected(statfs("/data", error=Interrupted("the agent is stopping")), filesystems=("/data",))


class DeadServer(ReplayProbe):
    """A replay in which one path does not answer before it is let go."""

    def __init__(self, dead, *commands):
        super().__init__(commands, FILES)
        self.dead, self.released, self.waiting = dead, threading.Event(), 0

    def run(self, argv, timeout):
        if argv[0] == "stat" and argv[-1] == self.dead and not self.released.is_set():
            self.waiting += 1
            self.released.wait(30)
        return super().run(argv, timeout)


def test_a_hung_path_delays_only_until_its_deadline_and_never_has_two_children():
    """Trap 92: a path that hangs is itself a reading, the others are read, and it recovers."""
    probe = DeadServer("/home", statfs("/home"), statfs("/data"))
    settings = DiskSettings(filesystems=("/home", "/data"), statfs_timeout=0.1)
    for _ in range(3):
        rows = {row["path"]: row for row in disk.collect(probe, settings, 60).readings[0].rows}
        assert rows["/home"]["status"] == "hung"
        assert "0.1 s" in rows["/home"]["message"]
        assert rows["/data"]["status"] == "ok"
    assert probe.waiting == 1
    probe.released.set()
    for thread in threading.enumerate():
        if thread.name == "statfs /home":
            thread.join(5)
    rows = {row["path"]: row for row in disk.collect(probe, settings, 60).readings[0].rows}
    assert rows["/home"]["status"] == "ok"


def test_a_child_that_hangs_is_left_alone_and_ends_with_the_agent(tmp_path, monkeypatch):
    """Trap 92, with a real process that does not answer."""
    started = tmp_path / "started"
    tool = tmp_path / "stat"
    tool.write_text(f"#!/bin/sh\necho $$ >> {started}\nexec sleep 60\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    probe, settings = LiveProbe(), DiskSettings(filesystems=("/",), statfs_timeout=0.3)
    for _ in range(3):
        assert disk.collect(probe, settings, 60).readings[0].rows[0]["status"] == "hung"
    children = started.read_text().split()
    assert len(children) == 1
    probe.stopping.set()
    for thread in threading.enumerate():
        if thread.name == "statfs /":
            thread.join(5)
    assert not Path("/proc", children[0]).exists()


def test_a_mangled_answer_is_an_error_with_the_reason():
    rows, result, _ = collected(statfs("/data", "what?\n"), filesystems=("/data",))
    assert rows["/data"]["status"] == "error"
    assert rows["/data"]["total_bytes"] is None
    assert "six whole numbers" in result.rejected[0].reason


def test_a_path_beginning_with_a_dash_or_holding_bytes_is_passed_on_as_it_is():
    name = os.fsdecode(b"/data/\xff -rf")
    rows, _, probe = collected(statfs(name), readlink(name), filesystems=(name,))
    assert rows[name]["status"] == "ok"
    assert probe.asked[-1][-2:] == ("--", name)


def test_a_path_listed_twice_is_one_row():
    rows, result, _ = collected(statfs("/data"), filesystems=("/data", "/data"))
    assert len(result.readings[0].rows) == 1
    assert rows["/data"]["statfs_seconds"] == 0.01


def test_without_mountinfo_there_is_an_error():
    with pytest.raises(CollectorError, match="mountinfo"):
        disk.collect(ReplayProbe(), DiskSettings(), 60)


# --- df ---------------------------------------------------------------------------------------------------


def df_rows(text):
    return {row["mount"]: row for row in disk.parse(text).rows["disk"]}


def test_df_in_kilobytes_is_exact(recorded):
    row = df_rows(recorded("df/P.txt"))["/"]
    assert row["total_bytes"] == 264212084 * 1024
    assert row["used_bytes"] == 25769576 * 1024
    assert row["available_bytes"] == 80621336 * 1024
    assert row["used_percent"] == 25.0
    assert row["device"] == "/dev/vda"
    assert row["free_bytes"] is None


def test_df_with_types_is_read(recorded):
    assert df_rows(recorded("df/kT.txt"))["/"]["fstype"] == "ext4"
    assert df_rows(recorded("df/kT.txt"))["/"]["used_bytes"] == 25769588 * 1024


def test_df_of_inodes_is_read(recorded):
    row = df_rows(recorded("df/i.txt"))["/"]
    assert (row["inodes_total"], row["inodes_used"], row["inodes_free"]) == (16777216, 481154, 16296062)
    assert row["inodes_used_percent"] == 3.0
    assert row["total_bytes"] is None


def test_human_df_is_read_in_powers_of_1024(shared):
    row = df_rows(shared("df/kellyjonbrazil+jc__centos-7.7_df-h.out.txt"))["/boot"]
    assert row["total_bytes"] == 1014 * 2**20
    assert row["available_bytes"] == 782 * 2**20
    assert df_rows(shared("df/kellyjonbrazil+jc__centos-7.7_df-h.out.txt"))["/dev"]["total_bytes"] == int(1.9 * GIB)


def test_a_percentage_of_a_dash_is_null(shared):
    rows = df_rows(shared("df/kellyjonbrazil+jc__generic_df-long-filesystem.out.txt"))
    assert rows["/"]["used_percent"] == 21.0
    assert rows["/"]["fstype"] == "ext3"
    assert rows["/proc"]["used_percent"] is None


def test_long_names_on_their_own_line_blanks_in_mounts_and_network_sources():
    text = (
        "Filesystem           1K-blocks      Used Available Use% Mounted on\n"
        "/dev/mapper/VolGroup00-LogVol00_long\n"
        "                       6030784   1147932   4571556  21% /with blank\n"
        "store01:/export/home      1000       500       500  50% /home\n"
    )
    rows = df_rows(text)
    assert rows["/with blank"]["device"] == "/dev/mapper/VolGroup00-LogVol00_long"
    assert rows["/with blank"]["used_bytes"] == 1147932 * 1024
    assert rows["/home"]["filesystem_id"] == "store01:/export/home"


def test_text_that_is_no_df_is_refused():
    with pytest.raises(CollectorError, match="Filesystem"):
        disk.parse("hello\n")
