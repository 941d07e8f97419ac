"""mountinfo: octal escapes, empty sources, covering mounts, bind duplicates."""

from __future__ import annotations

from nomade_pipeline.collectors.mounts import mount_of, parse_mountinfo, real_mounts, visible


def test_blanks_and_backslashes_in_names_are_decoded():
    mount = parse_mountinfo("30 27 254:1 / /a\\040b\\134c rw - ext4 /dev/my\\011disk rw\n")[0]
    assert (mount.point, mount.source) == ("/a b\\c", "/dev/my\tdisk")


def test_an_empty_source_does_not_shift_the_fields():
    mount = parse_mountinfo("30 27 0:5 / /x rw,relatime - tmpfs  ro,size=1k\n")[0]
    assert (mount.fstype, mount.source, mount.is_read_only) == ("tmpfs", "", True)


def test_optional_fields_may_be_many_or_none(shared):
    found = {each.point: each for each in parse_mountinfo(shared("proc/prometheus+procfs__proc_26231_mountinfo.txt"))}
    assert found["/mnt/nfs/test"].option("vers") == "3"
    assert found["/"].source == "/dev/sda1"
    assert found["/root"].fstype == "rootfs"


def test_the_last_mount_on_a_point_covers_the_others():
    mounts = parse_mountinfo(
        "1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /m rw - autofs b rw\n3 2 0:3 / /m rw - nfs4 s:/e rw\n"
    )
    assert visible(mounts)["/m"].fstype == "nfs4"


def test_a_path_belongs_to_the_longest_mount_point_by_whole_names():
    mounts = parse_mountinfo(
        "1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /data rw - xfs b rw\n3 2 0:3 / /data/x rw - xfs c rw\n"
    )
    assert mount_of("/data/x/y", mounts).source == "c"
    assert mount_of("/data/xy", mounts).source == "b"
    assert mount_of("/database", mounts).source == "a"
    assert mount_of("/", mounts).source == "a"
    assert mount_of("/data/", mounts).source == "b"
    assert mount_of("/data", ()) is None


def test_of_bind_mounts_the_one_of_the_whole_file_system_is_kept(shared):
    mounts = parse_mountinfo(
        "1 0 0:1 /sub /bind rw - xfs b rw\n2 0 0:1 / /data rw - xfs b rw\n3 0 0:1 / /again rw - xfs b rw\n"
    )
    assert [each.point for each in real_mounts(mounts)] == ["/data"]
    ubuntu = parse_mountinfo(shared("proc/kellyjonbrazil+jc__linux-proc_pid_mountinfo.txt"))
    assert [each.point for each in real_mounts(ubuntu)] == ["/", "/boot"]


def test_lines_of_another_shape_are_passed_over():
    assert parse_mountinfo("hello\n\n1 2 3 - x\n") == ()
