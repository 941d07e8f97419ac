"""What collectors remember beyond a restart: one small file for each, replaced as a whole.

It lies beside the spool, as an agent may write nothing else, and is written before the rows that it belongs to: after
a crash a counter may stand higher than was told, never lower.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Dict, Optional

from nomade_pipeline.collectors.base import Collector
from nomade_pipeline.probes import Probe
from nomade_pipeline.store.replace import replace_text


def recall(collector: Collector, path: Path, probe: Probe) -> Optional[str]:
    """Let a collector remember what was kept; return why it could not, None when it did or nothing was kept."""
    if collector.lasting is None:
        return None
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        collector.lasting.recall(state, boot_id(probe))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{path} cannot be used, so {collector.name} begins anew: {type(error).__name__}: {error}"
    return None


def boot_id(probe: Probe) -> str:
    """Return what tells this boot of the host from others; empty where the kernel does not say."""
    try:
        return probe.read("/proc/sys/kernel/random/boot_id").strip()
    except OSError:
        return ""


class Keeper:
    """Keeps the memories of one agent's collectors.

    `note` may be called from any thread and never touches the disk; `flush` by one thread at a time.
    """

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._lock = threading.Lock()
        self._waiting: Dict[Path, str] = {}

    def note(self, collector: Collector, path: Path) -> None:
        """Take what a collector remembers now, if it is to outlive a restart."""
        if collector.lasting is None:
            return
        state = collector.lasting.to_state(boot_id(self._probe))
        if state is None:
            return
        text = json.dumps(state, separators=(",", ":"))
        with self._lock:
            self._waiting[path] = text

    def flush(self) -> Optional[str]:
        """Write what was noted; return why it could not be, None when it was. It is tried once only."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        problem = None
        for path, text in waiting.items():
            try:
                replace_text(path, text)
            except OSError as error:
                problem = f"cannot write {path}: {error.strerror}"
        return problem
