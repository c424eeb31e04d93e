// Digests: XXH3 from the xxhash library. Pure functions, and a state on the heap for parts.
#include "engine/base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include "engine/base/file.h"

enum { READ_BYTES = 1 << 18 };

struct mt_digest {
    XXH3_state_t *state;   // owned
};

uint64_t mt_digest64_of(const void *data, size_t size) { return XXH3_64bits(data, size); }

static mt_digest128 from_xxh(XXH128_hash_t hash) { return (mt_digest128){.high = hash.high64, .low = hash.low64}; }

mt_digest128 mt_digest128_of(const void *data, size_t size) { return from_xxh(XXH3_128bits(data, size)); }

bool mt_digest_equal(mt_digest128 a, mt_digest128 b) { return a.high == b.high && a.low == b.low; }

const char *mt_digest_hex(mt_digest128 digest, char out[MT_DIGEST_HEX_BYTES]) {
    snprintf(out, MT_DIGEST_HEX_BYTES, "%016llx%016llx", (unsigned long long)digest.high, (unsigned long long)digest.low);
    return out;
}

mt_status mt_digest_parse_hex(const char *text, mt_digest128 *out) {
    uint64_t words[2] = {0, 0};
    for (int i = 0; i < 32; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) return MT_FAIL(CORRUPT, "\"%.40s\" is not a digest of 32 hexadecimal digits", text);
        words[i / 16] = words[i / 16] << 4 | (uint64_t)digit;
    }
    if (text[32]) return MT_FAIL(CORRUPT, "\"%.40s\" is not a digest of 32 hexadecimal digits", text);
    *out = (mt_digest128){.high = words[0], .low = words[1]};
    return MT_OK;
}

mt_status mt_digest_create(mt_digest **out) {
    *out = NULL;
    mt_digest *digest = malloc(sizeof *digest);
    XXH3_state_t *state = XXH3_createState();
    if (!digest || !state) {
        free(digest);
        XXH3_freeState(state);
        return MT_FAIL(NO_MEMORY, "out of memory for a digest");
    }
    XXH3_128bits_reset(state);
    digest->state = state;
    *out = digest;
    return MT_OK;
}

void mt_digest_update(mt_digest *digest, const void *data, size_t size) {
    if (size) XXH3_128bits_update(digest->state, data, size);
}

mt_digest128 mt_digest_value(const mt_digest *digest) { return from_xxh(XXH3_128bits_digest(digest->state)); }

void mt_digest_destroy(mt_digest *digest) {
    if (!digest) return;
    XXH3_freeState(digest->state);
    free(digest);
}

static mt_status digest_descriptor(int fd, const char *path, mt_digest *digest, uint64_t *size) {
    char *buffer = malloc(READ_BYTES);
    if (!buffer) return MT_FAIL(NO_MEMORY, "out of memory while reading %s", path);
    mt_status status = MT_OK;
    for (;;) {
        ssize_t got = read(fd, buffer, READ_BYTES);
        if (got == 0) break;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            status = mt_file_fail(errno, "read", path);
            break;
        }
        mt_digest_update(digest, buffer, (size_t)got);
        *size += (uint64_t)got;
    }
    free(buffer);
    return status;
}

mt_status mt_digest_file(const char *path, mt_digest128 *out, uint64_t *size) {
    mt_digest *digest = NULL;
    uint64_t bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return mt_file_fail(errno, "open", path);
    mt_status status = mt_digest_create(&digest);
    if (status == MT_OK) status = digest_descriptor(fd, path, digest, &bytes);
    if (status == MT_OK) *out = mt_digest_value(digest);
    if (status == MT_OK && size) *size = bytes;
    mt_digest_destroy(digest);
    close(fd);
    return status;
}
