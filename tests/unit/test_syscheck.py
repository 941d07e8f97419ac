"""The system check: recorded systems, good ones and others."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

from nomade_pipeline import syscheck
from nomade_pipeline.replay import Recorded, ReplayProbe
from nomade_pipeline.store.database import migrate
from nomade_pipeline.syscheck import ABSENT, OK, Check, Section, check_system, failures, network_filesystem

MOUNTS = "\n".join(
    [
        "21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw",
        "22 21 0:40 / /home rw - nfs4 nas:/home rw,vers=4.2",
        "23 21 0:41 / /home/local rw - xfs /dev/sdb1 rw",
    ]
)
KERNEL = {"/proc/self/io": "x", "/proc/1/io": "x", "/proc/pressure/memory": "x", "/proc/self/mountinfo": MOUNTS}
SYSTEM_TOOLS = tuple(Recorded((tool,)) for tool in ("iostat", "mpstat", "vmstat", "nvidia-smi", "nfsiostat"))
SLURM_CONFIG = (
    "AccountingStorageType   = accounting_storage/slurmdbd\nJobAcctGatherType       = jobacct_gather/cgroup\n"
)
SLURM = tuple(Recorded((tool,)) for tool in ("sinfo", "squeue", "sacct", "sstat"))


def scontrol(text: str = SLURM_CONFIG, **answer: int) -> Recorded:
    return Recorded(("scontrol", "show", "config"), stdout=text, **answer)


def installed(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a complete installation."""
    (tmp_path / "spool").mkdir()
    migrate(tmp_path / "nomade.db")
    config = tmp_path / "nomade.toml"
    config.write_text(f"[general]\ndata_dir = '{tmp_path}'\n")
    return {"NOMADE_CONFIG": str(config), "HOME": str(tmp_path)}


def section(sections: list[Section], title: str) -> dict[str, Check]:
    return {check.text: check for check in next(s for s in sections if s.title == title).checks}


def test_a_complete_system_passes_every_check(tmp_path: Path) -> None:
    probe = ReplayProbe(commands=[*SYSTEM_TOOLS, *SLURM, scontrol()], files=KERNEL)
    sections = check_system(probe, None, installed(tmp_path))
    assert failures(sections) == []
    assert {check.state for part in sections for check in part.checks} == {OK}
    assert section(sections, "SLURM").keys() >= {
        "slurmdbd enabled (job history outlives the scheduler)",
        "JobAcctGather configured (CPU and memory that jobs used)",
    }


def test_a_host_without_slurm_gpu_and_sysstat_lacks_something_but_does_not_fail(tmp_path: Path) -> None:
    sections = check_system(ReplayProbe(files=KERNEL), None, installed(tmp_path))
    assert failures(sections) == []
    assert "Slurm not found (no queue and job monitoring)" in section(sections, "SLURM")
    tools = section(sections, "System Tools")
    assert {check.state for check in tools.values()} == {ABSENT}
    assert all(check.hint for check in tools.values())


def test_half_a_slurm_is_a_failure(tmp_path: Path) -> None:
    commands = [Recorded(("sinfo",)), Recorded(("squeue",)), scontrol("AccountingStorageType = (null)\n")]
    failed = {check.text for check in failures(check_system(ReplayProbe(commands, KERNEL), None, installed(tmp_path)))}
    assert {text.split(" (")[0] for text in failed} == {
        "sacct not found",
        "sstat not found",
        "slurmdbd not enabled",
        "JobAcctGather not configured",
    }


@pytest.mark.parametrize("commands", [[*SLURM], [*SLURM, scontrol("", returncode=1)]])
def test_a_controller_that_does_not_answer_is_a_failure(tmp_path: Path, commands: list[Recorded]) -> None:
    failed = failures(check_system(ReplayProbe(commands, KERNEL), None, installed(tmp_path)))
    assert [check.text for check in failed] == ["slurmctld does not answer"]


def test_commands_of_slurm_without_a_cluster_are_no_failure(tmp_path: Path) -> None:
    said = "scontrol: fatal: Could not establish a configuration source\n"
    commands = [*SLURM, Recorded(("scontrol", "show", "config"), stderr=said, returncode=1)]
    sections = check_system(ReplayProbe(commands, KERNEL), None, installed(tmp_path))
    assert section(sections, "SLURM")["No cluster is configured"].state == ABSENT
    assert failures(sections) == []


def test_jobs_whose_usage_nobody_gathers_are_a_failure(tmp_path: Path) -> None:
    config = SLURM_CONFIG.replace("jobacct_gather/cgroup", "jobacct_gather/none")
    failed = failures(check_system(ReplayProbe([*SLURM, scontrol(config)], KERNEL), None, installed(tmp_path)))
    assert [check.text for check in failed] == ["JobAcctGather not configured"]


def test_a_kernel_without_pressure_or_foreign_io_counters_lacks_something(tmp_path: Path) -> None:
    sections = check_system(ReplayProbe(files={"/proc/self/io": "x"}), None, installed(tmp_path))
    kernel = section(sections, "Kernel")
    assert [check.state for check in kernel.values()] == [ABSENT, ABSENT]
    assert failures(sections) == []


def test_a_fresh_machine_is_told_to_run_init(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "NOMADE_GENERAL__DATA_DIR": str(tmp_path / "none")}
    failed = failures(check_system(ReplayProbe(files=KERNEL), None, environment))
    assert len(failed) == 2
    assert all("nomade init" in check.hint for check in failed)


def test_every_fault_of_the_configuration_is_a_failure(tmp_path: Path) -> None:
    config = tmp_path / "nomade.toml"
    config.write_text("[general]\nclustername = 'x'\nlog_level = 3\n")
    failed = failures(check_system(ReplayProbe(files=KERNEL), config, {"HOME": str(tmp_path)}))
    assert len(failed) == 2
    assert any("nomade.toml:2" in check.text for check in failed)


def test_a_database_that_is_none_is_a_failure(tmp_path: Path) -> None:
    environment = installed(tmp_path)
    for file in tmp_path.glob("nomade.db*"):
        file.unlink()
    (tmp_path / "nomade.db").write_bytes(b"no database" * 1000)
    (failed,) = failures(check_system(ReplayProbe(files=KERNEL), None, environment))
    assert "cannot be read" in failed.text
    assert "ingest" in failed.hint


@pytest.mark.parametrize(("version", "hint"), [("0000", "migrate"), ("9999", "release")])
def test_a_database_of_another_version_is_a_failure(tmp_path: Path, version: str, hint: str) -> None:
    environment = installed(tmp_path)
    with sqlite3.connect(tmp_path / "nomade.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.close()
    (failed,) = failures(check_system(ReplayProbe(files=KERNEL), None, environment))
    assert hint in failed.hint


def test_a_spool_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    environment = installed(tmp_path)
    (tmp_path / "spool").rmdir()
    (tmp_path / "spool").touch()
    (failed,) = failures(check_system(ReplayProbe(files=KERNEL), None, environment))
    assert failed.text.startswith("Spool: ")


def test_a_database_on_a_network_file_system_is_a_failure(tmp_path: Path) -> None:
    environment = installed(tmp_path)
    mounts = f"{MOUNTS}\n24 21 0:50 / {tmp_path} rw - nfs nas:/x rw"
    failed = failures(check_system(ReplayProbe(files={**KERNEL, "/proc/self/mountinfo": mounts}), None, environment))
    assert ["network file system (nfs)" in check.text for check in failed] == [True]


@pytest.mark.parametrize(
    ("path", "fstype"), [("/home/a/nomade.db", "nfs4"), ("/home/local/nomade.db", None), ("/var/nomade.db", None)]
)
def test_the_innermost_mount_decides_where_a_file_lies(path: str, fstype: str | None) -> None:
    assert network_filesystem(ReplayProbe(files=KERNEL), Path(path)) == fstype


def test_an_old_python_or_sqlite_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = installed(tmp_path)
    monkeypatch.setattr(syscheck, "LEAST_PYTHON", (sys.version_info[0], sys.version_info[1] + 1))
    monkeypatch.setattr(syscheck, "LEAST_SQLITE", (99, 0, 0))
    assert len(failures(check_system(ReplayProbe(files=KERNEL), None, environment))) == 2


def test_missing_packages_are_found_by_their_metadata() -> None:
    assert syscheck.missing_packages("no-such-distribution") is None
    assert syscheck.missing_packages("nomade-pipeline") in ([], None)
    assert syscheck.missing_packages("dagster") == []
