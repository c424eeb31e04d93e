// All-reduce, broadcast and a parameter server's round of device memory between GPUs: bus bandwidth by NCCL, and by way of main memory and MPI, beside the rate
// at which a GPU copies its own memory, measured in the same run.
//
//     mpirun -n 2 bench_gpu_group [--csv FILE]
//
// Bus bandwidth as NCCL's own tests define it, so that it does not depend on the number of ranks: an all-reduce moves 2 (n-1)/n of
// its bytes, a broadcast all of them. Times are those of the slowest rank, medians over 31 samples. Exit status 77 where there is
// no GPU.
#include "bench/bench.h"
#include "engine/base/clock.h"
#include "engine/collective/gpu_group.h"
#include "engine/collective/mpi.h"

enum { SAMPLES = 31, CALLS = 10, LARGEST = 64 << 20 };

static mt_comm *comm;
static mt_device *device;
static mt_stream stream;
static mt_gpu_group *group;
static float *data, *other;

static void must(mt_status status) {
    if (status == MT_OK) return;
    fprintf(stderr, "bench_gpu_group: %s\n", mt_last_error());
    mt_mpi_abort(1);
}

typedef mt_status one_fn(size_t bytes);
static mt_status one_allreduce(size_t bytes) {
    return mt_gpu_group_allreduce(group, stream, data, bytes / sizeof *data, MT_F32, MT_REDUCE_SUM);
}
static mt_status one_broadcast(size_t bytes) { return mt_gpu_group_broadcast(group, stream, data, bytes, 0); }
// what the others have goes to rank 0, one after the other, and what rank 0 has comes back
static mt_status one_round(size_t bytes) {
    const int rank = mt_comm_rank(comm);
    for (int r = 1; r < mt_comm_size(comm) && rank == 0; r++) MT_TRY(mt_gpu_group_receive(group, stream, other, bytes, r));
    if (rank > 0) MT_TRY(mt_gpu_group_send(group, stream, data, bytes, 0));
    return one_broadcast(bytes);
}
static mt_status one_copy(size_t bytes) { return mt_cuda_stream_copy(device, stream, other, data, bytes); }

// seconds of a call on the slowest rank
static double seconds(one_fn *fn, size_t bytes) {
    double times[SAMPLES];
    for (int s = -2; s < SAMPLES; s++) { // two to warm up
        must(mt_comm_barrier(comm));
        int64_t start = mt_clock_ns();
        for (int i = 0; i < CALLS; i++) must(fn(bytes));
        must(mt_gpu_group_wait(group, stream, NULL));
        double took = (double)(mt_clock_ns() - start) * 1e-9 / CALLS, slowest;
        must(mt_comm_allreduce(comm, &took, &slowest, 1, MT_F64, MT_REDUCE_MAX, 0));
        if (s >= 0) times[s] = slowest;
    }
    return bench_median(times, SAMPLES);
}

static void rows(const char *way, double copy_rate) {
    const int size = mt_comm_size(comm);
    for (size_t bytes = 1 << 12; bytes <= LARGEST; bytes *= 8) {
        char name[96];
        double reduce = seconds(one_allreduce, bytes), cast = seconds(one_broadcast, bytes), round = seconds(one_round, bytes);
        if (mt_comm_rank(comm) != 0) continue;
        snprintf(name, sizeof name, "all-reduce of %zu KiB over %d ranks, %s: bus bandwidth", bytes >> 10, size, way);
        bench_row(name, 2.0 * (size - 1) / size * (double)bytes / reduce * 1e-9, "GB/s", "device-to-device copy", copy_rate);
        snprintf(name, sizeof name, "broadcast of %zu KiB over %d ranks, %s: bus bandwidth", bytes >> 10, size, way);
        bench_row(name, (double)bytes / cast * 1e-9, "GB/s", "device-to-device copy", copy_rate);
        snprintf(name, sizeof name, "all-reduce of %zu KiB over %d ranks, %s", bytes >> 10, size, way);
        bench_row(name, reduce * 1e6, "us", NULL, 0);
        snprintf(name, sizeof name, "parameter server's round of %zu KiB over %d ranks, %s", bytes >> 10, size, way);
        bench_row(name, round * 1e6, "us", "all-reduce", reduce * 1e6);
    }
}

int main(int argc, char **argv) {
    must(mt_mpi_init(&argc, &argv));
    must(mt_comm_world(NULL, &comm));
    if (mt_device_open_for_rank("cuda", mt_comm_node_rank(comm), mt_comm_node_size(comm), &device) != MT_OK) {
        if (mt_comm_rank(comm) == 0) printf("skipped: %s\n", mt_last_error());
        mt_comm_destroy(comm);
        must(mt_mpi_finalize());
        return 77;
    }
    if (mt_comm_rank(comm) == 0) bench_open(argc, argv, "gpu_group");
    must(mt_cuda_stream_open(device, &stream));
    must(mt_device_alloc(device, LARGEST, (void **)&data));
    must(mt_device_alloc(device, LARGEST, (void **)&other));
    must(mt_gpu_group_create(comm, device, LARGEST, 0, &group));
    double copy_rate = 2.0 * LARGEST / seconds(one_copy, LARGEST) * 1e-9;
    if (mt_comm_rank(comm) == 0) bench_row("device-to-device copy of 64 MiB, read and written", copy_rate, "GB/s", NULL, 0);
    const int own_gpus = mt_gpu_group_capturable(group);
    if (own_gpus && mt_comm_size(comm) > 1) {
        rows("NCCL", copy_rate);
        mt_gpu_group_destroy(group);
        must(mt_gpu_group_create(comm, device, LARGEST, MT_GPU_THROUGH_HOST, &group));
    }
    rows("main memory and MPI", copy_rate);
    mt_gpu_group_destroy(group);
    mt_device_free(device, data);
    mt_device_free(device, other);
    mt_cuda_stream_close(device, stream);
    mt_device_close(device);
    int status = mt_comm_rank(comm) == 0 ? bench_close() : 0;
    mt_comm_destroy(comm);
    must(mt_mpi_finalize());
    return status;
}
