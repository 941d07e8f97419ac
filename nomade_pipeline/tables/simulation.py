"""Contracts of the simulation tables: the cloud of plausible jobs, what lies outside of it, and drift.

The cloud of a UTC day is made of the jobs of the window of days before it, so that the jobs of the day are new to it.
"""

from __future__ import annotations

from typing import Optional, Tuple

from nomade_pipeline.tables.contract import CLUSTER, SIMULATION, Column, Table
from nomade_pipeline.tables.features import QUANTITIES, VECTOR
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

# Figures of a validation.
C2ST, CORRELATION, COPIES, KS = MEASURES = ("c2st", "correlations", "copies", "ks")
INSIDE, PLAUSIBLE = SHARES = ("real_inside", "cloud_plausible")
DRIFT_LEVELS = ("stable", "watch", "drift")
# All quantities together.
ALL = "all"

DAY_TIME = Column("sample_time", "time", "Beginning of the UTC day.", "UTC")
CELL = Column("cell", "int32", "Number of the cell of alike jobs, from 0; of this cluster and day.", "index", minimum=0)
WORDS = Column("words", "text", "What it means, in a sentence.")


def _share(name: str, description: str, null: Optional[str] = None) -> Column:
    return Column(name, "float64", description, "0-1", null, minimum=0, maximum=1)


_QUANTITY = Column("quantity", "text", f"Name of a quantity, or `{ALL}`: all together.")
_P = _share("p", "Probability of such a figure by chance.", "not tested")

CLOUD_MODEL = Table(
    "simulation_models",
    SIMULATION,
    "The model of a cloud: what it was fitted to, and all that is needed to draw from it.",
    (
        CLUSTER,
        DAY_TIME,
        Column("first_day", "date", "First UTC day of the window."),
        Column("last_day", "date", "Last UTC day of the window."),
        Column("jobs", "int64", "Jobs of the window that can be compared.", "jobs", minimum=0),
        Column("fitted", "int64", "Jobs that it was fitted to; the others were held out.", "jobs", minimum=0),
        Column("cells", "int64", "Cells of alike jobs.", "count", minimum=0),
        Column("model", "text", "The model as JSON: what `Cloud.from_json` reads.", null="there is none; see `note`"),
        Column("note", "text", "What is missing.", null="nothing is"),
    ),
    key=("cluster", "sample_time"),
    rollup_by=(),
)

SIMULATION_CLOUD = Table(
    "simulation_cloud",
    SIMULATION,
    "One simulated job. It never ran: no person and no job stands behind it.",
    (
        CLUSTER,
        Column("number", "int64", "Number of the simulated job, from 0.", "index", minimum=0),
        DAY_TIME,
        CELL,
        *(
            Column(
                column.name,
                column.type,
                column.description,
                column.unit,
                "as in real jobs of its cell",
                minimum=column.minimum,
                maximum=column.maximum,
            )
            for column in (quantity.column() for quantity in QUANTITIES if quantity.name in VECTOR)
        ),
    ),
    key=("cluster", "number"),
    rollup_by=(),
)

_LOW, _HIGH = "Lower end of its 95 % interval.", "Upper end of it."
_NO_INTERVAL = "none is known for this figure"

SIMULATION_VALIDATION = Table(
    "simulation_validation",
    SIMULATION,
    "How well a cloud resembles real jobs that it has not seen: one figure.",
    (
        CLUSTER,
        Column(
            "measure",
            "text",
            f"`{C2ST}`: AUC of a classifier that tries to tell them apart, 0.5 is the best; "
            f"`{CORRELATION}`: root mean square difference of the rank correlations; "
            f"`{COPIES}`: share of simulated jobs that are nearly copies of a real one; "
            f"`{KS}`: largest difference of the distributions of a quantity.",
            allowed=MEASURES,
        ),
        _QUANTITY,
        DAY_TIME,
        _share("value", "The figure."),
        _share("low", _LOW, _NO_INTERVAL),
        _share("high", _HIGH, _NO_INTERVAL),
        _share("floor", "The same figure of real jobs against real ones."),
        _P,
        Column("significant", "bool", "A difference at a false discovery rate of 5 % over the quantities."),
    ),
    key=("cluster", "measure", "quantity"),
    rollup_by=(),
)

SIMULATION_COVERAGE = Table(
    "simulation_coverage",
    SIMULATION,
    "How much of the real jobs the cloud reaches, or how much of the cloud is plausible.",
    (
        CLUSTER,
        Column(
            "measure",
            "text",
            f"`{INSIDE}`: share of real jobs that lie in the region of the cloud; `{PLAUSIBLE}`: share of simulated "
            "jobs that lie in the region of the real ones. A region: all that is nearer to a job than that job's fifth "
            "neighbour.",
            allowed=SHARES,
        ),
        DAY_TIME,
        _share("value", "The share."),
        _share("low", _LOW),
        _share("high", _HIGH),
        _share("floor", "The same share of one half of the real jobs in place of the cloud."),
        Column("jobs", "int64", "Jobs of each of the two sets.", "jobs", minimum=0),
    ),
    key=("cluster", "measure"),
    rollup_by=(),
)

SIMULATION_ANOMALIES = Table(
    "simulation_anomalies",
    SIMULATION,
    "One job that ended on the day and lies outside of the cloud: of a hundred ordinary jobs one is as far away.",
    (
        CLUSTER,
        JOB_METRICS.column("job_id_raw"),
        JOB_METRICS.column("submit_time"),
        JOB_METRICS.column("job_id"),
        Column("sample_time", "time", "When it ended.", "UTC"),
        JOB_METRICS.column("failure_class"),
        Column(
            "distance",
            "float64",
            "Mean distance to its five nearest simulated jobs, in standard deviations of the quantities.",
            "deviations",
            minimum=0,
        ),
        _share("p", "Probability that an ordinary job is as far away (conformal)."),
        Column("sure", "bool", "Odd at a false discovery rate of 5 % over the jobs of the day."),
        WORDS,
    ),
    key=("cluster", "job_id_raw", "submit_time"),
    rollup_by=(),
)

DRIFT = Table(
    "drift",
    SIMULATION,
    "Whether a quantity of the jobs of the last days has changed against the window before them.",
    (
        CLUSTER,
        _QUANTITY,
        DAY_TIME,
        Column("jobs", "int64", "Jobs of the last days in which it was measured.", "jobs", minimum=0),
        _share(
            "distance",
            "Largest difference between ranks within the window and even ones (Kolmogorov): about the share of jobs "
            "that have changed.",
        ),
        _share("p", "Probability of such evidence by chance, all quantities counted; holds however often one looks."),
        Column("level", "text", "How sure it is, by `[drift]`.", allowed=DRIFT_LEVELS),
        Column("since", "date", "UTC day on which it most likely began.", null="it is stable"),
        WORDS,
    ),
    key=("cluster", "quantity"),
    rollup_by=(),
)

SIMULATION_TABLES: Tuple[Table, ...] = (
    CLOUD_MODEL,
    SIMULATION_CLOUD,
    SIMULATION_VALIDATION,
    SIMULATION_COVERAGE,
    SIMULATION_ANOMALIES,
    DRIFT,
)
