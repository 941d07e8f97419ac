"""The status screen of one host: the reference's layout, honest about what is stale or missing."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

from nomade_pipeline.cli.output import (
    BAR_CELLS,
    NULL,
    age_text,
    bad,
    bar,
    cells,
    faint,
    good,
    heading,
    number,
    pad,
    printable,
    shorten,
    shorten_end,
    size_text,
    warn,
)

Part = Mapping[str, Any]

# Where a fullness turns yellow and red on the screen; alerts have thresholds of their own.
FULL_WARNING, FULL_CRITICAL = 85.0, 95.0
INODES_SHOWN_FROM = 80.0
MOST_DEVICES = 8
LEAST_NAME = 12


def host_lines(host: Mapping[str, Any], width: int) -> list[str]:
    """Return the sections of one host as lines of at most ``width`` columns."""
    lines: list[str] = []
    for title, key, render in _SECTIONS:
        part = host[key]
        lines.append(heading(f"{title}:") + _mark(part))
        lines.extend(_missing_or(part, render, width))
    lines.extend(_io_lines(host, width))
    for title, key, render in _SECTIONS_AFTER_IO:
        part = host[key]
        lines.append(heading(f"{title}:") + _mark(part))
        lines.extend(_missing_or(part, render, width))
    return lines


def _mark(part: Part) -> str:
    """Return the stale mark of a section, empty when it is fresh."""
    if not part.get("stale"):
        return ""
    if part["age_seconds"] < 0:
        return " " + warn(f"(sampled {age_text(part['age_seconds'])}: is that host's clock right?)")
    return " " + warn(f"(stale: {age_text(part['age_seconds'])} old)")


def _missing_or(part: Part, render: Callable[[Part, int], list[str]], width: int) -> list[str]:
    return [_missing(part["missing"], width)] if "missing" in part else render(part, width)


def _missing(reason: str, width: int) -> str:
    return faint(f"  {NULL} {shorten_end(printable(reason), width - 4)}")


def filesystem_lines(part: Part, width: int) -> list[str]:
    """Render one line a file system."""
    rows = part["filesystems"]
    if not rows:
        return [faint(f"  {NULL} no file system is configured or mounted")]
    rests = [_figures(row) for row in rows]
    # Names need some room; on a narrow screen the bars give way.
    room = width - max(cells(rest) for rest in rests) - 6
    bar_cells = BAR_CELLS if room - BAR_CELLS >= LEAST_NAME else BAR_CELLS // 2
    longest = max(LEAST_NAME, min(max(20, *(cells(printable(row["path"])) for row in rows)), room - bar_cells))
    return [_filesystem_line(row, rest, longest, bar_cells, width) for row, rest in zip(rows, rests, strict=True)]


def _figures(row: Mapping[str, Any]) -> str:
    """Return what stands behind the bar of a measured file system; empty for one without figures."""
    percent, inodes = row["used_percent"], row["inodes_used_percent"]
    if row["status"] != "ok" or percent is None:
        return ""
    text = f"{percent_text(percent):>6} ({_share(row['used_bytes'], row['total_bytes'])})"
    if row["read_only"]:
        text += "  ro"
    if inodes is not None and inodes >= INODES_SHOWN_FROM:
        text += f"  inodes {percent_text(inodes)}"
    return text


def _filesystem_line(row: Mapping[str, Any], figures: str, longest: int, bar_cells: int, width: int) -> str:
    name = pad(shorten(printable(row["path"]), longest), longest)
    if not figures:
        word = row["status"] if row["status"] != "ok" else "no size"
        colour = warn if row["status"] in ("automount", "ok") else bad
        said = f": {printable(row['message'])}" if row["message"] else ""
        return f"  {name} {colour(shorten_end(word + said, width - longest - 4))}"
    percent = row["used_percent"]
    colour = bad if percent >= FULL_CRITICAL else warn if percent >= FULL_WARNING else good
    measures, mark, inodes = figures.partition("  inodes")
    return f"  {name} {colour(bar(percent, bar_cells))} {measures}{warn(mark + inodes)}"


def percent_text(value: float) -> str:
    """Format a fullness; only what is full says 100 %."""
    return f"{min(value, 99.9) if value < 100 else value:.1f}%"


def _share(used: float | None, total: float | None) -> str:
    """Return used and total in the unit of the total, as the reference does."""
    if used is None or total is None:
        return f"{size_text(used)} of {size_text(total)}"
    unit = size_text(total).split()[1]
    factor = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15}[unit]
    return f"{used / factor:.2f}/{total / factor:.2f} {unit}"


def _io_lines(host: Mapping[str, Any], width: int) -> list[str]:
    """Render the shares of CPU time, the devices and the NFS mounts under one title."""
    cpu, devices, nfs = host["cpu"], host["devices"], host["nfs"]
    lines = [heading("I/O:") + (_mark(cpu) or _mark(devices))]
    if "missing" in cpu and "missing" in devices:
        lines.append(_missing(cpu["missing"], width))
    else:
        lines.extend(_missing_or(cpu, _cpu_lines, width))
        lines.extend(_missing_or(devices, _device_lines, width))
    if "missing" not in nfs:
        lines.append(f"  {heading('NFS')}{_mark(nfs)}")
        lines.extend(_nfs_lines(nfs, width))
    return lines


def _cpu_lines(part: Part, width: int) -> list[str]:
    del width
    user, system = number(part["user_percent"], ".1f", "%"), number(part["system_percent"], ".1f", "%")
    lines = [f"  CPU iowait:    {number(part['iowait_percent'], '.1f', '%')}", f"  CPU user/sys:  {user} / {system}"]
    if part["steal_percent"] is not None and part["steal_percent"] >= 1:
        lines.append(warn(f"  CPU steal:     {part['steal_percent']:.1f}%"))
    return lines


def _device_lines(part: Part, width: int) -> list[str]:
    """Render the busiest disks."""
    rows = part["devices"]
    if not rows:
        return [faint(f"  {NULL} no whole disk")]
    longest = min(max(12, *(len(printable(row["device"])) for row in rows)), 24)
    lines = [_device_line(row, longest, width) for row in rows[:MOST_DEVICES]]
    if len(rows) > MOST_DEVICES:
        lines.append(faint(f"  … {len(rows) - MOST_DEVICES} less busy disks"))
    return lines


def _device_line(row: Mapping[str, Any], longest: int, width: int) -> str:
    # The mean over both kinds of request would need their numbers; the slower kind is what is felt.
    waits = [wait for wait in (row["read_await_seconds"], row["write_await_seconds"]) if wait is not None]
    latency = f"{max(waits) * 1000:.1f}ms" if waits else NULL
    name = pad(shorten(printable(row["device"]), longest), longest)
    return (
        f"  {name} util: {number(row['util_percent'], '5.1f', '%'):>6}"
        f" read: {_kilobytes(row['read_bytes_per_second'])} write: {_kilobytes(row['write_bytes_per_second'])}"
        f" latency: {latency}"
    )[: max(width, 80)]


def _kilobytes(rate: float | None) -> str:
    return pad(NULL if rate is None else f"{rate / 1000:.0f} KB/s", 11, right=True)


def _nfs_lines(part: Part, width: int) -> list[str]:
    longest = (
        min(max(12, *(len(printable(row["mount"])) for row in part["mounts"])), width - 60) if part["mounts"] else 12
    )
    lines = []
    for row in part["mounts"]:
        rtts = [rtt for rtt in (row["read_rtt_seconds"], row["write_rtt_seconds"]) if rtt is not None]
        rtt = f"{max(rtts) * 1000:.1f}ms" if rtts else NULL
        name = pad(shorten(printable(row["mount"]), longest), longest)
        read, write = _kilobytes(row["read_bytes_per_second"]), _kilobytes(row["write_bytes_per_second"])
        calls = number(row["operations_per_second"], ".0f")
        lines.append(f"  {name} {calls} ops/s read: {read} write: {write} rtt: {rtt}")
    return lines or [faint(f"  {NULL} no NFS mount")]


def _core_lines(part: Part, width: int) -> list[str]:
    del width
    low, high = number(part["busy_min_percent"], ".1f", "%"), number(part["busy_max_percent"], ".1f", "%")
    imbalance = part["imbalance_ratio"]
    lines = [
        f"  Cores:         {number(part['cpus'], 'd')}",
        f"  Avg busy:      {number(part['busy_percent'], '.1f', '%')}",
        f"  Range:         {low} - {high} (spread: {number(part['spread_percent'], '.1f', '%')})",
        f"  Imbalance:     {f'{imbalance:.2f} (std/avg)' if imbalance is not None else f'{NULL} (all cores idle)'}",
    ]
    saturated = part["saturated_cpus"]
    text = f"  Saturated:     {number(saturated, 'd')} (>95% busy)"
    return [*lines, warn(text) if saturated else text]


def _memory_lines(part: Part, width: int) -> list[str]:
    del width
    pressure = part["memory_pressure"]
    text = f"  Pressure:      {number(pressure, '.2f')}"
    return [
        f"  Free:          {size_text(part['free_bytes'])}",
        f"  Available:     {size_text(part['memory_available_bytes'])} of {size_text(part['memory_total_bytes'])}",
        f"  Cache:         {size_text(part['cache_bytes'])}",
        f"  Swap used:     {size_text(part['swap_used_bytes'])}",
        warn(text) if pressure is not None and pressure >= 0.5 else text,
    ]


def _gpu_lines(part: Part, width: int) -> list[str]:
    """Render one line a GPU."""
    lines = []
    for row in part["gpus"]:
        name = shorten(printable(row["name"] or row["gpu_uuid"]), max(12, width - 66))
        start = f"  {number(row['gpu_index'], '2d')} {name}  "
        if row["health"] != "ok":
            lines.append(bad(start + shorten_end(printable(row["message"] or "error"), width - 20)))
            continue
        memory = f"{size_text(row['memory_used_bytes'])} of {size_text(row['memory_total_bytes'])}"
        load, power = number(row["utilization_percent"], ".0f", "%"), number(row["power_watts"], ".0f", " W")
        heat = number(row["temperature_celsius"], ".0f", " °C")
        lines.append(f"{start}util: {load}  mem: {memory}  {heat}  {power}")
    return lines or [faint(f"  {NULL} no GPU")]


_SECTIONS: Sequence[tuple[str, str, Callable[[Part, int], list[str]]]] = (
    ("Filesystems", "filesystems", filesystem_lines),
)
_SECTIONS_AFTER_IO: Sequence[tuple[str, str, Callable[[Part, int], list[str]]]] = (
    ("CPU Cores", "cores", _core_lines),
    ("Memory", "memory", _memory_lines),
    ("GPUs", "gpus", _gpu_lines),
)
