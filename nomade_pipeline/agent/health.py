"""Whether the agent does its work: a pure judgement, and a door on localhost to ask for it."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional

from nomade_pipeline import clock
from nomade_pipeline.agent.pace import SKIPPED, SUCCESS
from nomade_pipeline.agent.runs import RunReport

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

# A collector is late after so many intervals without a success; one lost cycle is no alarm.
LATE_INTERVALS = 3
_REQUEST_SECONDS = 5.0


@dataclass
class CollectorState:
    """What is known of one collector.

    Attributes:
        interval: seconds between its samples.
        since: monotonic time of its last success or skip, or of the agent's start.
    """

    interval: int
    since: float
    enabled: bool = True
    outcome: Optional[str] = None
    last_success: Optional[datetime] = None
    last_error: Optional[str] = None
    last_error_time: Optional[datetime] = None
    failures: int = 0

    def note(self, report: RunReport, monotonic: float) -> None:
        """Take note of a run."""
        self.outcome = report.outcome
        if report.outcome in (SUCCESS, SKIPPED):
            self.since, self.failures = monotonic, 0
            if report.outcome == SUCCESS:
                self.last_success = report.ended_time
        else:
            self.failures += 1
            self.last_error = f"{report.category}: {report.message}"
            self.last_error_time = report.ended_time

    def is_late(self, monotonic: float) -> bool:
        """Whether a success is overdue; a collector without anything to collect is not late."""
        return self.enabled and self.outcome != SKIPPED and monotonic - self.since > LATE_INTERVALS * self.interval

    def to_dict(self, monotonic: float) -> Dict[str, Any]:
        """Return the state for JSON."""
        return {
            "enabled": self.enabled,
            "late": self.is_late(monotonic),
            "outcome": self.outcome,
            "interval_seconds": self.interval,
            "last_success_time": _text(self.last_success),
            "last_error": self.last_error,
            "last_error_time": _text(self.last_error_time),
            "failures_in_a_row": self.failures,
        }


def _text(moment: Optional[datetime]) -> Optional[str]:
    return None if moment is None else clock.to_text(moment)


def judge(
    states: Mapping[str, CollectorState], monotonic: float, storage_problem: Optional[str], about: Mapping[str, Any]
) -> Dict[str, Any]:
    """Return the agent's health for JSON.

    Args:
        states: one for each collector.
        monotonic: now.
        storage_problem: why the spool takes nothing, None when it does.
        about: further facts to pass on.
    """
    late = sorted(name for name, state in states.items() if state.is_late(monotonic))
    return {
        "status": "failing" if late or storage_problem else "ok",
        "late": late,
        "storage_problem": storage_problem,
        **about,
        "collectors": {name: state.to_dict(monotonic) for name, state in states.items()},
    }


class HealthDoor:
    """Answers ``GET /health`` on 127.0.0.1: 200 when the status is ok, else 503.

    Args:
        port: where to listen; 0 lets the system choose.
        health: gives the present health.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, port: int, health: Callable[[], Dict[str, Any]]) -> None:
        self._server = _server(port, health)
        self.port: int = self._server.server_address[1]
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="health", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        # Unlike serve_forever this sleeps until somebody asks: polling would cost more than the sampling.
        while not self._closing:
            self._server.handle_request()
        self._server.server_close()

    def close(self) -> None:
        """Stop listening; an answer under way is not waited for."""
        import socket

        self._closing = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
        self._thread.join(1.0)


def _server(port: int, health: Callable[[], Dict[str, Any]]) -> ThreadingHTTPServer:
    """Make the server; its modules are imported only where the door is wanted."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_SECONDS
        server_version = "nomade-agent"
        sys_version = ""

        def do_GET(self) -> None:
            if self.path.split("?")[0] != "/health":
                self._answer(404, {"error": "ask for /health"})
                return
            state = health()
            self._answer(200 if state["status"] == "ok" else 503, state)

        def _answer(self, code: int, content: Dict[str, Any]) -> None:
            body = json.dumps(content, indent=1).encode("ascii") + b"\n"
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep requests out of the log."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that went away is no fault of ours."""

    return Server(("127.0.0.1", port), Handler)
