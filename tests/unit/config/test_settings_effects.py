"""Keys that hold for all parts of the product, shown where they act."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from nomade_pipeline import clock
from nomade_pipeline.agent.once import store
from nomade_pipeline.agent.runs import RunReport
from nomade_pipeline.collectors import gpu
from nomade_pipeline.collectors.base import CollectorError, Reading
from nomade_pipeline.config.collector_settings import GpuSettings
from nomade_pipeline.config.load import load_config
from nomade_pipeline.probes import LiveProbe
from nomade_pipeline.store.spool import decode_line, spool_files, whole_lines


def test_the_cluster_name_is_in_every_spool_line(tmp_path):
    environment = {"HOME": str(tmp_path), "NOMADE_GENERAL__DATA_DIR": str(tmp_path)}
    config = load_config(environment={**environment, "NOMADE_GENERAL__CLUSTER_NAME": "alpha-1"})
    reading = Reading("disk", ({"path": "/", "status": "ok"},), clock.now(), 60.0)
    store(config, [RunReport("disk", clock.now(), clock.now(), "success", 1.0, readings=(reading,))])
    lines = [line for file in spool_files(tmp_path / "spool") for line in whole_lines(file.path.read_bytes())]
    assert len(lines) == 2
    assert {decode_line(line).cluster for line in lines} == {"alpha-1"}


def as_nobody(call):
    """Return what a call returns when a user without privileges makes it."""
    if os.geteuid() != 0:
        return call()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(65534, 65534, 65534)
            os.write(writer, str(call()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def test_a_user_who_may_not_write_to_var_lib_gets_a_folder_at_home(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    if os.geteuid() != 0 and os.access("/var/lib", os.W_OK):
        pytest.skip("this user may write to /var/lib")
    load_config(environment={"HOME": "/nonexistent"})
    home = as_nobody(lambda: load_config(environment={"HOME": "/nonexistent"}).general.data_dir)
    assert home == "/nonexistent/.local/share/nomade"
    given = {"HOME": "/nonexistent", "NOMADE_GENERAL__DATA_DIR": "/var/lib/nomade"}
    assert as_nobody(lambda: load_config(environment=given).general.data_dir) == "/var/lib/nomade"


@pytest.mark.needs("root")
def test_root_has_its_data_below_var_lib(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(environment={"HOME": str(tmp_path)}).general.data_dir == "/var/lib/nomade"


def test_the_host_is_the_slurm_node_name_then_the_short_host_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environment = {"HOME": str(tmp_path)}
    assert load_config(environment=environment).general.host == os.uname().nodename.split(".")[0].lower()
    environment["SLURMD_NODENAME"] = "Node-01"
    assert load_config(environment=environment).general.host == "Node-01"
    environment["NOMADE_GENERAL__HOST"] = "mine"
    assert load_config(environment=environment).general.host == "mine"


def test_the_gpu_timeout_ends_a_wedged_tool(tmp_path, monkeypatch):
    tool = Path(tmp_path, "nvidia-smi")
    tool.write_text("#!/bin/sh\nexec sleep 60\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    began = time.monotonic()
    with pytest.raises(CollectorError) as caught:
        gpu.collect(LiveProbe(), GpuSettings(timeout=0.2), 60)
    assert caught.value.category == "timeout"
    assert time.monotonic() - began < 5
