"""Contracts of what the networks of jobs say: communities, statistics, layout, zones and hotspots.

Like the similarity graph, each partition speaks of the jobs of a window of days, under the last day of the window.
"""

from __future__ import annotations

from typing import Optional, Tuple

from nomade_pipeline.tables.contract import CLUSTER, GRAPH, Column, Table
from nomade_pipeline.tables.graph import LAST_DAY, NODE, SIMILARITY_JOBS
from nomade_pipeline.tables.outcomes import OUTCOME_CLASSES
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

NONE_JUDGED = "no job of it failed or succeeded"
NOT_PLACED = "it has no node in the similarity graph, or its community is too small"
NO_RESOURCE = "the source tells none of its resources"
NO_EDGE = f"{NOT_PLACED}, or the node has no edge"
NOT_EXCHANGED = "the null model can exchange too few jobs"

# Axes of the raw space, in the order of the layout's columns.
RAW_AXES: Tuple[str, ...] = ("nfs_write_gb", "local_write_gb", "avg_iowait")
ZONES: Tuple[str, ...] = ("safe", "danger")
RESOURCE_KINDS: Tuple[str, ...] = ("partition", "node", "file system")
NULL_MODELS: Tuple[str, ...] = ("permuted", "user_partition", "user_week")
STATISTICS: Tuple[str, ...] = ("mntd", "mpd", "assortativity", "purity")
CLUSTERED, OVERDISPERSED, NOT_CLUSTERED, CANNOT_SAY = VERDICTS = (
    "clustered",
    "overdispersed",
    "not clustered",
    "cannot be said (n too small)",
)


def _jobs(name: str, description: str, null: Optional[str] = None) -> Column:
    return Column(name, "int64", description, "jobs", null, minimum=0)


def _share(name: str, description: str, null: Optional[str] = None) -> Column:
    return Column(name, "float64", description, "0-1", null, minimum=0, maximum=1)


def _community(name: str, description: str, null: Optional[str]) -> Column:
    return Column(name, "int32", description, "number", null, minimum=0)


def _outlook(of: str) -> Tuple[Column, ...]:
    return (
        _jobs("judged", f"Jobs of {of} that failed or succeeded; cancelled ones and those that never ran are neither."),
        _jobs("failed", "Of these those that failed."),
        _share("failure_rate", "failed / judged.", NONE_JUDGED),
        _share("failure_rate_low", "Lower end of its 95 % interval (Wilson).", NONE_JUDGED),
        _share("failure_rate_high", "Upper end of it.", NONE_JUDGED),
    )


COMMUNITIES = Table(
    "communities",
    GRAPH,
    "One community of jobs that behave alike (data space): what it is like and how its jobs end.",
    (
        CLUSTER,
        _community("community", "Its number; the same as the day before where it is the same community.", None),
        LAST_DAY,
        Column("description", "text", "What it is like, in words."),
        _jobs("jobs", "Its jobs."),
        Column("nodes", "int64", "Its nodes in the similarity graph: different vectors.", "count", minimum=0),
        Column("users", "int64", "Its users.", "count", "the source does not tell users", minimum=0),
        *_outlook("it"),
        *(_jobs(f"{name.lower()}_jobs", f"Jobs of class {name}.") for name in OUTCOME_CLASSES),
        _share("gpu_share", "Share of its jobs that used GPU memory.", "of no job it is known"),
        _share("nfs_share", "Mean over its jobs of nfs_ratio.", "of no job it is known"),
        _jobs("transition_jobs", "Its jobs of which a third or more of the edges lead to other communities."),
        _share("stability", "Shared jobs / jobs of it today or the day before (Jaccard), of jobs in both.", "new"),
        Column("traits", "text", "Quantities that differ most from the other jobs, with their effects; JSON."),
        Column("indicators", "text", "Quantities by which it can be told, with their indicator values; JSON."),
    ),
    key=("cluster", "community"),
    rollup_by=(),
)

COMMUNITY_JOBS = Table(
    "community_jobs",
    GRAPH,
    "One job of the window and the communities that it belongs to.",
    (
        CLUSTER,
        JOB_METRICS.column("job_id_raw"),
        JOB_METRICS.column("submit_time"),
        LAST_DAY,
        SIMILARITY_JOBS.column("node"),
        _community("community", "Its community by behaviour (data space).", NOT_PLACED),
        _community("real_community", "Its community by resources (real space); numbers hold for the day.", NO_RESOURCE),
        _share("own_share", "Share of the weight of its edges that stays in its community.", NO_EDGE),
        _share("participation", "1 - sum of squared shares of its edges by community; 0: one only.", NO_EDGE),
        _community("second_community", "The other community that most of its edges lead to.", "none"),
        Column("in_transition", "bool", "A third or more of its edges lead to other communities.", null=NO_EDGE),
        Column("boundary", "text", "In what the two communities differ: `CPU↔GPU`, `NFS↔local`.", null="in neither"),
    ),
    key=("cluster", "job_id_raw", "submit_time"),
    rollup_by=(),
)

COMMUNITY_RESOURCES = Table(
    "community_resources",
    GRAPH,
    "One resource of the bipartite graph, and the communities of the jobs that use it.",
    (
        CLUSTER,
        Column("kind", "text", "What it is.", allowed=RESOURCE_KINDS),
        Column("resource", "text", "Its name."),
        LAST_DAY,
        Column("weight", "float64", "Jobs that use it, each by its share.", "jobs", minimum=0),
        _community("real_community", "Its community (real space); numbers hold for the day.", "no job uses it"),
        _community("community", "The community by behaviour that most of its use is of.", "of no placed job"),
        _share("own_share", "Share of that community of its use.", "of no placed job"),
        _share("participation", "1 - sum of squared shares of its use by community.", "of no placed job"),
        Column("in_transition", "bool", "A third or more of its use is of others.", null="of no placed job"),
    ),
    key=("cluster", "kind", "resource"),
    rollup_by=(),
)

COMMUNITY_WINDOWS = Table(
    "community_windows",
    GRAPH,
    "The communities of one window in figures.",
    (
        CLUSTER,
        LAST_DAY,
        _jobs("jobs", "Jobs of the window."),
        _jobs("placed_jobs", "Of these those with a node in the similarity graph."),
        Column("communities", "int32", "Communities by behaviour.", "count", minimum=0),
        Column("real_communities", "int32", "Communities by resources.", "count", minimum=0),
        _jobs("apart_jobs", "Placed jobs in no community of enough jobs."),
        _jobs("transition_jobs", "Jobs in transition between communities."),
        Column(
            "agreement",
            "float64",
            "Adjusted mutual information of the two ways to divide the jobs; 0: by chance, 1: the same.",
            "AMI",
            "too few jobs are in both",
            maximum=1,
        ),
        Column("resolution", "float64", "Resolution of Leiden's modularity.", "of modularity", minimum=0),
        Column(
            "largest_number", "int32", "Largest number that a community has been given so far.", "number", minimum=0
        ),
        Column("circular", "bool", "A dimension contains the outcome.", null="there is no similarity graph"),
        Column("note", "text", "Why there are no communities by behaviour.", null="there are, or none has enough jobs"),
    ),
    key=("cluster", "sample_time"),
    rollup_by=(),
)


def _of_null(name: str, description: str) -> Column:
    return Column(name, "float64", description, "of the statistic", NOT_EXCHANGED)


GRAPH_STATISTICS = Table(
    "graph_statistics",
    GRAPH,
    "One statistic of how failed jobs lie among all, against one null model of permuted labels.",
    (
        CLUSTER,
        Column("statistic", "text", "mntd, mpd: distances between failed jobs; see the manual.", allowed=STATISTICS),
        Column(
            "null_model",
            "text",
            "Where outcomes were exchanged: permuted: among all jobs; user_partition, user_week: within those of one "
            "user and partition, or of one user and week.",
            allowed=NULL_MODELS,
        ),
        LAST_DAY,
        _jobs("judged", "Jobs that failed or succeeded."),
        _jobs("failed", "Of these those that failed."),
        _jobs("exchangeable", "Failed or successful jobs, whichever are fewer, in strata that hold both."),
        Column("observed", "float64", "Its value.", "of the statistic", "too few jobs failed or succeeded"),
        _of_null("expected", "Mean under the null model."),
        _of_null("deviation", "Standard deviation under it."),
        _of_null("null_low", "2.5 % quantile under it."),
        _of_null("null_high", "97.5 % quantile."),
        Column(
            "effect",
            "float64",
            "(observed - expected) / deviation: of mntd it is SES.MNTD.",
            "deviations",
            f"{NOT_EXCHANGED}, or the statistic does not vary",
        ),
        Column("p", "float64", "Two-sided p of the permutation test.", "probability", NOT_EXCHANGED, 0, 1),
        Column("draws", "int32", "Permutations.", "count", minimum=0),
        Column("declared", "bool", "This one decides; that was declared beforehand."),
        Column("verdict", "text", "What it says (p <= .05).", null="not the declared one", allowed=VERDICTS),
        Column("reading", "text", "What it says, in words."),
    ),
    key=("cluster", "statistic", "null_model"),
    rollup_by=(),
)


def _axis(name: str, description: str, unit: str, null: Optional[str] = None) -> Column:
    return Column(name, "float64", description, unit, null)


_UNWATCHED = "of none of its jobs it is known"

GRAPH_LAYOUT = Table(
    "graph_layout",
    GRAPH,
    "Where one node of the similarity graph lies in three spaces.",
    (
        CLUSTER,
        NODE,
        LAST_DAY,
        _jobs("jobs", "Jobs that it stands for."),
        *(_axis(name, "Position by forces.", "mean distances from the middle") for name in "xyz"),
        *(
            _axis(f"pca_{name}", "Principal component, turned to lie as the day before.", "deviations")
            for name in "xyz"
        ),
        _axis("nfs_write_gb", "Written to network file systems; mean of its jobs.", "GB", _UNWATCHED),
        _axis("local_write_gb", "Written to local file systems; mean of its jobs.", "GB", _UNWATCHED),
        _axis("avg_iowait", "I/O wait of its hosts; mean of its jobs.", "%", _UNWATCHED),
    ),
    key=("cluster", "node"),
    rollup_by=(),
)


def _bound(axis: str, end: str) -> Column:
    what = "Its jobs have more than this" if end == "low" else "Its jobs have at most this"
    return Column(f"{axis}_{end}", "float64", f"{what}.", "%" if axis == "avg_iowait" else "GB", "no bound")


GRAPH_ZONES = Table(
    "graph_zones",
    GRAPH,
    "A box in the space of NFS writes, local writes and I/O wait, and how the jobs in it end.",
    (
        CLUSTER,
        Column("zone", "text", "safe: little NFS, much local, little wait; danger: the reverse.", allowed=ZONES),
        LAST_DAY,
        *(_bound(axis, end) for axis in RAW_AXES for end in ("low", "high")),
        _jobs("known", "Jobs of the window of which all three are known."),
        _jobs("jobs", "Of these those in the zone."),
        *_outlook("the zone"),
    ),
    key=("cluster", "zone"),
    rollup_by=(),
)


def _range(prefix: str, null: Optional[str]) -> Tuple[Column, ...]:
    return (
        Column(f"{prefix}quantity", "text", "Quantity of the bin.", null=null),
        Column(f"{prefix}low", "float64", "Its jobs have more than this (the lowest bin: or this).", "own unit", null),
        Column(f"{prefix}high", "float64", "And at most this.", "own unit", null),
    )


GRAPH_HOTSPOTS = Table(
    "graph_hotspots",
    GRAPH,
    "A range of one quantity, or of two, in which more jobs fail than by chance.",
    (
        CLUSTER,
        Column("rank", "int32", "1: the clearest.", "rank", minimum=1),
        LAST_DAY,
        *_range("", None),
        *_range("second_", "of one quantity alone"),
        _jobs("jobs", "Judged jobs in it."),
        _jobs("failed", "Of these those that failed."),
        _share("failure_rate", "failed / jobs."),
        _share("failure_rate_low", "Lower end of its 95 % interval (Wilson)."),
        _share("failure_rate_high", "Upper end of it."),
        _share("base_rate", "Failure rate of all judged jobs."),
        Column("p", "float64", "One-sided p of Fisher's exact test.", "probability", minimum=0, maximum=1),
        Column(
            "adjusted_p",
            "float64",
            "The same, adjusted for all bins looked at (Benjamini and Hochberg); at most .05.",
            "probability",
            minimum=0,
            maximum=1,
        ),
        Column("tested", "int64", "Bins that were looked at.", "count", minimum=1),
        Column("users", "int64", "Users of its failed jobs.", "count", "the source does not tell users", minimum=0),
        _share("top_user_share", "Largest share of its failed jobs that one user has.", "the same"),
    ),
    key=("cluster", "rank"),
    rollup_by=(),
)

COMMUNITY_TABLES: Tuple[Table, ...] = (COMMUNITIES, COMMUNITY_JOBS, COMMUNITY_RESOURCES, COMMUNITY_WINDOWS)
NETWORK_TABLES: Tuple[Table, ...] = (*COMMUNITY_TABLES, GRAPH_STATISTICS, GRAPH_LAYOUT, GRAPH_ZONES, GRAPH_HOTSPOTS)
