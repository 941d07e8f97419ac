#!/bin/sh
# Three job steps, the second of which fails; the job itself ends well.
srun --ntasks=1 timeout 1 sha256sum /dev/zero
srun --ntasks=1 sh -c 'exit 4'
srun --ntasks=1 sleep 1
exit 0
