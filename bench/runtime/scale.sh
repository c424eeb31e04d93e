#!/usr/bin/env bash
# How scheduling scales, in the simulator: 10 to 10,000 virtual ranks in one thread, a driver on one rank or on every rank, tasks
# of a fixed virtual time. Writes bench/results/simulator/scale.csv (tasks a second, scheduling delay, messages, memory) and
# scale-instructions.csv, and draws docs/img/runtime-scale.svg from the latter: instructions per task, counted by valgrind,
# for all that the ranks, the network and the event queue do. That is what stays level when a task's cost does not grow with the
# number of ranks; processor time does grow here, because ten thousand ranks share one core's caches.
#
#   bench/runtime/scale.sh [--build build] [--csv FILE] [--svg FILE]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

build=build csv=bench/results/simulator/scale.csv svg=docs/img/runtime-scale.svg
while [ $# -gt 0 ]; do
    case $1 in
    --build | --csv | --svg)
        [ $# -ge 2 ] || die "$1 needs a value"
        case $1 in
        --build) build=$2 ;;
        --csv) csv=$2 ;;
        --svg) svg=$2 ;;
        esac
        shift
        ;;
    -h | --help)
        usage
        ;;
    *) die "unknown argument $1 (--help lists them)" ;;
    esac
    shift
done
simulator=$build/tests/simulator/manta_sim
[ -x "$simulator" ] || die "$simulator is not there: cmake --build $build --target manta_sim"
mkdir -p "$(dirname "$csv")"

# the median of five runs, row by row, by the rate
for round in 1 2 3 4 5; do "$simulator" --scale | sed "s/^/$round,/"; done | awk -F, '
    $2 == "ranks" { if (!head) head = substr($0, length($1) + 2); next }
    { key = $2 "," $3; if (!(key in count)) order[++keys] = key; n = ++count[key]; rate[key, n] = $5; line[key, n] = substr($0, length($1) + 2) }
    END {
        print "# for round in 1 2 3 4 5; do manta_sim --scale; done; of each row the run with the median tasks_per_cpu_second (column 4)"
        print head
        for (k = 1; k <= keys; k++) {
            key = order[k]; n = count[key]
            for (i = 1; i <= n; i++) {
                below = 0
                for (j = 1; j <= n; j++) below += rate[key, j] < rate[key, i] || (rate[key, j] == rate[key, i] && j < i)
                if (below == int(n / 2)) print line[key, i]
            }
        }
    }' >"$csv"

# instructions per task, both kinds of submitting together
command -v valgrind >/dev/null || die "valgrind is not there to count instructions (Debian: valgrind); $csv is written"
instructions=${csv%.csv}-instructions.csv
{
    echo "# valgrind --tool=callgrind manta_sim --scale --ranks RANKS"
    echo "ranks,tasks,instructions_per_task"
    for ranks in 10 100 1000 10000; do
        counted=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$simulator" --scale --ranks "$ranks" 2>&1 >/dev/null |
            sed -n 's/.*Collected : *//p')
        awk -F, -v ranks="$ranks" -v counted="$counted" '$1 == ranks { tasks += $3 }
            END { printf "%d,%d,%.0f\n", ranks, tasks, counted / tasks }' "$csv"
    done
} >"$instructions"

awk -F, '
    function x(ranks) { return 70 + 400 * (log(ranks) / log(10) - 1) / 3 }
    function y(n) { return 250 - 200 * n / 10000 }
    function text(px, py, words, anchor) { printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", px, py, anchor, words }
    /^#/ || $1 == "ranks" { next }
    { path = path sprintf("%s%.1f %.1f ", path == "" ? "M" : "L", x($1), y($3))
      dots = dots sprintf("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%d</text>", x($1), y($3), x($1), y($3) - 9, $3) }
    END {
        print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 520 310\" font-family=\"sans-serif\" font-size=\"12\">"
        print "<rect width=\"520\" height=\"310\" fill=\"#fff\"/>"
        text(270, 22, "Instructions per task: both ranks, the network and the event queue", "middle")
        for (n = 0; n <= 10000; n += 2000) {
            printf "<path d=\"M70 %.1fH470\" stroke=\"#ddd\"/>\n", y(n)
            text(62, y(n) + 4, n, "end")
        }
        for (r = 10; r <= 10000; r *= 10) text(x(r), 272, r, "middle")
        text(270, 294, "virtual ranks", "middle")
        printf "<g fill=\"#1f5fa8\"><path d=\"%s\" fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"2\"/>%s</g>\n", path, dots
        print "</svg>"
    }' "$instructions" >"$svg"
say "wrote $csv, $instructions and $svg"
column -s, -t <(grep -v '^#' "$csv") | cut -c1-150
cat "$instructions"
