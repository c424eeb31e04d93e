// The disk thread: objects to files and back. It starts when the first object has to go. The core asks under the lock and is
// answered by this thread under the lock; the copying is done without it (the core leaves an object that is on its way alone).
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/runtime/node/node.h"
#include "engine/runtime/node/timeline.h"

enum { DISK_THREAD = 1000000 };   // its number in the timeline, behind all executors

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
    return MT_OK;
}

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
    if (j->kind == JOB_SPILL) mt_core_spilled(node->core, j->ticket, j->file, ok);
    if (j->kind == JOB_RESTORE) mt_core_restored(node->core, j->ticket, ok);
    free(j);
}

static void *disk_main(void *argument) {
    mt_disk *disk = argument;
    mt_node *node = disk->node;
    disk->ring = mt_timeline_ring_create(node->timeline, DISK_THREAD, "disk");
    mt_node_enter(node);
    for (;;) {
        job *j = disk->head;
        if (j) {
            disk->head = j->next;
            if (!disk->head) disk->tail = &disk->head;
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
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    disk->started = pthread_create(&disk->thread, &disk->node->thread_attributes, disk_main, disk) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (disk->started) pthread_setname_np(disk->thread, "manta-disk");
}

static void add(mt_disk *disk, job what) {
    if (!disk->started) start(disk);   // once; tried again with the next object when there was no thread to be had
    job *j = malloc(sizeof *j);
    if (!j) return;   // without 48 bytes nothing goes to disk: the object stays where it is
    *j = what;
    j->next = NULL;
    *disk->tail = j;
    disk->tail = &j->next;
    mt_node_ring(disk->node, &disk->bell);
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
    for (job *j = disk->head, *next; j; j = next) next = j->next, free(j);
    mt_spill_close(disk->spill);
    free(disk);
}
