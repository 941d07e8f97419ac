#!/bin/sh
# Holds its allocation and uses nothing; a job that was requeued may have less patience in its later lives.
# idle.sh SECONDS [SECONDS_WHEN_REQUEUED]
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then
    exec sleep "${2:-$1}"
fi
exec sleep "$1"
