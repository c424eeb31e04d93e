// The ranks' side of test_collective.c: mpi_collective MODE [NODE_RANKS_MAX], started by mpirun (or without). Exit
// status 0 and, from rank 0, the mode's lines on standard output; anything else is a failure with a line on standard
// error.
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/collective/collective.h"
#include "engine/collective/mpi.h"
#include "tests/engine/mpi_check.h"

static mt_comm_desc desc = {.timeout_ns = 60 * MT_SECOND_NS};

// value i of contributor w in round `round`: floats of very different size, so that the order of a sum shows
static float value(int w, size_t i, unsigned round) {
    uint64_t x = (uint64_t)i * 0x9e3779b97f4a7c15u + (uint64_t)w * 0xbf58476d1ce4e5b9u + round * 0x94d049bb133111ebu;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 32;
    return (float)ldexp((double)(x & 0xffffff) - 8388608.0, (int)(x >> 60) - 24);
}

static uint64_t hash_bytes(uint64_t h, const void *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) h = (h ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
    return h;
}

static const size_t counts[] = {0, 1, 3, 17, 1023, 9155, 65536, 300001, 1000000};
enum { COUNTS = sizeof counts / sizeof *counts, LARGEST = 1000000 };

// ---- results -------------------------------------------------------------------------------------------------------

static void check_f32(mt_comm *comm, size_t n, unsigned flags, int in_place, unsigned round) {
    float *src = malloc((n + 1) * sizeof *src), *dst = malloc((n + 1) * sizeof *dst);
    int exact = (flags & MT_REDUCE_ORDERED) || mt_comm_node_count(comm) == 1;
    for (size_t i = 0; i < n; i++) src[i] = value(rank, i, round);
    dst[n] = src[n] = 42;
    float *to = in_place ? src : dst;
    OK(mt_comm_allreduce(comm, src, to, n, MT_F32, MT_REDUCE_SUM, flags));
    for (size_t i = 0; i < n; i++) {
        float sum = value(0, i, round), bound = fabsf(sum);
        for (int r = 1; r < size; r++) sum += value(r, i, round), bound += fabsf(value(r, i, round));
        if (exact)
            CHECK(memcmp(&to[i], &sum, sizeof sum) == 0, "n %zu i %zu: %a, not %a", n, i, (double)to[i], (double)sum);
        else
            CHECK(fabsf(to[i] - sum) <= 1e-6f * bound, "n %zu i %zu: %g, not %g", n, i, (double)to[i], (double)sum);
    }
    CHECK(to[n] == 42, "wrote behind the end, n %zu", n);
    free(src);
    free(dst);
}

static void check_others(mt_comm *comm, size_t n) {
    double *d = malloc((n + 1) * sizeof *d);
    int64_t *k = malloc((n + 1) * sizeof *k);
    for (int op = 0; op < MT_REDUCE_OP_COUNT; op++) {
        for (size_t i = 0; i < n; i++) d[i] = (double)i * 0.5 + rank, k[i] = (int64_t)(i << 33) - rank;
        OK(mt_comm_allreduce(comm, d, d, n, MT_F64, (mt_reduce_op)op, MT_REDUCE_ORDERED));
        OK(mt_comm_allreduce(comm, k, k, n, MT_I64, (mt_reduce_op)op, MT_REDUCE_ORDERED));
        double ranks = size * (size - 1) / 2;
        for (size_t i = 0; i < n; i++) {
            double x = (double)i * 0.5, want = op == MT_REDUCE_SUM   ? size * x + ranks
                                               : op == MT_REDUCE_MAX ? x + size - 1
                                                                     : x;
            int64_t y = (int64_t)(i << 33);
            int64_t wanted = op == MT_REDUCE_SUM ? size * y - (int64_t)ranks : op == MT_REDUCE_MAX ? y : y - (size - 1);
            CHECK(d[i] == want, "f64 op %d i %zu: %g, not %g", op, i, d[i], want);
            CHECK(k[i] == wanted, "i64 op %d i %zu: %lld, not %lld", op, i, (long long)k[i], (long long)wanted);
        }
    }
    free(d);
    free(k);
}

static void check_copies(mt_comm *comm, size_t bytes) {
    unsigned char *data = malloc(bytes + 1), *all = malloc((size_t)size * bytes + 1);
    for (int root = 0; root < size; root++) {
        for (size_t i = 0; i < bytes; i++) data[i] = (unsigned char)(rank == root ? i * 7 + (size_t)root : 255);
        OK(mt_comm_broadcast(comm, data, bytes, root));
        for (size_t i = 0; i < bytes; i++)
            CHECK(data[i] == (unsigned char)(i * 7 + (size_t)root), "broadcast byte %zu", i);
    }
    for (int in_place = 0; in_place < 2; in_place++) {
        unsigned char *mine = in_place ? all + (size_t)rank * bytes : data;
        memset(all, 255, (size_t)size * bytes);
        for (size_t i = 0; i < bytes; i++) mine[i] = (unsigned char)(i * 3 + (size_t)rank);
        OK(mt_comm_allgather(comm, mine, all, bytes));
        for (int r = 0; r < size; r++)
            for (size_t i = 0; i < bytes; i++)
                CHECK(
                    all[(size_t)r * bytes + i] == (unsigned char)(i * 3 + (size_t)r), "gather rank %d byte %zu", r, i);
    }
    free(data);
    free(all);
}

static void mode_correct(mt_comm *comm) {
    for (unsigned round = 0; round < 2; round++)
        for (int c = 0; c < COUNTS; c++)
            for (unsigned flags = 0; flags < 2; flags++) check_f32(comm, counts[c], flags, (int)round, round + flags);
    for (int c = 0; c < COUNTS - 2; c++) check_others(comm, counts[c]);
    for (int c = 0; c < COUNTS - 1; c++) check_copies(comm, counts[c]);
    for (int i = 0; i < 100; i++) OK(mt_comm_barrier(comm));
    OK(mt_comm_allreduce(comm, NULL, NULL, 0, MT_F32, MT_REDUCE_SUM, MT_REDUCE_ORDERED));
    OK(mt_comm_allreduce(comm, NULL, NULL, 0, MT_F64, MT_REDUCE_MAX, 0));
    OK(mt_comm_broadcast(comm, NULL, 0, size - 1));
    OK(mt_comm_allgather(comm, NULL, NULL, 0));
    float x = 1;
    CHECK(mt_comm_allreduce(comm, &x, &x, 1, MT_U8, MT_REDUCE_SUM, 0) == MT_INVALID_ARGUMENT, "type not refused");
    CHECK(mt_comm_broadcast(comm, &x, 4, size) == MT_INVALID_ARGUMENT, "root not refused");
    OK(mt_comm_barrier(comm)); // a refused call leaves the comm whole
}

// W = 4 logical workers over the ranks there are; the hash must not depend on how many
static void mode_slabs(mt_comm *comm) {
    enum { WORKERS = 4 };
    int each = WORKERS / size;
    uint64_t h = 0xcbf29ce484222325u;
    for (int c = 0; c < COUNTS; c++) {
        size_t n = counts[c];
        mt_comm_slab *slab;
        float *sum = malloc((n + 1) * sizeof *sum);
        OK(mt_comm_slab_create(comm, each, n, MT_REDUCE_ORDERED, &slab));
        for (unsigned round = 0; round < 5; round++) {
            for (int w = 0; w < each; w++) {
                float *g = mt_comm_slab_buffer(slab, w);
                for (size_t i = 0; i < n; i++) g[i] = value(rank * each + w, i, round);
            }
            OK(mt_comm_slab_allreduce(slab, n, sum));
            for (size_t i = 0; i < n; i++) {
                float want = value(0, i, round);
                for (int w = 1; w < WORKERS; w++) want += value(w, i, round);
                CHECK(memcmp(&sum[i], &want, sizeof want) == 0, "n %zu i %zu: %a, not %a", n, i, (double)sum[i],
                    (double)want);
            }
            h = hash_bytes(h, sum, n * sizeof *sum);
        }
        mt_comm_slab_destroy(slab);
        free(sum);
    }
    if (rank == 0) printf("hash %016llx\n", (unsigned long long)h);
}

// Many rounds of the registered path with every result checked, other collectives in between, ranks out of step.
static void mode_stress(mt_comm *comm) {
    enum { N = 9155, ROUNDS = 100000 };
    mt_comm_slab *slab, *large;
    float *sum = malloc(N * sizeof *sum), *more = malloc(300001 * sizeof *more);
    int rounds = getenv("MANTA_TEST_ROUNDS") ? atoi(getenv("MANTA_TEST_ROUNDS")) : ROUNDS;
    OK(mt_comm_slab_create(comm, 1, N, 0, &slab));
    OK(mt_comm_slab_create(comm, 2, 300001, 0, &large));
    for (int round = 0; round < rounds; round++) {
        // whole numbers: exact in any order; every element depends on round and rank
        float *g = mt_comm_gradient_buffer(slab), base = (float)(round % 1000 + rank * 3);
        for (size_t i = 0; i < N; i++) g[i] = base + (float)(i & 255);
        OK(mt_comm_slab_allreduce(slab, N, sum));
        float want = (float)(size * (round % 1000) + 3 * size * (size - 1) / 2);
        int bad = 0;
        for (size_t i = 0; i < N; i++) bad |= sum[i] != want + (float)(size * (int)(i & 255));
        CHECK(!bad, "round %d", round);
        if (round % 1000 != 0) continue;
        size_t n = (size_t)(round / 1000 * 3001 % 300001);
        for (int w = 0; w < 2; w++)
            for (size_t i = 0; i < n; i++) mt_comm_slab_buffer(large, w)[i] = (float)(rank * 2 + w) + (float)(i & 63);
        OK(mt_comm_slab_allreduce(large, n, more));
        for (size_t i = 0; i < n; i++)
            CHECK(more[i] == (float)(size * (2 * size - 1)) + (float)(2 * size * (int)(i & 63)),
                "large, round %d i %zu", round, i);
        check_f32(comm, n / 7, 0, 0, (unsigned)round);
        OK(mt_comm_barrier(comm));
    }
    mt_comm_slab_destroy(large);
    mt_comm_slab_destroy(slab);
    free(more);
    free(sum);
}

// ---- several requests, several comms
// -----------------------------------------------------------------------------------

static void mode_async(mt_comm *comm) {
    enum { N = 20000, FLIGHT = 6 };
    float *x = malloc(FLIGHT * N * sizeof *x);
    for (int round = 0; round < 50; round++) {
        mt_comm_request *request[FLIGHT];
        for (int f = 0; f < FLIGHT; f++) {
            for (size_t i = 0; i < N; i++) x[f * N + i] = (float)(rank + f + round);
            if (f == 3)
                OK(mt_comm_broadcast_start(comm, x + f * N, N * sizeof *x, round % size, &request[f]));
            else if (f == 4)
                OK(mt_comm_barrier_start(comm, &request[f]));
            else
                OK(mt_comm_allreduce_start(comm, x + f * N, x + f * N, N, MT_F32, MT_REDUCE_SUM, 0, &request[f]));
        }
        if (round % 3 == 0) OK(mt_comm_barrier(comm)); // a blocking call goes behind the queue
        // out of order on purpose
        for (int f = FLIGHT - 1; f >= 0; f--) {
            int done = 0;
            if ((round + rank) % 2)
                while (!done) OK(mt_comm_request_test(&request[f], &done));
            else
                OK(mt_comm_request_wait(&request[f], mt_deadline_after(30 * MT_SECOND_NS)));
            CHECK(!request[f], "request not cleared");
        }
        for (int f = 0; f < FLIGHT; f++) {
            float want = (float)(size * (f + round) + size * (size - 1) / 2);
            if (f == 3) want = (float)(round % size + f + round);
            if (f == 4) want = (float)(rank + f + round);
            for (size_t i = 0; i < N; i++) CHECK(x[f * N + i] == want, "round %d request %d", round, f);
        }
    }
    free(x);
}

static void mode_comms(mt_comm *world) {
    mt_comm *half, *twin, *none;
    OK(mt_comm_dup(world, &desc, &twin));
    OK(mt_comm_split(world, rank % 2, -rank, &desc, &half));
    OK(mt_comm_split(world, rank == 0 ? 0 : -1, 0, &desc, &none));
    CHECK((none != NULL) == (rank == 0), "membership");
    if (none) CHECK(mt_comm_size(none) == 1, "size %d", mt_comm_size(none));
    int64_t members = (size - rank % 2 + 1) / 2;
    CHECK(mt_comm_size(half) == members && mt_comm_rank(half) == members - 1 - rank / 2, "order by key");
    for (int round = 0; round < 200; round++) {
        int64_t a = 1, b = 1, c = 1;
        OK(mt_comm_allreduce(twin, &a, &a, 1, MT_I64, MT_REDUCE_SUM, 0));
        OK(mt_comm_allreduce(half, &b, &b, 1, MT_I64, MT_REDUCE_SUM, 0));
        OK(mt_comm_allreduce(world, &c, &c, 1, MT_I64, MT_REDUCE_SUM, 0));
        CHECK(a == size && b == members && c == size, "round %d", round);
    }
    mt_comm_destroy(none);
    mt_comm_destroy(half);
    mt_comm_destroy(twin);
}

// ---- failure
// -----------------------------------------------------------------------------------------------------------

// The last rank stops or dies; the others must see it in time, name it, and then get MT_COMM at once.
static void lose_rank(mt_comm *parent, int how) {
    mt_comm *comm, *other;
    desc.timeout_ns = 1500 * MT_MILLISECOND_NS;
    OK(mt_comm_dup(parent, &desc, &comm));
    OK(mt_comm_dup(parent, &desc, &other));
    int64_t x = 1, start = mt_clock_ns();
    mt_comm_request *request, *second;
    OK(mt_comm_barrier(comm));
    if (rank == size - 1) {
        raise(how);
        pause();
    }
    OK(mt_comm_allreduce_start(comm, &x, &x, 1, MT_I64, MT_REDUCE_SUM, 0, &request));
    OK(mt_comm_barrier_start(comm, &second));
    mt_status status = mt_comm_request_wait(&request, mt_deadline_after(desc.timeout_ns));
    double seconds = (double)(mt_clock_ns() - start) * 1e-9;
    fprintf(stderr, "rank %d after %.3f s: %s: %s\n", rank, seconds, mt_status_name(status), mt_last_error());
    CHECK(status == MT_DEADLINE || (how == SIGKILL && status == MT_COMM), "status %s", mt_status_name(status));
    CHECK(seconds < 2.5, "took %.3f s", seconds);
    char name[32];
    snprintf(name, sizeof name, "rank %d", size - 1);
    if (mt_comm_node_count(comm) == 1) CHECK(strstr(mt_last_error(), name), "the message does not name %s", name);
    start = mt_clock_ns();
    CHECK(mt_comm_request_wait(&second, mt_deadline_after(desc.timeout_ns)) == MT_COMM, "second request");
    CHECK(mt_comm_barrier(comm) == MT_COMM && mt_comm_broken(comm), "not broken");
    CHECK(mt_clock_ns() - start < 100 * MT_MILLISECOND_NS, "later calls wait");
    CHECK(mt_comm_barrier(other) != MT_OK, "another comm with the same lost rank");
    mt_comm_destroy(comm);
    mt_comm_destroy(other);
    CHECK(mt_mpi_finalize() == MT_COMM, "finalize should refuse");
    if (rank == 0) {
        printf("lost and noticed\n");
        fflush(stdout);
        mt_sleep_ns(500 * MT_MILLISECOND_NS); // the other survivors check too
        mt_mpi_abort(7);
    }
    mt_sleep_ns(10 * MT_SECOND_NS);
    mt_mpi_abort(8);
}

// Where the staging memory cannot be had every rank gets the typed error.
// Rank 0 begins to make a group's communicator before the others know of it: what tells them comes from another of its threads.
static mt_comm *group;
static void *make_group(void *world) {
    int *ranks = malloc(sizeof *ranks * (size_t)size);
    for (int r = 0; r < size; r++) ranks[r] = size - 1 - r;
    OK(mt_comm_group(world, ranks, size, 5, NULL, &group));
    free(ranks);
    return NULL;
}

static void mode_groups(mt_comm *world) {
    pthread_t thread;
    mt_comm *words;
    OK(mt_comm_dup(world, &desc, &words));
    for (int round = 0; round < 5; round++) {
        if (rank == 0) CHECK(pthread_create(&thread, NULL, make_group, world) == 0, "no thread");
        if (rank == 0) usleep(50000);
        OK(mt_comm_barrier(words));   // the others go no further until rank 0 says so
        if (rank == 0) pthread_join(thread, NULL);
        else make_group(world);
        CHECK(mt_comm_rank(group) == size - 1 - rank && mt_comm_size(group) == size, "rank %d of %d", mt_comm_rank(group), mt_comm_size(group));
        int64_t sum = rank;
        OK(mt_comm_allreduce(group, &sum, &sum, 1, MT_I64, MT_REDUCE_SUM, 0));
        CHECK(sum == size * (size - 1) / 2, "%lld", (long long)sum);
        mt_comm_destroy(group);
    }
    mt_comm_destroy(words);
}

static void mode_too_large(mt_comm *world) {
    mt_comm *comm;
    mt_comm_desc huge = desc;
    huge.stage_bytes = (size_t)1 << 44;
    mt_status status = mt_comm_dup(world, &huge, &comm);
    CHECK(!comm && (status == MT_NO_MEMORY || status == MT_COMM || status == MT_IO), "%s", mt_status_name(status));
    if (rank == 0) printf("%s\n", mt_last_error());
    OK(mt_comm_barrier(world));
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "correct";
    mt_comm *comm;
    if (argc > 2) desc.node_ranks_max = atoi(argv[2]);
    OK(mt_mpi_init(&argc, &argv));
    OK(mt_comm_world(&desc, &comm));
    rank = mt_comm_rank(comm);
    size = mt_comm_size(comm);
    if (strcmp(mode, "correct") == 0)
        mode_correct(comm);
    else if (strcmp(mode, "slabs") == 0)
        mode_slabs(comm);
    else if (strcmp(mode, "stress") == 0)
        mode_stress(comm);
    else if (strcmp(mode, "async") == 0)
        mode_async(comm);
    else if (strcmp(mode, "comms") == 0)
        mode_comms(comm);
    else if (strcmp(mode, "groups") == 0)
        mode_groups(comm);
    else if (strcmp(mode, "stopped") == 0)
        lose_rank(comm, SIGSTOP);
    else if (strcmp(mode, "killed") == 0)
        lose_rank(comm, SIGKILL);
    else if (strcmp(mode, "too-large") == 0)
        mode_too_large(comm);
    else
        CHECK(0, "no mode %s", mode);
    OK(mt_comm_barrier(comm));
    if (rank == 0) printf("%s: %d ranks on %d nodes\n", mode, size, mt_comm_node_count(comm));
    mt_comm_destroy(comm);
    OK(mt_mpi_finalize());
    return 0;
}
