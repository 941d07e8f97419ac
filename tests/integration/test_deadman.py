"""The dead-man's switch in the real agent: it mails and posts by itself, survives kill -9, costs nothing when off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from support.needs import REPOSITORY
from support.servers import PASSWORD, USER, mail_server, make_certificate, web_server

from nomade_pipeline import clock
from nomade_pipeline.store.heartbeat import beat

# The pipeline counts as silent after 1.2 s and is looked at three times a second.
PATIENCE = "after_minutes = 0.02"


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.fixture
def agents(tmp_path):
    """Return a function that starts an agent with a section `[deadman]`; all are killed in the end."""
    started = []

    def start(section, program=(sys.executable, "-m", "nomade_pipeline.agent")):
        config = tmp_path / "nomade.toml"
        text = f'[general]\ncluster_name = "alpha"\nhost = "h"\ndata_dir = "{tmp_path}"\n[deadman]\nenabled = true\n'
        config.write_text(f'{text}hosts = ["h"]\n{PATIENCE}\n{section}')
        process = subprocess.Popen(
            [*program, "--config", config, "-C", "disk"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)},
            stderr=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def long_silent(folder):
    beat(folder / "heartbeat.json", "h", clock.now() - timedelta(hours=1))


def log(folder):
    path = folder / "logs" / "agent-h.log"
    return [json.loads(line)["event"] for line in path.read_text().splitlines()] if path.exists() else []


def subjects(box):
    return [str(mail["Subject"]) for _, _, mail in box.mails]


def test_the_agent_mails_once_that_the_pipeline_is_silent_and_that_it_is_back(agents, tmp_path):
    silent, back = "[nomade] the monitoring of alpha is silent", "[nomade] the monitoring of alpha is back"
    long_silent(tmp_path)
    with mail_server() as box:
        section = f'email_to = ["a@b.c"]\nemail_from = "n@b.c"\nsmtp_host = "127.0.0.1"\nsmtp_port = {box.port}\n'
        first = agents(section)
        assert until(lambda: subjects(box) == [silent])
        # A kill between telling and remembering costs a second message; here what was told is remembered.
        memory = tmp_path / "spool" / ".agent-h.deadman.json"
        assert until(lambda: memory.exists() and "email" in memory.read_text())
        first.kill()
        first.wait(10)
        second = agents(section)
        assert until(lambda: log(tmp_path).count("the agent started") == 2)
        time.sleep(1.0)
        assert subjects(box) == [silent]
        beat(tmp_path / "heartbeat.json", "h", clock.now() + timedelta(minutes=5))
        assert until(lambda: len(box.mails) == 2)
        assert subjects(box) == [silent, back]
        second.terminate()
        assert second.wait(15) == 0
    assert log(tmp_path).count("told that the pipeline is silent") == 1


def test_the_agent_mails_over_starttls_with_a_password_from_a_file(agents, tmp_path):
    certificate = make_certificate(tmp_path)
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    long_silent(tmp_path)
    with mail_server(certificate, security="starttls", login=True) as box:
        agents(
            f'email_to = ["a@b.c"]\nemail_from = "n@b.c"\nsmtp_host = "127.0.0.1"\nsmtp_port = {box.port}\n'
            f'smtp_user = "{USER}"\nsmtp_password_file = "{password}"\nsmtp_ca_file = "{certificate}"\n'
        )
        assert until(lambda: len(box.mails) == 1)


def python39():
    """Return a Python 3.9 that runs; the shims of pyenv often do not."""
    for candidate in sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9")):
        if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(candidate)
    return pytest.skip("no Python 3.9 here")


@pytest.mark.parametrize(
    "find", [pytest.param(lambda: sys.executable, id="this Python"), pytest.param(python39, id="Python 3.9")]
)
def test_the_agent_posts_to_the_webhook_that_a_file_names(agents, tmp_path, find):
    interpreter = find()
    archive = tmp_path / "nomade-agent.pyz"
    subprocess.run(
        [sys.executable, REPOSITORY / "scripts" / "build_agent.py", archive], check=True, stdout=subprocess.DEVNULL
    )
    long_silent(tmp_path)
    with web_server() as web:
        address = tmp_path / "address"
        address.write_text(f"{web.url}/secret\n")
        address.chmod(0o600)
        agents(f'webhook_file = "{address}"\n', program=(interpreter, "-I", "-S", archive))
        assert until(lambda: web.asked)
    assert web.asked[0][1] == "/secret"
    assert "alpha is silent" in json.loads(web.asked[0][3])["text"]
    assert "secret" not in (tmp_path / "logs" / "agent-h.log").read_text()


def test_an_agent_stops_at_once_while_a_mail_server_hangs(agents, tmp_path):
    from support.servers import dripping_server

    long_silent(tmp_path)
    with dripping_server() as port:
        process = agents(f'email_to = ["a@b.c"]\nemail_from = "n@b.c"\nsmtp_host = "127.0.0.1"\nsmtp_port = {port}\n')
        assert until(lambda: "the agent started" in log(tmp_path))
        time.sleep(0.5)
        began = time.monotonic()
        process.terminate()
        assert process.wait(15) == 0
        assert time.monotonic() - began < 6


def test_an_agent_without_the_switch_imports_none_of_it():
    code = "import sys, nomade_pipeline.agent.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    wanted_only_with_it = {"smtplib", "ssl", "http.client", "email.message", "nomade_pipeline.agent.deadman"}
    assert not wanted_only_with_it & set(loaded)
    assert not any(name.startswith("nomade_pipeline.transport") for name in loaded)
