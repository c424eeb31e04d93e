// rng.h: Philox4x32-10 against Random123's published known answers, cursors, distributions.
#include <criterion/criterion.h>
#include <math.h>
#include "engine/base/rng.h"

// Hot loops count and assert once: every assertion of Criterion is a message to its parent.

// counter (low 64, high 64), key, result: kat_vectors of Random123 1.14 for philox4x32 with 10 rounds
Test(rng, known_answers) {
    static const struct {
        uint64_t counter, stream, seed;
        uint32_t words[4];
    } known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x85a308d3243f6a88, 0x0370734413198a2e, 0x299f31d0a4093822, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t words[4];
        mt_rng_block(known[i].seed, known[i].stream, known[i].counter, words);
        for (int k = 0; k < 4; k++) cr_expect_eq(words[k], known[i].words[k], "vector %zu word %d: %08x", i, k, words[k]);
    }
}

Test(rng, a_cursor_walks_the_blocks) {
    mt_rng rng = mt_rng_at(3, 4, 10);
    for (uint64_t block = 10; block < 15; block++) {
        uint32_t words[4];
        mt_rng_block(3, 4, block, words);
        for (int k = 0; k < 4; k++) cr_assert_eq(mt_rng_u32(&rng), words[k]);
    }
    cr_assert_eq(rng.counter, 15);
}

Test(rng, a_copy_goes_on_alike) {
    mt_rng a = mt_rng_at(1, mt_rng_stream(MT_RNG_ENV, 5), 0);
    for (int i = 0; i < 7; i++) mt_rng_u32(&a);
    mt_rng b = a;
    for (int i = 0; i < 100; i++) cr_assert_eq(mt_rng_u64(&a), mt_rng_u64(&b));
}

Test(rng, streams_differ) {
    mt_rng a = mt_rng_at(1, mt_rng_stream(MT_RNG_ENV, 0), 0), b = mt_rng_at(1, mt_rng_stream(MT_RNG_ACTION, 0), 0);
    mt_rng c = mt_rng_at(2, mt_rng_stream(MT_RNG_ENV, 0), 0), d = mt_rng_at(1, mt_rng_stream(MT_RNG_ENV, 1), 0);
    uint64_t first = mt_rng_u64(&a);
    cr_assert(first != mt_rng_u64(&b) && first != mt_rng_u64(&c) && first != mt_rng_u64(&d));
    cr_assert_eq(mt_rng_stream(MT_RNG_ENV, UINT64_MAX) >> 56, MT_RNG_ENV);
}

Test(rng, uniform_stays_in_its_interval) {
    mt_rng rng = mt_rng_at(7, 0, 0);
    double sum = 0, sum_f = 0, square = 0;
    int outside = 0;
    enum { N = 200000 };
    for (int i = 0; i < N; i++) {
        double u = mt_rng_uniform(&rng);
        float f = mt_rng_uniform_f(&rng);
        outside += !(u >= 0 && u < 1 && f >= 0 && f < 1);
        sum += u;
        square += u * u;
        sum_f += (double)f;
    }
    cr_expect_eq(outside, 0);
    cr_expect_float_eq(sum / N, 0.5, 0.005);
    cr_expect_float_eq(sum_f / N, 0.5, 0.005);
    cr_expect_float_eq(square / N, 1.0 / 3, 0.005);
    cr_expect_eq(mt_u32_to_unit(UINT32_MAX), 1 - 0x1p-24f);
}

Test(rng, below_is_even) {
    mt_rng rng = mt_rng_at(8, 0, 0);
    int counts[7] = {0};
    for (int i = 0; i < 70000; i++) counts[mt_rng_below(&rng, 7)]++;
    for (int i = 0; i < 7; i++) cr_expect(abs(counts[i] - 10000) < 500, "%d: %d", i, counts[i]);
    for (int i = 0; i < 100; i++) cr_assert_eq(mt_rng_below(&rng, 1), 0);
    for (int i = 0; i < 100; i++) cr_assert_lt(mt_rng_below(&rng, 0x80000001u), 0x80000001u);
}

Test(rng, normal_has_its_moments) {
    mt_rng rng = mt_rng_at(9, 0, 0);
    enum { N = 400000 };
    double sum = 0, square = 0, fourth = 0;
    for (int i = 0; i < N; i++) {
        double x = mt_rng_normal(&rng);
        sum += x;
        square += x * x;
        fourth += x * x * x * x;
    }
    cr_expect(isfinite(fourth));
    cr_expect_float_eq(sum / N, 0, 0.01);
    cr_expect_float_eq(square / N, 1, 0.01);
    cr_expect_float_eq(fourth / N, 3, 0.1);
}
