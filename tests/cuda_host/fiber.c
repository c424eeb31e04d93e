// Fibers: a pool of stacks, and the switch. See fiber.h for who calls it.
#include "tests/cuda_host/fiber.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "tests/cuda_host/report.h"
#if !defined __x86_64__
#include <ucontext.h>
#endif

#if defined __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
enum { STACK_BYTES = 256 << 10 }; // its frames are large
#else
enum { STACK_BYTES = 64 << 10 };
#endif
enum { GUARD_BYTES = 8 << 10 };

struct mt_host_fiber {
    void *at; // x86-64: where its registers are saved
#if !defined __x86_64__
    ucontext_t context;
#endif
    char *stack;         // owned
    void *fake_stack;    // the sanitizer's
    mt_host_fiber *next; // in the pool
    void (*entry)(void *argument);
    void *argument;
};

static mt_host_fiber *pool;
static mt_host_fiber own;       // the stack of the thread that runs the device
static mt_host_fiber *arriving; // who is switched to

// ---- the switch itself

#if defined __x86_64__

void mt_host_fiber_swap(void **save, void *load);
void mt_host_fiber_begin(void);
__asm__(".text\n"
        ".globl mt_host_fiber_swap\n"
        ".type mt_host_fiber_swap, @function\n"
        "mt_host_fiber_swap:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size mt_host_fiber_swap, .-mt_host_fiber_swap\n"
        ".globl mt_host_fiber_begin\n"
        ".type mt_host_fiber_begin, @function\n"
        "mt_host_fiber_begin:\n"
        "    call mt_host_fiber_first\n"
        "    ud2\n"
        ".size mt_host_fiber_begin, .-mt_host_fiber_begin\n");

// six registers, the place to begin at, and what keeps the stack at a multiple of 16 there
static void prepare(mt_host_fiber *f) {
    void **top = (void **)(f->stack + STACK_BYTES) - 9;
    for (int i = 0; i < 9; i++) top[i] = NULL;
    top[6] = (void *)(uintptr_t)mt_host_fiber_begin;
    f->at = top;
}
static void swap(mt_host_fiber *from, mt_host_fiber *to) { mt_host_fiber_swap(&from->at, to->at); }
void mt_host_fiber_first(void);

#else

static void mt_host_fiber_first(void);
static void prepare(mt_host_fiber *f) {
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    f->context.uc_link = NULL;
    makecontext(&f->context, mt_host_fiber_first, 0);
}
static void swap(mt_host_fiber *from, mt_host_fiber *to) { swapcontext(&from->context, &to->context); }

#endif

// ---- told to the sanitizer: before the switch with where it goes, after it with what was announced

#if defined __SANITIZE_ADDRESS__
static const void *own_bottom; // of the thread's own stack, as the sanitizer said
static size_t own_bytes;
static void announce(mt_host_fiber *to, void **keep) {
    if (to == &own)
        __sanitizer_start_switch_fiber(keep, own_bottom, own_bytes);
    else
        __sanitizer_start_switch_fiber(keep, to->stack, STACK_BYTES);
}
// coming from the thread's own stack, its place is learnt
static void arrive(mt_host_fiber *me, int from_own) {
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(me->fake_stack, &bottom, &bytes);
    if (from_own) own_bottom = bottom, own_bytes = bytes;
}
#else
static void announce(mt_host_fiber *to, void **keep) { (void)to, (void)keep; }
static void arrive(mt_host_fiber *me, int from_own) { (void)me, (void)from_own; }
#endif

static int left_own; // by the last switch

void mt_host_fiber_first(void) {
    mt_host_fiber *me = arriving;
    arrive(me, left_own);
    me->entry(me->argument);
    mt_host_fatal("a fiber came to its end");
}

void mt_host_fiber_switch(mt_host_fiber *from, mt_host_fiber *to) {
    if (!from) from = &own;
    if (!to) to = &own;
    if (from == to) return;
    announce(to, &from->fake_stack);
    arriving = to;
    left_own = from == &own;
    swap(from, to);
    arrive(from, left_own);
}

void mt_host_fiber_leave(mt_host_fiber *from, mt_host_fiber *to) {
    if (!to) to = &own;
    from->next = pool;
    pool = from; // nobody takes it before this has left: one thread does all of it
    announce(to, NULL);
    arriving = to;
    left_own = 0;
    swap(from, to);
    __builtin_unreachable();
}

// ---- stacks

static mt_host_fiber *make(void) {
    mt_host_fiber *f = calloc(1, sizeof *f);
    char *memory = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (!f || memory == MAP_FAILED || mprotect(memory, GUARD_BYTES, PROT_NONE) != 0)
        mt_host_fatal("no memory for the stack of a kernel's thread");
    f->stack = memory + GUARD_BYTES;
    return f;
}

mt_host_fiber *mt_host_fiber_create(void (*entry)(void *argument), void *argument) {
    mt_host_fiber *f = pool;
    if (f)
        pool = f->next;
    else
        f = make();
    f->entry = entry;
    f->argument = argument;
    f->fake_stack = NULL;
    prepare(f);
    return f;
}

const void *mt_host_fiber_stack(const mt_host_fiber *fiber) { return fiber->stack; }
const size_t mt_host_fiber_bytes = STACK_BYTES;
