"""gpu: CSV by header, XML, `-q`, MIG, faults in place of values, several GPUs."""

from __future__ import annotations

import pytest

from nomade_pipeline.collectors import gpu
from nomade_pipeline.collectors.base import CollectorError, Skipped
from nomade_pipeline.collectors.gpu_forms import parse_listing
from nomade_pipeline.config.collector_settings import GpuSettings
from nomade_pipeline.probes import TimedOut
from nomade_pipeline.replay import Recorded, ReplayProbe

MIB = 2**20
A, B = "GPU-aaaaaaaa-0000-0000-0000-000000000001", "GPU-bbbbbbbb-0000-0000-0000-000000000002"
HEADER = (
    "index, uuid, name, utilization.gpu [%], memory.used [MiB], power.draw [W], "
    "clocks.current.sm [MHz], mig.mode.current\n"
)
ORIGIN = "utkuozdemir+nvidia_gpu_exporter__linux-x86_64__"
H100 = ORIGIN + "nvidia-h100-80gb-hbm3__590.48.01__"
MIG = ORIGIN + "nvidia-h100-mig__590.48.01__"
CSV = "query-gpu-csv-what-the-exporter-par.txt"


def csv(*lines):
    return HEADER + "".join(f"{line}\n" for line in lines)


def rows_of(text):
    return {row["gpu_uuid"]: row for row in gpu.parse(text).rows["gpu"]}


def test_a_loaded_gpu_is_read_in_base_units(shared):
    row = gpu.parse(shared(f"nvidia_smi_csv/{H100}load-{CSV}")).rows["gpu"][0]
    assert row["name"] == "NVIDIA H100 80GB HBM3"
    assert row["utilization_percent"] == 100.0
    assert row["memory_total_bytes"] == 81559 * MIB
    assert row["memory_used_bytes"] == 19818 * MIB
    assert row["temperature_celsius"] == 59.0
    assert row["power_watts"] == 631.95
    assert row["power_limit_watts"] == 700.0
    assert row["sm_clock_hertz"] == 1980 * 10**6
    assert row["performance_state"] == "P0"
    assert row["ecc_uncorrected_total"] == 0
    assert row["mig_enabled"] is False
    assert row["fan_percent"] is None
    assert row["health"] == "ok"


@pytest.mark.parametrize("when", ["idle", "load"])
@pytest.mark.parametrize(
    "model", ["nvidia-geforce-rtx-2080-super__595.71.05", "nvidia-h100-80gb-hbm3__590.48.01", "nvidia-l40s__595.80"]
)
def test_csv_and_the_log_of_one_moment_tell_the_same(shared, model, when):
    table = gpu.parse(shared(f"nvidia_smi_csv/{ORIGIN}{model}__{when}-{CSV}")).rows["gpu"][0]
    log = gpu.parse(shared(f"nvidia_smi_q/{ORIGIN}{model}__{when}-query-q.txt")).rows["gpu"][0]
    for column in (
        "gpu_uuid",
        "name",
        "pci_bus_id",
        "driver_version",
        "memory_total_bytes",
        "memory_used_bytes",
        "power_limit_watts",
        "fan_percent",
        "utilization_percent",
        "ecc_uncorrected_total",
    ):
        assert table[column] == log[column], column


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "influxdata+telegraf__gtx-1070-ti.xml",
            {"memory_used_bytes": 42 * MIB, "fan_percent": 100.0, "power_watts": None, "driver_version": None},
        ),
        (
            "influxdata+telegraf__quadro-p400.xml",
            {"temperature_celsius": 33.0, "memory_utilization_percent": 3.0, "ecc_corrected_total": None},
        ),
        (
            "influxdata+telegraf__tesla-t4.xml",
            {"power_watts": 26.78, "power_limit_watts": 70.0, "fan_percent": None, "ecc_corrected_total": 0},
        ),
        (
            "influxdata+telegraf__rtx-3080-v12.xml",
            {"power_watts": 22.78, "memory_free_bytes": 8938 * MIB, "sm_clock_hertz": 210 * 10**6},
        ),
        ("netdata+netdata__rtx-2080-win.xml", {"utilization_percent": 2.0, "memory_clock_hertz": 403 * 10**6}),
        ("netdata+netdata__rtx-4090-driver-535.xml", {"power_watts": 26.84, "memory_total_bytes": 24564 * MIB}),
        (
            "netdata+netdata__rtx-pro-6000-driver-580.xml",
            {"power_watts": 66.84, "temperature_celsius": 37.0, "utilization_percent": None},
        ),
    ],
)
def test_every_version_of_the_xml_is_read(shared, file, expected):
    row = gpu.parse(shared(f"nvidia_smi_xml/{file}")).rows["gpu"][0]
    assert {column: row[column] for column in expected} == expected


# --- faults and absent values -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    ["[N/A]", "N/A", "[Not Supported]", "[Requested functionality has been deprecated]", "[Insufficient Permissions]"],
)
def test_a_value_the_device_does_not_have_is_null_and_no_fault(word):
    """Trap 75: never zero."""
    row = rows_of(csv(f"0, {A}, NVIDIA A100, {word}, 59, {word}, 345, Disabled"))[A]
    assert row["utilization_percent"] is None
    assert row["power_watts"] is None
    assert row["memory_used_bytes"] == 59 * MIB
    assert (row["health"], row["message"]) == ("ok", None)


@pytest.mark.parametrize("word", ["[Unknown Error]", "ERR!", "[GPU requires reset]", "[GPU is lost]", "Unknown Error"])
def test_a_fault_in_place_of_a_value_is_null_and_ill_health(word):
    """Trap 75."""
    row = rows_of(csv(f"0, {A}, NVIDIA A100, {word}, 59, {word}, 345, Disabled"))[A]
    assert row["utilization_percent"] is None
    assert row["health"] == "error"
    assert row["message"] == f"{word.strip('[]')}: utilization_percent, power_watts"
    assert row["memory_used_bytes"] == 59 * MIB


def test_a_gpu_that_cannot_be_reached_is_a_row_of_its_own_beside_the_others():
    """Trap 75: the line stands in the middle of the output."""
    lost = "Unable to determine the device handle for GPU 0000:3B:00.0: Unknown Error"
    rows = rows_of(
        csv(
            f"0, {A}, NVIDIA A100, 5, 59, 70.1, 345, Disabled", lost, f"2, {B}, NVIDIA A100, 6, 60, 70.2, 345, Disabled"
        )
    )
    assert list(rows) == [A, B, "PCI-00000000:3B:00.0"]
    assert rows["PCI-00000000:3B:00.0"]["health"] == "error"
    assert rows["PCI-00000000:3B:00.0"]["message"] == lost
    assert rows["PCI-00000000:3B:00.0"]["utilization_percent"] is None
    assert rows[B]["utilization_percent"] == 6.0


def test_an_idle_gpu_has_zero_and_not_null():
    """Trap 79: 0 is falsy in Python."""
    row = rows_of(csv(f"0, {A}, NVIDIA A100, 0, 0, 0.0, 0, Disabled"))[A]
    assert row["utilization_percent"] == 0.0
    assert row["memory_used_bytes"] == 0
    assert row["power_watts"] == 0.0
    assert row["gpu_index"] == 0


def test_rows_are_keyed_by_uuid_and_keep_the_index_that_was_told():
    """Trap 74: neither CUDA's ordinal nor the order of the output."""
    rows = rows_of(
        csv(f"3, {B}, NVIDIA A100, 7, 59, 70.1, 345, Disabled", f"0, {A}, NVIDIA A100, 5, 59, 70.1, 345, Disabled")
    )
    assert {uuid: row["gpu_index"] for uuid, row in rows.items()} == {A: 0, B: 3}


def test_a_line_of_the_wrong_length_and_a_second_line_of_one_gpu_are_rejected():
    line = f"0, {A}, NVIDIA A100, 5, 59, 70.1, 345, Disabled"
    parsed = gpu.parse(csv(line, "1, shifted", line))
    assert len(parsed.rows["gpu"]) == 1
    assert len(parsed.rejected) == 2


def test_a_utilisation_above_100_is_a_fault():
    row = rows_of(csv(f"0, {A}, NVIDIA A100, 4294967295, 59, 70.1, 345, Disabled"))[A]
    assert row["utilization_percent"] is None
    assert row["health"] == "error"


def test_lists_of_processes_are_refused(shared):
    """Trap 80: they have several lines a GPU."""
    with pytest.raises(CollectorError, match="no header with a column uuid"):
        gpu.parse(shared(f"nvidia_smi_csv/{H100}load-query-compute-apps-per-process.txt"))


def test_entities_in_the_xml_are_refused():
    declared = '<!DOCTYPE nvidia_smi_log [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    text = f'<?xml version="1.0"?>{declared}<nvidia_smi_log>&b;</nvidia_smi_log>'
    with pytest.raises(CollectorError, match="entities"):
        gpu.parse(text)


def test_truncated_xml_is_refused(shared):
    """Trap 4."""
    text = shared("nvidia_smi_xml/influxdata+telegraf__tesla-t4.xml")
    with pytest.raises(CollectorError, match="malformed"):
        gpu.parse(text[:9000])


# --- MIG --------------------------------------------------------------------------------------------------


def test_a_divided_gpu_has_no_utilisation_and_one_row_an_instance(shared):
    """Trap 76."""
    rows = list(rows_of(shared("nvidia_smi_xml/influxdata+telegraf__a100-sxm4-v12.xml")).values())
    parent, first = rows[0], rows[1]
    assert len(rows) == 5
    assert parent["mig_enabled"] is True
    assert parent["utilization_percent"] is None
    assert parent["memory_total_bytes"] == 81920 * MIB
    assert first["parent_uuid"] == parent["gpu_uuid"]
    assert first["gpu_uuid"] == f"MIG-{parent['gpu_uuid']}/3/0"
    assert first["memory_total_bytes"] == 19968 * MIB
    assert first["memory_used_bytes"] == 12 * MIB
    assert first["utilization_percent"] is None


def test_instances_of_the_log_do_not_mix_with_their_gpu(shared):
    rows = list(rows_of(shared(f"nvidia_smi_q/{MIG}idle-query-q.txt")).values())
    assert [row["memory_total_bytes"] // MIB for row in rows] == [81559, 40448, 20096, 9984, 9984]
    assert rows[0]["ecc_uncorrected_total"] == 0
    assert rows[0]["temperature_celsius"] == 42.0


def test_eight_gpus_of_which_two_are_divided(shared):
    """Trap 74 and 76; the recording is a script with the XML inside."""
    script = shared("nvidia_smi_xml/mahendrapaipuri+ceems__nvidia-smi_script_with_MIG_xml.txt")
    xml = script[script.index("<?xml") : script.index("</nvidia_smi_log>") + len("</nvidia_smi_log>")].replace(
        '\\"', '"'
    )
    listing = parse_listing(script)
    rows, _ = gpu.rows_of(gpu.take_apart(xml), listing)
    assert sum(row["parent_uuid"] is None for row in rows) == 8
    instances = {row["gpu_uuid"]: row for row in rows if row["parent_uuid"] is not None}
    assert len(instances) == 6
    assert instances["MIG-ce2e805f-ce8e-5cf7-8132-176167d87d24"]["name"] == "4g.20gb"
    assert (
        instances["MIG-ce2e805f-ce8e-5cf7-8132-176167d87d24"]["parent_uuid"]
        == "GPU-956348bc-d43d-23ed-53d4-857749fa2b67"
    )
    assert instances["MIG-ce2e805f-ce8e-5cf7-8132-176167d87d24"]["memory_used_bytes"] == 37 * MIB


MIG_XML = f"""<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log><driver_version>590.48.01</driver_version><gpu id="00000000:01:00.0"><uuid>{A}</uuid>
<mig_mode><current_mig>Enabled</current_mig></mig_mode><mig_devices><mig_device><index>0</index>
<gpu_instance_id>2</gpu_instance_id><compute_instance_id>0</compute_instance_id>
<fb_memory_usage><total>40448 MiB</total><used>26 MiB</used><free>40423 MiB</free></fb_memory_usage>
</mig_device></mig_devices></gpu></nvidia_smi_log>
"""
LISTING = f"GPU 0: NVIDIA A100 (UUID: {A})\n  MIG 3g.40gb     Device  0: (UUID: MIG-11111111-2222)\n"
DIVIDED = csv(f"0, {A}, NVIDIA A100, [N/A], 59, 70.1, 345, Enabled")


def query(text, **about):
    return Recorded(("nvidia-smi", f"--query-gpu={','.join(gpu.QUERY)}"), text, **about)


def test_collect_asks_for_the_instances_of_a_divided_gpu():
    """Trap 76."""
    probe = ReplayProbe(
        [query(DIVIDED), Recorded(("nvidia-smi", "-q"), MIG_XML), Recorded(("nvidia-smi", "-L"), LISTING)]
    )
    rows = gpu.collect(probe, GpuSettings(), 60).readings[0].rows
    assert [row["gpu_uuid"] for row in rows] == [A, "MIG-11111111-2222"]
    assert rows[1]["name"] == "3g.40gb"
    assert rows[1]["memory_used_bytes"] == 26 * MIB


def test_instances_that_cannot_be_read_leave_the_gpu_standing():
    probe = ReplayProbe(
        [
            query(DIVIDED),
            Recorded(("nvidia-smi", "-q"), error=TimedOut("too late")),
            Recorded(("nvidia-smi", "-L"), LISTING),
        ]
    )
    collected = gpu.collect(probe, GpuSettings(), 60)
    assert [row["gpu_uuid"] for row in collected.readings[0].rows] == [A]
    assert collected.rejected[0].reason == "too late"


# --- collect ----------------------------------------------------------------------------------------------


def test_whole_gpus_are_read_with_one_command():
    probe = ReplayProbe([query(csv(f"0, {A}, NVIDIA A100, 5, 59, 70.1, 345, Disabled"))])
    reading = gpu.collect(probe, GpuSettings(), 60).readings[0]
    assert probe.asked == [("nvidia-smi", f"--query-gpu={','.join(gpu.QUERY)}", "--format=csv,nounits")]
    assert reading.interval_seconds == 60.0


def test_a_field_that_the_driver_does_not_know_is_left_out():
    older = [name if name != "clocks_event_reasons.active" else "clocks_throttle_reasons.active" for name in gpu.QUERY]
    without = [name for name in older if name != "temperature.memory"]
    refusal = 'Field "{}" is not a valid field to query.\n\n'
    probe = ReplayProbe(
        [
            query(refusal.format("clocks_event_reasons.active"), returncode=2),
            Recorded(
                ("nvidia-smi", f"--query-gpu={','.join(older)}"), refusal.format("temperature.memory"), returncode=2
            ),
            Recorded(
                ("nvidia-smi", f"--query-gpu={','.join(without)}"),
                csv(f"0, {A}, NVIDIA A100, 5, 59, 70.1, 345, Disabled"),
            ),
        ]
    )
    assert len(gpu.collect(probe, GpuSettings(), 60).readings[0].rows) == 1
    assert len(probe.asked) == 3


@pytest.mark.parametrize("status", [6, 9, 0])
def test_a_host_without_a_gpu_is_skipped(status):
    """Trap 75: exit 6 or 9."""
    with pytest.raises(Skipped) as caught:
        gpu.collect(ReplayProbe([query("No devices were found\n", returncode=status)]), GpuSettings(), 60)
    assert caught.value.category == "not_present"


def test_a_host_without_the_tool_is_skipped():
    with pytest.raises(Skipped) as caught:
        gpu.collect(ReplayProbe(), GpuSettings(), 60)
    assert caught.value.category == "tool_missing"


@pytest.mark.parametrize(
    "text",
    [
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that…\n\n",
        "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 590.48\n",
    ],
)
def test_a_driver_that_does_not_answer_is_a_service_that_is_down(text):
    with pytest.raises(CollectorError) as caught:
        gpu.collect(ReplayProbe([query(text, returncode=9)]), GpuSettings(), 60)
    assert caught.value.category == "service_down"
    assert not isinstance(caught.value, Skipped)


def test_a_failure_that_leaves_one_gpu_unreachable_is_a_row_and_no_error():
    """Trap 75."""
    lost = "Unable to determine the device handle for GPU0: 0000:3B:00.0: GPU is lost.  Reboot the system\n"
    rows = gpu.collect(ReplayProbe([query(lost, returncode=15)]), GpuSettings(), 60).readings[0].rows
    assert [(row["gpu_uuid"], row["health"]) for row in rows] == [("PCI-00000000:3B:00.0", "error")]


def test_another_failure_says_what_the_tool_said():
    with pytest.raises(CollectorError, match="status 3: boom") as caught:
        gpu.collect(ReplayProbe([query("", stderr="boom\n", returncode=3)]), GpuSettings(), 60)
    assert caught.value.category == "command_failed"


def test_a_wedged_driver_is_a_time_out():
    with pytest.raises(CollectorError) as caught:
        gpu.collect(
            ReplayProbe([query("", error=TimedOut("nvidia-smi did not answer within 15 s"))]), GpuSettings(), 60
        )
    assert caught.value.category == "timeout"


def test_output_cut_off_in_a_line_is_refused():
    """Trap 4."""
    with pytest.raises(CollectorError, match="cut off"):
        gpu.collect(
            ReplayProbe([query(csv(f"0, {A}, NVIDIA A100, 5, 59, 70.1, 345, Disabled").rstrip())]), GpuSettings(), 60
        )
