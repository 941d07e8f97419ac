"""Contracts of the simulation tables: the cloud of plausible jobs, what lies outside of it, and drift."""

from __future__ import annotations

from typing import Tuple

from nomade_pipeline.tables.contract import Table

SIMULATION_TABLES: Tuple[Table, ...] = ()
