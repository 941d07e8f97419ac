"""Errors of the simulator that a user can cause."""

from __future__ import annotations


class ScenarioError(ValueError):
    """What was asked for cannot be simulated; the message says why and what can."""
