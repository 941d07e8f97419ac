"""Graph assets: similarity network, communities, statistics, layout. Here belong specs and short bodies.

The arithmetic is in `nomade_pipeline.network`.
"""

import dagster as dg

GRAPH_ASSETS: list[dg.AssetsDefinition] = []
