"""Contracts of the raw tables that the system collectors fill."""

from __future__ import annotations

from nomade_pipeline.tables.contract import Column, percent, raw_table

NOT_REPORTED = "not reported by this version of the tool"


def _rate(
    name: str, description: str, unit: str, *, rollup: bool = False, null: str | None = None, decimals: int = 2
) -> Column:
    """Build a non-negative rate column."""
    return Column(name, "float32", description, unit, null, minimum=0, decimals=decimals, rollup=rollup)


def _bytes(name: str, description: str, *, rollup: bool = False, null: str | None = None) -> Column:
    """Build a column of whole bytes."""
    return Column(name, "int64", description, "bytes", null, minimum=0, rollup=rollup)


NOT_MEASURED = "the file system gave no figures (see status)"

DISK = raw_table(
    "disk",
    "One configured path of one host: its file system's space and inodes, or why there are none.",
    (
        Column("path", "text", "Path that was asked for, as configured or as mounted."),
        Column("mount", "text", "Mount point that holds the path.", null="the path is absent"),
        Column(
            "filesystem_id",
            "text",
            "Identity of the file system: `host:mount` for a local one, `server:/export` for a network one.",
            null="the path is absent, or the row was read from `df`",
        ),
        Column("device", "text", "Source of the mount as the kernel names it.", null="the path is absent"),
        Column("fstype", "text", "File system type.", null="the path is absent"),
        Column(
            "status",
            "text",
            "ok: measured; absent: no such path; hung: statfs did not answer before its deadline; "
            "automount: not mounted at the moment and not triggered; denied: no permission; error: see message.",
            allowed=("ok", "absent", "hung", "automount", "denied", "error"),
        ),
        Column("message", "text", "What the tool said.", null="nothing to say"),
        Column("read_only", "bool", "The file system is mounted read-only.", null="the path is absent"),
        _bytes("total_bytes", "Size of the file system.", rollup=True, null=NOT_MEASURED),
        _bytes("used_bytes", "Total minus free (reserved blocks count as free).", rollup=True, null=NOT_MEASURED),
        _bytes("free_bytes", "Free blocks, the reserved ones included.", null=NOT_MEASURED),
        _bytes("available_bytes", "Free to users without privileges.", rollup=True, null=NOT_MEASURED),
        percent("used_percent", "df's fullness: used / (used + available).", rollup=True, null=NOT_MEASURED),
        Column(
            "inodes_total",
            "int64",
            "Inodes of the file system.",
            "count",
            "the file system has no fixed number",
            minimum=0,
        ),
        Column(
            "inodes_used",
            "int64",
            "Inodes in use.",
            "count",
            "the file system has no fixed number",
            minimum=0,
            rollup=True,
        ),
        Column("inodes_free", "int64", "Inodes free.", "count", "the file system has no fixed number", minimum=0),
        percent("inodes_used_percent", "Inodes used / total.", rollup=True, null="the file system has no fixed number"),
        _rate("statfs_seconds", "How long the answer took.", "seconds", rollup=True, null="no answer", decimals=4),
    ),
    collector="disk",
    subject=("path",),
    rollup_by=("filesystem_id",),
)

NO_REQUEST = "no request of this kind in the interval, or not reported by the tool"

NOT_SPLIT = "the tool or the archive does not tell reads from writes"

IOSTAT = raw_table(
    "iostat",
    "One block device of one host over one interval (`iostat -x`).",
    (
        Column("device", "text", "Kernel name of the device; may change at reboot."),
        Column(
            "device_kind",
            "text",
            "disk: whole physical or virtual disk; the others are layers on disks or parts of them "
            "and would count I/O twice.",
            allowed=("disk", "partition", "dm", "md", "loop", "other"),
        ),
        Column(
            "device_id",
            "text",
            "World-wide name, or serial: stable over reboots.",
            null="the device has none or it cannot be read",
        ),
        _rate(
            "transfers_per_second",
            "Requests of all kinds completed; flushes are not counted.",
            "1/s",
            null=NOT_REPORTED,
        ),
        _rate("reads_per_second", "Read requests completed.", "1/s", rollup=True, null=NOT_SPLIT),
        _rate("writes_per_second", "Write requests completed.", "1/s", rollup=True, null=NOT_SPLIT),
        _rate("discards_per_second", "Discard requests completed.", "1/s", null=NOT_REPORTED),
        _rate("flushes_per_second", "Flush requests completed.", "1/s", null=NOT_REPORTED),
        _rate("read_bytes_per_second", "Bytes read.", "bytes/s", rollup=True, null=NOT_SPLIT, decimals=0),
        _rate("write_bytes_per_second", "Bytes written.", "bytes/s", rollup=True, null=NOT_SPLIT, decimals=0),
        _rate("discard_bytes_per_second", "Bytes discarded.", "bytes/s", null=NOT_REPORTED, decimals=0),
        _rate(
            "await_seconds",
            "Mean time of a request of any kind, queueing included.",
            "seconds",
            null=NO_REQUEST,
            decimals=6,
        ),
        _rate(
            "read_await_seconds",
            "Mean time of a read, queueing included.",
            "seconds",
            rollup=True,
            null=NO_REQUEST,
            decimals=6,
        ),
        _rate(
            "write_await_seconds",
            "Mean time of a write, queueing included.",
            "seconds",
            rollup=True,
            null=NO_REQUEST,
            decimals=6,
        ),
        _rate("read_request_bytes", "Mean size of a read.", "bytes", null=NO_REQUEST, decimals=0),
        _rate("write_request_bytes", "Mean size of a write.", "bytes", null=NO_REQUEST, decimals=0),
        _rate(
            "queue_length", "Mean number of requests in flight (aqu-sz).", "requests", rollup=True, null=NOT_REPORTED
        ),
        percent(
            "util_percent",
            "Share of the interval with a request in flight; says little about SSD, NVMe and RAID.",
            rollup=True,
            null="not reported, or above 101 and thus not believed",
        ),
    ),
    collector="iostat",
    subject=("device",),
)

IOSTAT_CPU = raw_table(
    "iostat_cpu",
    "CPU shares of one host over one interval, as iostat reports them.",
    (
        percent("user_percent", "User mode, guests included.", rollup=True),
        percent("nice_percent", "User mode at low priority."),
        percent("system_percent", "Kernel mode, interrupts included.", rollup=True),
        percent("iowait_percent", "Idle while a disk request was outstanding.", rollup=True),
        percent("steal_percent", "Taken by the hypervisor."),
        percent("idle_percent", "Idle without a disk request outstanding.", rollup=True),
    ),
    collector="iostat",
)

_CPU_SHARES = (
    percent("user_percent", "User mode."),
    percent("nice_percent", "User mode at low priority."),
    percent("system_percent", "Kernel mode."),
    percent("iowait_percent", "Idle while a disk request was outstanding."),
    percent("irq_percent", "Hardware interrupts."),
    percent("soft_percent", "Software interrupts."),
    percent("steal_percent", "Taken by the hypervisor."),
    percent("guest_percent", "Running a guest.", null=NOT_REPORTED),
    percent("guest_nice_percent", "Running a guest at low priority.", null=NOT_REPORTED),
    percent("idle_percent", "Idle without a disk request outstanding."),
)

MPSTAT = raw_table(
    "mpstat",
    "One logical CPU of one host over one interval (`mpstat -P ALL`); offline CPUs have no row.",
    (
        Column("cpu", "int32", "Number of the logical CPU.", minimum=0),
        percent("busy_percent", "100 - idle - iowait.", rollup=True),
        *_CPU_SHARES,
    ),
    collector="mpstat",
    subject=("cpu",),
)

ALL_IDLE = "mean busy is below 1 %, so the ratio says nothing"

MPSTAT_SUMMARY = raw_table(
    "mpstat_summary",
    "All CPUs of one host over one interval: the mean shares and how evenly they are spread.",
    (
        Column("cpus", "int32", "Logical CPUs online.", "count", minimum=1, rollup=True),
        percent("busy_percent", "Mean over CPUs of 100 - idle - iowait.", rollup=True),
        percent("busy_min_percent", "Least busy CPU.", rollup=True),
        percent("busy_max_percent", "Busiest CPU.", rollup=True),
        _rate("busy_std_percent", "Population standard deviation of busy over CPUs.", "percent"),
        _rate("imbalance_ratio", "busy_std / busy.", "ratio", rollup=True, null=ALL_IDLE, decimals=4),
        Column("saturated_cpus", "int32", "CPUs more than 95 % busy.", "count", minimum=0, rollup=True),
        *_CPU_SHARES,
    ),
    collector="mpstat",
)

NO_PSI = "the kernel has no pressure stall information"
NOT_ARCHIVED = "not reported, or not kept by this sysstat archive"

VMSTAT = raw_table(
    "vmstat",
    "Memory, paging, run queue and pressure of one host over one interval (`vmstat`).",
    (
        Column(
            "procs_running",
            "int32",
            "Runnable processes at the end of the interval; the one that counts may be among them.",
            "count",
            NOT_ARCHIVED,
            minimum=0,
            rollup=True,
        ),
        Column(
            "procs_blocked",
            "int32",
            "Processes in uninterruptible sleep.",
            "count",
            NOT_ARCHIVED,
            minimum=0,
            rollup=True,
        ),
        _bytes("swap_used_bytes", "Swap in use.", rollup=True, null=NOT_ARCHIVED),
        _bytes("free_bytes", "Idle memory.", rollup=True, null=NOT_ARCHIVED),
        _bytes("buffer_bytes", "Memory used as buffers.", null=NOT_ARCHIVED),
        _bytes(
            "cache_bytes",
            "Memory used as cache; reclaimable slab included, except from archives.",
            rollup=True,
            null=NOT_ARCHIVED,
        ),
        _bytes("memory_total_bytes", "Usable memory of the host.", rollup=True, null="/proc/meminfo not readable"),
        _bytes(
            "memory_available_bytes",
            "Kernel's estimate of memory for new work without swapping.",
            rollup=True,
            null="kernel older than 3.14",
        ),
        _bytes("swap_total_bytes", "Size of swap.", null="/proc/meminfo not readable"),
        _rate(
            "swap_in_bytes_per_second", "Swapped in from disk.", "bytes/s", rollup=True, null=NOT_ARCHIVED, decimals=0
        ),
        _rate(
            "swap_out_bytes_per_second", "Swapped out to disk.", "bytes/s", rollup=True, null=NOT_ARCHIVED, decimals=0
        ),
        _rate("block_in_bytes_per_second", "Read from block devices.", "bytes/s", null=NOT_ARCHIVED, decimals=0),
        _rate("block_out_bytes_per_second", "Written to block devices.", "bytes/s", null=NOT_ARCHIVED, decimals=0),
        _rate("interrupts_per_second", "Interrupts.", "1/s", null=NOT_ARCHIVED, decimals=0),
        _rate("context_switches_per_second", "Context switches.", "1/s", null=NOT_ARCHIVED, decimals=0),
        percent("user_percent", "User mode, low priority and guests included.", null=NOT_ARCHIVED),
        percent("system_percent", "Kernel mode, interrupts included.", null=NOT_ARCHIVED),
        percent("idle_percent", "Idle.", null=NOT_ARCHIVED),
        percent("iowait_percent", "Idle while a disk request was outstanding.", null=NOT_ARCHIVED),
        percent("steal_percent", "Taken by the hypervisor.", null=NOT_ARCHIVED),
        percent("guest_percent", "Running guests (procps 4).", null=NOT_REPORTED),
        percent("psi_cpu_some_percent", "Share of the interval in which some task waited for a CPU.", null=NO_PSI),
        percent("psi_memory_some_percent", "Share in which some task waited for memory.", rollup=True, null=NO_PSI),
        percent("psi_memory_full_percent", "Share in which all tasks waited for memory.", rollup=True, null=NO_PSI),
        percent("psi_io_some_percent", "Share in which some task waited for I/O.", rollup=True, null=NO_PSI),
        percent("psi_io_full_percent", "Share in which all tasks waited for I/O.", null=NO_PSI),
    ),
    collector="vmstat",
)


def _nfs_operation(kind: str) -> tuple[Column, ...]:
    """Build the columns that nfsiostat gives for reads or writes."""
    none = "no such operation in the interval"
    return (
        _rate(f"{kind}_operations_per_second", f"{kind.capitalize()} calls.", "1/s", rollup=True, decimals=3),
        _rate(f"{kind}_bytes_per_second", f"Payload and headers of {kind} calls.", "bytes/s", rollup=True, decimals=0),
        _rate(f"{kind}_bytes_per_operation", f"Mean size of a {kind} call.", "bytes", null=none, decimals=0),
        _rate(
            f"{kind}_retransmissions_per_second",
            f"Retransmitted {kind} calls.",
            "1/s",
            rollup=True,
            null="the length of the interval is not known",
            decimals=3,
        ),
        _rate(
            f"{kind}_rtt_seconds",
            f"Mean time from sending a {kind} call to its reply.",
            "seconds",
            rollup=True,
            null=none,
            decimals=6,
        ),
        _rate(
            f"{kind}_execute_seconds",
            f"Mean time of a {kind} call, queueing in the client included.",
            "seconds",
            rollup=True,
            null=none,
            decimals=6,
        ),
    )


NFS = raw_table(
    "nfs",
    "One NFS mount of one host over one interval (`nfsiostat`).",
    (
        Column("mount", "text", "Mount point."),
        Column("filesystem_id", "text", "`server:/export`."),
        Column("version", "text", "NFS protocol version.", null="not reported"),
        _rate("operations_per_second", "RPC calls of all kinds.", "1/s", rollup=True, decimals=3),
        _rate(
            "backlog",
            "Mean length of the RPC backlog queue.",
            "requests",
            null="no call in the interval, or not reported",
            decimals=3,
        ),
        *_nfs_operation("read"),
        *_nfs_operation("write"),
        Column(
            "shared_with",
            "text",
            "Mount of the same export whose counters these are (bind mounts share them).",
            null="counts its own",
        ),
    ),
    collector="nfs",
    subject=("mount",),
)

NOT_SUPPORTED = "the device does not report it ([N/A]), or the reading failed"

GPU = raw_table(
    "gpu",
    "One GPU or MIG instance of one host at one moment (`nvidia-smi`).",
    (
        Column(
            "gpu_uuid",
            "text",
            "UUID of the GPU or MIG instance: the only stable identity. "
            "A GPU that is too ill to tell it is `PCI-` and its address.",
        ),
        Column("parent_uuid", "text", "UUID of the GPU that holds a MIG instance.", null="this is a whole GPU"),
        Column("gpu_index", "int32", "Index in this reading; not CUDA's ordinal.", null="not reported", minimum=0),
        Column("name", "text", "Product name, or MIG profile.", null=NOT_SUPPORTED),
        Column("pci_bus_id", "text", "PCI address.", null=NOT_SUPPORTED),
        Column("driver_version", "text", "Driver version.", null=NOT_SUPPORTED),
        Column("mig_enabled", "bool", "The GPU is divided into MIG instances.", null=NOT_SUPPORTED),
        Column(
            "health",
            "text",
            "ok, or error when the driver reports a fault in place of a value (see message).",
            allowed=("ok", "error"),
        ),
        Column("message", "text", "The fault as the driver words it.", null="no fault"),
        percent(
            "utilization_percent",
            "Share of time with at least one kernel running; not occupancy.",
            rollup=True,
            null=NOT_SUPPORTED,
        ),
        percent("memory_utilization_percent", "Share of time with memory reads or writes.", null=NOT_SUPPORTED),
        _bytes("memory_total_bytes", "Frame buffer.", rollup=True, null=NOT_SUPPORTED),
        _bytes("memory_used_bytes", "Frame buffer in use.", rollup=True, null=NOT_SUPPORTED),
        _bytes("memory_free_bytes", "Frame buffer free.", null=NOT_SUPPORTED),
        Column(
            "temperature_celsius",
            "float32",
            "Core temperature.",
            "celsius",
            NOT_SUPPORTED,
            minimum=-50,
            maximum=200,
            decimals=1,
            rollup=True,
        ),
        Column(
            "memory_temperature_celsius",
            "float32",
            "HBM temperature.",
            "celsius",
            NOT_SUPPORTED,
            minimum=-50,
            maximum=200,
            decimals=1,
        ),
        _rate("power_watts", "Power draw.", "watts", rollup=True, null=NOT_SUPPORTED),
        _rate("power_limit_watts", "Enforced power limit.", "watts", null=NOT_SUPPORTED),
        Column("sm_clock_hertz", "int64", "Clock of the multiprocessors.", "hertz", NOT_SUPPORTED, minimum=0),
        Column("memory_clock_hertz", "int64", "Clock of the memory.", "hertz", NOT_SUPPORTED, minimum=0),
        _rate(
            "fan_percent",
            "Fan speed in percent of the maximum by noise; may exceed 100.",
            "percent",
            null=NOT_SUPPORTED,
        ),
        Column("performance_state", "text", "P0 (fastest) to P12.", null=NOT_SUPPORTED),
        Column(
            "ecc_corrected_total",
            "int64",
            "Corrected memory errors since the driver was loaded.",
            "count",
            NOT_SUPPORTED,
            minimum=0,
        ),
        Column(
            "ecc_uncorrected_total",
            "int64",
            "Uncorrected memory errors since the driver was loaded.",
            "count",
            NOT_SUPPORTED,
            minimum=0,
            rollup=True,
        ),
        Column("throttle_reasons", "text", "Active clock event reasons, as a hexadecimal mask.", null=NOT_SUPPORTED),
    ),
    collector="gpu",
    subject=("gpu_uuid",),
)
