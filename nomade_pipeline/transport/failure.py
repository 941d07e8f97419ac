"""Why something could not be delivered."""

from __future__ import annotations

from typing import Optional


class DeliveryError(Exception):
    """A message did not arrive; the text says why, in one line and without a secret.

    Attributes:
        retryable: False when the receiver refuses this very message; True for all that may mend: a server that is
            down, a password that is wrong today.
        retry_after: seconds that the receiver asks to wait, None when it does not say.
    """

    def __init__(self, message: str, *, retryable: bool = True, retry_after: Optional[float] = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after
