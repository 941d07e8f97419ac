"""`nomade test-alerts` on real servers."""

from __future__ import annotations

import json

import pytest
from support.installation import nomade
from support.servers import free_port, mail_server, web_server


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return a function that writes nomade.toml and alerts.toml and calls the command."""
    monkeypatch.setenv("NOMADE_CONFIG", str(tmp_path / "nomade.toml"))

    def call(keys, entries, *arguments):
        general = f'[general]\ncluster_name = "alpha"\nhost = "h"\ndata_dir = "{tmp_path}"\n'
        (tmp_path / "nomade.toml").write_text(f"{general}[alerts]\n{keys}")
        (tmp_path / "alerts.toml").write_text(entries)
        return nomade("test-alerts", *arguments)

    return call


def mail_keys(port):
    keys = 'email_enabled = true\nemail_to = ["a@b.c"]\nemail_from = "n@b.c"\nsmtp_host = "127.0.0.1"\n'
    return f"{keys}smtp_port = {port}\n"


def hook(url):
    return f'[[target]]\nname = "hook"\nkind = "webhook"\nurl = "{url}"\n'


def test_a_marked_test_reaches_every_target(site, tmp_path):
    with mail_server() as box, web_server() as web:
        ended = site(mail_keys(box.port), hook(web.url))
    assert ended.status == 0
    assert [line.split()[0] for line in ended.stdout.splitlines()] == ["log", "email", "hook"]
    assert ended.stdout.count("delivered") == 3
    [(_, _, mail)] = box.mails
    assert mail["Subject"].startswith("[nomade] INFO test (alpha): a test from h; nothing is wrong")
    assert json.loads(web.asked[0][3])["notices"][0]["rule"] == "test"
    assert json.loads((tmp_path / "logs" / "alerts.ndjson").read_text())["text"].startswith("[nomade] INFO test")


def test_a_target_that_fails_is_told_and_the_exit_code_is_1(site):
    with web_server() as web:
        web.status = 500
        ended = site(mail_keys(free_port()), hook(f"{web.url}/s3cret"), "--json")
    assert ended.status == 1
    results = {each["target"]: each for each in ended.json}
    assert [results[name]["delivered"] for name in ("log", "email", "hook")] == [True, False, False]
    assert "cannot be reached" in results["email"]["problem"]
    assert "answered 500" in results["hook"]["problem"]
    assert "s3cret" not in ended.stdout


def test_one_target_can_be_tried_alone_and_an_unknown_one_is_named_with_the_nearest(site):
    with web_server() as web:
        assert site("", hook(web.url), "--target", "hook").stdout.splitlines()[0].startswith("hook ")
        ended = site("", hook(web.url), "--target", "hok")
    assert ended.status == 2
    assert "there is no target 'hok'; did you mean hook?" in ended.stderr


def test_a_faulty_alerts_toml_is_named_with_its_line(site):
    ended = site("", '[[target]]\nname = "x"\nkind = "pigeon"\n')
    assert ended.status == 2
    assert "alerts.toml:3: [[target]] x: kind: 'pigeon' is none of email" in ended.stderr
