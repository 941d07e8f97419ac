"""`nomade demo`: this machine's own data through the whole pipeline, in a folder of its own.

No cluster and no root are needed. The steps are those of an installation: sample, publish, check,
roll up; only the schedule is missing, because the demo does at once what it would do in a day.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Sequence

from nomade_pipeline import clock, supervisor
from nomade_pipeline.agent.runs import RunReport
from nomade_pipeline.config.load import environment_with, load_config
from nomade_pipeline.config.settings import Config

if TYPE_CHECKING:
    import dagster as dg

    from nomade_pipeline.workload.simulate import Simulated

# A few cycles, so that there is something to average, and short, because a person waits.
CYCLES = 3
CYCLE_SECONDS = 2

CONFIG = """\
# The configuration of `nomade demo`; it is written anew at every run.
[general]
cluster_name = "demo"

[collectors.disk]
interval = 15
[collectors.iostat]
interval = 15
[collectors.mpstat]
interval = 15
[collectors.vmstat]
interval = 15
"""

# A simulated cluster beside this machine, small because a person waits.
SIMULATED = "sim-demo"
SIMULATED_HOSTS = 4

# What Dagster runs for a day, in its order: the ingest, then features, networks and simulations.
JOBS = ("close_day", "analyse_day")

QUERIES = (
    (
        "How full are the file systems?",
        (
            "SELECT path, fstype, round(total_bytes / 1e9, 1) AS total_gb, used_percent, inodes_used_percent, status "
            "FROM disk WHERE cluster = 'demo' "
            "QUALIFY row_number() OVER (PARTITION BY host, path ORDER BY sample_time DESC) = 1"
        ),
    ),
    (
        "What did the CPUs do, sample by sample?",
        (
            "SELECT sample_time, interval_seconds, cpus, busy_percent, iowait_percent, imbalance_ratio "
            "FROM mpstat_summary WHERE cluster = 'demo' ORDER BY sample_time DESC LIMIT 5"
        ),
    ),
    (
        "What do the hourly rollups say of the disks?",
        (
            "SELECT subject AS device, metric, hour, count, round(mean, 2) AS mean, max FROM hourly "
            "WHERE cluster = 'demo' AND table_name = 'iostat' "
            "AND metric IN ('util_percent', 'write_bytes_per_second') ORDER BY 1, 2"
        ),
    ),
    (
        "How did the jobs of the simulated cluster end?",
        (
            f"SELECT state, count(*) AS jobs, round(avg(wait_seconds) / 60) AS wait_minutes, "
            f"round(avg(cpu_efficiency_ratio), 2) AS cpu_efficiency FROM job_metrics WHERE cluster = '{SIMULATED}' "
            "GROUP BY state ORDER BY jobs DESC"
        ),
    ),
)


class DemoFailed(Exception):
    """A step of the demo did not succeed; the message says which and where to look."""


@dataclass
class Materialised:
    """What the run of the whole asset graph gave.

    Attributes:
        rows: rows of each asset's partition; None where it tells other figures.
        passed: number of checks that passed.
        failed: those that did not, with their message.
    """

    rows: dict[str, int | None] = field(default_factory=dict)
    passed: int = 0
    failed: list[str] = field(default_factory=list)


def prepare(folder: Path) -> tuple[Path, Config]:
    """Create the demo's folder with its own configuration; return the file and what it says."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nomade.toml"
    path.write_text(CONFIG, encoding="utf-8")
    config = load_config(path, environment_with({"NOMADE_GENERAL__DATA_DIR": str(folder)}))
    supervisor.prepare_dagster_home(config.paths)
    return path, config


def sample(config: Config, on_cycle: Callable[[list[RunReport]], None]) -> None:
    """Take a few samples of this host into the spool."""
    from nomade_pipeline.agent.once import run_once
    from nomade_pipeline.collectors.registry import COLLECTORS
    from nomade_pipeline.probes import LiveProbe

    for _ in range(CYCLES):
        on_cycle(run_once(config, list(COLLECTORS), LiveProbe(), CYCLE_SECONDS))


def simulate(config: Config, jobs: int, days: int, seed: int, progress: Callable[[str, float], None]) -> Simulated:
    """Put a simulated cluster in the place of the last demo's, with its jobs of past days rolled up and their features.

    Today's rollups, and those of all else, are the business of the pipeline.
    """
    from nomade_pipeline.features.day import features_of_day
    from nomade_pipeline.forgetting import forget, known_clusters
    from nomade_pipeline.ingest.rollup import roll_up_day
    from nomade_pipeline.store.home import Store
    from nomade_pipeline.tables.nodes import JOB_MONITOR, NODE_STATE
    from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
    from nomade_pipeline.workload.scenario import Scenario
    from nomade_pipeline.workload.simulate import simulate as run

    store = Store.at(config.paths.root)
    if SIMULATED in known_clusters(store):
        forget(store, SIMULATED, force=True)
    now = clock.now().replace(second=0, microsecond=0)
    scenario = Scenario.ending(now, days, cluster=SIMULATED, jobs=jobs, hosts=SIMULATED_HOSTS, seed=seed)
    done = run(store, scenario, progress)
    for day in done.scenario.days[:-1]:
        roll_up_day(store, day, tables=(JOB_METRICS, JOB_MONITOR, NODE_STATE))
        features_of_day(store, config, day)
    return done


def materialise(config: Config, config_path: Path) -> Materialised:
    """Materialise today's partition of every asset in this process, checks and suites included.

    Raises:
        DemoFailed: a step failed.
    """
    os.environ.update(supervisor.environment(config.paths, config_path, {}))
    import dagster as dg

    from nomade_pipeline.definitions import build_defs
    from nomade_pipeline.resources import NomadeResource

    defs = build_defs(NomadeResource(config_path=str(config_path), data_dir=str(config.paths.root)))
    summary = Materialised()
    with dg.DagsterInstance.get() as instance:
        for job in JOBS:
            result = defs.resolve_job_def(job).execute_in_process(
                instance=instance,
                partition_key=clock.today().isoformat(),
                tags={"nomade/unattended": "demo"},
                run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
                raise_on_error=False,
            )
            if not result.success:
                raise DemoFailed(f"the run {result.run_id} of {job} failed; see {config.paths.dagster_home}")
            _add(result, summary)
    return summary


def _add(result: dg.ExecuteInProcessResult, summary: Materialised) -> None:
    """Add what one run gave."""
    for event in result.get_asset_materialization_events():
        rows = event.materialization.metadata.get("dagster/partition_row_count")
        summary.rows[event.materialization.asset_key.to_user_string()] = int(str(rows.value)) if rows else None
    for check in result.get_asset_check_evaluations():
        if check.passed:
            summary.passed += 1
        else:
            summary.failed.append(f"{check.asset_key.to_user_string()} {check.check_name}: {check.description}")


def command(config_path: Path, folder: Path, *arguments: str) -> list[str]:
    """Return the argument list of a `nomade` command on the demo's data."""
    python = [sys.executable, "-m", "nomade_pipeline.cli.main"]
    return [*python, "--config", str(config_path), "--data-dir", str(folder), *arguments]


def show(config_path: Path, folder: Path, arguments: Sequence[str]) -> None:
    """Run a `nomade` command, as a user would, with its output on ours.

    Raises:
        DemoFailed: it did not succeed.
    """
    sys.stdout.flush()
    ended = subprocess.run(command(config_path, folder, *arguments), check=False)
    if ended.returncode != 0:
        raise DemoFailed(f"`nomade {' '.join(arguments)}` ended with status {ended.returncode}")


def serve_in_background(config: Config, config_path: Path, host: str, port: int) -> str:
    """Leave agent and Dagster running on the demo's data; return the address of the web UI.

    Raises:
        DemoFailed: the web server does not answer.
        SupervisorError: the port is taken.
    """
    paths = config.paths
    supervisor.stop(paths)
    supervisor.require_free_port(host, port)
    options = ["--config", str(config_path), "--data-dir", str(paths.root)]
    process = supervisor.start(paths, [*options, "up", "--host", host, "--port", str(port)])
    if not supervisor.wait_until_ready(host, port, supervisor.READY_SECONDS, lambda: process.poll() is None):
        supervisor.stop(paths)
        raise DemoFailed(f"Dagster's web server does not answer; see {paths.logs / 'nomade.log'}")
    return supervisor.console_address(host, port)
