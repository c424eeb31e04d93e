// arena.h: registration, one aligned zeroed allocation, failures kept for commit.
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>
#include "engine/base/arena.h"

Test(arena, sets_aligned_zeroed_disjoint_buffers) {
    mt_arena arena = {0};
    int wrong = 0;
    enum { N = 100 };
    static char *where[N];
    for (size_t i = 0; i < N; i++) mt_arena_add(&arena, (void **)&where[i], i, "buffer");
    for (size_t i = 0; i < N; i++) cr_assert_null(where[i]);
    cr_assert_eq(mt_arena_commit(&arena), MT_OK);
    cr_assert_null(where[0]);
    for (size_t i = 1; i < N; i++) {
        cr_assert_eq((uintptr_t)where[i] % MT_ALIGN_BYTES, 0);
        for (size_t k = 0; k < i; k++) wrong += where[i][k] != 0;
        memset(where[i], (int)i, i);
    }
    for (size_t i = 1; i < N; i++)
        for (size_t k = 0; k < i; k++) wrong += where[i][k] != (char)i;
    cr_assert_eq(wrong, 0);
    mt_arena_fini(&arena);
    for (size_t i = 0; i < N; i++) cr_assert_null(where[i]);
}

Test(arena, macro_counts_elements) {
    mt_arena arena = {0};
    double *values;
    MT_ARENA_ADD(&arena, values, 17);
    cr_assert_eq(arena.block_bytes, 192);
    cr_assert_eq(mt_arena_commit(&arena), MT_OK);
    values[16] = 1;
    mt_arena_fini(&arena);
}

Test(arena, empty_is_fine_and_twice_is_not) {
    mt_arena arena = {0};
    cr_assert_eq(mt_arena_commit(&arena), MT_OK);
    mt_arena_fini(&arena);
    char *p;
    MT_ARENA_ADD(&arena, p, 1);
    cr_assert_eq(mt_arena_commit(&arena), MT_OK);
    cr_assert_eq(mt_arena_commit(&arena), MT_INVALID_ARGUMENT);
    mt_arena_fini(&arena);
    cr_assert_null(p);
}

Test(arena, overflow_is_out_of_memory) {
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 63, SIZE_MAX / 2};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        mt_arena arena = {0};
        char *small, *large;
        mt_arena_add(&arena, (void **)&small, 64, "small");
        mt_arena_add(&arena, (void **)&large, sizes[i], "large");
        cr_assert_eq(mt_arena_commit(&arena), MT_NO_MEMORY);
        cr_assert_null(small);
        mt_arena_fini(&arena);
    }
}

Test(arena, a_product_that_wraps_is_out_of_memory) {
    const size_t counts[] = {(size_t)1 << 61, ((size_t)1 << 61) + 1, (size_t)-1};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        mt_arena arena = {0};
        double *values;
        MT_ARENA_ADD(&arena, values, counts[i]);
        cr_assert_eq(mt_arena_commit(&arena), MT_NO_MEMORY);
        mt_arena_fini(&arena);
    }
}

Test(arena, takes_a_block_that_is_another_s) {
    mt_arena arena = {.align_bytes = 256};
    char block[1024] __attribute__((aligned(256))), *a, *b;
    mt_arena_add(&arena, (void **)&a, 3, "a");
    mt_arena_add(&arena, (void **)&b, 257, "b");
    size_t bytes;
    cr_assert_eq(arena.block_bytes, 768);
    cr_assert_str_eq(mt_arena_slot_name(&arena, 1, &bytes), "b");
    cr_assert_eq(bytes, 257);
    cr_assert_eq(mt_arena_place(&arena, block), MT_OK);
    cr_assert(a == block && b == block + 256);
    cr_assert_eq(mt_arena_place(&arena, block), MT_INVALID_ARGUMENT);
    mt_arena_fini(&arena);   // does not free what it does not own
    cr_assert(!a && !b);
    mt_arena_add(&arena, (void **)&a, SIZE_MAX, "a");
    cr_assert_eq(mt_arena_failed(&arena), MT_NO_MEMORY);
    cr_assert_eq(mt_arena_place(&arena, block), MT_NO_MEMORY);
    mt_arena_fini(&arena);
}
