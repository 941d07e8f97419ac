"""The workload is decided by its seed, and every job knows its end."""

from __future__ import annotations

import base64
import re
from collections import Counter
from pathlib import Path

import pytest

from nomade_pipeline.cli.lab_commands import LAB_FOLDER, PROFILES, SCALE_FOLDER
from nomade_pipeline.lab import driver, layout, workload
from nomade_pipeline.lab.layout import Layout
from nomade_pipeline.lab.users import USERS
from nomade_pipeline.lab.workload import SCENARIOS, plan

REPOSITORY = Path(__file__).resolve().parents[3]
LAB = Layout(Path("/srv/lab"))

profiles = pytest.mark.parametrize("profile", workload.PROFILES)


@profiles
def test_the_same_seed_gives_the_same_jobs_and_another_seed_gives_others(profile: str) -> None:
    assert plan(profile, LAB, 7) == plan(profile, LAB, 7)
    assert plan(profile, LAB, 7) != plan(profile, LAB, 8)


def test_small_has_one_job_of_every_kind_and_all_users_work() -> None:
    jobs = plan("small", LAB, 1)
    assert Counter(job.scenario for job in jobs) == {name: 1 for name in SCENARIOS if name != "brief"}
    assert {job.user for job in jobs} == {user.name for user in USERS}


def test_busy_is_a_hundred_short_jobs() -> None:
    assert [job.scenario for job in plan("busy", LAB, 1)] == ["brief"] * 100


@pytest.mark.parametrize("seed", range(20))
def test_every_strange_name_is_there_whatever_the_seed(seed: int) -> None:
    names = b"".join(job.name for job in plan("small", LAB, seed))
    for strange in (b"|", b"\n", b'"', b"'", b"caf\xe9", b"\x1f", b"\x1b", "λ".encode()):
        assert strange in names


@profiles
def test_every_name_can_be_an_argument_of_a_program(profile: str) -> None:
    for job in plan(profile, LAB, 3):
        assert b"\0" not in job.name + job.comment
        assert job.name


@profiles
@pytest.mark.parametrize("seed", range(5))
def test_what_a_job_waits_for_is_submitted_before_it(profile: str, seed: int) -> None:
    seen: set[str] = set()
    for job in plan(profile, LAB, seed):
        assert {job.when_runs, job.after_end_of} - {None} <= seen
        seen.add(job.scenario)


def test_every_script_and_every_action_exists() -> None:
    scripts = REPOSITORY / "nomade_pipeline" / "lab" / "jobs"
    for job in plan("failing", LAB, 1) + plan("busy", LAB, 1):
        assert (scripts / job.script[0]).is_file()
        assert job.action is None or job.action in driver.ACTIONS


def test_an_array_fails_exactly_where_its_script_is_told_to() -> None:
    (array,) = [job for job in plan("small", LAB, 5) if job.scenario == "array"]
    failing = {int(task) for task in array.script[2].split()}
    assert failing
    assert {task for task, state in array.tasks.items() if state == "FAILED"} == failing
    assert f"--array=1-{len(array.tasks)}%4" in array.options


def test_without_cgroups_too_much_memory_is_a_plain_failure() -> None:
    ends = {
        cgroups: next(
            job for job in plan("small", Layout(Path("/srv/lab"), cgroups=cgroups), 1) if "mem" in job.scenario
        )
        for cgroups in (True, False)
    }
    assert (ends[True].state, ends[False].state) == ("OUT_OF_MEMORY", "FAILED")


def test_the_manifest_keeps_names_as_bytes() -> None:
    job = next(job for job in plan("small", LAB, 1) if job.name == b"caf\xe9")
    line = driver.describe(driver.Submitted(job, 12, done=True))
    assert base64.b64decode(line["name_base64"]) == b"caf\xe9"
    assert (line["job_id"], line["state"], line["scenario"]) == (12, job.state, job.scenario)


def test_the_command_line_knows_the_profiles_and_folders() -> None:
    assert set(PROFILES) == set(workload.PROFILES)
    assert (LAB_FOLDER, SCALE_FOLDER) == (layout.DEFAULT_FOLDER, layout.SCALE_FOLDER)


def test_the_manual_explains_every_job() -> None:
    text = (REPOSITORY / "docs" / "lab.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(SCENARIOS)
