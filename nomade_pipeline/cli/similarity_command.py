"""`nomade similarity`: how alike jobs are: the newest network, the jobs most like one job, an export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Mapping

import click

from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import NULL, echo_json, faint, heading, note, number, printable, table, warn
from nomade_pipeline.errors import NoData
from nomade_pipeline.tables.outcomes import OUTCOME_CLASSES

if TYPE_CHECKING:
    from nomade_pipeline.network.stored import StoredGraph

# Suffixes of `network.export.FORMATS`, which would be imported for them.
SUFFIXES = (".json", ".graphml", ".gexf")


def _suffix(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    del context
    if value is not None and value.suffix.lower() not in SUFFIXES:
        raise click.BadParameter(f"{value.name!r} ends with none of {', '.join(SUFFIXES)}", param=parameter)
    return value


@click.command(
    "similarity",
    epilog="\b\nExamples:\n  nomade similarity\n  nomade similarity --find-similar 12345\n"
    "  nomade similarity --export viz.json\n  nomade similarity --threshold 0.9 --export network.graphml",
)
@click.option("--find-similar", "job", metavar="JOB", help="Jobs most like this one, which ended in the window.")
@click.option(
    "--export",
    "file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=_suffix,
    help="Write the network, by the suffix: .json, .graphml or .gexf.",
)
@click.option("--threshold", type=click.FloatRange(-1, 1), help="Least similarity of an edge.")
@click.option("--simpson", is_flag=True, help="Simpson similarity of quartiles, in place of the cosine.")
@click.option("--cluster", metavar="NAME", default="", help="Of this cluster; default: of each.")
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="Similar jobs to show.")
@json_option
@pass_invocation
def similarity_command(
    invocation: Invocation,
    job: str | None,
    file: Path | None,
    threshold: float | None,
    simpson: bool,
    cluster: str,
    limit: int,
    as_json: bool,
) -> int:
    """Show how alike jobs are: the newest similarity network, the jobs most like one job, or an export.

    With --threshold or --simpson the network of that window is made anew, and not stored.
    """
    from nomade_pipeline.status.similarity import find_similar, graphs, summaries

    if job is not None:
        if simpson:
            raise click.UsageError("--find-similar goes by the cosine; leave --simpson out")
        found = find_similar(invocation.config, job, cluster, limit, threshold)
        echo_json(found) if as_json else click.echo("\n".join(_similar_lines(found)))
        return FINE
    if file is not None:
        _export(graphs(invocation.config, cluster, threshold, simpson=simpson), file)
        return FINE
    told = summaries(invocation.config, cluster, threshold, simpson=simpson)
    echo_json(told) if as_json else click.echo("\n".join(line for one in told for line in _summary_lines(one)))
    return FINE


def _export(found: list[StoredGraph], file: Path) -> None:
    """Write the one graph that there is.

    Raises:
        UsageError: there are several, and no cluster was named.
        NoData: there is none.
    """
    from nomade_pipeline.network.export import export

    some = [graph for graph in found if graph.edges.nodes]
    if not some:
        raise NoData(str(found[0].window["note"]), "what a network needs is in the manual, docs/similarity.md")
    if len(some) > 1:
        raise click.UsageError(f"--export writes one network; name one: {', '.join(g.cluster for g in some)}")
    export(some[0], file)
    note(f"{some[0].edges.nodes:,} nodes and {len(some[0].edges.first):,} edges in {printable(file)}")


def _summary_lines(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"{heading(printable(told['cluster']))}  {faint('window that ends with ' + told['date'])}"
    yield _field("jobs", f"{told['jobs']:,}, of which {told['eligible_jobs']:,} take part")
    if told["note"]:
        yield warn(f"  {told['note']}")
        return
    yield _field("nodes", f"{told['nodes']:,} (jobs with equal vectors are one)")
    hidden = f"; {told['hidden_edges']:,} hidden by the cap of {told['neighbours']} neighbours"
    yield _field("edges", f"{told['edges']:,} at {told['measure']} >= {told['threshold']:g}{hidden}")
    degree = ", ".join(f"{name} {told['degree_' + name]:,.4g}" for name in ("median", "mean", "max"))
    yield _field("similar jobs", f"{degree} for a job")
    yield _field("measured", f"{told['measured_dimensions']} of {len(told['dimensions'])} quantities vary")
    for statistic in told["statistics"]:
        yield _field(statistic["statistic"], printable(statistic["reading"]))
    if told["circular"]:
        yield warn("  a dimension contains the outcome: what this network says about outcomes is circular")


def _field(name: str, value: str) -> str:
    return f"  {name:<14} {value}"


def _similar_lines(found: Mapping[str, Any]) -> Iterator[str]:
    job = found["job"]
    about = f"{_word(job['failure_class'])}, {printable(job['user'] or NULL)}, {printable(job['partition'] or NULL)}"
    yield f"{heading('Jobs like ' + printable(job['job_id'] or job['job_id_raw']))}  {about}"
    yield faint(f"  {printable(found['cluster'])}, window that ends with {found['date']}")
    if not found["similar"]:
        yield f"  none has a cosine of {found['threshold']:g} or more"
        return
    headers = ("job", "cosine", "outcome", "user", "partition", "both", "this / that")
    rows = [
        (
            row["job_id"] or row["job_id_raw"],
            number(row["cosine"], ".3f"),
            _word(row["failure_class"]),
            row["user"],
            row["partition"],
            ", ".join(row["shares"]) or None,
            ", ".join(row["differs"]) or None,
        )
        for row in found["similar"]
    ]
    yield table(headers, rows, right=("cosine",))


def _word(code: int | None) -> str:
    return NULL if code is None else OUTCOME_CLASSES[code]
