// digest.h: published values, parts against the whole, hexadecimal.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/digest.h"

Test(digest, known_values) {
    char hex[MT_DIGEST_HEX_BYTES];
    cr_assert_str_eq(mt_digest_hex(mt_digest128_of("", 0), hex), "99aa06d3014798d86001c324468d497f");
    cr_assert_eq(mt_digest64_of("", 0), 0x2d06800538d394c2u);
    mt_digest128 a = mt_digest128_of("manta", 5), b = mt_digest128_of("mantb", 5);
    cr_assert(mt_digest_equal(a, a) && !mt_digest_equal(a, b));
}

Test(digest, parts_equal_the_whole) {
    static unsigned char data[5000];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 31 + i / 7);
    mt_digest *digest;
    cr_assert_eq(mt_digest_create(&digest), MT_OK);
    size_t done = 0;
    for (size_t step = 0; done + step <= sizeof data; step += 7) {
        mt_digest_update(digest, data + done, step);
        done += step;
        cr_assert(mt_digest_equal(mt_digest_value(digest), mt_digest128_of(data, done)));
    }
    mt_digest_update(digest, NULL, 0);
    mt_digest_destroy(digest);
    mt_digest_destroy(NULL);
}

Test(digest, hexadecimal_reads_back) {
    char hex[MT_DIGEST_HEX_BYTES];
    mt_digest128 digest = {.high = 0x0123456789abcdef, .low = 0xf}, back;
    cr_assert_eq(mt_digest_parse_hex(mt_digest_hex(digest, hex), &back), MT_OK);
    cr_assert_str_eq(hex, "0123456789abcdef000000000000000f");
    cr_assert(mt_digest_equal(digest, back));
    static const char *const bad[] = {"", "0", "0123456789abcdef000000000000000F", "0123456789abcdef000000000000000f0", "0123456789abcdefg00000000000000f",
        " 123456789abcdef000000000000000f"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) cr_expect_eq(mt_digest_parse_hex(bad[i], &back), MT_CORRUPT);
}

Test(digest, of_a_file) {
    char path[] = "/tmp/manta-test-digest-XXXXXX";
    int fd = mkstemp(path);
    size_t size = 700000;
    char *data = malloc(size);
    for (size_t i = 0; i < size; i++) data[i] = (char)(i ^ (i >> 8));
    cr_assert_eq(write(fd, data, size), (ssize_t)size);
    close(fd);
    mt_digest128 digest;
    uint64_t bytes = 0;
    cr_assert_eq(mt_digest_file(path, &digest, &bytes), MT_OK);
    cr_assert(bytes == size && mt_digest_equal(digest, mt_digest128_of(data, size)));
    free(data);
    unlink(path);
    cr_assert_eq(mt_digest_file(path, &digest, NULL), MT_NOT_FOUND);
    cr_assert_eq(mt_digest_file("/", &digest, NULL), MT_IO);
}
