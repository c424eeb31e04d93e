#!/usr/bin/env bash
# Every shell script of the tree passes shellcheck. Status 77 (skipped) where it is not installed.
set -euo pipefail
cd "${1:-$(dirname "${BASH_SOURCE[0]}")/../..}"
command -v shellcheck >/dev/null || { echo "shellcheck is not installed"; exit 77; }

scripts=(.ci/run)
while IFS= read -r -d '' file; do
    scripts+=("$file")
done < <(find scripts tests bench examples -name '*.sh' -print0 2>/dev/null | LC_ALL=C sort -z)
shellcheck -x "${scripts[@]}"
echo "${#scripts[@]} scripts are clean"
