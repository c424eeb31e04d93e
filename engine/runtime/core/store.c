// Large objects in this rank's heap: pins of readers, spilling to disk, copies fetched from other hosts.
//
//     HERE ──room is needed, nobody reads it──▶ SPILLING ──▶ SPILLED ──somebody reads it──▶ RESTORING ──▶ HERE
//     FETCHING (a copy) ──all chunks──▶ HERE
//
// A pin keeps an object where it is. FREE from the owner ends it at the last UNPIN. Copies that nobody reads are given up
// first when room is needed; the owner need not know (its FREE will find nothing). A host's fetcher is its lowest living rank.
#include "engine/runtime/core/state.h"

#include <stdlib.h>

#define FETCHER UINT32_C(0x80000000)   // in `asked`: another host's fetcher, which gets chunks and no pin

mt_stored *mt_store_find(const mt_core *c, manta_ref ref) { return mt_map_get(&c->stored, mt_ref_key(ref), ref.serial); }

// ---- least recently used

static void list_remove(mt_core *c, mt_stored *s) {
    if (s->older) s->older->newer = s->newer;
    else if (c->oldest == s) c->oldest = s->newer;
    if (s->newer) s->newer->older = s->older;
    else if (c->newest == s) c->newest = s->older;
    s->older = s->newer = NULL;
}

static void list_append(mt_core *c, mt_stored *s) {
    s->older = c->newest, s->newer = NULL;
    if (c->newest) c->newest->newer = s;
    else c->oldest = s;
    c->newest = s;
}

static mt_stored *add(mt_core *c, manta_ref ref, uint64_t offset, uint64_t bytes, int state) {
    mt_stored *s = mt_take(c, sizeof *s);
    *s = (mt_stored){.ref = ref, .offset = offset, .bytes = bytes, .state = (uint8_t)state};
    mt_map_put(&c->stored, mt_ref_key(ref), ref.serial, s);
    list_append(c, s);
    c->stats.stored++, c->stats.stored_bytes += bytes;
    return s;
}

static void make_room(mt_core *c, uint64_t wanted);
static void drop(mt_core *c, mt_stored *s);
static void back_again(mt_core *c, mt_stored *s);

// A task that ran again, here, where its first result still lies: somebody reads it, or it is on its way to the disk. The two
// need not be alike. The old one goes out of the way until its readers are done.
static void retire(mt_core *c, mt_stored *s) {
    mt_map_remove(&c->stored, mt_ref_key(s->ref), s->ref.serial);
    s->retired = s->doomed = 1;
    s->next_retired = c->retired;
    c->retired = s;
    if (s->state == MT_STORED_FETCHING || !s->pins.count) drop(c, s);
}

void mt_store_add(mt_core *c, manta_ref ref, const mt_run_result *value) {
    mt_stored *old = mt_store_find(c, ref);
    mt_ranks asked = {0};
    if (old) {
        asked = old->asked, old->asked = (mt_ranks){0};
        retire(c, old);
    }
    mt_stored *s = add(c, ref, value->offset, value->head.bytes, MT_STORED_HERE);
    s->asked = asked;
    s->inner_count = (uint32_t)mt_value_ref_count(&value->head);
    s->inner = mt_object_hold_all(c, value->inner, s->inner_count);
    if (s->asked.count) back_again(c, s);
    make_room(c, 0);
}

static void grant(mt_core *c, int reader, const mt_stored *s) {
    mt_wire_pinned m = {.wire.kind = MT_WIRE_PINNED, .ref = s->ref, .rank = (uint32_t)c->rank, .offset = s->offset, .bytes = s->bytes};
    mt_core_send(c, reader, &m, sizeof m, NULL, 0);
}

// place: who was thought to have it
static void refuse(mt_core *c, int reader, manta_ref ref, int code, int place) {
    mt_wire_pinned m = {.wire.kind = MT_WIRE_PINNED, .ref = ref, .rank = (uint32_t)place, .code = code, .offset = MT_HEAP_NO_OFFSET};
    mt_core_send(c, reader, &m, sizeof m, NULL, 0);
}

static void send_chunk(mt_core *c, int to, manta_ref ref, const mt_stored *s, uint64_t at, int code);

// Whoever waits for it learns that it will not come.
static void refuse_asked(mt_core *c, mt_stored *s, int code) {
    for (uint32_t i = 0; i < s->asked.count; i++) {
        uint32_t rank = s->asked.rank[i];
        if (rank & FETCHER) send_chunk(c, (int)(rank & ~FETCHER), s->ref, NULL, 0, code);
        else refuse(c, (int)rank, s->ref, code, s->state == MT_STORED_FETCHING ? (int)s->source : c->rank);
    }
    s->asked.count = 0;
}

static void forget_memory(mt_core *c, mt_stored *s) {
    if (s->offset != MT_HEAP_NO_OFFSET) c->ops->heap_free(c->shell, s->offset), c->stats.stored_bytes -= s->bytes;
    s->offset = MT_HEAP_NO_OFFSET;
}

static void forget(mt_core *c, mt_stored *s) {
    mt_object **inner = s->inner;
    uint32_t inner_count = s->inner_count;
    list_remove(c, s);
    if (s->retired) {
        mt_stored **at = &c->retired;
        while (*at != s) at = &(*at)->next_retired;
        *at = s->next_retired;
    } else mt_map_remove(&c->stored, mt_ref_key(s->ref), s->ref.serial);
    mt_ranks_fini(&s->pins), mt_ranks_fini(&s->asked);
    c->stats.stored--;
    mt_give(c, s, sizeof *s);
    if (inner) mt_object_drop_all(c, inner, inner_count);
}

static void drop(mt_core *c, mt_stored *s) {
    // a disk operation under way finds nobody by its ticket; its buffer stays until then
    int on_disk = s->state == MT_STORED_SPILLED || s->state == MT_STORED_RESTORING;
    int busy = s->state == MT_STORED_SPILLING || s->state == MT_STORED_RESTORING;
    MT_ASSERT(!s->pins.count);
    refuse_asked(c, s, MANTA_OBJECT_LOST);
    if (busy) {
        s->doomed = 1;
        return;
    }
    if (on_disk) c->ops->spill_drop(c->shell, s->file), c->stats.spilled--, c->stats.spilled_bytes -= s->bytes;
    else forget_memory(c, s);
    forget(c, s);
}

// ---- room

static uint64_t new_ticket(mt_core *c, mt_stored *s) {
    s->ticket = ++c->next_serial;
    mt_map_put(&c->tickets, s->ticket, 0, s);
    c->disk_pending++;
    return s->ticket;
}

static mt_stored *take_ticket(mt_core *c, uint64_t ticket) {
    mt_stored *s = mt_map_get(&c->tickets, ticket, 0);
    if (!s) return NULL;
    mt_map_remove(&c->tickets, ticket, 0);
    c->disk_pending--;
    return s;
}

// Gives up copies and begins to spill until `wanted` more bytes would stay below the mark.
static void make_room(mt_core *c, uint64_t wanted) {
    uint64_t mark = c->desc.object_bytes / 5 * 4;
    for (mt_stored *s = c->oldest, *next; s && c->stats.stored_bytes - c->spilling_bytes + wanted > mark; s = next) {
        next = s->newer;
        if (s->state != MT_STORED_HERE || s->pins.count || s->doomed) continue;
        if (s->copy) {
            drop(c, s);
            next = c->oldest;
        } else if (c->desc.spill) {
            s->state = MT_STORED_SPILLING;
            c->spilling_bytes += s->bytes;
            c->ops->spill(c->shell, new_ticket(c, s), s->offset, s->bytes);
        }
    }
}

static uint64_t allocate(mt_core *c, uint64_t bytes) {
    uint64_t offset = c->ops->heap_alloc(c->shell, bytes);
    if (offset == MT_HEAP_NO_OFFSET) {
        make_room(c, bytes);
        offset = c->ops->heap_alloc(c->shell, bytes);
    }
    return offset;
}

uint64_t mt_core_allocate(mt_core *c, uint64_t bytes) {
    uint64_t offset = allocate(c, bytes);
    mt_core_settle(c);
    return offset;
}

int mt_core_making_room(const mt_core *c) { return c->disk_pending > 0; }

static int begin_restore(mt_core *c, mt_stored *s) {
    uint64_t offset = allocate(c, s->bytes);
    if (offset == MT_HEAP_NO_OFFSET) return 0;
    s->offset = offset, s->state = MT_STORED_RESTORING;
    c->stats.stored_bytes += s->bytes;
    c->ops->restore(c->shell, new_ticket(c, s), s->file, offset, s->bytes);
    return 1;
}

// Readers of objects on disk that found the heap full while others were on their way out: once more, now that something happened.
static void restore_waiting(mt_core *c) {
    if (!c->restores_wait) return;
    c->restores_wait = 0;
    for (mt_stored *s = c->oldest, *next; s; s = next) {
        next = s->newer;
        if (s->state != MT_STORED_SPILLED || s->doomed || !s->asked.count || begin_restore(c, s)) continue;
        if (c->disk_pending) c->restores_wait = 1;
        else refuse_asked(c, s, MANTA_NO_MEMORY);
    }
}

// ---- pins

static void serve_asked(mt_core *c, mt_stored *s) {
    while (s->asked.count) {
        uint32_t reader = s->asked.rank[--s->asked.count];
        mt_ranks_add(&s->pins, reader);
        grant(c, (int)reader, s);
    }
}

int mt_store_pin(mt_core *c, manta_ref ref, int reader, uint64_t *offset) {
    mt_stored *s = mt_store_find(c, ref);
    if (!s || s->doomed || s->state != MT_STORED_HERE) return 0;
    mt_ranks_add(&s->pins, (uint32_t)reader);
    if (c->newest != s) list_remove(c, s), list_append(c, s);
    *offset = s->offset;
    return 1;
}

int mt_store_reader(const mt_core *c, int place) {
    const int *node = c->desc.node_of;
    if (place < 0 || place >= c->size || node[place] == node[c->rank]) return place;
    for (int r = 0; r < c->size; r++)
        if (node[r] == node[c->rank] && !mt_core_dead(c, r)) return r;
    return c->rank;
}

static void request_chunks(mt_core *c, mt_stored *s) {
    while (s->requested < s->bytes && s->requested < s->fetched + (uint64_t)MT_CHUNKS_AHEAD * MT_CHUNK_BYTES) {
        mt_core_send_ref(c, (int)s->source, MT_WIRE_FETCH, s->ref, s->requested);
        s->requested += MT_CHUNK_BYTES;
    }
}

// The size is not known yet: the first chunk says it.
static void begin_fetch(mt_core *c, manta_ref ref, int place, int reader) {
    mt_stored *s = add(c, ref, MT_HEAP_NO_OFFSET, 0, MT_STORED_FETCHING);
    s->copy = 1, s->source = (uint32_t)place;
    mt_ranks_add(&s->asked, (uint32_t)reader);
    mt_core_send_ref(c, place, MT_WIRE_FETCH, ref, 0);
}

void mt_store_on_pin(mt_core *c, int source, const mt_wire_ref *m) {
    mt_stored *s = mt_store_find(c, m->ref);
    uint64_t offset;
    if (mt_store_pin(c, m->ref, source, &offset)) {
        grant(c, source, s);
    } else if (s && !s->doomed && s->state != MT_STORED_SPILLED) {
        mt_ranks_add(&s->asked, (uint32_t)source);   // SPILLING: comes back when it is written
    } else if (s && !s->doomed) {
        if (begin_restore(c, s)) mt_ranks_add(&s->asked, (uint32_t)source);
        else if (c->disk_pending) mt_ranks_add(&s->asked, (uint32_t)source), c->restores_wait = 1;
        else refuse(c, source, m->ref, MANTA_NO_MEMORY, c->rank);
    } else {
        int place = (int)m->argument;
        int elsewhere = m->argument < (uint64_t)c->size && c->desc.node_of[place] != c->desc.node_of[c->rank];
        if (!s && elsewhere && !mt_core_dead(c, place)) begin_fetch(c, m->ref, place, source);
        else refuse(c, source, m->ref, MANTA_OBJECT_LOST, elsewhere ? place : c->rank);
    }
}

// Whose pin it is: offset + 1 of what was pinned; 0: of a fetch, which does not know it.
static mt_stored *pinned_by(mt_core *c, int source, manta_ref ref, uint64_t offset_1) {
    mt_stored *s = mt_store_find(c, ref);
    for (mt_stored *next = c->retired; s || next; s = next, next = next ? next->next_retired : NULL)
        if (s && mt_ref_same(s->ref, ref) && (!offset_1 || s->offset == offset_1 - 1) && mt_ranks_has(&s->pins, (uint32_t)source)) return s;
    return NULL;
}

static void unpin(mt_core *c, int source, mt_stored *s) {
    mt_ranks_remove(&s->pins, (uint32_t)source);
    if (s->doomed && !s->pins.count) drop(c, s);
    else make_room(c, 0);
}

void mt_store_on_unpin(mt_core *c, int source, manta_ref ref, uint64_t offset_1) {
    mt_stored *s = pinned_by(c, source, ref, offset_1);
    if (s) unpin(c, source, s);
}

void mt_store_on_free(mt_core *c, manta_ref ref) {
    mt_stored *s = mt_store_find(c, ref);
    if (!s || s->doomed) return;
    if (s->state == MT_STORED_FETCHING) return;   // when it has come, COPY tells the owner, who answers FREE again
    s->doomed = 1;
    if (!s->pins.count) drop(c, s);
}

// ---- between hosts

static void send_chunk(mt_core *c, int to, manta_ref ref, const mt_stored *s, uint64_t at, int code) {
    mt_wire_chunk m = {.wire.kind = MT_WIRE_CHUNK, .ref = ref, .at = at, .total = s ? s->bytes : UINT64_MAX, .code = code};
    mt_piece piece = {0};
    if (s && at < s->bytes) {
        m.bytes = (uint32_t)(s->bytes - at < MT_CHUNK_BYTES ? s->bytes - at : MT_CHUNK_BYTES);
        piece = (mt_piece){(const char *)c->ops->heap_at(c->shell, s->offset) + at, m.bytes};
        c->stats.fetched_bytes += m.bytes;
    }
    mt_core_send(c, to, &m, sizeof m, &piece, piece.bytes ? 1 : 0);
}

// The first request pins it, the one for the last chunk unpins.
void mt_store_on_fetch(mt_core *c, int source, const mt_wire_ref *m) {
    mt_stored *s = mt_store_find(c, m->ref);
    uint64_t offset;
    if (m->argument == 0 && !mt_store_pin(c, m->ref, source, &offset)) {
        if (s && !s->doomed && s->state == MT_STORED_SPILLED && !begin_restore(c, s)) {
            send_chunk(c, source, m->ref, NULL, 0, MANTA_NO_MEMORY);   // not lost: it lies on the disk
            return;
        }
        if (s && !s->doomed && s->state != MT_STORED_FETCHING) {
            // asked again through the loop once it is back: RESTORING and SPILLING end soon
            mt_ranks_add(&s->asked, (uint32_t)source | FETCHER);
            return;
        }
        send_chunk(c, source, m->ref, NULL, 0, MANTA_OBJECT_LOST);
        return;
    }
    if (m->argument) s = pinned_by(c, source, m->ref, 0);
    if (!s || s->state != MT_STORED_HERE) {
        send_chunk(c, source, m->ref, NULL, m->argument, MANTA_OBJECT_LOST);
        return;
    }
    send_chunk(c, source, m->ref, s, m->argument, MANTA_OK);
    if (m->argument + MT_CHUNK_BYTES >= s->bytes) unpin(c, source, s);
}

static void fetch_failed(mt_core *c, mt_stored *s, int code) {
    refuse_asked(c, s, code);
    forget_memory(c, s);
    forget(c, s);
}

void mt_store_on_chunk(mt_core *c, int source, const mt_wire_chunk *m, size_t bytes) {
    mt_stored *s = mt_store_find(c, m->ref);
    if (!s || s->state != MT_STORED_FETCHING || (int)s->source != source) return;
    if (m->total == UINT64_MAX) {
        fetch_failed(c, s, m->code == MANTA_NO_MEMORY ? MANTA_NO_MEMORY : MANTA_OBJECT_LOST);
        return;
    }
    if (s->offset == MT_HEAP_NO_OFFSET) {
        uint64_t offset = allocate(c, m->total);
        if (offset == MT_HEAP_NO_OFFSET) {
            // the place unpins when it is told so
            mt_core_send_ref(c, source, MT_WIRE_UNPIN, s->ref, 0);
            fetch_failed(c, s, MANTA_NO_MEMORY);
            return;
        }
        s->offset = offset, s->bytes = m->total, s->requested = MT_CHUNK_BYTES;
        c->stats.stored_bytes += s->bytes;
    }
    if (m->at != s->fetched || m->bytes != bytes - sizeof *m || m->at + m->bytes > s->bytes) {
        fetch_failed(c, s, MANTA_OBJECT_LOST);
        return;
    }
    void *memory = c->ops->heap_at(c->shell, s->offset);
    if (memory && m->bytes) memcpy((char *)memory + m->at, m + 1, m->bytes);
    s->fetched += m->bytes;
    if (s->fetched < s->bytes) {
        request_chunks(c, s);
        return;
    }
    s->state = MT_STORED_HERE;
    serve_asked(c, s);
    if (!mt_core_dead(c, (int)s->ref.owner)) mt_core_send_ref(c, (int)s->ref.owner, MT_WIRE_COPY, s->ref, 0);
    else if (!s->pins.count) drop(c, s);
    else s->doomed = 1;   // its owner died while it was on its way: only those who read it now
    make_room(c, 0);
}

// ---- events from the disk

// Readers that wait: those of this host get their pin, those of others begin their fetch again.
static void back_again(mt_core *c, mt_stored *s) {
    mt_ranks_add(&s->pins, (uint32_t)c->rank);   // or the end of the first fetch would send it to the disk again
    for (uint32_t i = 0; i < s->asked.count;) {
        uint32_t rank = s->asked.rank[i] & ~FETCHER;
        if (rank == s->asked.rank[i]) {
            i++;
            continue;
        }
        s->asked.rank[i] = s->asked.rank[--s->asked.count];
        mt_wire_ref again = {.ref = s->ref};
        mt_store_on_fetch(c, (int)rank, &again);
    }
    serve_asked(c, s);
    unpin(c, c->rank, s);
}

void mt_core_spilled(mt_core *c, uint64_t ticket, uint64_t file, int ok) {
    mt_stored *s = take_ticket(c, ticket);
    MT_ASSERT(s && s->state == MT_STORED_SPILLING);
    c->spilling_bytes -= s->bytes;
    s->state = MT_STORED_HERE;
    if (s->doomed || s->asked.count || !ok) {
        // not wanted any more, wanted again, or the disk is full: it stays in memory
        if (ok) c->ops->spill_drop(c->shell, file);
        else c->desc.spill = 0;
        if (s->doomed) drop(c, s);
        else back_again(c, s);
    } else {
        s->state = MT_STORED_SPILLED, s->file = file;
        c->ops->heap_free(c->shell, s->offset);
        s->offset = MT_HEAP_NO_OFFSET;
        c->stats.stored_bytes -= s->bytes, c->stats.spilled++, c->stats.spilled_bytes += s->bytes;
    }
    restore_waiting(c);
    mt_core_settle(c);
}

void mt_core_restored(mt_core *c, uint64_t ticket, int ok) {
    mt_stored *s = take_ticket(c, ticket);
    MT_ASSERT(s && s->state == MT_STORED_RESTORING);
    c->ops->spill_drop(c->shell, s->file);
    c->stats.spilled--, c->stats.spilled_bytes -= s->bytes;
    s->state = MT_STORED_HERE;
    if (!ok) s->doomed = 1;
    if (s->doomed) drop(c, s);
    else back_again(c, s);
    restore_waiting(c);
    mt_core_settle(c);
}

// ---- a rank has died

static void stored_rank_dead(mt_core *c, mt_stored *s, int rank) {
    while (mt_ranks_remove(&s->pins, (uint32_t)rank)) {}
    while (mt_ranks_remove(&s->asked, (uint32_t)rank)) {}
    while (mt_ranks_remove(&s->asked, (uint32_t)rank | FETCHER)) {}
    if (s->state == MT_STORED_FETCHING && (int)s->source == rank) fetch_failed(c, s, MANTA_OBJECT_LOST);
    else if ((int)s->ref.owner == rank && !s->doomed && s->state != MT_STORED_FETCHING) mt_store_on_free(c, s->ref);
    else if (s->doomed && !s->pins.count && s->state == MT_STORED_HERE) drop(c, s);
}

void mt_store_rank_dead(mt_core *c, int rank) {
    uint32_t count = 0, capacity = c->stored.count;
    if (!capacity) return;
    manta_ref *refs = mt_take(c, sizeof *refs * capacity);
    for (uint32_t i = 0; i < c->stored.capacity; i++)
        if (c->stored.entry[i].record) refs[count++] = ((mt_stored *)c->stored.entry[i].record)->ref;
    for (uint32_t i = 0; i < count; i++) {
        mt_stored *s = mt_store_find(c, refs[i]);
        if (s) stored_rank_dead(c, s, rank);
    }
    mt_give(c, refs, sizeof *refs * capacity);
    for (mt_stored *s = c->retired, *next; s; s = next) {
        next = s->next_retired;
        stored_rank_dead(c, s, rank);
    }
}

void mt_store_fini(mt_core *c) {
    for (mt_stored *s = c->retired; s; s = s->next_retired) mt_ranks_fini(&s->pins), mt_ranks_fini(&s->asked);
    for (uint32_t i = 0; i < c->stored.capacity; i++) {
        mt_stored *s = c->stored.entry[i].record;
        if (s) mt_ranks_fini(&s->pins), mt_ranks_fini(&s->asked);
    }
    mt_map_fini(&c->stored);
    mt_map_fini(&c->tickets);
}
