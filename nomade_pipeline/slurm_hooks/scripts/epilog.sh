#!/bin/sh
# NOMADE's Epilog and TaskEpilog: hands over the last readings of a job's cgroup on this node. A task's end sees the
# cgroup, which is gone when the job's Epilog runs (unless Slurm has PrologFlags=RunInJob), and leaves the readings in
# the folder that the Prolog made. `nomade hooks install` sets the two lines below; docs/hooks.md explains the rest.
agent() { exec /usr/local/bin/nomade-agent "$@"; }
RUN=/run/nomade

# A hook must neither fail a job nor keep it waiting: whatever happens the status is 0, and nothing here touches the
# data folder, which may hang. Only /run is written; what needs Python runs detached.
trap 'exit 0' EXIT HUP INT TERM
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
umask 022
CGROUP=${NOMADE_CGROUP:-/sys/fs/cgroup}

# One line NAME=VALUE of the snapshot; a value that could be taken for more than that is left out.
tell() {
    case $2 in
        '' | *[!A-Za-z0-9_.,:@/+=\\-]*) ;;
        *) snapshot="$snapshot$1=$2
" ;;
    esac
}

# The first line of a file, as NAME=VALUE.
tell_file() {
    value=
    [ -r "$2" ] && IFS= read -r value <"$2"
    tell "$1" "$value"
}

# The value of a word in a file of words and values, into $value.
look_up() {
    value=
    [ -r "$2" ] || return
    while read -r word number; do
        [ "$word" = "$1" ] && value=$number
    done <"$2"
}

# Where the kernel lists us: a job's group, if we are in one.
own_group() {
    own=
    while IFS= read -r line; do
        path=${line#*:*:}
        case $path in
            */job_"$SLURM_JOB_ID"/* | */*slurmstepd.scope/*/*) own=${path%%/step_*} && return ;;
        esac
    done </proc/self/cgroup
}

tell_v1() {
    kills=0 known=
    for folder in "$1" "$1"/step_* "$1"/step_*/task_*; do
        look_up oom_kill "$folder/memory.oom_control"
        [ -n "$value" ] && kills=$((kills + value)) known=1
    done
    [ -n "$known" ] && tell oom_kills "$kills"
    tell_file memory_peak_bytes "$1/memory.max_usage_in_bytes"
    tell_file memory_limit_bytes "$1/memory.limit_in_bytes"
    tell_file cpu_nanoseconds "$CGROUP/cpuacct${1#"$CGROUP/memory"}/cpuacct.usage"
}

tell_v2() {
    look_up oom_kill "$1/memory.events"
    tell oom_kills "$value"
    tell_file memory_peak_bytes "$1/memory.peak"
    tell_file memory_limit_bytes "$1/memory.max"
    look_up usage_usec "$1/cpu.stat"
    tell cpu_microseconds "$value"
}

tell_cgroup() {
    own_group
    for folder in ${own:+"$CGROUP/memory$own"} "$CGROUP"/memory/slurm*/uid_*/job_"$SLURM_JOB_ID"; do
        [ -d "$folder" ] || continue
        case $folder in
            "$CGROUP"/memory/slurm_"$SLURMD_NODENAME"/* | "$CGROUP"/memory/slurm/*) tell_v1 "$folder" && return ;;
        esac
    done
    for folder in ${own:+"$CGROUP$own"} "$CGROUP"/*.slice/*slurmstepd.scope/job_"$SLURM_JOB_ID"; do
        [ -d "$folder" ] || continue
        case $folder in
            */"$SLURMD_NODENAME"_slurmstepd.scope/* | */slurmstepd.scope/*) tell_v2 "$folder" && return ;;
        esac
    done
}

main() {
    case ${SLURM_JOB_ID-} in '' | *[!0-9]*) return ;; esac
    case ${SLURMD_NODENAME-} in '' | .* | *[!A-Za-z0-9._-]*) return ;; esac
    job=$RUN/jobs/$SLURM_JOB_ID.$SLURMD_NODENAME
    # Only a task has a local number; it runs as the user, and where no Prolog made a folder there is nothing to do.
    if [ -n "${SLURM_LOCALID-}" ]; then
        [ -d "$job" ] || return
        snapshot='hook=task
'
        tell_cgroup
        printf '%send=1\n' "$snapshot" >"$job/last"
        return
    fi
    [ -d "$RUN/queue" ] || mkdir -p "$RUN/queue" "$RUN/jobs"
    snapshot='hook=epilog
'
    tell job_id "$SLURM_JOB_ID"
    tell node "$SLURMD_NODENAME"
    tell uid "${SLURM_JOB_UID-}"
    tell user "${SLURM_JOB_USER-}"
    tell account "${SLURM_JOB_ACCOUNT-}"
    tell partition "${SLURM_JOB_PARTITION-}"
    tell cpus "${SLURM_JOB_CPUS_PER_NODE-}"
    tell nodes "${SLURM_NODELIST-}"
    tell restarts "${SLURM_JOB_RESTART_COUNT-${SLURM_RESTART_COUNT-}}"
    tell exit "${SLURM_JOB_EXIT_CODE2-}"
    tell_cgroup
    # The last line tells that the file is whole.
    printf '%send=1\n' "$snapshot" >"$RUN/queue/$SLURM_JOB_ID.$SLURMD_NODENAME.$$" || return

    # In a session of its own: slurmd ends what is left of a hook's process group. And out of the job's group, which
    # ends with the job.
    if command -v setsid; then
        if [ -n "$own" ]; then
            for root in "$CGROUP" "$CGROUP/freezer" "$CGROUP/memory"; do
                [ -w "$root/cgroup.procs" ] && echo 0 >"$root/cgroup.procs"
            done
        fi
        HOME=/ setsid sh -c '"$0" deliver &' "$0"
    fi
}

if [ "${1-}" = deliver ]; then
    agent --deliver-hooks "$RUN"
fi
(main) </dev/null >/dev/null 2>&1
exit 0
