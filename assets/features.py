"""Feature assets: what is known of each job, with the documented quantities. Here belong specs and short bodies.

The arithmetic is in `nomade_pipeline.features`.
"""

import dagster as dg

FEATURE_ASSETS: list[dg.AssetsDefinition] = []
