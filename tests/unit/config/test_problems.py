"""Every fault of a configuration is named with file, line, key and the nearest valid key."""

from __future__ import annotations

import pytest

from nomade_pipeline.config.load import ConfigError, load_config
from nomade_pipeline.config.validate import all_paths


def problems(tmp_path, text: str, *, strict: bool = True, **variables: str) -> list[str]:
    file = tmp_path / "nomade.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file, {"HOME": str(tmp_path), **variables}, strict=strict)
    return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[general]\ncluster_nam = "a"',
            "nomade.toml:2: [general] cluster_nam: unknown key; did you mean cluster_name?",
        ),
        (
            '[general]\nCLUSTER_NAME = "a"',
            "nomade.toml:2: [general] CLUSTER_NAME: unknown key; did you mean cluster_name?",
        ),
        ("[collector.disk]", "nomade.toml:1: [collector]: unknown section; did you mean collectors?"),
        ("[collectors.dsk]", "nomade.toml:1: [collectors] dsk: unknown section; did you mean disk?"),
        ("[general]\nport = 1", "nomade.toml:2: [general] port: unknown key; it belongs in [monitor]"),
        (
            "[general]\nsmtp_hots = 1",
            "nomade.toml:2: [general] smtp_hots: unknown key; did you mean smtp_host in [alerts]?",
        ),
        ("[general]\ncluster_name = 3", "[general] cluster_name: expected a text, found a whole number (3)"),
        (
            "[collectors.disk]\nenabled = 1",
            "[collectors.disk] enabled: expected true or false, found a whole number (1)",
        ),
        ("[collectors.disk]\ninterval = true", "interval: expected a whole number, found true or false (True)"),
        ("[collectors.disk]\ninterval = 60.0", "interval: expected a whole number, found a number (60.0)"),
        ("[collectors.disk]\ninterval = 0", "nomade.toml:2: [collectors.disk] interval: 0 is outside 1 to 86400"),
        ('[collectors.disk]\nfilesystems = "/"', "filesystems: expected a list of texts, found a text ('/')"),
        ("[collectors.disk]\nfilesystems = [1]", "filesystems: expected a list of texts, found 1 in the list"),
        (
            '[collectors.disk]\nfilesystems = ["home"]',
            "filesystems: 'home' is not possible here; write an absolute path",
        ),
        ('[collectors.iostat]\ndevices = ["-x"]', "devices: '-x' is not possible here; write a kernel name"),
        ("[alerts]\ndisk_warning_percent = 101", "disk_warning_percent: 101 is outside 0 to 100"),
        ("[alerts]\ngpu_temp_warning = nan", "gpu_temp_warning: nan is outside 0 to 200"),
        ("[alerts]\nqueue_stuck_days = inf", "queue_stuck_days: inf is no usable number"),
        (
            "[alerts]\ndisk_warning_percent = 95",
            "nomade.toml:2: [alerts] disk_warning_percent: 95 is not below disk_critical_percent (95)",
        ),
        (
            '[derived]\nseries = ["vmstat.swap_used_byte"]',
            "'vmstat.swap_used_byte' is no quantity that is rolled up; did you mean vmstat.swap_used_bytes?",
        ),
        ("[monitor]\nport = 65536", "port: 65536 is outside 0 to 65535"),
        ("[dashboard]\nport = 0", "port: 0 is outside 1 to 65535"),
        ('[general]\ncluster_name = ""', "cluster_name: is empty"),
        ('[general]\ncluster_name = "a/b"', "cluster_name: 'a/b' is not possible here; it becomes a folder's name"),
        ('[general]\ncluster_name = ".."', "cluster_name: '..' is not possible here"),
        ('[general]\ncluster_name = "a\\n"', "cluster_name: 'a\\n' is not possible here"),
        ('[general]\nhost = "n/1"', "host: 'n/1' is not possible here"),
        ('[general]\ndata_dir = "data"', "data_dir: 'data' is not possible here; write an absolute path"),
        (
            '[general]\nlog_level = "debug"',
            "log_level: 'debug' is none of DEBUG, INFO, WARNING, ERROR; did you mean DEBUG?",
        ),
        ("general = 3", "nomade.toml:1: [general]: is a section, not a value; write [general]"),
        ("[collectors]\ndisk = false", "nomade.toml:2: [collectors] disk: is a section, not a value"),
        ("[general]\n[general.cluster_name]", "[general] cluster_name: expected a text, found a section"),
        ("[general]\ncluster_name = 2026-01-01", "cluster_name: expected a text, found datetime.date(2026, 1, 1)"),
        ("[alerts]\nslack_enabled = true", "slack_enabled: true, but slack_webhook is empty"),
    ],
)
def test_a_fault_is_named_with_its_place_and_the_remedy(tmp_path, text, expected):
    found = problems(tmp_path, text)
    assert len(found) == 1, found
    assert expected in found[0]
    assert found[0].startswith("nomade.toml:")


def test_all_faults_of_a_file_are_reported_at_once(tmp_path):
    found = problems(tmp_path, "[general]\nx = 1\n\n[alerts]\nemail_enabled = true\n[collectors.gpu]\ninterval = -1\n")
    assert [problem.split(": ")[0] for problem in found] == ["nomade.toml:2", "nomade.toml:7", *["nomade.toml:5"] * 3]


def test_dotted_keys_and_inline_tables_have_their_lines(tmp_path):
    found = problems(tmp_path, "[collectors]\n\ngpu.interval = 0\n'disk' = { interval = 0 }\n")
    assert [problem.split(": ")[0] for problem in found] == ["nomade.toml:3", "nomade.toml:4"]


def test_a_fault_of_the_environment_names_the_variable(tmp_path):
    found = problems(tmp_path, "", NOMADE_RETENTION__RAW_DAYS="many", NOMADE_ALERTS__SMTP_HOTS="x", NOMADE_FOO__BAR="1")
    assert (
        "environment variable NOMADE_ALERTS__SMTP_HOTS: [alerts] smtp_hots: unknown key; did you mean smtp_host?"
        in found
    )
    assert any(problem.startswith("environment variable NOMADE_FOO__BAR: [foo]: unknown section") for problem in found)
    raw_days = (
        "environment variable NOMADE_RETENTION__RAW_DAYS: [retention] raw_days: expected a whole number, found a text"
    )
    assert any(problem.startswith(raw_days) for problem in found)


def test_a_host_name_that_cannot_be_a_folder_is_refused(tmp_path):
    assert "'../x', cannot name a folder" in problems(tmp_path, "", SLURMD_NODENAME="../x")[0]


def test_for_the_agent_an_unknown_key_is_a_warning(tmp_path):
    file = tmp_path / "nomade.toml"
    file.write_text("[general]\nnew_key = 1\n[collectors.new]\nx = 2\n[new_section]\n[collectors.disk]\ninterval = 5\n")
    config = load_config(file, {"HOME": str(tmp_path)}, strict=False)
    assert config.collectors.disk.interval == 5
    assert len(config.warnings) == 3
    assert f"{file}:2: [general] new_key: unknown key" in config.warnings[0]


def test_the_agent_validates_only_its_own_sections(tmp_path):
    text = '[alerts]\nemail_enabled = "what"\n[dashboard]\nport = "x"\n[prediction]\nfoo = 1\n'
    assert len(problems(tmp_path, text)) == 3
    config = load_config(tmp_path / "nomade.toml", {"HOME": str(tmp_path)}, strict=False)
    assert config.warnings == ()
    for section in ("general", "monitor", "collectors.disk"):
        assert problems(
            tmp_path,
            f"[{section}]\n{'interval' if '.' in section else 'port'} = 'x'\n" * (section != "general")
            or "[general]\ncluster_name = 1",
            strict=False,
        )


def test_every_key_of_a_wrong_type_is_refused(tmp_path):
    for path in all_paths():
        found = problems(tmp_path, f"[{'.'.join(path[:-1])}]\n{path[-1]} = 1979-05-27T07:32:00Z\n")
        assert found[0].startswith(f"nomade.toml:2: [{'.'.join(path[:-1])}] {path[-1]}: expected ")
