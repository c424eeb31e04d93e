// Timeline: rings of entries and the file they become. A ring is written by one thread; it is read when that thread has ended.
// The list of rings is guarded by a lock of its own: threads are made at any time.
#include "engine/runtime/node/timeline.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "engine/runtime/manta_runtime.h"

enum { ENTRIES = 1 << 16, THREAD_NAME_BYTES = 32, PART_BYTES_MAX = 1 << 30, FLUSH_BYTES = 1 << 20 };

typedef struct entry {
    const char *name;   // borrowed
    int64_t begin_ns, end_ns;
    uint64_t bytes;
    int32_t kind, code;
} entry;

struct mt_timeline_ring {
    mt_timeline_ring *next;
    char name[THREAD_NAME_BYTES];
    int thread;
    uint64_t count;     // ever added
    uint32_t mask;
    entry entries[];    // (mask + 1)
};

struct mt_timeline {
    pthread_mutex_t lock;
    mt_timeline_ring *rings;   // owned
    int rank;
    int64_t zero_ns;
    uint32_t entries;          // a power of two
};

mt_status mt_timeline_create(int rank, int64_t zero_ns, uint32_t entries, mt_timeline **out) {
    mt_timeline *t = *out = calloc(1, sizeof *t);
    if (!t) return MT_FAIL(NO_MEMORY, "out of memory for the timeline");
    pthread_mutex_init(&t->lock, NULL);
    t->rank = rank;
    t->zero_ns = zero_ns;
    t->entries = 16;
    while (t->entries < (entries ? entries : ENTRIES) && t->entries < 1u << 24) t->entries *= 2;
    return MT_OK;
}

void mt_timeline_destroy(mt_timeline *timeline) {
    if (!timeline) return;
    for (mt_timeline_ring *r = timeline->rings, *next; r; r = next) next = r->next, free(r);
    pthread_mutex_destroy(&timeline->lock);
    free(timeline);
}

mt_timeline_ring *mt_timeline_ring_create(mt_timeline *timeline, int thread, const char *name) {
    if (!timeline) return NULL;
    // pages are taken as entries are written
    mt_timeline_ring *ring = calloc(1, sizeof *ring + (size_t)timeline->entries * sizeof *ring->entries);
    if (!ring) return NULL;
    snprintf(ring->name, sizeof ring->name, "%s", name);
    ring->thread = thread;
    ring->mask = timeline->entries - 1;
    pthread_mutex_lock(&timeline->lock);
    ring->next = timeline->rings;
    timeline->rings = ring;
    pthread_mutex_unlock(&timeline->lock);
    return ring;
}

void mt_timeline_add(mt_timeline_ring *ring, mt_timeline_kind kind, const char *name, int64_t begin_ns, int64_t end_ns, int code,
    uint64_t bytes) {
    if (!ring) return;
    ring->entries[ring->count++ & ring->mask] =
        (entry){.name = name, .begin_ns = begin_ns, .end_ns = end_ns, .bytes = bytes, .kind = kind, .code = code};
}

// ---- writing

static void append_name(mt_text *out, const char *name) {
    mt_text_append(out, "\"");
    for (; *name; name++) {
        if (*name == '"' || *name == '\\') mt_text_printf(out, "\\%c", *name);
        else if ((unsigned char)*name < 0x20) mt_text_printf(out, "\\u%04x", *name);
        else mt_text_append_bytes(out, name, 1);
    }
    mt_text_append(out, "\"");
}

static void append_entry(mt_text *out, const mt_timeline *t, const mt_timeline_ring *ring, const entry *e) {
    static const char *const kinds[] = {"task", "actor", "transfer", "wait"};
    mt_text_append(out, "{\"ph\":\"X\",\"name\":");
    append_name(out, e->name);
    mt_text_printf(out, ",\"cat\":\"%s\",\"pid\":%d,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f", kinds[e->kind & 3], t->rank, ring->thread,
        (double)(e->begin_ns - t->zero_ns) * 1e-3, (double)(e->end_ns - e->begin_ns) * 1e-3);
    if (e->code || e->bytes)
        mt_text_printf(out, ",\"args\":{\"code\":\"%s\",\"bytes\":%" PRIu64 "}", manta_code_name(e->code), e->bytes);
    mt_text_append(out, "},\n");
}

static void append_head(mt_text *out, const mt_timeline *t) {
    mt_text_printf(out, "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%d,\"args\":{\"name\":\"rank %d\"}},\n", t->rank, t->rank);
    for (const mt_timeline_ring *r = t->rings; r; r = r->next) {
        mt_text_printf(out, "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":%d,\"tid\":%d,\"args\":{\"name\":", t->rank, r->thread);
        append_name(out, r->name);
        uint64_t lost = r->count > r->mask ? r->count - r->mask - 1 : 0;
        if (lost) mt_text_printf(out, ",\"lost\":%" PRIu64, lost);
        mt_text_append(out, "}},\n");
    }
}

static mt_status flush(mt_text *text, int fd, const char *path, size_t at_least) {
    if (text->length < at_least) return MT_OK;
    MT_TRY(mt_text_status(text));
    mt_status status = mt_file_write_all(fd, path, mt_text_str(text), text->length);
    mt_text_clear(text);
    return status;
}

static mt_status write_rings(const mt_timeline *t, int fd, const char *path) {
    mt_text text = {0};
    mt_status status = MT_OK;
    append_head(&text, t);
    for (const mt_timeline_ring *r = t->rings; r; r = r->next) {
        uint64_t first = r->count > r->mask ? r->count - r->mask - 1 : 0;
        for (uint64_t i = first; i < r->count && status == MT_OK; i++) {
            append_entry(&text, t, r, &r->entries[i & r->mask]);
            status = flush(&text, fd, path, FLUSH_BYTES);
        }
    }
    if (status == MT_OK) status = flush(&text, fd, path, 1);
    mt_text_fini(&text);
    return status;
}

static mt_status part_name(char *out, size_t bytes, const char *file, int rank) {
    int n = snprintf(out, bytes, "%s.%d", file, rank);
    return n > 0 && (size_t)n < bytes ? MT_OK : MT_FAIL(INVALID_ARGUMENT, "the timeline's file name is too long");
}

mt_status mt_timeline_write(const mt_timeline *timeline, const char *file) {
    char path[MT_PATH_BYTES];
    int fd;
    MT_TRY(part_name(path, sizeof path, file, timeline->rank));
    unlink(path);   // of an earlier run that did not come to its end
    MT_TRY(mt_file_open_exclusive(path, MT_FILE_PUBLIC, &fd));
    mt_status status = write_rings(timeline, fd, path);
    if (close(fd) != 0 && status == MT_OK) status = mt_file_fail(errno, "write", path);
    return status;
}

static mt_status append_part(int out, const char *file, int rank) {
    char path[MT_PATH_BYTES], *data;
    size_t size;
    MT_TRY(part_name(path, sizeof path, file, rank));
    MT_TRY(mt_file_read(path, PART_BYTES_MAX, &data, &size));
    mt_status status = mt_file_write_all(out, file, data, size);
    free(data);
    if (status == MT_OK) unlink(path);
    return status;
}

mt_status mt_timeline_merge(const char *file, int size) {
    static const char head[] = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n", tail[] = "{\"ph\":\"M\",\"name\":\"end\",\"pid\":0}\n]}\n";
    mt_status missing = MT_OK;
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, MT_FILE_PUBLIC);
    if (fd < 0) return mt_file_fail(errno, "write", file);
    mt_status status = mt_file_write_all(fd, file, head, sizeof head - 1);
    for (int r = 0; r < size && status == MT_OK; r++) MT_KEEP(missing, append_part(fd, file, r));
    if (status == MT_OK) status = mt_file_write_all(fd, file, tail, sizeof tail - 1);
    if (close(fd) != 0 && status == MT_OK) status = mt_file_fail(errno, "write", file);
    return status == MT_OK ? missing : status;
}
