# shellcheck shell=bash
# Short names for the commands of nomade. Source it from ~/.bashrc or ~/.zshrc:
#   source /path/to/nomade.sh
# NOMADE_COMMAND names the program when it is not on the PATH.

_nomade() { command "${NOMADE_COMMAND:-nomade}" "$@"; }

nstatus() { _nomade status "$@"; }

nwatch() {
  local seconds="${1:-5}"
  if [ "$#" -gt 0 ]; then shift; fi
  _nomade status --watch "$seconds" "$@"
}

ndisk() {
  if [ "$#" -eq 0 ]; then
    printf 'usage: ndisk PATH [--hours N]\n' >&2
    return 2
  fi
  _nomade disk "$@"
}

njobs() { _nomade jobs "$@"; }
nsimilarity() { _nomade similarity "$@"; }
nalerts() { _nomade alerts "$@"; }

ncollect() {
  if [ "$#" -eq 0 ]; then set -- --once; fi
  _nomade collect "$@"
}

nmonitor() { _nomade monitor "$@"; }
nsyscheck() { _nomade syscheck "$@"; }
nlog() { _nomade logs --follow "$@"; }

nhelp() {
  cat <<'HELP'
nstatus           status overview
nwatch [s]        live status, every s seconds (5)
ndisk PATH        a file system and how it has filled
njobs             recent jobs
nsimilarity       how alike jobs are
nalerts           alerts
ncollect          sample this host once (options as of `nomade collect`)
nmonitor          I/O of running jobs
nsyscheck         requirements of this system
nlog              follow the logs
nhelp             this text
HELP
}
