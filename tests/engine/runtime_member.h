// A class of the runtime's tests: a member of a group, which checks every result against a plain loop.
#ifndef MANTA_TESTS_ENGINE_RUNTIME_MEMBER_H
#define MANTA_TESTS_ENGINE_RUNTIME_MEMBER_H

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/runtime/manta_runtime.h"

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
    manta_group_leave(s->group);
    manta_group_leave(NULL);
    if (manta_group_size(s->group) != s->count || manta_group_member(s->group) != s->number) return manta_fail(c, "a group that was left is another");
    return manta_group_barrier(c, s->group) == MANTA_INVALID ? MANTA_OK : manta_fail(c, "a call in a group that was left");
}

static const manta_method member_methods[] = {
    {"join", join, "ref, i64, f64"}, {"sum", sum, "i64 -> u64"}, {"others", others, "i64"}, {"leave", leave, ""}};
#define MEMBER_CLASS {.name = "Member", .state_bytes = sizeof(member), .methods = member_methods, .method_count = 4}

#endif
