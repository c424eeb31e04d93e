#!/usr/bin/env bash
# No trailing blanks, no tabs, no carriage returns, a newline at the end, UTF-8: every text file of the tree that is
# written by hand. Prints FILE:LINE of what breaks it.
set -euo pipefail
cd "${1:-$(dirname "${BASH_SOURCE[0]}")/../..}"
status=0

files=()
while IFS= read -r -d '' file; do
    files+=("$file")
done < <(find engine kernels replay policies rollout scheduler apps tests bench examples fuzz scripts cmake docs presets \
    ./*.md ./*.txt ./*.json .ci -type f \( -name '*.c' -o -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.py' \
    -o -name '*.sh' -o -name '*.awk' -o -name '*.cmake' -o -name '*.txt' -o -name '*.md' -o -name '*.yml' -o -name '*.in' \
    -o -name '*.json' -o -path .ci/run \) -not -path '*/data/*' -not -path '*/results/*' -not -path '*/corpus/*' \
    -not -path '*/__pycache__/*' -print0 2>/dev/null | LC_ALL=C sort -z)
[ ${#files[@]} -gt 20 ] || { echo "only ${#files[@]} files found: is this the root of the tree?"; exit 2; }

complain() {
    if grep -nHP "$1" "${files[@]}"; then
        echo "^ $2"
        status=1
    fi
}
export LC_ALL=C
complain '[ \t\r]+$' 'blanks at the end of a line'
complain '\t' 'a tab: four blanks (write \t in a string)'
for file in "${files[@]}"; do
    if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then
        echo "$file: no newline at its end"
        status=1
    fi
    if ! iconv -f UTF-8 -t UTF-8 "$file" >/dev/null 2>&1; then
        echo "$file: not UTF-8"
        status=1
    fi
done
[ $status -eq 0 ] && echo "${#files[@]} files are clean"
exit $status
