// A job of the runtime, started by test_runtime_job under mpirun: mpi_runtime [runtime's options] MODE, or
// mpi_runtime --nodes-of N MODE: embedded in a program of its own, with at most N ranks on a "host", so that MPI is between them.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "engine/collective/collective.h"
#include "engine/collective/mpi.h"
#include "engine/runtime/job.h"
#include "tests/engine/runtime_member.h"
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
    // a group over all ranks, two members on the first
    manta_actor members[17];
    manta_ref refs[17];
    int count = ranks < 16 ? ranks + 1 : 17;
    for (int i = 0; i < count; i++) members[i] = manta_new(c, "Member", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(i % ranks)));
    manta_ref group = manta_group_create(c, members, count);
    for (int i = 0; i < count; i++) refs[i] = manta_tell(c, members[i], "join", manta_reference(group), manta_i64(i), manta_f64(60));
    NEED(manta_get_all(c, refs, count, 60, NULL));
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < count; i++) refs[i] = manta_tell(c, members[i], round % 2 ? "sum" : "others", manta_i64(round < 2 ? 100 : 50000));
        NEED(manta_get_all(c, refs, count, 60, NULL));
    }
    printf("done on %d ranks\n", ranks);
    return MANTA_OK;
}

static int die(manta_context *c) {
    if (manta_rank(c) == (int)manta_i64_of(c, 0)) kill(getpid(), SIGKILL);
    return MANTA_OK;
}

static int crash(manta_context *c) {
    (void)c;
    abort();   // the one fault that sanitizers do not report themselves
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
    if (strcmp(mode, "crash") == 0)
        return manta_get(c, manta_call_with(c, "crash", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(manta_rank_count(c) - 1))), NULL);
    if (strcmp(mode, "die") == 0) {
        int64_t who = atoll(args[1]);
        if (who == 0) kill(getpid(), SIGKILL);
        return manta_get(c, manta_call_with(c, "die", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK((int)who), .max_retries = MANTA_NONE), manta_i64(who)), NULL);
    }
    return manta_fail(c, "no mode \"%s\"", mode);
}

// as apps/ does it
static mt_status embedded(int node_ranks_max, int argc, char **argv, const manta_program *program) {
    static mt_job_options options;
    mt_option_section section = {.object = &options};
    mt_options table;
    mt_comm *world;
    mt_job *job;
    int code = MANTA_OK;
    section.table = mt_job_option_table(&section.count);
    MT_TRY(mt_mpi_init(&argc, &argv));
    MT_TRY(mt_options_init(&table, &section, 1));
    mt_options_fini(&table);
    MT_TRY(mt_comm_world(&(mt_comm_desc){.node_ranks_max = node_ranks_max}, &world));
    MT_TRY(mt_job_start(world, &options, program, argc, argv, &job));
    mt_status status = mt_job_rank(job) == 0 ? mt_job_run_driver(job, &code) : mt_job_serve(job);
    MT_KEEP(status, mt_job_stop(job));
    mt_comm_destroy(world);
    MT_TRY(mt_mpi_finalize());
    return status == MT_OK && code != MANTA_OK ? MT_ENV : status;
}

int main(int argc, char **argv) {
    manta_task tasks[MT_COUNT(test_tasks) + 2];
    memcpy(tasks, test_tasks, sizeof test_tasks);
    tasks[MT_COUNT(test_tasks)] = (manta_task){"die", die, "i64"};
    tasks[MT_COUNT(test_tasks) + 1] = (manta_task){"crash", crash, ""};
    manta_program program = test_program;
    program.tasks = tasks;
    program.task_count = MT_COUNT(tasks);
    manta_class classes[] = {test_classes[0], MEMBER_CLASS};
    program.classes = classes;
    program.class_count = MT_COUNT(classes);
    program.driver = driver;
    if (argc > 3 && strcmp(argv[1], "--nodes-of") == 0) {
        mt_status status = embedded(atoi(argv[2]), argc - 3, argv + 3, &program);
        if (status != MT_OK) fprintf(stderr, "mpi_runtime: %s\n", mt_last_error());
        if (status != MT_OK) mt_mpi_abort(1);
        return 0;
    }
    return manta_main(argc, argv, &program);
}
