// The runtime as its user sees it: manta_runtime.h over several ranks in one process.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include "tests/engine/runtime_local.h"
#include "tests/engine/runtime_program.h"

#define OK(expr)                                                                                                       \
    do {                                                                                                               \
        int code_ = (expr);                                                                                            \
        cr_assert_eq(code_, MANTA_OK, "%s: %s: %s", #expr, manta_code_name(code_), manta_error(c).message);            \
    } while (0)

#define FAILS(expr, wanted, words)                                                                                     \
    do {                                                                                                               \
        int code_ = (expr);                                                                                            \
        cr_assert_eq(code_, MANTA_##wanted, "%s: %s (%s), not " #wanted, #expr, manta_code_name(code_), manta_error(c).message); \
        cr_assert(strstr(manta_error(c).message, words), "%s: \"%s\" does not say \"%s\"", #expr, manta_error(c).message, words); \
    } while (0)

static int64_t number(manta_context *c, manta_ref ref) {
    int64_t x = 0;
    OK(manta_get_i64(c, ref, &x));
    return x;
}

static void run(manta_function *driver, cluster_options options) {
    static cluster k;
    atomic_store(&gate, 0);
    atomic_store(&bodies_begun, 0);
    cluster_start(&k, &test_program, &options);
    int code = cluster_run(&k, driver, 1);
    cr_assert_eq(code, MANTA_OK, "%s: %s", manta_code_name(code), k.message[0]);
    for (int r = 0; r < k.size; r++) cr_assert_eq(k.status[r], MT_OK, "rank %d ended with: %s", r, k.message[r]);
    cluster_stop(&k);
}

static void on_1_2_4(manta_function *driver) {
    for (int size = 1; size <= 4; size *= 2) run(driver, (cluster_options){.size = size, .hosts = size > 2 ? 2 : 1});
}

// ---- tasks

static int threadless(manta_context *c) {
    size_t before;
    cr_assert_eq(pthread_attr_getstacksize(&c->node->thread_attributes, &before), 0);
    cr_assert_eq(pthread_attr_setstacksize(&c->node->thread_attributes, (size_t)1 << 50), 0);
    manta_ref sum = manta_call(c, "add", manta_i64(1), manta_i64(2));
    FAILS(manta_get_within(c, sum, 0.2, NULL), DEADLINE, "");
    cr_assert_eq(pthread_attr_setstacksize(&c->node->thread_attributes, before), 0);
    cr_assert_eq(number(c, sum), 3);
    return MANTA_OK;
}
Test(runtime, a_thread_that_the_system_refused_is_tried_again) { run(threadless, (cluster_options){.size = 1, .timeout = 10}); }

static int calls(manta_context *c) {
    manta_ref three = manta_call(c, "add", manta_i64(1), manta_i64(2));
    manta_ref ten = manta_call(c, "add", manta_from(three), manta_i64(7));
    cr_assert_eq(number(c, ten), 10);
    manta_ref refs[200];
    for (int i = 0; i < 200; i++) refs[i] = manta_call(c, "add", manta_i64(i), manta_from(i ? refs[i - 1] : ten));
    cr_assert_eq(number(c, refs[199]), 10 + 199 * 200 / 2);
    manta_ref out[3];
    manta_submit(c, "split", NULL, MANTA_ARGS(manta_i64(5)), out);
    double half;
    manta_value text;
    cr_assert_eq(number(c, out[0]), 5);
    OK(manta_get_f64(c, out[1], &half));
    OK(manta_get(c, out[2], &text));
    cr_assert_eq(half, 0.5);
    cr_assert_str_eq(text.data, "three");
    cr_assert_eq(text.bytes, 5);
    cr_assert_eq(number(c, manta_call(c, "count_more", manta_i64(1), manta_text("x"), manta_f64(2))), 3);
    atomic_store(&gate, 1);
    OK(manta_get(c, manta_call(c, "hold"), NULL));   // no results: says when it is done
    for (int r = 0; r < manta_rank_count(c); r++)
        cr_assert_eq(number(c, manta_call_with(c, "where", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(r)))), r);
    return MANTA_OK;
}
Test(runtime, calls) { on_1_2_4(calls); }

static int nested(manta_context *c) {
    cr_assert_eq(number(c, manta_call(c, "fib", manta_i64(9))), 34);
    return MANTA_OK;
}
Test(runtime, nested_tasks) {
    on_1_2_4(nested);
    run(nested, (cluster_options){.cpus = 1});   // all of them wait for each other's CPU
}

static int objects_in_values(manta_context *c) {
    manta_value v;
    manta_ref refs = manta_call(c, "give_refs");
    OK(manta_get(c, refs, &v));
    cr_assert_eq(v.shape[0], 3);
    cr_assert_eq(number(c, ((const manta_ref *)v.data)[2]), 20);
    cr_assert_eq(number(c, manta_call(c, "sum_refs", manta_from(refs))), 30);
    cr_assert_eq(number(c, manta_call(c, "sum_refs", manta_references(v.data, 2))), 10);
    enum { MANY = 600 };   // more than fit into a message
    static manta_ref many[MANY];
    for (int i = 0; i < MANY; i++) many[i] = manta_put(c, manta_i64(1));
    for (int r = 0; r < manta_rank_count(c); r++)
        cr_assert_eq(number(c, manta_call_with(c, "sum_refs", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(r)), manta_references(many, MANY))), MANY);
    for (int i = 0; i < MANY; i++) manta_release(c, many[i]);
    manta_actor made;
    OK(manta_get_actor(c, manta_call(c, "make_counter"), &made));
    cr_assert_eq(number(c, manta_tell(c, made, "add", manta_i64(1))), 1001);
    cr_assert_eq(number(c, manta_call(c, "use_actor", manta_handle(made), manta_i64(5))), 1006);
    return MANTA_OK;
}
Test(runtime, references_travel_in_values) { on_1_2_4(objects_in_values); }

static int waiting(manta_context *c) {
    manta_ref refs[20];
    bool ready[20];
    for (int i = 0; i < 20; i++) refs[i] = i % 4 ? manta_call(c, "add", manta_i64(i), manta_i64(0)) : manta_call_with(c, "hold", MANTA_OPTIONS(.num_cpus = MANTA_NO_CPU));
    OK(manta_wait(c, refs, 20, 15, 20, ready));
    for (int i = 0; i < 20; i++) cr_assert_eq(ready[i], i % 4 != 0, "%d", i);
    FAILS(manta_wait(c, refs, 20, 16, 0.03, ready), DEADLINE, "1 of 16");
    cr_assert(ready[1] && !ready[0]);
    FAILS(manta_get_within(c, refs[0], 0, NULL), DEADLINE, "not ready");
    int64_t begin = mt_clock_ns();
    FAILS(manta_get_within(c, refs[0], 0.05, NULL), DEADLINE, "not ready");
    cr_assert_geq(mt_clock_ns() - begin, 50 * MT_MILLISECOND_NS);
    cr_assert_lt(mt_clock_ns() - begin, 2 * MT_SECOND_NS);
    atomic_store(&gate, 1);
    OK(manta_get_all(c, refs, 20, MANTA_DEFAULT_TIMEOUT, NULL));
    OK(manta_wait(c, refs, 20, 20, 0, ready));
    OK(manta_wait(c, refs, 0, 0, 0, ready));
    FAILS(manta_wait(c, refs, 3, 4, 0, ready), INVALID, "4 of 3");
    FAILS(manta_get(c, (manta_ref){0}, NULL), INVALID, "empty");
    return MANTA_OK;
}
Test(runtime, waits_for_k_of_n_and_no_longer_than_told) { on_1_2_4(waiting); }

static int cancelling(manta_context *c) {
    manta_options alone = {.num_cpus = 4};
    manta_ref running = manta_call_with(c, "nap", &alone, manta_f64(60));
    while (!atomic_load(&bodies_begun)) mt_sleep_ns(MT_MILLISECOND_NS);
    manta_ref queued = manta_call_with(c, "nap", &alone, manta_f64(60)), behind = manta_call(c, "nap", manta_from(queued));
    OK(manta_cancel(c, queued));
    FAILS(manta_get(c, queued, NULL), CANCELLED, "cancel");
    FAILS(manta_get(c, behind, NULL), CANCELLED, "argument 0");
    OK(manta_cancel(c, running));
    FAILS(manta_get(c, running, NULL), CANCELLED, "nap");
    FAILS(manta_cancel(c, manta_put(c, manta_i64(1))), NOT_FOUND, "cannot be cancelled");
    return MANTA_OK;
}
Test(runtime, cancels_what_is_queued_and_tells_what_runs) { run(cancelling, (cluster_options){.size = 1}); }

// ---- failures

static int failures(manta_context *c) {
    FAILS(manta_get(c, manta_call(c, "fail", manta_text("dice")), NULL), TASK_FAILED, "fail: no luck with dice");
    FAILS(manta_get(c, manta_call(c, "odd_code"), NULL), TASK_FAILED, "77");
    FAILS(manta_get(c, manta_call(c, "forgetful"), NULL), TASK_FAILED, "result 0");
    FAILS(manta_get(c, manta_call(c, "wrong_result"), NULL), INVALID, "wrong_result: result 0");
    FAILS(manta_get(c, manta_call(c, "ad", manta_i64(1)), NULL), NOT_FOUND, "did you mean \"add\"");
    FAILS(manta_get(c, manta_call(c, "add", manta_i64(1)), NULL), INVALID, "add");
    FAILS(manta_get(c, manta_call(c, "add", manta_i64(1), manta_f64(2)), NULL), INVALID, "argument 1 is f64");
    // what cannot be seen before is seen where it runs
    FAILS(manta_get(c, manta_call(c, "add", manta_i64(1), manta_from(manta_put(c, manta_text("x")))), NULL), INVALID, "argument 1 is text");
    cr_assert(strstr(manta_error(c).message, "on rank"));
    FAILS(manta_get(c, manta_call(c, "add", manta_i64(1), manta_from(manta_call(c, "fail", manta_text("y")))), NULL), TASK_FAILED, "no luck with y");
    FAILS(manta_get(c, manta_call_with(c, "where", MANTA_OPTIONS(.num_cpus = 1000)), NULL), INFEASIBLE, "CPU");
    FAILS(manta_get(c, manta_call_with(c, "where", MANTA_OPTIONS(.num_gpus = 1)), NULL), INFEASIBLE, "GPU");
    FAILS(manta_get(c, manta_call_with(c, "where", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(99))), NULL), INFEASIBLE, "rank 99");
    manta_resource tpu = {"tpu", 1};
    FAILS(manta_get(c, manta_call_with(c, "where", MANTA_OPTIONS(.resources = &tpu, .resource_count = 1)), NULL), INFEASIBLE, "tpu");
    FAILS(manta_get(c, manta_call_with(c, "where", MANTA_OPTIONS(.num_cpus = -7)), NULL), INVALID, "-7");
    int64_t too_much = INT64_C(1) << 40;
    cr_assert_null(manta_put_begin(c, MANTA_TYPE_U8, 1, &too_much));
    cr_assert_eq(manta_error(c).code, MANTA_NO_MEMORY);
    FAILS(manta_get(c, manta_call(c, "ramp", manta_i64(too_much)), NULL), NO_MEMORY, "ramp");
    cr_assert_eq(manta_find_actor(c, "nobody").ref.serial, 0);
    cr_assert_eq(manta_error(c).code, MANTA_NOT_FOUND);
    int64_t x;
    FAILS(manta_get_i64(c, manta_put(c, manta_text("seven")), &x), INVALID, "text");
    FAILS(manta_get(c, manta_put(c, manta_vector(MANTA_TYPE_F32, -1, NULL)), NULL), INVALID, "put");
    // actors
    FAILS(manta_get(c, manta_new(c, "Countr", NULL).ref, NULL), NOT_FOUND, "did you mean \"Counter\"");
    manta_actor bad = manta_new(c, "Counter", NULL, manta_i64(-1));
    FAILS(manta_get(c, bad.ref, NULL), TASK_FAILED, "cannot count from -1");
    FAILS(manta_get(c, manta_tell(c, bad, "add", manta_i64(1)), NULL), TASK_FAILED, "cannot count");
    FAILS(manta_get(c, manta_tell(c, manta_new(c, "Countr", NULL), "add", manta_i64(1)), NULL), NOT_FOUND, "Countr");
    FAILS(manta_get(c, manta_tell(c, (manta_actor){0}, "add", manta_i64(1)), NULL), INVALID, "no actor");
    manta_actor a = manta_new(c, "Counter", MANTA_OPTIONS(.name = "one"), manta_i64(1));
    FAILS(manta_get(c, manta_tell(c, a, "ad", manta_i64(1)), NULL), NOT_FOUND, "did you mean \"add\"");
    FAILS(manta_get(c, manta_tell(c, a, "fail"), NULL), TASK_FAILED, "Counter.fail: this method fails");
    cr_assert_eq(number(c, manta_tell(c, a, "add", manta_i64(1))), 2);
    FAILS(manta_get(c, manta_new(c, "Counter", MANTA_OPTIONS(.name = "one"), manta_i64(1)).ref, NULL), EXISTS, "one");
    manta_ref held = manta_tell(c, a, "hold");
    manta_kill(c, a);
    FAILS(manta_get(c, held, NULL), ACTOR_DIED, "");
    FAILS(manta_get(c, manta_tell(c, a, "add", manta_i64(1)), NULL), ACTOR_DIED, "");
    atomic_store(&gate, 1);
    return MANTA_OK;
}
Test(runtime, failures_have_codes_and_say_what_where_and_what_to_do) { on_1_2_4(failures); }

// ---- actors

static int ordered(manta_context *c) {
    enum { N = 3000 };
    for (int r = 0; r < manta_rank_count(c); r++) {
        manta_actor a = manta_new(c, "Counter", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(r)), manta_i64(0));
        manta_ref last = {0};
        for (int i = 1; i <= N; i++) {
            manta_release(c, last);
            last = manta_tell(c, a, "order", manta_i64(i));
        }
        cr_assert_eq(number(c, last), 0, "calls came out of order");
        cr_assert_eq(number(c, manta_tell(c, a, "where")), r);
        manta_actor self;
        OK(manta_get_actor(c, manta_tell(c, a, "self"), &self));
        cr_assert_eq(self.ref.serial, a.ref.serial);
    }
    return MANTA_OK;
}
Test(runtime, an_actors_calls_keep_their_order) { on_1_2_4(ordered); }

// The driver's call waits for a task on its own rank that calls the same actor: the task's call is another caller's, and goes.
static int overtaking(manta_context *c) {
    manta_actor a = manta_new(c, "Counter", NULL, manta_i64(0));
    manta_options here = {.on_rank = MANTA_ON_RANK(0), .num_cpus = MANTA_NO_CPU};
    atomic_store(&gate, 0);
    manta_ref later = manta_call_with(c, "give_later", &here, manta_i64(5));
    manta_ref used = manta_call_with(c, "use_actor", &here, manta_handle(a), manta_from(later));
    manta_ref waits = manta_tell(c, a, "add", manta_from(used)), behind = manta_tell(c, a, "add", manta_i64(100));
    atomic_store(&gate, 1);
    cr_assert_eq(number(c, used), 5);
    cr_assert_eq(number(c, waits), 10);
    cr_assert_eq(number(c, behind), 110, "the driver's own calls keep their order");
    return MANTA_OK;
}
Test(runtime, a_call_that_waits_holds_back_its_own_callers_only) { on_1_2_4(overtaking); }

static int ending(manta_context *c) {
    atomic_store(&destroyed, 0);
    manta_actor a = manta_new(c, "Counter", NULL, manta_i64(0));
    manta_ref slow[3];
    for (int i = 0; i < 3; i++) slow[i] = manta_tell(c, a, "slow");
    manta_release(c, a.ref);   // ends when its calls are done
    OK(manta_get_all(c, slow, 3, 20, NULL));
    for (int i = 0; i < 2000 && !atomic_load(&destroyed); i++) mt_sleep_ns(MT_MILLISECOND_NS);
    cr_assert_eq(atomic_load(&destroyed), 1);
    cr_assert_eq(atomic_load(&destroyed_early), 0);
    manta_actor bare = manta_new(c, "Bare", NULL);
    OK(manta_get(c, bare.ref, NULL));
    return MANTA_OK;
}
Test(runtime, an_actor_ends_after_its_last_call_when_nobody_holds_it) { on_1_2_4(ending); }

static int names(manta_context *c) {
    int last = manta_rank_count(c) - 1;
    manta_actor a = manta_new(c, "Counter", MANTA_OPTIONS(.name = "board", .on_rank = MANTA_ON_RANK(last)), manta_i64(0));
    OK(manta_get(c, a.ref, NULL));
    for (int r = 0; r <= last; r++)
        cr_assert_eq(number(c, manta_call_with(c, "find_and_use", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(r)), manta_text("board"))), r + 1);
    return MANTA_OK;
}
Test(runtime, a_named_actor_is_found_from_every_rank) { on_1_2_4(names); }

static int concurrent(manta_context *c) {
    for (int at_once = 1; at_once <= 4; at_once += 3) {
        manta_ref refs[8];
        atomic_store(&running_most, 0);
        manta_actor a = manta_new(c, "Counter", MANTA_OPTIONS(.max_concurrency = at_once), manta_i64(0));
        for (int i = 0; i < 8; i++) refs[i] = manta_tell(c, a, "slow");
        OK(manta_get_all(c, refs, 8, 20, NULL));
        cr_assert_leq(atomic_load(&running_most), at_once);
        if (at_once > 1) cr_assert_gt(atomic_load(&running_most), 1);
    }
    return MANTA_OK;
}
Test(runtime, as_many_methods_at_a_time_as_allowed) { on_1_2_4(concurrent); }

// After many short methods a class is taken for a short one, and its calls share a thread; when they are long for once, whether
// they sleep or wait for somebody else's result, each gets its own all the same.
static int long_for_once(manta_context *c) {
    enum { AT_ONCE = 40 };
    for (int waits = 0; waits < 2; waits++) {
        manta_ref refs[AT_ONCE];
        manta_actor a = manta_new(c, "Counter", MANTA_OPTIONS(.max_concurrency = AT_ONCE), manta_i64(0));
        for (int i = 0; i < AT_ONCE; i++) refs[i] = manta_tell(c, a, "add", manta_i64(1));
        OK(manta_get_all(c, refs, AT_ONCE, 20, NULL));
        atomic_store(&gate, 0);
        manta_ref held = manta_call_with(c, "hold", MANTA_OPTIONS(.num_cpus = MANTA_NO_CPU));
        while (atomic_load(&bodies_begun) == 0) mt_sleep_ns(MT_MILLISECOND_NS);
        atomic_store(&bodies_begun, 0);
        for (int i = 0; i < AT_ONCE; i++) refs[i] = waits ? manta_tell(c, a, "wait_for", manta_reference(held)) : manta_tell(c, a, "hold");
        for (int i = 0; i < 5000 && atomic_load(&bodies_begun) < AT_ONCE; i++) mt_sleep_ns(MT_MILLISECOND_NS);
        cr_assert_eq(atomic_load(&bodies_begun), AT_ONCE, "%d of %d had begun", atomic_load(&bodies_begun), AT_ONCE);
        atomic_store(&gate, 1);
        OK(manta_get_all(c, refs, AT_ONCE, 20, NULL));
        OK(manta_get(c, held, NULL));
        atomic_store(&bodies_begun, 0);
    }
    return MANTA_OK;
}
Test(runtime, short_methods_share_a_thread_and_long_ones_do_not) { on_1_2_4(long_for_once); }

static int limited(manta_context *c) {
    manta_actor a = manta_new(c, "Counter", MANTA_OPTIONS(.max_pending_calls = 3), manta_i64(0));
    OK(manta_get(c, a.ref, NULL));
    manta_ref refs[5];
    for (int i = 0; i < 5; i++) refs[i] = manta_tell(c, a, "hold");
    FAILS(manta_get(c, refs[3], NULL), FULL, "");
    FAILS(manta_get(c, refs[4], NULL), FULL, "");
    atomic_store(&gate, 1);
    OK(manta_get_all(c, refs, 3, 20, NULL));
    cr_assert_eq(number(c, manta_tell(c, a, "add", manta_i64(3))), 3);
    return MANTA_OK;
}
Test(runtime, pending_calls_have_a_limit) { on_1_2_4(limited); }

// Callers on other ranks, while there is no actor yet: all CPUs of its rank are taken until they have made their calls.
static int limited_early(manta_context *c) {
    int last = manta_rank_count(c) - 1;
    manta_ref takes = manta_call_with(c, "hold", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(0), .num_cpus = 4));
    while (!atomic_load(&bodies_begun)) mt_sleep_ns(MT_MILLISECOND_NS);
    manta_actor a = manta_new(c, "Counter", MANTA_OPTIONS(.max_pending_calls = 3, .on_rank = MANTA_ON_RANK(0)), manta_i64(0));
    int64_t accepted = number(c, manta_call_with(c, "flood", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(last)), manta_handle(a)));
    cr_assert_eq(accepted, 3, "%d calls were accepted", (int)accepted);
    return manta_get(c, takes, NULL);
}
Test(runtime, pending_calls_have_a_limit_before_the_actor_is_there) {
    for (int size = 2; size <= 4; size += 2) run(limited_early, (cluster_options){.size = size, .hosts = size / 2});
}

static int detached(manta_context *c) {
    atomic_store(&destroyed, 0);
    manta_actor a = manta_new(c, "Counter", MANTA_OPTIONS(.name = "forever", .detached = true), manta_i64(0));
    OK(manta_get(c, a.ref, NULL));
    manta_release(c, a.ref);
    mt_sleep_ns(50 * MT_MILLISECOND_NS);
    cr_assert_eq(atomic_load(&destroyed), 0);
    a = manta_find_actor(c, "forever");
    cr_assert_eq(number(c, manta_tell(c, a, "add", manta_i64(1))), 1);
    return MANTA_OK;
}
Test(runtime, a_detached_actor_lives_to_the_end_and_is_destroyed_then) {
    for (int size = 1; size <= 4; size *= 2) {
        static cluster k;
        cluster_start(&k, &test_program, &(cluster_options){.size = size});
        cr_assert_eq(cluster_run(&k, detached, 0), MANTA_OK, "%s", k.message[0]);
        cr_assert_eq(atomic_load(&destroyed), 1);
        cluster_stop(&k);
    }
}
