"""`nomade syscheck`: what this system offers and lacks."""

from __future__ import annotations

import click

from nomade_pipeline.cli.common import FINDING, FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import bad, echo_json, faint, good, heading, printable
from nomade_pipeline.syscheck import ABSENT, FAILURE, OK, Check, check_system, failures

RULE = 40
_MARKS = {OK: "OK", ABSENT: "○", FAILURE: "✗"}
_COLOURS = {OK: good, ABSENT: faint, FAILURE: bad}


@click.command("syscheck", epilog="\b\nExamples:\n  nomade syscheck\n  nomade syscheck --json")
@json_option
@pass_invocation
def syscheck_command(invocation: Invocation, as_json: bool) -> int:
    """Check this system's requirements. OK is fine, ○ may be missing, ✗ is a failure; exits with 1 on failure."""
    from nomade_pipeline.probes import LiveProbe

    sections = check_system(LiveProbe(), invocation.config_path, invocation.environment)
    failed = failures(sections)
    if as_json:
        echo_json(
            {
                "passed": not failed,
                "sections": [
                    {"title": section.title, "checks": [vars(check) for check in section.checks]}
                    for section in sections
                ],
            }
        )
        return FINDING if failed else FINE
    click.echo(heading("NØMADE System Check"))
    click.echo("═" * RULE)
    for section in sections:
        click.echo(heading(f"{section.title}:"))
        for check in section.checks:
            _show(check)
    click.echo("─" * RULE)
    if failed:
        click.echo(bad(f"✗ {len(failed)} check{'s' if len(failed) > 1 else ''} failed"))
        return FINDING
    click.echo(good("OK All checks passed!"))
    return FINE


def _show(check: Check) -> None:
    click.echo(f"  {_COLOURS[check.state](_MARKS[check.state])} {printable(check.text)}")
    if check.hint and check.state != OK:
        click.echo(faint(f"      → {printable(check.hint)}"))
