#!/usr/bin/env bash
# A cable that comes out for 5 s and is put in again: everything waits, nothing is lost.
set -euo pipefail
# shellcheck source=tests/hosts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cut_for_5_seconds() {
    $HOSTS cut 2
    sleep 5
    $HOSTS heal 2
}

# in the middle of objects on their way
$HOSTS mpirun 1 "$build/tests/hosts/hosts_program" transfer 12 >out 2>&1 &
job=$!
for ((tries = 0; tries < 200; tries++)); do
    grep -q begun out && break
    sleep 0.1
done
cut_for_5_seconds
wait $job || fail "objects: $(cat out)"
cat out
grep -q "none lost" out || fail "objects"

# in the middle of training: the same bits as with a cable that nobody touched
"$manta" train --run-folder whole -n 12288 "${training[@]}"
$HOSTS mpirun 1 "$manta" train --run-folder cut -n 12288 --save-freq 768 "${training[@]}" >out 2>&1 &
job=$!
wait_for_generation cut 3
cut_for_5_seconds
wait $job || fail "training: $(cat out)"
expect_equal whole cut
