#!/usr/bin/env bash
# A host that is away for longer than the runtime waits for one: its ranks end by themselves, the job ends, the launcher tries until
# the host is back, and the result is the one of a run that nothing happened to.
set -euo pipefail
# shellcheck source=tests/hosts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$manta" train --run-folder whole -n 12288 "${training[@]}"
$HOSTS run 1 "$manta" launch -n 4 --host "$($HOSTS list 2)" --hang-timeout 40 --backoff 0.1 --max-relaunches 20 \
    train --run-folder away -n 12288 --save-freq 768 "${training[@]}" >out 2>&1 &
job=$!
wait_for_generation away 3
far=$($HOSTS rank 3)
$HOSTS cut 2
for ((tries = 0; tries < 600; tries++)); do
    [ -e "/proc/$far" ] || break
    sleep 0.1
done
[ ! -e "/proc/$far" ] || fail "a rank that was cut off lives on after 60 s"
echo "the rank that was cut off ended by itself after $((tries / 10)) s"
$HOSTS heal 2
wait $job || fail "$(cat out)"
cat out
grep -q "relaunching from generation" out || fail "nothing was relaunched"
expect_equal whole away
