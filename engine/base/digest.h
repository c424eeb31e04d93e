// Digests: XXH3 over bytes. They find damage (checkpoints, messages) and compare results; they are no protection against
// someone who wants to deceive. Same value on every machine. Any thread; one thread at a time per mt_digest.
#ifndef MANTA_ENGINE_BASE_DIGEST_H
#define MANTA_ENGINE_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_digest128 {
    uint64_t high, low;
} mt_digest128;

enum { MT_DIGEST_HEX_BYTES = 33 };   // 32 digits and a NUL; what `xxhsum -H2` prints

uint64_t mt_digest64_of(const void *data, size_t size);
mt_digest128 mt_digest128_of(const void *data, size_t size);
bool mt_digest_equal(mt_digest128 a, mt_digest128 b);
const char *mt_digest_hex(mt_digest128 digest, char out[MT_DIGEST_HEX_BYTES]);      // returns out
mt_status mt_digest_parse_hex(const char *text, mt_digest128 *out);                 // MT_CORRUPT unless 32 lower-case digits

// In parts: the same result as over the bytes in one piece.
typedef struct mt_digest mt_digest;
mt_status mt_digest_create(mt_digest **out);
void mt_digest_update(mt_digest *digest, const void *data, size_t size);
mt_digest128 mt_digest_value(const mt_digest *digest);     // may go on updating afterwards
void mt_digest_destroy(mt_digest *digest);                 // Nullable

mt_status mt_digest_file(const char *path, mt_digest128 *out, uint64_t *size);      // Nullable: size

#ifdef __cplusplus
}
#endif
#endif
