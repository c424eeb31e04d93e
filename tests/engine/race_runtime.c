// Races in the runtime's threads: several ranks in one process under ThreadSanitizer. Everything at once: contexts that wait, calls
// that pass by, executors that poll, the background thread, large objects, cancelling, the end while things run.
#include "tests/engine/runtime_local.h"
#include "tests/engine/runtime_member.h"
#include "tests/engine/runtime_program.h"

#define NEED(expr)                                                                                                     \
    do {                                                                                                               \
        int code_ = (expr);                                                                                            \
        if (code_ != MANTA_OK) {                                                                                       \
            fprintf(stderr, "race_runtime: %s: %s: %s\n", #expr, manta_code_name(code_), manta_error(c).message);      \
            return code_;                                                                                              \
        }                                                                                                              \
    } while (0)

static int mixture(manta_context *c) {
    enum { N = 240 };
    static manta_ref refs[N];
    manta_actor a[6];
    int64_t x;
    double sum;
    bool ready[N];
    for (int i = 0; i < 6; i++)
        a[i] = manta_new(c, "Counter", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(i % manta_rank_count(c)), .max_concurrency = 1 + i % 2), manta_i64(0));
    for (int i = 0; i < N; i++) {
        switch (i % 6) {
        case 0: refs[i] = manta_tell(c, a[i / 6 % 6], "add", manta_i64(1)); break;
        case 1: refs[i] = manta_call(c, "fib", manta_i64(5)); break;
        case 2: refs[i] = manta_call(c, "use_actor", manta_handle(a[i / 6 % 6]), manta_i64(1)); break;
        case 3: refs[i] = manta_call(c, "total", manta_from(manta_call(c, "ramp", manta_i64(3000)))); break;
        case 4: refs[i] = manta_call(c, "sum_refs", manta_from(manta_call(c, "give_refs"))); break;
        default: refs[i] = manta_call(c, "nap", manta_f64(0.002));
        }
        if (i % 40 == 39) NEED(manta_get_f64(c, refs[i], &sum));
        if (i % 48 == 17) manta_cancel(c, refs[i]);
    }
    NEED(manta_wait(c, refs, N, N / 2, 60, ready));
    NEED(manta_wait(c, refs, N, N, 60, ready));
    for (int i = 0; i < 300; i++) {   // ping-pong: token, hints, bells
        manta_ref r = manta_tell(c, a[i % 6], "add", manta_i64(1));
        NEED(manta_get_i64(c, r, &x));
        manta_release(c, r);
    }
    for (int i = 0; i < 6; i++) manta_tell(c, a[i], "hold");
    manta_kill(c, a[0]);
    for (int i = 0; i < 6; i++) manta_call(c, "hold");
    return MANTA_OK;
}

static int grouped(manta_context *c) {
    enum { MEMBERS = 4 };
    manta_actor a[MEMBERS];
    manta_ref refs[MEMBERS];
    for (int i = 0; i < MEMBERS; i++) a[i] = manta_new(c, "Member", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(i % manta_rank_count(c))));
    manta_ref group = manta_group_create(c, a, MEMBERS);
    for (int i = 0; i < MEMBERS; i++) refs[i] = manta_tell(c, a[i], "join", manta_reference(group), manta_i64(i), manta_f64(60));
    NEED(manta_get_all(c, refs, MEMBERS, 60, NULL));
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < MEMBERS; i++) refs[i] = manta_tell(c, a[i], round % 2 ? "sum" : "others", manta_i64(round < 4 ? 100 : 40000));
        NEED(manta_get_all(c, refs, MEMBERS, 60, NULL));
    }
    for (int i = 0; i < MEMBERS; i++) refs[i] = manta_tell(c, a[i], "leave");
    return manta_get_all(c, refs, MEMBERS, 60, NULL);
}

static int both(manta_context *c) {
    NEED(grouped(c));
    return mixture(c);
}

static int run(int size, int hosts, int64_t spin_ns) {
    static cluster k;
    manta_program program = test_program;
    manta_class classes[] = {test_classes[0], MEMBER_CLASS};
    program.classes = classes;
    program.class_count = 2;
    cluster_start(&k, &program, &(cluster_options){.size = size, .hosts = hosts, .spin_ns = spin_ns, .timeout = 100, .end_seconds = 60, .cores = spin_ns > 0 ? 2 : 0});
    int code = cluster_run(&k, both, 0);
    for (int r = 0; r < size; r++)
        if (k.status[r] != MT_OK) fprintf(stderr, "race_runtime: rank %d: %s\n", r, k.message[r]), code = 1;
    cluster_stop(&k);
    return code;
}

int main(void) {
    int failed = 0;
    for (int i = 0; i < 3; i++) failed |= run(1, 1, 0) | run(2, 1, 0) | run(2, 2, 20000) | run(3, 2, -1);
    return failed ? 1 : 0;
}
