"""nomade-pipeline: monitoring and prediction for HPC clusters as a Dagster data pipeline."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the Python interface at its first use, so that the agent starts without it."""
    if name == "Nomade":
        # By name: a plain import would tie every module of the agent to the interface's packages.
        return importlib.import_module("nomade_pipeline.api").Nomade
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
