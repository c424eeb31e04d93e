#!/usr/bin/env bash
# Tasks, actors and objects over several hosts with two ranks each.
set -euo pipefail
# shellcheck source=tests/hosts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

echo "1 2 3" >a
echo "10 20 30" >b
[ "$($HOSTS mpirun 2 "$build/examples/tasks" a b | xargs)" = "11 22 33" ] || fail "tasks"
[ "$($HOSTS mpirun 2 "$build/examples/counter" --cpu)" = "1 2" ] || fail "counter"
$HOSTS mpirun 2 "$build/examples/tree_reduce"
$HOSTS mpirun 2 "$build/examples/monte_carlo_pi"
$HOSTS mpirun 1 "$build/examples/parameter_server"
$HOSTS mpirun 2 "$build/examples/parameter_server" --sync
$HOSTS mpirun 2 "$build/tests/hosts/hosts_program" object
