"""`[deadman]`: who is told, by the agent itself, that the pipeline is silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from nomade_pipeline.config import mail_keys
from nomade_pipeline.config.keys import key

_AGENT = "tests/integration/test_deadman.py"
_TOLD = f"{_AGENT}::test_the_agent_mails_once_that_the_pipeline_is_silent_and_that_it_is_back"
_POSTED = f"{_AGENT}::test_the_agent_posts_to_the_webhook_that_a_file_names"
_LOGIN = "tests/unit/agent/test_deadman.py::test_the_mail_server_of_the_section_can_have_all_that_those_of_alerts_have"


@dataclass(frozen=True)
class DeadmanSettings:
    """`[deadman]`: the dead-man's switch."""

    enabled: bool = key(
        False,
        "The agent tells the targets below when the pipeline has evaluated nothing for too long.",
        test="tests/unit/agent/test_deadman.py::test_only_the_hosts_of_the_configuration_watch",
    )
    hosts: Tuple[str, ...] = key(
        (),
        "Short names of the hosts whose agents watch. Empty: those with a slurmctld, and the one the pipeline ran on.",
        form="name",
        test="tests/unit/agent/test_deadman.py::test_only_the_hosts_of_the_configuration_watch",
    )
    after_minutes: float = key(
        10.0,
        "Minutes without an evaluation, the machine being up, after which the pipeline counts as silent.",
        minimum=0.01,
        maximum=10080,
        test=_TOLD,
    )
    repeat_minutes: float = key(
        240.0,
        "Minutes after which it is told again while it lasts; 0: never.",
        minimum=0,
        maximum=525600,
        test="tests/unit/agent/test_deadman.py::test_silence_is_told_again_after_the_cooldown",
    )
    email_to: Tuple[str, ...] = mail_keys.recipients(test=_TOLD)
    email_from: str = mail_keys.sender(test=_TOLD)
    smtp_host: str = mail_keys.host(test=_TOLD)
    smtp_port: int = mail_keys.port(test=_TOLD)
    smtp_security: str = mail_keys.security(test=_LOGIN)
    smtp_user: str = mail_keys.user(test=_LOGIN)
    smtp_password_file: str = mail_keys.password_file(test=_LOGIN)
    smtp_password_env: str = mail_keys.password_env(test=_LOGIN)
    smtp_ca_file: str = mail_keys.ca_file(test=_LOGIN)
    webhook: str = key(
        "",
        'Address that `{"text": …}` is posted to: Slack, Mattermost and others take it.',
        form="url",
        secret=True,
        test="tests/unit/agent/test_deadman.py::test_a_target_that_fails_does_not_keep_the_others_from_being_told",
    )
    webhook_file: str = key("", "File with that address, in place of `webhook`.", form="path", test=_POSTED)
    ping_url: str = key(
        "",
        "Address that is asked after each evaluation, so that somebody outside notices its absence (healthchecks.io).",
        form="url",
        secret=True,
        test="tests/integration/test_pinging.py::test_an_evaluation_is_told_to_the_address_outside",
    )
