// Collectives: in this process (a comm of one, the kernels), and over mpirun with mpi_collective as the ranks' program.
// Ranks "on several nodes" are made by limiting the ranks of a node, so that MPI is between them.
#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdint.h>
#include "engine/collective/collective.h"
#include "engine/collective/mpi.h"
#include "engine/collective/reduce.h"
#include "tests/engine/mpi_launch.h"

static launch_result result;

// ranks 0: without mpirun
static void ranks_do(int ranks, const char *mode, const char *node_ranks_max, const char *extra, double limit_s) {
    const char *arguments[] = {mode, node_ranks_max, NULL};
    if (ranks > 0)
        launch_mpirun(ranks, extra, MPI_COLLECTIVE, arguments, limit_s, &result);
    else
        launch((char *[]){(char *)MPI_COLLECTIVE, (char *)mode, NULL}, limit_s, &result);
}

static void ranks_pass(int ranks, const char *mode, const char *node_ranks_max) {
    ranks_do(ranks, mode, node_ranks_max, NULL, 200);
    cr_assert_eq(result.status, 0, "%s on %d ranks (nodes of %s) ended with %d:\n%s", mode, ranks, node_ranks_max,
        result.status, result.output);
}

// ---- in this process -----------------------------------------------------------------------------------------------

Test(comm_of_one, needs_no_mpi) {
    mt_comm *comm, *again, *none;
    cr_assert_eq(mt_mpi_init(NULL, NULL), MT_OK);
    cr_assert_eq(mt_mpi_active(), 0);
    cr_assert_eq(mt_comm_world(NULL, &comm), MT_OK);
    cr_assert_eq(mt_comm_size(comm), 1);
    cr_assert_eq(mt_comm_dup(comm, NULL, &again), MT_OK);
    cr_assert_eq(mt_comm_split(comm, -1, 0, NULL, &none), MT_OK);
    cr_assert_null(none);
    float x[5] = {1, 2, 3, 4, 5}, y[5] = {0};
    cr_assert_eq(mt_comm_allreduce(again, x, y, 5, MT_F32, MT_REDUCE_SUM, MT_REDUCE_ORDERED), MT_OK);
    cr_assert_arr_eq(x, y, sizeof x);
    cr_assert_eq(mt_comm_broadcast(comm, x, sizeof x, 0), MT_OK);
    cr_assert_eq(mt_comm_allgather(comm, x, y, sizeof x), MT_OK);
    cr_assert_eq(mt_comm_barrier(comm), MT_OK);
    mt_comm_destroy(again);
    mt_comm_destroy(comm);
    mt_comm_destroy(NULL);
    cr_assert_eq(mt_mpi_finalize(), MT_OK);
}

// more slabs than one call of a kernel takes
Test(comm_of_one, many_slabs_in_order) {
    enum { SLABS = 150, N = 3001 };
    mt_comm *comm;
    mt_comm_slab *slab;
    float *sum = malloc(N * sizeof *sum);
    cr_assert_eq(mt_comm_world(NULL, &comm), MT_OK);
    cr_assert_eq(mt_comm_slab_create(comm, SLABS, N, MT_REDUCE_ORDERED, &slab), MT_OK);
    for (int round = 0; round < 3; round++) {
        for (int w = 0; w < SLABS; w++)
            for (int i = 0; i < N; i++)
                mt_comm_slab_buffer(slab, w)[i] = sinf((float)(w * N + i + round)) * powf(10, (float)(w % 9));
        float *first[SLABS];
        for (int w = 0; w < SLABS; w++) first[w] = mt_comm_slab_buffer(slab, w);
        float want[3];
        for (int i = 0; i < 3; i++) {
            want[i] = first[0][i * 1500];
            for (int w = 1; w < SLABS; w++) want[i] += first[w][i * 1500];
        }
        cr_assert_eq(mt_comm_slab_allreduce(slab, N, sum), MT_OK);
        for (int i = 0; i < 3; i++) cr_assert_eq(sum[i * 1500], want[i]);
        cr_assert_neq(mt_comm_slab_buffer(slab, 0), first[0], "the buffers alternate");
    }
    cr_assert_eq(mt_comm_slab_allreduce(slab, N + 1, sum), MT_INVALID_ARGUMENT);
    mt_comm_slab_destroy(slab);
    cr_assert_eq(mt_comm_slab_create(comm, 0, N, 0, &slab), MT_INVALID_ARGUMENT);
    cr_assert_eq(mt_comm_slab_create(comm, 1, SIZE_MAX / 8, 0, &slab), MT_INVALID_ARGUMENT);
    cr_assert_null(slab);
    mt_comm_destroy(comm);
    free(sum);
}

Test(reduce, kernels_add_in_source_order) {
    enum { MOST = 13, N = 2999 };
    static float x[MOST][N + 16], d[N + 16];
    for (int s = 0; s < MOST; s++)
        for (int i = 0; i < N + 16; i++) x[s][i] = sinf((float)(s * 31 + i)) * powf(10, (float)(s % 7));
    mt_reduce_fn *sum = mt_reduce_find(MT_F32, MT_REDUCE_SUM);
    for (int n = 1; n <= MOST; n++)
        for (int shift = 0; shift < 4; shift++) {
            const void *src[MOST];
            int count = n == 1 ? N : n * 7 + shift * 600;
            for (int s = 0; s < n; s++) src[s] = x[s] + shift;
            sum(d + shift, src, n, (size_t)count);
            for (int i = 0; i < count; i++) {
                float want = x[0][shift + i];
                for (int s = 1; s < n; s++) want += x[s][shift + i];
                cr_assert_eq(d[shift + i], want, "%d sources, element %d", n, i);
            }
        }
    for (int shift = 0; shift < 4; shift++) {
        mt_sum2_stream_f32(d + shift, x[0] + 1, x[1], N);
        for (int i = 0; i < N; i++) cr_assert_eq(d[shift + i], x[0][1 + i] + x[1][i]);
        mt_copy_stream(d + shift, x[2] + 1, N * sizeof(float));
        cr_assert_arr_eq(d + shift, x[2] + 1, N * sizeof(float));
    }
    cr_assert_null(mt_reduce_find(MT_U8, MT_REDUCE_SUM));
    cr_assert_null(mt_reduce_find(MT_F32, MT_REDUCE_OP_COUNT));
}

Test(clock, deadlines) {
    int64_t now = mt_clock_ns();
    cr_assert(mt_clock_ns() >= now);
    cr_assert_eq(mt_deadline_after(MT_NEVER), MT_NEVER);
    cr_assert_eq(mt_deadline_passed(MT_NEVER), 0);
    cr_assert(mt_deadline_passed(mt_deadline_after(-5)));
    cr_assert_eq(mt_deadline_left_ns(now - 1), 0);
    mt_sleep_ns(2 * MT_MILLISECOND_NS);
    cr_assert(mt_clock_ns() - now >= 2 * MT_MILLISECOND_NS);
}

// ---- results over mpirun
// ---------------------------------------------------------------------------------------------

Test(collective, correct_without_mpirun) { ranks_pass(0, "correct", NULL); }
Test(collective, correct_on_1) { ranks_pass(1, "correct", NULL); }
Test(collective, correct_on_2) { ranks_pass(2, "correct", NULL); }
Test(collective, correct_on_3) { ranks_pass(3, "correct", NULL); }
Test(collective, correct_on_4) { ranks_pass(4, "correct", NULL); }
Test(collective, correct_on_4_nodes) { ranks_pass(4, "correct", "1"); }
Test(collective, correct_on_2_and_1) { ranks_pass(3, "correct", "2"); }
Test(collective, correct_on_2_and_2) { ranks_pass(4, "correct", "2"); }

Test(collective, slabs_have_one_sum_whatever_the_ranks) {
    static const struct {
        int ranks;
        const char *node;
    } layouts[] = {{0, NULL}, {1, NULL}, {2, NULL}, {4, NULL}, {2, "1"}, {4, "2"}, {4, "1"}};
    char first[64] = "", hash[64] = "";
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        ranks_pass(layouts[i].ranks, "slabs", layouts[i].node);
        const char *line = strstr(result.output, "hash ");
        cr_assert(line && sscanf(line, "hash %60s", hash) == 1, "%s", result.output);
        if (i == 0) strcpy(first, hash);
        cr_assert_str_eq(hash, first, "%d ranks in nodes of %s", layouts[i].ranks, layouts[i].node);
    }
}

Test(collective, requests) {
    ranks_pass(2, "async", NULL);
    ranks_pass(3, "async", NULL);
    ranks_pass(4, "async", "2");
}

Test(collective, several_comms) {
    ranks_pass(3, "comms", NULL);
    ranks_pass(4, "comms", "2");
}

Test(collective, groups_are_made_while_others_are_still_being_told) {
    ranks_pass(3, "groups", "1");   // over MPI, as between hosts
    ranks_pass(3, "groups", NULL);
}
Test(collective, a_hundred_thousand_rounds) { ranks_pass(2, "stress", NULL); }

Test(collective, rounds_on_more_ranks_than_cores) {
    setenv("MANTA_TEST_ROUNDS", "20000", 1);
    ranks_pass(4, "stress", NULL);
}

// ---- failure
// ---------------------------------------------------------------------------------------------------------

// the survivors check their errors and then abort with 7
static void noticed(const char *mode, const char *node_ranks_max, const char *extra) {
    ranks_do(3, mode, node_ranks_max, extra, 60);
    cr_assert(strstr(result.output, "lost and noticed"), "%s ended with %d:\n%s", mode, result.status, result.output);
    cr_assert(result.seconds < 20, "took %.1f s", result.seconds);
}

Test(collective, a_stopped_rank_is_a_deadline) { noticed("stopped", NULL, NULL); }
Test(collective, a_stopped_rank_on_another_node_is_a_deadline) { noticed("stopped", "2", NULL); }
Test(collective, a_killed_rank_is_noticed) { noticed("killed", NULL, "--enable-recovery"); }

Test(collective, too_much_memory_is_a_typed_error) {
    ranks_pass(2, "too-large", NULL);
    cr_assert(strstr(result.output, "shared memory: "), "%s", result.output);
    setenv("MANTA_SHM", "posix", 1);
    ranks_pass(2, "too-large", NULL);
}

static int shm_leftovers(void) {
    int n = 0;
    DIR *dir = opendir("/dev/shm");
    for (struct dirent *e; dir && (e = readdir(dir));) n += strncmp(e->d_name, "manta-", 6) == 0;
    if (dir) closedir(dir);
    return n;
}

Test(collective, named_shared_memory_leaves_nothing) {
    int before = shm_leftovers();
    setenv("MANTA_SHM", "posix", 1);
    ranks_pass(2, "slabs", NULL);
    noticed("stopped", NULL, NULL);
    cr_assert_leq(shm_leftovers(), before);
}
