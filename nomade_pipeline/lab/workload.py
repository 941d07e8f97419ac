"""The workload: which jobs a profile submits, decided by a seed alone, before anything runs.

Each job knows how it is meant to end, so that what is collected can be compared with what was meant.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

from nomade_pipeline.lab.layout import Layout
from nomade_pipeline.lab.users import USERS

# Names as people give them, and as nobody expects them: separators, line ends, quotes, Latin-1, UTF-8, terminal codes.
NAMES = (
    b"relax",
    b"md_production",
    b"pipe|name",
    b"two\nlines",
    b'it\'s "quoted"',
    b"caf\xe9",
    "größe λ".encode(),
    b"a;b,c=d",
    b"tab\tname",
    b"\x1b[31mred",
    b"100%s {0} $HOME",
    b"<b>bold</b>",
    b"back\\slash",
    b"unit\x1fseparator",
    b" padded ",
)
COMMENTS = (b"", b"run 7", b"a|b", b"first\nsecond", b'na\xefve "test"')


@dataclass(frozen=True)
class Job:
    """One submission.

    Attributes:
        scenario: what it is there for; its name in the manual.
        user: who submits it.
        name: of the job, any bytes but zero.
        comment: likewise; empty is none.
        options: of sbatch.
        script: a file of `jobs/`, with its arguments.
        state: as which it is meant to end, in Slurm's words, or to stay (PENDING, RUNNING).
        exit_code: as sacct shows it, None when the state does not decide it.
        reason: why it is meant to stay pending.
        earlier: the states of its earlier lives, where it is requeued.
        tasks: the state of each task of an array.
        action: what is done to it once it runs; see `driver`.
        after_end_of: submitted with a dependency on the latest job of this scenario.
        when_runs: submitted once the latest job of this scenario runs.
        alone: it needs a node for itself, so nothing more is submitted until it runs.
    """

    scenario: str
    user: str
    name: bytes
    comment: bytes
    options: tuple[str, ...]
    script: tuple[str, ...]
    state: str = "COMPLETED"
    exit_code: str | None = "0:0"
    reason: str | None = None
    earlier: tuple[str, ...] = ()
    tasks: dict[int, str] = field(default_factory=dict)
    action: str | None = None
    after_end_of: str | None = None
    when_runs: str | None = None
    alone: bool = False

    @property
    def ends(self) -> bool:
        """Whether it is meant to end."""
        return self.state not in ("PENDING", "RUNNING")


class Draw:
    """The source of everything that is random in a workload."""

    def __init__(self, layout: Layout, seed: int) -> None:
        """Shuffle the names, so that a dozen jobs have a dozen different ones."""
        self.layout = layout
        self.random = random.Random(seed)  # noqa: S311 - a workload keeps no secret
        self._names: list[bytes] = []

    def job(self, scenario: str, options: Sequence[str], script: Sequence[object], **rest: Any) -> Job:
        """Return a job of somebody, under some name."""
        if not self._names:
            self._names = list(NAMES)
            self.random.shuffle(self._names)
        who = rest.pop("user", None) or self.random.choice(USERS).name
        comment = self.random.choice(COMMENTS)
        return Job(scenario, who, self._names.pop(), comment, tuple(options), tuple(map(str, script)), **rest)


def _work(draw: Draw, status: int = 0) -> list[object]:
    """Return work of two to five seconds on every resource of a job."""
    number = draw.random.randint
    return ["work.sh", number(2, 5), number(20, 120), number(1, 40), number(1, 20), status]


def completed(draw: Draw) -> Job:
    """Work that ends well."""
    cpus, partition = draw.random.choice((1, 1, 2, 4)), draw.random.choice(("batch", "batch", "short"))
    options = [
        f"--cpus-per-task={cpus}",
        f"--partition={partition}",
        f"--qos={draw.random.choice(('normal', 'urgent'))}",
    ]
    return draw.job("completed", [*options, f"--time={draw.random.randint(2, 5)}"], _work(draw))


def brief(draw: Draw) -> Job:
    """Very short work, for load."""
    share = draw.random.randint(20, 60)
    return draw.job("brief", ["--partition=short", "--mem=100M"], ["work.sh", 1, share, 1, 1, 0])


def steps(draw: Draw) -> Job:
    """Three job steps, one of which fails under a job that ends well."""
    return draw.job("steps", ["--ntasks=2"], ["steps.sh"])


def gpu(draw: Draw) -> Job:
    """A GPU is allocated; there is none to compute with."""
    return draw.job("gpu", ["--gres=gpu:a100:1", "--time=2"], _work(draw))


def reserved(draw: Draw) -> Job:
    """Runs in the reservation `course`, which is for the first user alone."""
    return draw.job("reserved", ["--reservation=course", "--time=2"], _work(draw), user=USERS[0].name)


def failed(draw: Draw) -> Job:
    """Ends with status 3."""
    return draw.job("failed", [], _work(draw, status=3), state="FAILED", exit_code="3:0")


def segfault(draw: Draw) -> Job:
    """Dies of a segmentation fault."""
    return draw.job("segfault", [], ["signal.sh", "SEGV"], state="FAILED", exit_code="0:11")


def killed(draw: Draw) -> Job:
    """Kills itself with signal 9, which is no lack of memory."""
    return draw.job("killed", [], ["signal.sh", "KILL"], state="FAILED", exit_code="0:9")


def out_of_memory(draw: Draw) -> Job:
    """Takes four times the memory that it asked for."""
    if draw.layout.cgroups:
        end = {"state": "OUT_OF_MEMORY", "exit_code": "0:125"}
    else:
        end = {"state": "FAILED", "exit_code": "0:9"}
    return draw.job("out_of_memory", ["--mem=60M"], ["memory.sh", 240], **end)


def timeout(draw: Draw) -> Job:
    """Runs into its time limit of a minute."""
    return draw.job("timeout", ["--time=1"], ["idle.sh", 600], state="TIMEOUT", exit_code="0:0", action="hasten")


def cancelled_by_user(draw: Draw) -> Job:
    """Runs and is cancelled by its owner."""
    return draw.job("cancelled_by_user", [], ["idle.sh", 600], state="CANCELLED", action="cancel_as_user")


def cancelled_by_admin(draw: Draw) -> Job:
    """Runs and is cancelled by root."""
    return draw.job("cancelled_by_admin", [], ["idle.sh", 600], state="CANCELLED", action="cancel_as_root")


def cancelled_pending(draw: Draw) -> Job:
    """Is cancelled by its owner before it has begun: it has an end and no start."""
    return draw.job("cancelled_pending", ["--hold"], ["idle.sh", 1], state="CANCELLED", action="cancel_pending")


def deadline(draw: Draw) -> Job:
    """Waits for GPUs until it can no longer meet its deadline: it has an end and no start."""
    options = ["--gres=gpu:a100:2", "--time=1", "--deadline=now+70"]
    return draw.job("deadline", options, ["idle.sh", 1], state="DEADLINE", exit_code="1:0", when_runs="holder")


def node_fail(draw: Draw) -> Job:
    """Has a node for itself, and the node is set down under it."""
    options = [f"--nodelist={draw.layout.node_names[1]}", "--exclusive", "--no-requeue"]
    return draw.job(
        "node_fail", options, ["idle.sh", 600], state="NODE_FAIL", exit_code=None, action="fail_node", alone=True
    )


def preempted(draw: Draw) -> Job:
    """Loses its node to a job of higher priority, waits, and does its work in a second life."""
    options = [f"--nodelist={draw.layout.node_names[2]}", "--exclusive", "--partition=preempt-low"]
    return draw.job("preempted", options, ["idle.sh", 600, 3], earlier=("PREEMPTED",), alone=True)


def preemptor(draw: Draw) -> Job:
    """Takes the node of a job that can be preempted."""
    options = [f"--nodelist={draw.layout.node_names[2]}", "--exclusive", "--partition=preempt-high"]
    return draw.job("preemptor", options, ["idle.sh", 3], when_runs="preempted")


def requeued(draw: Draw) -> Job:
    """Is requeued by root while it runs, and does its work in a second life."""
    return draw.job("requeued", ["--requeue"], ["idle.sh", 600, 3], earlier=("REQUEUED",), action="requeue")


def array(draw: Draw) -> Job:
    """An array of which some tasks fail."""
    size = draw.random.randint(6, 10)
    failing = set(draw.random.sample(range(1, size + 1), size // 3))
    tasks = {task: "FAILED" if task in failing else "COMPLETED" for task in range(1, size + 1)}
    script = ["task.sh", 1, " ".join(map(str, sorted(failing)))]
    return draw.job("array", [f"--array=1-{size}%4", "--partition=short"], script, exit_code=None, tasks=tasks)


def het(draw: Draw) -> Job:
    """A heterogeneous job of two components."""
    return draw.job(
        "het", ["--cpus-per-task=1", "--mem=100M", ":", "--cpus-per-task=2", "--mem=200M"], ["components.sh"]
    )


def depends(draw: Draw) -> Job:
    """Waits for the end of a job that fails, whatever that end is."""
    return draw.job("depends", ["--dependency=afterany:{job}"], ["idle.sh", 1], after_end_of="failed")


def never(draw: Draw) -> Job:
    """Waits for the success of a job that fails."""
    reason = "DependencyNeverSatisfied"
    options = ["--dependency=afterok:{job}"]
    return _pending(draw, "never", options, reason, after_end_of="failed")


def held(draw: Draw) -> Job:
    """Is held by its owner."""
    return _pending(draw, "held", ["--hold"], "JobHeldUser")


def begins_later(draw: Draw) -> Job:
    """Is not to begin before tomorrow."""
    return _pending(draw, "begins_later", ["--begin=now+1days"], "BeginTime")


def holder(draw: Draw) -> Job:
    """Holds a GPU and the licences for an hour, so that others wait."""
    options = ["--gres=gpu:a100:1", "--licenses=solver:2", "--qos=single", "--time=60"]
    return draw.job("holder", options, ["idle.sh", 3600], state="RUNNING", exit_code=None, user=USERS[1].name)


def waits_for_resources(draw: Draw) -> Job:
    """Wants both GPUs while one is held."""
    return _pending(draw, "waits_for_resources", ["--gres=gpu:a100:2", "--time=10"], "Resources", when_runs="holder")


def waits_for_licences(draw: Draw) -> Job:
    """Wants a licence while all are held."""
    return _pending(
        draw, "waits_for_licences", ["--licenses=solver:1", "--partition=short"], "Licenses", when_runs="holder"
    )


def waits_for_qos(draw: Draw) -> Job:
    """Is a second job of one user in a QOS that allows one."""
    options, who = ["--qos=single"], USERS[1].name
    return _pending(draw, "waits_for_qos", options, "QOSMaxJobsPerUserLimit", when_runs="holder", user=who)


def _pending(draw: Draw, scenario: str, options: Sequence[str], reason: str, **rest: Any) -> Job:
    return draw.job(scenario, options, ["idle.sh", 1], state="PENDING", exit_code="0:0", reason=reason, **rest)


# In the order of their submission: what needs a node for itself, or a minute, comes first.
SCENARIOS: dict[str, Callable[[Draw], Job]] = {
    scenario.__name__: scenario
    for scenario in (
        node_fail, preempted, preemptor, timeout, holder, deadline, requeued, cancelled_by_user, cancelled_by_admin,
        cancelled_pending, out_of_memory, segfault, killed, failed, depends, never, array, het, steps, gpu, reserved,
        completed, brief, held, begins_later, waits_for_resources, waits_for_licences, waits_for_qos,
    )
}  # fmt: skip

_ONE_OF_EACH = {**dict.fromkeys(SCENARIOS, 1), "brief": 0}
_FAILURES = ("out_of_memory", "segfault", "killed", "failed", "timeout", "array", "cancelled_by_user")
PROFILES: dict[str, dict[str, int]] = {
    "small": _ONE_OF_EACH,
    "failing": {**_ONE_OF_EACH, **dict.fromkeys(_FAILURES, 3), "completed": 4},
    "busy": {"brief": 100},
}


def plan(profile: str, layout: Layout, seed: int) -> list[Job]:
    """Return the jobs of a profile in the order of their submission; the same for the same seed and lab."""
    draw = Draw(layout, seed)
    counts = PROFILES[profile]
    return [make(draw) for name, make in SCENARIOS.items() for _ in range(counts.get(name, 0))]
