"""Errors of a replay that a user can cause."""

from __future__ import annotations


class ReplayError(Exception):
    """It cannot be replayed; the message says why and what to do."""
