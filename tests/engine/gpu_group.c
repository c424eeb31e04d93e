// Ranks that train together on their GPUs: this program starts itself under mpirun, two or three ranks a job, once for each thing to see.
//   reduce   the group's own way: NCCL where each rank has a GPU, else staging; host: staging, whether or not NCCL could; shared:
//            all ranks on one GPU
//   slow     work of several deadlines' length that goes on all the time: progress is seen
//   killed   a rank is killed before the all-reduce that another is in; stopped: it sleeps past the deadline
//   server   a rank is killed whose gradient a parameter server waits for, while another waits for parameters; server_shared: all ranks
//            on one GPU, messages through main memory
// Exit status 0, 1, or 77 with the reason where there is no GPU.
#include "engine/collective/gpu_group.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include "engine/collective/gpus.h"
#include "engine/collective/nccl.h"
#include "engine/device/cuda_graph.h"
#include "tests/engine/mpi_check.h"
#include "tests/engine/mpi_launch.h"

static mt_device *device;
static mt_stream stream;
static mt_comm *comm;
static mt_gpu_group *group;

static void *on_gpu(const void *from, size_t bytes) {
    void *memory;
    OK(mt_device_alloc(device, bytes, &memory));
    OK(mt_cuda_stream_copy(device, stream, memory, from, bytes));
    return memory;
}
static void *from_gpu(const void *from, size_t bytes) {
    void *memory = malloc(bytes);
    OK(mt_cuda_stream_copy(device, stream, memory, from, bytes));
    OK(mt_cuda_stream_sync(device, stream));
    return memory;
}
static float value(int of_rank, size_t i) { return (float)(of_rank + 1) * 0.5f + (float)(i % 1000) * 0.25f; }

// ---- what each operation gives

// queued between two copies on the stream, with nobody waiting in between
static void reduces(size_t count) {
    float *mine = malloc(sizeof *mine * (count + 1));
    for (size_t i = 0; i < count; i++) mine[i] = value(rank, i);
    mine[count] = 77; // behind the end
    float *data = on_gpu(mine, sizeof *mine * (count + 1));
    OK(mt_gpu_group_allreduce(group, stream, data, count, MT_F32, MT_REDUCE_SUM));
    OK(mt_gpu_group_wait(group, stream, NULL));
    float *sum = from_gpu(data, sizeof *sum * (count + 1));
    for (size_t i = 0; i < count; i++) {
        float want = 0;
        for (int r = 0; r < size; r++) want += value(r, i);
        CHECK(sum[i] == want, "element %zu of %zu is %g, want %g", i, count, sum[i], want);
    }
    CHECK(sum[count] == 77, "written behind the end");
    free(sum), free(mine);
    mt_device_free(device, data);
}

static void reduces_other_types(void) {
    double halves[2] = {rank + 0.5, -rank};
    int64_t most = rank == 0 ? -5 : 1000 + rank;
    double *d = on_gpu(halves, sizeof halves);
    int64_t *m = on_gpu(&most, sizeof most);
    OK(mt_gpu_group_allreduce(group, stream, d, 2, MT_F64, MT_REDUCE_SUM));
    OK(mt_gpu_group_allreduce(group, stream, m, 1, MT_I64, MT_REDUCE_MAX));
    double *sum = from_gpu(d, sizeof halves);
    int64_t *top = from_gpu(m, sizeof most);
    CHECK(sum[0] == size * (size - 1) / 2.0 + 0.5 * size && sum[1] == -size * (size - 1) / 2.0, "%g %g", sum[0], sum[1]);
    CHECK(*top == (size == 1 ? -5 : 1000 + size - 1), "%lld", (long long)*top);
    CHECK(mt_gpu_group_allreduce(group, stream, d, 2, MT_U8, MT_REDUCE_SUM) == MT_INVALID_ARGUMENT, "bytes have no sum");
    free(sum), free(top);
    mt_device_free(device, d), mt_device_free(device, m);
}

// weights from the last rank to all; gradients to the first, one after the other, and weights back
static void sends(void) {
    enum { COUNT = 40013 };
    float *mine = malloc(sizeof(float) * COUNT);
    for (size_t i = 0; i < COUNT; i++) mine[i] = value(rank, i);
    float *data = on_gpu(mine, sizeof(float) * COUNT);
    OK(mt_gpu_group_broadcast(group, stream, data, sizeof(float) * COUNT, size - 1));
    float *all = from_gpu(data, sizeof(float) * COUNT);
    for (size_t i = 0; i < COUNT; i++) CHECK(all[i] == value(size - 1, i), "broadcast: element %zu is %g", i, all[i]);
    free(all);
    CHECK(mt_gpu_group_send(group, stream, data, 4, rank) == MT_INVALID_ARGUMENT, "to oneself");
    CHECK(mt_gpu_group_receive(group, stream, data, 4, size) == MT_INVALID_ARGUMENT, "from nobody");
    OK(mt_cuda_stream_copy(device, stream, data, mine, sizeof(float) * COUNT));
    for (int r = 1; r < size; r++)
        if (rank == 0) {
            OK(mt_gpu_group_receive(group, stream, data, sizeof(float) * COUNT, r));
            float *got = from_gpu(data, sizeof(float) * COUNT);
            for (size_t i = 0; i < COUNT; i++) CHECK(got[i] == value(r, i), "of rank %d: element %zu is %g", r, i, got[i]);
            free(got);
            OK(mt_gpu_group_send(group, stream, data, sizeof(float) * COUNT, r));
        } else if (rank == r) {
            OK(mt_gpu_group_send(group, stream, data, sizeof(float) * COUNT, 0));
            OK(mt_gpu_group_wait(group, stream, NULL));
            OK(mt_device_fill(device, data, 0, 4)); // of the default stream: it and ours wait for each other by hand
            OK(mt_device_sync(device));
            OK(mt_gpu_group_receive(group, stream, data, sizeof(float) * COUNT, 0));
        }
    OK(mt_gpu_group_wait(group, stream, NULL));
    float *back = from_gpu(data, sizeof(float) * COUNT);
    if (rank) CHECK(back[0] == value(rank, 0) && back[COUNT - 1] == value(rank, COUNT - 1), "what came back");
    free(back), free(mine);
    mt_device_free(device, data);
}

// an all-reduce in a graph, launched twice: the sum of sums
static float *captured_data;
static mt_status record(void *unused) {
    (void)unused;
    return mt_gpu_group_allreduce(group, stream, captured_data, 1000, MT_F32, MT_REDUCE_SUM);
}
static void captures(void) {
    mt_cuda_graph *graph;
    float ones[1000];
    for (int i = 0; i < 1000; i++) ones[i] = 1;
    if (!mt_gpu_group_capturable(group)) return;
    captured_data = on_gpu(ones, sizeof ones);
    OK(mt_cuda_stream_sync(device, stream));
    OK(mt_cuda_graph_capture(device, stream, record, NULL, &graph));
    for (int i = 0; i < 2; i++) OK(mt_cuda_graph_launch(graph, stream));
    OK(mt_gpu_group_wait(group, stream, NULL));
    float *sum = from_gpu(captured_data, sizeof ones);
    for (int i = 0; i < 1000; i++) CHECK(sum[i] == (float)(size * size), "element %d is %g", i, sum[i]);
    free(sum);
    mt_cuda_graph_destroy(graph);
    mt_device_free(device, captured_data);
}

// A parameter server's round in a graph, launched twice: what the others have goes to rank 0, which has room for each, and all of it
// comes back.
static float *slots;
enum { SLOT = 700 };
static mt_status record_round(void *unused) {
    (void)unused;
    for (int r = 1; r < size && rank == 0; r++) MT_TRY(mt_gpu_group_receive(group, stream, slots + SLOT * r, sizeof *slots * SLOT, r));
    if (rank > 0) MT_TRY(mt_gpu_group_send(group, stream, slots + SLOT * rank, sizeof *slots * SLOT, 0));
    return mt_gpu_group_broadcast(group, stream, slots, sizeof *slots * (size_t)(SLOT * size), 0);
}
static void serves(void) {
    mt_cuda_graph *graph = NULL;
    float *mine = calloc((size_t)(SLOT * size), sizeof *mine);
    for (int i = 0; i < SLOT; i++) mine[SLOT * rank + i] = value(rank, (size_t)i);
    slots = on_gpu(mine, sizeof *mine * (size_t)(SLOT * size));
    OK(record_round(NULL)); // connections are made by then
    OK(mt_gpu_group_wait(group, stream, NULL));
    if (mt_gpu_group_capturable(group)) OK(mt_cuda_graph_capture(device, stream, record_round, NULL, &graph));
    for (int turn = 0; turn < 2; turn++) {
        OK(mt_cuda_stream_copy(device, stream, slots, mine, sizeof *mine * (size_t)(SLOT * size)));
        OK(graph ? mt_cuda_graph_launch(graph, stream) : record_round(NULL));
        OK(mt_gpu_group_wait(group, stream, NULL));
        float *all = from_gpu(slots, sizeof *all * (size_t)(SLOT * size));
        for (int r = 0; r < size; r++)
            for (int i = 0; i < SLOT; i++)
                CHECK(all[SLOT * r + i] == value(r, (size_t)i), "turn %d: element %d of rank %d is %g", turn, i, r, all[SLOT * r + i]);
        free(all);
    }
    mt_cuda_graph_destroy(graph);
    free(mine);
    mt_device_free(device, slots);
}

// two at once in both directions, where NCCL is there by itself
static void exchanges(const mt_gpu_meeting *meeting) {
    mt_nccl *nccl;
    mt_status status = mt_nccl_create(comm, device, meeting, &nccl);
    if (meeting->shared[0] >= 0) {
        CHECK(status == MT_UNSUPPORTED && strstr(mt_last_error(), "ranks 0 and 1 both compute on"), "two ranks on one GPU");
        return;
    }
    CHECK(status == MT_OK, "NCCL");
    int32_t mine = 100 + rank, *there = on_gpu(&mine, sizeof mine), *here = on_gpu(&mine, sizeof mine);
    OK(mt_nccl_begin(nccl));
    OK(mt_nccl_send(nccl, stream, there, sizeof mine, (rank + 1) % size));
    OK(mt_nccl_receive(nccl, stream, here, sizeof mine, (rank + size - 1) % size));
    OK(mt_nccl_end(nccl));
    OK(mt_nccl_wait(nccl, stream, NULL));
    int32_t *got = from_gpu(here, sizeof mine);
    CHECK(*got == 100 + (rank + size - 1) % size, "%d", *got);
    free(got);
    mt_device_free(device, there), mt_device_free(device, here);
    mt_nccl_destroy(nccl);
}

// ---- work that takes its time

// rank 1 is late for each sum, but never by a deadline
static void takes_long(void) {
    enum { SUMS = 4 };
    const int64_t numbers[SUMS] = {1, 2, 3, 4};
    float zero = 0, *data = on_gpu(&zero, sizeof zero);
    int64_t *there = on_gpu(numbers, sizeof numbers), *done;
    OK(mt_cuda_stream_sync(device, stream));
    OK(mt_cuda_pinned_alloc(device, sizeof *done, (void **)&done));
    *done = 0;
    int64_t start = mt_clock_ns();
    for (int i = 0; i < SUMS; i++) {
        if (rank == 1) mt_sleep_ns(2 * MT_SECOND_NS);
        OK(mt_gpu_group_allreduce(group, stream, data, 1, MT_F32, MT_REDUCE_SUM));
        OK(mt_cuda_stream_copy(device, stream, done, there + i, sizeof *done));
        if (rank == 1) OK(mt_gpu_group_wait(group, stream, NULL));
    }
    OK(mt_gpu_group_wait(group, stream, &(mt_progress){.count = done}));
    CHECK(mt_clock_ns() - start > mt_comm_timeout_ns(comm), "it was too fast to prove anything");
    CHECK(*done == SUMS, "%d", (int)*done);
    mt_cuda_pinned_free(device, done);
    mt_device_free(device, there), mt_device_free(device, data);
}

// ---- a rank that does not come

static float *waited_for;
static mt_status all_reduce(void) { return mt_gpu_group_allreduce(group, stream, waited_for, 1, MT_F32, MT_REDUCE_SUM); }
static mt_status serve(void) {
    slots = waited_for;
    return record_round(NULL);
}

static void misses(int how, mt_status (*operation)(void)) {
    float *zeros = calloc((size_t)(SLOT * size), sizeof *zeros), *data = waited_for = on_gpu(zeros, sizeof *zeros * (size_t)(SLOT * size));
    free(zeros);
    OK(mt_gpu_group_allreduce(group, stream, data, 1, MT_F32, MT_REDUCE_SUM)); // all are there
    OK(mt_gpu_group_wait(group, stream, NULL));
    OK(mt_comm_barrier(comm));
    if (rank == 1) {
        if (how == SIGKILL) raise(how);
        mt_sleep_ns(60 * MT_SECOND_NS);
    }
    int64_t start = mt_clock_ns();
    mt_status status = operation();
    if (status == MT_OK) status = mt_gpu_group_wait(group, stream, NULL);
    double seconds = (double)(mt_clock_ns() - start) * 1e-9;
    CHECK(status == MT_COMM || (how != SIGKILL && status == MT_DEADLINE), "status %s", mt_status_name(status));
    CHECK(seconds < (how == SIGKILL ? 5 : 13), "noticed after %.1f s", seconds);
    printf("rank %d noticed after %.1f s: %s\n", rank, seconds, mt_last_error());
    CHECK(mt_gpu_group_allreduce(group, stream, data, 1, MT_F32, MT_REDUCE_SUM) == MT_COMM, "a broken group says so");
    mt_gpu_group_destroy(group);
    fflush(stdout);
    if (size > 2) mt_sleep_ns(2 * MT_SECOND_NS); // the others say so, too
    mt_mpi_abort(0);
}

static int be_rank(const char *mode) {
    // the short deadline is of a communicator that is made when both are there already
    mt_comm_desc desc = {.timeout_ns = 60 * MT_SECOND_NS}, hasty = {.timeout_ns = 8 * MT_SECOND_NS}, brisk = {.timeout_ns = 5 * MT_SECOND_NS};
    mt_comm *world;
    mt_gpu_meeting meeting;
    OK(mt_mpi_init(NULL, NULL));
    rank = mt_mpi_rank(), size = mt_mpi_size();
    OK(mt_comm_world(&desc, &world));
    const int slow = strcmp(mode, "slow") == 0;
    OK(mt_comm_dup(world, strcmp(mode, "stopped") == 0 ? &hasty : slow ? &brisk : &desc, &comm));
    const int on_one = strstr(mode, "shared") != NULL, through_host = strcmp(mode, "host") == 0;
    OK(mt_device_open_for_rank(on_one ? "cuda:0" : "cuda", mt_comm_node_rank(comm), mt_comm_node_size(comm), &device));
    OK(mt_cuda_stream_open(device, &stream));
    uint64_t whole = device->memory_bytes;
    OK(mt_gpu_group_create(comm, device, 100 << 10, through_host ? MT_GPU_THROUGH_HOST : 0, &group));
    if (rank == 0) printf("%s: %s, %d rank(s) on it\n", mode, device->name, device->sharers);
    CHECK(device->memory_bytes == whole / (uint64_t)device->sharers, "a part for each");
    if (strcmp(mode, "killed") == 0) misses(SIGKILL, all_reduce);
    if (strcmp(mode, "stopped") == 0) misses(0, all_reduce);
    if (strncmp(mode, "server", 6) == 0) misses(SIGKILL, serve);
    mt_device own = *device; // whose number of sharers is set again
    OK(mt_gpu_meet(comm, &own, &meeting));
    CHECK(meeting.without == -1 && (device->sharers == 1 || meeting.shared[0] >= 0), "who is where");
    CHECK(mt_gpu_group_capturable(group) == (size == 1 || !(through_host || meeting.shared[0] >= 0)), "staging in a graph");
    CHECK(!on_one || device->sharers == size, "all on one GPU, and %d known", device->sharers);
    const size_t counts[] = {1, 3, 1000, 25600, 300007}; // staging takes 100 KiB at a time
    if (slow) takes_long();
    for (int i = 0; i < 5; i++) reduces(counts[i]);
    reduces_other_types();
    if (size > 1) sends();
    captures();
    serves();
    if (size > 1) exchanges(&meeting);
    mt_gpu_group_destroy(group);
    mt_cuda_stream_close(device, stream);
    mt_device_close(device);
    mt_comm_destroy(comm);
    mt_comm_destroy(world);
    OK(mt_mpi_finalize());
    return 0;
}

// ---- starting the ranks

static int started(const char *self, int ranks, const char *mode, const char *extra) {
    static launch_result result;
    const char *arguments[] = {mode, NULL};
    launch_mpirun(ranks, extra, self, arguments, 120, &result);
    const int missed = extra != NULL;
    int noticed = 0;
    for (const char *at = result.output; (at = strstr(at, " noticed after ")); at++) noticed++;
    const int good = missed ? noticed == ranks - 1 : result.status == 0;
    printf("%s on %d rank(s): %s after %.1f s\n%s", mode, ranks, good ? "passed" : "FAILED", result.seconds, result.output);
    return good;
}

int main(int argc, char **argv) {
    if (argc > 1) return be_rank(argv[1]);
    if (mt_device_open("cuda", &device) != MT_OK) {
        printf("skipped: %s\n", mt_last_error());
        return 77;
    }
    mt_device_close(device);
    int good = started(argv[0], 1, "reduce", NULL);
    good &= started(argv[0], 2, "reduce", NULL);
    good &= started(argv[0], 3, "reduce", NULL);
    good &= started(argv[0], 2, "host", NULL);
    good &= started(argv[0], 3, "host", NULL);
    good &= started(argv[0], 3, "shared", NULL);
    good &= started(argv[0], 2, "slow", NULL);
    good &= started(argv[0], 2, "killed", "--enable-recovery");
    good &= started(argv[0], 2, "stopped", "--enable-recovery");
    good &= started(argv[0], 3, "server", "--enable-recovery");
    good &= started(argv[0], 3, "server_shared", "--enable-recovery");
    return good ? 0 : 1;
}
