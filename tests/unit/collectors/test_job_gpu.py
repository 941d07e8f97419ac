"""GPUs of jobs: by UUID, never by index; what the driver does not tell is null."""

from __future__ import annotations

import pytest

from nomade_pipeline.collectors.base import CollectorError
from nomade_pipeline.collectors.job_gpu import GpuPicture, GpuUse, JobGpus, gpus_of, parse_apps, read_gpus
from nomade_pipeline.probes import TimedOut
from nomade_pipeline.replay import Recorded, ReplayProbe

MIB = 2**20
A, B = "GPU-aaaaaaaa-0000-0000-0000-000000000001", "GPU-bbbbbbbb-0000-0000-0000-000000000002"
APPS = f"pid, gpu_uuid, used_gpu_memory [MiB]\n100, {A}, 370 MiB\n100, {B}, 30 MiB\n200, {B}, [N/A]\n"
GPUS = f"uuid, utilization.gpu [%]\n{A}, 0 %\n{B}, 50 %\n"
ORIGIN = "nvidia_smi_csv/utkuozdemir+nvidia_gpu_exporter__"
RECORDED = {
    "linux-x86_64__nvidia-h100-80gb-hbm3__590.48.01__load": {11327: 2566 * MIB, 11328: 1542 * MIB, 11345: 15690 * MIB},
    "linux-x86_64__nvidia-h100-mig__590.48.01__load": {21180: 2296 * MIB, 21181: 1272 * MIB, 21198: 7484 * MIB},
    "linux-x86_64__nvidia-l40s__595.80__load": {20037: 538 * MIB, 20038: 681 * MIB},
    "linux-x86_64__nvidia-geforce-rtx-2080-super__595.71.05__load": {5268: 370 * MIB, 5267: 230 * MIB},
    "linux-x86_64__nvidia-geforce-rtx-2080-super__595.71.05__idle": {},
}


def smi(apps, gpus=GPUS):
    return ReplayProbe(
        [
            Recorded(("nvidia-smi", "--query-compute-apps=pid,gpu_uuid,used_memory"), apps),
            Recorded(("nvidia-smi", "--query-gpu=uuid,utilization.gpu"), gpus),
        ]
    )


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_list_of_processes_is_read(shared, name):
    text = shared(f"{ORIGIN}{name}-query-compute-apps-per-process.txt")
    assert {use.pid: use.memory_bytes for use in parse_apps(text)} == RECORDED[name]


@pytest.mark.parametrize("when", ["idle", "load"])
def test_a_driver_that_does_not_tell_memory_gives_null(shared, when):
    """Trap 75: [N/A] is no zero."""
    name = "windows-x86_64__nvidia-geforce-rtx-2080-super__591.86"
    uses = parse_apps(shared(f"{ORIGIN}{name}__{when}-query-compute-apps-per-process.txt"))
    assert len(uses) >= 9
    assert {use.memory_bytes for use in uses} == {None}


def test_an_idle_gpu_counts_in_the_mean():
    """Trap 79: 0 is falsy."""
    used = gpus_of(read_gpus(smi(APPS)), {100})
    assert used == JobGpus(f"{A},{B}", 25.0, 400 * MIB)


def test_a_gpu_that_tells_no_utilisation_is_left_out_of_the_mean_and_no_zero():
    picture = read_gpus(smi(APPS, f"uuid, utilization.gpu [%]\n{A}, [N/A]\n{B}, 50 %\n"))
    assert gpus_of(picture, {100}).util_percent == 50.0
    assert (
        gpus_of(read_gpus(smi(APPS, f"uuid, utilization.gpu [%]\n{A}, [N/A]\n{B}, [N/A]\n")), {100}).util_percent
        is None
    )


def test_memory_that_is_not_told_is_null():
    assert gpus_of(read_gpus(smi(APPS)), {200}) == JobGpus(B, 50.0, None)


def test_a_job_without_a_process_on_a_gpu_has_none():
    assert gpus_of(read_gpus(smi(APPS)), {300}) == JobGpus(None, None, None)


def test_a_host_without_nvidia_smi_has_no_gpus_and_that_is_no_problem():
    assert read_gpus(ReplayProbe()) == GpuPicture()


def test_a_driver_that_does_not_answer_is_told():
    probe = ReplayProbe([Recorded(("nvidia-smi",), error=TimedOut("nvidia-smi did not answer within 10 s"))])
    assert "did not answer" in read_gpus(probe).problem
    assert read_gpus(smi("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n")).problem


@pytest.mark.parametrize("text", ["No devices were found\n", "", "\n", "pid, gpu_uuid, used_gpu_memory [MiB]\n"])
def test_no_device_and_no_process_are_no_use(text):
    assert parse_apps(text) == []


def test_garbage_is_refused():
    with pytest.raises(CollectorError, match="no pid and gpu_uuid"):
        parse_apps("what, is, this\n1, 2, 3\n")


def test_lines_that_are_no_process_are_left_out():
    text = f"pid, gpu_uuid, used_gpu_memory [MiB]\n[N/A], {A}, 1 MiB\n7, {A}\nUnable to determine\n8, {A}, 1 MiB\n"
    assert parse_apps(text) == [GpuUse(8, A, MIB)]
