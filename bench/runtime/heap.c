// The runtime's memory and values: filling a heap against memcpy of the same bytes in the same run, what an allocation
// costs, and what it costs to write and read the values of a call. All by the thread's processor time.
//
//   bench_runtime_heap [--csv FILE]
#include "bench/bench.h"
#include "engine/runtime/memory/heap.h"
#include "engine/runtime/memory/heap_blocks.h"
#include "engine/runtime/value.h"

#define MUST(expr)                                                                                                     \
    do {                                                                                                               \
        if ((expr) != MT_OK) {                                                                                         \
            fprintf(stderr, "bench_runtime_heap: %s\n", mt_last_error());                                              \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { BIG = 800000000, SMALL = 1000000, LIVE = 10000, ROUNDS = 5 };

static char *source;

// ---- one large object into fresh memory, three ways, and again into what the last one left

typedef enum filling { TOUCH, PREPARE, WRITE } filling;

static double fill_once(mt_heap *heap, filling how, uint64_t bytes) {
    double start = bench_cpu_s();
    uint64_t at = mt_heap_alloc(heap, bytes);
    if (how == PREPARE) MUST(mt_heap_prepare(heap, at, bytes));
    if (how == WRITE)
        MUST(mt_heap_write(heap, at, source, bytes));
    else
        memcpy(mt_heap_at(heap, at), source, bytes);
    double seconds = bench_cpu_s() - start;
    mt_heap_free(heap, at);
    return seconds;
}

static void fill(const char *name, filling how, double memcpy_rate) {
    double seconds[3][ROUNDS];
    char row[96];
    for (int round = 0; round < ROUNDS; round++) {
        mt_heap *heap;
        MUST(mt_heap_local_create(1, UINT64_C(8) << 30, &heap));
        for (int time = 0; time < 3; time++) seconds[time][round] = fill_once(heap, how, BIG);
        mt_heap_destroy(heap);
    }
    for (int time = 0; time < 3; time++) {
        snprintf(row, sizeof row, "0.8 GB, %s, %s", name,
            (const char *[]){"fresh memory", "second time", "third time"}[time]);
        bench_row(row, BIG / bench_median(seconds[time], ROUNDS) * 1e-9, "GB/s", "memcpy", memcpy_rate);
    }
}

// ---- a loop that puts and releases

static void put_release(void *context) { (void)fill_once(context, WRITE, SMALL); }
static void copy_big(void *context) { memcpy(context, source, BIG); }
static void copy_small(void *context) { memcpy(context, source, SMALL); }

// ---- allocation, values

typedef struct churn {
    mt_blocks blocks;
    uint64_t live[LIVE], state;
} churn;

static void free_and_alloc(void *context) {
    churn *c = context;
    c->state = c->state * 6364136223846793005u + 1442695040888963407u;
    uint64_t *place = &c->live[(c->state >> 33) % LIVE];
    mt_blocks_free(&c->blocks, *place);
    *place = mt_blocks_alloc(&c->blocks, 4096 + (c->state >> 40 & 0xfffff));
}

static _Alignas(16) char wire[8192];
static float floats[250];

static void encode_i64(void *context) {
    manta_arg arg = manta_i64((int64_t)(intptr_t)context);
    mt_value_encode(&arg, wire);
    __asm__ volatile("" ::"r"(wire) : "memory");
}
static void check_and_encode_kilobyte(void *context) {
    (void)context;
    manta_arg arg = manta_vector(MANTA_TYPE_F32, 250, floats);
    MUST(mt_arg_check(&arg));
    mt_value_encode(&arg, wire);
    __asm__ volatile("" ::"r"(wire) : "memory");
}
static void decode(void *context) {
    mt_value value;
    size_t used;
    __asm__ volatile("" ::"r"(wire) : "memory");
    MUST(mt_value_decode(wire, sizeof wire, &value, &used));
    (void)context;
}
static void check_signature(void *context) {
    static const mt_value_head head = {.type = MANTA_TYPE_F32, .ndim = 2, .bytes = 48};
    static const int64_t shape[] = {3, 4};
    mt_binding binding;
    mt_binding_init(&binding);
    MUST(mt_signature_check(context, &head, shape, &binding, "bench", "argument 0"));
}

static void nanoseconds(const char *name, bench_fn *fn, void *context) {
    bench_row(name, bench_run(fn, context).median * 1e9, "ns", NULL, 0);
}

int main(int argc, char **argv) {
    bench_open(argc, argv, "runtime/heap");
    source = malloc(BIG);
    if (!source) return 1;
    memset(source, 1, BIG);
    char *copy = malloc(BIG);
    if (!copy) return 1;
    memset(copy, 2, BIG);
    double memcpy_rate = BIG / bench_run_with(copy_big, copy, CLOCK_THREAD_CPUTIME_ID, ROUNDS, 1e-3).median * 1e-9;
    free(copy);
    fill("touching", TOUCH, memcpy_rate);
    fill("prepare and copy", PREPARE, memcpy_rate);
    fill("mt_heap_write", WRITE, memcpy_rate);

    mt_heap *heap;
    char *small = malloc(SMALL);
    if (!small) return 1;
    MUST(mt_heap_local_create(1, UINT64_C(8) << 30, &heap));
    double copied = SMALL / bench_run(copy_small, small).median * 1e-9;
    bench_row("1 MB, put and release in a loop", SMALL / bench_run(put_release, heap).median * 1e-9, "GB/s", "memcpy",
        copied);
    mt_heap_destroy(heap);
    free(small);

    static churn c = {.state = 1};
    MUST(mt_blocks_init(&c.blocks, UINT64_C(1) << 40));
    for (int i = 0; i < LIVE; i++) c.live[i] = mt_blocks_alloc(&c.blocks, 4096 + (uint64_t)i * 37);
    nanoseconds("free and alloc, 10,000 live blocks of 4 KB to 1 MB", free_and_alloc, &c);
    mt_blocks_fini(&c.blocks);

    mt_signature signature;
    MUST(mt_signature_parse("f32[n,4]", &signature));
    nanoseconds("make and encode an integer", encode_i64, NULL);
    nanoseconds("decode an integer", decode, NULL);
    nanoseconds("make, check and encode 1 KB of floats", check_and_encode_kilobyte, NULL);
    nanoseconds("decode 1 KB of floats", decode, NULL);
    nanoseconds("check f32[3,4] against f32[n,4]", check_signature, &signature.argument[0]);
    free(source);
    return bench_close();
}
