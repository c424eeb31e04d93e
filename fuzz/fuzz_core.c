// Messages from a hostile rank: whatever a peer sends, the core neither reads past a message nor contradicts itself. One core of
// a job of four ranks on two hosts gets messages with right headers and arbitrary bodies, in between calls of its own and
// ticks; runs that it asks for end at once, disk and names are answered. Names that the core gave out (tasks, objects) are
// among the numbers that bodies are made of, so that messages hit what is there.
#include "engine/runtime/core.h"
#include "engine/runtime/memory/heap.h"
#include "engine/runtime/wire.h"
#include "fuzz/fuzz.h"

enum { RANKS = 4, RUNS = 64, BLOCKS = 64, BLOCK_BYTES = 1 << 16, BODY_MAX = 2048, REFS = 32 };

typedef struct host {
    mt_core *core;
    mt_run *run[RUNS];
    int runs;
    void *block[BLOCKS];   // the heap: offset = block number * BLOCK_BYTES
    uint64_t spill[BLOCKS], restore[BLOCKS];
    int spills, restores;
    void *dying[RUNS];
    int dyings;
    uintptr_t states;      // actors made so far: a state is its number
    manta_ref refs[REFS];  // held
    int ref_count;
} host;

static void op_send(void *shell, int rank, const mt_piece *pieces, int count) {
    (void)shell;
    unsigned sum = 0;
    FUZZ_CHECK(rank >= 0 && rank < RANKS);
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < pieces[i].bytes; k++) sum += ((const unsigned char *)pieces[i].data)[k];
    (void)sum;
}

static void op_run(void *shell, mt_run *run) {
    host *h = shell;
    FUZZ_CHECK(h->runs < RUNS);
    h->run[h->runs++] = run;
}

static void op_wake(void *shell, mt_waiter *waiter) { (void)shell, (void)waiter; }

static void op_destroy(void *shell, uint32_t class_number, void *state) {
    host *h = shell;
    (void)class_number;
    FUZZ_CHECK(h->dyings < RUNS);
    h->dying[h->dyings++] = state;
}

static uint64_t op_alloc(void *shell, uint64_t bytes) {
    host *h = shell;
    if (bytes > BLOCK_BYTES) return MT_HEAP_NO_OFFSET;
    for (int i = 0; i < BLOCKS; i++)
        if (!h->block[i]) {
            h->block[i] = malloc(bytes ? bytes : 1);
            FUZZ_CHECK(h->block[i] != NULL);
            memset(h->block[i], 0, bytes);
            return (uint64_t)i * BLOCK_BYTES;
        }
    return MT_HEAP_NO_OFFSET;
}

static void op_free(void *shell, uint64_t offset) {
    host *h = shell;
    FUZZ_CHECK(offset / BLOCK_BYTES < BLOCKS && h->block[offset / BLOCK_BYTES]);
    free(h->block[offset / BLOCK_BYTES]);
    h->block[offset / BLOCK_BYTES] = NULL;
}

static void *op_at(void *shell, uint64_t offset) { return ((host *)shell)->block[offset / BLOCK_BYTES]; }

static void op_spill(void *shell, uint64_t ticket, uint64_t offset, uint64_t bytes) {
    host *h = shell;
    (void)offset, (void)bytes;
    if (h->spills < BLOCKS) h->spill[h->spills++] = ticket;
}

static void op_restore(void *shell, uint64_t ticket, uint64_t file, uint64_t offset, uint64_t bytes) {
    host *h = shell;
    (void)file, (void)offset, (void)bytes;
    if (h->restores < BLOCKS) h->restore[h->restores++] = ticket;
}

static void op_spill_drop(void *shell, uint64_t file) { (void)shell, (void)file; }
static void op_rank_dead(void *shell, int rank, int reason) { (void)shell, (void)rank, (void)reason; }

static void op_shell_message(void *shell, int source, uint32_t topic, uint64_t argument, const void *data, size_t bytes) {
    (void)shell, (void)source, (void)topic, (void)argument, (void)data, (void)bytes;
}

static void op_met(void *shell, uint64_t question, int code, const uint32_t *ranks, int count, uint64_t round) {
    (void)shell, (void)question, (void)code, (void)round;
    uint32_t sum = 0;
    for (int i = 0; i < count; i++) sum += ranks[i];
    (void)sum;
}

static void op_named(void *shell, uint64_t question, int code, manta_actor actor) { (void)shell, (void)question, (void)code, (void)actor; }

static const mt_core_ops ops = {op_send, op_run, op_wake, op_destroy, op_alloc, op_free, op_at, op_spill, op_restore, op_spill_drop,
    op_rank_dead, op_shell_message, op_met, op_named};

// What the core asked its shell for, done.
static void serve(host *h, unsigned how) {
    while (h->runs || h->spills || h->restores || h->dyings) {
        if (h->spills) mt_core_spilled(h->core, h->spill[--h->spills], how, how & 1);
        else if (h->restores) mt_core_restored(h->core, h->restore[--h->restores], how & 1);
        else if (h->dyings) {
            mt_core_actor_destroyed(h->core, h->dying[--h->dyings]);
        } else {
            mt_run *run = h->run[--h->runs];
            int fails = how & 2 || run->result_count > 0;
            if (run->call_kind == MT_CALL_CREATE && !fails) *run->state = (void *)++h->states;   // never looked at
            mt_core_finish(h->core, run, fails ? MANTA_TASK_FAILED : MANTA_OK, "no", NULL, 1000);
        }
    }
}

static void keep(host *h, manta_ref ref) {
    if (h->ref_count < REFS) h->refs[h->ref_count++] = ref;
    else mt_core_release(h->core, ref);
}

static void act(host *h, fuzz_bytes *f) {
    manta_ref out[1];
    mt_submit s = {.on_rank = fuzz_u8(f) % (RANKS + 1) - 1, .bundle = -1, .max_retries = fuzz_u8(f) % 3};
    manta_arg args[2] = {manta_i64(7), manta_from(h->refs[fuzz_u8(f) % REFS])};
    uint8_t what = fuzz_u8(f);
    s.arguments = args, s.argument_count = what >> 6 & 1;
    if (s.argument_count && args[1].scalar.ref.serial) s.argument_count = 2;
    switch (what % 7) {
    case 0: s.demand.amount[MT_RESOURCE_CPU] = MT_RESOURCE_UNIT; mt_core_submit(h->core, &s, out); keep(h, out[0]); break;
    case 1: s.call_kind = MT_CALL_CREATE, s.max_restarts = 1, s.name = what & 8 ? "n" : NULL; mt_core_submit(h->core, &s, out); keep(h, out[0]); break;
    case 2: s.call_kind = MT_CALL_METHOD, s.actor = h->refs[fuzz_u8(f) % REFS]; mt_core_submit(h->core, &s, out); keep(h, out[0]); break;
    case 3:
        if (h->ref_count) mt_core_release(h->core, h->refs[--h->ref_count]), h->refs[h->ref_count] = (manta_ref){0};
        break;
    case 4: {
        mt_run_result large = {.head = {.type = MANTA_TYPE_BYTES, .form = MT_VALUE_PLACE, .bytes = 5000}};
        large.offset = mt_core_allocate(h->core, 5000);
        if (large.offset != MT_HEAP_NO_OFFSET) keep(h, mt_core_put(h->core, &large));
        break;
    }
    case 5: keep(h, mt_core_place_group(h->core, &(mt_resources){.amount = {MT_RESOURCE_UNIT}}, 1, what >> 4 & 3)); break;
    default: mt_core_stop(h->core, h->refs[fuzz_u8(f) % REFS], what >> 5 & 1); break;
    }
}

// A body of arbitrary bytes, in which some 8-byte words are replaced by names that mean something here.
static void message(host *h, fuzz_bytes *f, uint32_t *sequence) {
    uint8_t head[4];
    fuzz_take(f, head, sizeof head);
    int source = 1 + head[0] % (RANKS - 1);
    size_t body = (size_t)head[1] * 4 + head[2] % 4 * 256;
    if (body > BODY_MAX) body = BODY_MAX;
    size_t bytes = (sizeof(mt_wire) + body + 7) / 8 * 8;
    char *data = malloc(bytes);
    FUZZ_CHECK(data != NULL);
    fuzz_take(f, data + sizeof(mt_wire), bytes - sizeof(mt_wire));
    for (size_t at = sizeof(mt_wire); at + sizeof(manta_ref) <= bytes; at += 8) {
        uint64_t word;
        memcpy(&word, data + at, sizeof word);
        if (word >> 56 == 0xAA && h->ref_count) memcpy(data + at, &h->refs[word % (unsigned)h->ref_count], sizeof(manta_ref)), at += 8;
        else if (word >> 56 == 0xBB) word &= 0xff000000ff, memcpy(data + at, &word, sizeof word);   // a task's name, perhaps
        else if (word >> 56 == 0xCC) word &= 0xff, memcpy(data + at, &word, sizeof word);
    }
    mt_wire *m = (mt_wire *)(void *)data;
    *m = (mt_wire){.bytes = (uint32_t)bytes, .kind = (uint16_t)(head[3] % (MT_WIRE_KINDS + 1)), .sequence = sequence[source]++, .incarnation = 1};
    mt_core_receive(h->core, source, data, bytes);
    free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const int node_of[RANKS] = {0, 0, 1, 1};
    static mt_resources totals[RANKS];
    static mt_resource_names names;
    fuzz_bytes f = {data, bytes};
    host h = {0};
    uint32_t sequence[RANKS] = {0};
    int64_t now = 0;
    mt_resource_names_init(&names);
    for (int r = 0; r < RANKS; r++) totals[r].amount[MT_RESOURCE_CPU] = 2 * MT_RESOURCE_UNIT;
    FUZZ_CHECK(mt_core_create(&(mt_core_desc){.rank = 0, .size = RANKS, .node_of = node_of, .totals = totals, .names = &names,
        .incarnation = 2, .object_bytes = 64 * 1024, .spill = 1}, &ops, &h, &h.core) == MT_OK);
    for (int steps = 0; f.left && steps < 200; steps++) {
        uint8_t what = fuzz_u8(&f);
        if (what < 160) message(&h, &f, sequence);
        else if (what < 240) act(&h, &f);
        else mt_core_tick(h.core, now += (int64_t)what * 100 * 1000 * 1000 / (what & 1 ? 1 : 100));
        if (what & 4) serve(&h, what);
        mt_core_check(h.core, 0);
    }
    serve(&h, 2);
    mt_core_check(h.core, 0);
    mt_core_destroy(h.core);
    for (int i = 0; i < BLOCKS; i++) free(h.block[i]);
    return 0;
}
