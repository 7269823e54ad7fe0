#!/usr/bin/env bash
# Runs aam-train on a machine of a cluster: finds it, hands on signals, tells the exit code.
#
#   run.sh KEY=VALUE …         aam-train with these, in the folder AAM_RUN_DIR
#   run.sh --job FILE NAME     the line of FILE that ends in "  # NAME"
#
#   AAM_VENV         virtual environment that has aam-train; else it is looked for in PATH
#   AAM_RUN_DIR      folder of the run: it goes on if it was interrupted there
#   AAM_PROCESSES    how many train the run together: one for each GPU that was asked for
#   AAM_MAX_S        seconds at a stretch: then the run saves and leaves with 85
#   AAM_JOB_LOG      file that is told when the job AAM_JOB_ID starts and ends
#   AAM_MAX_RETRIES  how often Slurm is asked to try a job again that has failed
set -u

say() { echo "run.sh: $* ($(hostname), $(date -u +%Y-%m-%dT%H:%M:%SZ))"; }

note() { # what happened, for aam-submit status and aam-facts ls
	[ -z "${AAM_JOB_LOG:-}" ] || echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $AAM_JOB_ID $*" >>"$AAM_JOB_LOG"
}

tell_htcondor() { # the sentence becomes the reason of the hold
	local chirp
	chirp=$(condor_config_val LIBEXEC 2>/dev/null)/condor_chirp
	[ -n "${_CONDOR_JOB_AD:-}" ] && [ -x "$chirp" ] || return 0
	local sentence=${1//\\/\\\\}
	"$chirp" set_job_attr_delayed ChirpSentence "\"${sentence//\"/\\\"}\"" || true
}

requeue() { # Slurm sends a job that is at its limit, or has failed, nowhere by itself
	[ -n "${SLURM_JOB_ID:-}" ] || return 0
	case $1$is_at_limit in
	85yes) ;;
	0 | 0yes | 2 | 2yes | 85 | 130 | 143) return 0 ;; # done, a mistake, cancelled
	*) [ "$(num_failures)" -le "${AAM_MAX_RETRIES:-0}" ] || return 0 ;;
	esac
	say "back into the queue, to go on"
	note requeued
	scontrol requeue "$AAM_JOB_ID"
}

num_failures() { grep " $AAM_JOB_ID exited " "$AAM_JOB_LOG" | grep -cvE " exited (0|2|85)( |\$)"; }

leave() { # exit code, sentence
	note "exited $1${2:+ $2}"
	[ "$1" != 2 ] || tell_htcondor "$2"
	say "exit code $1"
	requeue "$1"
	exit "$1"
}

refuse() {
	echo "$1" >&2
	leave 2 "$1"
}

last_error() { # the last line of standard error, where that is a file
	[ ! -f "/proc/$$/fd/2" ] || tail -n 1 "/proc/$$/fd/2"
}

start_others() { # as torchrun does, which tells neither a mistake nor an interrupted run by its exit code
	export WORLD_SIZE=$AAM_PROCESSES LOCAL_WORLD_SIZE=$AAM_PROCESSES MASTER_ADDR=127.0.0.1
	MASTER_PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
	export MASTER_PORT
	[ -z "${OMP_NUM_THREADS:-}" ] ||
		export OMP_NUM_THREADS=$((OMP_NUM_THREADS > AAM_PROCESSES ? OMP_NUM_THREADS / AAM_PROCESSES : 1))
	local rank
	for ((rank = 1; rank < AAM_PROCESSES; rank++)); do
		RANK=$rank LOCAL_RANK=$rank "$@" &
		others+=($!)
	done
	export RANK=0 LOCAL_RANK=0
}

is_stopped='' is_at_limit='' child='' others=()
stop() {
	is_stopped=yes
	[ -z "$child" ] || kill -TERM "$child" 2>/dev/null
}
# Slurm sends SIGTERM to aam-train too, and a second one would end it at once.
[ -n "${SLURM_JOB_ID:-}" ] && trap : TERM || trap stop TERM
trap stop INT
trap 'is_at_limit=yes; stop' USR1

note "started $(hostname)"
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK # HTCondor does so itself
export PATH=${AAM_VENV:+$AAM_VENV/bin:}$PATH
command -v aam-train >/dev/null ||
	refuse "there is no aam-train on $(hostname): set AAM_VENV (now '${AAM_VENV:-}') to an environment that has it"
# A folder that the scheduler is to bring back has to be there, whatever happens.
[[ ${AAM_RUN_DIR:-/} == /* ]] || mkdir -p "$AAM_RUN_DIR"
if [ "${1:-}" = --job ]; then
	line=$(grep -E "^aam-train .*  # $3\$" "$2") || refuse "$2 has no line that ends in '  # $3'"
	[ "$(wc -l <<<"$line")" = 1 ] || refuse "$2 has several lines that end in '  # $3'"
	eval "set -- ${line%  # *}"
else
	run_dir=${AAM_RUN_DIR:?must name the folder of the run}
	set -- aam-train "$@" "hydra.run.dir='${run_dir//\'/\\\'}'" resume=auto
fi
[ "${AAM_PROCESSES:-1}" = 1 ] || start_others "$@"
[ -z "${AAM_MAX_S:-}" ] || set -- timeout --foreground --preserve-status "$AAM_MAX_S" "$@"

say "$(printf '%q ' "$@")"
"$@" &
child=$!
[ -z "$is_stopped" ] || stop
while kill -0 "$child" 2>/dev/null; do wait "$child"; done # a signal ends a wait too early
wait "$child"
code=$?
[ "${#others[@]}" = 0 ] || kill -KILL "${others[@]}" 2>/dev/null # the first one alone writes
leave "$code" "$([ "$code" = 0 ] || last_error)"
