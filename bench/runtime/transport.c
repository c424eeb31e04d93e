// Messages between two ranks of a node: manta's transport against MPI_Send and MPI_Recv of the same run, interleaved.
//   round trip   a message there and back, both sides polling all the time; nanoseconds, median of batches
//   one way      as many as possible in one direction: messages a second, over all of a batch
//   wake-up      the other side sleeps when the message comes, and so does this one when the answer does
//   send, poll   what the calls cost the caller: into a ring whose reader is awake; with nothing there
// Ratios are manta's lead: MPI's time over manta's, manta's rate over MPI's. Batches are short, and figures medians over
// them, or another quantile: on a machine that others use, a low one shows what the undisturbed batches take.
//
//     mpirun -n 2 bench_runtime_transport [--csv FILE] [--batches N] [--quantile Q]
#include <mpi.h>
#include <sched.h>
#include "bench/bench.h"
#include "engine/base/clock.h"
#include "engine/base/futex.h"
#include "engine/collective/collective.h"
#include "engine/collective/mpi.h"
#include "engine/runtime/transport/transport.h"

enum { LARGEST = 16 << 10, TRIPS = 100, MESSAGES = 1000, MESSAGES_LARGE = 30, WAKES = 4, WARM = 10, BATCHES_MAX = 10000 };

static mt_comm *comm;
static mt_transport *t;
static int rank, batches = 1000;
static double quantile = 0.5;
static long got;
static _Alignas(64) char body[LARGEST], into[LARGEST];

static void must(mt_status status) {
    if (status == MT_OK) return;
    fprintf(stderr, "bench_runtime_transport: %s\n", mt_last_error());
    mt_mpi_abort(1);
}

static void count(void *context, int src, const void *message, size_t bytes) {
    (void)context, (void)src;
    // as MPI_Recv does: the message is looked at, one byte a line
    for (size_t i = 0; i < bytes; i += 64) __asm__ volatile("" ::"r"(((const char *)message)[i]));
    got++;
}

static void send(size_t bytes) { t->ops->send(t, !rank, &(mt_piece){body, bytes}, 1); }

static void poll_until(long target) {
    while (got < target)
        if (!t->ops->poll(t, count, NULL, 64)) mt_cpu_relax();
}

// What waits to travel together leaves with the next poll; after this nobody needs to poll here.
static void settle(void) {
    while (t->ops->queued_bytes(t)) t->ops->poll(t, count, NULL, 64);
}

static double ns_since(int64_t start, int calls) { return (double)(mt_clock_ns() - start) / calls; }

static void trip(size_t bytes, long target) {
    if (rank == 0) send(bytes);
    poll_until(target);
    if (rank == 1) send(bytes);
}

// The ranks meet, and both are awake and polling; nothing is under way.
static void meet(void) {
    must(mt_comm_barrier(comm));
    got = 0;
    for (int i = 0; i < WARM; i++) trip(8, i + 1);
    settle();
    got = 0;
}

// nanoseconds a round trip
static double trips_manta(size_t bytes) {
    meet();
    int64_t start = mt_clock_ns();
    for (int i = 0; i < TRIPS; i++) trip(bytes, i + 1);
    settle();
    return ns_since(start, TRIPS);
}

static double trips_mpi(size_t bytes) {
    meet();
    int64_t start = mt_clock_ns();
    for (int i = 0; i < TRIPS; i++) {
        if (rank == 0) MPI_Send(body, (int)bytes, MPI_BYTE, 1, 0, MPI_COMM_WORLD);
        MPI_Recv(into, (int)bytes, MPI_BYTE, !rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (rank == 1) MPI_Send(body, (int)bytes, MPI_BYTE, 0, 0, MPI_COMM_WORLD);
    }
    return ns_since(start, TRIPS);
}

// nanoseconds a message, until the last has been acknowledged
static double stream_manta(size_t bytes) {
    int n = bytes > 4096 ? MESSAGES_LARGE : MESSAGES;
    meet();
    int64_t start = mt_clock_ns();
    if (rank == 0) {
        for (int i = 0; i < n; i++) {
            send(bytes);
            // what does not fit is moved by polling, and memory stays bounded
            while (t->ops->queued_bytes(t)) t->ops->poll(t, count, NULL, 1);
        }
        poll_until(1);
    } else {
        poll_until(n);
        send(8);
        settle();
    }
    return ns_since(start, n);
}

static double stream_mpi(size_t bytes) {
    int n = bytes > 4096 ? MESSAGES_LARGE : MESSAGES;
    meet();
    int64_t start = mt_clock_ns();
    for (int i = 0; i < n; i++)
        if (rank == 0) MPI_Send(body, (int)bytes, MPI_BYTE, 1, 0, MPI_COMM_WORLD);
        else MPI_Recv(into, (int)bytes, MPI_BYTE, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (rank == 0) MPI_Recv(into, 8, MPI_BYTE, 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    else MPI_Send(body, 8, MPI_BYTE, 0, 0, MPI_COMM_WORLD);
    return ns_since(start, n);
}

static void sleep_until(long target) {
    for (;;) {
        t->ops->set_asleep(t, 0);
        t->ops->poll(t, count, NULL, 64);
        if (got >= target) return;
        t->ops->set_asleep(t, 1);
        if (!t->ops->pending(t)) t->ops->sleep(t, mt_deadline_after(MT_SECOND_NS));
    }
}

static double wakes(size_t bytes) {
    must(mt_comm_barrier(comm));
    double spent = 0;
    got = 0;
    for (int i = 0; i < WAKES; i++) {
        int64_t start = mt_clock_ns();
        if (rank == 0) {
            mt_sleep_ns(200 * MT_MICROSECOND_NS); // by now he sleeps
            start = mt_clock_ns();
            send(bytes);
        }
        sleep_until(i + 1);
        if (rank == 1) send(bytes);
        settle();
        spent += (double)(mt_clock_ns() - start);
    }
    return spent / WAKES;
}

static double quantile_of(double *values) {
    qsort(values, (size_t)batches, sizeof *values, bench_compare);
    return values[(int)(quantile * (batches - 1) + 0.5)];
}

static double measure(double (*batch)(size_t), size_t bytes) {
    static double times[BATCHES_MAX];
    for (int b = 0; b < batches; b++) times[b] = batch(bytes);
    return quantile_of(times);
}

// both ways in turn, so that a neighbour's burst hits both
static void pair(const char *what, size_t bytes, double (*manta)(size_t), double (*mpi)(size_t), int rate) {
    static double ours[BATCHES_MAX], theirs[BATCHES_MAX];
    char name[64];
    manta(bytes), mpi(bytes);
    for (int b = 0; b < batches; b++) ours[b] = manta(bytes), theirs[b] = mpi(bytes);
    double a = quantile_of(ours), z = quantile_of(theirs);
    snprintf(name, sizeof name, "%s, %zu bytes", what, bytes);
    if (rank != 0) return;
    if (rate) {
        bench_row(name, 1e3 / a, "M/s", "MPI_Send/MPI_Recv", 1e3 / z);
        return;
    }
    // of times the ratio is the reference over manta's
    printf("%-56s %12.5g %-10s %8.3f  %s (%.5g)\n", name, a, "ns", z / a, "MPI_Send/MPI_Recv", z);
    if (bench_output.csv)
        fprintf(bench_output.csv, "%s,\"%s\",%.6g,ns,\"MPI_Send/MPI_Recv\",%.6g,%.4g\n", bench_output.name, name, a, z, z / a);
}

// ---- what calls cost

// a burst that fits the ring, to a reader who polls
static double send_cost(size_t bytes) {
    int n = MESSAGES;
    double spent = 0;
    meet();
    if (rank == 0) {
        int64_t start = mt_clock_ns();
        for (int i = 0; i < n; i++) send(bytes);
        spent = ns_since(start, n);
        poll_until(1);
    } else {
        poll_until(n);
        send(8);
        settle();
    }
    return spent;
}

static void empty_poll(void *context) {
    (void)context;
    t->ops->poll(t, count, NULL, 64);
}
static void empty_pending(void *context) {
    (void)context;
    t->ops->pending(t);
}

int main(int argc, char **argv) {
    static const size_t sizes[] = {64, 1024, LARGEST};
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--batches") == 0) batches = atoi(argv[i + 1]);
        if (strcmp(argv[i], "--quantile") == 0) quantile = atof(argv[i + 1]);
    }
    if (batches < 1 || batches > BATCHES_MAX || !(quantile >= 0 && quantile <= 1))
        return fprintf(stderr, "bench_runtime_transport: --batches 1 to %d, --quantile 0 to 1\n", BATCHES_MAX), 2;
    must(mt_mpi_init(&argc, &argv));
    if (mt_mpi_size() != 2) return fprintf(stderr, "bench_runtime_transport: start it with mpirun -n 2\n"), 2;
    mt_comm_desc desc = {.node_ranks_max = getenv("BENCH_NODES") ? 1 : 0}; // BENCH_NODES=1: as if on two nodes
    must(mt_comm_world(&desc, &comm));
    must(mt_transport_job_create(comm, &t));
    rank = mt_comm_rank(comm);
    if (rank == 0) bench_open(argc, argv, "runtime-transport");
    for (int i = 0; i < 3; i++) pair("round trip", sizes[i], trips_manta, trips_mpi, 0);
    for (int i = 0; i < 3; i++) pair("one way", sizes[i], stream_manta, stream_mpi, 1);
    double cost = measure(send_cost, 100), wake = measure(wakes, 64);
    must(mt_comm_barrier(comm));
    if (rank == 0) {
        bench_row("round trip when both sleep, 64 bytes", wake * 1e-3, "us", NULL, 0);
        bench_row("send, 100 bytes, the reader polls", cost, "ns", NULL, 0);
        bench_row("poll, nothing there", bench_run(empty_poll, NULL).median * 1e9, "ns", NULL, 0);
        bench_row("pending, nothing there", bench_run(empty_pending, NULL).median * 1e9, "ns", NULL, 0);
    }
    must(mt_comm_barrier(comm));
    t->ops->destroy(t);
    mt_comm_destroy(comm);
    int status = rank == 0 ? bench_close() : 0;
    must(mt_mpi_finalize());
    return status;
}
