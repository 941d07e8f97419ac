"""Great Expectations suites as asset checks: one a raw table, from the same contract as everything else.

They run on closed days and on demand; importing Great Expectations costs 5 CPU-seconds, so the
15-minute ingest leaves them out. Documentation: https://docs.dagster.io/guides/test/asset-checks
"""

from datetime import date

import dagster as dg

from assets.raw import raw_key
from nomade_pipeline import clock
from nomade_pipeline.resources import DAILY, NomadeResource
from nomade_pipeline.tables.catalog import RAW_TABLES
from nomade_pipeline.tables.contract import Table

SUITE_CHECK = "great_expectations_suite"


def build_suite_check(table: Table) -> dg.AssetChecksDefinition:
    """Build the check that runs a table's suite on the partition as it is stored."""

    @dg.asset_check(
        asset=raw_key(table),
        name=SUITE_CHECK,
        description="Great Expectations suite generated from the table contract, on the stored partition.",
        partitions_def=DAILY,
        pool="great_expectations",
    )
    def suite_check(context: dg.AssetCheckExecutionContext, nomade: NomadeResource) -> dg.AssetCheckResult:
        from nomade_pipeline.quality.expectations import validate_day

        key = context.partition_key if context.has_partition_key else clock.today().isoformat()
        store, day = nomade.store(), date.fromisoformat(key)
        result = validate_day(store, table, day)
        rows = sum(store.lake.count(table, cluster, day) for cluster in store.lake.clusters(table))
        return dg.AssetCheckResult(
            passed=result.success,
            description=result.summary(),
            metadata={"expectations": result.evaluated, "failed": len(result.failed), "rows": rows},
        )

    return suite_check


SUITE_CHECKS = [build_suite_check(table) for table in RAW_TABLES]
