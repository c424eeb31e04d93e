// Tests of the device itself, which need no kernel's arithmetic but axpy's and adam's: memory, streams, graphs, arenas, peers.
#ifndef MANTA_TESTS_KERNELS_CUDA_DEVICE_H
#define MANTA_TESTS_KERNELS_CUDA_DEVICE_H

#include "engine/device/budget.h"
#include "engine/device/cuda_graph.h"
#include "harness.h"

#define EXPECT(condition, what)                                                                                        \
    do {                                                                                                               \
        if (!(condition)) failures++, printf("FAILED device: %s (%s)\n", (what), mt_last_error());                     \
    } while (0)

// zeroed memory, pinned memory, one stream behind another
static void test_device(void) {
    enum { count = 1 << 20 };
    void *memory, *pinned;
    mt_stream stream;
    mt_event before, after;
    must(device.ops->alloc(&device, count, &memory));
    must(mt_cuda_pinned_alloc(&device, count, &pinned));
    must(mt_cuda_stream_open(&device, &stream));
    must(mt_cuda_event_open(&device, &before));
    must(mt_cuda_event_open(&device, &after));
    memset(pinned, 1, count);
    must(mt_cuda_event_record(&device, before, cuda.stream));
    must(mt_cuda_stream_copy(&device, cuda.stream, pinned, memory, count)); // zeros
    must(mt_cuda_event_record(&device, after, cuda.stream));
    must(mt_cuda_event_wait(&device, stream, after));
    float *back = NEW(float, count / 4);
    must(mt_cuda_stream_copy(&device, stream, back, pinned, count));
    must(mt_cuda_stream_sync(&device, stream));
    int over = 0;
    must(mt_cuda_stream_done(&device, stream, &over));
    if (!over) failures++, printf("FAILED device: a stream that was waited for has something left\n");
    double seconds;
    must(mt_cuda_event_elapsed_s(&device, before, after, &seconds));
    char *seen = down(back, count);
    int dirty = 0;
    for (int i = 0; i < count; i++) dirty += seen[i] != 0;
    if (dirty || !(seconds > 0 && seconds < 10))
        failures++, printf("FAILED device: %d bytes of new memory not 0, %g s\n", dirty, seconds);
    free(seen);
    must(device.ops->fill(&device, memory, 7, count));
    must(device.ops->copy(&device, pinned, memory, count));
    must(device.ops->sync(&device));
    uint64_t left;
    must(device.ops->memory_free(&device, &left));
    if (((char *)pinned)[count - 1] != 7 || left == 0 || left > device.memory_bytes)
        failures++, printf("FAILED device: fill, copy or memory_free\n");
    // more than there is: a status with words, and the next call works
    void *none = NULL;
    if (device.ops->alloc(&device, (size_t)1 << 50, &none) != MT_NO_MEMORY || none ||
        !strstr(mt_last_error(), "smaller batches"))
        failures++, printf("FAILED device: a petabyte of memory\n");
    mt_device absent = {.ops = &mt_device_cuda, .kind = MT_DEVICE_CUDA};
    if (device.ops->open(&absent, 4096) != MT_UNSUPPORTED || !strstr(mt_last_error(), "CUDA_VISIBLE_DEVICES"))
        failures++, printf("FAILED device: cuda:4096\n");
    mt_cuda small;
    must(mt_cuda_init(&small, &device, 8));
    double *sum = NEW(double, 1);
    if (mt_cuda_sum(&small, 1 << 18, (float *)back, sum) != MT_NO_MEMORY || !strstr(mt_last_error(), "scratch space"))
        failures++, printf("FAILED device: too little scratch space\n");
    mt_cuda_fini(&small);
    mt_cuda_event_close(&device, before);
    mt_cuda_event_close(&device, after);
    mt_cuda_stream_close(&device, stream);
    mt_cuda_pinned_free(&device, pinned);
    device.ops->free(&device, memory);
    done("device");
}

// everything of one learner in one allocation, zeroed, and a budget that says when it cannot fit
static void test_device_arena(void) {
    mt_device_arena arena = {.device = &device};
    mt_device_budget budget = {0};
    float *params;
    uint8_t *flags, *none;
    MT_DEVICE_ARENA_ADD(&arena, params, 1000);
    MT_DEVICE_ARENA_ADD(&arena, flags, 3);
    MT_DEVICE_ARENA_ADD(&arena, none, 0);
    mt_device_budget_add_arena(&budget, &arena);
    EXPECT(mt_device_budget_check(&budget, &device) == MT_OK, "a budget of 4 KB");
    must(mt_device_arena_commit(&arena));
    EXPECT(params && flags && !none && ((uintptr_t)params | (uintptr_t)flags) % 256 == 0, "an arena's places");
    float *zeros = down(params, 4000);
    for (int i = 0; i < 1000; i++) EXPECT(zeros[i] == 0, "an arena's zeros");
    free(zeros);
    mt_device_arena_fini(&arena);
    mt_device_budget_add(&budget, "segment", (uint64_t)1 << 50);
    EXPECT(mt_device_budget_check(&budget, &device) == MT_NO_MEMORY && strstr(mt_last_error(), "segment"),
        "a budget of a petabyte");
    arena.device = &device;
    MT_DEVICE_ARENA_ADD(&arena, params, (size_t)1 << 48);
    EXPECT(mt_device_arena_commit(&arena) == MT_NO_MEMORY && strstr(mt_last_error(), "largest: params"), "an arena of a petabyte");
    mt_device_arena_fini(&arena);
}

// other GPUs of the machine, where there are some
static void test_peers(void) {
    int count = mt_cuda_device_count(), direct = -1;
    EXPECT(count >= 1, "a device that is open is not counted");
    must(mt_cuda_peer_open(&device, &device, &direct));
    EXPECT(direct == 1, "a device reaches its own memory");
    for (int i = 1; i < count; i++) {
        mt_device other = {.ops = &mt_device_cuda, .kind = MT_DEVICE_CUDA, .ordinal = i};
        must(device.ops->open(&other, i));
        EXPECT(strcmp(other.place, device.place) != 0, "two GPUs at one place");
        for (int twice = 0; twice < 2; twice++) must(mt_cuda_peer_open(&device, &other, &direct));
        void *memory;
        must(other.ops->alloc(&other, 64, &memory));
        uint32_t words[16], *back;
        for (int k = 0; k < 16; k++) words[k] = (uint32_t)k;
        must(mt_cuda_stream_copy(&device, cuda.stream, memory, UP(words, 16), sizeof words));
        back = down(memory, sizeof words);
        EXPECT(memcmp(back, words, sizeof words) == 0, "a copy to another GPU");
        free(back);
        other.ops->free(&other, memory);
        done("peers");
    }
}

// ---- graphs

static struct update {
    float *x, *y, *norm;
    mt_adam adam;
    mt_adam_scalars *scalars;
} update;
// y += x/2, then an update whose rate and step stand in device memory
static mt_status queue_update(void *context) {
    struct update *u = context;
    MT_TRY(mt_cuda_axpy(&cuda, u->adam.count, 0.5f, u->x, u->y));
    return mt_cuda_adam_clipped(&cuda, &u->adam, 0.5f, u->scalars, u->norm);
}
static mt_status queue_failure(void *context) {
    MT_TRY(queue_update(context));
    return MT_FAIL(INVALID_ARGUMENT, "a failure of the test's own");
}

static void test_graph(void) {
    enum { count = 3001, replays = 4 };
    mt_cuda_graph *graph = NULL;
    float *x = normals_of(count, 1), *y = normals_of(count, 1), *p = normals_of(count, 1), *zero = host_floats(count);
    mt_adam_scalars start = {.step = 0, .lr = 1e-2f}, later = {.step = 2, .lr = 1e-3f};
    float *results[2][2];
    for (int captured = 0; captured < 2; captured++) {
        struct update u = {.x = UP(x, count), .y = UP(y, count), .norm = NEW(float, 1), .scalars = UP(&start, 1)};
        u.adam = (mt_adam){.count = count, .param = UP(p, count), .m = UP(zero, count), .v = UP(zero, count), .grad = u.y,
            .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-5f};
        update = u;
        if (captured) {
            EXPECT(mt_cuda_graph_capture(&device, cuda.stream, queue_failure, &update, &graph) == MT_INVALID_ARGUMENT && !graph,
                "a capture that fails");
            must(mt_cuda_graph_capture(&device, cuda.stream, queue_update, &update, &graph));
            EXPECT(mt_cuda_graph_nodes(graph) == 3, "axpy and adam's two launches in the graph");
            float *untouched = down(u.y, sizeof *y * count);
            EXPECT(memcmp(untouched, y, sizeof *y * count) == 0, "a capture runs nothing");
            free(untouched);
        }
        for (int i = 0; i < replays; i++) {
            if (i == 2) must(mt_cuda_stream_copy(&device, cuda.stream, u.scalars, &later, sizeof later)); // another rate
            must(captured ? mt_cuda_graph_launch(graph, cuda.stream) : queue_update(&update));
        }
        results[captured][0] = down(u.adam.param, sizeof *p * count), results[captured][1] = down(u.y, sizeof *y * count);
        mt_adam_scalars *end = down(u.scalars, sizeof *end);
        EXPECT(end->step == replays && end->lr == later.lr, "the step that launches advance");
        free(end);
    }
    for (int i = 0; i < 2; i++) {
        EXPECT(memcmp(results[0][i], results[1][i], sizeof *p * count) == 0, "a graph's result is that of its launches");
        free(results[0][i]), free(results[1][i]);
    }
    mt_cuda_graph_destroy(graph);
    EXPECT(mt_cuda_graph_capture(&device, NULL, queue_update, &update, &graph) != MT_OK && !graph,
        "a capture of the default stream");
    must(mt_cuda_axpy(&cuda, count, 0, update.x, update.y)); // the next launch does not stumble over it
    done("graph");
}

static void test_devices(void) {
    test_device();
    test_device_arena();
    test_peers();
    test_graph();
}

#endif
