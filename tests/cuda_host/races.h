// Every load and store of a kernel, looked at: is it in bounds, is it aligned, is it of memory that a device may touch, and does
// anything order it against what other threads of the same launch did at the same place? A race is reported whether or not it
// did harm this time: a missing barrier shows at once and for every seed.
//
// What orders two accesses of one launch:
//   the same thread; a barrier of the block; __syncwarp() between lanes of a warp (a shuffle orders no memory);
//   across blocks, and within one: the first thread's __threadfence() after its access (or anybody's after a barrier), then an
//   atomic operation, and later an atomic operation at the same place by the thread of the second access (or by one of its
//   block, with a barrier behind it).
// Atomic operations do not race with each other. Launches are ordered by streams, which is not looked at here. Of a grid of many
// blocks some are looked at for races, all of them for bounds.
//
// The compiler reports the accesses of .cu files (-fsanitize=thread); a build without that runs kernels unseen.
#ifndef MANTA_TESTS_CUDA_HOST_RACES_H
#define MANTA_TESTS_CUDA_HOST_RACES_H

#include "tests/cuda_host/block.h"

void mt_host_races_grid(const mt_host_grid *grid);
void mt_host_races_block(void);
void mt_host_races_barrier(void);                                     // all threads of the block have come
void mt_host_races_syncwarp(mt_host_thread *const *members, int count);

#endif
