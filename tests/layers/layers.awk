# The rules of the house that a compiler does not check. Called by check.sh with the root as working directory and file
# names relative to it; prints one line per violation: FILE:LINE: what, and what to do. POSIX awk.
#
#   include   a floor includes its own headers and those of the floors below it, by their path from the root
#   vendor    MPI_ only in engine/collective and engine/runtime; cublas, cudnn, nccl only in engine/device,
#             engine/collective and kernels/cuda (comments and strings may say anything)
#   link      a floor's CMakeLists.txt names no floor above it
#   length    no file above 800 lines

BEGIN {
    floor_count = split("engine kernels replay policies rollout scheduler apps", floors, " ")
    for (i = 1; i <= floor_count; i++) rank[floors[i]] = i
    split("tests bench examples fuzz python docs scripts", names, " ")
    for (i in names) outside[names[i]] = 1
    violations = 0
}

function violation(line, text) {
    printf "%s:%d: %s\n", FILENAME, line, text
    violations++
}

function in_folder(folder) { return index(FILENAME, folder "/") == 1 }

# the line without comments, strings and character constants; in_comment lives across lines
function code_of(line,    out, at, two, quote) {
    out = ""
    while (line != "") {
        if (in_comment) {
            at = index(line, "*/")
            if (!at) return out
            line = substr(line, at + 2)
            in_comment = 0
            continue
        }
        if (!match(line, /\/\*|\/\/|"|'/)) return out line
        out = out substr(line, 1, RSTART - 1)
        two = substr(line, RSTART, RLENGTH)
        line = substr(line, RSTART + RLENGTH)
        if (two == "//") return out
        if (two == "/*") { in_comment = 1; continue }
        # a string: up to the same quote that no backslash protects
        quote = two
        while (line != "") {
            two = substr(line, 1, 1)
            if (two == "\\") { line = substr(line, 3); continue }
            line = substr(line, 2)
            if (two == quote) break
        }
        out = out " "
    }
    return out
}

function check_include(line,    path, first) {
    path = line
    sub(/^[ \t]*#[ \t]*include[ \t]*/, "", path)
    if (path ~ /^<mpi\.h>/ && !mpi_allowed)
        violation(FNR, "includes <mpi.h>: MPI lives in engine/collective and engine/runtime; use their functions")
    if (path !~ /^"/) return
    path = substr(path, 2)
    sub(/".*/, "", path)
    first = path
    sub(/\/.*/, "", first)
    if (path ~ /(^|\/)\.\.\//)
        violation(FNR, "includes \"" path "\": name the header by its path from the root")
    else if (path ~ /\// && (first in outside))
        violation(FNR, "includes \"" path "\": a floor does not stand on " first "/")
    else if (path ~ /\// && (first in rank) && rank[first] > here)
        violation(FNR, "includes \"" path "\" upwards: " floors[here] "/ is floor " here ", " first "/ is floor " \
            rank[first] "; hand the data down, or move the code up")
}

function finish_file() {
    if (last_name != "" && last_line > 800)
        printf "%s:%d: %d lines; split it by noun (600 is long, 800 the limit)\n", last_name, last_line, last_line
    if (last_name != "" && last_line > 800) violations++
}

FNR == 1 {
    finish_file()
    last_name = FILENAME
    first = FILENAME
    here = 0
    if (sub(/\/.*/, "", first) && (first in rank)) here = rank[first]
    in_comment = 0
    is_c = FILENAME ~ /\.(c|h|cc|cpp|hpp|cu|cuh|inc)$/
    is_cmake = FILENAME ~ /(CMakeLists\.txt|\.cmake)$/
    mpi_allowed = in_folder("engine/collective") || in_folder("engine/runtime")
    cuda_allowed = in_folder("engine/device") || in_folder("engine/collective") || in_folder("kernels/cuda")
}

{ last_line = FNR }

here && is_c {
    if (!in_comment && $0 ~ /^[ \t]*#[ \t]*include/) check_include($0)
    code = code_of($0)
    if (!mpi_allowed && code ~ /(^|[^A-Za-z0-9_])P?MPI_[A-Za-z]/)
        violation(FNR, "calls MPI: MPI lives in engine/collective and engine/runtime; use their functions")
    if (!cuda_allowed && tolower(code) ~ /(^|[^a-z0-9_])(cublas|cudnn|nccl)[a-z0-9_]*/)
        violation(FNR, "names a CUDA library: these live in engine/device, engine/collective and kernels/cuda")
}

here && is_cmake {
    code = $0
    sub(/#.*/, "", code)
    for (i = here + 1; i <= floor_count; i++)
        if (code ~ ("manta(_|::)" floors[i] "([^A-Za-z0-9_]|_|$)"))
            violation(FNR, "names manta_" floors[i] ": the link line of floor " here " (" floors[here] \
                "/) stands on the floors below it only")
}

END {
    finish_file()
    exit violations ? 1 : 0
}
