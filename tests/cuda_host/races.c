// Looking at the accesses of kernels: see races.h.
//
// Time counts the events that order something (barriers, fences, atomic operations); an access keeps the time at which it was
// made. Each word of device and shared memory has a cell with its last writer and two readers: the last one, and one of another
// block, or else of another thread. A third reader of a block was earlier than two of different threads: whoever is ordered
// behind these by a barrier is ordered behind it. Pages on which anything shorter than a word was touched have a cell a byte.
// A cell has 32 bytes, for what a load costs here is the cache line of its cell.
#include "tests/cuda_host/races.h"

#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/cuda_host/device_calls.h"
#include "tests/cuda_host/memory.h"
#include "tests/cuda_host/report.h"
#include "tests/cuda_host/runtime.h"
#include "tests/cuda_host/settings.h"

enum {
    WORD = 4,
    PAGE_WORDS = MT_HOST_PAGE / WORD,
    BLOCK_BITS = 21,
    LOGS = 1 << 10,
    KNOWN_MOST = 64,
    PAUSE_BITS_LEAST = 4,
    PAUSE_BITS_MOST = 12,
    BLOCKS_ALL = 16,
    BLOCKS_LAST = 4,
    BLOCKS_ONE_IN = 4
};
static const uint32_t TIME_MOST = 3u << 30;

typedef enum kind { LOAD, STORE, ATOMIC } kind;

typedef struct access {
    uint32_t time; // 0: none
    uint32_t who;  // block, thread, is it atomic
} access;
typedef struct cell {
    access write, read, other;
    uint32_t write_at, read_at; // where in the program
} cell;
typedef struct shadow {
    _Alignas(32) int bytes; // a cell each? else a word
    cell cells[];
} shadow;

// what a block did before its atomic operation at a place, as others may see it
typedef struct release {
    uint32_t block, thread;
    uint32_t published, fenced; // times before which all of its writes, and that thread's, were followed by a fence
    int previous;               // of the same block; -1: none
} release;
typedef struct place { // that atomic operations meet at
    const void *at;
    release *log; // owned
    int count, capacity;
    int *last_of_block; // owned; (blocks), index + 1
    struct place *next;
} place;
typedef struct known { // by the block that runs: a place's releases up to a position
    const place *of;
    int settled, position; // for all its threads, for `thread`
    int thread;            // -1: several
} known;

static const mt_host_grid *grid;
static uint64_t blocks;
static uint64_t blocks_begun;
static int looking, look_in_grid; // for races?
static uint32_t now = 1, grid_began, block_began, barrier_passed, published;
static uint32_t fenced[MT_HOST_THREADS_MOST], fence_barrier[MT_HOST_THREADS_MOST], wrote[MT_HOST_THREADS_MOST];
static uint32_t lanes_known[MT_HOST_THREADS_MOST][MT_HOST_WARP]; // of a warp: times before which a lane's accesses are over
static place *places[LOGS];
static known knows[KNOWN_MOST];
static int know_count;
static shadow *shared_shadows[MT_HOST_SHARED_BYTES / MT_HOST_PAGE];
static uint64_t seen;
static int budget; // accesses until the next pause
static uintptr_t image_from, image_to;

// how many accesses a thread makes before another has its turn: few in some blocks, many in others
static int new_budget(void) {
    uint32_t bits = PAUSE_BITS_LEAST + mt_host_random_below(&mt_host_now.random, PAUSE_BITS_MOST - PAUSE_BITS_LEAST + 1);
    return 1 + (int)mt_host_random_below(&mt_host_now.random, 1u << bits);
}

static uint32_t who_of(const mt_host_thread *t, int atomic) {
    return (uint32_t)mt_host_now.number << 11 | (uint32_t)t->number << 1 | (uint32_t)atomic;
}
static uint32_t block_of(access a) { return a.who >> 11; }
static int thread_of(access a) { return (int)(a.who >> 1 & 0x3ff); }

// ---- the program's own image: constants of kernels live there

static int find_image(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size, (void)unused;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
        uintptr_t from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr, to = from + info->dlpi_phdr[i].p_memsz;
        if (!image_from || from < image_from) image_from = from;
        if (to > image_to) image_to = to;
    }
    return 1; // the first is the program
}

// ---- times

static void forget_places(void) {
    for (int i = 0; i < LOGS; i++)
        while (places[i]) {
            place *p = places[i];
            places[i] = p->next;
            free(p->log);
            free(p->last_of_block);
            free(p);
        }
}

void mt_host_races_grid(const mt_host_grid *g) {
    grid = g;
    blocks = (uint64_t)g->grid.x * g->grid.y * g->grid.z;
    look_in_grid = mt_host_settings_get()->races && blocks <= 1u << BLOCK_BITS;
    blocks_begun = 0;
    if (!image_from) dl_iterate_phdr(find_image, NULL);
    if (now > TIME_MOST) { // of a day's launches: all that is remembered is long past
        mt_host_memory_shadows_drop();
        for (size_t i = 0; i < sizeof shared_shadows / sizeof *shared_shadows; i++)
            free(shared_shadows[i]), shared_shadows[i] = NULL;
        now = 1;
    }
    grid_began = ++now;
    forget_places();
}

void mt_host_races_block(void) {
    block_began = barrier_passed = published = ++now;
    know_count = 0;
    // the blocks of a large grid do the same: the first ones, the last ones, and some between
    uint64_t before = blocks_begun++;
    looking = look_in_grid && (before < BLOCKS_ALL || before + BLOCKS_LAST >= blocks ||
                                  mt_host_random_below(&mt_host_now.random, BLOCKS_ONE_IN) == 0);
    size_t threads = (size_t)mt_host_now.thread_count;
    memset(fenced, 0, threads * sizeof *fenced);
    memset(fence_barrier, 0, threads * sizeof *fence_barrier);
    memset(wrote, 0, threads * sizeof *wrote);
    memset(lanes_known, 0, threads * sizeof *lanes_known);
    budget = new_budget();
}

void mt_host_races_barrier(void) {
    uint32_t all = ++now;
    for (int i = 0; i < mt_host_now.thread_count; i++) {
        if (wrote[i] >= fenced[i] && wrote[i] && fenced[i] < all) all = fenced[i];
        if (fence_barrier[i] > published) published = fence_barrier[i];
    }
    if (all > published) published = all;
    barrier_passed = now;
    for (int i = 0; i < know_count; i++) knows[i].settled = knows[i].position;
}

void mt_host_races_syncwarp(mt_host_thread *const *members, int count) {
    uint32_t met[MT_HOST_WARP] = {0};
    now++;
    for (int i = 0; i < count; i++) {
        for (int lane = 0; lane < MT_HOST_WARP; lane++)
            if (lanes_known[members[i]->number][lane] > met[lane]) met[lane] = lanes_known[members[i]->number][lane];
        met[members[i]->number % MT_HOST_WARP] = now;
    }
    for (int i = 0; i < count; i++) memcpy(lanes_known[members[i]->number], met, sizeof met);
}

void mt_host_fence(void) {
    if (!mt_host_current) mt_host_fatal("__threadfence() in the host's code");
    int me = mt_host_current->number;
    fenced[me] = ++now;
    fence_barrier[me] = barrier_passed;
}

// ---- across blocks: what atomic operations hand over

static place *place_at(const void *at) {
    place **list = &places[((uintptr_t)at >> 2) % LOGS], *p = *list;
    while (p && p->at != at) p = p->next;
    if (p) return p;
    p = calloc(1, sizeof *p);
    if (p) p->last_of_block = calloc(blocks, sizeof *p->last_of_block);
    if (!p || !p->last_of_block) mt_host_fatal("out of memory");
    p->at = at;
    p->next = *list;
    return *list = p;
}

// an atomic operation takes what is there and leaves its own
static void meet(const void *at) {
    int me = mt_host_current->number;
    place *p = place_at(at);
    known *k = NULL;
    for (int i = 0; i < know_count; i++)
        if (knows[i].of == p) k = &knows[i];
    if (p->count && !k && know_count < KNOWN_MOST) {
        k = &knows[know_count++];
        *k = (known){.of = p, .thread = me};
    }
    if (k) {
        k->thread = k->position == k->settled || k->thread == me ? me : -1;
        k->position = p->count;
    }
    now++;
    uint32_t block_published = fence_barrier[me] > published ? fence_barrier[me] : published;
    if (block_published <= block_began && !fenced[me]) return; // nothing to hand over
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? 2 * p->capacity : 16;
        p->log = realloc(p->log, (size_t)p->capacity * sizeof *p->log);
        if (!p->log) mt_host_fatal("out of memory");
    }
    int *last = &p->last_of_block[mt_host_now.number];
    p->log[p->count++] = (release){(uint32_t)mt_host_now.number, (uint32_t)me, block_published, fenced[me], *last - 1};
    *last = p->count;
}

// did the thread that runs hear of an earlier access?
static int handed_over(access a) {
    for (int i = 0; i < know_count; i++) {
        const known *k = &knows[i];
        int upto = k->thread == -1 || k->thread == mt_host_current->number ? k->position : k->settled;
        for (int r = k->of->last_of_block[block_of(a)] - 1; r >= 0; r = k->of->log[r].previous) {
            const release *one = &k->of->log[r];
            if (r < upto && (a.time < one->published || ((int)one->thread == thread_of(a) && a.time < one->fenced))) return 1;
        }
    }
    return 0;
}

static __attribute__((noinline)) int ordered_otherwise(access a) {
    int thread = thread_of(a), me = mt_host_current->number;
    if (block_of(a) == (uint32_t)mt_host_now.number && thread / MT_HOST_WARP == me / MT_HOST_WARP &&
        a.time < lanes_known[me][thread % MT_HOST_WARP])
        return 1;
    return handed_over(a);
}
// before what thread `me` (as in .who) does now
static inline int ordered(access a, uint32_t began, uint32_t me) {
    if (a.time < began || (a.who ^ me) < 2) return 1; // none at all, or its own
    if ((a.who ^ me) < 1u << 11 && a.time < barrier_passed) return 1;
    return ordered_otherwise(a);
}

// ---- one cell

static const char *verb(kind k) { return k == LOAD ? "reads" : k == STORE ? "writes" : "changes"; }

static _Noreturn void race(const void *at, access before, uint32_t where, const char *what_before, kind k, const void *caller) {
    char here[600], there[600] = "a place not kept";
    int shared = (size_t)((const char *)at - mt_host_shared_memory) < MT_HOST_SHARED_BYTES;
    mt_host_name_of(caller, here, sizeof here);
    if (where) mt_host_name_of((const void *)(image_from + where), there, sizeof there);
    mt_host_fatal("a race at %p%s%s: this thread %s it in %s,\n    and thread number %d of block number %u %s it in %s; "
                  "nothing orders the two",
        at, shared ? ", shared array " : "", shared ? mt_host_shared_find(at)->name : "", verb(k), here, thread_of(before),
        block_of(before), what_before, there);
}

static void look_at(cell *c, const void *at, kind k, uint32_t began, const void *caller) {
    const access me = {now, who_of(mt_host_current, k == ATOMIC)};
    const uint32_t where = (uint32_t)((uintptr_t)caller - image_from);
    const int both_atomic = k == ATOMIC && (c->write.who & 1);
    if (!both_atomic && !ordered(c->write, began, me.who)) race(at, c->write, c->write_at, "wrote", k, caller);
    if (k == LOAD) {
        if (c->read.who != me.who && c->read.time >= began &&
            (c->other.time < began || block_of(c->read) != block_of(me) || block_of(c->other) == block_of(me)))
            c->other = c->read;
        c->read = me;
        c->read_at = where;
        return;
    }
    if (!ordered(c->read, began, me.who)) race(at, c->read, c->read_at, "read", k, caller);
    if (!ordered(c->other, began, me.who)) race(at, c->other, 0, "read", k, caller);
    c->write = me;
    c->write_at = where;
    c->read = c->other = (access){0, 0}; // ordered behind the write
}

static shadow *make_shadow(int bytes) {
    shadow *s;
    size_t size = sizeof *s + (bytes ? MT_HOST_PAGE : PAGE_WORDS) * sizeof(cell);
    s = aligned_alloc(sizeof(cell), size);
    if (!s) mt_host_fatal("no memory to remember who touched what; MANTA_CUDA_HOST_RACES=0 does without");
    memset(s, 0, size);
    s->bytes = bytes;
    return s;
}
// from words to bytes
static shadow *split(shadow *from) {
    shadow *s = make_shadow(1);
    for (int i = 0; from && i < MT_HOST_PAGE; i++) s->cells[i] = from->cells[i / WORD];
    free(from);
    return s;
}

// within a page
static inline void look(shadow **where, const char *at, size_t bytes, kind k, uint32_t began, const void *caller) {
    size_t in_page = (uintptr_t)at % MT_HOST_PAGE;
    if (!*where)
        *where = make_shadow((in_page | bytes) % WORD != 0);
    else if (!(*where)->bytes && (in_page | bytes) % WORD)
        *where = split(*where);
    shadow *s = *where;
    if (s->bytes)
        for (size_t i = 0; i < bytes; i++) look_at(&s->cells[in_page + i], at + i, k, began, caller);
    else
        for (size_t i = 0; i < bytes; i += WORD) look_at(&s->cells[(in_page + i) / WORD], at + i, k, began, caller);
}

// ---- an access

static _Noreturn __attribute__((noinline, format(printf, 5, 6))) void wrong(
    const void *at, size_t bytes, kind k, const void *caller, const char *format, ...) {
    char why[1024], text[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    mt_host_fatal("%s %s %zu bytes at %p: %s", mt_host_name_of(caller, text, sizeof text), verb(k), bytes, at, why);
}

static inline void touch_device(const char *at, size_t bytes, kind k, const void *caller) {
    const mt_host_allocation *a = mt_host_memory_page(at)->allocation;
    if (!a || a->freed || at < a->at || at + bytes > a->at + a->bytes)
        wrong(at, bytes, k, caller, "%s", mt_host_memory_check(at, bytes, NULL));
    if (a->device != grid->device && a->kind == MT_HOST_MEMORY_DEVICE && !mt_host_device_reaches(grid->device, a->device))
        wrong(at, bytes, k, caller, "memory of device %d, to which device %d has no access as a peer", a->device, grid->device);
    if (!looking) return;
    size_t left = MT_HOST_PAGE - (uintptr_t)at % MT_HOST_PAGE, here = bytes < left ? bytes : left;
    look((shadow **)&mt_host_memory_page(at)->shadow, at, here, k, grid_began, caller);
    if (here < bytes) look((shadow **)&mt_host_memory_page(at + here)->shadow, at + here, bytes - here, k, grid_began, caller);
}

static inline void touch_shared(const char *at, size_t bytes, kind k, const void *caller) {
    static const mt_host_shared_array *last = mt_host_shared_arrays; // most often the same again
    if (at < last->at || at + bytes > last->at + last->bytes) {
        last = mt_host_shared_find(at);
        if (!last || at + bytes > last->at + last->bytes) {
            const char *name = last ? last->name : "the first";
            last = mt_host_shared_arrays;
            wrong(at, bytes, k, caller, "outside of shared array %s", name);
        }
    }
    if (!looking) return;
    shadow **where = &shared_shadows[(size_t)(at - mt_host_shared_memory) / MT_HOST_PAGE];
    size_t left = MT_HOST_PAGE - (uintptr_t)at % MT_HOST_PAGE, here = bytes < left ? bytes : left;
    look(where, at, here, k, block_began, caller);
    if (here < bytes) look(where + 1, at + here, bytes - here, k, block_began, caller);
}

// neither: the kernel's own stack, its arguments and constants are all right
static __attribute__((noinline)) void touch_host(const char *at, size_t bytes, kind k, const void *caller) {
    if ((uintptr_t)at - image_from < image_to - image_from) return;
    if (k == LOAD && at >= (const char *)grid->closure && at + bytes <= (const char *)grid->closure + grid->closure_bytes)
        return;
    wrong(at, bytes, k, caller, "the host's memory, which is not pinned");
}

static inline void touch(const void *address, size_t bytes, kind k, size_t align, const void *caller) {
    const char *at = address;
    mt_host_thread *me = mt_host_current;
    if (!me) {
        if (mt_host_memory_inside(at) && mt_host_memory_find(at) && mt_host_memory_find(at)->kind == MT_HOST_MEMORY_DEVICE)
            wrong(at, bytes, k, caller, "device memory, in the host's code: copy it");
        return;
    }
    if ((uintptr_t)at - me->stack < mt_host_fiber_bytes) return;
    if ((uintptr_t)at % align) wrong(at, bytes, k, caller, "no multiple of %zu: a GPU faults there", align);
    if ((size_t)(at - mt_host_shared_memory) < MT_HOST_SHARED_BYTES)
        touch_shared(at, bytes, k, caller);
    else if (!mt_host_memory_inside(at))
        return touch_host(at, bytes, k, caller);
    else {
        if (k != LOAD) wrote[me->number] = now;
        touch_device(at, bytes, k, caller);
    }
    seen++;
    if (--budget > 0) return;
    budget = new_budget();
    if (k != ATOMIC) mt_host_block_pause();
}

// ---- what the compiler calls: only where .cu files are compiled to (library.cmake); a sanitizer's build has its own

#define MT_HOST_CALLER __builtin_return_address(0)
#if !defined MT_HOST_SANITIZED
uint64_t mt_host_accesses(void) { return seen; }

#define MT_HOST_SEE(bytes)                                                                                                     \
    void __tsan_read##bytes(void *at);                                                                                         \
    void __tsan_write##bytes(void *at);                                                                                        \
    void __tsan_unaligned_read##bytes(void *at);                                                                               \
    void __tsan_unaligned_write##bytes(void *at);                                                                              \
    void __tsan_read##bytes(void *at) { touch(at, bytes, LOAD, bytes, MT_HOST_CALLER); }                                       \
    void __tsan_write##bytes(void *at) { touch(at, bytes, STORE, bytes, MT_HOST_CALLER); }                                     \
    void __tsan_unaligned_read##bytes(void *at) { touch(at, bytes, LOAD, 1, MT_HOST_CALLER); }                                 \
    void __tsan_unaligned_write##bytes(void *at) { touch(at, bytes, STORE, 1, MT_HOST_CALLER); }
MT_HOST_SEE(1)
MT_HOST_SEE(2)
MT_HOST_SEE(4)
MT_HOST_SEE(8)
MT_HOST_SEE(16)

void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);
void __tsan_read_range(void *at, size_t bytes);
void __tsan_write_range(void *at, size_t bytes);
void *__tsan_memcpy(void *to, const void *from, size_t bytes);
void *__tsan_memmove(void *to, const void *from, size_t bytes);
void *__tsan_memset(void *to, int byte, size_t bytes);
void __tsan_init(void) {}
void __tsan_func_entry(void *caller) { (void)caller; }
void __tsan_func_exit(void) {}
void __tsan_read_range(void *at, size_t bytes) { touch(at, bytes, LOAD, 1, MT_HOST_CALLER); }
void __tsan_write_range(void *at, size_t bytes) { touch(at, bytes, STORE, 1, MT_HOST_CALLER); }
// clang's
void *__tsan_memcpy(void *to, const void *from, size_t bytes) {
    if (bytes) touch(from, bytes, LOAD, 1, MT_HOST_CALLER), touch(to, bytes, STORE, 1, MT_HOST_CALLER);
    return memcpy(to, from, bytes);
}
void *__tsan_memmove(void *to, const void *from, size_t bytes) {
    if (bytes) touch(from, bytes, LOAD, 1, MT_HOST_CALLER), touch(to, bytes, STORE, 1, MT_HOST_CALLER);
    return memmove(to, from, bytes);
}
void *__tsan_memset(void *to, int byte, size_t bytes) {
    if (bytes) touch(to, bytes, STORE, 1, MT_HOST_CALLER);
    return memset(to, byte, bytes);
}

// -fsanitize=alignment,bounds: an access of a whole vector as the language has it, however the compiler splits it; an index into
// an array whose size the compiler knows, in a thread's registers included
typedef struct ubsan_type {
    uint16_t kind, bits;
    char name[];
} ubsan_type;
typedef struct ubsan_place {
    const char *file;
    uint32_t line, column;
} ubsan_place;
typedef struct ubsan_mismatch {
    ubsan_place place;
    const ubsan_type *type;
    unsigned char log_alignment, kind;
} ubsan_mismatch;
typedef struct ubsan_bounds {
    ubsan_place place;
    const ubsan_type *array, *index;
} ubsan_bounds;
void __ubsan_handle_type_mismatch_v1_abort(const ubsan_mismatch *what, uintptr_t at);
void __ubsan_handle_out_of_bounds_abort(const ubsan_bounds *what, uintptr_t index);
void __ubsan_handle_type_mismatch_v1_abort(const ubsan_mismatch *what, uintptr_t at) {
    mt_host_fatal("%s:%u: %s at %p, which must be a multiple of %u: a GPU faults there", what->place.file, what->place.line,
        what->type->name, (void *)at, 1u << what->log_alignment);
}
void __ubsan_handle_out_of_bounds_abort(const ubsan_bounds *what, uintptr_t index) {
    mt_host_fatal("%s:%u: index %td is outside of %s", what->place.file, what->place.line, (ptrdiff_t)index, what->array->name);
}

#else
uint64_t mt_host_accesses(void) { return 0; }
#endif

// ---- atomic operations: no pause in them

#define MT_HOST_ATOMIC(type, name, more, other)                                                                                \
    type mt_host_atomic_##name(mt_host_atomic_kind kind_, type *at, type x, type compare) {                                    \
        touch(at, sizeof *at, ATOMIC, sizeof *at, MT_HOST_CALLER);                                                             \
        meet(at);                                                                                                              \
        const type old = *at;                                                                                                  \
        (void)compare;                                                                                                         \
        switch (kind_) {                                                                                                       \
        case MT_HOST_ATOMIC_ADD: *at = (type)((more)old + (more)x); break;                                                     \
        case MT_HOST_ATOMIC_SUB: *at = (type)((more)old - (more)x); break;                                                     \
        case MT_HOST_ATOMIC_MIN: *at = x < old ? x : old; break;                                                               \
        case MT_HOST_ATOMIC_MAX: *at = x > old ? x : old; break;                                                               \
        case MT_HOST_ATOMIC_EXCH:                                                                                              \
            *at = x;                                                                                                           \
            break;                                                                                                             \
            other                                                                                                              \
        }                                                                                                                      \
        return old;                                                                                                            \
    }
#define MT_HOST_WHOLE(unsigned_type)                                                                                           \
    case MT_HOST_ATOMIC_AND: *at = old & x; break;                                                                             \
    case MT_HOST_ATOMIC_OR: *at = old | x; break;                                                                              \
    case MT_HOST_ATOMIC_XOR: *at = old ^ x; break;                                                                             \
    case MT_HOST_ATOMIC_INC: *at = (unsigned_type)old >= (unsigned_type)x ? 0 : old + 1; break;                                \
    case MT_HOST_ATOMIC_DEC: *at = old == 0 || (unsigned_type)old > (unsigned_type)x ? x : old - 1; break;                     \
    case MT_HOST_ATOMIC_CAS: *at = old == compare ? x : old; break;
MT_HOST_ATOMIC(uint32_t, u32, uint32_t, MT_HOST_WHOLE(uint32_t))
MT_HOST_ATOMIC(int32_t, i32, uint32_t, MT_HOST_WHOLE(uint32_t))
MT_HOST_ATOMIC(uint64_t, u64, uint64_t, MT_HOST_WHOLE(uint64_t))

float mt_host_atomic_f32(mt_host_atomic_kind kind_, float *at, float x) {
    touch(at, sizeof *at, ATOMIC, sizeof *at, MT_HOST_CALLER);
    meet(at);
    float old = *at;
    *at = kind_ == MT_HOST_ATOMIC_ADD ? old + x : x;
    return old;
}
double mt_host_atomic_f64(mt_host_atomic_kind kind_, double *at, double x) {
    touch(at, sizeof *at, ATOMIC, sizeof *at, MT_HOST_CALLER);
    meet(at);
    double old = *at;
    *at = kind_ == MT_HOST_ATOMIC_ADD ? old + x : x;
    return old;
}
