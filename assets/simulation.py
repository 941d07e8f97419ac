"""Simulation assets: the cloud of plausible jobs, coverage, anomalies, drift. Here belong specs and short bodies.

The arithmetic is in `nomade_pipeline.simulation`.
"""

import dagster as dg

SIMULATION_ASSETS: list[dg.AssetsDefinition] = []
