"""The table of commands, and a click group that imports a command only when it is called.

The short help texts live here, so that `nomade --help` imports nothing else.
"""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass

import click
from click.shell_completion import CompletionItem

_PACKAGE = "nomade_pipeline.cli"


@dataclass(frozen=True)
class Entry:
    """Where a command lives.

    Attributes:
        module: module of `nomade_pipeline.cli`.
        summary: the line that `nomade --help` shows.
        attribute: its name in the module; empty: the command's name with ``_command``.
    """

    module: str
    summary: str
    attribute: str = ""


SECTIONS: dict[str, dict[str, Entry]] = {
    "Start": {
        "init": Entry("init_command", "Create configuration, folders and database; safe to repeat."),
        "demo": Entry("run_commands", "Try everything on this machine, with its own data folder."),
        "up": Entry("run_commands", "Run agent, web server and daemon in the foreground."),
        "start": Entry("run_commands", "Run them in the background."),
        "stop": Entry("run_commands", "End what `start` or `up` runs."),
        "lab": Entry("lab_commands", "Run a real Slurm cluster on this machine, to try things on."),
        "syscheck": Entry("syscheck_command", "Check this system's requirements."),
    },
    "Collect": {
        "collect": Entry("collect_commands", "Sample this host once, or until stopped."),
        "parse": Entry("collect_commands", "Read a tool's recorded output as a collector would."),
        "monitor": Entry("monitor_command", "Watch the running jobs of this host."),
        "hooks": Entry("hooks_command", "Install Slurm's prolog and epilog of NOMADE."),
        "ingest": Entry("ingest_command", "Publish the spool to Parquet and roll it up."),
        "import": Entry("import_command", "Import the history of jobs from a file."),
        "backfill": Entry("backfill_command", "Fill the past from Slurm's accounting and sysstat."),
        "simulate": Entry("simulate_command", "Invent a cluster with jobs whose causes are known."),
        "replay": Entry("replay_command", "Let past days happen again, faster."),
    },
    "Look": {
        "status": Entry("status_command", "Show the present state of hosts and collectors."),
        "disk": Entry("disk_command", "Show file systems, how they fill and when they are full."),
        "sql": Entry("sql_commands", "Query all tables with SQL, read-only."),
        "tables": Entry("sql_commands", "List the tables, or the columns of one."),
        "logs": Entry("logs_command", "Show or follow the logs."),
        "queue": Entry("queue_command", "Show the queue, and why jobs wait."),
        "nodes": Entry("nodes_command", "Show the nodes, and when they were out of use."),
        "jobs": Entry("jobs_command", "List jobs that have ended, or that are in the queue."),
        "job": Entry("job_command", "Show one job: request, use, outcome, why it waits."),
        "efficiency": Entry("efficiency_command", "Show who used the cluster, and how well."),
        "licenses": Entry("later_commands", "Show licence servers (not in this version)."),
        "alerts": Entry("alerts_commands", "List, acknowledge, silence alerts; how rules do."),
        "test-alerts": Entry("test_alerts_command", "Send a test to each alert target.", "test_alerts_command"),
        "dashboard": Entry("later_commands", "Serve the dashboard (not in this version)."),
    },
    "Understand": {
        "compute": Entry("compute_command", "Compute features and networks without Dagster."),
        "features": Entry("features_command", "Show what is known of one job, and since when."),
        "similarity": Entry("similarity_command", "Show how alike jobs are, and the jobs most like one."),
        "drift": Entry("drift_command", "Show whether jobs have changed, and since when."),
        "train": Entry("later_commands", "Train the models (not in this version)."),
        "predict": Entry("later_commands", "Score jobs (not in this version)."),
        "report": Entry("report_command", "Report on features and network of jobs."),
        "learn": Entry("later_commands", "Retrain when it is due (not in this version)."),
    },
    "Keep": {
        "ledger": Entry("quality_commands", "Show what was expected, received and refused."),
        "quarantine": Entry("quality_commands", "Show what was refused, and why."),
        "retention": Entry("keep_commands", "Delete what the configuration no longer keeps."),
        "forget": Entry("keep_commands", "Delete everything of one cluster."),
        "migrate": Entry("init_command", "Bring the database to this version."),
        "config": Entry("config_commands", "Show or check the configuration."),
        "uninstall": Entry("uninstall_command", "Remove this installation."),
        "completion": Entry("about_commands", "Print the script that completes commands in a shell."),
        "version": Entry("about_commands", "Print the version."),
    },
}

# Another name of a command, kept out of the help.
ALIASES = {"quality": "ledger"}

COMMANDS: dict[str, Entry] = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


def load(name: str) -> click.Command:
    """Import a command.

    Raises:
        KeyError: there is none of this name.
    """
    entry = COMMANDS[name]
    module = importlib.import_module(f"{_PACKAGE}.{entry.module}")
    command: click.Command = getattr(module, entry.attribute or f"{name}_command")
    return command


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, None when there is none."""
        del ctx
        name = ALIASES.get(cmd_name, cmd_name)
        return load(name) if name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click; an unknown command is answered with the nearest ones."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS and args[0] not in ALIASES:
            near = difflib.get_close_matches(args[0], COMMANDS, n=2)
            advice = f"did you mean {' or '.join(near)}?" if near else "`nomade --help` lists them all"
            raise click.UsageError(f"no command {args[0]!r}; {advice}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections of commands from the table."""
        del ctx
        longest = max(map(len, COMMANDS))
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(longest), entry.summary) for name, entry in entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of commands without importing them, and options."""
        found = [
            CompletionItem(name, help=entry.summary) for name, entry in COMMANDS.items() if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]
