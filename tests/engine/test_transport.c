// Transport: rings, joining, outboxes and the local transport in this process; the job's transport over mpirun with
// mpi_transport as the ranks' program. Ranks "on several nodes" are made by limiting the ranks of a node.
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>
#include "engine/base/clock.h"
#include "engine/runtime/transport/outbox.h"
#include "engine/runtime/transport/process.h"
#include "engine/runtime/transport/ring.h"
#include "engine/runtime/transport/transport.h"
#include "tests/engine/mpi_launch.h"

enum { CAPACITY = 1024 };

typedef struct ring_pair {
    mt_ring *ring;
    mt_ring_writer writer;
    mt_ring_reader reader;
} ring_pair;

static ring_pair ring_make(size_t capacity, int fenced) {
    ring_pair p;
    p.ring = aligned_alloc(MT_RING_LINE, mt_ring_bytes(capacity));
    memset(p.ring, 0, mt_ring_bytes(capacity));
    mt_ring_writer_init(&p.writer, p.ring, capacity, fenced);
    mt_ring_reader_init(&p.reader, p.ring, capacity, fenced);
    return p;
}

static int put(ring_pair *p, uint32_t bytes, uint32_t left, unsigned char seed) {
    char *to = mt_ring_begin(&p->writer, bytes);
    if (!to) return 0;
    cr_assert_eq((uintptr_t)to % 8, 0);
    for (uint32_t i = 0; i < bytes; i++) to[i] = (char)(seed + i);
    mt_ring_commit(&p->writer, bytes, left);
    return 1;
}

// ---- ring

Test(ring, odd_sizes_and_wraps) {
    for (int fenced = 0; fenced < 2; fenced++) {
        ring_pair p = ring_make(CAPACITY, fenced);
        uint32_t sizes[64], most = mt_ring_record_max(CAPACITY), random = 7;
        int sent = 0, got = 0;
        while (got < 20000) {
            random = random * 1664525u + 1013904223u;
            int batch = (int)(random >> 28);
            for (int i = 0; i < batch && sent - got < 64; i++) {
                random = random * 1664525u + 1013904223u;
                uint32_t bytes = (random >> 8) % (most + 1);
                if (!put(&p, bytes, (uint32_t)sent, (unsigned char)sent)) break;
                sizes[sent++ % 64] = bytes;
            }
            for (int i = (int)(random >> 27) % 9; i > 0; i--) {
                mt_record r;
                cr_assert_eq(mt_ring_waiting(&p.reader), sent != got);
                cr_assert_eq(mt_ring_next(&p.reader, &r), MT_OK);
                if (sent == got) {
                    cr_assert_null(r.data);
                    break;
                }
                cr_assert(r.data);
                cr_assert_eq(r.bytes, sizes[got % 64]);
                cr_assert_eq(r.left, (uint32_t)got);
                for (uint32_t b = 0; b < r.bytes; b++)
                    cr_assert_eq(((const unsigned char *)r.data)[b], (unsigned char)(got + (int)b));
                mt_ring_advance(&p.reader, &r);
                got++;
            }
            mt_ring_release(&p.reader);
        }
        free(p.ring);
    }
}

// a record of the largest size finds room in an empty ring, wherever that stands
Test(ring, the_largest_record_always_fits_an_empty_ring) {
    ring_pair p = ring_make(CAPACITY, 0);
    mt_record r;
    for (int i = 0; i < 3000; i++) {
        cr_assert(put(&p, mt_ring_record_max(CAPACITY) - (i % 3 ? 0 : 8 * (uint32_t)(i % 17)), 0, 1), "round %d", i);
        cr_assert_eq(mt_ring_next(&p.reader, &r), MT_OK);
        mt_ring_advance(&p.reader, &r);
        mt_ring_release(&p.reader);
        cr_assert_eq(mt_ring_room(&p.writer), CAPACITY);
    }
    free(p.ring);
}

Test(ring, full_until_released) {
    ring_pair p = ring_make(CAPACITY, 0);
    mt_record r;
    int n = 0;
    while (put(&p, 56, 0, 0)) n++;
    cr_assert_eq(n, CAPACITY / 64);
    cr_assert_eq(mt_ring_next(&p.reader, &r), MT_OK);
    mt_ring_advance(&p.reader, &r);
    cr_assert_eq(mt_ring_held(&p.reader), 64);
    cr_assert_not(put(&p, 56, 0, 0));
    mt_ring_release(&p.reader);
    cr_assert(put(&p, 56, 0, 0));
    cr_assert_not(put(&p, 0, 0, 0));
    free(p.ring);
}

static void must_be_corrupt(ring_pair *p) {
    mt_record r;
    cr_assert_eq(mt_ring_next(&p->reader, &r), MT_CORRUPT);
    cr_assert_null(r.data);
    cr_assert_eq(mt_ring_waiting(&p->reader), 0);
    free(p->ring);
}

Test(ring, a_hostile_sender_is_corrupt) {
    static const uint64_t tails[] = {CAPACITY + 8, 12, UINT64_MAX - 7, UINT64_C(1) << 63};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        ring_pair p = ring_make(CAPACITY, 0);
        atomic_store(&p.ring->tail, tails[i]);
        must_be_corrupt(&p);
    }
    static const uint64_t headers[] = {57, 1000, CAPACITY, UINT32_MAX - 1, UINT32_MAX - 8, MT_RING_PAD};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        ring_pair p = ring_make(CAPACITY, 0);
        put(&p, 56, 0, 0);
        memcpy(p.ring->data, &headers[i], 8);
        must_be_corrupt(&p);
    }
    // a record that would go past the end of the ring
    ring_pair p = ring_make(CAPACITY, 0);
    mt_record r;
    for (int i = 0; i < 15; i++) {
        put(&p, 56, 0, 0);
        mt_ring_next(&p.reader, &r);
        mt_ring_advance(&p.reader, &r);
    }
    mt_ring_release(&p.reader);
    put(&p, 56, 0, 0);
    put(&p, 56, 0, 0);
    uint64_t header = 120;
    memcpy(p.ring->data + 15 * 64, &header, 8);
    must_be_corrupt(&p);
}

Test(ring, a_hostile_receiver_is_corrupt) {
    ring_pair p = ring_make(CAPACITY, 0);
    while (put(&p, 56, 0, 0)) {}
    atomic_store(&p.ring->head, UINT64_C(1) << 40);
    cr_assert_not(put(&p, 56, 0, 0));
    cr_assert(p.writer.corrupt);
    free(p.ring);
}

// ---- fragments, outbox

Test(fragment, parts_must_fit_together) {
    mt_joiner j = {0};
    int whole;
    cr_assert_eq(mt_joiner_add(&j, "abcd", 4, 3, &whole), MT_OK);
    cr_assert_eq(whole, 0);
    cr_assert_eq(mt_joiner_add(&j, "ef", 2, 1, &whole), MT_OK);
    cr_assert_eq(mt_joiner_add(&j, "g", 1, 0, &whole), MT_OK);
    cr_assert_eq(whole, 1);
    cr_assert_arr_eq(j.data, "abcdefg", 7);
    mt_joiner_next(&j);
    cr_assert_eq(mt_joiner_add(&j, "", 0, 8, &whole), MT_CORRUPT);
    cr_assert_eq(mt_joiner_add(&j, "x", 1, MT_MESSAGE_BYTES_MAX, &whole), MT_CORRUPT);
    cr_assert_eq(mt_joiner_add(&j, "x", 1, UINT32_MAX, &whole), MT_CORRUPT);
    cr_assert_eq(mt_joiner_add(&j, "x", 1, 4, &whole), MT_OK);
    cr_assert_eq(mt_joiner_add(&j, "x", 1, 4, &whole), MT_CORRUPT);
    cr_assert_eq(mt_joiner_add(&j, "xxxxx", 5, 0, &whole), MT_CORRUPT);
    mt_joiner_fini(&j);
}

Test(outbox, keeps_records_in_order) {
    mt_chunk_pool pool = {0};
    mt_outbox box = {0};
    static char text[MT_MESSAGE_BYTES_MAX];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * 7);
    for (uint32_t most = 1000; most < 200000; most = most * 3 + 1) {
        mt_piece pieces[] = {{text, 5}, {NULL, 0}, {text + 5, sizeof text - 5}};
        mt_cutter cutter = {.piece = pieces, .left = sizeof text};
        cr_assert(mt_outbox_add(&box, &pool, &cutter, most));
        cutter = (mt_cutter){.piece = pieces, .left = 0};
        cr_assert(mt_outbox_add(&box, &pool, &cutter, most));
        mt_record r;
        size_t at = 0;
        do {
            cr_assert(mt_outbox_first(&box, &r));
            cr_assert_leq(r.bytes, most);
            cr_assert_arr_eq((const char *)r.data, text + at, r.bytes);
            at += r.bytes;
            cr_assert_eq(r.left, sizeof text - at);
            mt_outbox_drop_first(&box, &pool);
        } while (at < sizeof text);
        cr_assert(mt_outbox_first(&box, &r));
        cr_assert_eq(r.bytes, 0);
        mt_outbox_drop_first(&box, &pool);
        cr_assert_eq(box.bytes, 0);
        cr_assert_not(mt_outbox_first(&box, &r));
    }
    mt_chunk_pool_fini(&pool);
}

Test(outbox, a_hostile_chunk) {
    mt_chunk *chunk = calloc(1, sizeof *chunk);
    mt_record r;
    cr_assert_eq(mt_chunk_next(chunk, &r), 0);
    chunk->end = 7;
    cr_assert_eq(mt_chunk_next(chunk, &r), -1);
    static const uint32_t bytes[] = {1, 100, UINT32_MAX, UINT32_MAX - 7};
    for (int i = 0; i < 4; i++) {
        chunk->end = 8;
        chunk->at = 0;
        memcpy(chunk->data, &bytes[i], 4);
        cr_assert_eq(mt_chunk_next(chunk, &r), -1);
    }
    free(chunk);
}

// ---- processes

Test(process, ends_and_is_noticed) {
    mt_process_watch self, child, impostor;
    mt_process_watch_open(&self, mt_process_self());
    cr_assert(mt_process_watch_alive(&self));
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    mt_process_watch_open(&child, (mt_process_id){pid, 0});
    // the same number, another start: somebody else by now
    mt_process_watch_open(&impostor, (mt_process_id){pid, mt_process_self().start - 5000});
    cr_assert(mt_process_watch_alive(&child));
    cr_assert_not(mt_process_watch_alive(&impostor));
    kill(pid, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    cr_assert_not(mt_process_watch_alive(&child), "a zombie has ended");
    waitpid(pid, NULL, 0);
    cr_assert_not(mt_process_watch_alive(&child));
    mt_process_watch_close(&self);
    mt_process_watch_close(&child);
    mt_process_watch_close(&impostor);
}

// ---- local transport

typedef struct inbox {
    int count, src[4096];
    int32_t number[4096];
    size_t bytes, last_bytes;
    mt_transport *reply; // sends every message back
} inbox;

static void keep(void *context, int src, const void *message, size_t bytes) {
    inbox *in = context;
    cr_assert_eq((uintptr_t)message % 8, 0);
    if (in->count < 4096) {
        in->src[in->count] = src;
        if (bytes >= 4) memcpy(&in->number[in->count], message, 4);
    }
    in->count++;
    in->bytes += bytes;
    in->last_bytes = bytes;
    if (in->reply) in->reply->ops->send(in->reply, src, &(mt_piece){message, bytes}, 1);
}

static void send_number(mt_transport *t, int dst, int32_t number, size_t bytes) {
    static char body[MT_MESSAGE_BYTES_MAX];
    mt_piece pieces[] = {{&number, 4}, {body, bytes - 4}};
    t->ops->send(t, dst, pieces, 2);
}

static void destroy_all(mt_transport **t, int n) {
    for (int r = 0; r < n; r++) t[r]->ops->destroy(t[r]);
}

Test(local, layout) {
    mt_transport *t[7];
    cr_assert_eq(mt_transport_local_create(7, 3, t), MT_OK);
    for (int r = 0; r < 7; r++) {
        cr_assert_eq(t[r]->rank, r);
        cr_assert_eq(t[r]->size, 7);
        cr_assert_eq(t[r]->node_count, 3);
        cr_assert_eq(t[r]->node, r * 3 / 7);
        for (int i = 0; i < 7; i++) cr_assert_eq(t[r]->node_of[i], i * 3 / 7);
    }
    destroy_all(t, 7);
    cr_assert_eq(mt_transport_local_create(0, 1, t), MT_INVALID_ARGUMENT);
    cr_assert_eq(mt_transport_local_create(2, 3, t), MT_INVALID_ARGUMENT);
}

static void order_and_budget(int ranks) {
    mt_transport **t = calloc((size_t)ranks, sizeof *t);
    inbox *in = calloc(1, sizeof *in);
    cr_assert_eq(mt_transport_local_create(ranks, 1, t), MT_OK);
    cr_assert_not(t[0]->ops->pending(t[0]));
    cr_assert_eq(t[0]->ops->poll(t[0], keep, in, 10), 0);
    for (int i = 0; i < 50; i++)
        for (int r = 1; r < ranks; r++) send_number(t[r], 0, i, 4 + (size_t)(i * 13 % 90));
    cr_assert(t[0]->ops->pending(t[0]));
    cr_assert_eq(t[0]->ops->poll(t[0], keep, in, 0), 0);
    int n, all = 50 * (ranks - 1);
    while ((n = t[0]->ops->poll(t[0], keep, in, 7)) > 0) cr_assert(n == 7 || in->count == all);
    cr_assert_eq(in->count, all);
    int *next = calloc((size_t)ranks, sizeof *next);
    for (int i = 0; i < all; i++) cr_assert_eq(in->number[i], next[in->src[i]]++);
    cr_assert_not(t[0]->ops->pending(t[0]));
    t[1]->ops->send(t[1], 0, NULL, 0); // an empty message is one, too
    cr_assert_eq(t[0]->ops->poll(t[0], keep, in, 7), 1);
    cr_assert_eq(in->last_bytes, 0);
    destroy_all(t, ranks);
    free(next);
    free(t);
    free(in);
}

Test(local, order_and_budget_of_few) { order_and_budget(2), order_and_budget(5); }
Test(local, order_and_budget_of_many) { order_and_budget(18), order_and_budget(70); }

static void full_rings(int ranks) {
    mt_transport **t = calloc((size_t)ranks, sizeof *t);
    inbox *in = calloc(1, sizeof *in);
    cr_assert_eq(mt_transport_local_create(ranks, 1, t), MT_OK);
    size_t bytes = 0;
    for (int i = 0; i < 300; i++) {
        size_t length = i % 10 == 3 ? MT_MESSAGE_BYTES_MAX : 5000 + (size_t)i;
        send_number(t[1], 0, i, length);
        bytes += length;
    }
    cr_assert_gt(t[1]->ops->queued_bytes(t[1]), 0);
    cr_assert_not(t[1]->ops->pending(t[1]), "nothing can be sent");
    // one side alone does not get to the end; the queue moves when its owner polls
    while (t[0]->ops->poll(t[0], keep, in, 64)) {}
    cr_assert_lt(in->count, 300);
    cr_assert(t[1]->ops->pending(t[1]), "there is room again");
    for (int i = 0; i < 10000 && in->count < 300; i++) {
        cr_assert_eq(t[1]->ops->poll(t[1], keep, in, 64), 0);
        while (t[0]->ops->poll(t[0], keep, in, 64)) {}
    }
    cr_assert_eq(in->count, 300);
    cr_assert_eq(in->bytes, bytes);
    for (int i = 0; i < 300; i++) cr_assert_eq(in->number[i], i);
    cr_assert_eq(t[1]->ops->queued_bytes(t[1]), 0);
    destroy_all(t, ranks);
    free(t);
    free(in);
}

Test(local, full_rings_queue_in_order) { full_rings(2); }
Test(local, messages_larger_than_the_ring) { full_rings(64); }

Test(local, delivering_may_send) {
    mt_transport *t[2];
    inbox a = {0}, b = {0};
    cr_assert_eq(mt_transport_local_create(2, 1, t), MT_OK);
    b.reply = t[1];
    for (int i = 0; i < 3000; i++) send_number(t[0], 1, i, 2000);
    for (int i = 0; i < 3000 && a.count < 3000; i++) {
        t[1]->ops->poll(t[1], keep, &b, 100);
        t[0]->ops->poll(t[0], keep, &a, 100);
    }
    cr_assert_eq(a.count, 3000);
    for (int i = 0; i < 3000; i++) cr_assert_eq(a.number[i], i);
    destroy_all(t, 2);
}

Test(local, a_rank_that_is_gone) {
    mt_transport *t[3];
    inbox in = {0};
    cr_assert_eq(mt_transport_local_create(3, 1, t), MT_OK);
    send_number(t[2], 0, 7, 100);
    for (int i = 0; i < 300; i++) send_number(t[0], 2, i, 10000);
    cr_assert_gt(t[0]->ops->queued_bytes(t[0]), 0);
    for (int r = 0; r < 3; r++) cr_assert(t[0]->ops->alive(t[0], r));
    t[2]->ops->destroy(t[2]);
    cr_assert_not(t[0]->ops->alive(t[0], 2));
    cr_assert(t[0]->ops->alive(t[0], 1) && t[0]->ops->alive(t[0], 0));
    cr_assert_eq(t[0]->ops->queued_bytes(t[0]), 0);
    send_number(t[0], 2, 1, 10000);
    send_number(t[1], 2, 1, 10000);
    cr_assert_eq(t[0]->ops->poll(t[0], keep, &in, 64), 1, "what he sent before is delivered");
    cr_assert_eq(t[0]->ops->queued_bytes(t[0]), 0);
    t[1]->ops->destroy(t[1]);
    t[0]->ops->destroy(t[0]);
}

// ---- sleep

Test(local, sleep_ends_by_deadline_and_by_ring) {
    mt_transport *t[2];
    cr_assert_eq(mt_transport_local_create(2, 1, t), MT_OK);
    t[0]->ops->set_asleep(t[0], 1);
    int64_t start = mt_clock_ns();
    t[0]->ops->sleep(t[0], mt_deadline_after(20 * MT_MILLISECOND_NS));
    cr_assert_geq(mt_clock_ns() - start, 20 * MT_MILLISECOND_NS);
    // a ring before the sleep is not lost, not even over another set_asleep; and it counts once
    t[0]->ops->ring(t[0]);
    t[0]->ops->set_asleep(t[0], 0);
    t[0]->ops->set_asleep(t[0], 1);
    start = mt_clock_ns();
    t[0]->ops->sleep(t[0], mt_deadline_after(5 * MT_SECOND_NS));
    cr_assert_lt(mt_clock_ns() - start, MT_SECOND_NS / 4);
    start = mt_clock_ns();
    t[0]->ops->sleep(t[0], mt_deadline_after(20 * MT_MILLISECOND_NS));
    cr_assert_geq(mt_clock_ns() - start, 20 * MT_MILLISECOND_NS);
    // a message between set_asleep and sleep: its sender rings, and only the first
    for (int i = 0; i < 10; i++) send_number(t[1], 0, i, 100);
    start = mt_clock_ns();
    t[0]->ops->sleep(t[0], mt_deadline_after(5 * MT_SECOND_NS));
    cr_assert_lt(mt_clock_ns() - start, MT_SECOND_NS / 4);
    destroy_all(t, 2);
}

// Its message was read before the sender's ring came: whoever looks says anew that he sleeps, or the next sender would not ring.
Test(local, a_ring_without_its_message_is_pending) {
    mt_transport *t[2];
    inbox in = {0};
    cr_assert_eq(mt_transport_local_create(2, 1, t), MT_OK);
    t[0]->ops->set_asleep(t[0], 1);
    cr_assert_not(t[0]->ops->pending(t[0]));
    send_number(t[1], 0, 1, 100);
    cr_assert_eq(t[0]->ops->poll(t[0], keep, &in, 10), 1);
    cr_assert(t[0]->ops->pending(t[0]), "the ring has had no answer");
    t[0]->ops->set_asleep(t[0], 0);
    cr_assert_not(t[0]->ops->pending(t[0]));
    t[0]->ops->set_asleep(t[0], 1);
    cr_assert_not(t[0]->ops->pending(t[0]));
    int64_t start = mt_clock_ns();
    send_number(t[1], 0, 2, 100);
    t[0]->ops->sleep(t[0], mt_deadline_after(5 * MT_SECOND_NS));
    cr_assert_lt(mt_clock_ns() - start, MT_SECOND_NS / 4, "the next sender rings");
    destroy_all(t, 2);
}

// while another thread polls, the sleeper sleeps, whatever has been rung before
Test(local, no_spinning_beside_a_poller) {
    mt_transport *t[2];
    inbox in = {0};
    cr_assert_eq(mt_transport_local_create(2, 1, t), MT_OK);
    t[0]->ops->set_asleep(t[0], 1);
    send_number(t[1], 0, 1, 100);
    t[0]->ops->set_asleep(t[0], 0); // a waiting thread takes over
    t[0]->ops->poll(t[0], keep, &in, 10);
    t[0]->ops->sleep(t[0], mt_deadline_after(20 * MT_MILLISECOND_NS)); // may return at once, the first time
    int64_t start = mt_clock_ns();
    send_number(t[1], 0, 1, 100); // the poller is awake: no ring
    t[0]->ops->sleep(t[0], mt_deadline_after(20 * MT_MILLISECOND_NS));
    cr_assert_geq(mt_clock_ns() - start, 20 * MT_MILLISECOND_NS);
    destroy_all(t, 2);
}

// ---- over mpirun

static launch_result result;

static void ranks_pass(int ranks, const char *mode, const char *node_ranks_max) {
    const char *arguments[] = {mode, node_ranks_max, NULL};
    if (ranks > 0) launch_mpirun(ranks, NULL, MPI_TRANSPORT, arguments, 150, &result);
    else launch((char *[]){(char *)MPI_TRANSPORT, (char *)mode, NULL}, 60, &result);
    cr_assert_eq(result.status, 0, "%s on %d ranks (nodes of %s) ended with %d:\n%s", mode, ranks, node_ranks_max,
        result.status, result.output);
}

static void everywhere(const char *mode) {
    ranks_pass(0, mode, NULL);
    ranks_pass(1, mode, NULL);
    ranks_pass(2, mode, NULL);
    ranks_pass(4, mode, NULL);
    ranks_pass(2, mode, "1");
    ranks_pass(4, mode, "2");
    ranks_pass(3, mode, "2");
}

Test(job, flood) { everywhere("flood"); }
Test(job, sleeping_ranks_are_woken) { everywhere("sleep"); }
Test(job, one_node_makes_no_mpi_call) { everywhere("quiet"); }

Test(job, fences_in_place_of_membarrier) {
    setenv("MANTA_TRANSPORT_FENCES", "1", 1);
    ranks_pass(2, "flood", NULL);
    ranks_pass(3, "sleep", NULL);
}

Test(job, an_idle_job_uses_no_processor) {
    ranks_pass(2, "idle", NULL);
    ranks_pass(2, "idle", "1");
}

static void noticed(const char *node_ranks_max) {
    const char *arguments[] = {"killed", node_ranks_max, NULL};
    launch_mpirun(4, "--enable-recovery", MPI_TRANSPORT, arguments, 60, &result);
    cr_assert(strstr(result.output, "killed and noticed"), "ended with %d:\n%s", result.status, result.output);
    cr_assert(result.seconds < 20, "took %.1f s", result.seconds);
}

Test(job, what_is_slow_on_its_way_is_fetched) { ranks_pass(2, "slow", "1"); }

Test(job, a_killed_rank_is_noticed) { noticed(NULL), noticed("2"); }
