#!/usr/bin/env bash
# A rank on another host is killed: the launcher starts the job again, and the result is the one of a run that nothing happened to.
set -euo pipefail
# shellcheck source=tests/hosts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$manta" train --run-folder whole -n 12288 "${training[@]}"
$HOSTS run 1 "$manta" launch -n 4 --host "$($HOSTS list 2)" --backoff 0.1 train --run-folder killed -n 12288 --save-freq 768 "${training[@]}" >out 2>&1 &
job=$!
wait_for_generation killed 3
kill -KILL "$($HOSTS rank 3)"
wait $job || fail "$(cat out)"
cat out
grep -q "relaunching from generation" out || fail "nothing was relaunched"
expect_equal whole killed
