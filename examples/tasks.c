// Tasks: two files of numbers are read on whatever ranks are free, added on a third, and nobody waits before the end.
//     mpirun -n 4 examples/tasks a.txt b.txt
#include "manta_runtime.h"

#include <stdio.h>
#include <stdlib.h>

// text -> f64[n]: the numbers in a file
static int read_array(manta_context *c) {
    FILE *file = fopen(manta_text_of(c, 0), "r");
    if (!file) return manta_fail(c, "cannot open %s", manta_text_of(c, 0));
    double numbers[1000];
    int64_t n = 0;
    while (n < 1000 && fscanf(file, "%lf", &numbers[n]) == 1) n++;
    fclose(file);
    return manta_return(c, manta_vector(MANTA_TYPE_F64, n, numbers));
}

// f64[n], f64[n] -> f64[n]: written in place into the object that it becomes
static int add(manta_context *c) {
    manta_value a = manta_argument(c, 0), b = manta_argument(c, 1);
    double *sum = manta_result(c, 0, MANTA_TYPE_F64, 1, a.shape);
    for (int64_t i = 0; sum && i < a.shape[0]; i++) sum[i] = ((const double *)a.data)[i] + ((const double *)b.data)[i];
    return sum ? MANTA_OK : manta_error(c).code;
}

static int driver(manta_context *c) {
    int count;
    char **files = manta_program_args(c, &count);
    if (count != 2) return manta_fail(c, "usage: tasks FILE FILE");
    manta_ref a = manta_call(c, "read_array", manta_text(files[0]));   // returns at once
    manta_ref b = manta_call(c, "read_array", manta_text(files[1]));
    manta_ref sum = manta_call(c, "add", manta_from(a), manta_from(b));
    manta_value value;
    int code = manta_get(c, sum, &value);                              // waits
    for (int64_t i = 0; code == MANTA_OK && i < value.shape[0]; i++) printf("%g\n", ((const double *)value.data)[i]);
    return code;
}

static const manta_task tasks[] = {{"read_array", read_array, "text -> f64[n]"}, {"add", add, "f64[n], f64[n] -> f64[n]"}};

int main(int argc, char **argv) {
    return manta_main(argc, argv, &(manta_program){.tasks = tasks, .task_count = 2, .driver = driver});
}
