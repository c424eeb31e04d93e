// The ranks' side of test_transport.c: mpi_transport MODE [NODE_RANKS_MAX], started by mpirun (or without). Exit status 0 and a
// line from rank 0; anything else is a failure with a line on standard error.
//
//   flood    every rank sends numbered messages of all sizes to all others while it polls; all checked
//   sleep    rounds of question and answer between ranks that sleep in between: nobody may be missed
//   idle     all sleep for a second: processor time is counted
//   killed   the last rank dies by SIGKILL; the others of its node notice within a second
//   slow     messages that take their time on the way are fetched by whoever asks twice before it polls, as a thread that takes
//            over from another does
//   quiet    after the start of a job of one node no MPI call is made (the profiling interface counts)
#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "engine/collective/collective.h"
#include "engine/collective/mpi.h"
#include "engine/runtime/transport/transport.h"
#include "tests/engine/mpi_check.h"

static mt_transport *t;
static mt_comm_desc desc = {.timeout_ns = 60 * MT_SECOND_NS};

// ---- MPI's profiling interface: how often the transport's calls are made
static atomic_long mpi_calls;
static atomic_int on_the_way; // no receive finishes, as over a slow network

int MPI_Isend(const void *buf, int count, MPI_Datatype type, int dst, int tag, MPI_Comm comm, MPI_Request *request) {
    atomic_fetch_add(&mpi_calls, 1);
    return PMPI_Isend(buf, count, type, dst, tag, comm, request);
}
int MPI_Improbe(int src, int tag, MPI_Comm comm, int *flag, MPI_Message *message, MPI_Status *status) {
    atomic_fetch_add(&mpi_calls, 1);
    return PMPI_Improbe(src, tag, comm, flag, message, status);
}
int MPI_Iprobe(int src, int tag, MPI_Comm comm, int *flag, MPI_Status *status) {
    atomic_fetch_add(&mpi_calls, 1);
    return PMPI_Iprobe(src, tag, comm, flag, status);
}
int MPI_Testsome(int n, MPI_Request requests[], int *count, int indices[], MPI_Status statuses[]) {
    atomic_fetch_add(&mpi_calls, 1);
    return PMPI_Testsome(n, requests, count, indices, statuses);
}
int MPI_Test(MPI_Request *request, int *flag, MPI_Status *status) {
    atomic_fetch_add(&mpi_calls, 1);
    if (atomic_load(&on_the_way)) return *flag = 0, MPI_SUCCESS;
    return PMPI_Test(request, flag, status);
}

// ---- messages

typedef struct head {
    uint64_t number;
    int32_t src, kind; // kind: of mode sleep
} head;

static uint64_t *expected; // next number from each
static long received;
static int answers, questions, answer_to;

static uint32_t mix(uint64_t x) {
    x *= 0x9e3779b97f4a7c15u;
    x ^= x >> 32;
    x *= 0xbf58476d1ce4e5b9u;
    return (uint32_t)(x >> 32);
}

static size_t length_of(int src, int dst, uint64_t number) {
    uint32_t r = mix(number * 1000003u + (uint32_t)src * 1009u + (uint32_t)dst);
    if (r % 211 == 0) return MT_MESSAGE_BYTES_MAX - r % 9;
    if (r % 31 == 0) return sizeof(head) + r % 50000;
    return sizeof(head) + r % 150;
}

static void check_and_count(void *context, int src, const void *message, size_t bytes) {
    (void)context;
    head h;
    memcpy(&h, message, sizeof h);
    CHECK((uintptr_t)message % 8 == 0, "alignment");
    CHECK(h.src == src && h.number == expected[src], "from %d: number %llu, not %llu", src, (unsigned long long)h.number,
        (unsigned long long)expected[src]);
    CHECK(bytes == length_of(src, rank, h.number), "from %d: %zu bytes", src, bytes);
    const unsigned char *body = (const unsigned char *)message + sizeof h;
    for (size_t i = 0; i < bytes - sizeof h; i++)
        CHECK(body[i] == (unsigned char)(h.number + i), "from %d: content at %zu", src, i);
    expected[src]++;
    received++;
}

static void mode_flood(void) {
    long each = size > 2 ? 3000 : 10000;
    unsigned char *body = malloc(MT_MESSAGE_BYTES_MAX * 2);
    for (size_t i = 0; i < MT_MESSAGE_BYTES_MAX * 2; i++) body[i] = (unsigned char)i;
    int64_t deadline = mt_deadline_after(120 * MT_SECOND_NS);
    for (long n = 0; n < each; n++) {
        for (int d = 1; d < size; d++) {
            int dst = (rank + d) % size;
            head h = {(uint64_t)n, rank, 0};
            size_t rest = length_of(rank, dst, (uint64_t)n) - sizeof h, cut = rest / 3;
            mt_piece pieces[3] = {{&h, sizeof h}, {body + (n & 255), cut}, {body + (n & 255) + cut, rest - cut}};
            t->ops->send(t, dst, pieces, 3);
        }
        // some poll seldom, so that their senders' rings are full
        if (mix((uint64_t)n) % (unsigned)(1 + rank * 40) == 0) t->ops->poll(t, check_and_count, NULL, 1 + (int)(n % 64));
    }
    while (received < each * (size - 1) || t->ops->queued_bytes(t)) {
        CHECK(!mt_deadline_passed(deadline), "%ld of %ld messages, %zu bytes queued", received, each * (size - 1),
            t->ops->queued_bytes(t));
        if (!t->ops->poll(t, check_and_count, NULL, 64)) sched_yield();
    }
    free(body);
}

static void count_kind(void *context, int src, const void *message, size_t bytes) {
    (void)context;
    head h;
    CHECK(bytes == sizeof h, "%zu bytes", bytes);
    memcpy(&h, message, sizeof h);
    if (h.kind == 0) {
        head reply = {h.number, rank, 1};
        t->ops->send(t, src, &(mt_piece){&reply, sizeof reply}, 1);
        questions++;
    } else {
        CHECK((int)h.number == answer_to, "answer to %d, not %d", (int)h.number, answer_to);
        answers++;
    }
}

// polls; when there is nothing, sleeps: what the background thread does
static void wait_asleep(int64_t deadline) {
    t->ops->set_asleep(t, 0);
    if (t->ops->poll(t, count_kind, NULL, 64)) return;
    t->ops->set_asleep(t, 1);
    if (!t->ops->pending(t)) t->ops->sleep(t, deadline);
}

static void mode_sleep(mt_comm *comm) {
    int rounds = 2000;
    int64_t began = mt_clock_ns(), deadline = mt_deadline_after(60 * MT_SECOND_NS), longest = 0;
    for (int i = 0; i < rounds && rank == 0; i++) {
        int64_t start = mt_clock_ns();
        answers = 0;
        answer_to = i;
        for (int d = 1; d < size; d++) {
            head h = {(uint64_t)i, rank, 0};
            t->ops->send(t, d, &(mt_piece){&h, sizeof h}, 1);
        }
        while (answers < size - 1) {
            CHECK(!mt_deadline_passed(deadline), "%d answers in round %d", answers, i);
            wait_asleep(deadline);
        }
        if (mt_clock_ns() - start > longest) longest = mt_clock_ns() - start;
        if (i % 10 == 0) mt_sleep_ns(mix((uint64_t)i) % 300000);
    }
    while (rank != 0 && (questions < rounds || t->ops->queued_bytes(t))) {
        CHECK(!mt_deadline_passed(deadline), "%d questions", questions);
        wait_asleep(deadline);
    }
    // half a second is the transport's insurance against a sender that died: a missed wake-up would show as that
    CHECK(longest < 400 * MT_MILLISECOND_NS, "a round took %.3f s", (double)longest * 1e-9);
    if (rank == 0)
        printf("sleep: %.1f us a round of %d, longest %.1f us\n", (double)(mt_clock_ns() - began) * 1e-3 / rounds, size - 1,
            (double)longest * 1e-3);
    // an answer that is with MPI still needs its sender's progress
    for (int i = 0; i < 50 && t->node_count > 1; i++) {
        t->ops->poll(t, count_kind, NULL, 64);
        mt_sleep_ns(MT_MILLISECOND_NS);
    }
    OK(mt_comm_barrier(comm));
}

static double cpu_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void mode_idle(mt_comm *comm) {
    OK(mt_comm_barrier(comm));
    double before = cpu_s();
    int64_t deadline = mt_deadline_after(2 * MT_SECOND_NS);
    while (!mt_deadline_passed(deadline)) wait_asleep(deadline);
    double used = cpu_s() - before;
    double limit = t->node_count > 1 ? 0.3 : 0.01;
    CHECK(used < limit, "%.4f s of processor time in 2 s of sleep", used);
    OK(mt_comm_barrier(comm));
    if (rank == 0) printf("idle: %.3f %% of a processor\n", used * 50);
}

static void mode_killed(mt_comm *comm) {
    int last = size - 1, here = t->node_of[last] == t->node;
    for (int r = 0; r < size; r++) CHECK(t->ops->alive(t, r), "rank %d", r);
    OK(mt_comm_barrier(comm));
    if (rank == last) raise(SIGKILL);
    int64_t start = mt_clock_ns(), deadline = start + MT_SECOND_NS;
    // fills his ring, then the queue; all of it is dropped when he is gone
    static char body[10000];
    for (int i = 0; i < 500; i++) t->ops->send(t, last, &(mt_piece){body, sizeof body}, 1);
    while (t->ops->alive(t, last) && !mt_deadline_passed(deadline)) {
        t->ops->set_asleep(t, 1);
        t->ops->sleep(t, mt_deadline_after(20 * MT_MILLISECOND_NS));
        t->ops->set_asleep(t, 0);
        t->ops->poll(t, count_kind, NULL, 16);
    }
    CHECK(t->ops->alive(t, last) == !here, "alive after %.3f s", (double)(mt_clock_ns() - start) * 1e-9);
    t->ops->poll(t, count_kind, NULL, 16);
    if (here) CHECK(t->ops->queued_bytes(t) == 0, "%zu bytes queued", t->ops->queued_bytes(t));
    for (int r = 0; r < last; r++) CHECK(t->ops->alive(t, r), "rank %d", r);
    fprintf(stderr, "rank %d noticed after %.3f s\n", rank, (double)(mt_clock_ns() - start) * 1e-9);
    mt_mpi_mark_broken();
    if (rank == 0) {
        mt_sleep_ns(MT_SECOND_NS); // the other survivors check too
        printf("killed and noticed\n");
        fflush(stdout);
        mt_mpi_abort(7);
    }
    mt_sleep_ns(10 * MT_SECOND_NS);
    mt_mpi_abort(8);
}

// More messages than the transport receives at a time, none of which is there when it begins to.
static void mode_slow(mt_comm *comm) {
    enum { MESSAGES = 100 };
    static unsigned char body[MT_MESSAGE_BYTES_MAX];
    int64_t deadline = mt_deadline_after(20 * MT_SECOND_NS);
    for (size_t i = 0; i < sizeof body; i++) body[i] = (unsigned char)i;
    CHECK(size == 2 && t->node_count == 2, "two ranks on two nodes");
    for (int n = 0; n < MESSAGES && rank == 0; n++) {
        head h = {(uint64_t)n, rank, 0};
        mt_piece pieces[2] = {{&h, sizeof h}, {body + (n & 255), length_of(0, 1, (uint64_t)n) - sizeof h}};
        t->ops->send(t, 1, pieces, 2);
    }
    if (rank == 1) {
        atomic_store(&on_the_way, 1);
        int64_t until = mt_deadline_after(300 * MT_MILLISECOND_NS);
        while (!mt_deadline_passed(until)) t->ops->poll(t, check_and_count, NULL, 64);
        CHECK(received == 0, "%ld messages from nowhere", received);
        atomic_store(&on_the_way, 0);
    }
    while (rank == 1 ? received < MESSAGES : t->ops->queued_bytes(t) > 0) {
        CHECK(!mt_deadline_passed(deadline), "%ld of %d messages, %zu bytes queued", received, MESSAGES, t->ops->queued_bytes(t));
        if (rank == 0 || (t->ops->pending(t) && t->ops->pending(t))) t->ops->poll(t, check_and_count, NULL, 64);
        else mt_sleep_ns(20 * MT_MICROSECOND_NS);
    }
    OK(mt_comm_barrier(comm));
}

static void mode_quiet(void) {
    atomic_store(&mpi_calls, 0);
    mode_flood();
    for (int i = 0; i < 20; i++) {
        t->ops->set_asleep(t, 1);
        t->ops->pending(t);
        t->ops->sleep(t, mt_deadline_after(MT_MILLISECOND_NS));
    }
    if (t->node_count == 1) CHECK(mpi_calls == 0, "%ld MPI calls", mpi_calls);
    else CHECK(mpi_calls > 0, "the counter does not count");
}

static void check_exchange(mt_comm *comm) {
    int64_t mine[3] = {rank, rank * 2, 7}, *all = calloc((size_t)size, sizeof mine);
    OK(mt_transport_job_exchange(comm, mine, all, sizeof mine));
    for (int r = 0; r < size; r++)
        CHECK(all[3 * r] == r && all[3 * r + 1] == 2 * r && all[3 * r + 2] == 7, "exchange with %d", r);
    free(all);
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "flood";
    mt_comm *comm;
    if (argc > 2) desc.node_ranks_max = atoi(argv[2]);
    OK(mt_mpi_init(&argc, &argv));
    OK(mt_comm_world(&desc, &comm));
    rank = mt_comm_rank(comm);
    size = mt_comm_size(comm);
    check_exchange(comm);
    OK(mt_transport_job_create(comm, &t));
    CHECK(t->rank == rank && t->size == size && t->node_count == mt_comm_node_count(comm), "layout");
    expected = calloc((size_t)size, sizeof *expected);
    if (strcmp(mode, "flood") == 0) mode_flood();
    else if (strcmp(mode, "sleep") == 0) mode_sleep(comm);
    else if (strcmp(mode, "idle") == 0) mode_idle(comm);
    else if (strcmp(mode, "killed") == 0) mode_killed(comm);
    else if (strcmp(mode, "slow") == 0) mode_slow(comm);
    else if (strcmp(mode, "quiet") == 0) mode_quiet();
    else CHECK(0, "no mode %s", mode);
    // what MPI still has on its way needs everybody
    if (t->node_count > 1)
        for (int i = 0; i < 20; i++) {
            t->ops->poll(t, check_and_count, NULL, 64);
            mt_sleep_ns(MT_MILLISECOND_NS);
        }
    OK(mt_comm_barrier(comm));
    int nodes = t->node_count;
    t->ops->destroy(t);
    if (rank == 0) printf("%s: %d ranks on %d nodes\n", mode, size, nodes);
    free(expected);
    mt_comm_destroy(comm);
    OK(mt_mpi_finalize());
    return 0;
}
