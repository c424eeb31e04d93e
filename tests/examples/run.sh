#!/usr/bin/env bash
# One example on so many ranks: it has to print what is expected, and nothing else on standard output, within a minute.
#   run.sh MPIEXEC RANKS STATUS EXPECTED PROGRAM ARGUMENT...
# EXPECTED is a regular expression for the whole output: standard output where STATUS is 0, standard error where it is not.
# One rank runs without mpirun. A and B among the arguments are two files of numbers.
set -euo pipefail
mpiexec=$1 ranks=$2 status=$3 expected=$4
shift 4
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf '1 2 3.5\n' >"$folder/A"
printf '10\n20\n30\n' >"$folder/B"

program=$1
shift
command=("$program")
for argument in "$@"; do
    case $argument in
    A | B) command+=("$folder/$argument") ;;
    *) command+=("$argument") ;;
    esac
done
if [ "$ranks" -gt 1 ]; then command=("$mpiexec" --oversubscribe --bind-to none -n "$ranks" "${command[@]}"); fi

ended=0
timeout --kill-after=5 60 "${command[@]}" >"$folder/out" 2>"$folder/error" </dev/null || ended=$?
if [ "$status" -eq 0 ]; then text=$(cat "$folder/out"); else text=$(cat "$folder/error"); fi
if [ "$ended" -eq "$status" ] && [[ $text =~ $expected ]]; then exit 0; fi
echo "${command[*]}"
echo "ended with $ended in place of $status, and printed"
cat "$folder/out" "$folder/error"
echo "where this was expected: $expected"
exit 1
