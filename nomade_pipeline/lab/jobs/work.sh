#!/bin/sh
# Really uses what a job uses, then ends as it is told.
# work.sh SECONDS MEMORY_MB SCRATCH_MB NETWORK_MB STATUS
set -eu
seconds=$1 memory=$2 scratch=$3 network=$4 status=$5
mine=$(id -un)/$SLURM_JOB_ID
mkdir -p "$NOMADE_SCRATCH/$mine" "$NOMADE_NETWORK/$mine"

perl -e 'my $held = "x" x ($ARGV[0] * 2**20); sleep $ARGV[1]' "$memory" "$seconds" &
dd if=/dev/zero of="$NOMADE_SCRATCH/$mine/data" bs=1M count="$scratch" conv=fsync status=none
dd if=/dev/zero of="$NOMADE_NETWORK/$mine/data" bs=1M count="$network" conv=fsync status=none
dd if="$NOMADE_NETWORK/$mine/data" of=/dev/null bs=1M status=none
# 124 is the status of `timeout` when the time is over.
timeout "$seconds" sha256sum /dev/zero || test $? -eq 124
wait
rm -r "${NOMADE_SCRATCH:?}/$mine" "${NOMADE_NETWORK:?}/$mine"
exit "$status"
