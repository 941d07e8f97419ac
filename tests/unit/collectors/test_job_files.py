"""Network or local: by the type of the mount, by the settings, by the files that are open."""

from __future__ import annotations

import os

import pytest
from support.processes import DEVICES, HOME, IMAGE, MOUNTINFO, ODD, PIPES, ROOT, Proc, files_of, links_of

from nomade_pipeline.collectors.job_files import (
    LOCAL,
    NETWORK,
    NO_STORAGE,
    UNTOLD,
    FileKinds,
    OpenFile,
    attribute,
    kind_by_path,
    kind_by_type,
)
from nomade_pipeline.collectors.mounts import Mount, parse_mountinfo
from nomade_pipeline.probes import LiveProbe
from nomade_pipeline.replay import ReplayProbe

WRITE, READ, BOTH = "0100001", "0100000", "0100002"


def mount(fstype, device="0:1", point="/m"):
    return Mount(device, "/", point, fstype, "source", ())


def kinds_of(process, nfs_paths=(), local_paths=(), before=None, extra=None):
    probe = ReplayProbe(files={**files_of(process), **(extra or {})}, links={**links_of(process), **LINKS})
    kinds = FileKinds(probe, parse_mountinfo(MOUNTINFO), nfs_paths, local_paths)
    return kinds.open_files(process.pid, before or {})[0]


LINKS: dict[str, str] = {}


def kind_of(mount_id, path="/x", **settings):
    (file,) = kinds_of(Proc(5, files={3: (0, WRITE, mount_id)}, links={3: path}), **settings)
    return file.kind


# --- types ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fstype",
    ["nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "panfs", "fuse.sshfs", "fuse.glusterfs"],
)
def test_a_network_file_system_is_told_by_its_type(fstype):
    assert kind_by_type(mount(fstype)) == NETWORK


@pytest.mark.parametrize("fstype", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "ramfs"])
def test_a_local_file_system_is_told_by_its_type(fstype):
    assert kind_by_type(mount(fstype, "254:0")) == LOCAL


@pytest.mark.parametrize("fstype", ["proc", "sysfs", "devtmpfs", "devpts", "cgroup2"])
def test_a_file_of_the_kernel_is_no_storage(fstype):
    assert kind_by_type(mount(fstype)) == NO_STORAGE


@pytest.mark.parametrize(
    ("fstype", "device"), [("overlay", "0:5"), ("fuse.unheard", "0:6"), ("ext4", "7:3"), ("9p", "0:7")]
)
def test_a_type_that_says_nothing_and_an_image_leave_it_to_the_settings(fstype, device):
    assert kind_by_type(mount(fstype, device)) == UNTOLD


# --- settings ---------------------------------------------------------------------------------------------


def test_paths_of_the_settings_decide_where_the_type_does_not_and_only_there():
    settings = {"nfs_paths": ("/odd", "/images/net", "/home", "/"), "local_paths": ("/odd/scratch",)}
    assert kind_of(ODD, "/odd/data", **settings) == NETWORK
    assert kind_of(ODD, "/odd/scratch/x", **settings) == LOCAL
    assert kind_of(IMAGE, "/images/net/x", **settings) == NETWORK
    assert kind_of(ROOT, "/var/x", **settings) == LOCAL
    assert kind_of(HOME, "/home/x", local_paths=("/home",)) == NETWORK


def test_without_settings_an_image_is_local_and_an_unheard_type_is_untold():
    assert kind_of(IMAGE, "/images/net/x") == LOCAL
    assert kind_of(ODD, "/odd/x") == UNTOLD


def test_the_longest_path_wins_and_a_name_that_begins_alike_is_another():
    assert kind_by_path("/scratch/local/x", ("/scratch",), ("/scratch/local",)) == LOCAL
    assert kind_by_path("/scratch2/x", ("/scratch",), ()) is None
    assert kind_by_path("/scratch", ("/scratch/",), ()) == NETWORK
    assert kind_by_path("/anything", ("/",), ("/anything/else",)) == NETWORK


# --- open files -------------------------------------------------------------------------------------------


def test_pipes_devices_and_path_handles_are_no_storage():
    process = Proc(5, files={1: (0, WRITE, PIPES), 2: (0, BOTH, DEVICES), 3: (0, "012000000", ROOT)})
    assert [file.kind for file in kinds_of(process)] == [NO_STORAGE, NO_STORAGE, NO_STORAGE]


def test_a_file_tells_whether_it_is_read_or_written_and_how_far_it_moved():
    process = Proc(5, files={3: (700, READ, ROOT), 4: (50, WRITE, ROOT), 5: (9, BOTH, HOME)})
    files = kinds_of(process, before={3: (ROOT, 100), 4: (HOME, 10), 5: (HOME, 30)})
    assert [(file.reads, file.writes) for file in files] == [(True, False), (False, True), (True, True)]
    # 4 is by now a file of another mount, 5 was opened anew or sought back.
    assert [file.moved for file in files] == [600, 50, 9]


def test_a_mount_of_another_namespace_is_looked_up_there():
    """A container, or a private /tmp of job_container/tmpfs."""
    process = Proc(5, files={3: (0, WRITE, "900")})
    inside = {"/proc/5/mountinfo": "900 1 0:77 / /data rw - lustre mgs:/fs rw\n"}
    LINKS["/proc/5/ns/mnt"] = "mnt:[1]"
    try:
        (file,) = kinds_of(process, extra=inside)
    finally:
        LINKS.clear()
    assert file.kind == NETWORK


def test_a_file_closed_while_we_look_and_a_torn_one_are_left_out():
    process = Proc(5, files={3: (0, WRITE, ROOT), 4: (0, WRITE, ROOT)})
    files = kinds_of(process, extra={"/proc/5/fdinfo/4": "pos:\t0\n", "/proc/5/fdinfo/odd": "pos:\t0\n"})
    assert [file.descriptor for file in files] == [3]


def test_a_real_process_shows_its_real_files(tmp_path):
    mounts = parse_mountinfo(LiveProbe().read("/proc/self/mountinfo"))
    kinds = FileKinds(LiveProbe(), mounts, (str(tmp_path),), ())
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(b"x" * 1000)
        files, positions = kinds.open_files(os.getpid(), {})
        (mine,) = [each for each in files if each.descriptor == file.fileno()]
        assert (mine.writes, mine.reads, mine.moved) == (True, False, 1000)
        assert mine.kind != NO_STORAGE
        file.write(b"x" * 24)
        files, _ = kinds.open_files(os.getpid(), positions)
        assert next(each.moved for each in files if each.descriptor == file.fileno()) == 24


# --- attribution ------------------------------------------------------------------------------------------


def opened(descriptor, kind, moved=0, *, reads=False, writes=True):
    return OpenFile(descriptor, kind, reads, writes, moved)


def told(grown, *files, stored=0, writing=True, by_children=False):
    found = attribute(grown, stored, files, writing=writing, by_children=by_children)
    assert sum(found.values()) <= grown
    return found[NETWORK], found[LOCAL]


def test_what_is_written_to_one_kind_of_file_is_of_that_kind():
    assert told(1000, opened(3, NETWORK, 1000)) == (1000, 0)
    assert told(1000, opened(3, LOCAL, 10)) == (0, 1000)


def test_a_program_that_writes_by_position_is_told_by_its_files():
    """MPI-IO and HDF5 use pwrite, which moves no position."""
    assert told(1000, opened(1, NETWORK, 5), opened(3, LOCAL)) == (5, 995)


def test_several_kinds_share_by_how_far_their_files_moved():
    assert told(400, opened(3, NETWORK, 100), opened(4, LOCAL, 300)) == (100, 300)
    assert told(800, opened(3, NETWORK, 100), opened(4, LOCAL, 300)) == (200, 600)


def test_what_cannot_be_told_is_not_told():
    assert told(1000, opened(3, NETWORK, 100), opened(4, LOCAL)) == (100, 0)
    assert told(1000) == (0, 0)
    assert told(1000, opened(3, UNTOLD, 1000)) == (0, 0)
    assert told(1000, opened(3, NETWORK), opened(4, LOCAL)) == (0, 0)


def test_what_goes_into_a_pipe_is_not_told_as_storage():
    pipe = opened(1, NO_STORAGE)
    assert told(1000, pipe) == (0, 0)
    assert told(1000, pipe, opened(3, LOCAL, 10)) == (0, 10)
    # The kernel counted 600 bytes for storage.
    assert told(1000, pipe, opened(3, LOCAL, 10), stored=600) == (0, 600)


def test_a_position_that_moved_further_than_was_written_is_scaled():
    """Opened for appending, or shared with a child that wrote."""
    assert told(100, opened(3, NETWORK, 10**9), opened(4, LOCAL, 10**9)) == (50, 50)
    assert told(0, opened(3, NETWORK, 10**9)) == (0, 0)


def test_what_children_wrote_is_not_told_by_the_parents_files():
    """A shell has its output open; the `dd` that it waited for wrote elsewhere."""
    assert told(1000, opened(1, NETWORK, 5), by_children=True) == (5, 0)


def test_reading_is_told_by_the_files_open_for_reading():
    files = (opened(3, NETWORK, 70, reads=True, writes=False), opened(4, LOCAL, 500))
    assert told(70, *files, writing=False) == (70, 0)
    assert told(500, *files) == (0, 500)
