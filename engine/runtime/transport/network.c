// Messages between nodes. send: one thread; poll: one thread, at the same time; pending, probe: any. What concerns sending is
// under `lock`, what concerns receiving belongs to the polling thread. A rank that MPI refuses to send to is gone.
#include "engine/runtime/transport/network.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "engine/base/clock.h"
#include "engine/collective/mpi.h"
#include "engine/runtime/transport/outbox.h"

enum {
    TAG = 1,
    FLIGHTS_MAX = 64,      // chunks with MPI: 4 MiB
    FLIGHTS_PEER = 4,
    RECEIVES_MAX = 16,
    FULL_BYTES = 16 << 10, // a chunk so full does not wait
};
#define BATCH_NS   (5 * MT_MICROSECOND_NS)
#define ASK_NS     (2 * MT_MICROSECOND_NS)   // pending asks MPI at most so often
#define STALL_NS   (50 * MT_MICROSECOND_NS)  // a message that is coming in is looked at so often
#define GOODBYE_NS (200 * MT_MILLISECOND_NS)

typedef struct remote {
    mt_outbox outbox;
    int in_flight, listed; // listed: in the list of those with a filled outbox
    int next;              // in that list; -1: the last
    int64_t sent_ns;       // when a chunk last left
    mt_joiner joiner;      // the polling thread's
    atomic_int gone;
} remote;

typedef struct receive {
    mt_chunk *chunk; // owned
    MPI_Request request;
    int rank, here;
} receive;

struct mt_network {
    MPI_Comm comm; // owned
    int size;
    remote *remotes; // owned (size)
    // sending
    pthread_mutex_t lock;
    mt_chunk_pool pool;
    MPI_Request requests[FLIGHTS_MAX];
    mt_chunk *chunks[FLIGHTS_MAX]; // owned
    int ranks[FLIGHTS_MAX];
    _Atomic int flights;
    int waiting; // first of the list; -1: none
    _Atomic size_t queued;
    // receiving
    mt_chunk_pool fresh;
    receive receives[RECEIVES_MAX]; // in the order of matching
    _Atomic int receiving, ready;   // receives not finished; messages left by a small budget
    // asking
    _Atomic int64_t asked_ns, looked_ns; // looked: poll, at what is coming in
    atomic_int broken;
};

mt_status mt_network_create(MPI_Comm all, const char *near, mt_network **out) {
    mt_network *n = calloc(1, sizeof *n);
    *out = NULL;
    if (!n) return MT_FAIL(NO_MEMORY, "transport: out of memory");
    n->comm = MPI_COMM_NULL;
    n->waiting = -1;
    pthread_mutex_init(&n->lock, NULL);
    mt_mpi_lock();
    mt_status status = MT_MPI(MPI_Comm_dup(all, &n->comm));
    if (status == MT_OK) status = MT_MPI(MPI_Comm_set_errhandler(n->comm, MPI_ERRORS_RETURN));
    if (status == MT_OK) status = MT_MPI(MPI_Comm_size(n->comm, &n->size));
    mt_mpi_unlock();
    n->remotes = status == MT_OK ? calloc((size_t)n->size, sizeof *n->remotes) : NULL;
    if (status == MT_OK && !n->remotes) status = MT_FAIL(NO_MEMORY, "transport of %d ranks: out of memory", n->size);
    for (int r = 0; r < n->size && status == MT_OK; r++) n->remotes[r].gone = near[r]; // never sent to from here
    if (status == MT_OK) *out = n;
    else mt_network_destroy(n);
    return status;
}

// ---- sending, under lock

static void flight_drop(mt_network *n, int i) {
    int last = n->flights - 1;
    n->remotes[n->ranks[i]].in_flight--;
    n->requests[i] = n->requests[last];
    n->chunks[i] = n->chunks[last];
    n->ranks[i] = n->ranks[last];
    n->flights = last;
}

static void give_up(mt_network *n, int rank) {
    remote *r = &n->remotes[rank];
    atomic_store(&r->gone, 1);
    atomic_fetch_sub(&n->queued, r->outbox.bytes);
    mt_outbox_clear(&r->outbox, &n->pool);
}

// takes back the chunks that MPI has finished with
static void reap(mt_network *n) {
    int count = 0, done[FLIGHTS_MAX], finished[FLIGHTS_MAX] = {0};
    if (n->flights == 0) return;
    mt_mpi_lock();
    int code = MPI_Testsome(n->flights, n->requests, &count, done, MPI_STATUSES_IGNORE);
    mt_mpi_unlock();
    if (code != MPI_SUCCESS) atomic_store(&n->broken, 1);
    if (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS) return;
    for (int k = 0; k < count && count != MPI_UNDEFINED; k++) finished[done[k]] = 1;
    for (int i = n->flights - 1; i >= 0; i--)
        if (finished[i]) {
            mt_chunk_give(&n->pool, n->chunks[i]);
            flight_drop(n, i);
        }
}

// Gives a rank's oldest chunks to MPI, as many as may be there.
static void launch(mt_network *n, int rank) {
    remote *r = &n->remotes[rank];
    while (r->outbox.first && r->in_flight < FLIGHTS_PEER && n->flights < FLIGHTS_MAX) {
        int slot = n->flights;
        size_t before = r->outbox.bytes;
        mt_chunk *chunk = mt_outbox_take_chunk(&r->outbox);
        mt_mpi_lock();
        mt_status status = MT_MPI(MPI_Isend(chunk->data, (int)chunk->end, MPI_BYTE, rank, TAG, n->comm, &n->requests[slot]));
        mt_mpi_unlock();
        atomic_fetch_sub(&n->queued, before - r->outbox.bytes);
        if (status != MT_OK) {
            mt_chunk_give(&n->pool, chunk);
            give_up(n, rank);
            return;
        }
        n->chunks[slot] = chunk;
        n->ranks[slot] = rank;
        n->flights = slot + 1;
        r->in_flight++;
        r->sent_ns = mt_clock_ns();
    }
}

static void list_add(mt_network *n, int rank) {
    remote *r = &n->remotes[rank];
    if (r->listed) return;
    r->listed = 1;
    r->next = n->waiting;
    n->waiting = rank;
}

// everything that may leave does
static void flush(mt_network *n) {
    int rank = n->waiting;
    n->waiting = -1;
    while (rank >= 0) {
        remote *r = &n->remotes[rank];
        int next = r->next;
        r->listed = 0;
        launch(n, rank);
        if (r->outbox.first) list_add(n, rank);
        rank = next;
    }
}

static void advance(mt_network *n) {
    if (!atomic_load(&n->queued) && !atomic_load(&n->flights)) return;
    pthread_mutex_lock(&n->lock);
    reap(n);
    flush(n);
    pthread_mutex_unlock(&n->lock);
}

void mt_network_send(mt_network *n, int rank, const mt_piece *pieces, int count, int polled) {
    remote *r = &n->remotes[rank];
    mt_cutter cutter = {.piece = pieces, .left = mt_pieces_bytes(pieces, count)};
    MT_ASSERT(cutter.left <= MT_MESSAGE_BYTES_MAX);
    if (atomic_load(&r->gone)) return;
    pthread_mutex_lock(&n->lock);
    size_t before = r->outbox.bytes;
    int kept = mt_outbox_add(&r->outbox, &n->pool, &cutter, MT_CHUNK_BYTES);
    atomic_fetch_add(&n->queued, r->outbox.bytes - before);
    if (!kept) {
        give_up(n, rank);
    } else {
        if (!polled || r->outbox.bytes >= FULL_BYTES || mt_clock_ns() - r->sent_ns >= BATCH_NS) {
            if (r->in_flight >= FLIGHTS_PEER || n->flights >= FLIGHTS_MAX) reap(n);
            launch(n, rank);
        }
        if (r->outbox.first) list_add(n, rank);
    }
    pthread_mutex_unlock(&n->lock);
}

// ---- receiving, the polling thread

static int older_from(const mt_network *n, int at) {
    for (int i = 0; i < at; i++)
        if (n->receives[i].rank == n->receives[at].rank) return 1;
    return 0;
}

// Delivers a chunk's messages; 1 when it is used up.
static int unpack(mt_network *n, receive *in, mt_deliver_fn deliver, void *context, int budget, int *delivered) {
    remote *r = &n->remotes[in->rank];
    mt_record record;
    int whole, more = 0;
    while (*delivered < budget && (more = mt_chunk_next(in->chunk, &record)) == 1) {
        if (record.left == 0 && r->joiner.total == 0) {
            deliver(context, in->rank, record.data, record.bytes);
            (*delivered)++;
        } else if (mt_joiner_add(&r->joiner, record.data, record.bytes, record.left, &whole) != MT_OK) {
            more = -1;
            break;
        } else if (whole) {
            deliver(context, in->rank, r->joiner.data, r->joiner.total);
            mt_joiner_next(&r->joiner);
            (*delivered)++;
        }
    }
    if (more < 0) {
        pthread_mutex_lock(&n->lock);
        give_up(n, in->rank);
        pthread_mutex_unlock(&n->lock);
    }
    return more < 0 || in->chunk->at == in->chunk->end;
}

// the next message that MPI has, on its way into a chunk; 0: there is none
static int receive_start(mt_network *n) {
    int there = 0, bytes = 0;
    MPI_Message message;
    MPI_Status from;
    if (n->receiving >= RECEIVES_MAX || atomic_load(&n->broken)) return 0;
    mt_chunk *chunk = mt_chunk_take(&n->fresh);
    if (!chunk) return 0;
    receive *in = &n->receives[n->receiving];
    mt_mpi_lock();
    mt_status status = MT_MPI(MPI_Improbe(MPI_ANY_SOURCE, TAG, n->comm, &there, &message, &from));
    if (status == MT_OK && there) {
        status = MT_MPI(MPI_Get_count(&from, MPI_BYTE, &bytes));
        if (status == MT_OK && (bytes < 0 || bytes > MT_CHUNK_BYTES))
            status = MT_FAIL(CORRUPT, "message of %d bytes from rank %d: is it the same manta?", bytes, from.MPI_SOURCE);
        if (status == MT_OK) status = MT_MPI(MPI_Imrecv(chunk->data, bytes, MPI_BYTE, &message, &in->request));
    }
    mt_mpi_unlock();
    if (status != MT_OK) atomic_store(&n->broken, 1);
    if (status != MT_OK || !there) {
        mt_chunk_give(&n->fresh, chunk);
        return 0;
    }
    chunk->end = (uint32_t)bytes;
    in->chunk = chunk;
    in->rank = from.MPI_SOURCE;
    in->here = 0;
    n->receiving++;
    return 1;
}

static int receive_finished(mt_network *n, receive *in) {
    if (in->here) return 1;
    mt_mpi_lock();
    mt_status status = MT_MPI(MPI_Test(&in->request, &in->here, MPI_STATUS_IGNORE));
    mt_mpi_unlock();
    if (status != MT_OK) atomic_store(&n->broken, 1);
    return status == MT_OK && in->here;
}

static int deliver_all(mt_network *n, mt_deliver_fn deliver, void *context, int budget) {
    int delivered = 0;
    for (int i = 0; i < n->receiving && delivered < budget;) {
        receive *in = &n->receives[i];
        if (older_from(n, i) || !receive_finished(n, in) || !unpack(n, in, deliver, context, budget, &delivered)) {
            i++;
            continue;
        }
        mt_chunk_give(&n->fresh, in->chunk);
        n->receiving--;
        for (int k = i; k < n->receiving; k++) n->receives[k] = n->receives[k + 1];
    }
    return delivered;
}

int mt_network_poll(mt_network *n, mt_deliver_fn deliver, void *context, int budget) {
    int delivered = 0;
    advance(n);
    if (n->receiving) {
        delivered = deliver_all(n, deliver, context, budget);
        atomic_store_explicit(&n->looked_ns, mt_clock_ns(), memory_order_relaxed);
    }
    while (delivered < budget && receive_start(n)) delivered += deliver_all(n, deliver, context, budget - delivered);
    int left = 0;
    for (int i = 0; i < n->receiving; i++) left |= n->receives[i].here;
    atomic_store(&n->ready, left);
    return delivered;
}

// ---- asking

int mt_network_probe(mt_network *n) {
    int there = 0;
    advance(n);
    if (atomic_load(&n->ready)) return 1;
    if (atomic_load(&n->broken)) return 0;
    mt_mpi_lock();
    mt_status status = MT_MPI(MPI_Iprobe(MPI_ANY_SOURCE, TAG, n->comm, &there, MPI_STATUS_IGNORE));
    mt_mpi_unlock();
    if (status != MT_OK) atomic_store(&n->broken, 1);
    return status == MT_OK && there && n->receiving < RECEIVES_MAX;
}

int mt_network_receiving(const mt_network *n) { return atomic_load(&n->receiving) != 0; }

int mt_network_pending(mt_network *n) {
    if (atomic_load(&n->ready)) return 1;
    int64_t now = mt_clock_ns(), asked = atomic_load_explicit(&n->asked_ns, memory_order_relaxed);
    // what waits to be batched leaves before anybody sleeps
    if (atomic_load(&n->queued)) advance(n);
    // until a poll has looked, for whoever asks: two may ask before one polls
    if (atomic_load(&n->receiving) && now - atomic_load_explicit(&n->looked_ns, memory_order_relaxed) >= STALL_NS) return 1;
    if (now - asked < ASK_NS || !atomic_compare_exchange_strong(&n->asked_ns, &asked, now)) return 0;
    return mt_network_probe(n);
}

int mt_network_alive(const mt_network *n, int rank) { return !atomic_load(&n->remotes[rank].gone); }
size_t mt_network_queued_bytes(const mt_network *n) { return atomic_load(&n->queued); }

void mt_network_destroy(mt_network *n) {
    if (!n) return;
    int64_t deadline = mt_deadline_after(GOODBYE_NS);
    int active = n->comm != MPI_COMM_NULL && mt_mpi_active();
    while (active && n->remotes && (n->queued || n->flights) && !n->broken && !mt_deadline_passed(deadline)) {
        advance(n);
        mt_sleep_ns(10 * MT_MICROSECOND_NS);
    }
    int lost = n->flights > 0 || n->receiving > 0 || n->broken; // MPI may still read and write those chunks
    for (int r = 0; r < n->size && n->remotes; r++) {
        mt_outbox_clear(&n->remotes[r].outbox, &n->pool);
        mt_joiner_fini(&n->remotes[r].joiner);
    }
    mt_chunk_pool_fini(&n->pool);
    mt_chunk_pool_fini(&n->fresh);
    if (active && !lost) {
        mt_mpi_lock();
        MPI_Comm_free(&n->comm);
        mt_mpi_unlock();
    }
    pthread_mutex_destroy(&n->lock);
    free(n->remotes);
    free(n);
}
