// Weight files: what is written is read back to the bit, under the names that Python expects; what does not fit is refused.
#include "scheduler/weights_file.h"

#include "test_report_common.h"

#include <math.h>

TestSuite(weights_file, .init = make_test_folder, .fini = remove_test_folder);

enum { OBS = 3 };

typedef struct fixture {
    mt_policy *policy;
    mt_arena arena;
    mt_weights weights;
    mt_normaliser normaliser;
} fixture;

static void set_up(fixture *f, mt_distribution distribution, int units, int normalise, uint64_t seed) {
    mt_policy_desc d = {.obs = OBS, .distribution = distribution, .action = 2, .nvec = {2, 3}, .pi = {units}, .vf = {units}, .pi_depth = 1,
        .vf_depth = 1, .activation = MT_ACT_tanh, .log_std_init = -0.25f};
    *f = (fixture){0};
    CHECK_OK(mt_policy_create(&d, &f->policy));
    mt_weights_register(&f->weights, f->policy, &f->arena);
    mt_normaliser_register(&f->normaliser, OBS, normalise, 0, 10, 10, &f->arena);
    CHECK_OK(mt_arena_commit(&f->arena));
    CHECK_OK(mt_weights_init(&f->weights, f->policy, mt_kernels_cpu(MT_ISA_plain_id), seed));
    mt_normaliser_reset(&f->normaliser);
}

static void tear_down(fixture *f) {
    mt_arena_fini(&f->arena);
    mt_policy_destroy(f->policy);
}

static void see_observations(mt_normaliser *n) {
    n->obs.count = 7;
    for (int c = 0; c < OBS; c++) n->obs.mean[c] = 1.1 * c - 0.3, n->obs.m2[c] = 7 * (0.1 + 3 * c);
    mt_normaliser_publish(n);
}

static mt_status save(fixture *f, const char *name) {
    return mt_weights_file_save(at(name), f->policy, f->weights.param, &f->normaliser, 4096);
}
static mt_status load(fixture *f, const char *name) {
    return mt_weights_file_load(at(name), f->policy, f->weights.param, &f->normaliser);
}

// ---- there and back

static void check_round_trip(mt_distribution distribution) {
    fixture a, b;
    set_up(&a, distribution, 8, 1, 1);
    set_up(&b, distribution, 8, 1, 2);
    see_observations(&a.normaliser);
    size_t bytes = sizeof(float) * (size_t)a.policy->sizes.params;
    cr_assert_neq(memcmp(a.weights.param, b.weights.param, bytes), 0);
    CHECK_OK(save(&a, "w.safetensors"));
    CHECK_OK(load(&b, "w.safetensors"));
    cr_expect_eq(memcmp(a.weights.param, b.weights.param, bytes), 0);
    for (int c = 0; c < OBS; c++) {   // the scale that observations are read with, to the bit
        cr_expect_eq(b.normaliser.obs_mean[c], a.normaliser.obs_mean[c]);
        cr_expect_eq(b.normaliser.obs_inv_std[c], a.normaliser.obs_inv_std[c]);
        cr_expect_float_eq(b.normaliser.obs_inv_std[c], 1 / sqrt(0.1 + 3 * c), 1e-5);
        cr_expect_float_eq(b.normaliser.obs.m2[c], 7 * (0.1 + 3 * c), 1e-12);
    }
    cr_expect_eq(b.normaliser.obs.count, 7);   // new observations are weighed against as many as were seen
    tear_down(&a), tear_down(&b);
}

Test(weights_file, categorical_comes_back) { check_round_trip(MT_DIST_CATEGORICAL); }
Test(weights_file, gaussian_comes_back) { check_round_trip(MT_DIST_GAUSSIAN); }
Test(weights_file, gsde_comes_back) { check_round_trip(MT_DIST_GSDE); }

Test(weights_file, python_finds_the_names_of_stable_baselines3) {
    static const char *const names[] = {"action_net.bias", "action_net.weight", "log_std", "mlp_extractor.policy_net.0.bias",
        "mlp_extractor.policy_net.0.weight", "mlp_extractor.value_net.0.bias", "mlp_extractor.value_net.0.weight", "obs_rms.count",
        "obs_rms.mean", "obs_rms.var", "value_net.bias", "value_net.weight"};
    fixture f;
    mt_safetensors file;
    set_up(&f, MT_DIST_GAUSSIAN, 8, 1, 1);
    see_observations(&f.normaliser);
    CHECK_OK(save(&f, "w.safetensors"));
    CHECK_OK(mt_safetensors_load(at("w.safetensors"), &file));
    cr_assert_eq(file.count, sizeof names / sizeof *names);
    for (size_t i = 0; i < file.count; i++) cr_expect_str_eq(file.tensors[i].name, names[i]);
    cr_expect_str_eq(mt_safetensors_metadata(&file, "format"), "manta");
    cr_expect_str_eq(mt_safetensors_metadata(&file, "steps"), "4096");
    const mt_tensor *mean = mt_safetensors_find(&file, "obs_rms.mean"), *var = mt_safetensors_find(&file, "obs_rms.var");
    cr_assert(mean->dtype == MT_F64 && mean->ndim == 1 && mean->shape[0] == OBS && var->dtype == MT_F64 && var->shape[0] == OBS);
    for (int c = 0; c < OBS; c++) {
        double m, v;
        memcpy(&m, (const char *)mean->data + sizeof m * (size_t)c, sizeof m);
        memcpy(&v, (const char *)var->data + sizeof v * (size_t)c, sizeof v);
        cr_expect_eq(m, 1.1 * c - 0.3);
        cr_expect_float_eq(v, 0.1 + 3 * c, 1e-12);
    }
    mt_safetensors_fini(&file);
    tear_down(&f);
}

// ---- with and without a normaliser

Test(weights_file, a_normaliser_that_is_off_is_not_written) {
    fixture f;
    mt_safetensors file;
    set_up(&f, MT_DIST_CATEGORICAL, 8, 0, 1);
    CHECK_OK(save(&f, "off.safetensors"));
    CHECK_OK(mt_weights_file_save(at("none.safetensors"), f.policy, f.weights.param, NULL, 0));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(mt_safetensors_load(at(i ? "none.safetensors" : "off.safetensors"), &file));
        cr_expect_null(mt_safetensors_find(&file, "obs_rms.mean"));
        mt_safetensors_fini(&file);
    }
    CHECK_OK(load(&f, "off.safetensors"));
    CHECK_OK(mt_weights_file_load(at("off.safetensors"), f.policy, f.weights.param, NULL));
    tear_down(&f);
}

Test(weights_file, a_normaliser_that_has_seen_nothing_has_variance_one) {
    fixture f;
    set_up(&f, MT_DIST_CATEGORICAL, 8, 1, 1);
    mt_normaliser_clear(&f.normaliser);
    CHECK_OK(save(&f, "w.safetensors"));
    see_observations(&f.normaliser);
    CHECK_OK(load(&f, "w.safetensors"));
    for (int c = 0; c < OBS; c++) {
        cr_expect_eq(f.normaliser.obs_mean[c], 0);
        cr_expect_float_eq(f.normaliser.obs_inv_std[c], 1, 1e-6);
    }
    tear_down(&f);
}

// ---- what does not fit

Test(weights_file, errors_name_file_and_tensor) {
    fixture f, other;
    set_up(&f, MT_DIST_CATEGORICAL, 8, 0, 1);
    CHECK_OK(save(&f, "w.safetensors"));
    CHECK_FAIL(NOT_FOUND, "missing.safetensors", load(&f, "missing.safetensors"));
    set_up(&other, MT_DIST_CATEGORICAL, 9, 0, 1);
    CHECK_FAIL(CONFIG, "mlp_extractor.policy_net.0.weight", load(&other, "w.safetensors"));
    CHECK_FAIL(CONFIG, "w.safetensors", load(&other, "w.safetensors"));
    tear_down(&other);
    set_up(&other, MT_DIST_GAUSSIAN, 8, 0, 1);
    CHECK_FAIL(CONFIG, "another network or environment?", load(&other, "w.safetensors"));
    tear_down(&other);
    set_up(&other, MT_DIST_CATEGORICAL, 8, 1, 1);   // a run that normalises, a file of one that did not
    CHECK_FAIL(CONFIG, "--no-normalize", load(&other, "w.safetensors"));
    tear_down(&other), tear_down(&f);
}

Test(weights_file, a_save_that_fails_leaves_the_old_file) {
    fixture f;
    char *before, *after;
    size_t bytes_before, bytes_after;
    set_up(&f, MT_DIST_CATEGORICAL, 8, 0, 1);
    CHECK_OK(save(&f, "w.safetensors"));
    CHECK_OK(mt_file_read(at("w.safetensors"), 1 << 20, &before, &bytes_before));
    f.weights.param[0] += 1;
    CHECK_OK(mt_failpoint_set("file.fsync:ENOSPC"));
    CHECK_FAIL(IO, "w.safetensors", save(&f, "w.safetensors"));
    CHECK_OK(mt_failpoint_set(NULL));
    CHECK_OK(mt_file_read(at("w.safetensors"), 1 << 20, &after, &bytes_after));
    cr_expect(bytes_before == bytes_after && memcmp(before, after, bytes_before) == 0);
    free(before), free(after);
    tear_down(&f);
}

// ---- lists

Test(weights_file, several_slabs_share_a_file_under_prefixes) {
    fixture f, back;
    mt_tensor_list list = {0};
    mt_safetensors file;
    set_up(&f, MT_DIST_CATEGORICAL, 8, 0, 1);
    set_up(&back, MT_DIST_CATEGORICAL, 8, 0, 2);
    size_t count = (size_t)f.policy->sizes.params;
    float *slabs[5];   // 5 · 8 tensors: the list grows past its first capacity
    char prefix[8];
    for (int s = 0; s < 5; s++) {
        slabs[s] = malloc(sizeof **slabs * count);
        for (size_t i = 0; i < count; i++) slabs[s][i] = f.weights.param[i] + (float)s;
        snprintf(prefix, sizeof prefix, "s%d.", s);
        CHECK_OK(mt_tensor_list_add_slab(&list, f.policy, slabs[s], prefix));
    }
    cr_expect_eq(list.count, 40);
    cr_expect_str_eq(list.items[0].name, "s0.mlp_extractor.policy_net.0.weight");
    CHECK_OK(mt_safetensors_save(at("all.safetensors"), list.items, list.count, NULL, 0));
    mt_tensor_list_fini(&list);
    cr_expect(list.count == 0 && !list.items);
    CHECK_OK(mt_safetensors_load(at("all.safetensors"), &file));
    for (int s = 4; s >= 0; s--) {
        snprintf(prefix, sizeof prefix, "s%d.", s);
        CHECK_OK(mt_weights_file_read_slab(&file, f.policy, back.weights.param, prefix));
        // the slab's padding is nobody's: compare what the policy has
        cr_expect_eq(back.weights.param[f.policy->pi.layer[1].tensor[0]], slabs[s][f.policy->pi.layer[1].tensor[0]]);
        cr_expect_eq(back.weights.param[f.policy->vf.layer[2].tensor[1]], slabs[s][f.policy->vf.layer[2].tensor[1]]);
        free(slabs[s]);
    }
    CHECK_FAIL(CONFIG, "s7.mlp_extractor.policy_net.0.weight", mt_weights_file_read_slab(&file, f.policy, back.weights.param, "s7."));
    mt_safetensors_fini(&file);
    tear_down(&f), tear_down(&back);
}
