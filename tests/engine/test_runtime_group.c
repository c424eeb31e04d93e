// Collectives of actors: group.c and team.c, over several ranks in one process.
#include <criterion/criterion.h>
#include "engine/runtime/node/team.h"
#include "tests/engine/runtime_local.h"
#include "tests/engine/runtime_member.h"

static const manta_class classes[] = {MEMBER_CLASS};
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
    // and the one whose time was up is not waited for any more, nor met: it is as if it had never come
    for (int i = 1; i < 3; i++) joined[i] = manta_tell(c, a[i], "join", manta_reference(group), manta_i64(i), manta_f64(0.2));
    for (int i = 1; i < 3; i++) cr_assert_eq(manta_get(c, joined[i], NULL), MANTA_DEADLINE, "member %d met a ghost", i);
    for (int i = 0; i < 3; i++) joined[i] = manta_tell(c, a[i], "join", manta_reference(group), manta_i64(i), manta_f64(20));
    OK(manta_get_all(c, joined, 3, 30, NULL));
    all_members(c, a, 3, "sum", 100, NULL);
    static manta_actor many[(1 << 15) + 1];
    for (int i = 0; i <= 1 << 15; i++) many[i] = a[0];
    cr_assert_eq(manta_get(c, manta_group_create(c, many, (1 << 15) + 1), NULL), MANTA_INVALID);
    cr_assert_eq(manta_get(c, manta_group_create(c, many, 0), NULL), MANTA_INVALID);
    OK(manta_get(c, manta_group_create(c, many, 1 << 15), NULL));
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

static int teams_of(int rank) {
    int count = 0;
    mt_node_enter(k.node[rank]);
    for (const mt_team *t = k.node[rank]->teams; t; t = t->next) count++;
    mt_node_leave(k.node[rank]);
    return count;
}

static void no_teams(const manta_context *c) {
    int left = 1;
    for (int i = 0; i < 2000 && left; i++) {
        left = 0;
        for (int r = 0; r < manta_rank_count(c); r++) left += teams_of(r);
        if (left) mt_sleep_ns(MT_MILLISECOND_NS);
    }
    cr_assert_eq(left, 0, "%d teams are left of members that ended", left);
}

static int ended(manta_context *c) {
    enum { N = 4 };
    manta_actor a[N];
    manta_ref joined[N], group, waits;
    for (int killed = 0; killed < 2; killed++) {
        for (int i = 0; i < N; i++) a[i] = manta_new(c, "Member", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(i / 2 % manta_rank_count(c))));
        group = manta_group_create(c, a, N);
        for (int i = 0; i < N; i++) joined[i] = manta_tell(c, a[i], "join", manta_reference(group), manta_i64(i), manta_f64(20));
        OK(manta_get_all(c, joined, N, 30, NULL));
        // member 1 waits for member 0, which lives on the same rank and ends
        waits = manta_tell(c, a[1], "sum", manta_i64(10));
        if (killed) manta_kill(c, a[0]);
        manta_release(c, a[0].ref);
        manta_release(c, group);   // holds the handles, too
        cr_assert_eq(manta_get_within(c, waits, 10, NULL), MANTA_ACTOR_DIED, "%s", manta_error(c).message);
        for (int i = 1; i < N; i++) manta_release(c, a[i].ref);
        for (int i = 0; i < N; i++) manta_release(c, joined[i]);
        manta_release(c, waits);
        no_teams(c);
    }
    return MANTA_OK;
}
Test(runtime_group, a_member_that_ends_leaves_and_keeps_nobody) {
    run(ended, (cluster_options){.size = 1});
    run(ended, (cluster_options){.size = 2});
}


static void send_block(uint64_t id, size_t bytes) {
    static const char data[100000];
    mt_node_enter(k.node[0]);
    mt_core_shell_send(k.node[0]->core, 1, MT_TOPIC_GROUP, id, data, bytes);
    mt_node_leave(k.node[0]);
}

static size_t early_bytes(void) {
    mt_node_enter(k.node[1]);
    size_t bytes = k.node[1]->early_bytes;
    mt_node_leave(k.node[1]);
    return bytes;
}

static int belated(manta_context *c) {
    manta_actor a[2];
    manta_ref refs[2];
    for (int i = 0; i < 2; i++) a[i] = manta_new(c, "Member", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(i)));
    manta_ref group = manta_group_create(c, a, 2);
    for (int i = 0; i < 2; i++) refs[i] = manta_tell(c, a[i], "join", manta_reference(group), manta_i64(i), manta_f64(20));
    OK(manta_get_all(c, refs, 2, 30, NULL));
    mt_node_enter(k.node[1]);
    uint64_t id = k.node[1]->teams->id;
    mt_node_leave(k.node[1]);
    for (int i = 0; i < 2; i++) refs[i] = manta_tell(c, a[i], "leave");
    OK(manta_get_all(c, refs, 2, 30, NULL));
    no_teams(c);
    // blocks for a team that was left are dropped; those of one that may yet be are kept, and the oldest give way
    send_block(id, 1000);
    send_block(id + 1, 999);
    for (int i = 0; i < 5000 && early_bytes() < 999; i++) mt_sleep_ns(MT_MILLISECOND_NS);
    cr_assert_eq(early_bytes(), 999);
    for (int i = 0; i < 350; i++) send_block(id + 2, 100000);
    send_block(id + 3, 10);
    for (int i = 0; i < 5000 && early_bytes() % 100000 != 10; i++) mt_sleep_ns(MT_MILLISECOND_NS);
    cr_assert_eq(early_bytes() % 100000, 10, "the newest is lost");
    cr_assert_leq(early_bytes(), 32 << 20);
    cr_assert_geq(early_bytes(), 31 << 20);
    return MANTA_OK;
}
Test(runtime_group, blocks_for_groups_that_are_gone_take_no_room) { run(belated, (cluster_options){.size = 2}); }

Test(runtime_group, what_goes_wrong_is_said) {
    run(wrong, (cluster_options){.size = 1});
    run(wrong, (cluster_options){.size = 2, .timeout = 3});
}
