// Messages from a hostile rank: whatever a peer sends, the core neither reads past a message nor contradicts itself. One core of
// a job of four ranks on two hosts gets messages with right headers and arbitrary bodies, and others of the right form with wrong contents, in between calls of its own and
// ticks; runs that it asks for end at once, disk and names are answered. Names that the core gave out (tasks, objects) are
// among the numbers that bodies are made of, so that messages hit what is there.
#include "engine/runtime/core.h"
#include "engine/runtime/memory/heap.h"
#include "engine/runtime/wire.h"
#include "fuzz/fuzz.h"

enum { RANKS = 4, RUNS = 4096, BLOCKS = 64, BLOCK_BYTES = 1 << 16, BODY_MAX = 2048, REFS = 32 };

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
static void op_rank_suspect(void *shell, int rank, int64_t silent_ns) { (void)shell, (void)rank, (void)silent_ns; }
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
    op_rank_suspect, op_rank_dead, op_shell_message, op_met, op_named};

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

static manta_ref some_ref(host *h, fuzz_bytes *f);

static void act(host *h, fuzz_bytes *f) {
    manta_ref out[1];
    mt_submit s = {.on_rank = fuzz_u8(f) % (RANKS + 1) - 1, .bundle = -1, .max_retries = fuzz_u8(f) % 3};
    manta_arg args[2] = {manta_i64(7), manta_from(h->refs[fuzz_u8(f) % REFS])};
    uint8_t what = fuzz_u8(f);
    s.arguments = args, s.argument_count = what >> 6 & 1;
    if (s.argument_count && args[1].scalar.ref.serial) s.argument_count = 2;
    switch (what % 8) {
    case 6: {
        manta_ref ref = some_ref(h, f);
        mt_core_hold(h->core, ref);
        keep(h, ref);
        break;
    }
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

// A reference that means something here: one of ours, or of a peer's first few.
static manta_ref some_ref(host *h, fuzz_bytes *f) {
    uint8_t which = fuzz_u8(f);
    if (which & 1 && h->ref_count) return h->refs[which / 2 % h->ref_count];
    return (manta_ref){.owner = which >> 1 & 3, .slot = which >> 3 & 3, .serial = 1 + (which >> 5) + ((uint64_t)(which & 16) << 44)};
}

// An encoded value, mostly a right one; returns its length.
static size_t some_value(host *h, fuzz_bytes *f, void *out) {
    uint8_t form = fuzz_u8(f);
    manta_ref ref = some_ref(h, f);
    uint32_t actor[8] = {0, 0, 0, 3, 1};
    manta_arg arg = form & 1 ? manta_i64(form) : form & 2 ? manta_reference(ref) : manta_from(ref);
    if (form & 4) {
        mt_value_head head = {.type = MANTA_TYPE_BYTES, .form = MT_VALUE_PLACE, .bytes = 5000};
        mt_wire_place place = {.ref = ref, .rank = form & 128 ? 77777 : form >> 4 & 3};
        int64_t shape[1] = {0};
        mt_value_encode_place(&head, shape, &place, out);
        return mt_value_place_bytes(0);
    }
    if (form & 8) {   // where an actor lives: its rank first
        actor[0] = form & 128 ? 77777 : form >> 4 & 3, actor[1] = fuzz_u8(f) & 1;
        arg = manta_bytes(actor, sizeof actor);
        arg.value.ndim = 1, arg.value.shape[0] = sizeof actor;
    }
    mt_value_encode(&arg, out);
    return mt_value_encoded_bytes(&arg);
}

// Messages of the right form with wrong contents, which random bytes do not come to.
static void shaped_message(host *h, fuzz_bytes *f, uint32_t *sequence) {
    static _Alignas(64) char data[4096];
    uint8_t kind = fuzz_u8(f);
    int source = 1 + (kind >> 4) % (RANKS - 1);
    mt_wire *m = (mt_wire *)(void *)data;
    size_t bytes;
    memset(data, 0, sizeof data);
    switch (kind & 3) {
    case 0: {
        mt_wire_value *v = (mt_wire_value *)(void *)data;
        *v = (mt_wire_value){.ref = some_ref(h, f), .state = fuzz_u8(f) % 3, .adopted = 1};
        m->kind = MT_WIRE_VALUE, bytes = sizeof *v + some_value(h, f, v + 1);
        break;
    }
    case 1: {
        mt_wire_done *d = (mt_wire_done *)(void *)data;
        *d = (mt_wire_done){.task = (uint64_t)(fuzz_u8(f) % 64) << 32 | fuzz_u8(f) % 8, .result_count = 1, .keep = kind >> 7};
        m->kind = MT_WIRE_DONE, bytes = sizeof *d + some_value(h, f, d + 1);
        break;
    }
    case 2: {
        mt_wire_call *w = (mt_wire_call *)(void *)data;
        uint8_t count = fuzz_u8(f) % 3;
        *w = (mt_wire_call){.task = fuzz_u8(f), .actor = some_ref(h, f), .call_kind = fuzz_u8(f) % 3, .result_count = 1, .argument_count = count};
        char *at = (char *)(w + 1);
        *(manta_ref *)(void *)at = (manta_ref){.owner = (uint32_t)source, .slot = 1, .serial = 9};
        at += sizeof(manta_ref) + (w->call_kind != MT_CALL_METHOD ? sizeof(mt_resources) : 0);
        for (int i = 0; i < count; i++) at += some_value(h, f, at);
        m->kind = MT_WIRE_CALL, bytes = (size_t)(at - data);
        break;
    }
    default: {
        mt_wire_pinned *p = (mt_wire_pinned *)(void *)data;
        *p = (mt_wire_pinned){.ref = some_ref(h, f), .offset = fuzz_u8(f) & 1 ? MT_HEAP_NO_OFFSET : 0, .bytes = 5000, .rank = fuzz_u8(f) % RANKS};
        m->kind = MT_WIRE_PINNED, bytes = sizeof *p;
    }
    }
    m->bytes = (uint32_t)bytes, m->sequence = sequence[source]++, m->incarnation = 1;
    void *copy = fuzz_copy(data, bytes);
    mt_core_receive(h->core, source, copy, bytes);
    free(copy);
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
        if (what < 80) message(&h, &f, sequence);
        else if (what < 160) shaped_message(&h, &f, sequence);
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
