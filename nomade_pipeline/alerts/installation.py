"""Everything that an installation says of alerts: rules, targets, routes; and the rules about the engine itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

from nomade_pipeline.alerts import run_failures
from nomade_pipeline.alerts.policy import MINUTE, Policy
from nomade_pipeline.alerts.route_file import Outlets, load_outlets
from nomade_pipeline.alerts.rule import Rule
from nomade_pipeline.alerts.rule_file import load_rules
from nomade_pipeline.config.load import ConfigError
from nomade_pipeline.config.settings import Config

# The rule in whose name it is told that another rule cannot be judged.
BROKEN_RULE = "rule-not-judged"
OWN_POLICIES = (
    # A locked database or a file that is just replaced mends itself.
    Policy(BROKEN_RULE, for_seconds=10 * MINUTE, clear_for_seconds=0.0),
    run_failures.POLICY,
)


@dataclass(frozen=True)
class Installation:
    """What an installation says of alerts.

    Attributes:
        rules: what is looked at.
        outlets: targets, routes and mutes.
        problem: why the present alerts.toml is not in force, None when it is.
    """

    rules: Sequence[Rule]
    outlets: Outlets
    problem: str | None = None

    @property
    def policies(self) -> Mapping[str, Policy]:
        """How the alerts of each rule behave, by its name."""
        return {policy.rule: policy for policy in (*(rule.policy for rule in self.rules), *OWN_POLICIES)}


class InstallationWatcher:
    """Reads rules and routes anew with each look, and keeps the last good ones while the file is broken."""

    def __init__(self) -> None:
        self._good: Installation | None = None

    def current(self, config: Config) -> Installation:
        """Return what is in force.

        Raises:
            ConfigError: alerts.toml cannot be used, and this process has not seen a good one.
        """
        try:
            self._good = Installation(load_rules(config), load_outlets(config))
        except ConfigError as error:
            if self._good is None:
                raise
            return Installation(self._good.rules, self._good.outlets, str(error))
        return self._good
