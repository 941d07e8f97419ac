"""Ways in which a request ends without an answer and without a fault."""

from __future__ import annotations


class NoData(Exception):
    """There is nothing to show yet.

    Attributes:
        hint: what produces the data: a command, or what it comes with.
    """

    def __init__(self, message: str, hint: str) -> None:
        """Keep message and hint apart, so that a screen can set them apart."""
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        """Return message and hint as one line."""
        return f"{super().__str__()}; {self.hint}"


class NotYet(NoData):
    """This version does not produce the data."""


class SqlError(Exception):
    """A query cannot be run; the message says why."""
