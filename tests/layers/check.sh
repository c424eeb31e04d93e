#!/usr/bin/env bash
# Checks the rules of the house (layers.awk) on the source tree: check.sh [ROOT]. Status 0: kept, 1: broken, each
# violation on a line of its own, 2: the check itself could not run.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "${1:-$here/../..}" && pwd)
cd "$root"

folders=()
for folder in engine kernels replay policies rollout scheduler apps tests bench examples fuzz python scripts cmake; do
    if [ -d "$folder" ]; then folders+=("$folder"); fi
done
[ ${#folders[@]} -gt 0 ] || { echo "check.sh: $root has no floors to check" >&2; exit 2; }

files=()
while IFS= read -r -d '' file; do
    files+=("$file")
done < <(find "${folders[@]}" -type f \( -name '*.c' -o -name '*.h' -o -name '*.cc' -o -name '*.cpp' -o -name '*.hpp' \
    -o -name '*.cu' -o -name '*.cuh' -o -name '*.inc' -o -name '*.py' -o -name '*.sh' -o -name '*.awk' \
    -o -name '*.cmake' -o -name CMakeLists.txt \) -print0 | LC_ALL=C sort -z)
[ ${#files[@]} -gt 0 ] || { echo "check.sh: no source files under $root" >&2; exit 2; }

LC_ALL=C awk -f "$here/layers.awk" -- "${files[@]}"
echo "${#files[@]} files keep the rules of the house"
