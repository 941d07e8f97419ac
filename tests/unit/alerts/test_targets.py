"""Targets, routes and mutes as people write them: what they become, and what is said of a mistake."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.notices import notice_of

from nomade_pipeline.alerts.delivery.targets import KINDS
from nomade_pipeline.alerts.route_file import load_outlets
from nomade_pipeline.config.load import ConfigError, load_config
from nomade_pipeline.config.render import describe
from nomade_pipeline.config.secret import Secret, SecretError

MAIL = 'kind = "email"\nto = ["a@b.c"]\nfrom = "n@b.c"\nhost = "mail"'


@pytest.fixture
def outlets(tmp_path):
    """Return a function that reads the two files as an installation would."""

    def load(alerts_toml="", nomade_toml=""):
        (tmp_path / "nomade.toml").write_text(f'[general]\ndata_dir = "{tmp_path}"\n{nomade_toml}')
        (tmp_path / "alerts.toml").write_text(alerts_toml)
        return load_outlets(load_config(tmp_path / "nomade.toml", {"HOME": str(tmp_path)}))

    return load


def problems(outlets, alerts_toml):
    """Return the faults of an alerts.toml, each with its line."""
    with pytest.raises(ConfigError) as caught:
        outlets(alerts_toml)
    return [problem.split("alerts.toml:", 1)[1] for problem in caught.value.problems]


REFERENCE = """\
[alerts]
email_enabled = true
email_to = ["admin@example.edu"]
email_from = "nomade@example.edu"
smtp_host = "smtp.example.edu"
slack_enabled = true
slack_webhook = "https://hooks.slack.com/services/T/B/s3cret"
"""


def test_the_keys_of_the_reference_are_targets_without_any_other_file(outlets):
    found = outlets(nomade_toml=REFERENCE)
    assert sorted(found.targets) == ["email", "log", "slack"]
    mail, slack = found.targets["email"], found.targets["slack"]
    assert (mail.sender, mail.recipients) == ("nomade@example.edu", ("admin@example.edu",))
    assert (mail.server.address, mail.server.secured_by) == (("smtp.example.edu", 25), "none")
    assert slack.url.read() == "https://hooks.slack.com/services/T/B/s3cret"
    [route] = found.routes.routes
    assert (sorted(route.targets), route.severity) == (["email", "log", "slack"], "warning")


def test_without_any_key_there_is_the_file_of_our_own(outlets, tmp_path):
    found = outlets()
    assert list(found.targets) == ["log"]
    assert found.targets["log"].path == str(tmp_path / "logs" / "alerts.ndjson")


def test_the_mail_server_can_have_another_port_tls_and_a_password(outlets):
    keys = (
        'smtp_port = 2525\nsmtp_security = "tls"\nsmtp_user = "u"\nsmtp_password_file = "/pw"\nsmtp_ca_file = "/ca"\n'
    )
    server = outlets(nomade_toml=REFERENCE + keys).targets["email"].server
    assert (server.address, server.secured_by, server.user) == (("smtp.example.edu", 2525), "tls", "u")
    assert (server.password.file, server.ca_file) == ("/pw", "/ca")


def test_a_password_may_stand_in_an_environment_variable(outlets, monkeypatch):
    keys = 'smtp_user = "u"\nsmtp_password_env = "NOMADE_TEST_PASSWORD"\n'
    server = outlets(nomade_toml=REFERENCE + keys).targets["email"].server
    assert server.secured_by == "starttls"
    with pytest.raises(SecretError, match="NOMADE_TEST_PASSWORD is not set"):
        server.password.read()
    monkeypatch.setenv("NOMADE_TEST_PASSWORD", "s3cret")
    assert server.password.read() == "s3cret"


def test_the_address_of_slack_may_stand_in_a_file(outlets, tmp_path):
    address = tmp_path / "slack"
    address.write_text("https://hooks.slack.com/x\n")
    address.chmod(0o600)
    text = '[alerts]\nslack_enabled = true\nslack_webhook_file = "{}"\n'
    assert outlets(nomade_toml=text.format(address)).targets["slack"].url.read() == "https://hooks.slack.com/x"


def test_the_file_beside_nomade_toml_or_the_one_that_is_named_is_read(outlets, tmp_path):
    entry = f'[[target]]\nname = "here"\n{MAIL}\n'
    assert "here" in outlets(entry).targets
    elsewhere = tmp_path / "elsewhere.toml"
    named = f'[alerts]\nrules_file = "{elsewhere}"\n'
    with pytest.raises(ConfigError, match="no such file"):
        outlets(entry, named)
    elsewhere.write_text(entry.replace("here", "there"))
    assert list(outlets(entry, named).targets) == ["log", "there"]


def test_no_secret_is_shown(outlets, tmp_path):
    found = outlets(
        '[[target]]\nname = "any"\nkind = "apprise"\nurl = "tgram://b0t-t0ken/chat"\n', nomade_toml=REFERENCE
    )
    assert "t0ken" not in repr(found)
    assert "s3cret" not in repr(found)
    config = load_config(tmp_path / "nomade.toml", {"HOME": str(tmp_path)})
    assert 'slack_webhook = "***"' in describe(config)
    with pytest.raises(ConfigError) as caught:
        outlets(nomade_toml=REFERENCE.replace("https", "htps"))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o640, 0o400])
def test_a_file_with_a_secret_may_be_open_to_its_group_to_read_and_to_nobody_else(tmp_path, mode):
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    file.chmod(mode)
    if mode in (0o640, 0o400):
        assert Secret(file=str(file)).read() == "s3cret"
    else:
        with pytest.raises(SecretError, match="is open to others; run: chmod 600"):
            Secret(file=str(file)).read()


ALL_KINDS = f"""\
[[target]]
name = "admins"
{MAIL}
[[target]]
name = "chat"
kind = "slack"
url_file = "/etc/nomade/slack"
[[target]]
name = "hook"
kind = "webhook"
url = "https://example.org/hook"
secret_env = "HOOK_SECRET"
[[target]]
name = "any"
kind = "apprise"
url_env = "APPRISE_URL"
[[target]]
name = "file"
kind = "file"
path = "/var/log/alerts"

[[route]]
targets = ["admins", "chat"]
severity = "info"
rules = ["disk*"]
days = ["mon", "tue"]
hours = "08:00-18:00"
time_zone = "Europe/Berlin"
[[route]]
targets = ["hook"]
severity = "critical"
escalate_to = ["any"]
resolved = false
dry_run = true

[[mute]]
name = "maintenance"
clusters = ["alpha"]
from = 2026-12-24
until = 2026-12-26
time_zone = "Europe/Berlin"
[[mute]]
name = "backup"
subjects = ["*:/backup"]
hours = "22:00-24:00"
"""


def test_every_kind_of_target_and_all_of_routes_and_mutes_can_be_written(outlets):
    found = outlets(ALL_KINDS)
    assert {target.kind for target in found.targets.values()} == set(KINDS)
    day, night = found.routes.routes
    assert (day.targets, day.severity, day.scope.rules) == (("admins", "chat"), "info", ("disk*",))
    assert (sorted(day.window.days), day.window.begin, day.window.end) == ([0, 1], 480, 1080)
    assert (night.escalate_to, night.resolved, night.dry_run) == (("any",), False, True)
    christmas, backup = found.routes.mutes
    # Midnight in Berlin; the last day counts whole.
    for moment, muted in (((23, 22, 59), False), ((23, 23, 0), True), ((26, 22, 59), True), ((26, 23, 0), False)):
        assert christmas.holds(notice_of(), datetime(2026, 12, *moment, tzinfo=UTC)) is muted
    assert backup.holds(notice_of(subject="n:/backup"), datetime(2026, 12, 1, 23, 30, tzinfo=UTC))
    assert not backup.holds(notice_of(), datetime(2026, 12, 1, 23, 30, tzinfo=UTC))


def test_a_mute_may_begin_and_end_at_a_time(outlets):
    times = "from = 2026-12-24T08:00:00\nuntil = 2026-12-24T09:00:00+00:00"
    [mute] = outlets(f'[[mute]]\nname = "m"\n{times}\ntime_zone = "Europe/Berlin"\n').routes.mutes
    assert mute.holds(notice_of(), datetime(2026, 12, 24, 7, 0, tzinfo=UTC))
    assert not mute.holds(notice_of(), datetime(2026, 12, 24, 9, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[target]]\nname = "x"\nkind = "emial"', "3: [[target]] x: kind: 'emial' is none of email, slack, webhook"),
        ('[[target]]\nname = "x"\nkind = "emial"', "did you mean email?"),
        (f'[[target]]\nname = "x"\n{MAIL}\nprot = 25', "7: [[target]] x: prot: unknown key; did you mean port?"),
        (f'[[target]]\nname = "x"\n{MAIL}\nport = "25"', "7: [[target]] x: port: expected a whole number, found '25'"),
        (f'[[target]]\nname = "x"\n{MAIL}\nport = 99999', "port: 99999 is outside 0 to 65535"),
        (f"[[target]]\n{MAIL}", "1: [[target]]: name: is missing"),
        (f'[[target]]\nname = "a b"\n{MAIL}', "2: [[target]]: name: 'a b' is no name"),
        (f'[[target]]\nname = "log"\n{MAIL}', "name: there is a target 'log' already"),
        (
            f'[[target]]\nname = "x"\n{MAIL}\npassword = "pw"\nuser = "u"',
            "password: a secret does not belong in this file",
        ),
        (f'[[target]]\nname = "x"\n{MAIL}\nuser = "u"', "user: give user and password"),
        ('[[target]]\nname = "x"\nkind = "email"\nto = ["a"]', "4: [[target]] x: to: 'a' is not possible here"),
        ('[[target]]\nname = "x"\nkind = "email"\nto = ["a@b\\nBcc: d@e"]', "to: 'a@b\\nBcc: d@e' is not possible"),
        ('[[target]]\nname = "x"\nkind = "email"\nto = []', "to: is empty"),
        ('[[target]]\nname = "x"\nkind = "slack"', "1: [[target]] x: url is missing; give url, url_file or url_env"),
        ('[[target]]\nname = "x"\nkind = "slack"\nurl = "ftp://y"', "url: write an address that begins with https://"),
        (
            '[[target]]\nname = "x"\nkind = "slack"\nurl = "https://y"\nurl_env = "Z"',
            "5: [[target]] x: url_env: is given beside",
        ),
        ('[[route]]\nseverity = "warning"', "1: [[route]]: targets: is missing"),
        ('[[route]]\ntargets = ["lgo"]', "2: [[route]]: targets: there is no target 'lgo'; did you mean log?"),
        ('[[route]]\ntargets = ["log"]\nseverity = "bad"', "severity: 'bad' is none of info, warning, critical"),
        ('[[route]]\ntargets = ["log"]\ndays = ["monday"]', "days: 'monday' is none of mon, tue"),
        ('[[route]]\ntargets = ["log"]\nhours = "8-18"', "hours: '8-18' are no hours; write 08:00-18:00"),
        ('[[route]]\ntargets = ["log"]\ntime_zone = "Berlin"', "time_zone: 'Berlin' is no time zone"),
        ('[[route]]\ntargets = ["log"]\ntime_zone = "../../etc/passwd"', "is no time zone"),
        ('[[route]]\ntargets = "log"', "targets: expected a list of texts, found 'log'"),
        ("[[route]]\ntargets = [5]", "targets: expected a list of texts, found 5 in it"),
        ('[[mute]]\nname = "m"', "1: [[mute]] m: says no time"),
        ('[[mute]]\nname = "m"\nfrom = 2026-01-02\nuntil = 2026-01-01', "4: [[mute]] m: until: is not after from"),
        ('[[mute]]\nname = "m"\nfrom = "today"', "from: expected a date such as 2026-12-24"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_what_would_be_right(outlets, text, problem):
    assert any(problem in each for each in problems(outlets, text)), problems(outlets, text)


def test_all_mistakes_are_told_together_and_a_secret_in_them_is_not(outlets):
    text = '[[target]]\nname = "x"\nkind = "webhook"\nurl = "nope s3cret"\nsecret = "s3cret"\n[[route]]\nzzz = 1\n'
    found = problems(outlets, text)
    assert [problem.split(":")[0] for problem in found] == ["4", "5", "6", "7"]
    assert "s3cret" not in "".join(found)


def test_the_example_in_the_manual_is_right(outlets):
    page = (Path(__file__).parents[3] / "docs" / "alert-delivery.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in page.split("```toml\n")[1:]]
    found = outlets("\n".join(block for block in blocks if block.startswith("[[")))
    assert {target.kind for target in found.targets.values()} == set(KINDS)
    assert [mute.name for mute in found.routes.mutes] == ["maintenance", "backup"]
