// A parameter server: workers pull the parameters, compute a gradient on data of their own and push it, each at its own pace.
//     mpirun -n 4 examples/parameter_server            asynchronous, through the server
//     mpirun -n 4 examples/parameter_server --sync     in step: the workers sum their gradients among themselves
#include "manta_runtime.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PARAMS = 10, WORKERS = 4, STEPS = 300, BATCH = 32 };
static const double rate = 0.1;

// The truth that is to be found: parameter i is (i + 1) / 10. A worker sees samples x · truth of it.
static double uniform(uint64_t *random) {   // -1 .. 1
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(int64_t)(*random >> 11) / (double)(INT64_C(1) << 52) - 1;
}

// of the mean squared error over a batch
static void gradient(const double *params, uint64_t *random, double *grad) {
    memset(grad, 0, PARAMS * sizeof *grad);
    for (int b = 0; b < BATCH; b++) {
        double x[PARAMS], error = 0;
        for (int i = 0; i < PARAMS; i++) x[i] = uniform(random), error += x[i] * (params[i] - (i + 1) / 10.0);
        for (int i = 0; i < PARAMS; i++) grad[i] += 2 * error * x[i] / BATCH;
    }
}

/* ---- asynchronous: a server, and workers that are tasks */

typedef struct server {
    double params[PARAMS];   // zero at first
} server;

static int get_params(manta_context *c) {
    server *self = manta_state(c);
    return manta_return(c, manta_vector(MANTA_TYPE_F64, PARAMS, self->params));
}

static int update_params(manta_context *c) {
    server *self = manta_state(c);
    const double *grad = manta_argument(c, 0).data;
    for (int i = 0; i < PARAMS; i++) self->params[i] -= rate * grad[i];
    return MANTA_OK;
}

// actor, i64 ->: the server, a seed
static int worker(manta_context *c) {
    manta_actor ps = manta_actor_of(c, 0);
    uint64_t random = (uint64_t)manta_i64_of(c, 1);
    for (int step = 0; step < STEPS; step++) {
        manta_ref pulled = manta_tell(c, ps, "get_params");
        manta_value params;
        double grad[PARAMS];
        int code = manta_get(c, pulled, &params);
        if (code != MANTA_OK) return code;
        gradient(params.data, &random, grad);
        manta_ref pushed = manta_tell(c, ps, "update_params", manta_vector(MANTA_TYPE_F64, PARAMS, grad));
        manta_release(c, pulled);
        manta_release(c, pushed);   // nobody waits for it
    }
    return MANTA_OK;
}

static int train_async(manta_context *c, double *out) {
    manta_actor ps = manta_new(c, "ParameterServer", NULL);
    manta_ref done[WORKERS];
    manta_value params;
    for (int i = 0; i < WORKERS; i++) done[i] = manta_call(c, "worker", manta_handle(ps), manta_i64(i));
    int code = manta_get_all(c, done, WORKERS, MANTA_FOREVER, NULL);
    if (code == MANTA_OK) code = manta_get(c, manta_tell(c, ps, "get_params"), &params);
    if (code == MANTA_OK) memcpy(out, params.data, params.bytes);
    return code;
}

/* ---- synchronous: workers that are actors and have no server */

// ref, i64 -> f64[10]: the group, which of its members this one is
static int train(manta_context *c) {
    double params[PARAMS] = {0}, grad[PARAMS], sum[PARAMS];
    int64_t member = manta_i64_of(c, 1);
    uint64_t random = (uint64_t)member;
    manta_group *group;
    int code = manta_group_join(c, manta_ref_of(c, 0), (int)member, MANTA_DEFAULT_TIMEOUT, &group);
    for (int step = 0; step < STEPS && code == MANTA_OK; step++) {
        gradient(params, &random, grad);
        code = manta_group_allreduce(c, group, grad, sum, PARAMS, MANTA_TYPE_F64, MANTA_SUM);
        for (int i = 0; i < PARAMS; i++) params[i] -= rate * sum[i];
    }
    manta_group_leave(group);
    return code == MANTA_OK ? manta_return(c, manta_vector(MANTA_TYPE_F64, PARAMS, params)) : code;
}

static int train_sync(manta_context *c, double *out) {
    manta_actor workers[WORKERS];
    manta_ref results[WORKERS];
    manta_value params[WORKERS];
    for (int i = 0; i < WORKERS; i++) workers[i] = manta_new(c, "Worker", NULL);
    manta_ref group = manta_group_create(c, workers, WORKERS);
    for (int i = 0; i < WORKERS; i++) results[i] = manta_tell(c, workers[i], "train", manta_reference(group), manta_i64(i));
    int code = manta_get_all(c, results, WORKERS, MANTA_FOREVER, params);
    for (int i = 1; i < WORKERS && code == MANTA_OK; i++)
        if (memcmp(params[i].data, params[0].data, params[0].bytes) != 0) code = manta_fail(c, "workers 0 and %d differ", i);
    if (code == MANTA_OK) memcpy(out, params[0].data, params[0].bytes);
    return code;
}

static int driver(manta_context *c) {
    int count;
    char **args = manta_program_args(c, &count);
    bool sync = count > 0 && strcmp(args[0], "--sync") == 0;
    double params[PARAMS], error = 0;
    int code = sync ? train_sync(c, params) : train_async(c, params);
    if (code != MANTA_OK) return code;
    for (int i = 0; i < PARAMS; i++) printf("%.3f%c", params[i], i + 1 < PARAMS ? ' ' : '\n');
    for (int i = 0; i < PARAMS; i++) error = fmax(error, fabs(params[i] - (i + 1) / 10.0));
    return error < 1e-3 ? MANTA_OK : manta_fail(c, "the parameters are off by %g", error);
}

static const manta_task tasks[] = {{"worker", worker, "actor, i64 ->"}};
static const manta_method server_methods[] = {
    {"get_params", get_params, "-> f64[10]"}, {"update_params", update_params, "f64[10] ->"}};
static const manta_method worker_methods[] = {{"train", train, "ref, i64 -> f64[10]"}};
static const manta_class classes[] = {
    {.name = "ParameterServer", .state_bytes = sizeof(server), .methods = server_methods, .method_count = 2},
    {.name = "Worker", .methods = worker_methods, .method_count = 1},
};

int main(int argc, char **argv) {
    return manta_main(argc, argv, &(manta_program){.tasks = tasks, .task_count = 1, .classes = classes, .class_count = 2, .driver = driver});
}
