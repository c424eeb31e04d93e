// ONNX models of every recorded case: they are written, whole, and always the same. What they compute, onnx_runtime.py asks
// onnxruntime.
#include "parity.h"

#include "engine/base/file.h"
#include "policies/onnx.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA MANTA_SOURCE_DIR "/tests/policies/data/parity"

static int has(const void *bytes, size_t size, const char *text) { return memmem(bytes, size, text, strlen(text)) != NULL; }

static void *encode(const mt_onnx_desc *d, size_t *size) {
    void *bytes = NULL;
    cr_assert_eq(mt_onnx_encode(d, &bytes, size), MT_OK, "%s", mt_last_error());
    return bytes;
}

typedef struct expected {
    const void *bytes;
    size_t size;
} expected;

static mt_status expect_name(void *context, const char *name, const mt_tensor *t) {
    const expected *e = context;
    (void)t;
    if (strcmp(name, "log_std") == 0 || strstr(name, ".bias_hh_")) return MT_OK;   // turned into another; beside its bias_ih
    cr_expect(has(e->bytes, e->size, name), "no constant is called %s", name);
    return MT_OK;
}

static void check_case(const char *name) {
    char path[MT_PATH_BYTES];
    parity p;
    size_t size, again_size;
    cr_assert_eq(mt_path_join(path, sizeof path, DATA, name), MT_OK);
    cr_assert_eq(parity_open(path, mt_kernels_cpu(MT_ISA_plain_id), &p), MT_OK, "%s", mt_last_error());
    mt_onnx_desc d = {.policy = p.policy, .param = p.weights.param, .version = "1.2.3"};
    void *bytes = encode(&d, &size), *again = encode(&d, &again_size);
    cr_expect(size == again_size && memcmp(bytes, again, size) == 0, "%s: two models differ", name);
    cr_expect_eq(memcmp(bytes, "\x08\x08\x12\x05manta\x1a\x05" "1.2.3", 16), 0, "%s", name);
    cr_expect_eq(has(bytes, size, "logits"), p.policy->desc.distribution == MT_DIST_CATEGORICAL, "%s", name);
    cr_expect_eq(has(bytes, size, "episode_start"), p.policy->recurrent, "%s", name);
    cr_expect(!has(bytes, size, "action_mask") && !has(bytes, size, "normalised"), "%s", name);
    mt_policy_visit(p.policy, p.weights.param, expect_name, &(expected){bytes, size});
    free(bytes), free(again);
    parity_close(&p);
}

Test(onnx, every_architecture_is_written_and_always_the_same) {
    mt_folder_names names;
    cr_assert_eq(mt_folder_list(DATA, &names), MT_OK, "%s", mt_last_error());
    cr_expect_geq(names.count, 40);
    for (size_t i = 0; i < names.count; i++) check_case(names.names[i]);
    mt_folder_names_fini(&names);
}

Test(onnx, a_normaliser_bounds_and_masks_are_in_the_model) {
    const float mean[5] = {1, 2, 3, 4, 5}, scale[5] = {1, 1, 1, 1, 1}, low[2] = {-1, -1}, high[2] = {1, 1};
    const mt_string_pair metadata = {"environment", "Somewhere-v3"};
    parity p;
    size_t size;
    cr_assert_eq(parity_open(DATA "/mlp_tanh.safetensors", mt_kernels_cpu(MT_ISA_plain_id), &p), MT_OK, "%s", mt_last_error());
    void *bytes = encode(&(mt_onnx_desc){.policy = p.policy, .param = p.weights.param, .version = "", .obs_mean = mean,
        .obs_inv_std = scale, .clip_obs = 10, .has_mask = 1, .metadata = &metadata, .metadata_count = 1}, &size);
    cr_expect(has(bytes, size, "action_mask") && has(bytes, size, "obs/normalised") && has(bytes, size, "Somewhere-v3"));
    cr_expect(memmem(bytes, size, mean, sizeof mean) != NULL);
    free(bytes);
    parity_close(&p);
    cr_assert_eq(parity_open(DATA "/mlp_shared.safetensors", mt_kernels_cpu(MT_ISA_plain_id), &p), MT_OK, "%s", mt_last_error());
    bytes = encode(&(mt_onnx_desc){.policy = p.policy, .param = p.weights.param, .version = "", .low = low, .high = high}, &size);
    cr_expect(has(bytes, size, "action/low") && !has(bytes, size, "logits"));
    free(bytes);
    parity_close(&p);
}

Test(onnx, what_onnx_cannot_say_is_refused) {
    parity p;
    void *bytes;
    size_t size;
    cr_assert_eq(parity_open(DATA "/mlp_tanh.safetensors", mt_kernels_cpu(MT_ISA_plain_id), &p), MT_OK, "%s", mt_last_error());
    p.policy->vf.layer[1].desc.kind = MT_LAYER_KINDS;   // as a layer of somebody else's would be
    mt_onnx_desc d = {.policy = p.policy, .param = p.weights.param, .version = ""};
    cr_expect_eq(mt_onnx_encode(&d, &bytes, &size), MT_UNSUPPORTED);
    cr_expect_null(bytes);
    cr_expect_not_null(strstr(mt_last_error(), "mlp_extractor.value_net.0"), "%s", mt_last_error());
    parity_close(&p);
}
