"""A progress bar for commands that take a while."""

from __future__ import annotations

from typing import Callable


class Bar:
    """A progress bar on standard error; nothing where that is no terminal."""

    def __enter__(self) -> Callable[[str, float], None]:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self._progress = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._progress.start()
        self._task = self._progress.add_task("", total=1.0)
        return self._show

    def _show(self, what: str, share: float) -> None:
        self._progress.update(self._task, description=what, completed=share)

    def __exit__(self, *_about: object) -> None:
        self._progress.stop()
