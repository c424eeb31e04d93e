// Vectorised Philox against Random123 through mt_rng_block, carries included; normals against double and as a sample.
#include "engine/base/rng.h"
#include "fixture.h"

static uint64_t random_u64(void) { return (uint64_t)random_u32() << 32 | random_u32(); }

static void words(const mt_kernels *k) {
    static const int64_t counts[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65};
    for (int round = 0; round < 40; round++)
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            // every other round the 64-bit index carries from its low word, or wraps
            uint64_t seed = random_u64(), fixed = random_u64(), first = random_u64();
            if (round % 4 == 1) first = first << 32 | (0xffffffffu - random_u32() % 20);
            if (round % 4 == 3) first = UINT64_MAX - random_u32() % 20;
            uint32_t *out = fenced(counts[c] * 16), want[4];
            k->philox_streams(seed, first, fixed, counts[c], out);
            for (int64_t i = 0; i < counts[c]; i++) {
                mt_rng_block(seed, first + (uint64_t)i, fixed, want);
                check_eq(memcmp(out + 4 * i, want, 16), 0, "%s: stream %ld of %ld", k->name, (long)i, (long)counts[c]);
            }
            k->philox_counters(seed, fixed, first, counts[c], out);
            for (int64_t i = 0; i < counts[c]; i++) {
                mt_rng_block(seed, fixed, first + (uint64_t)i, want);
                check_eq(memcmp(out + 4 * i, want, 16), 0, "%s: counter %ld of %ld", k->name, (long)i, (long)counts[c]);
            }
            unfence();
        }
}
Test(philox, same_words_as_random123) { each_isa(words); }

static void words_by_row(const mt_kernels *k) {
    static const int64_t row_counts_here[] = {0, 1, 2, 3, 17, 63, 64, 65, 130};
    static const int widths[] = {1, 2, 3, 4, 5, 6, 8, 17, 260, 301};
    for (int r = 0; r < 9; r++)
        for (int w = 0; w < 10; w++) {
            uint64_t seed = random_u64(), stream = random_u64(), step = r % 2 ? random_u64() : 0xffffffffu;
            int64_t rows = row_counts_here[r];
            int width = widths[w];
            uint32_t *out = fenced(rows * width * 4), block[4];
            k->philox_words(seed, stream, &step, rows, width, out);
            for (int64_t i = 0; i < rows * width; i++) {
                int64_t row = i / width, c = i % width;
                if (c % 4 == 0) mt_rng_block(seed, stream + (uint64_t)row, step * (uint64_t)((width + 3) / 4) + (uint64_t)c / 4, block);
                check_eq(out[i], block[c % 4], "%s: word %ld of row %ld of %ld", k->name, (long)c, (long)row, (long)rows);
            }
            unfence();
        }
}
Test(philox, words_by_row) { each_isa(words_by_row); }

static void pairs(const mt_kernels *k) {
    for (int64_t count = 0; count <= 140; count += 2) {
        uint32_t *w = fenced(count * 4);
        float *z = floats(count);
        for (int64_t i = 0; i < count; i++) w[i] = random_u32();
        if (count > 8) w[0] = 0, w[2] = UINT32_MAX, w[4] = 255, w[6] = 256, w[1] = w[3] = 0, w[5] = UINT32_MAX;
        k->normals(count, w, z);
        for (int64_t i = 0; i < count; i += 2) {
            double radius = sqrt(-2 * log(1 - (double)mt_u32_to_unit(w[i]))),
                   angle = 2 * M_PI * mt_u32_to_unit(w[i + 1]);
            near(z[i], radius * cos(angle), 2e-6, "cosine of pair %ld of %ld", (long)i / 2, (long)count / 2);
            near(z[i + 1], radius * sin(angle), 2e-6, "sine of pair %ld", (long)i / 2);
        }
        unfence();
    }
}
Test(normals, are_box_muller) { each_isa(pairs); }

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}
static void sample(const mt_kernels *k) {
    enum { count = 1 << 20 };
    uint32_t *w = malloc(count * 4u);
    float *z = malloc(count * sizeof(float));
    k->philox_counters(7, 11, 0, count / 4, w);
    k->normals(count, w, z);
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0, lag = 0, ks = 0;
    for (int i = 0; i < count; i++) {
        double x = z[i];
        m1 += x, m2 += x * x, m3 += x * x * x, m4 += x * x * x * x;
        if (i) lag += x * z[i - 1];
    }
    qsort(z, count, sizeof(float), ascending);
    for (int i = 0; i < count; i++) {
        double cdf = 0.5 * erfc(-z[i] / M_SQRT2);
        ks = fmax(ks, fmax(fabs(cdf - (double)i / count), fabs(cdf - (double)(i + 1) / count)));
    }
    // five standard errors; Kolmogorov–Smirnov at the 1e-5 level is 2.47/√n
    double n = count, root = sqrt(n);
    check_lt(fabs(m1 / n), 5 / root, "%s: mean %g", k->name, m1 / n);
    check_lt(fabs(m2 / n - 1), 5 * sqrt(2) / root, "%s: variance %g", k->name, m2 / n);
    check_lt(fabs(m3 / n), 5 * sqrt(15) / root, "%s: skew %g", k->name, m3 / n);
    check_lt(fabs(m4 / n - 3), 5 * sqrt(96) / root, "%s: kurtosis %g", k->name, m4 / n);
    check_lt(fabs(lag / n), 5 / root, "%s: neighbours correlate %g", k->name, lag / n);
    check_lt(ks, 2.47 / root, "%s: Kolmogorov-Smirnov %g", k->name, ks);
    free(w), free(z);
}
Test(normals, are_normal) { each_isa(sample); }
