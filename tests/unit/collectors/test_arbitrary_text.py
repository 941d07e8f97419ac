"""No text, whatever it holds, makes a parser raise anything but `CollectorError`."""

from __future__ import annotations

import contextlib
import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nomade_pipeline.collectors import (
    disk,
    gpu,
    iostat,
    job_metrics,
    mounts,
    mountstats,
    mpstat,
    nfs,
    node_state,
    procfs,
    sadf,
    slurm_parse,
    vmstat,
)
from nomade_pipeline.collectors.base import CollectorError

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
GPU_CSV = (
    "index, uuid, utilization.gpu [%], memory.used [MiB]\n0, GPU-1, 5 %, 59 MiB\n"
    "Unable to determine the device handle for GPU 0000:3B:00.0: Unknown Error\n"
)
GPU_XML = (
    "<nvidia_smi_log><gpu id='00000000:01:00.0'><uuid>GPU-1</uuid>"
    "<mig_devices><mig_device><index>0</index></mig_device></mig_devices></gpu></nvidia_smi_log>"
)
GPU_LOG = (
    "====NVSMI LOG====\nDriver Version : 1\nGPU 00000000:01:00.0\n    GPU UUID : GPU-1\n"
    "    MIG Device\n        Index : 0\n    FB Memory Usage\n        Total : 5 MiB\n"
)


def recorded(name):
    return (FIXTURES / name).read_bytes().decode("utf-8", "surrogateescape")


def parse_sadf(text):
    return sadf.read_sadf(text, date(2026, 11, 22))


def gpu_rows(text):
    return gpu.rows_of(gpu.take_apart(text), {})


QUEUE = json.loads(recorded("slurm-22.05/asked/squeue.json"))
SQUEUE_JSON = json.dumps({**QUEUE, "jobs": QUEUE["jobs"][-2:]})
CASES = [
    ("iostat JSON", iostat.parse, recorded("iostat/xy-k-json-2-1.json")),
    ("iostat text", iostat.parse, recorded("iostat/x-k-2-2.txt")),
    ("mpstat JSON", mpstat.parse, recorded("mpstat/P-ALL-json-2-1.json")),
    ("mpstat text", mpstat.parse, recorded("mpstat/P-ALL-2-1.txt")),
    ("vmstat", vmstat.parse, recorded("vmstat/n-w-S-K-2-2.txt")),
    ("nfsiostat", nfs.parse, recorded("nfsiostat/2-2.txt")),
    ("mountstats", mountstats.parse_mountstats, recorded("nfsiostat/mountstats-before.txt")),
    ("df", disk.parse, recorded("df/P.txt")),
    ("sadf", parse_sadf, recorded("sadf/restart.json")[:9000]),
    ("sadf whole", parse_sadf, recorded("sadf/restart.json")),
    ("GPU CSV", gpu_rows, GPU_CSV),
    ("GPU XML", gpu_rows, GPU_XML),
    ("GPU log", gpu_rows, GPU_LOG),
    *(
        (f"slurm {name}", slurm_parse.parse, recorded(f"slurm-22.05/asked/{name}")[:6000])
        for name in ("squeue.txt", "sinfo.txt", "sdiag.txt", "sshare.txt", "sprio.txt", "scontrol-reservation.txt")
    ),
    ("squeue as people run it", slurm_parse.parse, recorded("slurm-22.05/running/squeue.txt")),
    ("squeue JSON", slurm_parse.parse, SQUEUE_JSON),
    ("scontrol show job", slurm_parse.parse, recorded("slurm-22.05/ended/scontrol-job.txt")[:5000]),
    ("scontrol show node", node_state.parse, recorded("slurm-22.05/asked/scontrol-node.txt")),
    ("sinfo JSON", node_state.parse, recorded("slurm-22.05/asked/sinfo.json")),
    ("sacct", job_metrics.parse, recorded("slurm-22.05/ended/sacct-all-fields.txt")[:9000]),
    ("stat", procfs.parse_stat, recorded("proc/stat-before.txt")),
    ("diskstats", procfs.parse_diskstats, recorded("proc/diskstats-before.txt")),
    ("meminfo", procfs.parse_meminfo, recorded("proc/meminfo-before.txt")),
    ("mountinfo", mounts.parse_mountinfo, recorded("proc/mountinfo.txt")),
]
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# What parsers stumble over: signs, huge and special numbers, other scripts' digits, lone surrogates, brackets.
NASTY = st.sampled_from(
    [
        "",
        " ",
        "\n",
        "\t",
        "-1",
        "1e999",
        "nan",
        "inf",
        "9" * 5000,
        "٣",
        "²",
        "\udcff",
        "\x00",
        "{}",
        "[]",
        "null",
        '"',
        "true",
        ",",
        ":",
        "<",
        "&",
        "[N/A]",
        "%",
        "-",
        "1,5",
    ]
)


def survives(parse, text):
    with contextlib.suppress(CollectorError):
        parse(text)


@pytest.mark.parametrize(("parse"), [case[1] for case in CASES], ids=[case[0] for case in CASES])
@QUICK
@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(parse, data):
    survives(parse, data.decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(("parse", "text"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
@QUICK
@given(data=st.data())
def test_damaged_output_is_read_or_refused(parse, text, data):
    """Cut pieces out of a good output and put nasty words in."""
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 12))
        text = text[:start] + data.draw(NASTY) + text[start + length :]
    survives(parse, text)


@pytest.mark.parametrize(("parse", "text"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
@QUICK
@given(data=st.data())
def test_a_damaged_word_is_read_or_refused(parse, text, data):
    """Put a nasty word in place of a number, which keeps the shape of the output."""
    words = text.split(" ")
    for _ in range(data.draw(st.integers(1, 3))):
        words[data.draw(st.integers(0, len(words) - 1))] = data.draw(NASTY)
    survives(parse, " ".join(words))


def test_deeply_nested_json_is_refused():
    for parse in (iostat.parse, mpstat.parse, parse_sadf):
        with pytest.raises(CollectorError):
            parse('{"sysstat":' + "[" * 100_000)
