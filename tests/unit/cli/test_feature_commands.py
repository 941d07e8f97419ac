"""`nomade compute`, `features` and `report`: what was measured, what was not, and what to do where there is nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.installation import nomade
from support.rows import CLUSTER, DAY, at, frame_of, row_of

from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.features import JOB_FEATURES, VECTOR
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

NASTY = "\x1b[31mname"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty jobs of one day, of an accounting alone; every fourth failed, the first has run twice."""
    root = tmp_path_factory.mktemp("site")
    nothing = dict.fromkeys(("disk_write_bytes", "gpu_memory_bytes", "gpu_util_percent", "memory_efficiency_ratio"))
    rows = [
        row_of(
            JOB_METRICS,
            **nothing,
            job_id_raw=str(max(1, number)),
            job_id=f"{max(1, number)}_0",
            submit_time=at(number - 100),
            start_time=at(-10),
            end_time=at(number),
            sample_time=at(number),
            elapsed_seconds=600.0 + 60 * number,
            cpu_efficiency_ratio=number / 40,
            failure_class=0 if number % 4 else 3,
            state="COMPLETED" if number % 4 else "FAILED",
            alloc_gpus=0,
            job_name=NASTY,
            time_limit_kind="limited",
        )
        for number in range(40)
    ]
    Store.at(root).lake.publish(JOB_METRICS, CLUSTER, DAY, frame_of(JOB_METRICS, rows))
    assert nomade("compute", "features", root=root).status == 0
    return root


def test_one_job_is_shown_by_the_moment_from_which_each_thing_was_known(site: Path) -> None:
    shown = nomade("features", "7", root=site).stdout
    places = [
        shown.index(title) for title in ("Known at its submission", "Known at its start", "Outcome", "Quantities")
    ]
    assert places == sorted(places)
    assert places[0] < shown.index("user_waiting") < places[1] < shown.index("wait_minutes") < places[2]
    assert "3 of 17 dimensions measured" in shown
    lines = {line.split()[0]: line.split(maxsplit=1)[1].strip() for line in shown.splitlines() if line.startswith("  ")}
    assert (lines["cpu_efficiency"], lines["runtime_minutes"], lines["vram_gb"]) == ("0.175 ratio", "17 min", "0 GB")
    assert lines["avg_iowait"] == "–", "what was not measured is a dash"
    assert "\x1b" not in lines["job_name"]


def test_a_task_is_found_by_its_written_number_and_every_run_of_a_job_is_shown(site: Path) -> None:
    assert nomade("features", "7_0", "--json", root=site).json["runs"][0]["job_id_raw"] == "7"
    runs = nomade("features", "1", "--json", root=site).json["runs"]
    assert [run["submit_time"] for run in runs] == sorted((run["submit_time"] for run in runs), reverse=True)
    assert len(runs) == 2


def test_the_json_of_a_job_says_unit_and_moment_of_each_feature(site: Path) -> None:
    found = nomade("features", "7", "--cluster", CLUSTER, "--json", root=site).json
    assert found["features"]["wait_minutes"] == {"unit": "min", "known_at": "start", "sources": ["job_metrics"]}
    assert set(found["runs"][0]) == set(found["features"]) == set(JOB_FEATURES.column_names)


@pytest.mark.parametrize("arguments", [("features", "999"), ("features", "7", "--cluster", "other")])
def test_a_job_without_features_is_no_data(site: Path, arguments: tuple[str, ...]) -> None:
    ended = nomade(*arguments, root=site)
    assert ended.status == 3
    assert "nomade compute" in ended.stderr


def test_the_report_counts_what_was_measured_and_who_failed(site: Path) -> None:
    shown = nomade("report", "features", root=site).stdout
    assert "3 of 17 dimensions of the similarity vector measured" in shown
    assert "failed: 25%; SUCCESS 30, FAILED 10" in shown
    assert "cpu_efficiency and runtime_minutes" in shown, "the two grow together"
    assert "not measured: memory_efficiency, had_swap" in shown


def test_the_json_of_the_report_has_every_quantity(site: Path) -> None:
    (found,) = nomade("report", "--date", DAY.isoformat(), "--json", root=site).json
    assert (found["cluster"], found["jobs"], found["measured_dimensions"]) == (CLUSTER, 40, 3)
    assert {row["quantity"] for row in found["quantities"]} > set(VECTOR)
    assert found["outcomes"]["failed_ratio"] == 0.25
    assert sum(found["components"]) == pytest.approx(1, abs=0.01)


def test_the_report_can_be_drawn(site: Path, tmp_path: Path) -> None:
    ended = nomade("report", "features", "--plot", str(tmp_path / "features.png"), root=site)
    assert ended.status == 0
    assert (tmp_path / "features.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("arguments", [("--date", "2020-01-01"), ("--cluster", "other")])
def test_an_empty_window_is_no_data(site: Path, arguments: tuple[str, ...]) -> None:
    ended = nomade("report", "features", *arguments, root=site)
    assert ended.status == 3
    assert "→" in ended.stderr


def test_a_report_on_models_is_not_yet_there(site: Path) -> None:
    ended = nomade("report", "models", root=site)
    assert ended.status == 3
    assert "prediction engine" in ended.stderr


def test_what_was_computed_is_told_a_line_a_step(site: Path) -> None:
    shown = nomade("compute", "features", "correlation", root=site).stdout
    assert f"features     {DAY}  jobs 40" in shown
    assert "cpu_efficiency and runtime_minutes" in shown
