"""The scale profile: a controller that lists ten thousand nodes and a queue of ten thousand tasks, and runs nothing.

It has no slurmd and no accounting. Its nodes are cloud nodes that never boot, so a job that is given nodes
waits for them (CONFIGURING), and the tasks behind it wait for resources: what every reader of squeue and
sinfo must cope with at a large site.
"""

from __future__ import annotations

import time

from nomade_pipeline import clock
from nomade_pipeline.lab import commands
from nomade_pipeline.lab.errors import LabError
from nomade_pipeline.lab.layout import SCALE_GPU_NODES, SCALE_NODES, Layout
from nomade_pipeline.lab.users import USERS
from nomade_pipeline.lab.workload import NAMES

TASKS, ARRAYS = 10_000, 20
SCHEDULING_SECONDS = 60.0


def fill(layout: Layout) -> None:
    """Queue the tasks, unless something is queued already: twenty arrays behind a job that holds all CPU nodes.

    Raises:
        LabError: the controller refuses a job, or does not look at the queue in time.
    """
    environment = commands.tool_environment(layout)
    if commands.run(["squeue", "--noheader", "--format=%A"], environment):
        return
    nodes = SCALE_NODES - SCALE_GPU_NODES
    sbatch = ["sbatch", "--parsable", "--chdir=/", "--output=/dev/null", "--constraint=cpu", "--wrap=true"]
    commands.run([*sbatch, f"--nodes={nodes}", "--exclusive", "--job-name=holder"], environment, user=USERS[0].name)
    for number in range(ARRAYS):
        name = b"--job-name=" + NAMES[number % len(NAMES)]
        user = USERS[number % len(USERS)].name
        commands.run([*sbatch, f"--array=1-{TASKS // ARRAYS}", name], environment, user=user)
    deadline = clock.monotonic() + SCHEDULING_SECONDS
    while "Resources" not in commands.run(["squeue", "--noheader", "--format=%r"], environment):
        if clock.monotonic() > deadline:
            raise LabError(f"no job waits for resources after {SCHEDULING_SECONDS:g} s; see sdiag")
        time.sleep(0.5)
