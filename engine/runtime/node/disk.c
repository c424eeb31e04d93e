// The disk thread: objects to files and back. It starts when the first object has to go. The core asks under the lock and is
// answered by this thread under the lock; the copying is done without it (the core leaves an object that is on its way alone).
// Every question is answered: when the system gives no thread, with a no, by whoever leaves the lock next (mt_disk_refuse).
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/signal.h"
#include "engine/runtime/node/node.h"
#include "engine/runtime/node/timeline.h"

enum {
    DISK_THREAD = 1000000,   // its number in the timeline, behind all executors
    RESERVE = 64,            // jobs for when memory has run out, which is when objects go to disk
};

typedef enum job_kind { JOB_SPILL, JOB_RESTORE, JOB_DROP } job_kind;

typedef struct job {
    struct job *next;
    job_kind kind;
    uint64_t ticket, file, offset, bytes;
} job;

struct mt_disk {
    mt_node *node;       // borrowed
    // under the node's lock
    job *head, **tail;
    job *reserve;        // free ones of `spare`
    job spare[RESERVE];
    int started, stop, failed;
    // the thread's own
    mt_bell bell;
    mt_spill *spill;     // owned; NULL until the first object
    mt_timeline_ring *ring;   // Nullable
    pthread_t thread;
};

mt_status mt_disk_create(mt_node *node, mt_disk **out) {
    mt_disk *disk = *out = calloc(1, sizeof *disk);
    if (!disk) return MT_FAIL(NO_MEMORY, "out of memory for the node");
    disk->node = node;
    disk->tail = &disk->head;
    for (int i = 0; i < RESERVE; i++) disk->spare[i].next = disk->reserve, disk->reserve = &disk->spare[i];
    return MT_OK;
}

// ---- jobs, with the lock held

static job *job_new(mt_disk *disk) {
    job *j = malloc(sizeof *j);
    if (j || !disk->reserve) return j;
    j = disk->reserve;
    disk->reserve = j->next;
    return j;
}

static void job_free(mt_disk *disk, job *j) {
    if (j < disk->spare || j >= disk->spare + RESERVE) {
        free(j);
        return;
    }
    j->next = disk->reserve;
    disk->reserve = j;
}

static job *job_take(mt_disk *disk) {
    job *j = disk->head;
    if (!j) return NULL;
    disk->head = j->next;
    if (!disk->head) disk->tail = &disk->head;
    return j;
}

static void job_answer(mt_disk *disk, job *j, int ok) {
    mt_node *node = disk->node;
    job done = *j;
    job_free(disk, j);
    if (done.kind == JOB_SPILL) mt_core_spilled(node->core, done.ticket, done.file, ok);
    if (done.kind == JOB_RESTORE) mt_core_restored(node->core, done.ticket, ok);
    mt_node_room(node);
}

// ---- the thread

static int do_spill(mt_disk *disk, job *j) {
    mt_node *node = disk->node;
    mt_status status = MT_OK;
    if (!disk->spill) status = mt_spill_open(node->desc.spill_folder, node->rank, &disk->spill);
    if (status == MT_OK) status = mt_spill_write(disk->spill, mt_heap_at(node->heap, j->offset), j->bytes, &j->file);
    if (status != MT_OK && !disk->failed) {
        disk->failed = 1;   // say it once; the objects stay in memory
        mt_log_warn("rank %d cannot move objects to disk: %s", node->rank, mt_last_error());
    }
    return status == MT_OK;
}

static int do_restore(mt_disk *disk, const job *j) {
    mt_node *node = disk->node;
    if (disk->spill && mt_spill_read(disk->spill, j->file, mt_heap_at(node->heap, j->offset), j->bytes) == MT_OK) return 1;
    mt_log_warn("rank %d lost an object on disk: %s", node->rank, mt_last_error());
    return 0;
}

static void do_job(mt_disk *disk, job *j) {   // lock held on entry and on return
    mt_node *node = disk->node;
    mt_node_leave(node);
    int ok = 1;
    int64_t begin_ns = disk->ring ? mt_clock_ns() : 0;
    if (j->kind == JOB_SPILL) ok = do_spill(disk, j);
    else if (j->kind == JOB_RESTORE) ok = do_restore(disk, j);
    else if (disk->spill) mt_spill_drop(disk->spill, j->file);
    if (disk->ring && j->kind != JOB_DROP)
        mt_timeline_add(disk->ring, MT_TIMELINE_TRANSFER, j->kind == JOB_SPILL ? "to disk" : "from disk", begin_ns, mt_clock_ns(),
            ok ? MANTA_OK : MANTA_IO, j->bytes);
    mt_node_enter(node);
    job_answer(disk, j, ok);
}

static void *disk_main(void *argument) {
    mt_disk *disk = argument;
    mt_node *node = disk->node;
    disk->ring = mt_timeline_ring_create(node->timeline, DISK_THREAD, "disk");
    mt_node_enter(node);
    for (;;) {
        job *j = job_take(disk);
        if (j) {
            do_job(disk, j);
            continue;
        }
        if (disk->stop) break;
        mt_bell_reset(&disk->bell);
        mt_node_leave(node);
        mt_bell_sleep(&disk->bell, MT_NEVER);
        mt_node_enter(node);
    }
    mt_node_leave(node);
    return NULL;
}

static void start(mt_disk *disk) {
    sigset_t before;
    mt_signal_block(&before);
    disk->started = pthread_create(&disk->thread, &disk->node->thread_attributes, disk_main, disk) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (disk->started) pthread_setname_np(disk->thread, "manta-disk");
    else if (!disk->failed) {
        disk->failed = 1;
        mt_log_warn("rank %d cannot move objects to disk: no thread for it; allow more processes (ulimit -u)", disk->node->rank);
    }
}

void mt_disk_refuse(mt_disk *disk) {
    disk->node->disk_refuses = 0;
    for (job *j; !disk->started && (j = job_take(disk));) job_answer(disk, j, 0);
}

static void add(mt_disk *disk, job what) {
    if (!disk->started) start(disk);   // once; tried again with the next object when there was no thread to be had
    job *j = job_new(disk);
    if (!j && what.kind == JOB_DROP) return;   // the file stays until the job ends
    MT_ASSERT(j);   // as for the core's own records
    *j = what;
    j->next = NULL;
    *disk->tail = j;
    disk->tail = &j->next;
    if (disk->started) mt_node_ring(disk->node, &disk->bell);
    else disk->node->disk_refuses = disk->node->later = 1;   // the core is asking: not now
}

void mt_disk_spill(mt_disk *disk, uint64_t ticket, uint64_t offset, uint64_t bytes) {
    add(disk, (job){.kind = JOB_SPILL, .ticket = ticket, .offset = offset, .bytes = bytes});
}

void mt_disk_restore(mt_disk *disk, uint64_t ticket, uint64_t file, uint64_t offset, uint64_t bytes) {
    add(disk, (job){.kind = JOB_RESTORE, .ticket = ticket, .file = file, .offset = offset, .bytes = bytes});
}

void mt_disk_drop(mt_disk *disk, uint64_t file) { add(disk, (job){.kind = JOB_DROP, .file = file}); }

void mt_disk_destroy(mt_disk *disk) {
    if (!disk) return;
    mt_node *node = disk->node;
    mt_node_enter(node);
    disk->stop = 1;
    mt_node_ring(node, &disk->bell);
    int started = disk->started;
    mt_node_leave(node);
    if (started) pthread_join(disk->thread, NULL);
    for (job *j = disk->head, *next; j; j = next) next = j->next, job_free(disk, j);
    mt_spill_close(disk->spill);
    free(disk);
}
