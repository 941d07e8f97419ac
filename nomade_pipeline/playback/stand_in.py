"""`squeue`, `sinfo`, `scontrol`, `sacct`, `sdiag`, `sacctmgr`, `sshare`, `sprio` of a replayed cluster.

One program under all these names, in a folder that stands first on the PATH of whoever is to take them for Slurm's. It
answers what our collectors ask, from the replayed moment; it refuses the rest. Standard library only: it starts often.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Callable, Sequence

from nomade_pipeline import clock
from nomade_pipeline.playback import accounting_answers, queue_answers
from nomade_pipeline.playback.replay_clock import ReplayClock
from nomade_pipeline.playback.state import FILE_NAME, State

FOLDER = "replay-bin"
TOOLS = ("squeue", "sinfo", "scontrol", "sacct", "sdiag", "sacctmgr", "sshare", "sprio")
# So long the scheduler remembers a job that has ended (MinJobAge).
_REMEMBERED = 300.0


class Refused(Exception):
    """The stand-in does not answer this; the message says what it was asked."""


def install(folder: Path) -> Path:
    """Write the stand-ins of a data folder; return the folder that must stand first on the PATH.

    Raises:
        OSError: they cannot be written.
    """
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    root = Path(__file__).resolve().parents[2]
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r}); "
        "from nomade_pipeline.playback.stand_in import main; sys.exit(main(sys.argv[1:]))"
    )
    words = map(shlex.quote, (sys.executable, "-E", "-c", code, str(folder.absolute())))
    script = place / ".stand-in"
    script.write_text(f'#!/bin/sh\nexec {" ".join(words)} "${{0##*/}}" "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    for tool in TOOLS:
        link = place / tool
        link.unlink(missing_ok=True)
        link.symlink_to(script.name)
    return place


def main(argv: Sequence[str]) -> int:
    """Answer as one of the tools.

    Args:
        argv: data folder of the replay, name of the tool, its arguments.
    """
    folder, tool, *arguments = argv
    state = State(Path(folder) / FILE_NAME, ReplayClock.read(Path(folder)).seconds())
    try:
        answer = _ANSWERS[tool](arguments, state)
    except Refused as error:
        sys.stderr.write(f"{tool}: error: the stand-in of a replay does not answer {error}\n")
        return 1
    sys.stdout.buffer.write(answer.encode("utf-8", "surrogateescape"))
    return 0


def _value(arguments: Sequence[str], *names: str) -> str | None:
    """Return the value of an option, written as two words or with an equals sign."""
    for place, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in names:
            return value if equals else arguments[place + 1]
    return None


def _squeue(arguments: Sequence[str], state: State) -> str:
    fields = _value(arguments, "-O")
    if fields is not None:
        return queue_answers.table(fields, queue_answers.SQUEUE_TITLES, queue_answers.squeue_rows(state))
    if _value(arguments, "-o") == "%A":
        jobs = [*state.queued(), *state.ended(state.moment - _REMEMBERED, state.moment)]
        return "".join(f"{job['job_id_raw']}\n" for job in jobs)
    raise Refused(shlex.join(arguments))


def _sinfo(arguments: Sequence[str], state: State) -> str:
    if "--version" in arguments:
        return f"slurm {queue_answers.VERSION}\n"
    fields = _value(arguments, "-O")
    if fields is None:
        raise Refused(shlex.join(arguments))
    return queue_answers.table(fields, queue_answers.SINFO_TITLES, queue_answers.sinfo_rows(state))


def _scontrol(arguments: Sequence[str], state: State) -> str:
    words = [word for word in arguments if not word.startswith("-")]
    if words == ["ping"]:
        return queue_answers.ping()
    if words == ["show", "node"]:
        return "".join(f"{queue_answers.node_line(node)}\n" for node in state.nodes())
    if words == ["show", "reservation"]:
        return "No reservations in the system\n"
    raise Refused(shlex.join(arguments))


def _sacct(arguments: Sequence[str], state: State) -> str:
    if "--helpformat" in arguments:
        return accounting_answers.helpformat()
    columns = (_value(arguments, "--format", "-o") or "").split(",")
    delimiter = _value(arguments, "--delimiter") or "|"
    if _value(arguments, "-s") == "R":
        running = [job for job in state.queued() if state.is_running(job)]
        records = [{**accounting_answers.records_of(job)[0], "State": "RUNNING"} for job in running]
    else:
        begin, end = (_moment(_value(arguments, name)) for name in ("--starttime", "--endtime"))
        records = [record for job in state.ended(begin, end) for record in accounting_answers.records_of(job)]
    return accounting_answers.table(columns, delimiter, records, ends="--parsable" in arguments)


def _moment(told: str | None) -> float:
    if told is None:
        raise Refused("a question without --starttime and --endtime")
    return clock.from_text(f"{told}Z").timestamp()


def _sacctmgr(arguments: Sequence[str], state: State) -> str:
    del state
    if list(arguments) == ["ping"]:
        return f"slurmdbd(primary) at {queue_answers.HEAD} is UP\n"
    raise Refused(shlex.join(arguments))


def _sshare(arguments: Sequence[str], state: State) -> str:
    del state
    return (_value(arguments, "-o") or "Account").replace(",", "|") + "\n"


def _sprio(arguments: Sequence[str], state: State) -> str:
    del arguments, state
    return "JOBID|PARTITION|USER|PRIORITY\n"


def _sdiag(arguments: Sequence[str], state: State) -> str:
    del arguments
    return queue_answers.sdiag(state)


_ANSWERS: dict[str, Callable[[Sequence[str], State], str]] = {
    "squeue": _squeue,
    "sinfo": _sinfo,
    "scontrol": _scontrol,
    "sacct": _sacct,
    "sacctmgr": _sacctmgr,
    "sdiag": _sdiag,
    "sshare": _sshare,
    "sprio": _sprio,
}
