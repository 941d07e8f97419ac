"""`nomade test-alerts`: whether alerts would arrive."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import FINDING, FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import bad, echo_json, good, pad, printable

if TYPE_CHECKING:
    from nomade_pipeline.alerts.trial import Trial


@click.command(
    "test-alerts",
    epilog="\b\nExamples:\n  nomade test-alerts\n  nomade test-alerts --target email\n  nomade test-alerts --json",
)
@click.option("--target", "names", metavar="NAME", multiple=True, help="Only this target; may be repeated.")
@json_option
@pass_invocation
def test_alerts_command(invocation: Invocation, names: tuple[str, ...], as_json: bool) -> int:
    """Send a marked test through each target and tell what became of it; the exit code is 1 when one failed."""
    from nomade_pipeline.alerts.fields import nearest
    from nomade_pipeline.alerts.route_file import load_outlets
    from nomade_pipeline.alerts.trial import try_out

    targets = load_outlets(invocation.config).targets
    for name in names:
        if name not in targets:
            there_are = nearest(name, list(targets)) or f"; there are {', '.join(targets)}"
            raise click.UsageError(f"there is no target {printable(name)!r}{there_are}")
    trials: list[Trial] = []
    for name in names or targets:
        trials.append(try_out(targets[name], invocation.config, clock.now()))
        if not as_json:
            click.echo(_line(trials[-1]))
    if as_json:
        echo_json([{**asdict(trial), "delivered": trial.problem is None} for trial in trials])
    return FINDING if any(trial.problem is not None for trial in trials) else FINE


def _line(trial: Trial) -> str:
    result = good("delivered") if trial.problem is None else bad(f"failed: {printable(trial.problem)}")
    return f"{pad(printable(trial.target), 20)}  {pad(trial.kind, 8)}  {trial.seconds:5.1f} s  {result}"
