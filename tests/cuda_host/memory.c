// Allocations of the host implementation: see memory.h.
#include "tests/cuda_host/memory.h"

#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "tests/cuda_host/report.h"
#include "tests/cuda_host/settings.h"

#if defined __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes)   ((void)(at), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#endif

enum { ALIGN = 256, GUARD = 0xb7 };

char *mt_host_range;
mt_host_page *mt_host_pages;
static size_t next_offset; // where to look for room
static mt_host_allocation live = {.next = &live, .previous = &live};
static mt_host_allocation *freed; // the last of them; their records stay
static uint64_t allocations;
static size_t used_bytes[MT_HOST_DEVICES_MOST];
static int closed;
static int main_process;

// ---- patterns

void mt_host_memory_poison(void *at, size_t bytes) {
    // NaN as a float, a signalling NaN as a double, far out of mt_host_range as an index
    static const unsigned char pattern[8] = {0xa5, 0xa5, 0xf4, 0x7f, 0xa5, 0xa5, 0xf4, 0x7f};
    char *p = at;
    size_t head = bytes < sizeof pattern ? bytes : sizeof pattern;
    memcpy(p, pattern, head);
    for (size_t done = head; done < bytes;) { // doubles what is there
        size_t more = done < bytes - done ? done : bytes - done;
        if (more > 1 << 16) more = 1 << 16;
        memcpy(p + done, p, more);
        done += more;
    }
}
void mt_host_memory_guard(void *at, size_t bytes) {
    ASAN_UNPOISON_MEMORY_REGION(at, bytes);
    memset(at, GUARD, bytes);
    ASAN_POISON_MEMORY_REGION(at, bytes);
}
void mt_host_memory_admit(void *at, size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(at, bytes); }

__attribute__((no_sanitize("address"))) const char *mt_host_memory_guard_broken(const void *at, size_t bytes) {
    const unsigned char *p = at;
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != GUARD) return (const char *)&p[i];
    return NULL;
}

// ---- faults: an address of ours that cannot be touched has a reason

static struct sigaction fault_before;

static void explain(int number, siginfo_t *info, void *context) {
    (void)context;
    const char *at = info->si_addr;
    sigaction(number, &fault_before, NULL); // without an explanation it happens again, to whoever handled it before
    if (number != SIGSEGV || !mt_host_memory_inside(at)) return;
    const char *why = mt_host_memory_check(at, 1, NULL);
    if (why) mt_host_fatal("a fault at %p: %s", (const void *)at, why);
    const mt_host_allocation *a = mt_host_memory_find(at);
    mt_host_fatal("the host's code touches device memory at %p, in allocation %llu of %zu bytes on device %d: copy it "
                  "(the same fault ends a process on a real GPU)",
        (const void *)at, (unsigned long long)a->number, a->bytes, a->device);
}

static void explain_faults(void) {
    struct sigaction action = {.sa_sigaction = explain, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &fault_before);
}

// ---- the range

static void reserve(void) {
    if (mt_host_range) return;
    size_t table = MT_HOST_RANGE_BYTES / MT_HOST_PAGE * sizeof *mt_host_pages;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *addresses = mmap(NULL, MT_HOST_RANGE_BYTES, PROT_NONE, flags, -1, 0);
    mt_host_pages = mmap(NULL, table, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (addresses == MAP_FAILED || mt_host_pages == (void *)MAP_FAILED)
        mt_host_fatal("this machine does not give a terabyte of addresses (ulimit -v?)");
    mt_host_range = addresses;
    main_process = (int)getpid();
    explain_faults();
}

mt_host_allocation *mt_host_memory_find(const void *address) {
    return mt_host_memory_inside(address) ? mt_host_memory_page(address)->allocation : NULL;
}

// `bytes` (whole pages) that no live allocation has, a page free on both sides; NULL: none
static char *find_room(size_t bytes) {
    for (int again = 0; again < 2; again++) {
        for (size_t at = next_offset; at + bytes + 2 * MT_HOST_PAGE <= MT_HOST_RANGE_BYTES;) {
            const mt_host_allocation *in_the_way = NULL;
            for (const mt_host_allocation *a = live.next; a != &live; a = a->next)
                if (a->pages < mt_host_range + at + bytes + 2 * MT_HOST_PAGE && a->pages + a->page_bytes > mt_host_range + at)
                    in_the_way = a;
            if (!in_the_way) {
                next_offset = at + bytes + MT_HOST_PAGE;
                return mt_host_range + at + MT_HOST_PAGE;
            }
            at = (size_t)(in_the_way->pages - mt_host_range) + in_the_way->page_bytes;
        }
        next_offset = 0; // from the beginning: long free
    }
    return NULL;
}

// ---- allocations

// the first function that is not of this library: who asked
static const char *caller_of(const mt_host_allocation *a, char *text, size_t bytes) {
    for (int i = 0; i < MT_HOST_CALLERS && a->callers[i]; i++) {
        const char *name = mt_host_function_name(a->callers[i]);
        if (strncmp(name, "mt_host_", 8) != 0 && strncmp(name, "cuda", 4) != 0)
            return mt_host_name_of(a->callers[i], text, bytes);
    }
    return "an unknown function";
}
static size_t counted(size_t bytes) { return (bytes + 511) / 512 * 512; }

mt_host_allocation *mt_host_memory_alloc(mt_host_memory_kind kind, int device, size_t bytes) {
    size_t limit = mt_host_settings_get()->memory_bytes, padded = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    reserve();
    if (kind == MT_HOST_MEMORY_DEVICE && (bytes > limit || counted(bytes) > limit - used_bytes[device])) return NULL;
    if (padded < bytes || padded > MT_HOST_RANGE_BYTES / 2) return NULL;
    mt_host_memory_open();
    mt_host_allocation *a = calloc(1, sizeof *a);
    size_t page_bytes = (padded + ALIGN + MT_HOST_PAGE - 1) / MT_HOST_PAGE * MT_HOST_PAGE;
    char *room = a ? find_room(page_bytes) : NULL;
    if (!room || mprotect(room, page_bytes, PROT_READ | PROT_WRITE) != 0) {
        free(a);
        return NULL;
    }
    *a = (mt_host_allocation){.at = room + page_bytes - padded,
        .bytes = bytes,
        .pages = room,
        .page_bytes = page_bytes,
        .kind = kind,
        .device = device,
        .number = ++allocations,
        .next = live.next,
        .previous = &live};
    backtrace(a->callers, MT_HOST_CALLERS);
    a->next->previous = a->previous->next = a;
    for (size_t i = 0; i < page_bytes; i += MT_HOST_PAGE) mt_host_memory_page(room + i)->allocation = a;
    mt_host_memory_guard(room, (size_t)(a->at - room));
    mt_host_memory_admit(a->at, padded);
    mt_host_memory_poison(a->at, bytes);
    mt_host_memory_guard(a->at + bytes, padded - bytes);
    if (kind == MT_HOST_MEMORY_DEVICE) used_bytes[device] += counted(bytes);
    return a;
}

static void check_guards(const mt_host_allocation *a, const char *when) {
    const char *end = a->at + a->bytes, *bad = mt_host_memory_guard_broken(a->pages, (size_t)(a->at - a->pages));
    if (!bad) bad = mt_host_memory_guard_broken(end, (size_t)(a->pages + a->page_bytes - end));
    if (!bad) return;
    char text[600];
    mt_host_fatal(
        "%s: the guard zone of allocation %llu (%zu bytes of %s memory) is written to, %td bytes %s it; allocated in %s", when,
        (unsigned long long)a->number, a->bytes, a->kind == MT_HOST_MEMORY_DEVICE ? "device" : "pinned",
        bad < a->at ? a->at - bad : bad - end, bad < a->at ? "before" : "past", caller_of(a, text, sizeof text));
}

void mt_host_memory_free(mt_host_allocation *a) {
    mt_host_memory_open();
    check_guards(a, "at its end");
    ASAN_UNPOISON_MEMORY_REGION(a->pages, a->page_bytes);
    for (size_t i = 0; i < a->page_bytes; i += MT_HOST_PAGE) {
        mt_host_page *p = mt_host_memory_page(a->pages + i);
        free(p->shadow);
        p->shadow = NULL;
    }
    // what stays is the record, for whoever comes back; its pages are the system's again
    if (madvise(a->pages, a->page_bytes, MADV_DONTNEED) != 0 || mprotect(a->pages, a->page_bytes, PROT_NONE) != 0)
        mt_host_fatal("the system does not take back memory (too many mappings?)");
    if (a->kind == MT_HOST_MEMORY_DEVICE) used_bytes[a->device] -= counted(a->bytes);
    a->freed = 1;
    a->next->previous = a->previous;
    a->previous->next = a->next;
    a->next = freed;
    freed = a;
}

size_t mt_host_memory_used(int device) { return used_bytes[device]; }

uint64_t mt_host_memory_live(mt_host_memory_kind kind) {
    uint64_t count = 0;
    for (const mt_host_allocation *a = live.next; a != &live; a = a->next) count += a->kind == kind;
    return count;
}

const char *mt_host_memory_check(const void *at, size_t bytes, const mt_host_allocation **out) {
    static _Thread_local char text[800];
    const char *p = at;
    const mt_host_allocation *a = mt_host_memory_find(p);
    if (out) *out = a;
    if (a && !a->freed && p >= a->at && p + bytes <= a->at + a->bytes) return NULL;
    // a page that no allocation has is one of those between them
    for (size_t i = 1; i <= 2 && !a; i++) {
        const mt_host_allocation *before = mt_host_memory_find(p - i * MT_HOST_PAGE),
                                 *behind = mt_host_memory_find(p + i * MT_HOST_PAGE);
        if (before && !before->freed)
            a = before;
        else if (behind && !behind->freed)
            a = behind;
    }
    if (!a) return "it is in no allocation";
    const char *end = a->at + a->bytes, *kind = a->kind == MT_HOST_MEMORY_DEVICE ? "device" : "pinned";
    if (a->freed)
        snprintf(text, sizeof text, "allocation %llu (%zu bytes of %s memory) was freed", (unsigned long long)a->number,
            a->bytes, kind);
    else if (p < a->at)
        snprintf(text, sizeof text, "%td bytes before allocation %llu (%zu bytes of %s memory)", a->at - p,
            (unsigned long long)a->number, a->bytes, kind);
    else
        snprintf(text, sizeof text, "%td bytes past allocation %llu (%zu bytes of %s memory)", p + bytes - end,
            (unsigned long long)a->number, a->bytes, kind);
    return text;
}

void mt_host_memory_guards_check(const char *when) {
    mt_host_memory_open();
    for (const mt_host_allocation *a = live.next; a != &live; a = a->next) check_guards(a, when);
}

void mt_host_memory_leaks_check(void) {
    if (!mt_host_range || (int)getpid() != main_process || live.next == &live)
        return; // of a child that forked, nothing is the child's
    size_t count = 0, bytes = 0;
    fflush(stdout);
    for (const mt_host_allocation *a = live.previous; a != &live; a = a->previous) {
        char text[600];
        count++, bytes += a->bytes;
        if (count > 8) continue;
        fprintf(stderr, "cuda_host: %zu bytes of %s memory (allocation %llu) are never freed; allocated in %s\n", a->bytes,
            a->kind == MT_HOST_MEMORY_DEVICE ? "device" : "pinned", (unsigned long long)a->number,
            caller_of(a, text, sizeof text));
    }
    fprintf(stderr, "cuda_host: process %d leaks %zu bytes in %zu allocations\n", (int)getpid(), bytes, count);
    fflush(stderr);
    _exit(1);
}

void mt_host_memory_shadows_drop(void) {
    for (const mt_host_allocation *a = live.next; a != &live; a = a->next)
        for (size_t i = 0; i < a->page_bytes; i += MT_HOST_PAGE) {
            mt_host_page *p = mt_host_memory_page(a->pages + i);
            free(p->shadow);
            p->shadow = NULL;
        }
}

// ---- closed to the host

static void protect(int how) {
    for (const mt_host_allocation *a = live.next; a != &live; a = a->next)
        if (a->kind == MT_HOST_MEMORY_DEVICE && mprotect(a->pages, a->page_bytes, how) != 0)
            mt_host_fatal("the system does not change the protection of memory");
}

void mt_host_memory_open(void) {
    if (closed) protect(PROT_READ | PROT_WRITE);
    closed = 0;
}

void mt_host_memory_close(uint64_t *random) {
    int how = mt_host_settings_get()->protect;
    if (closed || how == 0 || (how == 2 && mt_host_random_below(random, 64))) return;
    protect(PROT_NONE);
    closed = 1;
}
