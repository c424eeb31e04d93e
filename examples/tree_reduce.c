// A tree of tasks: vectors are made wherever there is room and added in pairs until one is left. The driver writes the whole tree
// down at once; each addition starts when both of its sides are there, and only the last sum is waited for.
//     mpirun -n 4 examples/tree_reduce [LEAVES]
#include "manta_runtime.h"

#include <stdio.h>
#include <stdlib.h>

enum { LENGTH = 100000 };   // 800 kB: these lie in the memory that the ranks of a node share, and are not copied

// i64 -> f64[n]: all elements are the leaf's number
static int leaf(manta_context *c) {
    int64_t shape[] = {LENGTH};
    double *x = manta_result(c, 0, MANTA_TYPE_F64, 1, shape);
    if (!x) return manta_error(c).code;
    for (int i = 0; i < LENGTH; i++) x[i] = (double)manta_i64_of(c, 0);
    return MANTA_OK;
}

// f64[n], f64[n] -> f64[n]
static int add(manta_context *c) {
    manta_value a = manta_argument(c, 0), b = manta_argument(c, 1);
    double *sum = manta_result(c, 0, MANTA_TYPE_F64, 1, a.shape);
    if (!sum) return manta_error(c).code;
    for (int64_t i = 0; i < a.shape[0]; i++) sum[i] = ((const double *)a.data)[i] + ((const double *)b.data)[i];
    return MANTA_OK;
}

static int driver(manta_context *c) {
    int count;
    char **args = manta_program_args(c, &count);
    int leaves = count > 0 ? atoi(args[0]) : 64;
    if (leaves < 1 || leaves > 4096) return manta_fail(c, "usage: tree_reduce [LEAVES], 1 to 4096");
    manta_ref level[4096];
    for (int i = 0; i < leaves; i++) level[i] = manta_call(c, "leaf", manta_i64(i + 1));
    for (int n = leaves; n > 1; n = (n + 1) / 2)
        for (int i = 0; i < n; i += 2) {
            manta_ref left = level[i];
            if (i + 1 < n) {
                left = manta_call(c, "add", manta_from(level[i]), manta_from(level[i + 1]));
                manta_release(c, level[i]);   // the addition holds them; their memory is free after it
                manta_release(c, level[i + 1]);
            }
            level[i / 2] = left;
        }
    manta_value sum;
    int code = manta_get(c, level[0], &sum);
    if (code != MANTA_OK) return code;
    double wanted = 0.5 * leaves * (leaves + 1.0);
    for (int64_t i = 0; i < sum.shape[0]; i++)
        if (((const double *)sum.data)[i] != wanted)
            return manta_fail(c, "element %lld is %g, not %g", (long long)i, ((const double *)sum.data)[i], wanted);
    printf("1 + 2 + ... + %d = %g, %d times\n", leaves, wanted, LENGTH);
    return MANTA_OK;
}

static const manta_task tasks[] = {{"leaf", leaf, "i64 -> f64[n]"}, {"add", add, "f64[n], f64[n] -> f64[n]"}};

int main(int argc, char **argv) {
    return manta_main(argc, argv, &(manta_program){.tasks = tasks, .task_count = 2, .driver = driver});
}
