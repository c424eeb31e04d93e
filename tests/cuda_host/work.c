// Running queued work: see work.h.
#include "tests/cuda_host/work.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "tests/cuda_host/capture.h"
#include "tests/cuda_host/memory.h"
#include "tests/cuda_host/report.h"

enum { SLEEP_NS = 200 * 1000, BACKGROUND_NS = 2 * 1000 * 1000 };

mt_host_stream *mt_host_streams;
static uint64_t search;     // number of the current one
static uint64_t steps_done; // by anybody
static int objects[MT_HOST_OBJECTS];

static int64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// ---- operations

mt_host_operation *mt_host_operation_create(size_t bytes, const char *name, int device,
    mt_host_step (*run)(mt_host_operation *, void **), void (*fini)(mt_host_operation *)) {
    mt_host_operation *o = calloc(1, bytes);
    if (!o) mt_host_fatal("out of memory");
    *o = (mt_host_operation){.name = name, .device = device, .run = run, .fini = fini, .references = 1};
    return o;
}
void mt_host_operation_release(mt_host_operation *o) {
    if (!o || --o->references) return;
    if (o->fini) o->fini(o);
    free(o);
}
mt_host_step mt_host_operation_run(mt_host_operation *o, void **state) {
    if (mt_host_broken() != cudaSuccess) return MT_HOST_DONE; // nothing runs on a device that failed
    if (mt_host_settings_get()->trace && !*state) fprintf(stderr, "cuda_host: runs %s on device %d\n", o->name, o->device);
    return o->run(o, state);
}

// ---- work and its references

void mt_host_work_release(mt_host_work *w) {
    if (!w || --w->references) return;
    for (int i = 0; i < w->after_count; i++) mt_host_work_release(w->after[i]);
    free(w->after);
    mt_host_operation_release(w->operation);
    free(w);
}
static void follow(mt_host_work *w, mt_host_work *before) {
    if (!before || before->done) return;
    before->references++;
    w->after[w->after_count++] = before;
}

mt_host_stream *mt_host_stream_of(cudaStream_t handle) {
    if (handle == NULL || handle == cudaStreamLegacy) {
        mt_host_device *d = &mt_host_devices[mt_host_device_current()];
        if (!d->null_stream) {
            mt_host_stream *s = calloc(1, sizeof *s);
            if (!s) mt_host_fatal("out of memory");
            *s = (mt_host_stream){.device = mt_host_device_current(), .next = mt_host_streams};
            d->null_stream = mt_host_streams = s;
        }
        return d->null_stream;
    }
    if (handle == cudaStreamPerThread) mt_host_fatal("tests/cuda_host knows no default stream per thread");
    for (mt_host_stream *s = mt_host_streams; s; s = s->next)
        if ((cudaStream_t)s == handle && !s->dying) return s;
    mt_host_fatal("%p is no stream, or was destroyed", (void *)handle);
}

cudaError_t mt_host_submit(
    mt_host_stream *stream, mt_host_operation *operation, mt_host_work **after, int after_count, mt_host_work **out) {
    const mt_host_device *d = &mt_host_devices[stream->device];
    int is_null = stream == d->null_stream, streams = 0;
    if (out) *out = NULL;
    if (stream->capture) return mt_host_capture_add(stream, operation);
    cudaError_t code = is_null ? mt_host_capture_forbids_null(stream->device) : cudaSuccess;
    if (code != cudaSuccess) {
        mt_host_operation_release(operation);
        return code;
    }
    for (const mt_host_stream *s = mt_host_streams; s; s = s->next) streams++;
    mt_host_work *w = calloc(1, sizeof *w);
    if (w) w->after = calloc((size_t)(after_count + streams + 1), sizeof(void *));
    if (!w || !w->after) mt_host_fatal("out of memory");
    w->operation = operation, w->stream = stream, w->references = 1;
    for (int i = 0; i < after_count; i++) follow(w, after[i]);
    // the default stream waits for all blocking ones, and they for it
    if (is_null)
        for (const mt_host_stream *s = mt_host_streams; s; s = s->next)
            if (s->device == stream->device && s->blocking) follow(w, s->last);
    if (stream->blocking && d->null_stream) follow(w, d->null_stream->last);
    if (stream->last)
        stream->last->next = w;
    else
        stream->first = w;
    stream->last = w;
    if (out) {
        w->references++;
        *out = w;
    }
    return cudaSuccess;
}

// ---- running

static void finish(mt_host_work *w) {
    mt_host_stream *s = w->stream;
    s->first = w->next;
    if (!s->first) s->last = NULL;
    w->next = NULL, w->stream = NULL;
    w->done = 1;
    w->done_ns = clock_ns();
    // what it held is free; who waits for it may have it still
    for (int i = 0; i < w->after_count; i++) mt_host_work_release(w->after[i]);
    w->after_count = 0;
    mt_host_operation_release(w->operation);
    w->operation = NULL;
    mt_host_work_release(w);
    if (s->dying && !s->first)
        for (mt_host_stream **at = &mt_host_streams; *at; at = &(*at)->next)
            if (*at == s) {
                *at = s->next;
                free(s->nodes);
                free(s);
                break;
            }
}

// everything that must run before it, and itself
static void need(mt_host_work *w) {
    if (w->done || w->needed == search) return;
    for (mt_host_work *u = w->stream->first;; u = u->next) {
        if (u->needed != search) {
            u->needed = search;
            for (int i = 0; i < u->after_count; i++) need(u->after[i]);
        }
        if (u == w) return;
    }
}

static int could_run(const mt_host_work *w) {
    if (!w || w->blocked) return 0;
    for (int i = 0; i < w->after_count; i++)
        if (!w->after[i]->done) return 0;
    return 1;
}

enum { NEEDED_ALONE, ANY, OTHERS_FIRST, MANNERS };

// one stream's first, by chance; NULL: none could run
static mt_host_work *choose(int manner) {
    mt_host_work *chosen = NULL;
    uint32_t seen = 0;
    int others = 0;
    for (const mt_host_stream *s = mt_host_streams; s; s = s->next) {
        mt_host_work *w = s->first;
        if (!could_run(w)) continue;
        int needed = w->needed == search;
        if (manner == NEEDED_ALONE && !needed) continue;
        if (manner == OTHERS_FIRST && needed && others) continue;
        if (manner == OTHERS_FIRST && !needed && !others) others = 1, seen = 0; // forget those that are needed
        if (mt_host_random_below(&mt_host_chance, ++seen) == 0) chosen = w;
    }
    return chosen;
}

// one step of something; 0: all that could run wait for other ranks, or there is nothing
static int step(int manner) {
    for (mt_host_stream *s = mt_host_streams; s; s = s->next)
        if (s->first) s->first->blocked = 0;
    for (;;) {
        mt_host_work *w = choose(manner);
        if (!w) return 0;
        mt_host_step how = mt_host_operation_run(w->operation, &w->state);
        steps_done++;
        if (how == MT_HOST_BLOCKED) {
            w->blocked = 1;
            continue;
        }
        if (how == MT_HOST_DONE) {
            finish(w);
            pthread_cond_broadcast(&mt_host_news);
        }
        return 1;
    }
}

static void begin_search(mt_host_work *target) {
    search++;
    if (target) need(target);
}

// threads of this process tell, other processes have to be asked
void mt_host_work_rest(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += SLEEP_NS;
    if (until.tv_nsec >= 1000000000) until.tv_nsec -= 1000000000, until.tv_sec++;
    pthread_cond_timedwait(&mt_host_news, &mt_host_lock, &until);
}

cudaError_t mt_host_work_wait(mt_host_work *w) {
    int manner = (int)mt_host_random_below(&mt_host_chance, MANNERS);
    mt_host_memory_open();
    begin_search(w);
    while (w && !w->done) {
        if (step(manner)) continue;
        mt_host_work_rest();
        mt_host_memory_open();
        begin_search(w);
        manner = ANY;
    }
    mt_host_memory_guards_check("after a wait");
    mt_host_memory_close(&mt_host_chance);
    return mt_host_broken();
}

cudaError_t mt_host_work_wait_stream(mt_host_stream *s) {
    mt_host_work *w = s->last;
    if (w) w->references++;
    cudaError_t code = mt_host_work_wait(w);
    mt_host_work_release(w);
    return code;
}
cudaError_t mt_host_work_wait_device(int device) {
    for (;;) {
        mt_host_stream *busy = NULL;
        for (mt_host_stream *s = mt_host_streams; s; s = s->next)
            if (s->device == device && s->first) busy = s;
        if (!busy) return mt_host_work_wait(NULL);
        mt_host_work_wait_stream(busy);
    }
}

int mt_host_work_poll(mt_host_work *w) {
    // who asks often enough gets there
    if (w && !w->done && mt_host_random_below(&mt_host_chance, 2)) {
        mt_host_memory_open();
        begin_search(w);
        step(mt_host_random_below(&mt_host_chance, 2) ? ANY : NEEDED_ALONE);
        mt_host_memory_close(&mt_host_chance);
    }
    return !w || w->done;
}

void mt_host_work_end(void) {
    for (mt_host_stream *s = mt_host_streams; s; s = s->next)
        if (s->first && mt_host_settings_get()->trace)
            fprintf(stderr, "cuda_host: %s and what is behind it never ran\n", s->first->operation->name);
    mt_host_memory_open();
}

// ---- in the background

static void *background(void *unused) {
    (void)unused;
    uint64_t before = 0;
    for (;;) {
        nanosleep(&(struct timespec){.tv_nsec = BACKGROUND_NS}, NULL);
        pthread_mutex_lock(&mt_host_lock);
        if (steps_done == before) { // nobody else does anything
            mt_host_memory_open();
            begin_search(NULL);
            for (mt_host_stream *s = mt_host_streams; s; s = s->next)
                for (mt_host_work *w = s->first; w; w = w->next)
                    if (w->operation->meets) need(w);
            while (step(NEEDED_ALONE)) continue;
        }
        before = steps_done;
        pthread_mutex_unlock(&mt_host_lock);
    }
    return NULL;
}

void mt_host_work_in_background(void) {
    static int started;
    pthread_t thread;
    if (started) return;
    started = 1;
    if (pthread_create(&thread, NULL, background, NULL) != 0) mt_host_fatal("no thread for work in the background");
    pthread_detach(thread);
}

// ---- objects

void mt_host_object_count(mt_host_object kind, int by) { objects[kind] += by; }

void mt_host_objects_check(void) {
    static const char *const names[MT_HOST_OBJECTS] = {
        "streams", "events", "graphs", "executable graphs", "library handles", "descriptors", "communicators"};
    int left = 0;
    for (int i = 0; i < MT_HOST_OBJECTS; i++)
        if (objects[i]) left = 1, fprintf(stderr, "cuda_host: %d %s are never destroyed\n", objects[i], names[i]);
    if (!left) return;
    fflush(NULL);
    _exit(1);
}
