// policies/safetensors: what is written comes back, and nothing malformed gets through. Python's own package reads and
// writes the same files in safetensors_python.py.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "policies/safetensors.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static float weight[6] = {0.5f, -1.0f, 2.0f, 3.25f, -0.0f, 1e-30f};
static float bias[2] = {7.0f, 8.0f};
static double moment = 1e300;
static uint8_t mask[3] = {1, 0, 255};
static int64_t steps[2] = {INT64_MIN, INT64_MAX};

static const mt_named_tensor sample[] = {
    {"mask", {mask, MT_U8, 1, {3}}},
    {"pi.0.weight", {weight, MT_F32, 2, {3, 2}}},
    {"pi.0.bias", {bias, MT_F32, 1, {2}}},
    {"moment", {&moment, MT_F64, 0, {0}}},
    {"nothing", {NULL, MT_F32, 2, {0, 4}}},
    {"steps", {steps, MT_I64, 1, {2}}},
};

static const mt_string_pair sample_metadata[] = {{"format", "manta"}, {"title", "Pendel – „größer“\n\"x\""}};

static void *encode_sample(size_t *bytes) {
    void *data = NULL;
    cr_assert_eq(
        mt_safetensors_encode(sample, COUNT(sample), sample_metadata, 2, &data, bytes), MT_OK, "%s", mt_last_error());
    return data;
}

// A file with this header and `data_bytes` bytes of data after it; the caller frees.
static uint8_t *craft(const char *header, size_t data_bytes, size_t *bytes) {
    uint64_t header_bytes = strlen(header);
    *bytes = 8 + header_bytes + data_bytes;
    uint8_t *data = calloc(1, *bytes);
    memcpy(data, &header_bytes, 8);
    memcpy(data + 8, header, header_bytes);
    return data;
}

static mt_status decode_crafted(const char *header, size_t data_bytes) {
    size_t bytes = 0;
    uint8_t *data = craft(header, data_bytes, &bytes);
    mt_safetensors file;
    mt_status status = mt_safetensors_decode(data, bytes, "crafted", &file);
    mt_safetensors_fini(&file);
    free(data);
    return status;
}

Test(safetensors, what_is_written_comes_back) {
    size_t bytes = 0;
    void *data = encode_sample(&bytes);
    mt_safetensors file;
    cr_assert_eq(mt_safetensors_decode(data, bytes, "sample", &file), MT_OK, "%s", mt_last_error());
    cr_assert_eq(file.count, COUNT(sample));
    for (size_t i = 0; i < COUNT(sample); i++) {
        const mt_tensor *found = mt_safetensors_find(&file, sample[i].name), *want = &sample[i].tensor;
        cr_assert_not_null(found, "%s", sample[i].name);
        cr_assert_eq(found->dtype, want->dtype);
        cr_assert(mt_tensor_same_shape(found, want));
        cr_assert_eq((uintptr_t)((char *)found->data - (char *)data) % mt_dtype_bytes(want->dtype), 0, "aligned");
        if (mt_tensor_bytes(want)) cr_assert_eq(memcmp(found->data, want->data, mt_tensor_bytes(want)), 0);
    }
    cr_assert_str_eq(mt_safetensors_metadata(&file, "title"), sample_metadata[1].value);
    cr_assert_null(mt_safetensors_metadata(&file, "nope"));
    cr_assert_null(mt_safetensors_find(&file, "nope"));
    mt_safetensors_fini(&file);
    free(data);
}

Test(safetensors, the_header_is_padded_and_the_order_of_the_list_does_not_matter) {
    size_t bytes = 0, other_bytes = 0;
    void *data = encode_sample(&bytes), *other = NULL;
    uint64_t header_bytes = 0;
    memcpy(&header_bytes, data, 8);
    cr_assert_eq(header_bytes % 8, 0);
    cr_assert_eq(((char *)data)[8], '{');

    mt_named_tensor reversed[COUNT(sample)];
    for (size_t i = 0; i < COUNT(sample); i++) reversed[i] = sample[COUNT(sample) - 1 - i];
    cr_assert_eq(mt_safetensors_encode(reversed, COUNT(sample), sample_metadata, 2, &other, &other_bytes), MT_OK);
    cr_assert_eq(bytes, other_bytes);
    cr_assert_eq(memcmp(data, other, bytes), 0);
    free(data);
    free(other);
}

Test(safetensors, nothing_at_all_is_a_file_too) {
    void *data = NULL;
    size_t bytes = 0;
    mt_safetensors file;
    cr_assert_eq(mt_safetensors_encode(NULL, 0, NULL, 0, &data, &bytes), MT_OK);
    cr_assert_eq(mt_safetensors_decode(data, bytes, "empty", &file), MT_OK);
    cr_assert_eq(file.count, 0);
    cr_assert_null(mt_safetensors_find(&file, "x"));
    mt_safetensors_fini(&file);
    free(data);
}

Test(safetensors, read_checks_type_and_shape_and_says_what_is_wrong) {
    size_t bytes = 0;
    void *data = encode_sample(&bytes);
    mt_safetensors file;
    cr_assert_eq(mt_safetensors_decode(data, bytes, "best.safetensors", &file), MT_OK);
    float room[8] = {0};
    mt_tensor into = {room, MT_F32, 2, {3, 2}};
    cr_assert_eq(mt_safetensors_read(&file, "pi.0.weight", &into), MT_OK);
    cr_assert_eq(memcmp(room, weight, sizeof weight), 0);

    into.shape[1] = 1;
    cr_assert_eq(mt_safetensors_read(&file, "pi.0.weight", &into), MT_CONFIG);
    cr_assert(
        strstr(mt_last_error(), "best.safetensors: tensor \"pi.0.weight\" is F32 (3, 2) but F32 (3, 1) is wanted"),
        "%s", mt_last_error());
    into.dtype = MT_I32, into.shape[1] = 2;
    cr_assert_eq(mt_safetensors_read(&file, "pi.0.weight", &into), MT_CONFIG);
    cr_assert_eq(mt_safetensors_read(&file, "pi.0.wieght", &into), MT_NOT_FOUND);
    cr_assert(strstr(mt_last_error(), "did you mean \"pi.0.weight\"?"), "%s", mt_last_error());
    mt_safetensors_fini(&file);
    free(data);
}

Test(safetensors, save_and_load) {
    char path[] = "/tmp/manta-test-safetensors-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(mt_safetensors_save(path, sample, COUNT(sample), NULL, 0), MT_OK, "%s", mt_last_error());
    mt_safetensors file;
    cr_assert_eq(mt_safetensors_load(path, &file), MT_OK, "%s", mt_last_error());
    cr_assert_eq(file.count, COUNT(sample));
    mt_safetensors_fini(&file);

    cr_assert_eq(truncate(path, 60), 0);
    cr_assert_eq(mt_safetensors_load(path, &file), MT_CORRUPT);
    cr_assert(strstr(mt_last_error(), path), "names the file: %s", mt_last_error());
    unlink(path);
    cr_assert_eq(mt_safetensors_load(path, &file), MT_NOT_FOUND);
}

#define T(dtype, shape, offsets) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

Test(safetensors, malformed_headers_are_refused_with_the_tensors_name) {
    static const struct {
        const char *header;
        size_t data_bytes;
        mt_status want;
        const char *message;
    } cases[] = {
        {"{}", 0, MT_OK, ""},
        {"{\"a\":" T("F32", "[2]", "[0,8]") "}   ", 8, MT_OK, ""},
        {"{\"a\":" T("U8", "[1]", "[0,1]") ",\"b\":" T("F32", "[1]", "[1,5]") "}", 5, MT_OK, ""}, // misaligned is legal
        {"{\"a\":" T("F32", "[2]", "[0,8]") "}", 4, MT_CORRUPT, "\"a\""},                         // outside the file
        {"{\"a\":" T("F32", "[2]", "[0,8]") "}", 9, MT_CORRUPT, "after the last"},                // rest
        {"{\"a\":" T("F32", "[1]", "[4,8]") "}", 8, MT_CORRUPT, "\"a\" comes after a hole"},
        {"{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("F32", "[2]", "[4,12]") "}", 12, MT_CORRUPT, "\"b\" overlaps"},
        {"{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("F32", "[2]", "[0,8]") "}", 8, MT_CORRUPT, "overlaps"},
        {"{\"a\":" T("F32", "[2]", "[0,4]") "}", 4, MT_CORRUPT, "\"a\""}, // shape against offsets
        {"{\"a\":" T("F32", "[2]", "[8,0]") "}", 8, MT_CORRUPT, "\"a\""},
        {"{\"a\":" T("F32", "[2]", "[-8,0]") "}", 8, MT_CORRUPT, "\"a\""},
        {"{\"a\":" T("F32", "[-1]", "[0,4]") "}", 4, MT_CORRUPT, "\"a\""},
        {"{\"a\":" T("F32", "[1.0]", "[0,4]") "}", 4, MT_CORRUPT, "\"a\""},
        {"{\"a\":" T("F32", "[4611686018427387904,4]", "[0,0]") "}", 0, MT_CORRUPT, "\"a\""}, // 2^62·4·4 wraps to 0
        {"{\"a\":" T("F32", "[9223372036854775808]", "[0,0]") "}", 0, MT_CORRUPT, "JSON"},
        {"{\"a\":" T("F32", "[1,1,1,1,1,1,1]", "[0,4]") "}", 4, MT_UNSUPPORTED, "\"a\" has 7 dimensions"},
        {"{\"a\":" T("F16", "[2]", "[0,4]") "}", 4, MT_UNSUPPORTED, "F16"},
        {"{\"a\":" T("F32", "[1]", "[0,4]") ",\"a\":" T("F32", "[1]", "[0,4]") "}", 4, MT_CORRUPT, "JSON"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, MT_CORRUPT, "\"a\""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, MT_CORRUPT, "\"a\""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, MT_CORRUPT, "\"a\""},
        {"{\"a\":" T("F32", "[1]", "[0,4,4]") "}", 4, MT_CORRUPT, "\"a\""},
        {"{\"a\":" T("F32", "[1]", "[\"0\",4]") "}", 4, MT_CORRUPT, "\"a\""},
        {"{\"a\":7}", 0, MT_CORRUPT, "\"a\""},
        {"{\"__metadata__\":{\"k\":1}}", 0, MT_CORRUPT, "\"k\""},
        {"{\"__metadata__\":[]}", 0, MT_CORRUPT, "__metadata__"},
        {"[]", 0, MT_CORRUPT, "{"},
        {"  {}", 0, MT_CORRUPT, "{"},
        {"{}x", 0, MT_CORRUPT, "JSON"},
        {"{\"a\\u0000b\":" T("F32", "[1]", "[0,4]") "}", 4, MT_CORRUPT, "JSON"},
        {"", 4, MT_CORRUPT, "{"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        mt_status status = decode_crafted(cases[i].header, cases[i].data_bytes);
        cr_assert_eq(
            status, cases[i].want, "case %zu %s: %s, %s", i, cases[i].header, mt_status_name(status), mt_last_error());
        if (status == MT_OK) continue;
        cr_assert(strstr(mt_last_error(), cases[i].message), "case %zu: %s", i, mt_last_error());
        cr_assert_eq(strncmp(mt_last_error(), "crafted: ", 9), 0, "names the source: %s", mt_last_error());
    }
}

Test(safetensors, header_sizes_that_lie_are_refused) {
    uint64_t sizes[] = {1, 100, 100000001, UINT64_MAX, UINT64_MAX - 7, UINT64_C(1) << 63};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        uint8_t data[16] = {0};
        memcpy(data, &sizes[i], 8);
        mt_safetensors file;
        cr_assert_eq(mt_safetensors_decode(data, sizeof data, "lies", &file), MT_CORRUPT, "%zu", i);
    }
}

// In exactly sized blocks, so that AddressSanitizer sees a read past the end.
Test(safetensors, every_length_but_the_right_one_is_refused) {
    size_t bytes = 0;
    uint8_t *data = encode_sample(&bytes);
    for (size_t length = 0; length <= bytes + 1; length++) {
        uint8_t *cut = calloc(1, length ? length : 1);
        memcpy(cut, data, length < bytes ? length : bytes);
        mt_safetensors file;
        mt_status status = mt_safetensors_decode(cut, length, "cut", &file);
        cr_assert_eq(status, length == bytes ? MT_OK : MT_CORRUPT, "length %zu of %zu", length, bytes);
        mt_safetensors_fini(&file);
        free(cut);
    }
    free(data);
}

// A flipped bit may leave a valid file (a letter of a name), never a crash or a view outside the bytes.
Test(safetensors, flipped_bits_never_lead_outside) {
    size_t bytes = 0;
    uint8_t *data = encode_sample(&bytes);
    for (size_t bit = 0; bit < bytes * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        mt_safetensors file;
        if (mt_safetensors_decode(data, bytes, "flipped", &file) == MT_OK)
            for (size_t i = 0; i < file.count; i++) {
                const uint8_t *begin = file.tensors[i].tensor.data;
                cr_assert(begin >= data && begin + mt_tensor_bytes(&file.tensors[i].tensor) <= data + bytes);
            }
        mt_safetensors_fini(&file);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(data);
}

Test(safetensors, the_writer_refuses_what_could_not_be_read) {
    const mt_named_tensor bad[] = {
        {"__metadata__", {bias, MT_F32, 1, {2}}}, {"", {bias, MT_F32, 1, {2}}}, {NULL, {bias, MT_F32, 1, {2}}},
        {"\xff", {bias, MT_F32, 1, {2}}},         {"a", {bias, MT_F32, 1, {-2}}}, {"a", {NULL, MT_F32, 1, {2}}},
        {"a", {bias, MT_DTYPE_COUNT, 1, {2}}},    {"a", {bias, MT_F32, 7, {2}}},
        {"a", {bias, MT_F32, 2, {INT64_MAX, INT64_MAX}}},
    };
    void *data = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < COUNT(bad); i++) {
        cr_assert_eq(mt_safetensors_encode(&bad[i], 1, NULL, 0, &data, &bytes), MT_INVALID_ARGUMENT, "case %zu", i);
        cr_assert_null(data);
    }
    mt_named_tensor twice[] = {sample[1], sample[1]};
    cr_assert_eq(mt_safetensors_encode(twice, 2, NULL, 0, &data, &bytes), MT_INVALID_ARGUMENT);
    cr_assert(strstr(mt_last_error(), "pi.0.weight"));
    const mt_string_pair latin1 = {"k", "gr\xfc\xdf"};
    cr_assert_eq(mt_safetensors_encode(NULL, 0, &latin1, 1, &data, &bytes), MT_INVALID_ARGUMENT);
}
