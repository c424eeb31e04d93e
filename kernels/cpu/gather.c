// dst[b] = src[index[b]], rows of row_bytes bytes: the minibatch out of the segment. Random reads, sequential writes;
// reads exactly the named rows. Bytes moved: 2 · rows · row_bytes + 4 · rows. Beside it the numbers of the rows of whole
// sequences, row[t·count + j] = t·envs + env[j], 4 · (1 + steps) · count bytes; and zeros.
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"

// a constant row size makes memcpy a register move or two
#define GATHER_FIXED(bytes)                                                                                            \
    static void gather_##bytes(int64_t rows, const char *src, const int32_t *index, char *dst) {                       \
        for (int64_t b = 0; b < rows; b++) memcpy(dst + b * (bytes), src + (int64_t)index[b] * (bytes), (bytes));      \
    }
GATHER_FIXED(1)
GATHER_FIXED(2)
GATHER_FIXED(4)
GATHER_FIXED(8)
GATHER_FIXED(12)
GATHER_FIXED(16)
GATHER_FIXED(24)
GATHER_FIXED(32)
GATHER_FIXED(64)

// rows of at least 16 bytes: 16 at a time, the last 16 overlapping the ones before
static void gather_any(int64_t rows, int64_t row_bytes, const char *src, const int32_t *index, char *dst) {
    for (int64_t b = 0; b < rows; b++, dst += row_bytes) {
        const char *from = src + (int64_t)index[b] * row_bytes;
        int64_t at = 0;
        for (; at + 64 <= row_bytes; at += 64) memcpy(dst + at, from + at, 64);
        for (; at + 16 <= row_bytes; at += 16) memcpy(dst + at, from + at, 16);
        if (at < row_bytes) memcpy(dst + row_bytes - 16, from + row_bytes - 16, 16);
    }
}

void MT_ISA_NAME(mt_gather_rows)(int64_t rows, int64_t row_bytes, const void *src, const int32_t *index, void *dst) {
    switch (row_bytes) {
#define FIXED(bytes)                                                                                                   \
    case bytes: gather_##bytes(rows, src, index, dst); return;
        FIXED(1)
        FIXED(2) FIXED(4) FIXED(8) FIXED(12) FIXED(16) FIXED(24) FIXED(32) FIXED(64)
#undef FIXED
            default : break;
    }
    if (row_bytes >= 4096 || row_bytes < 16)
        for (int64_t b = 0; b < rows; b++)
            memcpy((char *)dst + b * row_bytes, (const char *)src + index[b] * row_bytes, (size_t)row_bytes);
    else
        gather_any(rows, row_bytes, src, index, dst);
}

void MT_ISA_NAME(mt_sequence_rows)(int64_t steps, int64_t envs, int64_t count, const int32_t *env, int32_t *row) {
    for (int64_t t = 0; t < steps; t++)
        for (int64_t j = 0; j < count; j++) row[t * count + j] = (int32_t)(t * envs) + env[j];
}

void MT_ISA_NAME(mt_zero)(int64_t bytes, void *x) { memset(x, 0, (size_t)bytes); }
