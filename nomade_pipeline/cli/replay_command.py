"""`nomade replay`: past days happen again, faster."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.boundary import INTERRUPTED
from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import echo_json, faint, note, printable, warn
from nomade_pipeline.cli.progress import Bar
from nomade_pipeline.errors import NoData
from nomade_pipeline.playback.replay_clock import replayed_folder

if TYPE_CHECKING:
    from nomade_pipeline.config.settings import Config
    from nomade_pipeline.playback.feeder import Plan, Replayed
    from nomade_pipeline.store.home import Store
    from nomade_pipeline.store.lake import Lake

OWN_FOLDER = "replayed"
_DAY = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"])


@click.command(
    "replay",
    epilog="\b\nExamples:\n  nomade replay --speed 60\n  nomade replay --cluster alpha --from 2026-01-31 --once\n"
    "  nomade replay --from 2026-01-31T08:00 --to 2026-01-31T18:00 --speed 600 --into /tmp/replay",
)
@click.option("--cluster", metavar="NAME", help="Whose past; the configured cluster, or the only one, unless given.")
@click.option("--from", "start", type=_DAY, metavar="TIME", help="First moment (UTC); the last whole day unless given.")
@click.option("--to", "end", type=_DAY, metavar="TIME", help="Last moment (UTC); a day after --from unless given.")
@click.option(
    "--speed", type=click.FloatRange(0.01, 1e6), default=60.0, show_default=True, help="Replayed seconds a second."
)
@click.option("--once", is_flag=True, help="Do not wait: one step follows the other at once.")
@click.option(
    "--step",
    type=click.IntRange(10, 3600),
    default=300,
    show_default=True,
    help="Replayed seconds between two looks at Slurm and at the rules.",
)
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER", help="Its data folder.")
@click.option("--replace", is_flag=True, help="Delete the replay that is there first.")
@json_option
@pass_invocation
def replay_command(
    invocation: Invocation,
    cluster: str | None,
    start: datetime | None,
    end: datetime | None,
    speed: float,
    once: bool,
    step: int,
    into: Path | None,
    replace: bool,
    as_json: bool,
) -> int:
    """Let past days of a cluster happen again: agents' rows through the spool, Slurm's by its real collectors.

    The replay has a data folder of its own, `replayed/` in the data folder unless given, and its cluster is called
    replay-…. Its alerts are judged and kept, and sent to nobody. While it runs, and afterwards, `nomade --data-dir`
    on its folder shows the replayed moment as the present.
    """
    from nomade_pipeline.playback.feeder import Feeder, Plan

    began = clock.monotonic()
    lake = invocation.store.lake
    source = cluster or _only_cluster(invocation, lake)
    first = _aware(start) or clock.start_of(_last_day(lake, source))
    folder = (into or invocation.paths.root / OWN_FOLDER).absolute()
    plan = Plan(
        lake,
        source,
        source if source.startswith("replay-") else f"replay-{source}",
        folder,
        first,
        _aware(end) or first + timedelta(days=1),
        timedelta(seconds=step),
        None if once else speed,
    )
    if replace and replayed_folder(folder):
        shutil.rmtree(folder)
    with Bar() as progress:
        done = Feeder(plan, invocation.config, _judge()).run(progress)
    if as_json:
        echo_json(_as_dict(plan, done, clock.monotonic() - began))
    else:
        _tell(plan, done, clock.monotonic() - began)
    return INTERRUPTED if done.is_interrupted else FINE


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else clock.from_text(f"{moment.isoformat()}Z")


def _only_cluster(invocation: Invocation, lake: Lake) -> str:
    """Return the configured cluster if it has jobs or hosts, else the only one that has.

    Raises:
        NoData: there is none.
        UsageError: there are several.
    """
    from nomade_pipeline.tables.catalog import RAW_TABLES

    known = sorted({name for table in RAW_TABLES for name in lake.clusters(table)})
    configured = invocation.config.general.cluster_name
    if not known:
        raise NoData(f"the lake {lake.root} is empty", "`nomade simulate`, `nomade import` or an agent fills it")
    if configured in known or len(known) == 1:
        return configured if configured in known else known[0]
    raise click.UsageError(f"say whose past with --cluster; there are {', '.join(map(printable, known))}")


def _last_day(lake: Lake, cluster: str) -> date:
    """Return the last day that is over of which there is anything.

    Raises:
        NoData: there is none.
    """
    from nomade_pipeline.tables.catalog import RAW_TABLES

    days = {day for table in RAW_TABLES for day in lake.days(table, cluster) if day < clock.today()}
    if not days:
        raise NoData(f"the lake has no past day of {cluster}", "`nomade tables` shows what there is")
    return max(days)


def _judge() -> Any:
    """Return what evaluates the alert rules in a step."""
    from nomade_pipeline.alerts.evaluation import evaluate
    from nomade_pipeline.alerts.installation import InstallationWatcher

    watcher = InstallationWatcher()

    def judge(config: Config, store: Store, now: datetime) -> Counter[str]:
        decision = evaluate(config, store, watcher.current(config), now).settled.decision
        return Counter(notice.kind for notice in decision.notices)

    return judge


def _as_dict(plan: Plan, done: Replayed, seconds: float) -> dict[str, object]:
    return {
        "source": plan.source,
        "cluster": plan.cluster,
        "data_dir": str(plan.folder),
        "from": clock.to_text(plan.start),
        "to": clock.to_text(done.until or plan.start),
        "interrupted": done.is_interrupted,
        "steps": done.steps,
        "fed_rows": dict(done.fed),
        "collected_rows": dict(done.asked),
        "alerts_told_to_the_dry_run": dict(done.told),
        "problems": done.problems,
        "seconds": round(seconds, 3),
    }


def _tell(plan: Plan, done: Replayed, seconds: float) -> None:
    end = done.until or plan.start
    click.echo(
        f"replayed {plan.source} as {plan.cluster}: {plan.start:%F %R} to {end:%F %R} UTC in {done.steps:,} steps, "
        f"{seconds:.1f} s; {done.fed.total():,} rows fed, {done.asked.total():,} collected"
    )
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(done.told.items())) or "none"
    click.echo(f"alerts, all to the dry run: {told}")
    for problem in done.problems:
        note(warn(printable(problem)))
    if done.is_interrupted:
        note(warn("it was interrupted; what was replayed until then is published"))
    note(faint(f"look at it with `nomade --data-dir {plan.folder} status`"))
