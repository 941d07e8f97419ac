"""Every recorded output of the shared collection is read, or refused with a reason; none crashes."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from nomade_pipeline.collectors import disk, gpu, iostat, mounts, mountstats, mpstat, nfs, procfs, sadf, vmstat
from nomade_pipeline.collectors.base import CollectorError

COLLECTION = Path(__file__).resolve().parents[4] / "shared" / "data" / "fixtures"
PARSERS = {
    "iostat": iostat.parse,
    "mpstat": mpstat.parse,
    "vmstat": vmstat.parse,
    "nfsiostat": nfs.parse,
    "nfs_mountstats": nfs.parse,
    "df": disk.parse,
    **{f"nvidia_smi_{form}": gpu.parse for form in ("capture", "csv", "dmon", "misc", "q", "xml")},
}
# How many files of a folder hold what the collector reads; the rest are other reports of the tool.
READABLE = {
    "iostat": 23,
    "mpstat": 4,
    "vmstat": 5,
    "nfsiostat": 0,
    "nfs_mountstats": 0,
    "df": 3,
    "nvidia_smi_capture": 0,
    "nvidia_smi_csv": 10,
    "nvidia_smi_dmon": 0,
    "nvidia_smi_misc": 0,
    "nvidia_smi_q": 10,
    "nvidia_smi_xml": 8,
}

pytestmark = pytest.mark.skipif(not COLLECTION.exists(), reason=f"no shared collection at {COLLECTION}")


def text_of(path):
    return path.read_bytes().decode("utf-8", "surrogateescape")


def outcome(parse, text):
    """Return what a parser made of a text: rows, or the error with which it refused."""
    try:
        return parse(text)
    except CollectorError as error:
        return error


@pytest.mark.parametrize("folder", sorted(PARSERS))
def test_every_output_is_read_or_refused_with_a_reason(folder):
    outcomes = {path.name: outcome(PARSERS[folder], text_of(path)) for path in sorted((COLLECTION / folder).iterdir())}
    refused = {name: each for name, each in outcomes.items() if isinstance(each, CollectorError)}
    read = {name: each for name, each in outcomes.items() if name not in refused}
    for name, error in refused.items():
        assert error.category == "parse", name
        assert len(str(error)) > 20, name
    for name, parsed in read.items():
        assert any(parsed.rows.values()), name
        assert all(each.reason for each in parsed.rejected), name
    assert len(read) == READABLE[folder], f"read: {sorted(read)}; refused: {sorted(refused)}"


def test_every_export_of_sadf_but_json_is_refused():
    for path in sorted((COLLECTION / "sadf").iterdir()):
        with pytest.raises(CollectorError, match="not valid JSON"):
            sadf.parse_sadf(text_of(path), date(2019, 4, 18))


@pytest.mark.parametrize(
    "parse",
    [
        procfs.parse_stat,
        procfs.parse_diskstats,
        procfs.parse_meminfo,
        procfs.parse_vmstat_counters,
        procfs.parse_pressure,
        mounts.parse_mountinfo,
        mountstats.parse_mountstats,
    ],
)
def test_no_file_of_proc_crashes_any_reader_of_proc(parse):
    for path in sorted((COLLECTION / "proc").iterdir()):
        result = outcome(parse, text_of(path))
        assert not isinstance(result, CollectorError) or str(result), path.name
