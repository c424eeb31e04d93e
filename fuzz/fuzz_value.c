// What calls are made of: encoded values from another rank, and signatures from a program. What decodes is used the way
// a call uses it: viewed to its last byte, described, checked against a signature, written again (the same bytes must
// come out, but for what pads them).
#include "engine/runtime/value.h"
#include "fuzz/fuzz.h"

enum { VALUES = 4, WIRE_MAX = 8192 };

static void use_view(const mt_value *value, const mt_signature *signature) {
    char text[64];
    mt_binding binding;
    manta_value view = mt_value_view(value, value->payload);
    mt_value_describe(value->head, value->shape, text, sizeof text);
    FUZZ_CHECK(strlen(text) < sizeof text);
    FUZZ_CHECK(mt_value_ref_count(value->head) >= 0);
    mt_binding_init(&binding);
    for (int i = 0; i < signature->argument_count; i++) {
        mt_status status =
            mt_signature_check(&signature->argument[i], value->head, value->shape, &binding, "fuzz", "argument");
        FUZZ_CHECK(status == MT_OK || status == MT_INVALID_ARGUMENT);
    }
    if (value->head->form == MT_VALUE_FROM) {
        FUZZ_CHECK(value->from.serial != 0);
        return;
    }
    uint64_t dense;
    FUZZ_CHECK(mt_shape_bytes(view.type, view.ndim, view.shape, &dense));
    if (value->head->form == MT_VALUE_PLACE) return;
    unsigned sum = 0;
    for (size_t i = 0; i < view.bytes; i++) sum += ((const unsigned char *)view.data)[i];
    if (view.type == MANTA_TYPE_TEXT) FUZZ_CHECK(strlen(view.data) <= view.bytes);
    (void)sum;

    // as an argument it is fine (but for references to nothing), and comes out as it went in
    manta_arg arg = {.value = view};
    if (mt_arg_check(&arg) != MT_OK) {
        FUZZ_CHECK(view.type == MANTA_TYPE_REF || view.type == MANTA_TYPE_ACTOR);
        return;
    }
    size_t bytes = mt_value_encoded_bytes(&arg), used;
    FUZZ_CHECK(bytes == value->head->encoded_bytes && bytes <= WIRE_MAX);
    static _Alignas(16) char wire[WIRE_MAX];
    mt_value again;
    mt_value_encode(&arg, wire);
    FUZZ_CHECK(memcmp(wire, value->head, sizeof *value->head + view.ndim * sizeof(int64_t)) == 0);
    FUZZ_CHECK(mt_value_decode(wire, bytes, &again, &used) == MT_OK && used == bytes);
    FUZZ_CHECK(view.bytes == 0 || memcmp(again.payload, value->payload, view.bytes) == 0);
}

static void fuzz_values(const uint8_t *data, size_t bytes, const mt_signature *signature) {
    void *copy = fuzz_copy(data, bytes); // malloc's are aligned
    mt_value value, values[VALUES];
    size_t used = 0;
    for (int count = 0; count <= VALUES; count++) {
        mt_status status = mt_values_decode(copy, bytes, count, values);
        FUZZ_CHECK(status == MT_OK || status == MT_CORRUPT);
        for (int i = 0; i < count && status == MT_OK; i++) use_view(&values[i], signature);
    }
    mt_status status = mt_value_decode(copy, bytes, &value, &used);
    FUZZ_CHECK(status == MT_OK ? used >= 16 && used <= bytes && used % 16 == 0 : status == MT_CORRUPT && used == 0);
    if (status == MT_OK) use_view(&value, signature);
    free(copy);
}

// The first byte says how long the signature is; what follows it is values.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz_bytes f = {data, bytes};
    mt_signature signature;
    size_t length = fuzz_u8(&f);
    if (length > f.left) length = f.left;
    char *text = fuzz_string(f.data, length);
    mt_status status = mt_signature_parse(text, &signature);
    FUZZ_CHECK(status == MT_OK || status == MT_CONFIG);
    if (status == MT_OK) {
        FUZZ_CHECK(signature.argument_count <= MANTA_MAX_ARGUMENTS && signature.result_count <= MANTA_MAX_RESULTS);
        for (int i = 0; i < signature.argument_count; i++)
            FUZZ_CHECK(signature.argument[i].ndim >= -1 && signature.argument[i].ndim <= MANTA_MAX_DIMS);
    } else {
        signature.argument_count = 0;
    }
    free(text);
    fuzz_values(f.data + length, f.left - length, &signature);
    return 0;
}
