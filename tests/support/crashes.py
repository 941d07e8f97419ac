"""Kill -9 before each step of an action, one after the other, each time on a fresh copy of what was before.

For scripts in a process of their own: they fork, so nothing may have started a thread.
"""

from __future__ import annotations

import os
import shutil
import signal
import traceback
from pathlib import Path
from typing import Callable


def in_child(action: Callable[[], object], arm: Callable[[], None] | None = None) -> int:
    """Run an action in a forked process, armed to die; return how that ended, as `os.waitpid` says it."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    try:
        if arm is not None:
            arm()
        action()
    except BaseException:  # noqa: BLE001 - it is printed, and the exit status tells
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def crash_everywhere(
    folder: Path,
    prepare: Callable[[Path], object],
    action: Callable[[Path], object],
    verify: Callable[[Path], object],
    die_before: Callable[[int], None],
) -> int:
    """Kill an action before its first step, its second and so on until it ends; return how many steps it has.

    Args:
        folder: scratch space.
        prepare: makes what the action starts from.
        action: what is killed.
        verify: carries on after the crash and fails when anything is wrong.
        die_before: lets the process that calls it die before a step.
    """
    step, status, before = 0, -1, folder / "before"
    assert in_child(lambda: prepare(before)) == 0
    while status != 0:
        step += 1
        root = Path(shutil.copytree(before, folder / str(step)))
        status = in_child(lambda root=root: action(root), lambda step=step: die_before(step))
        assert status in (0, signal.SIGKILL), (step, status)
        assert in_child(lambda root=root: verify(root)) == 0, f"after a crash before step {step}"
    return step - 1


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)
