"""Checks on what Slurm's commands told, and the standing inventory of partitions that failed.

The comparisons are in `nomade_pipeline.quality.slurm_checks`.
Documentation: https://docs.dagster.io/guides/test/asset-checks
"""

from datetime import date, timedelta
from typing import Callable, Iterable

import dagster as dg

from assets.raw import RAW_ASSETS, raw_key
from nomade_pipeline import clock
from nomade_pipeline.quality.slurm_checks import Finding, empty_answers, jobs_without_record
from nomade_pipeline.resources import DAILY, NomadeResource
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import SLURM_QUEUE

# A partition that failed longer ago was decided about by a person.
INVENTORY_DAYS = 31


def _comparison(
    table: Table, name: str, description: str, compare: Callable[[Store, date], Finding]
) -> dg.AssetChecksDefinition:
    """Build a check that warns when two answers of Slurm disagree."""

    @dg.asset_check(
        asset=raw_key(table), name=name, description=description, partitions_def=DAILY, pool="lake", blocking=False
    )
    def comparison(context: dg.AssetCheckExecutionContext, nomade: NomadeResource) -> dg.AssetCheckResult:
        key = context.partition_key if context.has_partition_key else clock.today().isoformat()
        found = compare(nomade.store(), date.fromisoformat(key))
        return dg.AssetCheckResult(
            passed=not found.count,
            severity=dg.AssetCheckSeverity.WARN,
            description=found.message,
            metadata={"found": found.count},
        )

    return comparison


COMPARISONS = [
    _comparison(
        JOB_METRICS,
        "every_job_that_left_the_queue_is_accounted_for",
        "Jobs that squeue saw running and then no more have an end in sacct.",
        jobs_without_record,
    ),
    _comparison(
        SLURM_QUEUE,
        "empty_answers_agree_with_the_nodes",
        "squeue shows running jobs whenever sinfo shows allocated CPUs.",
        empty_answers,
    ),
]


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "no_partitions_left_failed",
            asset=asset.key,
            description=f"What is broken now: days of the last {INVENTORY_DAYS} whose newest materialisation failed.",
        )
        for asset in RAW_ASSETS
    ],
    # Materialising one asset by hand selects its checks with it.
    can_subset=True,
)
def no_partitions_left_failed(context: dg.AssetCheckExecutionContext) -> Iterable[dg.AssetCheckResult]:
    """Look at the status of the newest partitions of each raw asset that is selected."""
    days = [(clock.today() - timedelta(days=back)).isoformat() for back in range(INVENTORY_DAYS)]
    for selected in sorted(context.selected_asset_check_keys):
        status = context.instance.get_status_by_partition(selected.asset_key, days, DAILY) or {}
        failed = sorted(day for day, state in status.items() if state == dg.AssetPartitionStatus.FAILED)
        yield dg.AssetCheckResult(
            asset_key=selected.asset_key,
            check_name="no_partitions_left_failed",
            passed=not failed,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"failed: {', '.join(failed[:20])}" if failed else "none failed",
            metadata={"failed": len(failed)},
        )
