#!/usr/bin/env bash
# Fuzzes everything manta parses: builds the targets in fuzz/ with clang's libFuzzer, AddressSanitizer and
# UndefinedBehaviorSanitizer, and runs each for SECONDS, several at a time on a machine with several cores.
#
#   scripts/fuzz.sh                          every target for $FUZZ_SECONDS (default 60)
#   scripts/fuzz.sh 3600                     for an hour each
#   scripts/fuzz.sh 3600 fuzz_config …       these targets only
#
# One line per target: "passed NAME (N executions, 0 findings)" or "failed NAME (…)". A finding is an input, kept in
# build-fuzz/findings; running build-fuzz/fuzz/NAME FILE shows it again. Inputs that reach new code stay in
# build-fuzz/corpus and are where the next run begins; the seeds are in fuzz/corpus.
# Exit status: 0 nothing found, 1 findings or no build, 77 when clang's fuzzer runtime is not installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

build="build-fuzz"
findings=$build/findings

case ${1:-} in
-h | --help)
    usage
    ;;
esac
seconds=${1:-${FUZZ_SECONDS:-60}}
case $seconds in
'' | *[!0-9]* | 0) die "\"$seconds\" is no number of seconds" ;;
esac
if [ $# -gt 0 ]; then shift; fi
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for source in fuzz/fuzz_*.c; do targets+=("$(basename "$source" .c)"); done
fi
for target in "${targets[@]}"; do
    [ -f "fuzz/$target.c" ] || die "there is no fuzz target $target (see fuzz/)"
done

# libFuzzer comes in a package of its own
fuzzer_works() {
    local program
    command -v clang >/dev/null && command -v clang++ >/dev/null || return 1
    program=$(mktemp "$TMPDIR/manta-fuzz-XXXXXX") || return 1
    printf '%s\n' 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return d == 0 && n > 9; }' |
        clang -fsanitize=fuzzer,address -x c -o "$program" - 2>/dev/null || { rm -f "$program"; return 1; }
    rm -f "$program"
}

# run TARGET: fuzzes it and prints its line; its output is in build-fuzz/TARGET.log
run() {
    local target=$1 corpus=$build/corpus/$1 log=$build/$1.log status=0 executions count finding
    mkdir -p "$corpus" "$findings"
    rm -f "$findings/$target"-*
    ASAN_OPTIONS=allocator_may_return_null=1:detect_stack_use_after_return=1:${ASAN_OPTIONS:-} \
        UBSAN_OPTIONS=print_stacktrace=1:${UBSAN_OPTIONS:-} \
        "$build/fuzz/$target" -max_total_time="$seconds" -timeout=60 -report_slow_units=60 -rss_limit_mb=2048 -max_len=4096 \
        -print_final_stats=1 -artifact_prefix="$findings/$target-" "$corpus" "fuzz/corpus/$target" >"$log" 2>&1 </dev/null || status=$?
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    count=$(find "$findings" -name "$target-*" | wc -l)
    if [ "$status" -eq 0 ] && [ "$count" -eq 0 ]; then
        say "passed $target (${executions:-0} executions, 0 findings)"
        return 0
    fi
    say "failed $target (${executions:-0} executions, $count findings in $findings, status $status)"
    grep -m 12 -E 'ERROR:|SUMMARY:|runtime error|assertion failed|^    #[0-7] ' "$log" >&2 || tail -n 12 "$log" >&2
    # the input itself, so that what is left of a run is enough to see it again: base64 -d >FILE
    for finding in "$findings/$target"-*; do
        if [ -f "$finding" ]; then printf '%s, base64: %s\n' "${finding##*/}" "$(base64 -w 0 "$finding")" >&2; fi
    done
    return 1
}

if ! fuzzer_works; then
    say "skipped fuzz: clang's fuzzer runtime is not installed (Debian: clang, libclang-rt-14-dev)"
    exit 77
fi
configure $build -S . -B $build -G Ninja -DMANTA_FUZZ=ON -DBUILD_TESTING=OFF -DCMAKE_C_COMPILER=clang \
    -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DCMAKE_C_FLAGS_RELWITHDEBINFO=-O1 -g"
if ! cmake --build $build --target "${targets[@]}" >$build/build.log 2>&1 </dev/null; then
    grep -m 40 -E 'error|FAILED|undefined' $build/build.log >&2 || tail -n 40 $build/build.log >&2
    die "the fuzz targets do not build; all of the compiler's words: $build/build.log"
fi

# as many at a time as there are cores, in the order given
failed=0 running=0
for target in "${targets[@]}"; do
    if [ "$running" -ge "$(cores)" ]; then
        wait -n || failed=1
        running=$((running - 1))
    fi
    run "$target" &
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
exit $failed
