// Collectives of actors: group.c and team.c, over several ranks in one process.
#include <criterion/criterion.h>
#include <math.h>
#include "tests/engine/runtime_local.h"

typedef struct member {
    manta_group *group;
    int count, number;
} member;

static float value_of(int m, int64_t i) { return sinf((float)(m * 31 + i)) * powf(10, (float)((m + i) % 7)); }

static int join(manta_context *c) {   // "ref, i64, f64"
    member *s = manta_state(c);
    int code = manta_group_join(c, manta_ref_of(c, 0), (int)manta_i64_of(c, 1), manta_f64_of(c, 2), &s->group);
    if (code != MANTA_OK) return code;
    s->count = manta_group_size(s->group);
    s->number = manta_group_member(s->group);
    return s->number == manta_i64_of(c, 1) ? MANTA_OK : manta_fail(c, "wrong number");
}

static int sum(manta_context *c) {   // "i64 -> u64": a hash of the sum's bits; checked against a serial loop
    member *s = manta_state(c);
    int64_t n = manta_i64_of(c, 0);
    float *x = malloc((size_t)n * 4 + 4), *y = malloc((size_t)n * 4 + 4);
    for (int64_t i = 0; i < n; i++) x[i] = value_of(s->number, i);
    int in_place = n % 2;
    int code = manta_group_allreduce(c, s->group, x, in_place ? x : y, n, MANTA_TYPE_F32, MANTA_SUM);
    uint64_t hash = 7;
    for (int64_t i = 0; i < n && code == MANTA_OK; i++) {
        float wanted = value_of(0, i), got = in_place ? x[i] : y[i];
        for (int m = 1; m < s->count; m++) wanted += value_of(m, i);
        if (memcmp(&wanted, &got, 4) != 0) code = manta_fail(c, "element %d is %g, not %g", (int)i, (double)got, (double)wanted);
        uint32_t bits;
        memcpy(&bits, &got, 4);
        hash = hash * 1099511628211u + bits;
    }
    free(x);
    free(y);
    return code == MANTA_OK ? manta_return(c, manta_tensor(MANTA_TYPE_U64, 0, NULL, &hash)) : code;
}

static int others(manta_context *c) {   // "i64": everything else
    member *s = manta_state(c);
    int64_t n = manta_i64_of(c, 0), count = s->count;
    int64_t *big = malloc((size_t)(n * count + 1) * 8), *small = malloc((size_t)(n + 1) * 8);
    int code = MANTA_OK;
    for (int round = 0; round < 3 && code == MANTA_OK; round++) {
        for (int64_t i = 0; i < n * count; i++) big[i] = (i + 1) * (s->number + round);
        code = manta_group_reduce_scatter(c, s->group, big, small, n, MANTA_TYPE_I64, MANTA_SUM);
        for (int64_t i = 0; i < n && code == MANTA_OK; i++)
            if (small[i] != (s->number * n + i + 1) * (count * (count - 1) / 2 + count * round)) code = manta_fail(c, "reduce-scatter: element %d", (int)i);
        for (int64_t i = 0; i < n; i++) small[i] = 1000 * s->number + i;
        if (code == MANTA_OK) code = manta_group_allgather(c, s->group, small, big, (size_t)n * 8);
        for (int64_t i = 0; i < n * count && code == MANTA_OK; i++)
            if (big[i] != 1000 * (i / n) + i % n) code = manta_fail(c, "all-gather: element %d", (int)i);
        int root = round % (int)count;
        for (int64_t i = 0; i < n; i++) small[i] = s->number == root ? i * i : -1;
        if (code == MANTA_OK) code = manta_group_broadcast(c, s->group, small, (size_t)n * 8, root);
        for (int64_t i = 0; i < n && code == MANTA_OK; i++)
            if (small[i] != i * i) code = manta_fail(c, "broadcast: element %d", (int)i);
        double most = s->number, least = s->number;
        if (code == MANTA_OK) code = manta_group_allreduce(c, s->group, &most, &most, 1, MANTA_TYPE_F64, MANTA_MAX);
        if (code == MANTA_OK) code = manta_group_allreduce(c, s->group, &least, &least, 1, MANTA_TYPE_F64, MANTA_MIN);
        if (code == MANTA_OK && (most != (double)count - 1 || least != 0)) code = manta_fail(c, "max or min");
        if (code == MANTA_OK) code = manta_group_barrier(c, s->group);
    }
    free(big);
    free(small);
    return code;
}

static int leave(manta_context *c) {
    member *s = manta_state(c);
    manta_group_leave(s->group);
    manta_group_leave(NULL);
    return MANTA_OK;
}

static const manta_method methods[] = {
    {"join", join, "ref, i64, f64"}, {"sum", sum, "i64 -> u64"}, {"others", others, "i64"}, {"leave", leave, ""}};
static const manta_class classes[] = {{.name = "Member", .state_bytes = sizeof(member), .methods = methods, .method_count = 4}};
static const manta_program program = {.classes = classes, .class_count = 1};

#define OK(expr)                                                                                                       \
    do {                                                                                                               \
        int code_ = (expr);                                                                                            \
        cr_assert_eq(code_, MANTA_OK, "%s: %s: %s", #expr, manta_code_name(code_), manta_error(c).message);            \
    } while (0)

enum { MEMBERS_MAX = 8 };
static uint64_t golden[3];

static void all_members(manta_context *c, const manta_actor *a, int count, const char *method, int64_t n, uint64_t *out) {
    manta_ref refs[MEMBERS_MAX];
    manta_value v;
    for (int i = 0; i < count; i++) refs[i] = manta_tell(c, a[i], method, manta_i64(n));
    for (int i = 0; i < count; i++) {
        OK(manta_get(c, refs[i], &v));
        if (out && i == 0) *out = *(const uint64_t *)v.data;
        if (out) cr_assert_eq(*out, *(const uint64_t *)v.data, "members differ");
    }
}

static int sums(manta_context *c) {
    static const int64_t sizes[] = {1, 1000, 300001};
    static const int counts[] = {1, 2, 5};
    for (int k = 0; k < 3; k++) {
        manta_actor a[MEMBERS_MAX];
        manta_ref joined[MEMBERS_MAX];
        // round and round, so that members of a rank are not neighbours
        for (int i = 0; i < counts[k]; i++) a[i] = manta_new(c, "Member", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(i % manta_rank_count(c))));
        manta_ref group = manta_group_create(c, a, counts[k]);
        for (int i = 0; i < counts[k]; i++) joined[i] = manta_tell(c, a[i], "join", manta_reference(group), manta_i64(i), manta_f64(20));
        OK(manta_get_all(c, joined, counts[k], 30, NULL));
        for (int j = 0; j < 3; j++) {
            uint64_t hash;
            all_members(c, a, counts[k], "sum", sizes[j], &hash);
            if (counts[k] == 5 && !golden[j]) golden[j] = hash;
            if (counts[k] == 5) cr_assert_eq(golden[j], hash, "the sum depends on the layout");
            all_members(c, a, counts[k], "others", sizes[j] > 1000 ? 20000 : sizes[j], NULL);
        }
        manta_ref left[MEMBERS_MAX];
        for (int i = 0; i < counts[k]; i++) left[i] = manta_tell(c, a[i], "leave");
        OK(manta_get_all(c, left, counts[k], 30, NULL));
    }
    return MANTA_OK;
}

static cluster k;

static void run(manta_function *driver, cluster_options options) {
    cluster_start(&k, &program, &options);
    int code = cluster_run(&k, driver, 1);
    cr_assert_eq(code, MANTA_OK, "%s: %s", manta_code_name(code), k.message[0]);
    for (int r = 0; r < k.size; r++) cr_assert_eq(k.status[r], MT_OK, "rank %d ended with: %s", r, k.message[r]);
    cluster_stop(&k);
}

Test(runtime_group, sums_are_in_member_order_whatever_the_layout) {
    for (int size = 1; size <= 5; size++) run(sums, (cluster_options){.size = size, .hosts = size > 2 ? 2 : 1});
}

static int wrong(manta_context *c) {
    manta_actor a[3];
    manta_ref joined[3], refs[2];
    for (int i = 0; i < 3; i++) a[i] = manta_new(c, "Member", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(i % manta_rank_count(c))));
    // somebody is missing
    manta_ref group = manta_group_create(c, a, 3);
    joined[0] = manta_tell(c, a[0], "join", manta_reference(group), manta_i64(0), manta_f64(0.2));
    cr_assert_eq(manta_get(c, joined[0], NULL), MANTA_DEADLINE);
    joined[0] = manta_tell(c, a[0], "join", manta_reference(group), manta_i64(7), manta_f64(0.2));
    cr_assert_eq(manta_get(c, joined[0], NULL), MANTA_INVALID);
    joined[0] = manta_tell(c, a[0], "join", manta_reference(manta_put(c, manta_i64(7))), manta_i64(0), manta_f64(0.2));
    cr_assert_eq(manta_get(c, joined[0], NULL), MANTA_INVALID);
    // different calls are told apart, and the group is of no use afterwards
    group = manta_group_create(c, a, 2);
    for (int i = 0; i < 2; i++) joined[i] = manta_tell(c, a[i], "join", manta_reference(group), manta_i64(i), manta_f64(20));
    OK(manta_get_all(c, joined, 2, 30, NULL));
    refs[0] = manta_tell(c, a[0], "sum", manta_i64(10));
    refs[1] = manta_tell(c, a[1], "sum", manta_i64(11));
    int first = manta_get(c, refs[0], NULL), second = manta_get(c, refs[1], NULL);
    cr_assert(first == MANTA_INVALID || second == MANTA_INVALID, "%s %s", manta_code_name(first), manta_code_name(second));
    cr_assert(first != MANTA_OK && second != MANTA_OK);
    return MANTA_OK;
}
Test(runtime_group, what_goes_wrong_is_said) {
    run(wrong, (cluster_options){.size = 1});
    run(wrong, (cluster_options){.size = 2, .timeout = 3});
}
