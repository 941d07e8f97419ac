"""A /proc made of text, for a replay probe: processes as the job monitor reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping

MOUNTINFO = (
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "30 27 0:40 / /home rw,relatime - nfs4 store:/home rw\n"
    "31 27 7:1 / /images/net rw,relatime - ext4 /dev/loop1 rw\n"
    "32 27 0:41 / /odd rw,relatime - fuse.unheard none rw\n"
    "24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw\n"
)
ROOT, HOME, IMAGE, ODD, DEVICES, PIPES = "27", "30", "31", "32", "24", "14"


@dataclass
class Proc:
    """One process.

    Attributes:
        pid, parent, start, command: as in /proc/PID/stat; start in ticks since boot.
        ticks: its CPU time; child_ticks and child_faults of the children that it has waited for.
        read, write: rchar and wchar; stored_read and stored_write what reached storage. None: not ours to read.
        files: position, flags and mount id of its open files.
        links: where these point.
        environment: its variables.
        user: its user's number.
        title: its command line, NUL between the words.
    """

    pid: int
    parent: int = 1
    start: int = 5000
    command: str = "job"
    ticks: int = 0
    child_ticks: int = 0
    child_faults: int = 0
    rss_pages: int = 100
    read: int | None = 0
    write: int = 0
    stored_read: int = 0
    stored_write: int = 0
    files: Mapping[int, tuple[int, str, str]] = field(default_factory=dict)
    links: Mapping[int, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    user: int = 1000
    title: str = ""

    def in_job(self, job: str, node: str = "n1", **more: str) -> Proc:
        """Return this process with the variables that Slurm gives one."""
        self.environment = {"SLURM_JOB_ID": job, "SLURMD_NODENAME": node, **more}
        return self


def stat_line(process: Proc) -> str:
    """Return its line of /proc/PID/stat."""
    return (
        f"{process.pid} ({process.command}) S {process.parent} 1 1 0 -1 4194560 10 {process.child_faults} 0 0 "
        f"{process.ticks} 0 {process.child_ticks} 0 20 0 1 0 {process.start} 1000000 {process.rss_pages} 0 0 0\n"
    )


def files_of(*processes: Proc, mountinfo: str = MOUNTINFO, uptime: float = 1000.0) -> dict[str, str]:
    """Return /proc with these processes."""
    files = {
        "/proc/self/mountinfo": mountinfo,
        "/proc/uptime": f"{uptime} 0.0\n",
        "/proc/sys/kernel/hostname": "host1.example\n",
        "/proc/sys/kernel/random/boot_id": "boot-1\n",
    }
    for each in processes:
        folder = f"/proc/{each.pid}"
        files[f"{folder}/stat"] = stat_line(each)
        files[f"{folder}/status"] = f"Name:\t{each.command}\nUid:\t{each.user}\t{each.user}\n"
        files[f"{folder}/environ"] = "".join(f"{name}={value}\0" for name, value in each.environment.items())
        files[f"{folder}/cmdline"] = each.title or f"{each.command}\0"
        if each.read is not None:
            files[f"{folder}/io"] = (
                f"rchar: {each.read}\nwchar: {each.write}\nsyscr: 1\nsyscw: 1\nread_bytes: {each.stored_read}\n"
                f"write_bytes: {each.stored_write}\ncancelled_write_bytes: 0\n"
            )
        for number, (position, flags, mount) in each.files.items():
            files[f"{folder}/fdinfo/{number}"] = f"pos:\t{position}\nflags:\t{flags}\nmnt_id:\t{mount}\nino:\t7\n"
    return files


def links_of(*processes: Proc) -> dict[str, str]:
    """Return the symbolic links of their open files."""
    return {f"/proc/{each.pid}/fd/{number}": path for each in processes for number, path in each.links.items()}


def cgroup_files(text: str) -> dict[str, str]:
    """Return files by path from what `tail -n +1 FILE…` printed of several files."""
    files: dict[str, str] = {}
    for part in ("\n" + text).split("\n==> ")[1:]:
        path, _, content = part.partition(" <==\n")
        files[path] = content
    return files
