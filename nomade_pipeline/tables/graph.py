"""Contracts of the graph tables: who is like whom, and what the network says.

Each partition is a network of its own: that of the jobs of a window of days, under the last day of the window.
"""

from __future__ import annotations

from typing import Tuple

from nomade_pipeline.tables.contract import CLUSTER, GRAPH, Column, Table
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

NO_GRAPH = "there is no similarity graph; `note` says why"

LAST_DAY = Column("sample_time", "time", "Beginning of the last UTC day of the window.", "UTC")
NODE = Column(
    "node", "int32", "Number of the node, from 0; of the network of this cluster and day.", "index", minimum=0
)


def _number(name: str, description: str, unit: str = "count", null: str = NO_GRAPH) -> Column:
    return Column(name, "int64", description, unit, null, minimum=0)


SIMILARITY_JOBS = Table(
    "similarity_jobs",
    GRAPH,
    "One job of the window, and which node of the similarity graph it is. Jobs whose vectors are equal are one node.",
    (
        CLUSTER,
        JOB_METRICS.column("job_id_raw"),
        JOB_METRICS.column("submit_time"),
        LAST_DAY,
        Column(
            "node",
            NODE.type,
            NODE.description,
            NODE.unit,
            "fewer than five measured quantities that vary in the window",
            minimum=0,
        ),
        Column("measured", "int32", "Measured quantities that vary in the window.", "count", minimum=0),
        JOB_METRICS.column("failure_class"),
        Column(
            "degree_at_threshold",
            "int32",
            "Jobs whose cosine with it is at least the threshold, those that the cap on neighbours hid included.",
            "jobs",
            "no node, or not counted: in large windows a sample of the nodes is",
            minimum=0,
        ),
    ),
    key=("cluster", "job_id_raw", "submit_time"),
    rollup_by=(),
)

SIMILARITY_EDGES = Table(
    "similarity_edges",
    GRAPH,
    "One edge between two nodes of the similarity graph: at least one of the two is among the nearest of the other.",
    (
        CLUSTER,
        Column("first", "int32", "Node with the smaller number.", "index", minimum=0),
        Column("second", "int32", "Node with the larger number.", "index", minimum=0),
        LAST_DAY,
        Column("weight", "float32", "Cosine of the two vectors.", "cosine", minimum=-1, maximum=1),
    ),
    key=("cluster", "first", "second"),
    rollup_by=(),
)

SIMILARITY_WINDOWS = Table(
    "similarity_windows",
    GRAPH,
    "The similarity graph of one window: its size, what it was made with, and what it leaves out.",
    (
        CLUSTER,
        LAST_DAY,
        Column("first_time", "time", "End of the earliest job of the window.", "UTC", "no job"),
        Column("last_time", "time", "End of the latest job of the window.", "UTC", "no job"),
        Column("jobs", "int64", "Jobs of the window.", "jobs", minimum=0),
        Column("eligible_jobs", "int64", "Of these those with enough measured quantities.", "jobs", minimum=0),
        Column("measured_dimensions", "int32", "Dimensions that were measured and vary in the window.", "count"),
        _number("nodes", "Different vectors among the eligible jobs."),
        _number("edges", "Edges that are kept."),
        _number(
            "hidden_edges",
            "Pairs of nodes at or above the threshold that are no edge: for neither the other is among the nearest. "
            "Extrapolated from the nodes that were counted, where not all were.",
        ),
        _number("counted_nodes", "Nodes whose neighbours at the threshold were counted: all, or a sample."),
        Column("threshold", "float64", "Least cosine of an edge.", "cosine", minimum=-1, maximum=1),
        Column("neighbours", "int32", "Nearest nodes that each node keeps at most.", "count", minimum=1),
        Column("clip", "float64", "Normalised quantities lie within plus and minus this.", "deviations", minimum=0),
        Column("dimensions", "text", "Names of the quantities of the vector, a JSON list."),
        Column("scaler", "text", "Mean and deviation of each transformed quantity, JSON; see `Scaler.as_dict`."),
        Column("scaler_time", "time", "Last UTC day of the window that the scaler was fitted on.", "UTC"),
        Column(
            "degree_mean",
            "float64",
            "Mean over the jobs of degree_at_threshold.",
            "jobs",
            NO_GRAPH,
            minimum=0,
        ),
        Column("degree_median", "float64", "Median of it.", "jobs", NO_GRAPH, minimum=0),
        Column("degree_max", "int32", "Largest.", "jobs", NO_GRAPH, minimum=0),
        Column(
            "circular",
            "bool",
            "A dimension contains the outcome: what the network says about outcomes is true by construction.",
        ),
        Column("note", "text", "Why there is no graph, in words.", null="there is one"),
    ),
    key=("cluster", "sample_time"),
    rollup_by=(),
)

REQUEST_EDGES = Table(
    "request_edges",
    GRAPH,
    "A job that ended on the day, and one of the jobs most like it in what was asked for that had ended before it was "
    "submitted.",
    (
        CLUSTER,
        JOB_METRICS.column("job_id_raw"),
        JOB_METRICS.column("submit_time"),
        Column("rank", "int32", "1: the most similar.", "rank", minimum=1),
        Column("sample_time", "time", "When the job ended.", "UTC"),
        Column("earlier_job_id_raw", "text", "Number of the earlier job."),
        Column("earlier_submit_time", "time", "When that was submitted.", "UTC"),
        Column("earlier_end_time", "time", "When that had ended: before submit_time.", "UTC"),
        Column(
            "similarity",
            "float32",
            "Gower's similarity of the two requests; 1: the same in all that is known of both.",
            "0-1",
            minimum=0,
            maximum=1,
        ),
    ),
    key=("cluster", "job_id_raw", "submit_time", "rank"),
    rollup_by=(),
)

NOT_PLACED = "too little is known of it yet, or no ended job is like it"
NO_LAYOUT = f"{NOT_PLACED}; or there is no layout"


def _place(name: str, description: str) -> Column:
    return Column(name, "float64", description, "as in graph_layout", NO_LAYOUT)


SIMILARITY_LIVE = Table(
    "similarity_live",
    GRAPH,
    "One job that ran at the moment of the day's newest run, among the ended jobs of the newest similarity graph: "
    "by what is known of it so far.",
    (
        CLUSTER,
        JOB_METRICS.column("job_id_raw"),
        JOB_METRICS.column("submit_time"),
        JOB_METRICS.column("job_id"),
        Column("sample_time", "time", "When it was placed.", "UTC"),
        Column("start_time", "time", "When it started.", "UTC"),
        JOB_METRICS.column("user"),
        JOB_METRICS.column("partition"),
        Column("graph_time", "time", "Last UTC day of the window of the graph.", "UTC"),
        Column("measured", "int32", "Quantities that are known so far and vary in that window.", "count", minimum=0),
        Column("nodes", "text", "The nearest nodes of the graph, a JSON list, the nearest first; may be empty."),
        Column("cosines", "text", "The cosines with these, a JSON list."),
        Column("community", "int32", "Community that most of these nodes' weight is of.", "number", NOT_PLACED),
        *(_place(name, "Mean position by forces of the nearest nodes, weighted by cosine.") for name in "xyz"),
        *(_place(f"pca_{name}", "Mean of their principal components.") for name in "xyz"),
        Column("nfs_write_gb", "float64", "Written to network file systems so far.", "GB", "not watched", minimum=0),
        Column("local_write_gb", "float64", "Written to local file systems so far.", "GB", "not watched", minimum=0),
        Column("avg_iowait", "float64", "I/O wait of its hosts so far.", "%", "no sample of its hosts", minimum=0),
    ),
    key=("cluster", "job_id_raw", "submit_time"),
    rollup_by=(),
)

SIMILARITY_TABLES: Tuple[Table, ...] = (SIMILARITY_JOBS, SIMILARITY_EDGES, SIMILARITY_WINDOWS)

GRAPH_TABLES: Tuple[Table, ...] = (*SIMILARITY_TABLES, REQUEST_EDGES, SIMILARITY_LIVE)
