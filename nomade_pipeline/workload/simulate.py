"""From a scenario to a data folder: what `nomade simulate` does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Callable

from nomade_pipeline.config.keys import FORMS
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.spool import is_folder_name
from nomade_pipeline.tables.catalog import RAW_TABLES
from nomade_pipeline.tables.outcomes import OUTCOME_CLASSES
from nomade_pipeline.workload.errors import ScenarioError
from nomade_pipeline.workload.history import history_of
from nomade_pipeline.workload.scenario import Scenario
from nomade_pipeline.workload.write import Written, write_history


@dataclass(frozen=True)
class Simulated:
    """What was simulated.

    Attributes:
        scenario: what was asked for.
        outcomes: jobs by class, and those that have not ended.
        written: rows.
    """

    scenario: Scenario
    outcomes: dict[str, int]
    written: Written


def simulate(store: Store, scenario: Scenario, progress: Callable[[str, float], None]) -> Simulated:
    """Simulate a scenario and write it to a data folder.

    Args:
        store: the data folder.
        scenario: what to simulate.
        progress: is told what is done and its share, 0 to 1.

    Raises:
        ScenarioError: the cluster exists already, or its name cannot be a folder's.
        LakeError, SpoolError, OSError: it cannot be written.
    """
    if not is_folder_name(scenario.cluster):
        raise ScenarioError(f"cluster {scenario.cluster!r:.80}: {FORMS['name'][1]}")
    if any(scenario.cluster in store.lake.clusters(table) for table in RAW_TABLES):
        raise ScenarioError(
            f"{store.paths.root} has a cluster {scenario.cluster} already; give --replace, or another --cluster"
        )
    history = history_of(scenario, lambda share: progress("scheduling", share))
    counts = Counter(history.outcome.tolist())
    outcomes = {name: counts[code] for code, name in enumerate(OUTCOME_CLASSES)}
    written = write_history(store, history, progress)
    return Simulated(scenario, {**outcomes, "not ended": counts[-1]}, written)
