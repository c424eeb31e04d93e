// The runtime over several hosts: the ranks' program of the tests in this folder. `hosts_program MODE`, from the driver's side:
//
//     object     an object of 64 MB, read by every rank: it crosses the network once for each other host
//     transfer   objects of 8 MB made and read everywhere for SECONDS, each checked: says how many, and that none is lost
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/runtime/status/census.h"
#include "engine/runtime/api/context.h"

enum { RANKS_MAX = 64, OBJECT = 64 << 20, PART = 8 << 20 };

#define TRY(expr)                                                                                                      \
    do {                                                                                                               \
        int code_ = (expr);                                                                                            \
        if (code_ != MANTA_OK) return code_;                                                                           \
    } while (0)

static uint64_t digest_of(const void *data, size_t bytes) {
    const uint64_t *words = data;
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes / 8; i++) sum = (sum ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15) + (sum >> 29);
    return sum;
}

static void fill(void *data, size_t bytes, uint64_t seed) {
    uint64_t *words = data;
    for (size_t i = 0; i < bytes / 8; i++) words[i] = (seed + i) * UINT64_C(0xbf58476d1ce4e5b9);
}

// ---- tasks

static int digest(manta_context *c) {   // any -> i64
    manta_value v = manta_argument(c, 0);
    return manta_return(c, manta_i64((int64_t)(digest_of(v.data, v.bytes) >> 1)));
}

static int make(manta_context *c) {   // i64 seed -> u8[n]
    int64_t bytes = PART;
    void *data = manta_result(c, 0, MANTA_TYPE_U8, 1, &bytes);
    if (!data) return manta_error(c).code;
    fill(data, PART, (uint64_t)manta_i64_of(c, 0));
    return MANTA_OK;
}

static const manta_task tasks[] = {{"digest", digest, "any -> i64"}, {"make", make, "i64 -> u8[n]"}};

// ---- drivers

static manta_options on(int rank) { return (manta_options){.on_rank = MANTA_ON_RANK(rank), .num_cpus = MANTA_NO_CPU}; }

// bytes that went over the network, of all ranks of each host: from this one to each other once
static int check_sent(manta_context *c, uint64_t expected) {
    mt_census census;
    int hosts = 0;
    if (mt_census_take(c->node, mt_deadline_after(10 * MT_SECOND_NS), &census) != MT_OK) return manta_fail(c, "%s", mt_last_error());
    uint64_t sent[RANKS_MAX] = {0};
    uint64_t all = 0;
    int ranks[RANKS_MAX] = {0}, bad = 0;
    for (int r = 0; r < census.size; r++) {
        if (census.ranks[r].state != MT_RANK_ANSWERED) bad = manta_fail(c, "rank %d gave no answer", r);
        sent[census.ranks[r].node] += census.ranks[r].entry.stats.fetched_bytes, ranks[census.ranks[r].node]++;
        if (census.ranks[r].node >= hosts) hosts = census.ranks[r].node + 1;
    }
    mt_census_fini(&census);
    for (int h = 0; h < hosts && !bad; h++) {
        // with copies on several hosts any of them may send: the sum is what counts
        printf("host %d: %d ranks read it, %" PRIu64 " bytes sent from it\n", h, ranks[h], sent[h]);
        all += sent[h];
    }
    if (!bad && all != expected * (uint64_t)(hosts - 1))
        bad = manta_fail(c, "%" PRIu64 " bytes crossed the network instead of %" PRIu64 " to each of %d hosts", all, expected, hosts - 1);
    for (int h = 0; h < hosts && !bad; h++) {
        if (ranks[h] < 2) bad = manta_fail(c, "host %d has %d ranks; start two on each", h, ranks[h]);
    }
    return bad;
}

static int object(manta_context *c) {
    int size = manta_rank_count(c);
    int64_t bytes = OBJECT;
    void *data = manta_put_begin(c, MANTA_TYPE_U8, 1, &bytes);
    if (!data) return manta_error(c).code;
    fill(data, OBJECT, 7);
    int64_t wanted = (int64_t)(digest_of(data, OBJECT) >> 1);
    manta_ref ref = manta_put_seal(c), read[RANKS_MAX];
    for (int r = 0; r < size; r++) {
        manta_options o = on(r);
        read[r] = manta_call_with(c, "digest", &o, manta_from(ref));
    }
    for (int r = 0; r < size; r++) {
        int64_t got;
        TRY(manta_get_within(c, read[r], 60, NULL));
        TRY(manta_get_i64(c, read[r], &got));
        if (got != wanted) return manta_fail(c, "rank %d read something else", r);
    }
    return check_sent(c, OBJECT);
}

// every rank makes an object, its neighbour half the job away reads it
static int transfer_round(manta_context *c, int64_t round) {
    int size = manta_rank_count(c);
    manta_ref made[RANKS_MAX], read[RANKS_MAX];
    static char expected[PART];
    for (int r = 0; r < size; r++) {
        manta_options here = on(r), there = on((r + (size + 1) / 2) % size);
        made[r] = manta_call_with(c, "make", &here, manta_i64(round * size + r));
        read[r] = manta_call_with(c, "digest", &there, manta_from(made[r]));
    }
    for (int r = 0; r < size; r++) {
        int64_t got;
        manta_value unused;
        TRY(manta_get_within(c, read[r], 60, &unused));
        TRY(manta_get_i64(c, read[r], &got));
        fill(expected, PART, (uint64_t)(round * size + r));
        if (got != (int64_t)(digest_of(expected, PART) >> 1)) return manta_fail(c, "round %" PRId64 ": what rank %d made came out differently", round, r);
        manta_release(c, made[r]);
        manta_release(c, read[r]);
    }
    return MANTA_OK;
}

static int transfer(manta_context *c, double seconds) {
    int64_t end = mt_deadline_after((int64_t)(seconds * 1e9)), round = 0, longest = 0;
    while (!mt_deadline_passed(end)) {
        int64_t began = mt_clock_ns();
        TRY(transfer_round(c, round++));
        if (mt_clock_ns() - began > longest) longest = mt_clock_ns() - began;
        if (round == 1) printf("begun\n"), fflush(stdout);
    }
    printf("%" PRId64 " rounds, %" PRId64 " objects, none lost; the longest round took %.1f s\n", round, round * manta_rank_count(c), 1e-9 * (double)longest);
    return MANTA_OK;
}

static int driver(manta_context *c) {
    int count;
    char **words = manta_program_args(c, &count);
    const char *mode = count ? words[0] : "";
    if (manta_rank_count(c) > RANKS_MAX) return manta_fail(c, "at most %d ranks", RANKS_MAX);
    if (strcmp(mode, "object") == 0) return object(c);
    if (strcmp(mode, "transfer") == 0) return transfer(c, count > 1 ? atof(words[1]) : 5);
    return manta_fail(c, "object or transfer SECONDS");
}

int main(int argc, char **argv) {
    return manta_main(argc, argv, &(manta_program){.tasks = tasks, .task_count = 2, .driver = driver});
}
