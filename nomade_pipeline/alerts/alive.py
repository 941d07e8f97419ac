"""Telling that alerts are evaluated: to the agents through the heartbeat, and to somebody outside by a ping.

An address outside (healthchecks.io and its like) notices when the pings end, also where the whole machine is gone.
"""

from __future__ import annotations

from datetime import datetime

from nomade_pipeline.alerts.delivery.secret_url import read_url
from nomade_pipeline.config.secret import Secret
from nomade_pipeline.config.settings import Config
from nomade_pipeline.store.heartbeat import beat
from nomade_pipeline.transport.failure import DeliveryError
from nomade_pipeline.transport.http import Way, ask, check_accepted

PING_SECONDS = 5.0


def note_evaluation(config: Config, now: datetime) -> str | None:
    """Note an evaluation that went well; return why somebody may not hear of it, None when all do.

    Called at the end of each tick, when all is stored.
    """
    try:
        beat(config.paths.heartbeat, config.general.host, now)
    except OSError as error:
        return f"the heartbeat {config.paths.heartbeat} cannot be written: {error.strerror}"
    address = Secret(config.deadman.ping_url)
    if not address:
        return None
    try:
        answer = ask("GET", read_url(address), seconds=PING_SECONDS, headers={}, way=Way(config.general.proxy))
        check_accepted("the ping address", answer)
    except DeliveryError as error:
        return f"somebody outside could not be told of the evaluation: {address.hide(str(error))}"
    return None
