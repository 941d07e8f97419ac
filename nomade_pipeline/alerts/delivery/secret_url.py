"""Addresses that are secrets, as whoever knows them can post."""

from __future__ import annotations

from nomade_pipeline.config.secret import Secret, SecretError
from nomade_pipeline.transport.failure import DeliveryError
from nomade_pipeline.transport.http import url_fault


def read_secret(secret: Secret) -> str:
    """Return a secret.

    Raises:
        DeliveryError: it cannot be had now.
    """
    try:
        return secret.read()
    except SecretError as error:
        raise DeliveryError(str(error)) from error


def read_url(secret: Secret) -> str:
    """Return an address that can be asked.

    Raises:
        DeliveryError: it cannot be had now, or is none.
    """
    url = read_secret(secret)
    fault = url_fault(url)
    if fault is not None:
        raise DeliveryError(f"the target's address {fault}")
    return url
