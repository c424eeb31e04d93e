#!/usr/bin/env bash
# Training over several hosts ends with the bits of training on one, and each host has its own shared memory.
set -euo pipefail
# shellcheck source=tests/hosts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$manta" train --run-folder one -n 4608 "${training[@]}"
$HOSTS run 1 mpirun --oversubscribe -n 2 "$manta" train --run-folder two_ranks -n 4608 "${training[@]}"
expect_equal one two_ranks
for slots in 1 2; do
    $HOSTS mpirun $slots "$manta" train --run-folder "hosts_x$slots" -n 4608 "${training[@]}"
    expect_equal one "hosts_x$slots"
done

# the job itself says how many hosts it has; what its ranks share lies in memory that no other host can name
before=$(find /dev/shm -name 'manta-*' | wc -l)
$HOSTS mpirun 2 "$manta" train --run-folder seen -n 1e9 "${training[@]}" &
job=$!
for ((tries = 0; tries < 200; tries++)); do
    status=$($HOSTS run 1 "$manta" status 2>/dev/null) && break
    sleep 0.1
done
echo "$status"
grep -q "ranks       $((2 * MANTA_HOSTS_COUNT)) on $MANTA_HOSTS_COUNT hosts" <<<"$status" || fail "the job does not know its hosts"
for ((i = 1; i <= MANTA_HOSTS_COUNT; i++)); do grep -q " host$i " <<<"$status" || fail "host$i is not listed"; done
[ "$(find /dev/shm -name 'manta-*' | wc -l)" -le "$before" ] || fail "memory of the job lies in this machine's /dev/shm"
kill -USR1 "$($HOSTS rank 0)"
wait $job || true
grep -q interrupted seen/run.json || fail "a signal to one rank did not stop the job"
