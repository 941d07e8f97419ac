#!/bin/sh
# Takes memory, 10 MB at a time, up to MEMORY_MB, and holds it for a while.
# memory.sh MEMORY_MB
exec perl -e 'my @held; while (@held < $ARGV[0] / 10) { push @held, "x" x (10 * 2**20); select undef, undef, undef, 0.05 } sleep 20' "$1"
