// The object heap: its allocator against a model, its memory between processes, what happens when there is none.
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine/base/clock.h"
#include "engine/base/failpoint.h"
#include "engine/runtime/memory/heap.h"
#include "engine/runtime/memory/heap_blocks.h"
#include "engine/runtime/memory/heap_memory.h"
#include "tests/engine/mpi_launch.h"

static uint64_t state = 0x9e3779b97f4a7c15u;
static uint64_t draw(uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}
static uint64_t draw_bytes(void) { // of every magnitude
    uint64_t top = UINT64_C(1) << draw(21);
    return draw(top) + draw(3);
}

// ---- the allocator

enum { MODEL_BLOCKS = 600, MODEL_LIMIT = 8 << 20 };

Test(blocks, a_hundred_thousand_steps_against_a_model) {
    static struct { uint64_t offset, bytes; } model[MODEL_BLOCKS];
    static unsigned char owner[MODEL_LIMIT / MT_BLOCK_UNIT]; // 1: in use
    mt_blocks b;
    int refusals = 0;
    cr_assert_eq(mt_blocks_init(&b, MODEL_LIMIT), MT_OK);
    for (int i = 0; i < MODEL_BLOCKS; i++) model[i].offset = MT_NO_BLOCK;
    for (int step = 0; step < 100000; step++) {
        int i = (int)draw(MODEL_BLOCKS);
        if (model[i].offset != MT_NO_BLOCK) {
            uint64_t size = mt_blocks_size(&b, model[i].offset);
            memset(owner + model[i].offset / MT_BLOCK_UNIT, 0, size / MT_BLOCK_UNIT);
            mt_blocks_free(&b, model[i].offset);
            cr_assert_eq(mt_blocks_size(&b, model[i].offset), 0);
            model[i].offset = MT_NO_BLOCK;
        } else {
            uint64_t bytes = draw_bytes(), offset = mt_blocks_alloc(&b, bytes);
            model[i].offset = offset;
            if (offset == MT_NO_BLOCK) {
                refusals++;
                continue;
            }
            uint64_t size = mt_blocks_size(&b, offset);
            cr_assert(size >= bytes && size <= bytes + bytes / 32 + MT_BLOCK_UNIT, "%llu for %llu",
                (unsigned long long)size, (unsigned long long)bytes);
            cr_assert(offset % MT_BLOCK_UNIT == 0 && offset + size <= MODEL_LIMIT);
            for (uint64_t u = offset / MT_BLOCK_UNIT; u < (offset + size) / MT_BLOCK_UNIT; u++)
                cr_assert_eq(owner[u]++, 0, "overlap");
        }
        if (step % 100 == 0) {
            const char *wrong = mt_blocks_check(&b);
            cr_assert_null(wrong, "step %d: %s", step, wrong);
        }
    }
    cr_assert(refusals > 100, "the heap never ran full: %d", refusals);
    for (int i = 0; i < MODEL_BLOCKS; i++)
        if (model[i].offset != MT_NO_BLOCK) mt_blocks_free(&b, model[i].offset);
    cr_assert_null(mt_blocks_check(&b));
    cr_assert_eq(b.used_bytes, 0);
    // all of it is one block again
    cr_assert_eq(mt_blocks_alloc(&b, MODEL_LIMIT), 0);
    mt_blocks_fini(&b);
}

Test(blocks, the_check_sees_damage) {
    mt_blocks b;
    cr_assert_eq(mt_blocks_init(&b, 1 << 20), MT_OK);
    (void)mt_blocks_alloc(&b, 1000);
    cr_assert_null(mt_blocks_check(&b));
    b.used_bytes++;
    cr_assert_not_null(mt_blocks_check(&b));
    b.used_bytes--;
    b.step_map[3] ^= 4;
    cr_assert_not_null(mt_blocks_check(&b));
    mt_blocks_fini(&b);
}

Test(blocks, limits) {
    mt_blocks b;
    cr_assert_eq(mt_blocks_init(&b, 0), MT_INVALID_ARGUMENT);
    cr_assert_eq(mt_blocks_init(&b, 100), MT_INVALID_ARGUMENT);
    cr_assert_eq(mt_blocks_init(&b, UINT64_MAX - 63), MT_INVALID_ARGUMENT);
    uint64_t limit = (UINT64_C(1) << 53) - 64;
    cr_assert_eq(mt_blocks_init(&b, limit), MT_OK);
    cr_assert_eq(mt_blocks_alloc(&b, UINT64_MAX), MT_NO_BLOCK);
    cr_assert_eq(mt_blocks_alloc(&b, limit + 1), MT_NO_BLOCK);
    cr_assert_eq(mt_blocks_alloc(&b, limit), 0, "all of it, though no whole page");
    cr_assert_eq(mt_blocks_alloc(&b, 1), MT_NO_BLOCK);
    mt_blocks_free(&b, 0);
    uint64_t a = mt_blocks_alloc(&b, 0), c = mt_blocks_alloc(&b, 0);
    cr_assert(a != c && mt_blocks_size(&b, a) == MT_BLOCK_UNIT);
    mt_blocks_fini(&b);
}

// What makes a put-release loop run at memcpy's speed: the next object of a size lies where the last one lay, whatever
// the size, and whatever else is alive.
Test(blocks, a_released_place_is_taken_again) {
    mt_blocks b;
    cr_assert_eq(mt_blocks_init(&b, UINT64_C(1) << 40), MT_OK);
    for (int round = 0; round < 2000; round++) {
        uint64_t bytes = draw_bytes() + 1, place = mt_blocks_alloc(&b, bytes), fence = mt_blocks_alloc(&b, 64);
        for (int again = 0; again < 3; again++) {
            mt_blocks_free(&b, place);
            cr_assert_eq(mt_blocks_alloc(&b, bytes), place, "%llu bytes moved", (unsigned long long)bytes);
        }
        (void)fence;
    }
    mt_blocks_fini(&b);
}

// Random sizes with half of the heap in use: the range that has ever been touched stays near what is in use.
Test(blocks, fragmentation_stays_low) {
    enum { LIVE = 400 };
    static uint64_t live[LIVE];
    uint64_t highest = 0;
    mt_blocks b;
    cr_assert_eq(mt_blocks_init(&b, UINT64_C(1) << 40), MT_OK);
    for (int i = 0; i < LIVE; i++) live[i] = MT_NO_BLOCK;
    for (int step = 0; step < 200000; step++) {
        int i = (int)draw(LIVE);
        if (live[i] != MT_NO_BLOCK) mt_blocks_free(&b, live[i]);
        live[i] = mt_blocks_alloc(&b, 4096 + draw(2 << 20));
        uint64_t end = live[i] + mt_blocks_size(&b, live[i]);
        if (end > highest) highest = end;
    }
    cr_assert(highest < b.peak_bytes * 3 / 2, "%llu MB touched for a peak of %llu MB",
        (unsigned long long)highest >> 20, (unsigned long long)b.peak_bytes >> 20);
    cr_log_info("touched %.2f of the peak", (double)highest / (double)b.peak_bytes);
    mt_blocks_fini(&b);
}

Test(blocks, freeing_twice_is_an_assertion, .signal = SIGABRT) {
    mt_blocks b;
    cr_assert_eq(mt_blocks_init(&b, 1 << 20), MT_OK);
    uint64_t a = mt_blocks_alloc(&b, 100);
    mt_blocks_free(&b, a);
    mt_blocks_free(&b, a);
}

// ---- memory

Test(heap, ranks_of_one_process_see_each_other) {
    mt_heap *heaps[3];
    cr_assert_eq(mt_heap_local_create(3, (1 << 20) - 5, heaps), MT_OK, "%s", mt_last_error());
    uint64_t at[3];
    for (int r = 0; r < 3; r++) {
        at[r] = mt_heap_alloc(heaps[r], 10000);
        memset(mt_heap_at(heaps[r], at[r]), 'a' + r, 10000);
        cr_assert_eq((uintptr_t)mt_heap_at(heaps[r], at[r]) % MT_HEAP_ALIGN, 0);
    }
    for (int r = 0; r < 3; r++)
        for (int p = 0; p < 3; p++) {
            const char *seen = mt_heap_view(heaps[r], p, at[p], 10000);
            cr_assert(seen && seen[0] == 'a' + p && seen[9999] == 'a' + p);
        }
    // bounds
    cr_assert_not_null(mt_heap_view(heaps[0], 1, 0, 1 << 20));
    cr_assert_not_null(mt_heap_view(heaps[0], 1, 1 << 20, 0));
    cr_assert_null(mt_heap_view(heaps[0], 1, 0, (1 << 20) + 1));
    cr_assert_null(mt_heap_view(heaps[0], 1, 1, 1 << 20));
    cr_assert_null(mt_heap_view(heaps[0], 1, UINT64_MAX, 2));
    cr_assert_null(mt_heap_view(heaps[0], 1, 64, UINT64_MAX - 10));
    cr_assert_null(mt_heap_view(heaps[0], 0, 64, UINT64_MAX - 10));
    cr_assert_null(mt_heap_view(heaps[0], 3, 0, 1));
    cr_assert_null(mt_heap_view(heaps[0], -1, 0, 1));
    // the others stay when one goes
    mt_heap_destroy(heaps[1]);
    cr_assert_eq(((const char *)mt_heap_view(heaps[0], 2, at[2], 1))[0], 'c');
    mt_heap_destroy(heaps[0]);
    mt_heap_destroy(heaps[2]);
    mt_heap_destroy(NULL);
}

Test(heap, the_limit_is_kept_and_counted) {
    mt_heap *heap;
    enum { MIB = 1 << 20 };
    cr_assert_eq(mt_heap_local_create(1, 16 * MIB, &heap), MT_OK);
    uint64_t at[16];
    for (int i = 0; i < 16; i++) cr_assert_neq(at[i] = mt_heap_alloc(heap, MIB), MT_HEAP_NO_OFFSET);
    cr_assert_eq(mt_heap_alloc(heap, 1), MT_HEAP_NO_OFFSET);
    mt_heap_stats s = mt_heap_stats_get(heap);
    cr_assert(s.limit_bytes == 16 * MIB && s.used_bytes == 16 * MIB && s.blocks == 16);
    cr_assert_lt(s.resident_bytes, MIB, "pages were taken before they were written");
    for (int i = 0; i < 16; i += 2) mt_heap_free(heap, at[i]);
    cr_assert_eq(mt_heap_alloc(heap, MIB + 1), MT_HEAP_NO_OFFSET, "half is free, in pieces");
    for (int i = 1; i < 16; i += 2) mt_heap_free(heap, at[i]);
    cr_assert_eq(mt_heap_alloc(heap, 16 * MIB), 0);
    s = mt_heap_stats_get(heap);
    cr_assert(s.peak_bytes == 16 * MIB && s.blocks == 1);
    memset(mt_heap_at(heap, 0), 1, 4 * MIB);
    s = mt_heap_stats_get(heap);
    cr_assert(s.resident_bytes >= 4 * MIB && s.resident_bytes < 8 * MIB, "%llu", (unsigned long long)s.resident_bytes);
    mt_heap_destroy(heap);
    cr_assert_eq(mt_heap_local_create(1, 0, &heap), MT_INVALID_ARGUMENT);
    cr_assert_null(heap);
    cr_assert_eq(mt_heap_local_create(1, UINT64_MAX, &heap), MT_INVALID_ARGUMENT);
}

// Writes at odd places and of odd sizes, over pages that are there and pages that are not: every byte is what it should
// be.
Test(heap, written_bytes_are_where_they_belong) {
    enum { BYTES = 12 << 20 };
    mt_heap *heap;
    cr_assert_eq(mt_heap_local_create(1, BYTES, &heap), MT_OK);
    cr_assert_eq(mt_heap_alloc(heap, BYTES), 0);
    unsigned char *model = calloc(1, BYTES), *source = malloc(BYTES);
    // pages that are there alternate with pages that are not
    for (uint64_t page = 0; page < 3 << 20; page += 2 * 4096)
        cr_assert_eq(mt_heap_write(heap, page + 17, "x", 1), MT_OK);
    for (size_t i = 0; i < BYTES; i++) source[i] = (unsigned char)(i * 31 + i / 4099);
    memcpy(model, source, 3 << 20);
    cr_assert_eq(mt_heap_write(heap, 0, source, 3 << 20), MT_OK);
    cr_assert(memcmp(mt_heap_at(heap, 0), model, BYTES) == 0);
    for (int step = 0; step < 120; step++) {
        uint64_t bytes = step % 3 ? draw(20000) : draw(6 << 20), offset = draw(BYTES - bytes),
                 from = draw(BYTES - bytes);
        if (step % 5 == 4) {
            memset((char *)mt_heap_at(heap, offset), step, bytes);
            memset(model + offset, step, bytes);
            continue;
        }
        if (step % 5 == 2) cr_assert_eq(mt_heap_prepare(heap, offset, bytes), MT_OK, "%s", mt_last_error());
        cr_assert_eq(mt_heap_write(heap, offset, source + from, bytes), MT_OK, "%s", mt_last_error());
        memcpy(model + offset, source + from, bytes);
    }
    cr_assert(memcmp(mt_heap_at(heap, 0), model, BYTES) == 0);
    cr_assert_eq(mt_heap_write(heap, 0, source, 0), MT_OK);
    cr_assert_eq(mt_heap_prepare(heap, 0, BYTES), MT_OK);
    cr_assert_geq(mt_heap_stats_get(heap).resident_bytes, BYTES);
    free(source);
    free(model);
    mt_heap_destroy(heap);
}

static mt_heap *shared_heap;
static void *write_stripes(void *argument) {
    enum { STRIPE = 100003 };
    char *stripe = malloc(STRIPE);
    int id = (int)(intptr_t)argument;
    memset(stripe, 'A' + id, STRIPE);
    for (int i = 0; i < 40; i++)
        cr_assert_eq(mt_heap_write(shared_heap, (uint64_t)(i * 3 + id) * STRIPE, stripe, STRIPE), MT_OK);
    free(stripe);
    return NULL;
}

Test(heap, threads_grow_it_at_the_same_time) {
    pthread_t threads[3];
    cr_assert_eq(mt_heap_local_create(1, 16 << 20, &shared_heap), MT_OK);
    cr_assert_eq(mt_heap_alloc(shared_heap, 16 << 20), 0);
    for (int i = 0; i < 3; i++) cr_assert_eq(pthread_create(&threads[i], NULL, write_stripes, (void *)(intptr_t)i), 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    const char *bytes = mt_heap_at(shared_heap, 0);
    for (int i = 0; i < 120 * 100003; i++)
        if (bytes[i] != 'A' + i / 100003 % 3) cr_assert_fail("byte %d is %d", i, bytes[i]);
    mt_heap_destroy(shared_heap);
}

Test(heap, no_memory_is_an_error) {
    mt_heap *heap;
    cr_assert_eq(mt_heap_local_create(1, 8 << 20, &heap), MT_OK);
    uint64_t at = mt_heap_alloc(heap, 4 << 20);
    char *data = calloc(1, 4 << 20);
    cr_assert_eq(mt_failpoint_set("heap.write:ENOSPC@2,heap.populate:ENOMEM"), MT_OK);
    cr_assert_eq(mt_heap_write(heap, at, data, 4 << 20), MT_NO_MEMORY);
    cr_assert(strstr(mt_last_error(), "--object-memory"), "%s", mt_last_error());
    cr_assert_eq(mt_heap_prepare(heap, at, 4 << 20), MT_NO_MEMORY);
    cr_assert_eq(mt_heap_write(heap, at, data, 4 << 20), MT_OK, "the next try is judged by itself");
    cr_assert_eq(mt_failpoint_set("heap.create:ENOMEM@2"), MT_OK);
    mt_heap *three[3];
    cr_assert_eq(mt_heap_local_create(3, 8 << 20, three), MT_NO_MEMORY);
    for (int r = 0; r < 3; r++) cr_assert_null(three[r]);
    mt_failpoint_set(NULL);
    free(data);
    mt_heap_destroy(heap);
}

// ---- between processes

// A child opens what this process offers and reads it; what it cannot do is write.
static void a_child_reads(int posix) {
    mt_heap_memory memory, seen;
    mt_heap_offer offer;
    cr_assert_eq(mt_heap_memory_create(&memory, 1 << 20, posix), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_heap_memory_offer(&memory, &offer), MT_OK);
    strcpy(memory.base + 5000, "manta");
    pid_t child = fork();
    if (child == 0) {
        munmap(memory.base, memory.bytes);
        close(memory.fd);
        if (mt_heap_memory_open(&seen, &offer) != MT_OK) _exit(1);
        _exit(strcmp(seen.base + 5000, "manta") == 0 ? 42 : 2);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 42, "status %x", (unsigned)status);
    child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        if (mt_heap_memory_open(&seen, &offer) == MT_OK) *(volatile char *)seen.base = 1;
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(!(WIFEXITED(status) && WEXITSTATUS(status) == 0), "a peer could write");
    // an offer that leads to something else
    mt_heap_offer other = offer;
    other.inode++;
    cr_assert_eq(mt_heap_memory_open(&seen, &other), MT_IO);
    other = offer;
    other.bytes *= 2;
    cr_assert_eq(mt_heap_memory_open(&seen, &other), MT_IO);
    other = offer;
    memset(other.name, 'x', sizeof other.name);
    cr_assert_eq(mt_heap_memory_open(&seen, &other), MT_CORRUPT);
    mt_heap_memory_unlink(&memory);
    mt_heap_memory_destroy(&memory);
    cr_assert_eq(mt_heap_memory_open(&seen, &offer), MT_IO, "gone with its owner");
}

Test(heap, a_child_reads_a_memfd) { a_child_reads(0); }
Test(heap, a_child_reads_a_posix_object) { a_child_reads(1); }

static launch_result result;
static void ranks_pass(int ranks, const char *mode, const char *node_ranks_max) {
    const char *const args[] = {mode, node_ranks_max, NULL};
    if (ranks)
        launch_mpirun(ranks, NULL, MPI_HEAP, args, 60, &result);
    else
        launch((char *[]){(char *)MPI_HEAP, (char *)mode, (char *)node_ranks_max, NULL}, 60, &result);
    cr_assert_eq(result.status, 0, "%s on %d ranks: status %d:\n%s", mode, ranks, result.status, result.output);
    cr_assert(strstr(result.output, "passed"), "%s", result.output);
}

Test(heap, of_a_job_without_mpirun) { ranks_pass(0, "views", "0"); }
Test(heap, of_a_job_of_two) { ranks_pass(2, "views", "0"); }
Test(heap, of_a_job_of_three_on_two_hosts) { ranks_pass(3, "views", "2"); }
Test(heap, of_a_job_with_posix_objects) {
    setenv("MANTA_SHM", "posix", 1);
    ranks_pass(2, "views", "0");
}
Test(heap, one_rank_without_memory_is_an_error_on_all) { ranks_pass(2, "failing", "0"); }
