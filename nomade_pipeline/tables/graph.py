"""Contracts of the graph tables: who is like whom, and what the network says."""

from __future__ import annotations

from typing import Tuple

from nomade_pipeline.tables.contract import Table

GRAPH_TABLES: Tuple[Table, ...] = ()
