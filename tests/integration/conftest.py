"""What several integration tests share."""

from support.lab import lab

__all__ = ["lab"]
