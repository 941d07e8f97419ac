"""Record what Slurm's commands print in a lab: `record_slurm_fixtures.py LAB_FOLDER TARGET running|ended|asked`.

`running` is called while a workload runs, `ended` after it, with the manifest that `nomade lab run` wrote. `asked`
is what the collectors of the queue and of the nodes ask, with the JSON of the same second beside it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from nomade_pipeline.collectors import node_state, slurm_scontrol, slurm_shares, slurm_sinfo, slurm_squeue
from nomade_pipeline.collectors.slurm_services import DBD_QUESTION
from nomade_pipeline.collectors.slurm_tables import long_format
from nomade_pipeline.probes import FIXED

# SLURM_TIME_FORMAT=%s is what the collectors set; the plain files show what Slurm does without it.
PLAIN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}
EPOCH = {**PLAIN, "SLURM_TIME_FORMAT": "%s"}
COLLECTORS = {**PLAIN, **FIXED}
US = "\x1f"
MARK = f"{US}0123abcd"
WIDE = "%i|%A|%F|%K|%T|%t|%r|%P|%u|%a|%q|%Q|%C|%D|%m|%l|%L|%M|%V|%S|%e|%N|%b|%v|%E|%j|%k"
ALL_JOBS = ["sacct", "--allusers", "--duplicates", "--starttime=1970-01-02", "--endtime=now"]
FREE_TEXTS = ("JobName", "WorkDir", "Comment", "AdminComment", "SystemComment", "SubmitLine")

Command = tuple[list[str], dict[str, str]]


class Recorder:
    """Records the commands of one lab into one folder."""

    def __init__(self, lab: Path, target: Path) -> None:
        self.lab = lab
        self.target = target
        target.mkdir(parents=True, exist_ok=True)

    def ask(self, *argv: str, environment: dict[str, str] = PLAIN) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the lab."""
        variables = {**environment, "SLURM_CONF": f"{self.lab}/etc/slurm.conf"}
        return subprocess.run(argv, env=variables, capture_output=True, check=False, timeout=60)

    def words(self, *argv: str) -> list[str]:
        """Return the words that a command prints."""
        return self.ask(*argv).stdout.decode().split()

    def record(self, commands: dict[str, Command]) -> None:
        """Write each command's output; what it says on standard error gets a file of its own, with its status."""
        for name, (argv, environment) in commands.items():
            done = self.ask(*argv, environment=environment)
            if done.stdout:
                (self.target / name).write_bytes(done.stdout)
            if done.returncode or done.stderr:
                text = b"status %d\n%s" % (done.returncode, done.stderr)
                (self.target / f"{Path(name).stem}.stderr.txt").write_bytes(text)


def while_running(recorder: Recorder) -> dict[str, Command]:
    """Return what is asked while jobs run."""
    job, node = recorder.words("squeue", "--noheader", "--states=RUNNING", "--sort=i", "--format=%A %N")[:2]
    fields = ",".join(recorder.words("sstat", "--helpformat"))
    return {
        "squeue.txt": (["squeue"], PLAIN),
        "squeue-wide.txt": (["squeue", "--all", f"--format={WIDE}"], EPOCH),
        "squeue-array-wide.txt": (["squeue", "--all", "--array", "--noheader", f"--format={WIDE}"], EPOCH),
        "squeue.json": (["squeue", "--all", "--json"], PLAIN),
        "squeue-start.txt": (["squeue", "--start"], PLAIN),
        "sinfo.txt": (["sinfo"], PLAIN),
        "sinfo-N-long.txt": (["sinfo", "--Node", "--long"], PLAIN),
        "sinfo-R.txt": (["sinfo", "--list-reasons"], PLAIN),
        "sinfo.json": (["sinfo", "--json"], PLAIN),
        "scontrol-node-o.txt": (["scontrol", "show", "node", "--oneliner"], PLAIN),
        "scontrol-node-o-epoch.txt": (["scontrol", "show", "node", "--oneliner"], EPOCH),
        "scontrol-node.txt": (["scontrol", "show", "node"], PLAIN),
        "scontrol-job-o.txt": (["scontrol", "show", "job", "--oneliner"], PLAIN),
        "scontrol-job-o-details-epoch.txt": (["scontrol", "show", "job", "--oneliner", "--details"], EPOCH),
        "scontrol-partition-o.txt": (["scontrol", "show", "partition", "--oneliner"], PLAIN),
        "scontrol-reservation-o.txt": (["scontrol", "show", "reservation", "--oneliner"], PLAIN),
        "scontrol-license-o.txt": (["scontrol", "show", "license", "--oneliner"], PLAIN),
        "scontrol-config.txt": (["scontrol", "show", "config"], PLAIN),
        "scontrol-ping.txt": (["scontrol", "ping"], PLAIN),
        "scontrol-listpids.txt": (["scontrol", "listpids", job, node], PLAIN),
        "sacctmgr-ping.txt": (["sacctmgr", "ping"], PLAIN),
        "sacctmgr-cluster.txt": (["sacctmgr", "-P", "show", "cluster"], PLAIN),
        "sacctmgr-assoc.txt": (["sacctmgr", "-P", "show", "assoc"], PLAIN),
        "sacctmgr-qos.txt": (["sacctmgr", "-P", "show", "qos"], PLAIN),
        "sdiag.txt": (["sdiag"], PLAIN),
        "sdiag.json": (["sdiag", "--json"], PLAIN),
        "sshare-a-l-P.txt": (["sshare", "-a", "-l", "-P"], PLAIN),
        "sprio-l.txt": (["sprio", "-l"], PLAIN),
        "sprio-o.txt": (["sprio", "--noheader", "--format=%i|%u|%r|%Y|%A|%F|%J|%P|%Q|%N"], PLAIN),
        "sstat.txt": (["sstat", "--allsteps", "-P", "--noconvert", f"--format={fields}", f"--jobs={job}"], PLAIN),
        "sstat-default.txt": (["sstat", "--allsteps", f"--jobs={job}"], PLAIN),
        "sacct-X.txt": ([*ALL_JOBS, "-X", "-P", "--format=JobID,State,ExitCode,Start,End,User,JobName"], PLAIN),
    }


def after_the_end(recorder: Recorder, manifest: Path) -> dict[str, Command]:
    """Return what is asked when all jobs that end have ended."""
    known = recorder.words("sacct", "--helpformat")
    free = [name for name in FREE_TEXTS if name in known]
    fields = ",".join([*(name for name in known if name not in free), *free])
    dump = [*ALL_JOBS, "-P", f"--delimiter={US}", f"--format={fields}"]
    one_of_each = {job["scenario"]: str(job["job_id"]) for job in json.loads(manifest.read_text())["jobs"]}
    return {
        "squeue-all-states-wide.txt": (["squeue", "--all", "--states=all", f"--format={WIDE}"], EPOCH),
        "scontrol-job.txt": (["scontrol", "show", "job"], PLAIN),
        "scontrol-job-o-epoch.txt": (["scontrol", "show", "job", "--oneliner"], EPOCH),
        "scontrol-node-o-epoch.txt": (["scontrol", "show", "node", "--oneliner"], EPOCH),
        "sacct-helpformat.txt": (["sacct", "--helpformat"], PLAIN),
        "sacct-all-fields.txt": (dump, PLAIN),
        "sacct-all-fields-epoch-noconvert.txt": ([*dump, "--noconvert"], EPOCH),
        "sacct-default.txt": (["sacct", "--allusers"], PLAIN),
        "sacct-midnight-to-now.txt": (["sacct", "--allusers", "-X", "-P"], PLAIN),
        "sacct-one-of-each.json": (
            ["sacct", "--duplicates", f"--jobs={','.join(one_of_each.values())}", "--json"],
            PLAIN,
        ),
        "sacctmgr-event.txt": (["sacctmgr", "-P", "show", "event", "all_time"], EPOCH),
        "sacctmgr-runawayjobs.txt": (["sacctmgr", "-i", "-P", "show", "runawayjobs"], PLAIN),
        "sdiag.txt": (["sdiag"], PLAIN),
        "sshare-a-l-P.txt": (["sshare", "-a", "-l", "-P"], PLAIN),
    }


def as_the_collectors_ask() -> dict[str, Command]:
    """Return the commands of the collectors `slurm` and `node_state`."""
    asked = {
        "squeue.txt": ("squeue", "-a", "-O", long_format(slurm_squeue.FIELDS, MARK)),
        "squeue.json": ("squeue", "-a", "--json"),
        "sinfo.txt": ("sinfo", "-a", "-O", long_format(slurm_sinfo.FIELDS, MARK)),
        "sinfo.json": ("sinfo", "-a", "--json"),
        "scontrol-node.txt": node_state.COMMAND,
        "scontrol-ping.txt": slurm_scontrol.PING,
        "scontrol-reservation.txt": slurm_scontrol.RESERVATIONS,
        "sacctmgr-cluster.txt": DBD_QUESTION,
        "sdiag.txt": ("sdiag",),
        "sshare.txt": slurm_shares.SSHARE,
        "sprio.txt": slurm_shares.sprio_command(MARK),
    }
    return {name: (list(argv), COLLECTORS) for name, argv in asked.items()}


def main(lab: str, target: str, moment: str) -> None:
    """Record one of the moments."""
    recorder = Recorder(Path(lab), Path(target) / moment)
    if moment == "running":
        recorder.record(while_running(recorder))
        return
    if moment == "asked":
        recorder.record(as_the_collectors_ask())
        return
    manifest = max((Path(lab) / "manifests").glob("*.json"))
    shutil.copy(manifest, recorder.target / "manifest.json")
    recorder.record(after_the_end(recorder, manifest))


if __name__ == "__main__":
    main(*sys.argv[1:])
