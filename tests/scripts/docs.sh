#!/usr/bin/env bash
# docs.sh check|write PROGRAM SOURCE_FOLDER: docs/training.md is what the option tables say.
set -euo pipefail
what=$1 program=$2 file=$3/docs/training.md
text=$("$program" help --markdown)
[ -n "$text" ] || { echo "manta help --markdown says nothing"; exit 1; }
case $what in
write) printf '%s\n' "$text" >"$file" ;;
check)
    diff -u "$file" <(printf '%s\n' "$text") || {
        echo "docs/training.md is not what the option tables say; bring it up to date:  cmake --build BUILD_FOLDER --target docs"
        exit 1
    }
    ;;
esac
