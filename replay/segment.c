// Segments: allocation by shape from the field list. See segment.h for who writes and who reads.
#include "replay/segment.h"

void mt_segment_register(mt_segment *segment, const mt_segment_shape *s, mt_arena *arena) {
    segment->shape = *s;
#define MT_X(field, type, rows, width)                                                                                 \
    mt_arena_add(arena, (void **)&segment->field, sizeof(type) * (size_t)((rows)*s->envs * (int64_t)(width)),          \
        "segment " #field);
    MT_SEGMENT_FIELDS(MT_X)
#undef MT_X
}

static int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

int64_t mt_segment_block_bytes(const mt_segment_shape *s) {
    int64_t bytes = 0;
#define MT_X(field, type, rows, width) bytes += aligned((int64_t)sizeof(type) * (rows)*s->envs * (int64_t)(width));
    MT_SEGMENT_FIELDS(MT_X)
#undef MT_X
    return bytes;
}

void mt_segment_bind(mt_segment *segment, const mt_segment_shape *s, void *memory) {
    char *at = memory;
    segment->shape = *s;
#define MT_X(field, type, rows, width)                                                                                 \
    segment->field = (width) ? (type *)(void *)at : NULL;                                                              \
    at += aligned((int64_t)sizeof(type) * (rows)*s->envs * (int64_t)(width));
    MT_SEGMENT_FIELDS(MT_X)
#undef MT_X
}
