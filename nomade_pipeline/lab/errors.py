"""What goes wrong in a lab."""

from __future__ import annotations


class LabError(Exception):
    """The lab cannot do what was asked; the message says what, where and what to do."""
