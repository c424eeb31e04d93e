#!/usr/bin/env bash
# A disk that really is full under a run: a tmpfs of 400 KB, mounted where nobody else sees it.
#   full_disk.sh PROGRAM
# Training goes on with warnings, ends with the status of input and output (5) since its last checkpoint was not
# written, and goes on from an older one once there is room.
set -euo pipefail
skip() { echo "skipped: $*"; exit 77; }
fail() { echo "$*"; cat "$folder"/out; exit 1; }

if [ "${FULL_DISK_INSIDE:-}" != yes ]; then
    command -v unshare >/dev/null || skip "there is no unshare (util-linux)"
    unshare --mount true 2>/dev/null || skip "this user may not have a mount namespace (needs CAP_SYS_ADMIN)"
    FULL_DISK_INSIDE=yes exec unshare --mount "$0" "$@"
fi
manta=$1
folder=$(mktemp -d)
trap 'umount "$folder/disk" 2>/dev/null || true; rm -rf "$folder"' EXIT
mkdir "$folder/disk"
mount -t tmpfs -o size=400k none "$folder/disk" 2>/dev/null || skip "this user may not mount a tmpfs"

options=(--verbose 0 --save-freq 512 --keep-checkpoints 100 -params n_steps:32 n_envs:8)
code=0
timeout 100 "$manta" train --env CartPole-v1 --run-folder "$folder/disk/run" -n 20000 "${options[@]}" \
    >"$folder/out" 2>&1 || code=$?
[ "$code" -eq 5 ] || fail "ended with $code in place of 5"
grep -q "No space left" "$folder/out" || fail "it did not say that the disk is full"
grep -q "no checkpoint at" "$folder/out" || fail "it did not say which checkpoint is missing"
ls "$folder"/disk/run/checkpoints/gen-* >/dev/null || fail "the checkpoints from before are gone"
[ -z "$(find "$folder/disk/run/checkpoints" -name '.tmp-*')" ] || fail "half a checkpoint was left"

mount -o remount,size=64m "$folder/disk"
code=0
timeout 100 "$manta" train --resume "$folder/disk/run" -n 20000 --verbose 0 >"$folder/out" 2>&1 || code=$?
[ "$code" -eq 0 ] || fail "with room again it ended with $code"
grep -q '"outcome": "done"' "$folder/disk/run/run.json" || fail "run.json does not say done"
