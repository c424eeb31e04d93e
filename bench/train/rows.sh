# shellcheck shell=bash
# Rows of benchmarks that are shell: the table and the CSV of bench/bench.h. Sourced by bench/run.sh and bench/train/run.sh.

# numbers read and written with a point, whatever the user's language
export LC_ALL=C

# rows_open NAME CSV: CSV may be empty
rows_open() {
    rows_name=$1 rows_csv=$2
    if [ -n "$rows_csv" ] && [ ! -s "$rows_csv" ]; then
        echo "bench,row,value,unit,reference,reference_value,ratio" >"$rows_csv"
    fi
    printf '%s\n%-56s %12s %-10s %8s  %s\n' "$1" "" value unit ratio to
}

# row NAME VALUE UNIT [REFERENCE REFERENCE_VALUE [seconds]]: the ratio is value / reference; of seconds the other way round,
# so that more than 1 is always manta's lead. Where the reference was not measured, its name says so and the CSV has no line
row() {
    awk -v bench="$rows_name" -v name="$1" -v value="$2" -v unit="$3" -v ref="${4:-}" -v at="${5:-}" -v less="${6:-}" \
        -v csv="$rows_csv" 'BEGIN {
        if (value == "" || ref == "" || at == "" || at + 0 <= 0 || value + 0 <= 0) {
            note = ref == "" ? "" : sprintf("%8s  %s (not measured)", "", ref)
            if (value == "") printf "%-56s %12s %-10s%s\n", name, "none", unit, note
            else printf "%-56s %12.5g %-10s%s\n", name, value, unit, note
            if (csv != "" && value != "" && ref == "") printf "%s,\"%s\",%.6g,%s,,,\n", bench, name, value, unit >>csv
            exit
        }
        ratio = less != "" ? at / value : value / at
        printf "%-56s %12.5g %-10s %8.4g  %s (%.5g)\n", name, value, unit, ratio, ref, at
        if (csv != "") printf "%s,\"%s\",%.6g,%s,\"%s\",%.6g,%.4g\n", bench, name, value, unit, ref, at, ratio >>csv
    }'
}

# the middle of numbers on standard input, one a line; empty when there are none. Of an even number: the upper one, as bench.h
median() { sort -g | awk 'NF { x[n++] = $1 } END { if (n) print x[int(n / 2)] }'; }

# json_number FIELD: of one flat JSON object on standard input; empty when it is null or not there
json_number() { tr ',{}' '\n' | sed -n "s/^ *\"$1\": *\(-\{0,1\}[0-9][-+.0-9eE]*\) *$/\1/p" | head -n 1; }
