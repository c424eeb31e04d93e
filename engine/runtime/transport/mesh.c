// Ranks joined by rings in common memory. Protocol in the header. send: one thread; poll: one thread, at the same time; the
// rest: any. Always holds: outbox of a peer not empty <=> its `waiting` is not 0; both change under `lock` alone.
#include "engine/runtime/transport/mesh.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/runtime/transport/doorbell.h"
#include "engine/runtime/transport/outbox.h"
#include "engine/runtime/transport/process.h"
#include "engine/runtime/transport/ring.h"

enum { PAGE = 4096, CAPACITY_LARGEST = 1 << 20, CAPACITY_LEAST = 32 << 10, CAPACITY_CROWD = 2 << 10 };
#define NODE_BYTES ((size_t)64 << 20)
#define LOOK_NS    (100 * MT_MILLISECOND_NS) // how often processes are looked after

// shared: the beginning of a part
typedef struct part {
    mt_doorbell door;
    _Alignas(MT_RING_LINE) _Atomic int64_t pid; // 0: not there yet
    _Atomic uint64_t start;
    _Atomic uint32_t left; // the member has destroyed its mesh
    _Alignas(MT_RING_LINE) _Atomic uint8_t dirty[]; // (members), padded to lines
} part;

// the way to another member: the sending thread's, or under lock
typedef struct peer {
    _Alignas(MT_RING_LINE) mt_ring_writer to;
    mt_doorbell *door;      // borrowed, shared
    _Atomic uint8_t *dirty; // borrowed, shared: his byte for this member
    _Atomic size_t waiting; // bytes in the outbox
    atomic_int gone;
    mt_outbox outbox;
} peer;

// the way from another member: the polling thread's
typedef struct source {
    _Alignas(MT_RING_LINE) mt_ring_reader from;
    _Atomic uint32_t *starved; // borrowed, shared
    mt_doorbell *door;         // borrowed, shared
    int rank;
    mt_joiner joiner;
} source;

struct mt_mesh {
    int member, members, fenced, scan;
    uint32_t record_max;
    part *own; // borrowed, shared
    peer *peers;     // owned (members)
    source *sources; // owned (members)
    int first;       // member that the next poll begins with
    mt_sleeper sleeper;
    _Alignas(MT_RING_LINE) _Atomic size_t queued; // bytes in all outboxes
    pthread_mutex_t lock;
    mt_chunk_pool pool;
    _Atomic int64_t look_ns;   // when processes are looked after next; MT_NEVER: never
    mt_process_watch *watches; // owned (members)
    part **parts;              // owned (members): borrowed, shared
};

// ---- memory

size_t mt_mesh_ring_capacity(int members) {
    size_t pairs = (size_t)members * (size_t)(members > 1 ? members - 1 : 1), capacity = CAPACITY_LARGEST;
    while (capacity > CAPACITY_LEAST && capacity * pairs > NODE_BYTES) capacity /= 2;
    while (capacity > CAPACITY_CROWD && capacity * pairs > 2 * NODE_BYTES) capacity /= 2;
    return capacity;
}

static size_t part_head_bytes(int members) {
    size_t bytes = sizeof(part) + (size_t)members;
    return (bytes + MT_RING_LINE - 1) / MT_RING_LINE * MT_RING_LINE;
}

size_t mt_mesh_part_bytes(int members, size_t capacity) {
    size_t bytes = part_head_bytes(members) + (size_t)(members - 1) * mt_ring_bytes(capacity);
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

// the ring from one member to another, in the reader's part
static mt_ring *ring_at(const mt_mesh_desc *desc, int reader, int writer) {
    size_t slot = (size_t)(writer < reader ? writer : writer - 1);
    char *base = desc->base + (size_t)reader * mt_mesh_part_bytes(desc->members, desc->capacity);
    return (mt_ring *)(void *)(base + part_head_bytes(desc->members) + slot * mt_ring_bytes(desc->capacity));
}

static void join_members(mt_mesh *mesh, const mt_mesh_desc *desc) {
    size_t part_bytes = mt_mesh_part_bytes(desc->members, desc->capacity);
    for (int m = 0; m < desc->members; m++) {
        peer *p = &mesh->peers[m];
        source *s = &mesh->sources[m];
        mesh->parts[m] = (part *)(void *)(desc->base + (size_t)m * part_bytes);
        mesh->watches[m].pidfd = -1;
        if (m == desc->member) continue;
        mt_ring_writer_init(&p->to, ring_at(desc, m, desc->member), desc->capacity, desc->fenced);
        mt_ring_reader_init(&s->from, ring_at(desc, desc->member, m), desc->capacity, desc->fenced);
        p->door = s->door = &mesh->parts[m]->door;
        p->dirty = &mesh->parts[m]->dirty[desc->member];
        s->starved = &s->from.ring->starved;
        s->rank = desc->ranks[m];
    }
}

static void *array(int count, size_t element) {
    size_t bytes = (size_t)count * element;
    void *memory = aligned_alloc(MT_RING_LINE, (bytes + MT_RING_LINE - 1) / MT_RING_LINE * MT_RING_LINE);
    if (memory) memset(memory, 0, bytes);
    return memory;
}

mt_status mt_mesh_create(const mt_mesh_desc *desc, mt_mesh **out) {
    mt_mesh *mesh = array(1, sizeof *mesh);
    *out = NULL;
    if (!mesh) return MT_FAIL(NO_MEMORY, "transport: out of memory");
    mesh->member = desc->member;
    mesh->members = desc->members;
    mesh->fenced = desc->fenced;
    mesh->scan = desc->members - 1 <= MT_MESH_SCAN_MAX;
    mesh->record_max = mt_ring_record_max(desc->capacity);
    mesh->peers = array(desc->members, sizeof *mesh->peers);
    mesh->sources = array(desc->members, sizeof *mesh->sources);
    mesh->watches = array(desc->members, sizeof *mesh->watches);
    mesh->parts = array(desc->members, sizeof *mesh->parts);
    atomic_init(&mesh->look_ns, MT_NEVER);
    pthread_mutex_init(&mesh->lock, NULL);
    if (!mesh->peers || !mesh->sources || !mesh->watches || !mesh->parts) {
        mesh->own = NULL;
        mt_mesh_destroy(mesh);
        return MT_FAIL(NO_MEMORY, "transport of %d ranks on a node: out of memory", desc->members);
    }
    join_members(mesh, desc);
    mesh->own = mesh->parts[desc->member];
    mt_sleeper_init(&mesh->sleeper, &mesh->own->door, desc->fenced);
    mt_process_id self = mt_process_self();
    atomic_store(&mesh->own->start, self.start);
    atomic_store(&mesh->own->pid, self.pid);
    *out = mesh;
    return MT_OK;
}

void mt_mesh_watch(mt_mesh *mesh) {
    for (int m = 0; m < mesh->members; m++) {
        if (m == mesh->member) continue;
        mt_process_id id = {atomic_load(&mesh->parts[m]->pid), atomic_load(&mesh->parts[m]->start)};
        mt_process_watch_open(&mesh->watches[m], id);
    }
    atomic_store(&mesh->look_ns, mt_clock_ns());
}

void mt_mesh_destroy(mt_mesh *mesh) {
    if (!mesh) return;
    if (mesh->own) {
        atomic_store(&mesh->own->left, 1);
        for (int m = 0; m < mesh->members; m++) {
            mt_outbox_clear(&mesh->peers[m].outbox, &mesh->pool);
            mt_joiner_fini(&mesh->sources[m].joiner);
            mt_process_watch_close(&mesh->watches[m]);
        }
    }
    mt_chunk_pool_fini(&mesh->pool);
    pthread_mutex_destroy(&mesh->lock);
    free(mesh->parts);
    free(mesh->watches);
    free(mesh->sources);
    free(mesh->peers);
    free(mesh);
}

// ---- peers that are gone

static void outbox_drop(mt_mesh *mesh, peer *p) { // under lock
    atomic_fetch_sub(&mesh->queued, atomic_load(&p->waiting));
    atomic_store(&p->waiting, 0);
    mt_outbox_clear(&p->outbox, &mesh->pool);
}

static void set_gone(mt_mesh *mesh, int member) {
    peer *p = &mesh->peers[member];
    if (atomic_exchange(&p->gone, 1)) return;
    pthread_mutex_lock(&mesh->lock);
    outbox_drop(mesh, p);
    pthread_mutex_unlock(&mesh->lock);
}

// looks after all processes, at most every LOOK_NS; one thread at a time does
static void look_after(mt_mesh *mesh) {
    int64_t due = atomic_load_explicit(&mesh->look_ns, memory_order_relaxed), now = mt_clock_ns();
    if (now < due || !atomic_compare_exchange_strong(&mesh->look_ns, &due, now + LOOK_NS)) return;
    for (int m = 0; m < mesh->members; m++)
        if (m != mesh->member && !atomic_load(&mesh->peers[m].gone) && !mt_process_watch_alive(&mesh->watches[m]))
            set_gone(mesh, m);
}

int mt_mesh_alive(mt_mesh *mesh, int member) {
    if (member == mesh->member) return 1;
    if (atomic_load(&mesh->parts[member]->left)) set_gone(mesh, member);
    if (atomic_load_explicit(&mesh->look_ns, memory_order_relaxed) != MT_NEVER) look_after(mesh);
    return !atomic_load(&mesh->peers[member].gone);
}

// ---- sending

static inline void announce(const mt_mesh *mesh, const peer *p) {
    if (!mesh->scan) {
        if (mesh->fenced) atomic_exchange(p->dirty, 1);
        else {
            atomic_store_explicit(p->dirty, 1, memory_order_release);
            atomic_signal_fence(memory_order_seq_cst);
        }
    }
    mt_doorbell_knock(p->door);
}

// Waiting records into the ring as far as they fit; under lock. Returns how many.
static int drain(mt_mesh *mesh, peer *p) {
    mt_record record;
    size_t before = p->outbox.bytes;
    int moved = 0;
    while (mt_outbox_first(&p->outbox, &record)) {
        char *to = mt_ring_begin(&p->to, record.bytes);
        if (!to) break;
        memcpy(to, record.data, record.bytes);
        mt_ring_commit(&p->to, record.bytes, record.left);
        mt_outbox_drop_first(&p->outbox, &mesh->pool);
        moved++;
    }
    if (!moved) return 0;
    announce(mesh, p);
    atomic_fetch_sub(&mesh->queued, before - p->outbox.bytes);
    if (!p->outbox.first) atomic_store(&p->to.ring->starved, 0);
    atomic_store(&p->waiting, p->outbox.bytes); // 0: from here on the writer is the sending thread's again
    return moved;
}

// what the cutter has left goes to the outbox; under lock
static int enqueue(mt_mesh *mesh, peer *p, mt_cutter *cutter) {
    size_t before = p->outbox.bytes;
    int kept = mt_outbox_add(&p->outbox, &mesh->pool, cutter, mesh->record_max);
    atomic_fetch_add(&mesh->queued, p->outbox.bytes - before);
    atomic_store(&p->waiting, p->outbox.bytes);
    if (before == 0 && kept) {
        // say so before the last look at the ring: the reader moves its head, then looks here
        atomic_exchange(&p->to.ring->starved, 1);
        if (!mesh->fenced) mt_barrier_everywhere();
        drain(mesh, p);
    }
    return kept;
}

// a message in several records, or one that does not fit now
static __attribute__((noinline)) void send_slowly(mt_mesh *mesh, peer *p, int member, mt_cutter *cutter) {
    int kept = 1, sent = 0;
    MT_ASSERT(cutter->left <= MT_MESSAGE_BYTES_MAX);
    pthread_mutex_lock(&mesh->lock);
    if (!p->outbox.first)
        do {
            uint32_t bytes = cutter->left < mesh->record_max ? (uint32_t)cutter->left : mesh->record_max;
            char *to = mt_ring_begin(&p->to, bytes);
            if (!to) break;
            mt_cutter_copy(cutter, to, bytes);
            mt_ring_commit(&p->to, bytes, (uint32_t)cutter->left);
            sent = 1;
        } while (cutter->left);
    if (sent) announce(mesh, p);
    if (!sent || cutter->left) kept = enqueue(mesh, p, cutter);
    pthread_mutex_unlock(&mesh->lock);
    // no memory for what he must get, or his side of the ring is nonsense: he is as good as gone
    if (!kept || p->to.corrupt) set_gone(mesh, member);
}

void mt_mesh_send(mt_mesh *mesh, int member, const mt_piece *pieces, int count) {
    peer *p = &mesh->peers[member];
    size_t bytes = mt_pieces_bytes(pieces, count);
    MT_ASSERT(member != mesh->member);
    if (atomic_load_explicit(&p->gone, memory_order_relaxed)) return;
    if (bytes <= mesh->record_max && atomic_load_explicit(&p->waiting, memory_order_acquire) == 0) {
        char *to = mt_ring_begin(&p->to, (uint32_t)bytes);
        if (to) {
            mt_pieces_copy(to, pieces, count);
            mt_ring_commit(&p->to, (uint32_t)bytes, 0);
            announce(mesh, p);
            return;
        }
    }
    mt_cutter cutter = {.piece = pieces, .left = bytes};
    send_slowly(mesh, p, member, &cutter);
}

static void drain_all(mt_mesh *mesh) {
    for (int m = 0; m < mesh->members; m++) {
        peer *p = &mesh->peers[m];
        if (!atomic_load_explicit(&p->waiting, memory_order_relaxed)) continue;
        pthread_mutex_lock(&mesh->lock);
        drain(mesh, p);
        int corrupt = p->to.corrupt;
        pthread_mutex_unlock(&mesh->lock);
        if (corrupt || atomic_load(&mesh->parts[m]->left)) set_gone(mesh, m);
        else if (atomic_load(&p->gone)) {
            pthread_mutex_lock(&mesh->lock);
            outbox_drop(mesh, p); // a send that had just begun
            pthread_mutex_unlock(&mesh->lock);
        }
    }
}

// ---- receiving

static void release(source *s) {
    mt_ring_release(&s->from);
    if (atomic_load(s->starved)) mt_doorbell_knock(s->door);
}

// Delivers up to `budget` messages of one member.
static int visit(mt_mesh *mesh, int member, mt_deliver_fn deliver, void *context, int budget) {
    source *s = &mesh->sources[member];
    mt_record record;
    mt_status status = MT_OK;
    int delivered = 0, whole;
    if (atomic_load_explicit(&s->from.corrupt, memory_order_relaxed)) return 0;
    while (delivered < budget) {
        status = mt_ring_next(&s->from, &record);
        if (status != MT_OK || !record.data) break;
        if (record.left == 0 && s->joiner.total == 0 && record.bytes <= MT_MESSAGE_BYTES_MAX) {
            deliver(context, s->rank, record.data, record.bytes);
            delivered++;
        } else {
            status = mt_joiner_add(&s->joiner, record.data, record.bytes, record.left, &whole);
            if (status != MT_OK) break;
            if (whole) {
                deliver(context, s->rank, s->joiner.data, s->joiner.total);
                mt_joiner_next(&s->joiner);
                delivered++;
            }
        }
        mt_ring_advance(&s->from, &record);
        if (mt_ring_held(&s->from) >= s->from.capacity / 8) release(s);
    }
    if (status != MT_OK) {
        atomic_store(&s->from.corrupt, 1);
        set_gone(mesh, member);
    } else if (mt_ring_held(&s->from)) release(s);
    return delivered;
}

typedef uint64_t __attribute__((may_alias)) dirty_word;

// dirty bytes from m on, eight at once; what lies behind the members is 0
static inline uint64_t dirty_eight(const mt_mesh *mesh, int m) {
    return __atomic_load_n((const dirty_word *)(const void *)&mesh->own->dirty[m], __ATOMIC_ACQUIRE);
}

static int poll_dirty(mt_mesh *mesh, mt_deliver_fn deliver, void *context, int budget) {
    int delivered = 0, words = (mesh->members + 7) / 8, begin = mesh->first / 8;
    for (int w = 0; w < words && delivered < budget; w++) {
        int base = (begin + w) % words * 8;
        if (!dirty_eight(mesh, base)) continue;
        for (int m = base; m < base + 8 && m < mesh->members && delivered < budget; m++) {
            if (m == mesh->member || !atomic_load_explicit(&mesh->own->dirty[m], memory_order_relaxed)) continue;
            if (!atomic_exchange(&mesh->own->dirty[m], 0)) continue;
            delivered += visit(mesh, m, deliver, context, budget - delivered);
            if (mt_ring_waiting(&mesh->sources[m].from))
                atomic_store_explicit(&mesh->own->dirty[m], 1, memory_order_relaxed);
            mesh->first = m + 1 < mesh->members ? m + 1 : 0;
        }
    }
    return delivered;
}

int mt_mesh_poll(mt_mesh *mesh, mt_deliver_fn deliver, void *context, int budget) {
    int delivered = 0;
    if (atomic_load_explicit(&mesh->queued, memory_order_relaxed)) drain_all(mesh);
    if (!mesh->scan) return poll_dirty(mesh, deliver, context, budget);
    for (int i = 0, m = mesh->first; i < mesh->members && delivered < budget; i++) {
        if (m != mesh->member && mt_ring_waiting(&mesh->sources[m].from)) {
            delivered += visit(mesh, m, deliver, context, budget - delivered);
            mesh->first = m + 1 < mesh->members ? m + 1 : 0;
        }
        m = m + 1 < mesh->members ? m + 1 : 0;
    }
    return delivered;
}

static int sendable(mt_mesh *mesh) {
    int found = 0;
    mt_record record;
    for (int m = 0; m < mesh->members && !found; m++) {
        peer *p = &mesh->peers[m];
        if (!atomic_load(&p->waiting)) continue;
        pthread_mutex_lock(&mesh->lock);
        if (mt_outbox_first(&p->outbox, &record))
            found = atomic_load(&p->gone) || mt_ring_begin(&p->to, record.bytes) != NULL || p->to.corrupt;
        pthread_mutex_unlock(&mesh->lock);
    }
    return found;
}

int mt_mesh_pending(mt_mesh *mesh) {
    if (mt_sleeper_owes(&mesh->sleeper)) return 1;
    if (mesh->scan) {
        for (int m = 0; m < mesh->members; m++)
            if (m != mesh->member && mt_ring_waiting(&mesh->sources[m].from)) return 1;
    } else {
        for (int m = 0; m < mesh->members; m += 8)
            if (dirty_eight(mesh, m)) return 1;
    }
    return atomic_load(&mesh->queued) && sendable(mesh);
}

// ---- sleeping

void mt_mesh_set_asleep(mt_mesh *mesh, int asleep) { mt_sleeper_set(&mesh->sleeper, asleep); }
void mt_mesh_ring(mt_mesh *mesh) { mt_sleeper_ring(&mesh->sleeper); }
int mt_mesh_asleep(const mt_mesh *mesh) { return mt_sleeper_idle(&mesh->sleeper); }
size_t mt_mesh_queued_bytes(const mt_mesh *mesh) { return atomic_load(&mesh->queued); }

int mt_mesh_nap(mt_mesh *mesh, int64_t deadline_ns) { return mt_sleeper_sleep(&mesh->sleeper, deadline_ns); }

void mt_mesh_sleep(mt_mesh *mesh, int64_t deadline_ns) {
    mt_sleeper_sleep(&mesh->sleeper, deadline_ns);
    if (atomic_load_explicit(&mesh->look_ns, memory_order_relaxed) != MT_NEVER && mt_deadline_passed(deadline_ns))
        look_after(mesh);
}
