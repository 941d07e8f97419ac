#!/bin/sh
# NOMADE's Prolog: tells the spool that a job begins on this node, and makes the folder in which its tasks leave their
# last readings. `nomade hooks install` sets the two lines below; docs/hooks.md explains the rest.
agent() { exec /usr/local/bin/nomade-agent "$@"; }
RUN=/run/nomade

# A hook must neither fail a job nor keep it waiting: whatever happens the status is 0, and nothing here touches the
# data folder, which may hang. Only /run is written; what needs Python runs detached.
trap 'exit 0' EXIT HUP INT TERM
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
umask 022

# One line NAME=VALUE of the snapshot; a value that could be taken for more than that is left out.
tell() {
    case $2 in
        '' | *[!A-Za-z0-9_.,:@/+=\\-]*) ;;
        *) snapshot="$snapshot$1=$2
" ;;
    esac
}

main() {
    case ${SLURM_JOB_ID-} in '' | *[!0-9]*) return ;; esac
    case ${SLURMD_NODENAME-} in '' | .* | *[!A-Za-z0-9._-]*) return ;; esac
    case ${SLURM_JOB_UID-} in '' | *[!0-9]*) return ;; esac
    [ -d "$RUN/queue" ] || mkdir -p "$RUN/queue" "$RUN/jobs"
    job=$RUN/jobs/$SLURM_JOB_ID.$SLURMD_NODENAME
    mkdir -m 700 "$job" && chown "$SLURM_JOB_UID" "$job"

    snapshot='hook=prolog
'
    tell job_id "$SLURM_JOB_ID"
    tell node "$SLURMD_NODENAME"
    tell uid "$SLURM_JOB_UID"
    tell user "${SLURM_JOB_USER-}"
    tell account "${SLURM_JOB_ACCOUNT-}"
    tell partition "${SLURM_JOB_PARTITION-}"
    tell cpus "${SLURM_JOB_CPUS_PER_NODE-}"
    tell nodes "${SLURM_NODELIST-}"
    tell restarts "${SLURM_JOB_RESTART_COUNT-${SLURM_RESTART_COUNT-}}"
    # The last line tells that the file is whole.
    printf '%send=1\n' "$snapshot" >"$RUN/queue/$SLURM_JOB_ID.$SLURMD_NODENAME.$$" || return

    # In a session of its own: slurmd ends what is left of a hook's process group.
    if command -v setsid; then
        HOME=/ setsid sh -c '"$0" deliver &' "$0"
    fi
}

if [ "${1-}" = deliver ]; then
    agent --deliver-hooks "$RUN"
fi
(main) </dev/null >/dev/null 2>&1
exit 0
