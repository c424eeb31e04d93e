// The names that Stable-Baselines3 has for a features extractor: all of them written, any of them read.
#include "policies/state_dict.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mt_policy_desc cnn(int separate) {
    return (mt_policy_desc){.obs = 36 * 36, .extractor = MT_EXTRACTOR_NATURE, .features = 4, .separate_features = separate,
        .input_count = 1, .inputs = {{.kind = MT_INPUT_IMAGE, .width = 36 * 36, .height = 36, .width_px = 36, .channels = 1}},
        .distribution = MT_DIST_CATEGORICAL, .action = 1, .nvec = {2}};
}

typedef struct names {
    int count;
    char text[4096];
} names;

static mt_status note(void *context, const char *name, const mt_tensor *tensor) {
    names *n = context;
    (void)tensor;
    n->count++;
    if (strstr(name, "linear.0.bias")) snprintf(n->text + strlen(n->text), sizeof n->text - strlen(n->text), "%s\n", name);
    return MT_OK;
}

static names names_of(int separate) {
    mt_policy *p;
    mt_policy_desc d = cnn(separate);
    names n = {0};
    cr_assert_eq(mt_policy_create(&d, &p), MT_OK, "%s", mt_last_error());
    float *slab = calloc((size_t)p->sizes.params, sizeof *slab);
    cr_assert_eq(mt_state_dict_visit(p, slab, note, &n), MT_OK);
    free(slab);
    mt_policy_destroy(p);
    return n;
}

Test(state_dict, a_shared_extractor_has_three_names) {
    names n = names_of(0);
    cr_expect_eq(n.count, 3 * 8 + 4);
    cr_expect_str_eq(n.text, "features_extractor.linear.0.bias\npi_features_extractor.linear.0.bias\n"
                             "vf_features_extractor.linear.0.bias\n");
}

Test(state_dict, the_policys_own_extractor_has_two_names_and_the_values_one) {
    names n = names_of(1);
    cr_expect_eq(n.count, 3 * 8 + 4);
    cr_expect_str_eq(n.text, "pi_features_extractor.linear.0.bias\nfeatures_extractor.linear.0.bias\n"
                             "vf_features_extractor.linear.0.bias\n");
}

// a file with one tensor, read back as another name
static mt_status read_as(const char *written, const char *read) {
    float value = 3, got = 0;
    mt_tensor t = {.data = &value, .dtype = MT_F32, .ndim = 1, .shape = {1}}, into = t;
    void *bytes;
    size_t size;
    mt_safetensors file;
    into.data = &got;
    cr_assert_eq(mt_safetensors_encode(&(mt_named_tensor){written, t}, 1, NULL, 0, &bytes, &size), MT_OK);
    cr_assert_eq(mt_safetensors_decode(bytes, size, "a file", &file), MT_OK);
    mt_status status = mt_state_dict_read(&file, read, &into);
    cr_expect(status != MT_OK || got == 3);
    mt_safetensors_fini(&file);
    free(bytes);
    return status;
}

Test(state_dict, any_name_of_the_same_tensor_is_read) {
    cr_expect_eq(read_as("value_net.bias", "value_net.bias"), MT_OK);
    cr_expect_eq(read_as("features_extractor.cnn.0.bias", "features_extractor.cnn.0.bias"), MT_OK);
    cr_expect_eq(read_as("pi_features_extractor.cnn.0.bias", "features_extractor.cnn.0.bias"), MT_OK);
    cr_expect_eq(read_as("vf_features_extractor.cnn.0.bias", "features_extractor.cnn.0.bias"), MT_OK);
    cr_expect_eq(read_as("features_extractor.cnn.0.bias", "pi_features_extractor.cnn.0.bias"), MT_OK);
}

Test(state_dict, the_value_does_not_take_the_policys_extractor) {
    cr_expect_eq(read_as("features_extractor.cnn.0.bias", "vf_features_extractor.cnn.0.bias"), MT_NOT_FOUND);
    cr_expect_eq(read_as("pi_features_extractor.cnn.0.bias", "vf_features_extractor.cnn.0.bias"), MT_NOT_FOUND);
    cr_expect_not_null(strstr(mt_last_error(), "vf_features_extractor.cnn.0.bias"), "%s", mt_last_error());
    cr_expect_eq(read_as("value_net.bias", "value_net.weight"), MT_NOT_FOUND);
}
