// The program of the runtime's tests: tasks and classes that show what the runtime did with them.
#ifndef MANTA_TESTS_ENGINE_RUNTIME_PROGRAM_H
#define MANTA_TESTS_ENGINE_RUNTIME_PROGRAM_H

#include <stdatomic.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/option.h"
#include "engine/runtime/manta_runtime.h"

static atomic_int running_now, running_most, destroyed, destroyed_early, bodies_begun;
static atomic_int gate;   // bodies of "hold" wait for it
static atomic_int last_wait;   // code of a get that "wait_for" was in

static void note_running(int by) {
    int now = atomic_fetch_add(&running_now, by) + by, most = atomic_load(&running_most);
    while (now > most && !atomic_compare_exchange_weak(&running_most, &most, now)) {
    }
}

// ---- tasks

static int add(manta_context *c) { return manta_return(c, manta_i64(manta_i64_of(c, 0) + manta_i64_of(c, 1))); }

static int fib(manta_context *c) {
    int64_t n = manta_i64_of(c, 0), a, b;
    if (n < 2) return manta_return(c, manta_i64(n));
    manta_ref left = manta_call(c, "fib", manta_i64(n - 1)), right = manta_call(c, "fib", manta_i64(n - 2));
    int code = manta_get_i64(c, left, &a);
    if (code == MANTA_OK) code = manta_get_i64(c, right, &b);
    return code == MANTA_OK ? manta_return(c, manta_i64(a + b)) : code;
}

static int nap(manta_context *c) {
    atomic_fetch_add(&bodies_begun, 1);
    int64_t until = mt_deadline_after((int64_t)(manta_f64_of(c, 0) * 1e9));
    while (!mt_deadline_passed(until) && !manta_cancelled(c)) mt_sleep_ns(MT_MILLISECOND_NS);
    return manta_cancelled(c) ? MANTA_CANCELLED : manta_return(c, manta_f64(manta_f64_of(c, 0)));
}

static int hold(manta_context *c) {
    atomic_fetch_add(&bodies_begun, 1);
    while (!atomic_load(&gate) && !manta_cancelled(c)) mt_sleep_ns(MT_MILLISECOND_NS);
    return manta_cancelled(c) ? MANTA_CANCELLED : MANTA_OK;
}

static int deaf(manta_context *c) {   // does not look whether it was cancelled
    (void)c;
    atomic_fetch_add(&bodies_begun, 1);
    while (!atomic_load(&gate)) mt_sleep_ns(MT_MILLISECOND_NS);
    return MANTA_OK;
}

static int wait_for(manta_context *c) {   // "ref": in a get until the end
    atomic_fetch_add(&bodies_begun, 1);
    int code = manta_get_within(c, manta_ref_of(c, 0), MANTA_FOREVER, NULL);
    atomic_store(&last_wait, code);
    return code;
}

static int give_later(manta_context *c) {   // "i64 -> i64": when the gate opens
    int code = hold(c);
    return code == MANTA_OK ? manta_return(c, manta_i64(manta_i64_of(c, 0))) : code;
}

static int look_twice(manta_context *c) {   // "ref -> i64": the value of a reference that is only borrowed stays
    manta_value v;
    int code = manta_get(c, manta_ref_of(c, 0), &v);
    if (code != MANTA_OK) return code;
    int64_t before = *(const int64_t *)v.data, sum = 0, x;
    for (int i = 0; i < 50; i++) {   // others come and go meanwhile
        manta_ref ref = manta_call(c, "add", manta_i64(i), manta_i64(before));
        if ((code = manta_get_i64(c, ref, &x)) != MANTA_OK) return code;
        manta_release(c, ref);
        sum += x;
    }
    return *(const int64_t *)v.data == before ? manta_return(c, manta_i64(before)) : manta_fail(c, "the value changed");
}

static int fail(manta_context *c) { return manta_fail(c, "no luck with %s", manta_text_of(c, 0)); }
static int odd_code(manta_context *c) { return (void)c, 77; }
static int forgetful(manta_context *c) { return (void)c, MANTA_OK; }
static int wrong_result(manta_context *c) { return manta_return(c, manta_text("three")); }
static int where(manta_context *c) { return manta_return(c, manta_i64(manta_rank(c))); }

static int split(manta_context *c) {   // "i64 -> i64, f64, text"
    manta_return_at(c, 2, manta_text("three"));
    manta_return_at(c, 0, manta_i64(manta_i64_of(c, 0)));
    return manta_return_at(c, 1, manta_f64(0.5));
}

static int ramp(manta_context *c) {   // a large result, written in place
    int64_t n = manta_i64_of(c, 0);
    float *x = manta_result(c, 0, MANTA_TYPE_F32, 1, &n);
    if (!x) return manta_error(c).code;
    for (int64_t i = 0; i < n; i++) x[i] = (float)(i & 1023);
    return MANTA_OK;
}

static int total(manta_context *c) {
    manta_value v = manta_argument(c, 0);
    double sum = 0;
    for (int64_t i = 0; i < v.shape[0]; i++) sum += ((const float *)v.data)[i];
    return manta_return(c, manta_f64(sum));
}

static int address(manta_context *c) { return manta_return(c, manta_i64((int64_t)(intptr_t)manta_argument(c, 0).data)); }

static int count_more(manta_context *c) { return manta_return(c, manta_i64(manta_argument_count(c))); }

static int give_refs(manta_context *c) {   // references made here, handed to the caller
    manta_ref refs[3];
    for (int i = 0; i < 3; i++) refs[i] = manta_put(c, manta_i64(10 * i));
    return manta_return(c, manta_references(refs, 3));
}

static int sum_refs(manta_context *c) {   // "ref[n] -> i64"
    manta_value refs = manta_argument(c, 0);
    int64_t sum = 0, x;
    for (int64_t i = 0; i < refs.shape[0]; i++) {
        int code = manta_get_i64(c, ((const manta_ref *)refs.data)[i], &x);
        if (code != MANTA_OK) return code;
        sum += x;
    }
    return manta_return(c, manta_i64(sum));
}

static int use_actor(manta_context *c) {   // "actor, i64 -> i64"
    int64_t x;
    int code = manta_get_i64(c, manta_tell(c, manta_actor_of(c, 0), "add", manta_from(manta_put(c, manta_i64(manta_i64_of(c, 1))))), &x);
    return code == MANTA_OK ? manta_return(c, manta_i64(x)) : code;
}

static int find_and_use(manta_context *c) {   // "text -> i64"
    int64_t x;
    manta_actor a = manta_find_actor(c, manta_text_of(c, 0));
    if (!a.ref.serial) return manta_error(c).code;
    int code = manta_get_i64(c, manta_tell(c, a, "add", manta_i64(1)), &x);
    return code == MANTA_OK ? manta_return(c, manta_i64(x)) : code;
}

static int make_counter(manta_context *c) {   // "-> actor"
    return manta_return(c, manta_handle(manta_new(c, "Counter", NULL, manta_i64(1000))));
}

static int gpu_of(manta_context *c) { return manta_return(c, manta_i64(manta_gpu_count(c) ? manta_gpu(c, 0) : -1)); }

// ---- a class

typedef struct counter {
    int64_t n;
    int in_method;
    uint64_t last;
    int disorder;
} counter;

static int counter_create(manta_context *c) {
    counter *s = manta_state(c);
    s->n = manta_i64_of(c, 0);
    return s->n == -1 ? manta_fail(c, "cannot count from -1") : MANTA_OK;
}

static void counter_destroy(void *state) {
    counter *s = state;
    if (__atomic_load_n(&s->in_method, __ATOMIC_SEQ_CST)) atomic_fetch_add(&destroyed_early, 1);
    atomic_fetch_add(&destroyed, 1);
}

static int counter_add(manta_context *c) {
    counter *s = manta_state(c);   // several methods at a time where the actor allows it
    return manta_return(c, manta_i64(__atomic_add_fetch(&s->n, manta_i64_of(c, 0), __ATOMIC_RELAXED)));
}

static int counter_order(manta_context *c) {   // calls come in the order in which they were made
    counter *s = manta_state(c);
    uint64_t number = (uint64_t)manta_i64_of(c, 0);
    if (number != s->last + 1) s->disorder++;
    s->last = number;
    return manta_return(c, manta_i64(s->disorder));
}

static int counter_slow(manta_context *c) {
    counter *s = manta_state(c);
    __atomic_fetch_add(&s->in_method, 1, __ATOMIC_SEQ_CST);
    note_running(1);
    mt_sleep_ns(20 * MT_MILLISECOND_NS);
    note_running(-1);
    __atomic_fetch_sub(&s->in_method, 1, __ATOMIC_SEQ_CST);
    return manta_return(c, manta_i64(1));
}

static int counter_hold(manta_context *c) { return hold(c); }
static int counter_where(manta_context *c) { return where(c); }
static int counter_self(manta_context *c) { return manta_return(c, manta_handle(manta_self(c))); }
static int counter_fail(manta_context *c) { return manta_fail(c, "this method fails"); }

static int flood(manta_context *c) {   // "actor -> i64": how many of the first calls are accepted when 50 are made at once; opens the gate
    manta_ref refs[50];
    int64_t accepted = 0;
    for (int i = 0; i < 50; i++) refs[i] = manta_tell(c, manta_actor_of(c, 0), "add", manta_i64(1));
    atomic_store(&gate, 1);
    while (accepted < 50 && manta_get(c, refs[accepted], NULL) == MANTA_OK) accepted++;
    for (int i = (int)accepted; i < 50; i++)
        if (manta_get(c, refs[i], NULL) != MANTA_FULL) return manta_fail(c, "call %d of 50 is not refused for being too many: %s", i, manta_error(c).message);
    return manta_return(c, manta_i64(accepted));
}

static const manta_task test_tasks[] = {
    {"flood", flood, "actor -> i64"},
    {"add", add, "i64, i64 -> i64"},
    {"fib", fib, "i64 -> i64"},
    {"nap", nap, "f64 -> f64"},
    {"hold", hold, ""},
    {"deaf", deaf, ""},
    {"wait_for", wait_for, "ref"},
    {"give_later", give_later, "i64 -> i64"},
    {"look_twice", look_twice, "ref -> i64"},
    {"fail", fail, "text -> i64"},
    {"odd_code", odd_code, ""},
    {"forgetful", forgetful, "-> i64"},
    {"wrong_result", wrong_result, "-> i64"},
    {"where", where, "-> i64"},
    {"split", split, "i64 -> i64, f64, text"},
    {"ramp", ramp, "i64 -> f32[n]"},
    {"total", total, "f32[n] -> f64"},
    {"address", address, "any -> i64"},
    {"count_more", count_more, "i64, ... -> i64"},
    {"give_refs", give_refs, "-> ref[3]"},
    {"sum_refs", sum_refs, "ref[n] -> i64"},
    {"use_actor", use_actor, "actor, i64 -> i64"},
    {"find_and_use", find_and_use, "text -> i64"},
    {"make_counter", make_counter, "-> actor"},
    {"gpu_of", gpu_of, "-> i64"},
};

static const manta_method counter_methods[] = {
    {"add", counter_add, "i64 -> i64"},
    {"order", counter_order, "i64 -> i64"},
    {"slow", counter_slow, "-> i64"},
    {"hold", counter_hold, ""},
    {"wait_for", wait_for, "ref"},
    {"where", counter_where, "-> i64"},
    {"self", counter_self, "-> actor"},
    {"fail", counter_fail, "-> i64"},
};

static const manta_class test_classes[] = {
    {.name = "Counter", .state_bytes = sizeof(counter), .create = counter_create, .create_signature = "i64",
        .destroy = counter_destroy, .methods = counter_methods, .method_count = MT_COUNT(counter_methods)},
    {.name = "Bare"},
};

static const manta_program test_program = {
    .tasks = test_tasks, .task_count = MT_COUNT(test_tasks), .classes = test_classes, .class_count = MT_COUNT(test_classes)};

#endif
