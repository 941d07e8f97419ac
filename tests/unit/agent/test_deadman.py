"""The dead-man's switch: when the pipeline counts as silent, whom it tells, and what it remembers."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from support.rows import T0
from support.servers import free_port, web_server

from nomade_pipeline import clock
from nomade_pipeline.agent.deadman import Switch, is_mine
from nomade_pipeline.agent.journal import Journal
from nomade_pipeline.agent.silence import BACK, SILENT, Memory, decide
from nomade_pipeline.config.load import ConfigError, load_config
from nomade_pipeline.config.settings import Config, DeadmanSettings, GeneralSettings
from nomade_pipeline.replay import ReplayProbe
from nomade_pipeline.store.heartbeat import Heartbeat, beat, last_beat
from nomade_pipeline.transport.smtp import server_of

MAIL = DeadmanSettings(enabled=True, email_to=("a@b.c",), email_from="n@b.c", smtp_host="mail")
BOTH = DeadmanSettings(enabled=True, email_to=("a@b.c",), email_from="n@b.c", smtp_host="mail", webhook="https://x/y")
FRESH = Memory(clock.to_text(T0))


def at(minutes):
    return T0 + timedelta(minutes=minutes)


def step(minutes, *, memory=FRESH, beaten=0.0, up=-1000.0, settings=MAIL):
    """Decide some minutes after the last heartbeat; ``beaten`` None: there was never one."""
    newest = None if beaten is None else Heartbeat(at(beaten), "head")
    return decide(settings, memory, newest, at(up), "alpha", at(minutes))


def test_nobody_is_told_while_the_heartbeat_is_young_enough():
    assert step(10) == decide(MAIL, FRESH, Heartbeat(T0, "head"), at(-1000), "alpha", at(10))
    assert step(10).targets == ()
    assert step(10).memory == FRESH


def test_silence_is_told_with_the_last_evaluation_and_its_host():
    told = step(10.1)
    assert (told.news, told.targets) == (SILENT, ("email",))
    assert (
        "alpha is silent: it has evaluated no alerts for 10 minutes (last: 2026-03-05 10:00:00 UTC on head)"
        in told.text
    )


def test_silence_is_told_again_after_the_cooldown():
    memory = step(11).memory.after_telling(SILENT, "email", at(11))
    assert step(11 + 239, memory=memory).targets == ()
    assert step(11 + 240, memory=memory).targets == ("email",)
    never = DeadmanSettings(enabled=True, email_to=("a@b.c",), repeat_minutes=0)
    assert step(99999, memory=memory, settings=never).targets == ()


def test_a_target_that_was_not_reached_is_tried_again_at_once():
    memory = step(11, settings=BOTH).memory.after_telling(SILENT, "webhook", at(11))
    assert step(12, memory=memory, settings=BOTH).targets == ("email",)


def test_the_end_is_told_to_those_who_were_told_until_each_has_heard():
    memory = step(11, settings=BOTH).memory
    for name in ("email", "webhook"):
        memory = memory.after_telling(SILENT, name, at(11))
    back = step(30, memory=memory, beaten=29, settings=BOTH)
    assert (back.news, back.targets) == (BACK, ("email", "webhook"))
    assert "It had not since 2026-03-05 10:00:00 UTC" in back.text
    memory = back.memory.after_telling(BACK, "email", at(30))
    assert step(31, memory=memory, beaten=30, settings=BOTH).targets == ("webhook",)
    memory = memory.after_telling(BACK, "webhook", at(31))
    assert memory == FRESH


def test_an_end_of_which_nobody_heard_the_beginning_is_not_told():
    silent = step(11).memory
    back = step(30, memory=silent, beaten=29)
    assert back.targets == ()
    assert back.memory == FRESH


def test_a_pipeline_that_never_ran_is_silent_counted_from_the_first_look():
    assert step(9, beaten=None).targets == ()
    assert "(last: never)" in step(11, beaten=None).text


def test_while_the_machine_was_off_the_pipeline_was_not_silent():
    assert step(500, up=495).targets == ()
    assert step(500, up=489).targets == ("email",)


def config(folder, host="n1", **deadman):
    general = GeneralSettings(cluster_name="alpha", data_dir=str(folder), host=host)
    return Config(general=general, deadman=DeadmanSettings(enabled=True, **deadman))


def host(*processes):
    """Return a host on which processes run."""
    files = {f"/proc/{number}/comm": f"{name}\n" for number, name in enumerate(processes, start=10)}
    return ReplayProbe(files={**files, "/proc/uptime": "1000000.0 1.0\n"})


def test_only_the_hosts_of_the_configuration_watch(tmp_path):
    named = config(tmp_path, hosts=("N1.example.org",))
    assert is_mine(named, None, host())
    assert not is_mine(config(tmp_path, host="n2", hosts=("n1",)), Heartbeat(T0, "n2"), host("slurmctld"))


def test_nobody_is_told_of_the_silence_of_a_cluster_that_is_not_real(tmp_path):
    for name in ("sim-demo", "replay-alpha"):
        mine = replace(config(tmp_path), general=replace(config(tmp_path).general, cluster_name=name))
        assert not is_mine(mine, Heartbeat(T0, "n1"), host("slurmctld"))


def test_without_named_hosts_the_controller_and_the_pipelines_own_host_watch(tmp_path):
    mine = config(tmp_path)
    assert is_mine(mine, None, host("slurmctld"))
    assert is_mine(mine, Heartbeat(T0, "n1"), host("slurmd"))
    assert not is_mine(mine, Heartbeat(T0, "n2"), host("slurmd"))
    assert not is_mine(mine, None, host())


@pytest.fixture
def switch():
    log = io.StringIO()
    return SimpleNamespace(log=log, look=Switch(host("slurmctld"), Journal(None, "INFO", log)).look)


def test_a_target_that_fails_does_not_keep_the_others_from_being_told(tmp_path, switch):
    beat(tmp_path / "heartbeat.json", "n1", T0)
    with web_server() as web:
        mail = {"email_to": ("a@b.c",), "email_from": "n@b.c", "smtp_host": "127.0.0.1", "smtp_port": free_port()}
        settings = config(tmp_path, webhook=f"{web.url}/secret", **mail)
        for minute in (11, 12):
            with clock.set_to(at(minute)):
                switch.look(settings)
    assert len(web.asked) == 1
    assert b"alpha is silent" in web.asked[0][3]
    assert switch.log.getvalue().count("email could not be told") == 1
    assert "secret" not in switch.log.getvalue()


def test_what_was_told_outlives_a_restart(tmp_path, switch):
    beat(tmp_path / "heartbeat.json", "n1", T0)
    with web_server() as web:
        settings = config(tmp_path, webhook=web.url)
        for minute in (11, 12):
            with clock.set_to(at(minute)):
                Switch(host("slurmctld"), Journal(None, "INFO")).look(settings)
        assert len(web.asked) == 1
        beat(tmp_path / "heartbeat.json", "n1", at(13))
        for minute in (14, 15):
            with clock.set_to(at(minute)):
                Switch(host("slurmctld"), Journal(None, "INFO")).look(settings)
    assert [b"evaluates alerts again" in body for _, _, _, body in web.asked] == [False, True]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"time": "soon", "host": "n1"}', '{"time": 5}'])
def test_a_damaged_heartbeat_or_memory_is_as_good_as_none_and_is_told(tmp_path, switch, damage):
    settings = config(tmp_path, webhook="http://127.0.0.1:1/")
    settings.paths.heartbeat.write_text(damage)
    memory = settings.paths.agent_state("n1", "agent", "deadman")
    memory.parent.mkdir()
    memory.write_text(damage)
    with clock.set_to(T0):
        switch.look(settings)
    assert "the heartbeat of the pipeline cannot be read" in switch.log.getvalue()
    assert '"watched_since": "2026-03-05T10:00:00.000Z"' in memory.read_text()


def test_the_heartbeat_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "heartbeat.json"
    assert last_beat(path) is None
    beat(path, "head", T0)
    assert last_beat(path) == Heartbeat(T0, "head")
    assert [each.name for each in tmp_path.iterdir()] == ["heartbeat.json"]


def loaded(tmp_path, text):
    file = tmp_path / "nomade.toml"
    file.write_text(text)
    return load_config(file, {"HOME": str(tmp_path)}, strict=False).deadman


def test_the_mail_server_of_the_section_can_have_all_that_those_of_alerts_have(tmp_path):
    keys = (
        'smtp_host = "mail"\nsmtp_port = 2525\nsmtp_security = "tls"\nsmtp_user = "u"\n'
        'smtp_password_env = "SECRET"\nsmtp_ca_file = "/ca.pem"\n'
    )
    server = server_of(loaded(tmp_path, f"[deadman]\n{keys}"))
    assert (server.address, server.secured_by, server.user) == (("mail", 2525), "tls", "u")
    assert (server.password.variable, server.ca_file) == ("SECRET", "/ca.pem")
    by_file = loaded(
        tmp_path, f"[deadman]\n{keys}".replace('smtp_password_env = "SECRET"', 'smtp_password_file = "/pw"')
    )
    assert server_of(by_file).password.file == "/pw"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("enabled = true", "enabled: true, but there is neither email_to nor webhook"),
        ('email_to = ["a@b.c"]\nsmtp_host = "m"', "email_to: there are recipients, but email_from is empty"),
        ('webhook = "https://x/y"\nwebhook_file = "/f"', "webhook_file: is given beside webhook; give one of them"),
        (
            'webhook = "ftp://x/tok3n"',
            "webhook: the value is not possible here; write an address that begins with https",
        ),
    ],
)
def test_a_switch_that_could_tell_nobody_is_an_error(tmp_path, text, problem):
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, f"[deadman]\n{text}")
    assert problem in str(caught.value)
    assert "tok3n" not in str(caught.value)
