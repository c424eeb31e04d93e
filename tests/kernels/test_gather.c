// Row gathering: every small row size, the specialised ones among them; source and destination end at forbidden pages.
#include "fixture.h"

static void parity(const mt_kernels *k) {
    static const int64_t sizes[] = {
        1, 2, 3, 4, 5, 8, 12, 15, 16, 17, 20, 24, 28, 31, 32, 33, 48, 60, 64, 65, 100, 128, 412, 5000};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int c = 0; c < row_count_count; c++) {
            int64_t bytes = sizes[s], rows = row_counts[c], source_rows = 23;
            unsigned char *src = fenced(source_rows * bytes), *dst = fenced(rows * bytes);
            int32_t *index = fenced(rows * 4);
            for (int64_t i = 0; i < source_rows * bytes; i++) src[i] = (unsigned char)random_u32();
            for (int64_t b = 0; b < rows; b++) index[b] = (int32_t)(random_u32() % source_rows);
            index[0] = 0, index[rows - 1] = (int32_t)source_rows - 1;
            k->gather_rows(rows, bytes, src, index, dst);
            for (int64_t b = 0; b < rows; b++)
                check_eq(memcmp(dst + b * bytes, src + index[b] * bytes, (size_t)bytes), 0, "%s: row %ld of %ld bytes",
                    k->name, (long)b, (long)bytes);
            unfence();
        }
}
Test(gather, rows_arrive) { each_isa(parity); }

static void sequences(const mt_kernels *k) {
    static const int64_t steps[] = {1, 3, 17}, envs[] = {1, 3, 65};
    for (int s = 0; s < 3; s++)
        for (int e = 0; e < 3; e++)
            for (int64_t count = 0; count <= envs[e]; count += 1 + envs[e] / 3) {
                int32_t *env = fenced(count * 4), *row = fenced(steps[s] * count * 4);
                for (int64_t j = 0; j < count; j++) env[j] = (int32_t)(random_u32() % envs[e]);
                k->sequence_rows(steps[s], envs[e], count, env, row);
                for (int64_t i = 0; i < steps[s] * count; i++)
                    check_eq(row[i], i / count * envs[e] + env[i % count], "%s: row %ld of %ld sequences", k->name, (long)i,
                        (long)count);
                unfence();
            }
}
Test(sequence_rows, are_a_segments) { each_isa(sequences); }

static void zeros(const mt_kernels *k) {
    for (int64_t bytes = 0; bytes <= 65; bytes++) {
        char *x = fenced(bytes);
        memset(x, 1, (size_t)bytes);
        k->zero(bytes, x);
        for (int64_t i = 0; i < bytes; i++) check_eq(x[i], 0, "%s: byte %ld of %ld", k->name, (long)i, (long)bytes);
        unfence();
    }
}
Test(zero, all_bytes) { each_isa(zeros); }
