// An actor: a counter lives on one rank, keeps its value between the calls, and has a GPU to itself.
//     mpirun -n 4 examples/counter          where there is a GPU
//     mpirun -n 4 examples/counter --cpu    anywhere
#include "manta_runtime.h"

#include <stdio.h>
#include <string.h>

typedef struct counter_state {
    int64_t value; // zero before the first call
} counter_state;

// -> i64
static int inc(manta_context *c) {
    counter_state *self = manta_state(c);
    return manta_return(c, manta_i64(++self->value));
}

static int driver(manta_context *c) {
    int count;
    char **args = manta_program_args(c, &count);
    bool cpu = count > 0 && strcmp(args[0], "--cpu") == 0;
    manta_actor counter = manta_new(c, "Counter", &(manta_options){.num_gpus = cpu ? 0 : 1});   // returns at once
    manta_ref calls[2] = {manta_tell(c, counter, "inc"), manta_tell(c, counter, "inc")};        // run one after the other
    manta_value values[2];
    int code = manta_get_all(c, calls, 2, MANTA_DEFAULT_TIMEOUT, values);
    if (code == MANTA_INFEASIBLE) fprintf(stderr, "No GPU here? Try: counter --cpu\n");
    if (code != MANTA_OK) return code;
    int64_t first = *(const int64_t *)values[0].data, second = *(const int64_t *)values[1].data;
    printf("%lld %lld\n", (long long)first, (long long)second);
    return first == 1 && second == 2 ? MANTA_OK : manta_fail(c, "the calls did not run in order");
}

static const manta_method methods[] = {{"inc", inc, "-> i64"}};
static const manta_class classes[] = {
    {.name = "Counter", .state_bytes = sizeof(counter_state), .methods = methods, .method_count = 1}};

int main(int argc, char **argv) {
    return manta_main(argc, argv, &(manta_program){.classes = classes, .class_count = 1, .driver = driver});
}
