"""`nomade simulate`: a cluster that does not exist, with jobs whose causes are known."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Callable

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import echo_json, faint, note
from nomade_pipeline.cli.progress import Bar
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.contract import is_simulated

if TYPE_CHECKING:
    from nomade_pipeline.workload.simulate import Simulated

# Below a data folder of a real cluster, so that nobody looks at both without meaning to.
OWN_FOLDER = "simulated"


def jobs_option(default: int) -> Callable[[Any], Any]:
    """Return the option that says how many jobs are simulated."""
    return click.option(
        "--jobs", type=click.IntRange(1, 10_000_000), default=default, show_default=True, help="Jobs to submit."
    )


def days_option(default: int) -> Callable[[Any], Any]:
    """Return the option that says how many days are simulated."""
    return click.option(
        "--days", type=click.IntRange(1, 366), default=default, show_default=True, help="UTC days to simulate."
    )


seed_option = click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="The same seed gives the same rows."
)


@click.command(
    "simulate",
    epilog="\b\nExamples:\n  nomade simulate\n  nomade simulate --jobs 100000 --hosts 100 --days 30 --end 2026-01-31\n"
    "  nomade --data-dir /tmp/sim simulate --cluster sim-a --seed 7",
)
@click.option("--cluster", default="sim-demo", show_default=True, metavar="NAME", help="Its name, sim-….")
@days_option(7)
@jobs_option(2000)
@click.option("--hosts", type=click.IntRange(1, 10_000), default=8, show_default=True, help="Compute nodes.")
@seed_option
@click.option(
    "--end",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    metavar="DATE",
    help="Last UTC day; today, up to this minute, unless given.",
)
@click.option("--ingest/--no-ingest", default=True, help="Roll the days up, so that screens and pages show them.")
@click.option("--replace", is_flag=True, help="Delete what there is of this cluster first.")
@json_option
@pass_invocation
def simulate_command(
    invocation: Invocation,
    cluster: str,
    days: int,
    jobs: int,
    hosts: int,
    seed: int,
    end: datetime | None,
    ingest: bool,
    replace: bool,
    as_json: bool,
) -> int:
    """Invent a cluster: users, jobs, a queue, nodes that fail, a file server with storms, and all series they cause.

    Nothing of it is real, and every row says so. Why each job ended, and how likely that was, is written beside the
    data, to `truth/` in the data folder. Without --data-dir the data go to a folder of their own, `simulated/` in the
    data folder, unless that is of a simulated cluster itself.
    """
    from nomade_pipeline.workload.scenario import Scenario
    from nomade_pipeline.workload.simulate import simulate

    began = clock.monotonic()
    scenario = Scenario.ending(_end_of(end), days, cluster=cluster, jobs=jobs, hosts=hosts, seed=seed)
    store = _store(invocation)
    if replace:
        _forget(store, cluster)
    with Bar() as progress:
        done = simulate(store, scenario, progress)
    if ingest:
        _ingest(invocation, store, done)
    seconds = clock.monotonic() - began
    if as_json:
        echo_json(_as_dict(store, done, seconds))
    else:
        _tell(invocation, store, done, seconds, ingested=ingest)
    return FINE


def _end_of(day: datetime | None) -> datetime:
    """Return the moment up to which is simulated: the end of a UTC day, or this minute."""
    now = clock.now().replace(second=0, microsecond=0)
    if day is None:
        return now
    if day.date() > now.date():
        raise click.BadParameter(f"{day:%Y-%m-%d} is in the future", param_hint="--end")
    return min(now, clock.start_of(day.date() + timedelta(days=1)))


def _store(invocation: Invocation) -> Store:
    """Return where it goes: see `simulate_command`."""
    if invocation.data_dir is not None or is_simulated(invocation.config.general.cluster_name):
        return invocation.store
    return Store.at(invocation.paths.root / OWN_FOLDER)


def _forget(store: Store, cluster: str) -> None:
    """Delete what there is of a simulated cluster; a scenario has refused the name of a real one."""
    from nomade_pipeline.forgetting import forget, known_clusters

    if store.paths.root.exists() and cluster in known_clusters(store):
        forget(store, cluster, force=True)


def _ingest(invocation: Invocation, store: Store, done: Simulated) -> None:
    from nomade_pipeline.cli.ingest_command import ingest
    from nomade_pipeline.tables.catalog import RAW_TABLES

    limit = invocation.config.pipeline.quarantine_limit_percent
    ingest(store, RAW_TABLES, done.scenario.days, everything=False, limit_percent=limit)
    if store.paths.dagster_home.exists():
        from nomade_pipeline.resources import report_past_days

        report_past_days(store.paths.dagster_home, done.written.days)


def _as_dict(store: Store, done: Simulated, seconds: float) -> dict[str, object]:
    from nomade_pipeline.workload.truth import as_told

    return {
        **as_told(done.scenario),
        "simulated": True,
        "outcomes": done.outcomes,
        "rows": dict(done.written.rows),
        "spooled_rows": done.written.spooled,
        "data_dir": str(store.paths.root),
        "truth": str(store.paths.truth / done.scenario.cluster),
        "seconds": round(seconds, 3),
    }


def _tell(invocation: Invocation, store: Store, done: Simulated, seconds: float, *, ingested: bool) -> None:
    scenario, root = done.scenario, store.paths.root
    click.echo(
        f"simulated cluster {scenario.cluster}: {scenario.jobs:,} jobs on {scenario.hosts:,} hosts, "
        f"{scenario.days[0]} to {scenario.days[-1]}, {done.written.rows.total():,} rows in {seconds:.1f} s"
    )
    for name, count in done.outcomes.items():
        click.echo(f"  {count:>9,}  {name}")
    note(faint(f"the truth of each job lies in {store.paths.truth / scenario.cluster}"))
    if not ingested:
        note(faint("`--ingest` brings it into `nomade jobs` and the pages"))
    elif root != invocation.paths.root:
        note(faint(f"look at it with `nomade --data-dir {root} jobs`"))
