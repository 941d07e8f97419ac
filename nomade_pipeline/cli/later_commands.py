"""Commands whose data comes with a later version: they take their options and say what is missing."""

from __future__ import annotations

from typing import Any

import click

from nomade_pipeline.cli.common import json_option
from nomade_pipeline.errors import NotYet

_JSON = json_option
_MODELS = "the prediction engine"


def _later(name: str, purpose: str, comes_with: str, *parameters: Any, examples: tuple[str, ...]) -> click.Command:
    """Build a command that ends with exit status 3 and says what it waits for."""

    def not_yet(**_options: Any) -> None:
        raise NotYet(f"`nomade {name}` has no data in this version", f"it comes with {comes_with} in a later version")

    command = click.command(
        name,
        help=f"{purpose}\n\nNot in this version: it comes with {comes_with}.",
        epilog="\b\nExamples:\n  " + "\n  ".join(examples),
    )(not_yet)
    for parameter in reversed(parameters):
        command = parameter(command)
    return command


licenses_command = _later(
    "licenses", "Show licence servers.", "the licence collectors", _JSON, examples=("nomade licenses",)
)
train_command = _later("train", "Train the models.", _MODELS, _JSON, examples=("nomade train",))
predict_command = _later(
    "predict", "Score jobs.", _MODELS, click.argument("job", required=False), _JSON, examples=("nomade predict 12345",)
)
learn_command = _later("learn", "Retrain when it is due.", _MODELS, _JSON, examples=("nomade learn",))
dashboard_command = _later(
    "dashboard",
    "Serve the dashboard.",
    "the dashboard",
    click.option("--host", help="Address to listen on."),
    click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on."),
    examples=("nomade dashboard --port 8080",),
)
