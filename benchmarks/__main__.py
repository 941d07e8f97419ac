"""`python -m benchmarks [NAME ...]`: run all benchmarks, or the named ones, and print their tables."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "commands",
    "agent_cost",
    "job_monitor",
    "storage",
    "importing",
    "slurm_scale",
    "derivatives",
    "simulation",
    "features",
    "communities",
    "graph",
    "workload",
    "alerts",
    "alert_windows",
    "backtesting",
    "alert_latency",
    "idle",
    "endurance",
)


def main() -> int:
    """Run what was asked for; an unknown name is an error."""
    wanted = sys.argv[1:] or list(NAMES)
    unknown = sorted(set(wanted) - set(NAMES))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in wanted:
        for report in importlib.import_module(f"benchmarks.{name}").run():
            print(report.markdown(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
