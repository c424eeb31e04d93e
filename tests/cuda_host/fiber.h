// Stacks that one thread of the process changes between: what a kernel's threads run on. Knows nothing of kernels.
//
// A switch saves the registers that a call preserves and no more, by hand on x86-64 and by ucontext elsewhere. Under
// AddressSanitizer every switch is announced to it. One thread of the process at a time uses this (the device's lock).
#ifndef MANTA_TESTS_CUDA_HOST_FIBER_H
#define MANTA_TESTS_CUDA_HOST_FIBER_H

#include <stddef.h>

typedef struct mt_host_fiber mt_host_fiber;

// A fiber that will begin in entry(argument), which must never return; its stack comes from a pool. Two pages below it
// cannot be touched: a stack that is too small ends the process with a fault there.
mt_host_fiber *mt_host_fiber_create(void (*entry)(void *argument), void *argument);

// Leaves `from` (filled in; NULL stands for the thread's own stack), goes on in `to` (NULL: the thread's own stack).
void mt_host_fiber_switch(mt_host_fiber *from, mt_host_fiber *to);
// The same for good: the stack of `from` goes back to the pool.
_Noreturn void mt_host_fiber_leave(mt_host_fiber *from, mt_host_fiber *to);

const void *mt_host_fiber_stack(const mt_host_fiber *fiber);   // its lowest address
extern const size_t mt_host_fiber_bytes;                       // from there on

#endif
