"""A probe that serves recorded output in place of a host.

Used by the tests, and to read a user's bug report as if the tools ran here. Its clock moves only
when a recorded command "runs" or a collector waits, so a replay is exact and takes no time.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Dict, List, Mapping, Optional, Sequence, Tuple, Union

from nomade_pipeline.probes import Completed, ProbeError, ToolMissing

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Recorded:
    """One recorded run of a command.

    Attributes:
        prefix: the first words of the command line that it answers.
        stdout, stderr, returncode: what the command gave.
        seconds: how far the replay's clock moves while it "runs".
        error: raised instead of answering, such as ``TimedOut``.
    """

    prefix: Tuple[str, ...]
    stdout: str = ""
    stderr: str = ""
    returncode: int = 0
    seconds: float = 0.0
    error: Optional[ProbeError] = None


@dataclass
class ReplayProbe:
    """A host made of recorded commands and files; see `probes.Probe`.

    Attributes:
        commands: recordings; the longest matching prefix answers. Several with one prefix answer in
            turn and the last one stays.
        files: path to content, or to the contents of successive reads, of which the last one stays.
            A path with no content is absent.
        start: wall time at the beginning.
        asked: the command lines that were run, for assertions.
        links: path of a symbolic link to where it points.
    """

    commands: Sequence[Recorded] = ()
    files: Mapping[str, Union[str, Sequence[str]]] = field(default_factory=dict)
    start: datetime = EPOCH
    asked: List[Tuple[str, ...]] = field(default_factory=list)
    links: Mapping[str, str] = field(default_factory=dict)
    _elapsed: float = 0.0
    _served: Dict[object, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def which(self, tool: str) -> Optional[str]:
        """Return a path for every tool of which there is a recording."""
        return f"/usr/bin/{tool}" if any(each.prefix[0] == tool for each in self.commands) else None

    def run(self, argv: Sequence[str], timeout: float) -> Completed:
        """Answer with the recording whose prefix matches; ``timeout`` is not used.

        Raises:
            ToolMissing: there is no recording of this tool.
            ProbeError: no recording has these arguments, or the recording is of an error.
        """
        del timeout
        words = tuple(argv)
        with self._lock:
            self.asked.append(words)
            if self.which(words[0]) is None:
                raise ToolMissing(f"{words[0]} is not installed or not on the PATH")
            answer = self._answer(words)
            self._elapsed += answer.seconds
        if answer.error is not None:
            raise answer.error
        return Completed(words, answer.returncode, answer.stdout, answer.stderr, answer.seconds)

    def _answer(self, words: Tuple[str, ...]) -> Recorded:
        matching = [each for each in self.commands if words[: len(each.prefix)] == each.prefix]
        if not matching:
            raise ProbeError(f"nothing is recorded for: {' '.join(words)}")
        longest = max(len(each.prefix) for each in matching)
        answers = [each for each in matching if len(each.prefix) == longest]
        return answers[self._turn(answers[0].prefix, len(answers))]

    def _turn(self, key: object, count: int) -> int:
        turn = self._served.get(key, 0)
        self._served[key] = turn + 1
        return min(turn, count - 1)

    def read(self, path: str) -> str:
        """Return the next recorded content of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        with self._lock:
            contents = self.files.get(path, ())
            if isinstance(contents, str):
                return contents
            if not contents:
                raise FileNotFoundError(2, "No such file or directory", path)
            return contents[self._turn(path, len(contents))]

    def listdir(self, path: str) -> List[str]:
        """Return the sorted names that the recorded files have in a folder.

        Raises:
            FileNotFoundError: no recorded file lies in it.
        """
        folder = path.rstrip("/") + "/"
        names = {name[len(folder) :].split("/")[0] for name in (*self.files, *self.links) if name.startswith(folder)}
        if not names:
            raise FileNotFoundError(2, "No such file or directory", path)
        return sorted(names)

    def readlink(self, path: str) -> str:
        """Return where a recorded link points.

        Raises:
            FileNotFoundError: there is none.
        """
        if path not in self.links:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self.links[path]

    def now(self) -> datetime:
        """Return the replay's wall time."""
        return self.start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Return the replay's monotonic time."""
        return self._elapsed

    def wait(self, seconds: float) -> None:
        """Move the replay's clock."""
        self._elapsed += seconds
