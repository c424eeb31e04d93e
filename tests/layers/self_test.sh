#!/usr/bin/env bash
# Shows that check.sh sees what it is for: plants one violation at a time in a small tree and expects to be told.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

# a small tree that keeps every rule, with the traps that a careless check would fall into
plant_good_tree() {
    rm -rf "${folder:?}/tree"
    mkdir -p "$folder"/tree/{engine/base,engine/collective,engine/device,kernels/cuda,rollout,apps,tests}
    cd "$folder/tree"
    cat >engine/base/a.h <<'END'
// comments may name MPI_Allreduce, cublas and #include "apps/main.h"
/* #include "apps/main.h"
#include "apps/main.h"
*/
static const char *text = "MPI_Init failed \" MPI_"; // OMPI_COMM is no call either
#define OMPI_COMM_RANK '"'
END
    echo '#include <mpi.h>
int f(void) { return MPI_Init(0, 0) + ncclCommCount(0, 0); }' >engine/collective/mpi.c
    echo 'int f(void) { return cublasCreate(0); }' >engine/device/cuda.c
    echo 'int f(void) { return cudnnCreate(0); }' >kernels/cuda/conv.c
    echo '#include "engine/base/a.h"
#include "rollout/env.h"' >rollout/env.c
    echo '#include "rollout/env.h"' >apps/main.c
    echo '#include "apps/main.h"
int f(void) { return MPI_Init(0, 0); }' >tests/test.c
    echo 'target_link_libraries(manta_rollout PUBLIC manta_engine) # manta_apps is above' >rollout/CMakeLists.txt
}

# expect NAME PATTERN: the tree as it stands now fails with a line that matches
expect() {
    local output status=0
    output=$("$here/check.sh" "$folder/tree" 2>&1) || status=$?
    if [ "$status" -eq 1 ] && grep -Eq -- "$2" <<<"$output"; then
        echo "seen: $1"
    else
        echo "NOT SEEN: $1 (status $status, wanted a line matching: $2)"
        echo "$output"
        failed=1
    fi
}

plant_good_tree
if "$here/check.sh" "$folder/tree"; then echo "a good tree passes"; else
    echo "NOT SEEN: a good tree was refused"
    failed=1
fi

plant_good_tree
echo '  #  include "apps/main.h"' >>engine/base/a.h
expect "an upward include" '^engine/base/a\.h:7: .*upwards'

plant_good_tree
echo '#include "scheduler/config.h"' >>rollout/env.c
expect "an include one floor up" '^rollout/env\.c:3: .*upwards'

plant_good_tree
echo '#include "../engine/base/a.h"' >>rollout/env.c
expect "a relative include" '^rollout/env\.c:3: .*path from the root'

plant_good_tree
echo '#include "tests/fixture.h"' >>rollout/env.c
expect "an include from beside the house" '^rollout/env\.c:3: .*does not stand on tests/'

plant_good_tree
echo '/* why */ int g(void) { return MPI_Finalize(); }' >>rollout/env.c
expect "MPI above engine" '^rollout/env\.c:3: calls MPI'

plant_good_tree
echo '#include <mpi.h>' >>engine/base/a.h
expect "mpi.h in engine/base" '^engine/base/a\.h:7: includes <mpi\.h>'

for call in 'cublasCreate(0)' 'cudnnCreate(0)' 'ncclCommCount(0, 0)' 'NCCL_MAJOR'; do
    plant_good_tree
    echo "int g(void) { return $call; }" >>engine/collective/../base/a.h
    expect "$call in engine/base" '^engine/base/a\.h:7: names a CUDA library'
done

plant_good_tree
printf 'target_link_libraries(manta_rollout\n  PUBLIC manta_engine\n  PRIVATE manta_scheduler)\n' >>rollout/CMakeLists.txt
expect "a link line that names a floor above" '^rollout/CMakeLists\.txt:4: names manta_scheduler'

plant_good_tree
for _ in $(seq 801); do echo 'int x;'; done >apps/long.c
expect "a file above 800 lines" '^apps/long\.c:801: 801 lines'

plant_good_tree
for _ in $(seq 800); do echo 'int x;'; done >apps/long.c
if "$here/check.sh" "$folder/tree" >/dev/null; then echo "800 lines pass"; else
    echo "NOT SEEN: 800 lines were refused"
    failed=1
fi

exit $failed
