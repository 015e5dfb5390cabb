#!/usr/bin/env bash
# A one-node SLURM cluster on this machine, for development and tests: munge, slurmctld and slurmd of
# Debian's or Ubuntu's packages on loopback, without systemd, cgroups or accounting.
#
#   scripts/local_slurm.sh start     start it (nothing happens when it is running)
#   scripts/local_slurm.sh status    the nodes and the queue
#   scripts/local_slurm.sh env       print what a shell needs:  eval "$(scripts/local_slurm.sh env)"
#   scripts/local_slurm.sh stop      end its jobs and daemons, remove its directory
#
# SEGSCAPE_SLURM_DIR   where configuration, key, state and logs go; /tmp/segscape-slurm-<uid>
# SEGSCAPE_SLURM_PORT  slurmctld's port, slurmd's is the next one; 26817
# SEGSCAPE_SLURM_CPUS  how many CPUs the node offers; those of the machine
set -euo pipefail

DIR=${SEGSCAPE_SLURM_DIR:-/tmp/segscape-slurm-$(id -u)}
PORT=${SEGSCAPE_SLURM_PORT:-26817}
# nproc would count OMP_NUM_THREADS.
CPUS=${SEGSCAPE_SLURM_CPUS:-$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)}
export SLURM_CONF=$DIR/slurm.conf
# The daemons are in sbin, which is not on every user's path.
PATH=$PATH:/usr/sbin:/sbin

say() { printf 'local_slurm: %s\n' "$*"; }
fail() { printf 'local_slurm: %s\n' "$*" >&2; exit 1; }

answers() { [ -f "$SLURM_CONF" ] && timeout 10 sinfo --noheader >"$DIR/sinfo.txt" 2>&1; }

memory_mib() { awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo; }

need_packages() {
    local missing=()
    for program in munged slurmctld slurmd sinfo sbatch srun scancel scontrol; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    [ ${#missing[@]} -eq 0 ] && return
    local sudo=""
    [ "$(id -u)" -eq 0 ] || sudo="sudo "
    fail "not installed: ${missing[*]}; ${sudo}apt-get install --yes slurm-wlm munge"
}

write_config() {
    local memory user host
    memory=$(memory_mib)
    user=$(id -un)
    host=$(hostname -s)
    cat >"$SLURM_CONF" <<END
ClusterName=segscape
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
SlurmctldPort=$PORT
SlurmdPort=$((PORT + 1))
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmdPidFile=$DIR/slurmd.pid
SlurmctldLogFile=$DIR/slurmctld.log
SlurmdLogFile=$DIR/slurmd.log
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool
AuthType=auth/munge
CredType=cred/munge
# How long a requeued job waits before it starts again is the lifetime of a credential: 120 s as a rule.
AuthInfo=socket=$DIR/munge/socket,cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SwitchType=switch/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=$((memory / CPUS / 2))
# A job that uses more memory than it asked for is killed, as it is on most clusters; pages that its
# processes share count once.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill,UsePss
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=10
MinJobAge=3600
SlurmctldTimeout=60
SlurmdTimeout=60
InactiveLimit=0
MaxArraySize=10001
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=100000,bf_interval=2,bf_max_job_test=1000
NodeName=$host NodeAddr=127.0.0.1 CPUs=$CPUS RealMemory=$((memory - memory / 10)) State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE DefaultTime=60 PriorityTier=10 State=UP
# Its jobs make room for those of main: SIGTERM, 30 s to save, back into the queue.
PartitionName=low Nodes=$host MaxTime=INFINITE DefaultTime=60 PriorityTier=1 GraceTime=30 State=UP
END
}

start_munge() {
    # A key and a socket of its own: the machine's munge, if it has one, is not used.
    mkdir -p "$DIR/munge"
    chmod 755 "$DIR/munge"
    (umask 077 && head -c 128 /dev/urandom >"$DIR/munge/key")
    # --force: a directory above that only its owner may enter will do, the cluster is his only.
    munged --force --key-file="$DIR/munge/key" --socket="$DIR/munge/socket" \
        --pid-file="$DIR/munge/pid" --log-file="$DIR/munge/log" --seed-file="$DIR/munge/seed" \
        --num-threads=2 2>"$DIR/munge/warnings" \
        || fail "munged did not start: $(tail -n 3 "$DIR/munge/log" 2>/dev/null)"
}

start() {
    need_packages
    if answers; then
        say "runs already; $DIR"
        return
    fi
    stop quietly
    mkdir -p "$DIR"/{state,spool}
    chmod 755 "$DIR"
    write_config
    start_munge
    slurmctld -i || fail "slurmctld did not start: $(tail -n 3 "$DIR/slurmctld.log" 2>/dev/null)"
    slurmd || fail "slurmd did not start: $(tail -n 3 "$DIR/slurmd.log" 2>/dev/null)"
    local second
    for second in $(seq 60); do
        if answers && grep -qE ' (idle|mix|alloc)' "$DIR/sinfo.txt"; then
            say "one node with $CPUS CPUs answers; eval \"\$($0 env)\""
            return
        fi
        sleep 0.5
    done
    fail "the node did not come up; logs in $DIR: $(tail -n 3 "$DIR/slurmctld.log" "$DIR/slurmd.log")"
}

# End a daemon that was started here: by the pid it wrote, and only if that is still this program.
end_daemon() {
    local name=$1 file=$2 pid
    [ -f "$file" ] || return 0
    pid=$(cat "$file")
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$name" ] || return 0
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 50); do
        [ -d "/proc/$pid" ] || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}

stop() {
    if [ ! -d "$DIR" ]; then
        [ "${1:-}" = quietly ] || say "not running"
        return 0
    fi
    # Only a directory that this script made is removed.
    [ -z "$(ls -A "$DIR")" ] || [ -f "$SLURM_CONF" ] || fail "$DIR is not a cluster's directory"
    if answers; then
        scancel --user="$(id -un)" 2>/dev/null || true
        for _ in $(seq 60); do
            [ -n "$(squeue --noheader 2>/dev/null)" ] || break
            scancel --signal=KILL --full --user="$(id -un)" 2>/dev/null || true
            sleep 0.5
        done
    fi
    end_daemon slurmd "$DIR/slurmd.pid"
    end_daemon slurmctld "$DIR/slurmctld.pid"
    end_daemon munged "$DIR/munge/pid"
    rm -rf "$DIR"
    [ "${1:-}" = quietly ] || say "stopped, nothing left"
}

status() {
    if ! answers; then
        say "not running ($0 start)"
        exit 1
    fi
    sinfo --long
    squeue
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    status) status ;;
    env) echo "export SLURM_CONF=$SLURM_CONF" ;;
    *) fail "usage: $0 start|stop|status|env" ;;
esac
