#!/usr/bin/env bash
# Every test: installs what is missing, then
#
#   tests   builds with warnings as errors and runs the whole suite
#   cuda    the CUDA back end: compiled by nvcc, tested and trained with by a CPU that acts as a GPU (where the toolkit is)
#   asan    the suite again under the address and undefined-behaviour sanitizers; a leak fails, too
#   tsan    the programs that look for races, under the thread sanitizer
#   fuzz    each fuzz target for FUZZ_SECONDS (default 60)
#
#   scripts/test.sh                  all of them
#   scripts/test.sh --fast           without cuda, asan, tsan and fuzz
#   scripts/test.sh asan fuzz        these parts only
#
# The last line counts: N passed, N failed, N skipped. The exit status is 0 when nothing failed.
# Tests that compare with Python packages use build/venv; MANTA_PYTHON names another interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

parts=()
for argument; do
    case $argument in
    tests | cuda | asan | tsan | fuzz) parts+=("$argument") ;;
    --fast) parts+=(tests) ;;
    -h | --help)
        usage
        ;;
    *) die "unknown argument $argument (tests, cuda, asan, tsan, fuzz, --fast, --help)" ;;
    esac
done
if [ ${#parts[@]} -eq 0 ]; then parts=(tests cuda asan tsan fuzz); fi

passed=0 failed=0 skipped=0
summary='' bad=() left_out=()

# record PART PASSED FAILED SKIPPED SECONDS
record() {
    passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
    summary+=$(printf '  %-7s %4d passed, %d failed, %d skipped, %s' "$1" "$2" "$3" "$4" "$(duration "$5")")$'\n'
}

# build PART FOLDER [TARGET...]: false when it does not compile, having shown why
build() {
    local part=$1 folder=$2
    shift 2
    if ! cmake --build "$folder" ${1+--target "$@"} >"$folder/build.log" 2>&1 </dev/null; then
        grep -m 40 -E 'error|warning|FAILED|undefined' "$folder/build.log" >&2 || tail -n 40 "$folder/build.log" >&2
        say "$part does not build; all of the compiler's words: $folder/build.log"
        bad+=("$part: the build")
        return 1
    fi
}

# run_ctest PART FOLDER ARGUMENT...: runs it, shows what failed, sets ran_passed, ran_failed, ran_skipped
ran_passed=0 ran_failed=0 ran_skipped=0
launcher=()
run_ctest() {
    local part=$1 folder=$2 status=0 result name reason
    shift 2
    rm -f "$folder/junit.xml"
    "${launcher[@]}" ctest --test-dir "$folder" --output-on-failure --no-tests=error --output-junit junit.xml "$@" </dev/null || status=$?
    # one line per test: result, name, and the last line that a skipped one printed
    while IFS=$'\t' read -r result name reason; do
        case $result in
        pass) ran_passed=$((ran_passed + 1)) ;;
        skip) ran_skipped=$((ran_skipped + 1)) left_out+=("$part: $name: ${reason:-no reason given}") ;;
        *) ran_failed=$((ran_failed + 1)) bad+=("$part: $name") status=0 ;;
        esac
    done < <(awk '
        function finish() { if (name != "") printf "%s\t%s\t%s\n", result, name, reason; name = "" }
        /<testcase / {
            finish()
            name = $0; sub(/.*<testcase name="/, "", name); sub(/".*/, "", name)
            result = /status="run"/ ? "pass" : /status="disabled"/ ? "skip" : "fail"
            reason = ""; text = 0
        }
        /<skipped message="SKIP_/ { result = "skip" }
        /<system-out>/ { text = 1; sub(/.*<system-out>/, "") }
        text && result == "skip" { line = $0; sub(/<\/system-out>.*/, "", line); if (line ~ /[^ \t]/) reason = line }
        /<\/system-out>/ { text = 0 }
        END { finish() }' "$folder/junit.xml" 2>/dev/null)
    # it failed, and no test says that it did
    if [ "$status" -ne 0 ] && [ "$ran_failed" -eq 0 ]; then
        ran_failed=$((ran_failed + 1))
        bad+=("$part: ctest ended with status $status")
    fi
}

# start_part PART: forgets the counts of the part before
start_part() {
    heading "$1"
    ran_passed=0 ran_failed=0 ran_skipped=0
    part_began=$SECONDS
}
end_part() { record "$1" "$ran_passed" "$ran_failed" "$ran_skipped" $((SECONDS - part_began)); }

part_tests() {
    start_part tests
    configure build --preset default -DBUILD_TESTING=ON -DMANTA_WERROR=ON
    if build tests build; then run_ctest tests build; else ran_failed=1; fi
    end_part tests
}

# names of the tests that ctest's options choose: a test's name is its program's
tests_of() { ctest --test-dir "$1" -N "${@:2}" 2>/dev/null | sed -n 's/^ *Test *#[0-9]*: *\([^ ]*\).*/\1/p'; }

skip_cuda() {
    say "$1"
    ran_skipped=$((ran_skipped + 1))
    left_out+=("cuda: $1")
}

# What CMake leaves out, since something of the vendor's is not there, has no tests.
part_cuda() {
    local programs=() seed
    start_part cuda
    configure build-cuda --preset cuda -DBUILD_TESTING=ON -DMANTA_WERROR=ON '-DCMAKE_CUDA_ARCHITECTURES=75;120'
    if [ -z "$(tests_of build-cuda -R '^test_kernels_cuda$')" ]; then
        skip_cuda "nvcc, cuDNN or NCCL is not there: the CUDA back end is not compiled for GPUs"
    elif ! build cuda build-cuda manta test_kernels_cuda; then
        ran_failed=1
    fi
    configure build-cuda-host --preset cuda-host -DBUILD_TESTING=ON -DMANTA_WERROR=ON
    mapfile -t programs < <(tests_of build-cuda-host -L '^cuda$')
    if [ -z "$(tests_of build-cuda-host -R '^test_cuda_host_')" ]; then
        skip_cuda "the headers of the CUDA toolkit, cuDNN or NCCL are not there: the CUDA back end is not tested"
    elif build cuda build-cuda-host "${programs[@]}"; then
        run_ctest cuda build-cuda-host -L '^cuda$'
        # other orders of streams, blocks and threads
        for seed in 2 3; do
            say "MANTA_CUDA_HOST_SEED=$seed"
            MANTA_CUDA_HOST_SEED=$seed run_ctest cuda build-cuda-host -R '^test_(learner_device|rollout_device_actor|kernels_cuda_dnn)$'
        done
    else
        ran_failed=1
    fi
    end_part cuda
}

# Warnings are the first part's matter: gcc's are less sure of themselves in instrumented code.
# Three hosts run the same code as two, in other numbers: they are left to the first part.
# Reports go to files: a leak that a Criterion test's process finds as it ends fails nothing by itself.
part_asan() {
    local reports=$PWD/build-asan/reports leaks=1 file
    start_part asan
    configure build-asan --preset asan -DBUILD_TESTING=ON
    if build asan build-asan; then
        rm -rf "$reports"
        mkdir -p "$reports"
        if ! leak_check_works; then
            leaks=0 ran_skipped=1
            left_out+=("asan: leaks: this machine does not let LeakSanitizer look at processes (ptrace)")
        fi
        ASAN_OPTIONS=detect_leaks=$leaks:log_path=$reports/asan:${ASAN_OPTIONS:-} \
            LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0:${LSAN_OPTIONS:-} \
            UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:log_path=$reports/ubsan:${UBSAN_OPTIONS:-} \
            run_ctest asan build-asan --label-exclude house --exclude-regex '^hosts_.*_3$'
        for file in "$reports"/*; do
            [ -s "$file" ] || continue
            say "--- $file"
            head -n 40 "$file"
            ran_failed=$((ran_failed + 1))
            bad+=("asan: $(grep -m 1 -oE '(ERROR|SUMMARY): .*|runtime error: .*' "$file" || echo report) ($file)")
        done
    else
        ran_failed=1
    fi
    end_part asan
}

leak_check_works() {
    local program=build-asan/leak-probe
    echo 'int main(void) { return 0; }' | cc -fsanitize=address -x c -o $program - && ASAN_OPTIONS=detect_leaks=1 $program 2>/dev/null
}

# Criterion does not start under the thread sanitizer: these are plain programs, labelled tsan.
part_tsan() {
    local programs=()
    start_part tsan
    configure build-tsan --preset tsan -DBUILD_TESTING=ON
    # a test's name is its program's: these are built, and the floors below them
    mapfile -t programs < <(ctest --test-dir build-tsan -N -L '^(tsan|race)$' 2>/dev/null | sed -n 's/^ *Test *#[0-9]*: *//p' | awk '{print $1}')
    # gcc 12's thread sanitizer cannot map its memory where the kernel spreads addresses widely
    if setarch -R true 2>/dev/null; then launcher=(setarch -R); fi
    if [ ${#programs[@]} -eq 0 ]; then
        say "no test is labelled tsan"
        ran_failed=1
        bad+=("tsan: no test is labelled tsan")
    elif build tsan build-tsan "${programs[@]}"; then
        TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:${TSAN_OPTIONS:-} run_ctest tsan build-tsan -L '^(tsan|race)$'
    else
        ran_failed=1
    fi
    launcher=()
    end_part tsan
}

# fuzz.sh runs every target for FUZZ_SECONDS and says "passed NAME", "failed NAME" or "skipped NAME: reason"
part_fuzz() {
    local log=build/fuzz.log status=0 result name
    start_part fuzz
    mkdir -p build
    FUZZ_SECONDS=${FUZZ_SECONDS:-60} bash scripts/fuzz.sh </dev/null 2>&1 | tee "$log" || status=$?
    while read -r result name; do
        case $result in
        passed) ran_passed=$((ran_passed + 1)) ;;
        skipped) ran_skipped=$((ran_skipped + 1)) left_out+=("fuzz: $name") ;;
        failed) ran_failed=$((ran_failed + 1)) bad+=("fuzz: $name") ;;
        esac
    done < <(grep -E '^(passed|failed|skipped) ' "$log")
    if { [ $status -ne 0 ] && [ $ran_failed -eq 0 ]; } || [ $((ran_passed + ran_failed + ran_skipped)) -eq 0 ]; then
        ran_failed=$((ran_failed + 1))
        bad+=("fuzz: scripts/fuzz.sh ended with status $status")
    fi
    end_part fuzz
}

# The interpreter for tests that compare with Python packages: a virtual environment of this checkout, made once.
# Without it these tests skip, each with its reason.
prepare_python() {
    local venv=$PWD/build/venv log=$PWD/build/venv.log reason
    if [ -n "${MANTA_PYTHON:-}" ]; then return 0; fi
    if ! cmp -s tests/scripts/requirements.txt "$venv/installed.txt" || ! "$venv/bin/python" -c '' 2>/dev/null; then
        mkdir -p build
        say "installing what tests/scripts/requirements.txt lists into build/venv, for the tests that compare with it"
        if ! { rm -rf "$venv" && python3 -m venv "$venv" &&
            "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --only-binary :all: --retries 2 \
                --timeout 20 -r tests/scripts/requirements.txt; } >"$log" 2>&1 </dev/null; then
            reason=$(grep -m 1 -iE 'error|fail|no module|unreachable' "$log" || tail -n 1 "$log")
            say "Python packages cannot be had (${reason:0:200}); tests that need them skip. More in build/venv.log"
            return 0
        fi
        # written last: an interrupted installation is done again
        cp tests/scripts/requirements.txt "$venv/installed.txt"
    fi
    export MANTA_PYTHON=$venv/bin/python
}

# Whatever ends this script, nothing that it started runs on: its processes are known by a word in their environment,
# which also finds those that made sessions of their own.
export MANTA_TEST_RUN="$$-$RANDOM-$RANDOM"
leave_nothing() {
    local environment process
    for environment in /proc/[0-9]*/environ; do
        process=${environment#/proc/}
        if grep -zqx "MANTA_TEST_RUN=$MANTA_TEST_RUN" "$environment" 2>/dev/null; then kill -KILL "${process%/environ}" 2>/dev/null; fi
    done || true
}
trap leave_nothing EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

bash scripts/setup.sh --tests
prepare_mpi
say_cuda
prepare_python
for part in "${parts[@]}"; do "part_$part"; done

heading summary
printf '%s' "$summary"
if [ ${#left_out[@]} -gt 0 ]; then printf 'skipped: %s\n' "${left_out[@]}"; fi
if [ ${#bad[@]} -gt 0 ]; then printf 'FAILED:  %s\n' "${bad[@]}"; fi
say "in $(duration $SECONDS)"
say "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
