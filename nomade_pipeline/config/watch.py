"""A configuration that follows its file: a changed file is read, a broken one changes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Mapping, Optional, Tuple

from nomade_pipeline import clock
from nomade_pipeline.config.load import ConfigError, find_config, load_config
from nomade_pipeline.config.settings import Config

_Signature = Tuple[Optional[Path], int, int, int]


class ConfigWatcher:
    """Keeps the newest valid configuration.

    Args:
        path: the file; None searches for it each time.
        environment: variables in place of the process's own.
        strict: see `load_config`.
        check_seconds: the file is looked at no more often than this.

    Attributes:
        problem: why the present file is not the one in use; None when it is.

    Raises:
        ConfigError: the first configuration is broken.
    """

    def __init__(
        self,
        path: Optional[Path] = None,
        environment: Optional[Mapping[str, str]] = None,
        *,
        strict: bool = True,
        check_seconds: float = 5.0,
    ) -> None:
        self._path = path
        self._environment = environment
        self._strict = strict
        self._check_seconds = check_seconds
        self.problem: Optional[str] = None
        self._seen = self._signature()
        self._looked = clock.monotonic()
        self._config = load_config(path, environment, strict=strict)

    def current(self) -> Config:
        """Return the configuration in force, after a look at the file if one is due."""
        if clock.monotonic() - self._looked >= self._check_seconds:
            self.look()
        return self._config

    def look(self) -> Config:
        """Look at the file now; read it if it changed."""
        self._looked = clock.monotonic()
        seen = self._signature()
        # A broken file is not read again until it changes, but a file that could not be found is looked for.
        if seen != self._seen:
            self._seen = seen
            self._reload()
        return self._config

    def reload(self) -> Config:
        """Read the file whether it changed or not."""
        self._seen = self._signature()
        self._looked = clock.monotonic()
        self._reload()
        return self._config

    def _reload(self) -> None:
        try:
            config = load_config(self._path, self._environment, strict=self._strict)
        except ConfigError as error:
            self.problem = f"the changed configuration is not used: {error}"
            return
        if config.source is None and self._config.source is not None:
            # Editors and deployment tools remove a file for a moment; the defaults would move the data folder.
            self.problem = f"{self._config.source} is gone; its last settings stay in force"
            return
        self._config, self.problem = config, None

    def _signature(self) -> Optional[_Signature]:
        """Return what tells one version of the file from the next; None without a readable file."""
        variables = os.environ if self._environment is None else self._environment
        try:
            source = find_config(self._path, variables)
            if source is None:
                return None
            status = source.stat()
        except (ConfigError, OSError):
            return None
        return source, status.st_mtime_ns, status.st_size, status.st_ino
