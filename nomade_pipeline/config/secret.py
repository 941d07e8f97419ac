"""Passwords, keys and addresses that must not be shown: where they stand, read when they are needed.

Reading them late lets a password be changed without a restart. Standard library only, Python 3.9.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

from nomade_pipeline.config.keys import HIDDEN

_LARGEST = 65_536


class SecretError(Exception):
    """A secret cannot be had; the message says where it should be and never what it is."""


@dataclass(frozen=True)
class Secret:
    """Where a secret stands; one place only.

    Attributes:
        value: the secret itself; never shown.
        file: a file whose content, without white space around it, is the secret.
        variable: an environment variable that holds it.
    """

    value: str = field(default="", repr=False)
    file: str = ""
    variable: str = ""

    def __bool__(self) -> bool:
        """Whether a place is named."""
        return bool(self.value or self.file or self.variable)

    def read(self) -> str:
        """Return the secret.

        Raises:
            SecretError: it is not there, is empty, or others may read its file.
        """
        if self.file:
            return _of_file(self.file)
        if self.variable:
            value = os.environ.get(self.variable, "")
            if not value:
                raise SecretError(f"the environment variable {self.variable} is not set, or empty")
            return value
        return self.value

    def hide(self, text: str) -> str:
        """Return text without the secret, should a server repeat it."""
        try:
            secret = self.read()
        except SecretError:
            return text
        return text.replace(secret, HIDDEN) if secret else text


def _of_file(path: str) -> str:
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LARGEST)
    except OSError as error:
        raise SecretError(f"{path} cannot be read: {error.strerror}") from error
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise SecretError(f"{path} is open to others; run: chmod 600 {path}")
    try:
        secret = content.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise SecretError(f"{path} is not UTF-8 text") from error
    if not secret:
        raise SecretError(f"{path} is empty")
    return secret
