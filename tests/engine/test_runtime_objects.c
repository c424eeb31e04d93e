// Objects, resources, placement, the end of the job: manta_runtime.h over several ranks in one process.
#include <criterion/criterion.h>
#include <unistd.h>
#include "engine/base/file.h"
#include "tests/engine/runtime_local.h"
#include "tests/engine/runtime_program.h"

#define OK(expr)                                                                                                       \
    do {                                                                                                               \
        int code_ = (expr);                                                                                            \
        cr_assert_eq(code_, MANTA_OK, "%s: %s: %s", #expr, manta_code_name(code_), manta_error(c).message);            \
    } while (0)

static int64_t number(manta_context *c, manta_ref ref) {
    int64_t x = 0;
    OK(manta_get_i64(c, ref, &x));
    return x;
}

static cluster k;

static void run_and_check(manta_function *driver, cluster_options options, int check) {
    atomic_store(&gate, 0);
    atomic_store(&bodies_begun, 0);
    cluster_start(&k, &test_program, &options);
    int code = cluster_run(&k, driver, check);
    cr_assert_eq(code, MANTA_OK, "%s: %s", manta_code_name(code), k.message[0]);
    for (int r = 0; r < k.size; r++) cr_assert_eq(k.status[r], MT_OK, "rank %d ended with: %s", r, k.message[r]);
    cluster_stop(&k);
}

// ---- large objects

static int in_place(manta_context *c) {
    int64_t n = 1 << 20;
    float *to = manta_put_begin(c, MANTA_TYPE_F32, 1, &n);
    cr_assert_not_null(to);
    for (int64_t i = 0; i < n; i++) to[i] = 1;
    manta_ref ref = manta_put_seal(c);
    manta_value a, b;
    OK(manta_get(c, ref, &a));
    OK(manta_get(c, ref, &b));
    cr_assert_eq((const void *)to, a.data, "a copy was made");
    cr_assert_eq(a.data, b.data);
    cr_assert_eq(a.bytes, (size_t)n * 4);
    // every rank of this host sees the same bytes; in one process even at the same address
    for (int r = 0; r < manta_rank_count(c); r++) {
        if (manta_rank_node(c, r) != manta_node(c)) continue;
        cr_assert_eq(number(c, manta_call_with(c, "address", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(r)), manta_from(ref))), (int64_t)(intptr_t)a.data);
    }
    for (int r = 0; r < manta_rank_count(c); r++) {
        double sum;
        OK(manta_get_f64(c, manta_call_with(c, "total", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(r)), manta_from(ref)), &sum));
        cr_assert_eq(sum, (double)n);
        // and back: results stay where they were made until they are read
        manta_ref made = manta_call_with(c, "ramp", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(r)), manta_i64(100000));
        OK(manta_get(c, made, &b));
        cr_assert_eq(b.shape[0], 100000);
        cr_assert_eq(((const float *)b.data)[1500], 1500 & 1023);
    }
    // large arguments and texts
    static char text[10001];
    memset(text, 'x', 10000);
    manta_ref long_text = manta_put(c, manta_text(text));
    OK(manta_get(c, long_text, &a));
    cr_assert_eq(a.bytes, 10000);
    cr_assert_eq(strlen(a.data), 10000);
    static float numbers[5000];
    for (int i = 0; i < 5000; i++) numbers[i] = 2;
    double sum;
    OK(manta_get_f64(c, manta_call(c, "total", manta_vector(MANTA_TYPE_F32, 5000, numbers)), &sum));
    cr_assert_eq(sum, 10000);
    // small ones in place
    n = 3;
    int64_t *few = manta_put_begin(c, MANTA_TYPE_I64, 1, &n);
    few[0] = 1, few[1] = 2, few[2] = 3;
    cr_assert_null(manta_put_begin(c, MANTA_TYPE_I64, 1, &n), "one at a time");
    OK(manta_get(c, manta_put_seal(c), &a));
    cr_assert_eq(((const int64_t *)a.data)[2], 3);
    cr_assert_eq((uintptr_t)a.data % 16, 0);
    // begun and never sealed: goes with the context
    n = 1 << 20;
    cr_assert_not_null(manta_put_begin(c, MANTA_TYPE_U8, 1, &n));
    return MANTA_OK;
}
Test(runtime_objects, large_ones_are_seen_where_they_lie) {
    for (int size = 1; size <= 4; size *= 2) run_and_check(in_place, (cluster_options){.size = size, .hosts = size > 2 ? 2 : 1}, 1);
}

static int released(manta_context *c) {
    for (int i = 0; i < 300; i++) {   // 300 x 4 MiB through 64 MiB
        int64_t n = 1 << 20;
        float *x = manta_put_begin(c, MANTA_TYPE_F32, 1, &n);
        cr_assert_not_null(x, "%s", manta_error(c).message);
        x[0] = (float)i;
        manta_ref ref = manta_put_seal(c);
        manta_release(c, ref);
    }
    return MANTA_OK;
}
Test(runtime_objects, memory_comes_back_with_the_last_reference) {
    run_and_check(released, (cluster_options){.heap_bytes = UINT64_C(64) << 20}, 1);
}

static int spilled(manta_context *c) {
    enum { N = 40 };
    manta_ref refs[N];
    for (int i = 0; i < N; i++) {   // 160 MiB into 64 MiB
        int64_t n = 1 << 20;
        float *x = manta_put_begin(c, MANTA_TYPE_F32, 1, &n);
        cr_assert_not_null(x, "object %d: %s", i, manta_error(c).message);
        for (int64_t j = 0; j < n; j += 1000) x[j] = (float)(i + j);
        refs[i] = manta_put_seal(c);
    }
    for (int i = 0; i < N; i++) {
        manta_value v;
        OK(manta_get(c, refs[i], &v));
        for (int64_t j = 0; j < 1 << 20; j += 1000) cr_assert_eq(((const float *)v.data)[j], (float)(i + j));
        manta_release(c, refs[i]);
    }
    return MANTA_OK;
}
Test(runtime_objects, what_does_not_fit_goes_to_disk_and_comes_back) {
    run_and_check(spilled, (cluster_options){.heap_bytes = UINT64_C(64) << 20, .spill = 1}, 1);
}

static int no_disk(manta_context *c) {
    static const char big[2 << 20];
    // the disk's thread cannot be started: nobody has this much for a stack
    cr_assert_eq(pthread_attr_setstacksize(&c->node->thread_attributes, (size_t)1 << 50), 0);
    int64_t begin_ns = mt_clock_ns();
    int code = MANTA_OK;
    manta_ref refs[12], last = {0};
    int count = 0;
    while (count < 12 && code == MANTA_OK) code = manta_get(c, last = refs[count++] = manta_put(c, manta_bytes(big, sizeof big)), NULL);
    cr_assert_eq(code, MANTA_NO_MEMORY, "%s", manta_error(c).message);
    cr_assert_lt(mt_clock_ns() - begin_ns, 5 * MT_SECOND_NS, "waited for a disk that there is not");
    for (int i = 0; i < count; i++) manta_release(c, refs[i]);
    OK(manta_get(c, manta_put(c, manta_bytes(big, sizeof big)), NULL));
    return MANTA_OK;
}
Test(runtime_objects, without_a_thread_for_the_disk_memory_is_full_and_nothing_hangs) {
    run_and_check(no_disk, (cluster_options){.heap_bytes = UINT64_C(16) << 20, .spill = 1}, 1);
}

// ---- resources

static int resources(manta_context *c) {
    cr_assert_eq(manta_cluster_total(c, "CPU"), 4.0 * manta_rank_count(c));
    cr_assert_eq(manta_cluster_total(c, "gpu"), 2.0 * manta_rank_count(c));
    cr_assert_eq(manta_cluster_total(c, "tpu"), 2);
    cr_assert_eq(manta_cluster_total(c, "xyz"), 0);
    manta_resource tpu = {"tpu", 1};
    int last = manta_rank_count(c) - 1;
    for (int i = 0; i < 10; i++)
        cr_assert_eq(number(c, manta_call_with(c, "where", MANTA_OPTIONS(.resources = &tpu, .resource_count = 1))), last);
    for (int r = 0; r <= last; r++) {
        int64_t gpu = number(c, manta_call_with(c, "gpu_of", MANTA_OPTIONS(.num_gpus = 0.5, .on_rank = MANTA_ON_RANK(r))));
        cr_assert(gpu == 10 * r || gpu == 10 * r + 1, "rank %d got device %d", r, (int)gpu);
    }
    cr_assert_eq(number(c, manta_call(c, "gpu_of")), -1);
    // above one, devices are whole
    int64_t x;
    OK(manta_get_i64(c, manta_call_with(c, "gpu_of", MANTA_OPTIONS(.num_gpus = 2)), &x));
    cr_assert_eq(manta_get_i64(c, manta_call_with(c, "gpu_of", MANTA_OPTIONS(.num_gpus = 1.5)), &x), MANTA_INVALID);
    cr_assert(strstr(manta_error(c).message, "ask for 2"), "%s", manta_error(c).message);
    manta_resource gpu = {"gpu", 0.75};
    cr_assert_eq(manta_get_i64(c, manta_call_with(c, "gpu_of", MANTA_OPTIONS(.num_gpus = 1, .resources = &gpu, .resource_count = 1)), &x), MANTA_INVALID);
    manta_placement *p = manta_placement_create(c, &(manta_bundle){.num_gpus = 1.5}, 1, MANTA_PACK);
    cr_assert_eq(manta_placement_wait(c, p, 10), MANTA_INVALID);
    manta_placement_remove(c, p);
    return MANTA_OK;
}
Test(runtime_objects, calls_go_where_their_resources_are) {
    for (int size = 1; size <= 4; size *= 2) run_and_check(resources, (cluster_options){.size = size, .gpus = 2, .custom = "tpu"}, 1);
}

static int placed(manta_context *c) {
    manta_bundle bundles[2] = {{.num_cpus = 2}, {.num_cpus = 1}};
    manta_placement *p = manta_placement_create(c, bundles, 2, MANTA_SPREAD);
    OK(manta_placement_wait(c, p, 10));
    for (int b = 0; b < 2; b++) {
        int rank = manta_placement_rank(p, b);
        cr_assert(rank >= 0 && rank < manta_rank_count(c));
        cr_assert_eq(number(c, manta_call_with(c, "where", MANTA_OPTIONS(.placement = p, .bundle = b))), rank);
    }
    manta_actor a = manta_new(c, "Counter", MANTA_OPTIONS(.placement = p, .bundle = 1), manta_i64(0));
    cr_assert_eq(number(c, manta_tell(c, a, "where")), manta_placement_rank(p, 1));
    manta_kill(c, a);
    int64_t x;
    cr_assert_eq(manta_get_i64(c, manta_call_with(c, "where", MANTA_OPTIONS(.placement = p, .bundle = 7)), &x), MANTA_INVALID);
    manta_placement_remove(c, p);
    bundles[0].num_cpus = 5;   // no rank has so many
    p = manta_placement_create(c, bundles, 2, MANTA_PACK);
    cr_assert_eq(manta_placement_wait(c, p, 10), MANTA_INFEASIBLE, "%s", manta_error(c).message);
    cr_assert_eq(manta_placement_rank(p, 0), -1);
    manta_placement_remove(c, p);
    manta_placement_remove(c, NULL);
    p = manta_placement_create(c, bundles, 0, MANTA_PACK);
    cr_assert_eq(manta_placement_wait(c, p, 10), MANTA_INVALID);
    manta_placement_remove(c, p);
    return MANTA_OK;
}
Test(runtime_objects, bundles_are_placed_together) {
    for (int size = 1; size <= 4; size *= 2) run_and_check(placed, (cluster_options){.size = size, .hosts = size}, 1);
}

// ---- a rank dies

static int bereaved(manta_context *c) {
    manta_options there = {.on_rank = MANTA_ON_RANK(2), .num_cpus = 1}, anywhere = {.num_cpus = 1};
    manta_actor a = manta_new(c, "Counter", &there, manta_i64(5));
    manta_actor moves = manta_new(c, "Counter", MANTA_OPTIONS(.max_restarts = 1, .max_task_retries = 1), manta_i64(7));
    cr_assert_eq(number(c, manta_tell(c, a, "add", manta_i64(1))), 6);
    OK(manta_get(c, moves.ref, NULL));
    there.max_retries = MANTA_NONE;
    manta_ref large = manta_call_with(c, "ramp", &there, manta_i64(100000)), small = manta_call_with(c, "where", &there);
    bool ready[2];
    OK(manta_wait(c, (manta_ref[]){large, small}, 2, 2, 20, ready));
    cluster_kill(&k);
    manta_value v;
    cr_assert_eq(manta_get(c, manta_tell(c, a, "add", manta_i64(1)), NULL), MANTA_ACTOR_DIED);
    cr_assert(strstr(manta_error(c).message, "rank 2"), "%s", manta_error(c).message);
    cr_assert_eq(manta_get(c, large, &v), MANTA_OBJECT_LOST, "it lay in the memory of the dead, and may not be made again: %s", manta_error(c).message);
    cr_assert_eq(number(c, small), 2, "this one had come over already");
    cr_assert_eq(manta_get(c, manta_call_with(c, "where", &there), NULL), MANTA_INFEASIBLE);
    for (int i = 0; i < 20; i++) cr_assert_neq(number(c, manta_call_with(c, "where", &anywhere)), 2);
    cr_assert_geq(number(c, manta_tell(c, moves, "add", manta_i64(1))), 8);
    return MANTA_OK;
}
Test(runtime_objects, what_a_dead_rank_had_is_an_error_and_the_rest_goes_on) {
    cluster_start(&k, &test_program, &(cluster_options){.size = 3});
    k.mortal = 2;
    cr_assert_eq(cluster_run(&k, bereaved, 0), MANTA_OK, "%s", k.message[0]);
    for (int r = 0; r < 2; r++) cr_assert_eq(k.status[r], MT_OK, "rank %d ended with: %s", r, k.message[r]);
    cluster_stop(&k);
}

Test(runtime_objects, a_rank_whose_head_died_ends) {
    cluster_start(&k, &test_program, &(cluster_options){.size = 2});
    cluster_rank *self = malloc(sizeof *self);
    *self = (cluster_rank){&k, 1};
    cr_assert_eq(pthread_create(&k.thread[1], NULL, cluster_serve, self), 0);
    mt_sleep_ns(50 * MT_MILLISECOND_NS);
    k.mortal = 0;
    cluster_kill(&k);
    pthread_join(k.thread[1], NULL);
    cr_assert_eq(k.status[1], MT_COMM);
    cluster_stop(&k);
}

static int borrowing(manta_context *c) {
    for (int r = 0; r < manta_rank_count(c); r++)
        for (int i = 0; i < 20; i++) {
            manta_ref ref = manta_put(c, manta_i64(i));
            cr_assert_eq(number(c, manta_call_with(c, "look_twice", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(r)), manta_reference(ref))), i);
            manta_retain(c, ref);
            manta_release(c, ref);
            cr_assert_eq(number(c, ref), i);
            manta_release(c, ref);
        }
    return MANTA_OK;
}
Test(runtime_objects, a_view_of_a_borrowed_reference_stays) {
    for (int size = 1; size <= 4; size *= 2) run_and_check(borrowing, (cluster_options){.size = size, .hosts = size > 2 ? 2 : 1}, 1);
}

// ---- the end

static int left_running(manta_context *c) {
    for (int i = 0; i < 20; i++) manta_call(c, "hold");   // ends because manta_cancelled says so
    manta_new(c, "Counter", MANTA_OPTIONS(.detached = true), manta_i64(1));
    while (!atomic_load(&bodies_begun)) mt_sleep_ns(MT_MILLISECOND_NS);
    return MANTA_OK;
}
Test(runtime_objects, the_job_ends_with_calls_that_run_and_calls_that_wait) {
    for (int size = 1; size <= 4; size *= 2) {
        int64_t begin = mt_clock_ns();
        run_and_check(left_running, (cluster_options){.size = size}, 0);
        cr_assert_lt(mt_clock_ns() - begin, 5 * MT_SECOND_NS);
    }
}

static int ends_waits(manta_context *c) {
    manta_call(c, "wait_for", manta_reference(manta_call(c, "hold")));
    while (atomic_load(&bodies_begun) < 2) mt_sleep_ns(MT_MILLISECOND_NS);
    return MANTA_OK;
}
Test(runtime_objects, waits_without_a_limit_end_with_the_job) {
    for (int size = 1; size <= 2; size++) {
        atomic_store(&last_wait, -1);
        atomic_store(&bodies_begun, 0);
        run_and_check(ends_waits, (cluster_options){.size = size}, 0);
        int code = atomic_load(&last_wait);   // or what it waited for has ended first
        cr_assert(code == MANTA_SHUTDOWN || code == MANTA_CANCELLED, "%s", manta_code_name(code));
    }
}

static int waits_for_ever(manta_context *c) {
    manta_call(c, "nap", manta_from(manta_call(c, "deaf")));
    while (!atomic_load(&bodies_begun)) mt_sleep_ns(MT_MILLISECOND_NS);
    return MANTA_OK;
}
Test(runtime_objects, a_body_that_never_ends_is_named_and_keeps_nobody) {
    atomic_store(&gate, 0);
    atomic_store(&bodies_begun, 0);
    cluster_start(&k, &test_program, &(cluster_options){.size = 1, .end_seconds = 0.2});
    cr_assert_eq(cluster_run(&k, waits_for_ever, 0), MANTA_OK);
    cr_assert_eq(k.status[0], MT_DEADLINE);
    cr_assert(strstr(k.message[0], "deaf"), "%s", k.message[0]);
    atomic_store(&gate, 1);   // so that the threads can be joined
    cluster_stop(&k);
}

static int everything_at_once(manta_context *c) {
    enum { N = 300 };
    manta_ref refs[N];
    manta_actor a[4];
    for (int i = 0; i < 4; i++) a[i] = manta_new(c, "Counter", NULL, manta_i64(0));
    for (int i = 0; i < N; i++)
        refs[i] = i % 3 == 0 ? manta_tell(c, a[i % 4], "add", manta_i64(1)) : i % 3 == 1 ? manta_call(c, "fib", manta_i64(5)) : manta_call(c, "use_actor", manta_handle(a[i % 4]), manta_i64(1));
    OK(manta_get_all(c, refs, N, 60, NULL));
    return MANTA_OK;
}
Test(runtime_objects, many_at_once) {
    run_and_check(everything_at_once, (cluster_options){.size = 4, .hosts = 2}, 1);
    run_and_check(everything_at_once, (cluster_options){.size = 4, .hosts = 2, .spin_ns = -1}, 1);
    run_and_check(everything_at_once, (cluster_options){.size = 2, .executors_max = 2}, 1);   // those that wait do not count
}

// ---- the timeline

Test(runtime_objects, the_timeline_is_json_with_every_call) {
    char folder[] = "/tmp/manta-timeline-XXXXXX", path[64], *text;
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/t.json", folder);
    mt_timeline *timeline;
    cr_assert_eq(mt_timeline_create(0, mt_clock_ns(), 0, &timeline), MT_OK);
    cluster_start(&k, &test_program, &(cluster_options){.size = 1, .timeline = timeline});
    cr_assert_eq(cluster_run(&k, everything_at_once, 1), MANTA_OK, "%s", k.message[0]);
    CLUSTER_TRY(mt_node_destroy(k.node[0]));
    k.node[0] = NULL;
    cr_assert_eq(mt_timeline_write(timeline, path), MT_OK, "%s", mt_last_error());   // names are the program's
    cluster_stop(&k);
    cr_assert_eq(mt_timeline_merge(path, 1), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_file_read(path, 1 << 26, &text, NULL), MT_OK);
    cr_assert(strstr(text, "\"name\":\"fib\",\"cat\":\"task\""));
    cr_assert(strstr(text, "Counter.add"));
    cr_assert(strstr(text, "executor 1"));
    cr_assert_eq(mt_timeline_merge(path, 2), MT_NOT_FOUND, "a part is missing, and it says so");
    free(text);
    unlink(path);
    rmdir(folder);
    mt_timeline_destroy(timeline);
}

// ---- what actors retain

typedef struct keeper {
    manta_ref kept;
} keeper;

static int keeper_make(manta_context *c) {   // "ref": retained, and then it fails when told so
    keeper *s = manta_state(c);
    s->kept = manta_ref_of(c, 0);
    manta_retain(c, s->kept);
    manta_retain(c, s->kept);
    return manta_i64_of(c, 1) ? manta_fail(c, "as told") : MANTA_OK;
}

static int keeper_drop(manta_context *c) {   // "ref": more often than anybody retained it
    for (int i = 0; i < 5; i++) manta_release(c, manta_ref_of(c, 0));
    return MANTA_OK;
}

static int keeper_read(manta_context *c) {
    const keeper *s = manta_state(c);
    manta_value v;
    int code = manta_get(c, s->kept, &v);
    return code == MANTA_OK ? manta_return(c, manta_i64((int64_t)v.bytes)) : code;
}

static const manta_method keeper_methods[] = {{"drop", keeper_drop, "ref"}, {"read", keeper_read, "-> i64"}};
static const manta_class keeper_classes[] = {{.name = "Keeper", .state_bytes = sizeof(keeper), .create = keeper_make,
    .create_signature = "ref, i64", .methods = keeper_methods, .method_count = 2}};
static const manta_program keeper_program = {.classes = keeper_classes, .class_count = 1};

static int retained(manta_context *c) {
    static const char big[200000];
    for (int i = 0; i < 100; i++) {   // 20 MB through 16 MiB
        int rank = i % manta_rank_count(c);
        manta_ref object = manta_put(c, manta_bytes(big, sizeof big));
        OK(manta_get(c, object, NULL));
        manta_actor a = manta_new(c, "Keeper", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(rank)), manta_reference(object), manta_i64(0));
        manta_actor b = manta_new(c, "Keeper", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(rank)), manta_reference(object), manta_i64(0));
        manta_actor failed = manta_new(c, "Keeper", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(rank)), manta_reference(object), manta_i64(1));
        // nobody can take away what another has retained
        OK(manta_get(c, manta_tell(c, b, "drop", manta_reference(object)), NULL));
        cr_assert_eq(manta_get(c, manta_tell(c, failed, "read"), NULL), MANTA_TASK_FAILED);
        manta_release(c, object);
        cr_assert_eq(number(c, manta_tell(c, a, "read")), sizeof big);
        if (i % 4 == 1) manta_kill(c, a);
        manta_release(c, a.ref);
        manta_release(c, b.ref);
        manta_release(c, failed.ref);
        if (i % 16 == 15) mt_sleep_ns(20 * MT_MILLISECOND_NS);   // the ends of actors are not waited for
    }
    return MANTA_OK;
}

Test(runtime_objects, what_an_actor_retained_comes_back_when_it_ends) {
    for (int size = 1; size <= 2; size++) {
        cluster_start(&k, &keeper_program, &(cluster_options){.size = size, .heap_bytes = UINT64_C(16) << 20});
        cr_assert_eq(cluster_run(&k, retained, 1), MANTA_OK, "%s", k.message[0]);
        for (int r = 0; r < size; r++) cr_assert_eq(k.status[r], MT_OK, "rank %d ended with: %s", r, k.message[r]);
        cluster_stop(&k);
    }
}
