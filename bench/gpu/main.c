// The CUDA back end against the limits of the GPU it runs on, each measured in the same run.
//
//   bench_gpu [--csv FILE]
//
//   memory    own kernels at 16 M elements: bytes read and written a second, against a device-to-device copy
//   dense     forward and backward by shape: flop a second, against the vendor's product of 8192 × 8192 matrices
//   dnn       convolutions against the same product; recurrent layers by steps, as a graph, and by the vendor's library
//   launch    microseconds of a short kernel: launched one by one, and as a CUDA graph
//   envs      environments of classic control: steps a second by their number, against one core of the CPU
//
// Exit status 77 where there is no GPU.
#include "bench/gpu/gpu.h"

gpu bench_gpu = {.device = {.ops = &mt_device_cuda, .kind = MT_DEVICE_CUDA}};

void gpu_must(mt_status status) {
    if (status == MT_OK) return;
    fprintf(stderr, "bench_gpu: %s\n", mt_last_error());
    exit(1);
}

int gpu_open(void) {
    gpu *g = &bench_gpu;
    if (g->device.ops->open(&g->device, 0) != MT_OK) {
        printf("skipped: %s\n", mt_last_error());
        return 77;
    }
    gpu_must(mt_cuda_init(&g->cuda, &g->device, MT_CUDA_WORKSPACE_BYTES));
    gpu_must(mt_cuda_event_open(&g->device, &g->before));
    gpu_must(mt_cuda_event_open(&g->device, &g->after));
    return 0;
}

void gpu_close(void) {
    gpu *g = &bench_gpu;
    mt_cuda_event_close(&g->device, g->before);
    mt_cuda_event_close(&g->device, g->after);
    mt_cuda_fini(&g->cuda);
    g->device.ops->close(&g->device);
}

static double sample(gpu_fn *fn, void *context, int64_t calls) {
    gpu *g = &bench_gpu;
    double seconds;
    gpu_must(mt_cuda_event_record(&g->device, g->before, g->cuda.stream));
    for (int64_t i = 0; i < calls; i++) gpu_must(fn(context));
    gpu_must(mt_cuda_event_record(&g->device, g->after, g->cuda.stream));
    gpu_must(mt_cuda_event_elapsed_s(&g->device, g->before, g->after, &seconds));
    return seconds / (double)calls;
}

double gpu_seconds(gpu_fn *fn, void *context) {
    enum { SAMPLES = 15 };
    double times[SAMPLES];
    sample(fn, context, 3); // loading of code, choice of algorithms
    double one = sample(fn, context, 5);
    int64_t calls = one > 2e-3 ? 1 : (int64_t)(2e-3 / one) + 1;
    for (int i = 0; i < SAMPLES; i++) times[i] = sample(fn, context, calls);
    return bench_median(times, SAMPLES);
}

static void *upload(const void *from, int64_t bytes) {
    gpu *g = &bench_gpu;
    void *to;
    gpu_must(g->device.ops->alloc(&g->device, (size_t)bytes, &to));
    gpu_must(mt_cuda_stream_copy(&g->device, g->cuda.stream, to, from, (size_t)bytes));
    gpu_must(mt_cuda_sync(&g->cuda));
    return to;
}
static uint32_t next_word(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state ^ *state >> 16;
}
static void *host(int64_t bytes) {
    void *p = malloc((size_t)bytes);
    if (p) return p;
    fprintf(stderr, "bench_gpu: out of main memory\n");
    exit(7);
}

float *gpu_floats(int64_t count, float low, float high) {
    float *x = host(4 * count);
    uint32_t state = 12345;
    for (int64_t i = 0; i < count; i++) x[i] = low + (high - low) * (float)(next_word(&state) * 0x1p-32);
    float *to = upload(x, 4 * count);
    free(x);
    return to;
}
void *gpu_words(int64_t count, uint32_t below) {
    uint32_t *w = host(4 * count), state = 99;
    for (int64_t i = 0; i < count; i++)
        w[i] = below ? (uint32_t)((uint64_t)next_word(&state) * below >> 32) : next_word(&state);
    void *to = upload(w, 4 * count);
    free(w);
    return to;
}
void *gpu_zeros(int64_t bytes) {
    void *to;
    gpu_must(bench_gpu.device.ops->alloc(&bench_gpu.device, (size_t)bytes, &to));
    return to;
}
void gpu_free(void *memory) {
    if (memory) bench_gpu.device.ops->free(&bench_gpu.device, memory);
}

void gpu_row(const char *row, double value, const char *unit, const char *reference, double reference_value) {
    bench_row(row, value, unit, reference, reference_value);
}

int main(int argc, char **argv) {
    int status = gpu_open();
    if (status) return status;
    bench_open(argc, argv, "gpu");
    printf("%s\n", bench_gpu.device.name);
    bench_own_kernels();
    bench_dense();
    bench_dnn();
    bench_launches();
    bench_envs();
    gpu_close();
    return bench_close();
}
