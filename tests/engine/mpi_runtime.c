// A job of the runtime, started by test_runtime_job under mpirun: mpi_runtime [runtime's options] MODE.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "tests/engine/runtime_program.h"

#define NEED(expr)                                                                                                     \
    do {                                                                                                               \
        int code_ = (expr);                                                                                            \
        if (code_ != MANTA_OK) {                                                                                       \
            fprintf(stderr, "mpi_runtime: %s: %s: %s\n", #expr, manta_code_name(code_), manta_error(c).message);       \
            return code_;                                                                                              \
        }                                                                                                              \
    } while (0)

#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) return manta_fail(c, "line %d: %s", __LINE__, #condition);                                   \
    } while (0)

static int work(manta_context *c) {
    int ranks = manta_rank_count(c);
    int64_t x;
    double sum;
    manta_value v;
    NEED(manta_get_i64(c, manta_call(c, "fib", manta_i64(8)), &x));
    EXPECT(x == 21);
    for (int r = 0; r < ranks; r++) {
        NEED(manta_get_i64(c, manta_call_with(c, "where", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(r))), &x));
        EXPECT(x == r);
        manta_actor a = manta_new(c, "Counter", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(r)), manta_i64(0));
        manta_ref last = {0};
        for (int i = 1; i <= 1000; i++) {
            manta_release(c, last);
            last = manta_tell(c, a, "order", manta_i64(i));
        }
        NEED(manta_get_i64(c, last, &x));
        EXPECT(x == 0);
        // large there and back
        manta_ref made = manta_call_with(c, "ramp", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(r)), manta_i64(1 << 20));
        NEED(manta_get(c, made, &v));
        EXPECT(v.shape[0] == 1 << 20 && ((const float *)v.data)[1025] == 1);
        NEED(manta_get_f64(c, manta_call_with(c, "total", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK((r + 1) % ranks)), manta_from(made)), &sum));
        EXPECT(sum == 1024.0 * 1023 / 2 * 1024);
        manta_release(c, made);
    }
    manta_actor named = manta_new(c, "Counter", MANTA_OPTIONS(.name = "board", .detached = true), manta_i64(0));
    NEED(manta_get(c, named.ref, NULL));
    for (int r = 0; r < ranks; r++) {
        NEED(manta_get_i64(c, manta_call_with(c, "find_and_use", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(r)), manta_text("board")), &x));
        EXPECT(x == r + 1);
    }
    EXPECT(manta_cluster_total(c, "CPU") >= ranks);
    printf("done on %d ranks\n", ranks);
    return MANTA_OK;
}

static int die(manta_context *c) {
    if (manta_rank(c) == (int)manta_i64_of(c, 0)) kill(getpid(), SIGKILL);
    return MANTA_OK;
}

static int driver(manta_context *c) {
    int count;
    char **args = manta_program_args(c, &count);
    const char *mode = count ? args[0] : "";
    if (strcmp(mode, "work") == 0) return work(c);
    if (strcmp(mode, "fail") == 0) return manta_get(c, manta_call(c, "fail", manta_text("it")), NULL);
    if (strcmp(mode, "code") == 0) return MANTA_INFEASIBLE;
    if (strcmp(mode, "resources") == 0) {
        printf("cpu %g tpu %g memory %g\n", manta_cluster_total(c, "cpu"), manta_cluster_total(c, "tpu"), manta_cluster_total(c, "memory"));
        return count == 2 && strcmp(args[1], "--mine") == 0 ? MANTA_OK : MANTA_INVALID;
    }
    if (strcmp(mode, "deaf") == 0) {
        manta_call_with(c, "deaf", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(manta_rank_count(c) - 1)));
        mt_sleep_ns(100 * MT_MILLISECOND_NS);
        return MANTA_OK;
    }
    if (strcmp(mode, "die") == 0) {
        int64_t who = atoll(args[1]);
        if (who == 0) kill(getpid(), SIGKILL);
        return manta_get(c, manta_call_with(c, "die", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK((int)who), .max_retries = MANTA_NONE), manta_i64(who)), NULL);
    }
    return manta_fail(c, "no mode \"%s\"", mode);
}

int main(int argc, char **argv) {
    manta_task tasks[MT_COUNT(test_tasks) + 1];
    memcpy(tasks, test_tasks, sizeof test_tasks);
    tasks[MT_COUNT(test_tasks)] = (manta_task){"die", die, "i64"};
    manta_program program = test_program;
    program.tasks = tasks;
    program.task_count = MT_COUNT(tasks);
    program.driver = driver;
    return manta_main(argc, argv, &program);
}
