"""Every key of `nomade.toml`: its default, its bounds and what it does.

The dataclasses are the one home of this knowledge: the validator, the example file and
`docs/configuration-keys.md` are all derived from them. A key's kind is the type of its default.
Standard library only, Python 3.9.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Tuple

from nomade_pipeline.config import mail_keys
from nomade_pipeline.config.analysis_settings import DriftSettings, SimulationSettings
from nomade_pipeline.config.collector_settings import CollectorsSettings, MonitorSettings
from nomade_pipeline.config.deadman_settings import DeadmanSettings
from nomade_pipeline.config.keys import FORMS as FORMS  # noqa: PLC0414 - offered here too
from nomade_pipeline.config.keys import key
from nomade_pipeline.config.keys import keys_of as keys_of  # noqa: PLC0414 - offered here too
from nomade_pipeline.config.paths import DataPaths
from nomade_pipeline.tables.features import QUANTITY

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

# Sections that the agent reads; it must start whatever a newer file holds elsewhere.
AGENT_SECTIONS = ("general", "collectors", "monitor", "deadman")

PREDICTION = "accepted; its consumer comes with the prediction"
DASHBOARD = "accepted; its consumer comes with the dashboard"

_SETTINGS_TEST = "tests/unit/config/test_settings_effects.py"
_AGENT_TEST = "tests/unit/agent/test_agent_settings.py"


@dataclass(frozen=True)
class GeneralSettings:
    """`[general]`: who we are and where data lives."""

    cluster_name: str = key(
        "local",
        "Name of the cluster: a column of every row and a folder of the lake.",
        form="name",
        required=True,
        test=f"{_SETTINGS_TEST}::test_the_cluster_name_is_in_every_spool_line",
    )
    data_dir: str = key(
        "/var/lib/nomade",
        "Folder of spool, lake, database and logs. Not given and not writable: `~/.local/share/nomade`.",
        form="folder",
        required=True,
        test=f"{_SETTINGS_TEST}::test_a_user_who_may_not_write_to_var_lib_gets_a_folder_at_home",
    )
    log_level: str = key(
        "INFO",
        "Least severe message that is logged.",
        choices=LOG_LEVELS,
        test=f"{_AGENT_TEST}::test_the_log_level_decides_what_is_logged",
    )
    host: str = key(
        "",
        "Name of this host. Empty: `SLURMD_NODENAME`, else the short lower-case host name. "
        "Leave it empty in a file that several hosts share.",
        form="name",
        test=f"{_SETTINGS_TEST}::test_the_host_is_the_slurm_node_name_then_the_short_host_name",
    )
    proxy: str = key(
        "",
        "HTTP proxy through which Slack, webhooks and the ping address are reached, such as `http://proxy:3128`.",
        form="url",
        test="tests/integration/test_delivery.py::test_a_proxy_is_used_where_there_is_one",
    )


_THRESHOLDS_TEST = "tests/unit/alerts/test_shipped_rules.py::test_the_thresholds_are_those_of_the_configuration"


@dataclass(frozen=True)
class DerivativeSettings:
    """`[alerts.derivatives]`: thresholds on second derivatives."""

    disk_acceleration_warning: float = key(
        1.0,
        "GB/day² above which the filling of a file system accelerates too much.",
        minimum=0,
        test=_THRESHOLDS_TEST,
    )
    queue_acceleration_warning: float = key(
        5.0, "Jobs/hour² above which the growth of a queue accelerates too much.", minimum=0, test=_THRESHOLDS_TEST
    )


_TARGETS_TEST = "tests/unit/alerts/test_targets.py"


_REFERENCE_TEST = f"{_TARGETS_TEST}::test_the_keys_of_the_reference_are_targets_without_any_other_file"
_MAIL_TEST = f"{_TARGETS_TEST}::test_the_mail_server_can_have_another_port_tls_and_a_password"


@dataclass(frozen=True)
class AlertsSettings:
    """`[alerts]`: where alerts go and from which value on."""

    rules_file: str = key(
        "",
        "File with rules, targets, routes and mutes. Empty: `alerts.toml` beside this file.",
        form="path",
        test=f"{_TARGETS_TEST}::test_the_file_beside_nomade_toml_or_the_one_that_is_named_is_read",
    )
    email_enabled: bool = key(False, "Alerts are sent by e-mail: a target `email`.", test=_REFERENCE_TEST)
    email_to: Tuple[str, ...] = mail_keys.recipients(test=_REFERENCE_TEST)
    email_from: str = mail_keys.sender(test=_REFERENCE_TEST)
    smtp_host: str = mail_keys.host(test=_REFERENCE_TEST)
    smtp_port: int = mail_keys.port(test=_MAIL_TEST)
    smtp_security: str = mail_keys.security(test=_MAIL_TEST)
    smtp_user: str = mail_keys.user(test=_MAIL_TEST)
    smtp_password_file: str = mail_keys.password_file(test=_MAIL_TEST)
    smtp_password_env: str = mail_keys.password_env(
        test=f"{_TARGETS_TEST}::test_a_password_may_stand_in_an_environment_variable"
    )
    smtp_ca_file: str = mail_keys.ca_file(test=_MAIL_TEST)
    slack_enabled: bool = key(False, "Alerts are sent to Slack: a target `slack`.", test=_REFERENCE_TEST)
    slack_webhook: str = key(
        "", "Address of the Slack webhook; who knows it can post.", form="url", secret=True, test=_REFERENCE_TEST
    )
    slack_webhook_file: str = key(
        "",
        "File with the address of the Slack webhook, in place of `slack_webhook`.",
        form="path",
        test=f"{_TARGETS_TEST}::test_the_address_of_slack_may_stand_in_a_file",
    )
    disk_warning_percent: float = key(
        85.0, "Fullness of a file system that warns.", minimum=0, maximum=100, test=_THRESHOLDS_TEST
    )
    disk_critical_percent: float = key(
        95.0, "Fullness of a file system that is critical.", minimum=0, maximum=100, test=_THRESHOLDS_TEST
    )
    queue_stuck_days: float = key(
        7.0,
        "Waiting time from which on a job that waiting does not help is shown as stuck.",
        minimum=0,
        test="tests/unit/cli/test_slurm_screens.py::test_a_job_that_waiting_does_not_help_is_shown_as_stuck",
    )
    gpu_temp_warning: float = key(
        83.0, "GPU temperature in °C that warns.", minimum=0, maximum=200, test=_THRESHOLDS_TEST
    )
    derivatives: DerivativeSettings = field(default_factory=DerivativeSettings)


_NETWORK_TEST = "tests/unit/network/test_similarity_of_day.py"


@dataclass(frozen=True)
class PredictionSettings:
    """`[prediction]`."""

    enabled: bool = key(True, "Models are trained and jobs are scored.", consumer=PREDICTION)
    similarity_threshold: float = key(
        0.7,
        "Least cosine similarity of an edge between two jobs.",
        minimum=-1,
        maximum=1,
        test=f"{_NETWORK_TEST}::test_no_edge_lies_below_the_threshold_of_the_configuration",
    )
    health_threshold: float = key(
        0.5, "Health score below which a job counts as unhealthy.", consumer=PREDICTION, minimum=0, maximum=1
    )
    retrain_interval_days: int = key(7, "Days between two trainings.", consumer=PREDICTION, minimum=1, maximum=3660)


@dataclass(frozen=True)
class SimilaritySettings:
    """`[similarity]`."""

    dimensions: Tuple[str, ...] = key(
        (),
        "Quantities of the similarity vector. Empty: the documented 17. With `health_score` the network is marked as "
        "circular: it contains the outcome.",
        choices=tuple(QUANTITY),
        test=f"{_NETWORK_TEST}::test_the_dimensions_of_the_configuration_are_compared_and_one_with_the_outcome_is_marked",
    )
    neighbours: int = key(
        30,
        "Edges kept per job above the threshold.",
        minimum=1,
        maximum=10000,
        test=f"{_NETWORK_TEST}::test_a_node_keeps_as_many_neighbours_as_the_configuration_says",
    )
    window_days: int = key(
        30,
        "Days of jobs that are compared with each other.",
        minimum=1,
        maximum=3660,
        test=f"{_NETWORK_TEST}::test_the_window_is_as_long_as_the_configuration_says",
    )
    clip: float = key(
        5.0,
        "Normalised quantities are clipped at ± this.",
        minimum=0.1,
        maximum=1000,
        test=f"{_NETWORK_TEST}::test_normalised_quantities_are_clipped_where_the_configuration_says",
    )


# In place of a bound of a zone: the median of the window.
WINDOW_MEDIAN = -1.0


def _bound(effect: str) -> Any:
    return key(
        WINDOW_MEDIAN,
        f"{effect}; -1: the median of the window.",
        minimum=-1,
        test="tests/unit/network/test_zones.py::test_the_bounds_of_the_zones_are_configured",
    )


@dataclass(frozen=True)
class ZoneSettings:
    """`[zones]`: the safe and the danger zone in the space of NFS writes, local writes and I/O wait."""

    safe_nfs_write_gb: float = _bound("Most GB that a job in the safe zone writes to NFS")
    safe_local_write_gb: float = _bound("GB above which one in the safe zone writes to local disks")
    safe_iowait_percent: float = _bound("Most I/O wait of the hosts of one in the safe zone, in per cent")
    danger_nfs_write_gb: float = _bound("GB above which a job in the danger zone writes to NFS")
    danger_local_write_gb: float = _bound("Most GB that one in the danger zone writes to local disks")
    danger_iowait_percent: float = _bound("I/O wait in per cent above which the hosts of one in the danger zone are")


@dataclass(frozen=True)
class DashboardSettings:
    """`[dashboard]`."""

    host: str = key(
        "127.0.0.1", "Address to listen on; 0.0.0.0 opens it to the network.", consumer=DASHBOARD, required=True
    )
    port: int = key(8080, "Port to listen on.", consumer=DASHBOARD, minimum=1, maximum=65535)


_RETENTION_TEST = "tests/unit/test_retention.py"
_SHELL_TEST = "tests/shell/test_settings_in_dagster.py"


def _kept(default: int, effect: str, test: str) -> Any:
    return key(default, f"{effect}; 0: for ever.", minimum=0, maximum=100000, test=test)


@dataclass(frozen=True)
class RetentionSettings:
    """`[retention]`: how long each kind of data is kept. Imported clusters go only by `nomade forget`."""

    spool_hours: int = _kept(
        72,
        "Hours that a spool file stays after its hour is safely in the lake",
        f"{_RETENTION_TEST}::test_ingested_spool_files_go_after_72_hours_and_not_before",
    )
    raw_days: int = _kept(
        400,
        "Days of raw tables in the lake, by ingest date",
        f"{_RETENTION_TEST}::test_old_days_leave_the_lake_and_what_was_rolled_up_stays",
    )
    hourly_days: int = _kept(
        120,
        "Days of hourly rollups, and of what the job monitor saw by hour",
        f"{_RETENTION_TEST}::test_each_table_of_the_database_has_its_own_age",
    )
    daily_days: int = _kept(
        0,
        "Days of daily rollups, of the job table, of usage and of the nodes' history",
        f"{_RETENTION_TEST}::test_daily_rollups_go_by_their_key_and_leave_no_series_behind",
    )
    collection_log_days: int = _kept(
        14,
        "Days of the log of collector runs in the database",
        f"{_RETENTION_TEST}::test_each_table_of_the_database_has_its_own_age",
    )
    ledger_days: int = _kept(
        400, "Days of the data-quality ledger", f"{_RETENTION_TEST}::test_each_table_of_the_database_has_its_own_age"
    )
    quarantine_days: int = _kept(
        90, "Days of quarantined lines", f"{_RETENTION_TEST}::test_old_days_of_the_quarantine_go"
    )
    dagster_runs_days: int = _kept(
        30, "Days of Dagster's own runs and events", f"{_SHELL_TEST}::test_old_runs_of_dagster_go_and_young_ones_stay"
    )
    alerts_days: int = _kept(
        400,
        "Days of alerts that are over, of their history, of messages that were sent and of silences",
        "tests/unit/alerts/test_alert_store.py::test_alerts_that_are_over_go_and_open_ones_stay",
    )
    derived_days: int = _kept(
        400,
        "Days of derived tables in the lake (trends, projections, scores)",
        f"{_RETENTION_TEST}::test_old_days_of_derived_tables_go",
    )


@dataclass(frozen=True)
class DerivedSettings:
    """`[derived]`: trends and projections."""

    series: Tuple[str, ...] = key(
        (),
        "Further quantities whose trend is followed (table `series_trends`), as `table.quantity`: a column that is "
        "rolled up, such as `vmstat.swap_used_bytes`.",
        test="tests/unit/ingest/test_deriving.py::test_a_quantity_of_the_configuration_is_followed",
    )


@dataclass(frozen=True)
class PipelineSettings:
    """`[pipeline]`: the ingest."""

    quarantine_limit_percent: float = key(
        5.0,
        "Share of an hour's rows that may be quarantined (20 always may) before nothing of it is published.",
        minimum=0,
        maximum=100,
        test=f"{_SHELL_TEST}::test_the_quarantine_limit_decides_whether_an_hour_is_published",
    )
    stale_after_minutes: int = key(
        30,
        "Age of the newest data above which the newest-data check fails.",
        minimum=1,
        test=f"{_SHELL_TEST}::test_the_age_of_stale_data_is_configured",
    )


@dataclass(frozen=True)
class Config:
    """A validated configuration.

    Attributes:
        source: the file that was read, None when there is none.
        warnings: what was tolerated (an unknown key, for the agent).
    """

    general: GeneralSettings = field(default_factory=GeneralSettings)
    collectors: CollectorsSettings = field(default_factory=CollectorsSettings)
    monitor: MonitorSettings = field(default_factory=MonitorSettings)
    alerts: AlertsSettings = field(default_factory=AlertsSettings)
    deadman: DeadmanSettings = field(default_factory=DeadmanSettings)
    prediction: PredictionSettings = field(default_factory=PredictionSettings)
    similarity: SimilaritySettings = field(default_factory=SimilaritySettings)
    zones: ZoneSettings = field(default_factory=ZoneSettings)
    simulation: SimulationSettings = field(default_factory=SimulationSettings)
    drift: DriftSettings = field(default_factory=DriftSettings)
    dashboard: DashboardSettings = field(default_factory=DashboardSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    derived: DerivedSettings = field(default_factory=DerivedSettings)
    pipeline: PipelineSettings = field(default_factory=PipelineSettings)
    source: Optional[Path] = None
    warnings: Tuple[str, ...] = ()

    @property
    def paths(self) -> DataPaths:
        """The layout of the data folder."""
        return DataPaths(Path(self.general.data_dir))
