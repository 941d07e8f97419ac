"""Each evaluation is told: to the agents by a file, and to an address outside."""

from __future__ import annotations

from support.rows import T0
from support.servers import web_server

from nomade_pipeline.alerts.alive import note_evaluation
from nomade_pipeline.config.settings import Config, DeadmanSettings, GeneralSettings
from nomade_pipeline.store.heartbeat import Heartbeat, last_beat


def config_in(folder, **deadman):
    general = GeneralSettings(cluster_name="alpha", data_dir=str(folder), host="head")
    return Config(general=general, deadman=DeadmanSettings(**deadman))


def test_an_evaluation_is_told_to_the_address_outside(tmp_path):
    with web_server() as web:
        config = config_in(tmp_path, ping_url=f"{web.url}/1234-secret")
        assert note_evaluation(config, T0) is None
        assert [(method, path) for method, path, _, _ in web.asked] == [("GET", "/1234-secret")]
        web.status = 503
        problem = note_evaluation(config, T0)
    assert problem == "somebody outside could not be told of the evaluation: the ping address answered 503"
    assert last_beat(config.paths.heartbeat) == Heartbeat(T0, "head")


def test_without_an_address_there_is_the_heartbeat_alone_and_a_folder_that_is_gone_is_told(tmp_path):
    config = config_in(tmp_path)
    assert note_evaluation(config, T0) is None
    assert last_beat(config.paths.heartbeat) == Heartbeat(T0, "head")
    (tmp_path / "file").write_text("")
    assert "cannot be written" in str(note_evaluation(config_in(tmp_path / "file"), T0))
