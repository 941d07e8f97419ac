"""Finding and reading `nomade.toml`, and what overrides it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nomade_pipeline.config import load
from nomade_pipeline.config.load import ConfigError, load_config
from nomade_pipeline.config.settings import Config

REPOSITORY = Path(__file__).resolve().parents[3]
REFERENCE = REPOSITORY.parent / "shared" / "reference" / "nomade_readme.txt"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home and an empty current folder."""
    home = tmp_path / "home"
    home.mkdir()
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return home


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def named(cluster: str) -> str:
    return f'[general]\ncluster_name = "{cluster}"\n'


def test_without_a_file_the_defaults_hold(home):
    config = load_config(environment={"HOME": str(home)})
    assert config.source is None
    assert config.general.cluster_name == "local"
    assert config.collectors == Config().collectors
    assert config.monitor.port == 0


def test_the_file_is_looked_for_in_etc_then_at_home_then_here_then_in_the_variable_then_on_the_command_line(
    home, tmp_path
):
    environment = {"HOME": str(home)}
    write(load.SYSTEM_FOLDER / "nomade.toml", named("system"))
    assert load_config(environment=environment).general.cluster_name == "system"
    write(home / ".config" / "nomade" / "nomade.toml", named("home"))
    assert load_config(environment=environment).general.cluster_name == "home"
    write(Path("nomade.toml"), named("here"))
    assert load_config(environment=environment).general.cluster_name == "here"
    environment["NOMADE_CONFIG"] = str(write(tmp_path / "variable.toml", named("variable")))
    assert load_config(environment=environment).general.cluster_name == "variable"
    explicit = write(tmp_path / "explicit.toml", named("explicit"))
    config = load_config(explicit, environment)
    assert config.general.cluster_name == "explicit"
    assert config.source == explicit


def test_a_file_that_was_named_and_does_not_exist_is_an_error_not_the_defaults(home, tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.toml: no such file \(named by --config\)"):
        load_config(tmp_path / "absent.toml", {"HOME": str(home)})
    with pytest.raises(ConfigError, match="named by NOMADE_CONFIG"):
        load_config(None, {"HOME": str(home), "NOMADE_CONFIG": str(tmp_path / "absent.toml")})


def test_a_file_that_is_no_utf_8_text_is_an_error_with_the_byte(home, tmp_path):
    file = tmp_path / "nomade.toml"
    file.write_bytes(b'[general]\ncluster_name = "\xff"\n')
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(byte 26\)"):
        load_config(file, {"HOME": str(home)})


def test_invalid_toml_is_an_error_with_its_line(home, tmp_path):
    file = write(tmp_path / "nomade.toml", "[general]\n\ncluster_name = \n")
    with pytest.raises(ConfigError, match=r"nomade\.toml:3: is not valid TOML"):
        load_config(file, {"HOME": str(home)})
    file = write(tmp_path / "nomade.toml", '[general]\nhost = "a"\nhost = "b"\n')
    with pytest.raises(ConfigError, match=r"nomade\.toml:3: is not valid TOML"):
        load_config(file, {"HOME": str(home)})


def test_a_byte_order_mark_and_windows_line_ends_are_tolerated(home, tmp_path):
    file = tmp_path / "nomade.toml"
    file.write_bytes(b'\xef\xbb\xbf[general]\r\ncluster_name = "c"\r\n')
    assert load_config(file, {"HOME": str(home)}).general.cluster_name == "c"


@pytest.mark.parametrize(
    ("variable", "text", "section", "key", "expected"),
    [
        ("NOMADE_ALERTS__SMTP_HOST", "mail.example.edu", "alerts", "smtp_host", "mail.example.edu"),
        ("NOMADE_ALERTS__SMTP_HOST", '"mail"', "alerts", "smtp_host", "mail"),
        ("NOMADE_GENERAL__CLUSTER_NAME", "123", "general", "cluster_name", "123"),
        ("NOMADE_GENERAL__CLUSTER_NAME", "true", "general", "cluster_name", "true"),
        ("NOMADE_ALERTS__GPU_TEMP_WARNING", "90", "alerts", "gpu_temp_warning", 90.0),
        ("NOMADE_RETENTION__RAW_DAYS", "10", "retention", "raw_days", 10),
        ("NOMADE_PREDICTION__ENABLED", "false", "prediction", "enabled", False),
        ("NOMADE_ALERTS__EMAIL_TO", "a@b.c, d@e.f", "alerts", "email_to", ("a@b.c", "d@e.f")),
        ("NOMADE_ALERTS__EMAIL_TO", '["a@b.c"]', "alerts", "email_to", ("a@b.c",)),
        ("NOMADE_ALERTS__EMAIL_TO", "", "alerts", "email_to", ()),
    ],
)
def test_a_variable_of_the_environment_overrides_a_key(home, variable, text, section, key, expected):
    config = load_config(environment={"HOME": str(home), variable: text})
    value = getattr(getattr(config, section), key)
    assert value == expected
    assert type(value) is type(expected)


def test_a_variable_reaches_nested_sections_and_wins_over_the_file(home, tmp_path):
    file = write(tmp_path / "nomade.toml", '[collectors.disk]\nfilesystems = ["/a"]\ninterval = 30\n')
    config = load_config(file, {"HOME": str(home), "NOMADE_COLLECTORS__DISK__FILESYSTEMS": "/b,/c"})
    assert config.collectors.disk.filesystems == ("/b", "/c")
    assert config.collectors.disk.interval == 30


def test_a_newline_in_a_variable_sets_no_second_key(home):
    config = load_config(environment={"HOME": str(home), "NOMADE_DASHBOARD__HOST": '"x"\nvalue2 = 3'})
    assert config.dashboard.host == '"x"\nvalue2 = 3'


def test_variables_without_a_section_are_not_ours(home):
    assert load_config(environment={"HOME": str(home), "NOMADE_DEMO_SERVE": "0", "NOMADE": "x"}).warnings == ()


def test_the_data_folder_of_the_file_is_taken_as_it_is_even_when_it_cannot_be_written(home, tmp_path):
    file = write(tmp_path / "nomade.toml", '[general]\ndata_dir = "/proc/nomade"\n')
    assert load_config(file, {"HOME": str(home)}).general.data_dir == "/proc/nomade"


def test_a_tilde_in_the_data_folder_is_the_home(home, tmp_path):
    file = write(tmp_path / "nomade.toml", '[general]\ndata_dir = "~/nomade"\n')
    assert load_config(file, {"HOME": str(home)}).general.data_dir == f"{home}/nomade"


# Words of our own; the keys and values are those of the reference's file.
LIKE_THE_REFERENCE = """
[general]
cluster_name = "mycluster"
data_dir = "/var/lib/nomade"
log_level = "INFO"
[collectors]
[collectors.disk]
enabled = true
filesystems = ["/", "/home", "/scratch", "/localscratch"]
[collectors.slurm]
enabled = true
partitions = ["standard", "debug", "gpu", "highmem"]
[collectors.job_metrics]
enabled = true
lookback_hours = 24
min_runtime_seconds = 10
[collectors.iostat]
enabled = true
devices = ["sda", "nvme0n1"]
[collectors.mpstat]
enabled = true
store_per_core = true
store_summary = true
[collectors.vmstat]
enabled = true
[collectors.node_state]
enabled = true
nodes = ["node001", "node002"]
[collectors.gpu]
enabled = true
[collectors.nfs]
enabled = true
[monitor]
sample_interval = 30
nfs_paths = ["/home", "/scratch", "/project"]
local_paths = ["/localscratch", "/tmp", "/dev/shm"]
port = 27001
[alerts]
email_enabled = true
email_to = ["admin@example.edu"]
email_from = "nomade@cluster.example.edu"
smtp_host = "smtp.example.edu"
slack_enabled = false
slack_webhook = ""
disk_warning_percent = 85
disk_critical_percent = 95
queue_stuck_days = 7
gpu_temp_warning = 83
[alerts.derivatives]
disk_acceleration_warning = 1.0
queue_acceleration_warning = 5
[prediction]
enabled = true
similarity_threshold = 0.7
health_threshold = 0.5
retrain_interval_days = 7
[dashboard]
host = "0.0.0.0"
port = 8080
"""


def check_reference(config: Config) -> None:
    assert config.warnings == ()
    assert config.general.cluster_name == "mycluster"
    assert config.collectors.disk.filesystems == ("/", "/home", "/scratch", "/localscratch")
    assert config.collectors.slurm.partitions[-1] == "highmem"
    assert config.monitor.port == 27001
    assert config.alerts.email_to == ("admin@example.edu",)
    assert config.alerts.derivatives.queue_acceleration_warning == 5.0
    assert config.dashboard.host == "0.0.0.0"


@pytest.mark.parametrize("strict", [True, False])
def test_a_file_with_every_key_of_the_reference_loads(home, tmp_path, strict):
    config = load_config(write(tmp_path / "nomade.toml", LIKE_THE_REFERENCE), {"HOME": str(home)}, strict=strict)
    if strict:
        check_reference(config)
    assert config.monitor.port == 27001


@pytest.mark.skipif(not REFERENCE.exists(), reason="../shared/reference is not here")
@pytest.mark.parametrize("uncommented", [False, True])
def test_the_reference_file_taken_as_it_is_loads(home, tmp_path, uncommented):
    readme = REFERENCE.read_text(encoding="utf-8")
    text = readme[readme.index("\n[general]\n") : readme.index("\nUsage\n")]
    if uncommented:
        text = re.sub(r"(?m)^# (\w+ = )", r"\1", text)
        assert "\nnodes = [" in text
    check_reference(load_config(write(tmp_path / "nomade.toml", text), {"HOME": str(home)}))


def test_loading_needs_no_heavy_import():
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, nomade_pipeline.config.load; print(*sys.modules)"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "nomade_pipeline.config.settings" in loaded
    heavy = {"pydantic", "polars", "dagster", "sqlalchemy", "click", "difflib", "asyncio", "tomllib"}
    assert heavy.isdisjoint(loaded)
