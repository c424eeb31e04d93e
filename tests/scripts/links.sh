#!/usr/bin/env bash
# Every relative link and picture in the tree's Markdown leads to something: links.sh [ROOT].
set -euo pipefail
cd "${1:-$(dirname "${BASH_SOURCE[0]}")/../..}"
status=0 links=0
while IFS= read -r -d '' page; do
    while IFS= read -r target; do
        case $target in
        http://* | https://* | mailto:* | '#'* | '') continue ;;
        esac
        links=$((links + 1))
        if [ ! -e "$(dirname "$page")/${target%%#*}" ]; then
            echo "$page: leads to $target, which is not there"
            status=1
        fi
    done < <(grep -oE '\]\([^) ]+\)' "$page" | sed 's/^](//; s/)$//' || true)
done < <(find . -name '*.md' -not -path './build*' -not -path './.git/*' -print0 | LC_ALL=C sort -z)
[ $links -gt 5 ] || { echo "only $links links found: is this the root of the tree?"; exit 2; }
[ $status -eq 0 ] && echo "$links links lead somewhere"
exit $status
