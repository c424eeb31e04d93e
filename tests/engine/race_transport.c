// The local transport under ThreadSanitizer: virtual ranks hammer each other. Every rank has a sender, which sends bursts of
// numbered messages of all sizes to all others, and a background thread, which polls, sleeps and is rung; a waiter takes the
// polling over now and then, as threads of the runtime that wait for an answer do. Every message is checked: order, length,
// content. A message that lies there while everybody sleeps is found by a deadline.
//
// It is run with membarrier and with fences, with few ranks (tails are scanned) and many (dirty bytes).
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/runtime/transport/transport.h"

enum { RANKS_MAX = 20, BUDGET = 32 };
#define PATIENCE_NS (20 * MT_SECOND_NS)

typedef struct rank {
    mt_transport *t;
    pthread_t sender, background, waiter;
    pthread_mutex_t token;            // poll token
    uint64_t expected[RANKS_MAX];     // next number from each; under the token
    atomic_long received;
    atomic_int stop;
} rank;

static rank ranks[RANKS_MAX];
static int size;
static long messages; // from each rank to each other one
static atomic_long sleeps, naps_too_long;

typedef struct head {
    uint64_t number;
    uint32_t src, bytes;
} head;

static void fail(const char *what, int at, int from, uint64_t number) {
    fprintf(stderr, "race_transport: %s: rank %d, from %d, number %llu\n", what, at, from, (unsigned long long)number);
    exit(1);
}

static uint32_t mix(uint64_t x) {
    x *= 0x9e3779b97f4a7c15u;
    x ^= x >> 32;
    x *= 0xbf58476d1ce4e5b9u;
    return (uint32_t)(x >> 32);
}

// mostly small, now and then long
static uint32_t length_of(uint32_t src, uint32_t dst, uint64_t number) {
    uint32_t r = mix(number * 1000003u + src * 1009u + dst);
    if (r % 503 == 0) return MT_MESSAGE_BYTES_MAX - r % 9;
    if (r % 61 == 0) return (uint32_t)sizeof(head) + r % 30000;
    return (uint32_t)sizeof(head) + r % 150;
}

static void deliver(void *context, int src, const void *message, size_t bytes) {
    rank *self = context;
    int me = (int)(self - ranks);
    head h;
    memcpy(&h, message, sizeof h);
    if ((uintptr_t)message % 8) fail("not aligned", me, src, 0);
    if ((int)h.src != src || h.number != self->expected[src]) fail("out of order", me, src, h.number);
    if (bytes != h.bytes || bytes != length_of((uint32_t)src, (uint32_t)me, h.number)) fail("wrong length", me, src, h.number);
    const unsigned char *body = (const unsigned char *)message + sizeof h;
    for (size_t i = 0; i < bytes - sizeof h; i += bytes > 1000 ? 97 : 1)
        if (body[i] != (unsigned char)(h.number + i)) fail("wrong content", me, src, h.number);
    self->expected[src]++;
    atomic_fetch_add(&self->received, 1);
}

static void *sender_main(void *context) {
    rank *self = context;
    int me = (int)(self - ranks);
    unsigned char *body = malloc(MT_MESSAGE_BYTES_MAX * 2);
    for (size_t i = 0; i < MT_MESSAGE_BYTES_MAX * 2; i++) body[i] = (unsigned char)i;
    for (long n = 0; n < messages; n++) {
        for (int d = 1; d < size; d++) {
            int dst = (me + d) % size;
            head h = {(uint64_t)n, (uint32_t)me, length_of((uint32_t)me, (uint32_t)dst, (uint64_t)n)};
            size_t rest = h.bytes - sizeof h, cut = rest / 3;
            mt_piece pieces[4] = {{&h, sizeof h}, {body + (n & 255), cut}, {NULL, 0}, {body + (n & 255) + cut, rest - cut}};
            self->t->ops->send(self->t, dst, pieces, 4);
        }
        uint32_t r = mix((uint64_t)n * 31 + (uint64_t)me);
        if (r % 16 == 0) mt_sleep_ns(r % 200000); // all asleep meanwhile, perhaps
    }
    free(body);
    return NULL;
}

static int poll_once(rank *self) { return self->t->ops->poll(self->t, deliver, self, BUDGET); }

// as the runtime's: polls while there is something, then sleeps; who stops polling says so and looks once more
static void *background_main(void *context) {
    rank *self = context;
    const mt_transport_ops *ops = self->t->ops;
    while (!atomic_load(&self->stop)) {
        if (pthread_mutex_trylock(&self->token) == 0) {
            ops->set_asleep(self->t, 0);
            while (poll_once(self) > 0) {}
            ops->set_asleep(self->t, 1);
            int again = ops->pending(self->t);
            pthread_mutex_unlock(&self->token);
            if (again) continue;
        }
        atomic_fetch_add(&sleeps, 1);
        int64_t began = mt_clock_ns();
        ops->sleep(self->t, began + PATIENCE_NS);
        // nobody may lie here while messages do (half a second is the transport's own insurance, and a bug's sign)
        if (mt_clock_ns() - began > 400 * MT_MILLISECOND_NS && pthread_mutex_trylock(&self->token) == 0) {
            if (ops->pending(self->t)) atomic_fetch_add(&naps_too_long, 1);
            pthread_mutex_unlock(&self->token);
        }
    }
    return NULL;
}

static void *waiter_main(void *context) {
    rank *self = context;
    const mt_transport_ops *ops = self->t->ops;
    for (unsigned round = 0; !atomic_load(&self->stop); round++) {
        if (pthread_mutex_trylock(&self->token) == 0) {
            ops->set_asleep(self->t, 0);
            for (int i = 0; i < 50; i++) poll_once(self);
            ops->set_asleep(self->t, 1);
            while (ops->pending(self->t)) {
                ops->set_asleep(self->t, 0);
                poll_once(self);
                ops->set_asleep(self->t, 1);
            }
            // what came after that rings, and so wakes the background thread
            pthread_mutex_unlock(&self->token);
        }
        if (round % 7 == 0) ops->ring(self->t);
        mt_sleep_ns(mix(round) % 300000);
    }
    return NULL;
}

static void start(pthread_t *thread, void *(*fn)(void *), rank *r) {
    if (pthread_create(thread, NULL, fn, r) != 0) fail("no thread", 0, 0, 0);
}

static void race(int count, long each, int with_waiters) {
    mt_transport *out[RANKS_MAX];
    size = count;
    messages = each;
    atomic_store(&naps_too_long, 0);
    if (mt_transport_local_create(count, 1, out) != MT_OK) fail(mt_last_error(), 0, 0, 0);
    for (int r = 0; r < count; r++) {
        memset(&ranks[r], 0, sizeof ranks[r]);
        ranks[r].t = out[r];
        pthread_mutex_init(&ranks[r].token, NULL);
    }
    for (int r = 0; r < count; r++) {
        start(&ranks[r].background, background_main, &ranks[r]);
        if (with_waiters) start(&ranks[r].waiter, waiter_main, &ranks[r]);
        start(&ranks[r].sender, sender_main, &ranks[r]);
    }
    for (int r = 0; r < count; r++) pthread_join(ranks[r].sender, NULL);
    long all = each * (count - 1);
    int64_t deadline = mt_deadline_after(PATIENCE_NS);
    for (int r = 0; r < count; r++)
        while (atomic_load(&ranks[r].received) < all) {
            if (mt_deadline_passed(deadline))
                fail("messages lost, or nobody woken", r, -1, (uint64_t)atomic_load(&ranks[r].received));
            mt_sleep_ns(MT_MILLISECOND_NS);
        }
    if (atomic_load(&naps_too_long)) fail("slept beside messages", 0, -1, (uint64_t)atomic_load(&naps_too_long));
    for (int r = 0; r < count; r++) {
        atomic_store(&ranks[r].stop, 1);
        out[r]->ops->ring(out[r]);
        pthread_join(ranks[r].background, NULL);
        if (with_waiters) pthread_join(ranks[r].waiter, NULL);
        if (out[r]->ops->queued_bytes(out[r])) fail("still queued", r, -1, out[r]->ops->queued_bytes(out[r]));
    }
    for (int r = 0; r < count; r++) {
        out[r]->ops->destroy(out[r]);
        pthread_mutex_destroy(&ranks[r].token);
    }
    printf("race_transport: %d ranks, %ld messages each way, waiters %d: fine, %ld sleeps\n", count, each, with_waiters,
        atomic_exchange(&sleeps, 0));
}

int main(int argc, char **argv) {
    long scale = argc > 1 ? atol(argv[1]) : 1;
    for (int fences = 0; fences < 2; fences++) {
        if (fences) setenv("MANTA_TRANSPORT_FENCES", "1", 1);
        race(2, 20000 * scale, 0);
        race(3, 4000 * scale, 1);
        race(RANKS_MAX, 60 * scale, 0);
    }
    return 0;
}
