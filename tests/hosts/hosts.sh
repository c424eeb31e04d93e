#!/usr/bin/env bash
# Several hosts on one machine, for what happens on a network: each is a process tree with namespaces of its own (network, host name,
# processes, mounts with an empty /dev/shm), joined by a bridge that lives in a namespace, too. Nothing of it has a name outside,
# so several of these run side by side; when the first process ends, however that happens, the kernel removes everything.
#
#   hosts.sh N COMMAND...            makes N hosts, runs COMMAND here with the words below in $HOSTS, removes them; COMMAND's status
#
# Inside COMMAND:
#   $HOSTS run I COMMAND...          on host I (from 1)
#   $HOSTS mpirun SLOTS ARGS...      mpirun on host 1 over all hosts, SLOTS ranks on each, TCP between them
#   $HOSTS rank N                    the pid, as seen here, of a job's rank N
#   $HOSTS list SLOTS                10.79.0.1:SLOTS,10.79.0.2:SLOTS,... for --host
#   $HOSTS cut I | heal I            takes host I's cable out, and puts it in again
#
# Files are shared, as on a cluster with a network file system. What the user has set for Open MPI (OMPI_MCA_...) stands. Needs root
# and iproute2; says what is missing and ends with 77 otherwise.
set -euo pipefail
net=10.79.0
self=$(readlink -f "${BASH_SOURCE[0]}")
die() { echo "hosts: $*" >&2; exit 1; }
skip() { echo "skipped: $*"; exit 77; }

pid_of() { cat "$MANTA_HOSTS/$1" 2>/dev/null || die "there is no ${1/-/ }"; }
# From this machine alone: a host's processes see no others, and cannot enter them either. The mounts are copies of this machine's,
# so the working directory is there, too.
on_host() {
    local host
    host=$(pid_of "host-$1")
    shift
    exec nsenter --target "$host" --net --uts --mount --pid --wd="$PWD" "$@"
}
in_net() { nsenter --target "$(pid_of "$1")" --net "${@:2}"; }

# mpirun, on host 1, starts its daemons on the others by `agent`, as it would by ssh. What listens there is `serve_agents`, on this
# machine: it runs what the agent has written down, and tells it the status.
serve_agents() {
    local id
    while read -r id; do
        (
            status=0
            host=$(head -n 1 "$MANTA_HOSTS/agent-$id")
            (on_host "$host" bash -c "$(tail -n +2 "$MANTA_HOSTS/agent-$id")") </dev/null || status=$?
            echo $status >"$MANTA_HOSTS/reply-$id"
        ) &
    done <>"$MANTA_HOSTS/agents"
}
ask_agent() {
    local id=$BASHPID-$RANDOM status
    printf '%s\n' "$1" "$2" >"$MANTA_HOSTS/agent-$id"
    mkfifo "$MANTA_HOSTS/reply-$id"
    echo "$id" >"$MANTA_HOSTS/agents"
    read -r status <"$MANTA_HOSTS/reply-$id"
    exit "$status"
}

# what Open MPI needs to use these hosts; what stands in the environment already is the user's choice
mpi_environment() {
    local setting name
    for setting in plm_rsh_agent="$self agent" plm_rsh_no_tree_spawn=1 oob_tcp_if_include=$net.0/24 btl_tcp_if_include=$net.0/24 \
        hwloc_base_binding_policy=none; do
        name=OMPI_MCA_${setting%%=*}
        if [ -z "${!name:-}" ]; then export "$name=${setting#*=}"; fi
    done
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
}

addresses() {
    local i list=
    for ((i = 1; i <= MANTA_HOSTS_COUNT; i++)); do list+=$net.$i:$1,; done
    echo "${list%,}"
}

# One process tree. Its first process ends with this shell (--pdeathsig), and everything in it with that.
# $1: file for its pid as seen here; $2: what it does once its network is there
start_tree() {
    setpriv --pdeathsig KILL unshare --net --uts --mount --pid --fork --kill-child --mount-proc bash -c "$2"'
        while :; do sleep 3600 & wait $!; done' </dev/null >/dev/null 2>&1 &
    disown
    local outer=$! inner='' tries
    for ((tries = 0; tries < 200; tries++)); do
        read -r inner _ <"/proc/$outer/task/$outer/children" 2>/dev/null || true
        if [ -n "$inner" ] && [ "$(readlink "/proc/$inner/ns/net")" != "$(readlink /proc/self/ns/net)" ]; then break; fi
        sleep 0.02
    done
    [ -n "$inner" ] || die "no namespaces here"
    echo "$inner" >"$MANTA_HOSTS/$1"
    trees+=("$outer")
}

make_hosts() {
    local i
    mkfifo "$MANTA_HOSTS/agents"
    serve_agents &
    trees+=($!)
    start_tree switch ''
    in_net switch ip link add br0 type bridge
    in_net switch ip link set br0 up
    for ((i = 1; i <= MANTA_HOSTS_COUNT; i++)); do
        start_tree "host-$i" "hostname host$i; mount -t tmpfs -o size=1g none /dev/shm; touch '$MANTA_HOSTS/up-$i';"
        in_net switch ip link add "port$i" type veth peer name eth0 netns "$(pid_of "host-$i")"
        in_net switch ip link set "port$i" master br0 up
        in_net "host-$i" ip addr add "$net.$i/24" dev eth0
        in_net "host-$i" ip link set lo up
        in_net "host-$i" ip link set eth0 up
        for ((tries = 0; tries < 500; tries++)); do
            if [ -e "$MANTA_HOSTS/up-$i" ]; then break; fi
            sleep 0.02
        done
    done
}

trees=()
remove_hosts() {
    local tree
    for tree in "${trees[@]}"; do kill -KILL "$tree" 2>/dev/null || true; done
    wait 2>/dev/null || true   # which also keeps bash from reporting each
    rm -rf "$MANTA_HOSTS"
}

case ${1:-} in
[1-9] | [1-9][0-9])
    [ "$(id -u)" = 0 ] || skip "hosts are made of namespaces, which needs root"
    for tool in ip nsenter unshare setpriv mpirun; do
        command -v $tool >/dev/null || skip "there is no $tool (scripts/setup.sh --tests installs iproute2)"
    done
    unshare --net --uts --mount --pid --fork true 2>/dev/null || skip "this system does not let root make namespaces (a container?)"
    export MANTA_HOSTS_COUNT=$1 MANTA_HOSTS HOSTS=$self
    MANTA_HOSTS=$(mktemp -d)
    shift
    trap remove_hosts EXIT
    trap 'exit 143' TERM INT HUP
    make_hosts
    status=0
    "$@" || status=$?
    exit $status
    ;;
run)
    i=$2
    shift 2
    mpi_environment
    on_host "$i" "$@"
    ;;
agent) # what mpirun calls in place of ssh: agent ADDRESS COMMAND..., perhaps with options before
    shift
    while [[ ${1:-} == -* ]]; do shift; done
    i=${1##*.}
    shift
    ask_agent "$i" "$*"
    ;;
rank)
    for environment in /proc/[0-9]*/environ; do
        if grep -zqx "MANTA_HOSTS=$MANTA_HOSTS" "$environment" 2>/dev/null && grep -zqx "OMPI_COMM_WORLD_RANK=$2" "$environment" 2>/dev/null; then
            pid=${environment#/proc/}
            echo "${pid%/environ}"
            exit 0
        fi
    done
    die "there is no rank $2"
    ;;
list) addresses "${2:?slots}" ;;
mpirun)
    slots=${2:?slots}
    shift 2
    mpi_environment
    on_host 1 mpirun --host "$(addresses "$slots")" -n $((slots * MANTA_HOSTS_COUNT)) "$@"
    ;;
cut) in_net switch ip link set "port$2" down ;;
heal) in_net switch ip link set "port$2" up ;;
*)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$self"
    exit 2
    ;;
esac
