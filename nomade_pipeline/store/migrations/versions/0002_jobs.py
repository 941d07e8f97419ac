"""Jobs, what the job monitor saw of them, usage by hour, and when nodes were out of use."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    """CREATE TABLE jobs (
    "cluster" TEXT NOT NULL,
    "job_id_raw" TEXT NOT NULL,
    "submit_time" TEXT NOT NULL,
    "submit_time_source" TEXT NOT NULL,
    "job_id" TEXT,
    "array_job_id" TEXT,
    "array_task_id" INTEGER,
    "het_job_id" TEXT,
    "het_job_offset" INTEGER,
    "restarts" INTEGER,
    "user" TEXT,
    "account" TEXT,
    "partition" TEXT,
    "qos" TEXT,
    "job_name" TEXT,
    "eligible_time" TEXT,
    "start_time" TEXT,
    "end_time" TEXT NOT NULL,
    "wait_seconds" REAL,
    "elapsed_seconds" REAL,
    "suspended_seconds" REAL,
    "time_limit_seconds" REAL,
    "time_limit_kind" TEXT NOT NULL,
    "req_cpus" INTEGER,
    "alloc_cpus" INTEGER,
    "req_nodes" INTEGER,
    "alloc_nodes" INTEGER,
    "req_memory_bytes" INTEGER,
    "alloc_memory_bytes" INTEGER,
    "req_gpus" INTEGER,
    "alloc_gpus" INTEGER,
    "gpu_types" TEXT,
    "node_list" TEXT,
    "state_raw" TEXT,
    "state" TEXT,
    "failure_class" INTEGER,
    "class_source" TEXT NOT NULL,
    "cancelled_by_uid" INTEGER,
    "exit_code" INTEGER,
    "exit_signal" INTEGER,
    "derived_exit_code" INTEGER,
    "derived_exit_signal" INTEGER,
    "oom_killed" INTEGER,
    "reason" TEXT,
    "steps" INTEGER NOT NULL,
    "cpu_seconds" REAL,
    "cpu_efficiency_ratio" REAL,
    "memory_seff_bytes" INTEGER,
    "memory_max_rss_tasks_bytes" INTEGER,
    "memory_max_rss_bytes" INTEGER,
    "memory_efficiency_ratio" REAL,
    "memory_tasks_efficiency_ratio" REAL,
    "disk_read_bytes" INTEGER,
    "disk_write_bytes" INTEGER,
    "energy_joules" REAL,
    "received_time" TEXT NOT NULL,
    "monitor_readings" INTEGER,
    "monitor_nodes" INTEGER,
    "monitor_cpu_seconds" REAL,
    "memory_cgroup_peak_bytes" INTEGER,
    "network_read_bytes" INTEGER,
    "network_write_bytes" INTEGER,
    "local_read_bytes" INTEGER,
    "local_write_bytes" INTEGER,
    "read_bytes" INTEGER,
    "write_bytes" INTEGER,
    "write_peak_bytes_per_second" REAL,
    "swap_peak_bytes" INTEGER,
    "oom_kills" INTEGER,
    "gpu_memory_peak_bytes" INTEGER,
    PRIMARY KEY ("cluster", "job_id_raw", "submit_time")
) WITHOUT ROWID""",
    """CREATE TABLE job_usage (
    "cluster" TEXT NOT NULL,
    "job_id_raw" TEXT NOT NULL,
    "node" TEXT NOT NULL,
    "host" TEXT NOT NULL,
    "run_start" TEXT NOT NULL,
    "hour" TEXT NOT NULL,
    "readings" INTEGER NOT NULL,
    "first_time" TEXT NOT NULL,
    "last_time" TEXT NOT NULL,
    "cpu_seconds" REAL,
    "memory_peak_bytes" INTEGER,
    "network_read_bytes" INTEGER,
    "network_write_bytes" INTEGER,
    "local_read_bytes" INTEGER,
    "local_write_bytes" INTEGER,
    "read_bytes" INTEGER,
    "write_bytes" INTEGER,
    "write_peak_bytes_per_second" REAL,
    "swap_bytes" INTEGER,
    "oom_kills" INTEGER,
    "gpu_memory_bytes" INTEGER,
    PRIMARY KEY ("cluster", "job_id_raw", "node", "host", "run_start", "hour")
) WITHOUT ROWID""",
    """CREATE TABLE usage_hourly (
    "cluster" TEXT NOT NULL,
    "dimension" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "hour" TEXT NOT NULL,
    "jobs" INTEGER NOT NULL,
    "success_jobs" INTEGER NOT NULL,
    "timeout_jobs" INTEGER NOT NULL,
    "cancelled_jobs" INTEGER NOT NULL,
    "failed_jobs" INTEGER NOT NULL,
    "oom_jobs" INTEGER NOT NULL,
    "segfault_jobs" INTEGER NOT NULL,
    "node_fail_jobs" INTEGER NOT NULL,
    "dependency_jobs" INTEGER NOT NULL,
    "unknown_jobs" INTEGER NOT NULL,
    "started_jobs" INTEGER NOT NULL,
    "measured_jobs" INTEGER NOT NULL,
    "wait_seconds" REAL NOT NULL,
    "elapsed_seconds" REAL NOT NULL,
    "allocated_cpu_seconds" REAL NOT NULL,
    "allocated_gpu_seconds" REAL NOT NULL,
    "efficiency_cpu_seconds" REAL NOT NULL,
    "efficiency_allocated_cpu_seconds" REAL NOT NULL,
    "efficiency_memory_bytes" REAL NOT NULL,
    "efficiency_allocated_memory_bytes" REAL NOT NULL,
    PRIMARY KEY ("cluster", "dimension", "name", "hour")
) WITHOUT ROWID""",
    """CREATE TABLE node_history (
    "cluster" TEXT NOT NULL,
    "node" TEXT NOT NULL,
    "since_time" TEXT NOT NULL,
    "until_time" TEXT NOT NULL,
    "hour" TEXT NOT NULL,
    "availability" TEXT NOT NULL,
    "readings" INTEGER NOT NULL,
    "state_raw" TEXT NOT NULL,
    "reason" TEXT,
    "reason_user" TEXT,
    "reason_time" TEXT,
    PRIMARY KEY ("cluster", "node", "since_time")
) WITHOUT ROWID""",
    """CREATE INDEX jobs_by_end ON jobs (end_time)""",
    """CREATE INDEX jobs_by_user ON jobs (cluster, user, end_time)""",
    """CREATE INDEX jobs_by_array ON jobs (cluster, array_job_id) WHERE array_job_id IS NOT NULL""",
    """CREATE INDEX job_usage_by_hour ON job_usage (hour)""",
    """CREATE INDEX usage_hourly_by_hour ON usage_hourly (hour)""",
    """CREATE INDEX node_history_by_hour ON node_history (hour)""",
    """CREATE VIEW usage_daily AS
        SELECT cluster, dimension, name, substr(hour, 1, 10) AS date, sum(jobs) AS jobs, sum(success_jobs) AS
        success_jobs, sum(timeout_jobs) AS timeout_jobs, sum(cancelled_jobs) AS cancelled_jobs, sum(failed_jobs) AS
        failed_jobs, sum(oom_jobs) AS oom_jobs, sum(segfault_jobs) AS segfault_jobs, sum(node_fail_jobs) AS
        node_fail_jobs, sum(dependency_jobs) AS dependency_jobs, sum(unknown_jobs) AS unknown_jobs, sum(started_jobs)
        AS started_jobs, sum(measured_jobs) AS measured_jobs, sum(wait_seconds) AS wait_seconds, sum(elapsed_seconds)
        AS elapsed_seconds, sum(allocated_cpu_seconds) AS allocated_cpu_seconds, sum(allocated_gpu_seconds) AS
        allocated_gpu_seconds, sum(efficiency_cpu_seconds) AS efficiency_cpu_seconds,
        sum(efficiency_allocated_cpu_seconds) AS efficiency_allocated_cpu_seconds, sum(efficiency_memory_bytes) AS
        efficiency_memory_bytes, sum(efficiency_allocated_memory_bytes) AS efficiency_allocated_memory_bytes
        FROM usage_hourly GROUP BY cluster, dimension, name, substr(hour, 1, 10)""",
    """CREATE VIEW users AS
        SELECT * FROM usage_daily WHERE dimension = 'user'""",
    """CREATE VIEW accounts AS
        SELECT * FROM usage_daily WHERE dimension = 'account'""",
    """CREATE VIEW queue_hourly AS
        SELECT s.cluster, s.host, s.subject AS partition, r.hour, max(CASE WHEN s.metric = 'pending_jobs' THEN CASE
        WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS pending_jobs, max(CASE WHEN
        s.metric = 'running_jobs' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END
        END) AS running_jobs, max(CASE WHEN s.metric = 'suspended_jobs' THEN CASE WHEN r.seconds > 0 THEN r.integral
        / r.seconds ELSE r.sum / r.count END END) AS suspended_jobs, max(CASE WHEN s.metric = 'completing_jobs' THEN
        CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS completing_jobs,
        max(CASE WHEN s.metric = 'other_jobs' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum /
        r.count END END) AS other_jobs, max(CASE WHEN s.metric = 'pending_cpus' THEN CASE WHEN r.seconds > 0 THEN
        r.integral / r.seconds ELSE r.sum / r.count END END) AS pending_cpus, max(CASE WHEN s.metric = 'running_cpus'
        THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS running_cpus,
        max(CASE WHEN s.metric = 'pending_nodes' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum
        / r.count END END) AS pending_nodes, max(CASE WHEN s.metric = 'running_nodes' THEN CASE WHEN r.seconds > 0
        THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS running_nodes, max(CASE WHEN s.metric =
        'pending_gpus' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS
        pending_gpus, max(CASE WHEN s.metric = 'running_gpus' THEN CASE WHEN r.seconds > 0 THEN r.integral /
        r.seconds ELSE r.sum / r.count END END) AS running_gpus, max(CASE WHEN s.metric = 'users' THEN CASE WHEN
        r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS users, max(CASE WHEN s.metric =
        'wait_mean_seconds' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS
        wait_mean_seconds, max(CASE WHEN s.metric = 'wait_median_seconds' THEN CASE WHEN r.seconds > 0 THEN
        r.integral / r.seconds ELSE r.sum / r.count END END) AS wait_median_seconds, max(CASE WHEN s.metric =
        'wait_max_seconds' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS
        wait_max_seconds, max(CASE WHEN s.metric = 'started_jobs' THEN CASE WHEN r.seconds > 0 THEN r.integral /
        r.seconds ELSE r.sum / r.count END END) AS started_jobs, max(CASE WHEN s.metric = 'started_wait_mean_seconds'
        THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS
        started_wait_mean_seconds
        FROM hourly_rollup r JOIN series s ON s.series_id = r.series_id
        WHERE s.table_name = 'slurm_queue' GROUP BY s.cluster, s.host, s.subject, r.hour""",
    """CREATE VIEW queue_daily AS
        SELECT s.cluster, s.host, s.subject AS partition, r.date, max(CASE WHEN s.metric = 'pending_jobs' THEN CASE
        WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS pending_jobs, max(CASE WHEN
        s.metric = 'running_jobs' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END
        END) AS running_jobs, max(CASE WHEN s.metric = 'suspended_jobs' THEN CASE WHEN r.seconds > 0 THEN r.integral
        / r.seconds ELSE r.sum / r.count END END) AS suspended_jobs, max(CASE WHEN s.metric = 'completing_jobs' THEN
        CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS completing_jobs,
        max(CASE WHEN s.metric = 'other_jobs' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum /
        r.count END END) AS other_jobs, max(CASE WHEN s.metric = 'pending_cpus' THEN CASE WHEN r.seconds > 0 THEN
        r.integral / r.seconds ELSE r.sum / r.count END END) AS pending_cpus, max(CASE WHEN s.metric = 'running_cpus'
        THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS running_cpus,
        max(CASE WHEN s.metric = 'pending_nodes' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum
        / r.count END END) AS pending_nodes, max(CASE WHEN s.metric = 'running_nodes' THEN CASE WHEN r.seconds > 0
        THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS running_nodes, max(CASE WHEN s.metric =
        'pending_gpus' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS
        pending_gpus, max(CASE WHEN s.metric = 'running_gpus' THEN CASE WHEN r.seconds > 0 THEN r.integral /
        r.seconds ELSE r.sum / r.count END END) AS running_gpus, max(CASE WHEN s.metric = 'users' THEN CASE WHEN
        r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS users, max(CASE WHEN s.metric =
        'wait_mean_seconds' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS
        wait_mean_seconds, max(CASE WHEN s.metric = 'wait_median_seconds' THEN CASE WHEN r.seconds > 0 THEN
        r.integral / r.seconds ELSE r.sum / r.count END END) AS wait_median_seconds, max(CASE WHEN s.metric =
        'wait_max_seconds' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS
        wait_max_seconds, max(CASE WHEN s.metric = 'started_jobs' THEN CASE WHEN r.seconds > 0 THEN r.integral /
        r.seconds ELSE r.sum / r.count END END) AS started_jobs, max(CASE WHEN s.metric = 'started_wait_mean_seconds'
        THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS
        started_wait_mean_seconds
        FROM daily_rollup r JOIN series s ON s.series_id = r.series_id
        WHERE s.table_name = 'slurm_queue' GROUP BY s.cluster, s.host, s.subject, r.date""",
    """CREATE VIEW nodes_hourly AS
        SELECT s.cluster, s.host, s.subject AS node, r.hour, max(CASE WHEN s.metric = 'responding' THEN CASE WHEN
        r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS responding, max(CASE WHEN s.metric
        = 'usable' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS usable,
        max(CASE WHEN s.metric = 'drained' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum /
        r.count END END) AS drained, max(CASE WHEN s.metric = 'cpus' THEN CASE WHEN r.seconds > 0 THEN r.integral /
        r.seconds ELSE r.sum / r.count END END) AS cpus, max(CASE WHEN s.metric = 'cpus_allocated' THEN CASE WHEN
        r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS cpus_allocated, max(CASE WHEN
        s.metric = 'cpu_load' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END)
        AS cpu_load, max(CASE WHEN s.metric = 'memory_bytes' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds
        ELSE r.sum / r.count END END) AS memory_bytes, max(CASE WHEN s.metric = 'memory_allocated_bytes' THEN CASE
        WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS memory_allocated_bytes,
        max(CASE WHEN s.metric = 'memory_free_bytes' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE
        r.sum / r.count END END) AS memory_free_bytes, max(CASE WHEN s.metric = 'gpus' THEN CASE WHEN r.seconds > 0
        THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS gpus, max(CASE WHEN s.metric = 'gpus_allocated'
        THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS gpus_allocated
        FROM hourly_rollup r JOIN series s ON s.series_id = r.series_id
        WHERE s.table_name = 'node_state' GROUP BY s.cluster, s.host, s.subject, r.hour""",
    """CREATE VIEW nodes_daily AS
        SELECT s.cluster, s.host, s.subject AS node, r.date, max(CASE WHEN s.metric = 'responding' THEN CASE WHEN
        r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS responding, max(CASE WHEN s.metric
        = 'usable' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS usable,
        max(CASE WHEN s.metric = 'drained' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum /
        r.count END END) AS drained, max(CASE WHEN s.metric = 'cpus' THEN CASE WHEN r.seconds > 0 THEN r.integral /
        r.seconds ELSE r.sum / r.count END END) AS cpus, max(CASE WHEN s.metric = 'cpus_allocated' THEN CASE WHEN
        r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS cpus_allocated, max(CASE WHEN
        s.metric = 'cpu_load' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END)
        AS cpu_load, max(CASE WHEN s.metric = 'memory_bytes' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds
        ELSE r.sum / r.count END END) AS memory_bytes, max(CASE WHEN s.metric = 'memory_allocated_bytes' THEN CASE
        WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS memory_allocated_bytes,
        max(CASE WHEN s.metric = 'memory_free_bytes' THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE
        r.sum / r.count END END) AS memory_free_bytes, max(CASE WHEN s.metric = 'gpus' THEN CASE WHEN r.seconds > 0
        THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS gpus, max(CASE WHEN s.metric = 'gpus_allocated'
        THEN CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END END) AS gpus_allocated
        FROM daily_rollup r JOIN series s ON s.series_id = r.series_id
        WHERE s.table_name = 'node_state' GROUP BY s.cluster, s.host, s.subject, r.date""",
    """CREATE VIEW metrics_coverage AS
        SELECT cluster, date, started_jobs, measured_jobs,
               CAST(measured_jobs AS REAL) / nullif(started_jobs, 0) AS measured_ratio
        FROM usage_daily WHERE dimension = 'cluster'""",
    """CREATE VIEW arrays AS
        SELECT cluster, array_job_id, user, account, partition, job_name, count(*) AS tasks, sum(failure_class IN (1,
        3, 4, 5, 6)) AS failed_tasks,
               min(elapsed_seconds) AS elapsed_min_seconds, avg(elapsed_seconds) AS elapsed_mean_seconds,
               max(elapsed_seconds) AS elapsed_max_seconds, max(end_time) AS last_end_time
        FROM jobs WHERE array_job_id IS NOT NULL GROUP BY cluster, array_job_id, user, account, partition, job_name""",
)


def upgrade() -> None:
    """Create the new tables, indexes and views; the statements are frozen text."""
    for statement in STATEMENTS:
        op.execute(statement)
