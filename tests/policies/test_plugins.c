// Policies, layers and losses of plugins inside the engine: the same numbers as manta's own where they do the same, gradients
// against finite differences, states carried on, refusals with their words.
#include "policies/plugin_policy.h"
#include "policies/policy_plugin.h"
#include "policies/policy_registry.h"
#include "policies/ppo.h"
#include "tests/policies/plugins.h"

#include <criterion/criterion.h>

#include "engine/base/rng.h"
#include "kernels/compute.h"

enum { STEPS = 7, ENVS = 3, ROWS = STEPS * ENVS, OBS = 5 };

typedef struct fixture {
    mt_policy *policy;
    const mt_kernels *k;
    mt_arena arena;
    mt_weights weights;
    mt_segment segment;
    mt_ppo_space space;
    float *grad, *d_head, *d_value, *d_log_std, *state_out;
    int32_t index[ROWS];
    mt_ppo_scalars scalars;
    mt_plugin_loss *loss;
} fixture;

static void fill(float *out, int64_t count, double scale, mt_rng *rng) {
    for (int64_t i = 0; i < count; i++) out[i] = (float)(scale * mt_rng_normal(rng));
}

static void set_up(fixture *f, const mt_policy_desc *desc, int64_t rows_at_once) {
    mt_rng rng = mt_rng_at(7, mt_rng_stream(MT_RNG_USER, 1), 0);
    *f = (fixture){.k = mt_kernels_cpu(MT_ISA_plain_id)};
    cr_assert_eq(mt_policy_create(desc, &f->policy), MT_OK, "%s", mt_last_error());
    int box = desc->distribution != MT_DIST_CATEGORICAL;
    const mt_policy *p = f->policy;
    mt_segment_shape shape = {.steps = STEPS, .envs = ENVS, .obs = OBS, .action = desc->action, .logits = box ? 0 : p->head, .masked = !box,
        .state = p->sizes.state};
    mt_segment_register(&f->segment, &shape, &f->arena);
    mt_ppo_space_register(&f->space, p, f->k, &shape, rows_at_once, &f->arena);
    mt_weights_register(&f->weights, p, &f->arena);
    MT_ARENA_ADD(&f->arena, f->grad, p->sizes.params);
    MT_ARENA_ADD(&f->arena, f->d_head, ROWS * p->head);
    MT_ARENA_ADD(&f->arena, f->d_value, ROWS);
    MT_ARENA_ADD(&f->arena, f->d_log_std, ROWS * desc->action);
    MT_ARENA_ADD(&f->arena, f->state_out, ENVS * p->sizes.state);
    cr_assert_eq(mt_arena_commit(&f->arena), MT_OK);
    cr_assert_eq(mt_weights_init(&f->weights, p, f->k, 3), MT_OK, "%s", mt_last_error());
    for (int64_t i = 0; i < p->sizes.params; i++) f->weights.param[i] += (float)(0.1 * mt_rng_normal(&rng));
    fill(f->segment.obs, (ROWS + ENVS) * OBS, 1, &rng);
    fill(f->segment.advantage, ROWS, 1, &rng);
    fill(f->segment.returns, ROWS, 1, &rng);
    fill(f->segment.value, ROWS + ENVS, 0.3, &rng);
    fill(f->segment.log_prob, ROWS, 0.3, &rng);
    for (int i = 0; i < ROWS; i++) f->segment.log_prob[i] -= 1;
    if (box) fill(f->segment.action, ROWS * desc->action, 1, &rng);
    for (int i = 0; !box && i < ROWS * desc->action; i++)
        f->segment.choice[i] = (int32_t)mt_rng_below(&rng, (uint32_t)desc->nvec[i % desc->action]);
    // what was not chosen may have been forbidden
    for (int i = 0; !box && i < ROWS * p->head; i++) f->segment.mask[i] = i % 7 != 3;
    for (int i = 0; !box && i < ROWS; i++)
        for (int a = 0, at = 0; a < desc->action; at += desc->nvec[a++])
            f->segment.mask[i * p->head + at + f->segment.choice[i * desc->action + a]] = 1;
    if (p->recurrent) {
        fill(f->segment.state, ENVS * p->sizes.state, 0.5, &rng);
        for (int r = 0; r < ROWS; r++) f->segment.start[r] = r == 1 || r == 2 * ENVS;   // at the first step, and in the middle
    }
    fill(f->d_head, ROWS * p->head, 1, &rng);
    fill(f->d_value, ROWS, 1, &rng);
    fill(f->d_log_std, ROWS * desc->action, 1, &rng);
    for (int i = 0; i < ROWS; i++) f->index[i] = p->recurrent ? i : (i * 5 + 2) % ROWS;
    f->scalars = (mt_ppo_scalars){.adv_mean = 0.1f, .adv_inv_std = 0.9f, .clip_range = 0.3f, .clip_range_vf = -1, .ent_coef = 0.02f, .vf_coef = 0.6f};
}

static void tear_down(fixture *f) {
    mt_arena_fini(&f->arena);
    mt_plugin_loss_destroy(f->loss);
    mt_policy_destroy(f->policy);
}

static mt_policy_desc base(mt_distribution distribution) {
    mt_policy_desc d = {.obs = OBS, .distribution = distribution, .action = 2, .pi = {UNITS}, .vf = {UNITS}, .pi_depth = 1, .vf_depth = 1,
        .activation = MT_ACT_tanh, .ortho_init = 1, .log_std_init = -0.3f};
    if (distribution == MT_DIST_CATEGORICAL) d.nvec[0] = 3, d.nvec[1] = 2;
    return d;
}

// ---- the same as manta's own

typedef struct tensors {
    int count;
    float *data[32];
    int64_t floats[32];
    char name[32][MT_TENSOR_NAME_BYTES];
} tensors;

static mt_status collect(void *context, const char *name, const mt_tensor *t) {
    tensors *all = context;
    snprintf(all->name[all->count], sizeof *all->name, "%s", name);
    all->data[all->count] = t->data, all->floats[all->count++] = mt_tensor_count(t);
    return MT_OK;
}

static void copy_weights(fixture *to, fixture *from) {
    tensors a = {0}, b = {0};
    mt_policy_visit(to->policy, to->weights.param, collect, &a);
    mt_policy_visit(from->policy, from->weights.param, collect, &b);
    cr_assert_eq(a.count, b.count);
    for (int i = 0; i < a.count; i++) {
        cr_assert_eq(a.floats[i], b.floats[i], "%s", a.name[i]);
        memcpy(a.data[i], b.data[i], sizeof(float) * (size_t)a.floats[i]);
    }
    cr_expect_eq(mt_policy_parameter_count(to->policy), mt_policy_parameter_count(from->policy));
}

static mt_ppo_stats gradient_of(fixture *f) {
    int64_t units = f->policy->recurrent ? ENVS : ROWS;
    mt_ppo_share share = {.parts = MT_POLICY_BOTH, .segment = &f->segment, .index = f->index, .count = units, .inv_rows = 1.0f / ROWS,
        .scalars = &f->scalars, .host_scalars = &f->scalars, .clips_value = f->scalars.clip_range_vf >= 0, .loss = f->loss};
    mt_ppo_stats s = {0};
    mt_weights_pack(&f->weights, f->policy, f->k, MT_POLICY_BOTH);
    mt_ppo_gradient(f->policy, f->k, &f->weights, &share, &f->space, f->grad, &s);
    return s;
}

static void expect_same(fixture *a, fixture *b) {
    tensors x = {0}, y = {0};
    mt_ppo_stats s = gradient_of(a), t = gradient_of(b);
    mt_policy_visit(a->policy, a->grad, collect, &x);
    mt_policy_visit(b->policy, b->grad, collect, &y);
    double largest = 0;
    for (int i = 0; i < x.count; i++)
        for (int64_t k = 0; k < x.floats[i]; k++) {
            largest = fmax(largest, fabs(x.data[i][k]));
            cr_expect_float_eq(x.data[i][k], y.data[i][k], 2e-5, "%s[%d]: %g and %g", y.name[i], (int)k, x.data[i][k], y.data[i][k]);
        }
    cr_expect_gt(largest, 1e-2, "a gradient of nothing tests nothing");
    cr_expect_float_eq(s.policy_loss, t.policy_loss, 1e-4);
    cr_expect_float_eq(s.value_loss, t.value_loss, 1e-4);
    cr_expect_float_eq(s.entropy, t.entropy, 1e-4);
    cr_expect_float_eq(s.approx_kl, t.approx_kl, 1e-4);
    cr_expect_eq(s.clipped, t.clipped);
}

static void compare(const mt_policy_desc *own, const mt_policy_desc *plugin, const manta_loss_desc *loss, float clip_range_vf) {
    for (int pieces = 0; pieces < 2; pieces++) {
        fixture a, b;
        set_up(&a, own, ROWS);
        set_up(&b, plugin, pieces ? 4 : ROWS);
        copy_weights(&b, &a);
        a.scalars.clip_range_vf = b.scalars.clip_range_vf = clip_range_vf;
        if (loss) cr_assert_eq(mt_plugin_loss_create(loss, b.policy, NULL, 0, &b.loss), MT_OK, "%s", mt_last_error());
        expect_same(&a, &b);
        tear_down(&a);
        tear_down(&b);
    }
}

Test(plugins, a_policy_that_is_mlp_policy_has_its_gradient) {
    for (int distribution = MT_DIST_CATEGORICAL; distribution <= MT_DIST_GAUSSIAN; distribution++) {
        mt_policy_desc own = base((mt_distribution)distribution), plugin = own;
        plugin.plugin = &plain_policy;
        compare(&own, &plugin, NULL, -1);
    }
}

Test(plugins, a_loss_that_is_ppos_has_its_gradient) {
    for (int distribution = MT_DIST_CATEGORICAL; distribution <= MT_DIST_GAUSSIAN; distribution++) {
        mt_policy_desc own = base((mt_distribution)distribution), undivided = own;
        undivided.undivided = 1;
        compare(&own, &undivided, &plain_loss, -1);
        compare(&own, &undivided, &plain_loss, 0.2f);
        undivided.plugin = &plain_policy;   // both at once
        compare(&own, &undivided, &plain_loss, 0.2f);
    }
}

static mt_policy_registry with_layers(mt_policy_entry entries[2]) {
    entries[0] = (mt_policy_entry){.name = plain_layer.name, .origin = "here", .desc = &plain_layer};
    entries[1] = (mt_policy_entry){.name = memory_layer.name, .origin = "here", .desc = &memory_layer};
    mt_policy_registry r = {0};
    r.of[MT_PLUGIN_LAYER].entries = entries, r.of[MT_PLUGIN_LAYER].count = 2;
    return r;
}

Test(plugins, a_layer_that_is_dense_has_its_gradient) {
    mt_policy_entry entries[2];
    mt_policy_registry registry = with_layers(entries);
    mt_policy_desc own = base(MT_DIST_CATEGORICAL), plugin;
    own.extractor = MT_EXTRACTOR_LAYERS, own.layers = "dense 11 silu; dense 6; layer_norm tanh", own.plugins = &registry;
    plugin = own;
    plugin.layers = "plain 11; silu; plain 6 from -1; layer_norm tanh";
    compare(&own, &plugin, NULL, -1);
    // its gradient is added to another's, and nobody wants that of the observation
    own.layers = "a = dense 8 tanh; dense 8; add from a, -1", plugin.layers = "a = plain; a = tanh; plain 8; add from a, -1";
    compare(&own, &plugin, NULL, -1);
}

// ---- finite differences

static mt_policy_output forward(fixture *f, mt_sequences *sequences) {
    *sequences = (mt_sequences){.steps = STEPS, .envs = ENVS, .start = f->segment.start, .state = f->segment.state, .state_out = f->state_out,
        .state_stride = f->policy->sizes.state};
    mt_weights_pack(&f->weights, f->policy, f->k, MT_POLICY_BOTH);
    return mt_policy_forward(f->policy, f->k, &f->weights, f->segment.obs, ROWS, f->policy->recurrent ? sequences : NULL, MT_POLICY_BOTH,
        &f->space.net);
}

static double objective(fixture *f) {
    mt_sequences sequences;
    mt_policy_output out = forward(f, &sequences);
    double sum = 0;
    for (int i = 0; i < ROWS * f->policy->head; i++) sum += (double)f->d_head[i] * out.head[i];
    for (int i = 0; i < ROWS; i++) sum += (double)f->d_value[i] * out.value[i];
    for (int i = 0; f->policy->log_std_rows && i < ROWS * f->policy->desc.action; i++) sum += (double)f->d_log_std[i] * out.log_std[i];
    return sum;
}

static void check_gradient(const mt_policy_desc *desc) {
    fixture f;
    mt_sequences sequences;
    set_up(&f, desc, ROWS);
    forward(&f, &sequences);
    mt_policy_backward(f.policy, f.k, &f.weights, f.segment.obs, ROWS, f.policy->recurrent ? &sequences : NULL, MT_POLICY_BOTH, f.d_head,
        f.d_value, f.d_log_std, &f.space.net, f.grad, 0);
    double worst = 0, largest = 0;
    tensors all = {0};
    mt_policy_visit(f.policy, f.weights.param, collect, &all);
    for (int t = 0; t < all.count; t++)
        for (int64_t i = 0; i < all.floats[t]; i++) {
            const float h = 4e-3f;
            float *w = all.data[t] + i, at = *w, g = f.grad[w - f.weights.param];
            if (f.policy->log_std >= 0 && w >= f.weights.param + f.policy->log_std) continue;   // no output of the network's
            *w = at + h;
            double up = objective(&f);
            *w = at - h;
            double down = objective(&f);
            *w = at;
            largest = fmax(largest, fabs(g));
            worst = fmax(worst, fabs((up - down) / (2.0 * h) - g));
        }
    cr_expect_gt(largest, 1);
    cr_expect_lt(worst, 0.01 * largest, "finite differences are off by %g of %g", worst, largest);
    tear_down(&f);
}

Test(plugins, gradients_of_policies) {
    manta_policy_option memory = {"memory", "1"};
    mt_policy_desc d = base(MT_DIST_CATEGORICAL);
    d.plugin = &plain_policy;
    check_gradient(&d);
    d.options = &memory, d.option_count = 1;
    check_gradient(&d);
    d = base(MT_DIST_GAUSSIAN);
    d.plugin = &log_std_policy;
    check_gradient(&d);
}

Test(plugins, gradients_of_a_layer_with_a_state) {
    mt_policy_entry entries[2];
    mt_policy_registry registry = with_layers(entries);
    mt_policy_desc d = base(MT_DIST_CATEGORICAL);
    d.extractor = MT_EXTRACTOR_LAYERS, d.layers = "dense 6 tanh; remember; plain 7; gru 4; remember", d.plugins = &registry;
    check_gradient(&d);
}

// ---- states

// T steps at once and one after the other give the same bits, and so does a state that is written where it was read
static void check_steps(const mt_policy_desc *desc) {
    fixture f;
    mt_sequences s;
    set_up(&f, desc, ROWS);
    int head = f.policy->head, state = f.policy->sizes.state;
    cr_assert(f.policy->recurrent && state > 0 && f.policy->undivided == (desc->plugin != NULL));
    float all_head[ROWS * 8], all_value[ROWS], all_state[ENVS * 64];
    mt_policy_output out = forward(&f, &s);
    memcpy(all_head, out.head, sizeof *all_head * (size_t)(ROWS * head));
    memcpy(all_value, out.value, sizeof all_value);
    memcpy(all_state, f.state_out, sizeof *all_state * (size_t)(ENVS * state));
    for (int t = 0; t < STEPS; t++) {
        mt_sequences one = {.steps = 1, .envs = ENVS, .start = f.segment.start + t * ENVS, .state = f.segment.state, .state_out = f.segment.state,
            .state_stride = state};
        out = mt_policy_forward(f.policy, f.k, &f.weights, f.segment.obs + t * ENVS * OBS, ENVS, &one, MT_POLICY_BOTH, &f.space.net);
        cr_expect_eq(memcmp(out.head, all_head + t * ENVS * head, sizeof(float) * (size_t)(ENVS * head)), 0, "step %d", t);
        cr_expect_eq(memcmp(out.value, all_value + t * ENVS, sizeof(float) * ENVS), 0, "step %d", t);
    }
    cr_expect_eq(memcmp(f.segment.state, all_state, sizeof(float) * (size_t)(ENVS * state)), 0);
    tear_down(&f);
}

Test(plugins, states_go_on) {
    manta_policy_option memory = {"memory", "1"};
    mt_policy_entry entries[2];
    mt_policy_registry registry = with_layers(entries);
    mt_policy_desc d = base(MT_DIST_CATEGORICAL);
    d.plugin = &plain_policy, d.options = &memory, d.option_count = 1;
    check_steps(&d);
    d = base(MT_DIST_CATEGORICAL);
    d.extractor = MT_EXTRACTOR_LAYERS, d.layers = "dense 6 tanh; remember; gru 4; remember", d.plugins = &registry;
    check_steps(&d);
}

// ---- names of tensors, sizes, refusals

Test(plugins, tensors_are_named) {
    mt_policy_entry entries[2];
    mt_policy_registry registry = with_layers(entries);
    mt_policy_desc d = base(MT_DIST_GAUSSIAN);
    tensors all = {0};
    mt_policy *p;
    d.plugin = &plain_policy;
    cr_assert_eq(mt_policy_create(&d, &p), MT_OK);
    float *slab = calloc((size_t)p->sizes.params, sizeof *slab);
    mt_policy_visit(p, slab, collect, &all);
    cr_expect_eq(all.count, 9);
    cr_expect_str_eq(all.name[0], "log_std");
    cr_expect_str_eq(all.name[1], "pi0.weight");
    cr_expect_str_eq(all.name[8], "vf1.bias");
    cr_expect_eq(p->critic, p->sizes.params);
    free(slab);
    mt_policy_destroy(p);
    d = base(MT_DIST_CATEGORICAL);
    d.extractor = MT_EXTRACTOR_LAYERS, d.layers = "plain 3; here = remember", d.plugins = &registry;
    cr_assert_eq(mt_policy_create(&d, &p), MT_OK);
    slab = calloc((size_t)p->sizes.params, sizeof *slab);
    memset(&all, 0, sizeof all);
    mt_policy_visit(p, slab, collect, &all);
    cr_expect_str_eq(all.name[0], "features_extractor.0.weight");
    cr_expect_str_eq(all.name[2], "features_extractor.here.u");
    free(slab);
    mt_policy_destroy(p);
}

static void refused(const mt_policy_desc *d, mt_status expected, const char *words) {
    mt_policy *p = (mt_policy *)(uintptr_t)words;
    cr_expect_eq(mt_policy_create(d, &p), expected, "%s", words);
    cr_expect(!p && strstr(mt_last_error(), words), "'%s' is not in: %s", words, mt_last_error());
}

static manta_policy_plan bad_plan;
static const manta_policy_plan *get_bad_plan(const manta_policy *p) { return (void)p, &bad_plan; }
static int refuse(const manta_policy_config *c, manta_policy **out, char *error) {
    (void)c, (void)out;
    snprintf(error, MANTA_ERROR_BYTES, "it is Sunday");
    return 1;
}
static int empty(const manta_policy_config *c, manta_policy **out, char *error) {
    (void)c, (void)error;
    *out = NULL;
    return 0;
}

Test(plugins, policies_are_refused_with_words) {
    manta_policy_desc bad = plain_policy;
    manta_policy_option option = {"memry", "1"}, twice[] = {{"memory", "1"}, {"memory", "0"}};
    mt_policy_desc d = base(MT_DIST_GSDE);
    d.plugin = &bad;
    refused(&d, MT_CONFIG, "policy plain: use_sde is for manta's own policies");
    d = base(MT_DIST_CATEGORICAL), d.plugin = &bad;
    d.options = &option, d.option_count = 1;
    refused(&d, MT_CONFIG, "policy plain has no option 'memry'; did you mean \"memory\"?");
    d.options = twice, d.option_count = 2;
    refused(&d, MT_CONFIG, "option 'memory' is given twice");
    d.option_count = 0;
    bad.create = refuse;
    refused(&d, MT_CONFIG, "policy plain: it is Sunday");
    bad.create = empty;
    refused(&d, MT_PLUGIN, "left *out NULL");
    bad = plain_policy, bad.plan = get_bad_plan;
    refused(&d, MT_PLUGIN, "plan's struct_size is 0");
    manta_parameter p = {"w", 1, {4}};
    bad_plan = (manta_policy_plan){.struct_size = sizeof bad_plan};
    refused(&d, MT_PLUGIN, "parameter_count is 0");
    bad_plan.parameter_count = 1;
    refused(&d, MT_PLUGIN, "parameters is NULL");
    bad_plan.parameters = &p, bad_plan.row_floats = -1;
    refused(&d, MT_PLUGIN, "row_floats is -1");
    bad_plan.row_floats = INT64_MAX;
    refused(&d, MT_PLUGIN, "row_floats is 9223372036854775807");
    bad_plan.row_floats = 0, p.shape[0] = INT64_C(1) << 40;
    refused(&d, MT_PLUGIN, "parameter w: shape[0] is 1099511627776");
}

Test(plugins, layers_are_refused_with_words) {
    mt_policy_entry entries[2];
    mt_policy_registry registry = with_layers(entries);
    mt_policy_desc d = base(MT_DIST_CATEGORICAL);
    d.extractor = MT_EXTRACTOR_LAYERS, d.plugins = &registry;
    d.layers = "plian 3";
    refused(&d, MT_CONFIG, "no layer is called \"plian\"; did you mean \"plain\"?");
    d.layers = "plain 3 4";
    refused(&d, MT_CONFIG, "plain takes at most 1 number");
    d.layers = "plain 3 relu";
    refused(&d, MT_CONFIG, "\"relu\" is not understood behind plain");
    d.layers = "plain 0";
    refused(&d, MT_CONFIG, "layers, line 1 (plain): layer plain: units is 0; give 1 or more");
    d.layers = "plain 1e9";
    refused(&d, MT_PLUGIN, "its output is 1 × 1 × 1000000000");
    d.layers = "a = plain 3; b = plain 3 from a; plain 3 from a, b";
    refused(&d, MT_CONFIG, "reads 2 layers");
    d.plugins = NULL, d.layers = "plain 3";
    refused(&d, MT_CONFIG, "no layer is called \"plain\"");
}

// ---- tables as memory

static const manta_policy_desc *policies[2];
static const manta_layer_desc *layers[2];
static const manta_loss_desc *losses[2];
static manta_policy_plugin table(void) {
    policies[0] = &plain_policy, policies[1] = &log_std_policy, layers[0] = &plain_layer, layers[1] = &memory_layer, losses[0] = &plain_loss;
    return (manta_policy_plugin){.struct_size = sizeof(manta_policy_plugin), .abi_version = MANTA_POLICY_ABI_VERSION, .name = "n", .version = "1",
        .policy_count = 2, .policies = policies, .layer_count = 2, .layers = layers, .loss_count = 1, .losses = losses};
}

static void invalid(const manta_policy_plugin *t, size_t available, const char *words) {
    cr_expect_eq(mt_policy_plugin_validate(t, available, "p.so"), MT_PLUGIN, "%s", words);
    cr_expect(strstr(mt_last_error(), words), "'%s' is not in: %s", words, mt_last_error());
}

Test(plugins, a_table_is_checked_as_memory) {
    manta_policy_plugin t = table();
    cr_expect_eq(mt_policy_plugin_validate(&t, sizeof t, "p.so"), MT_OK, "%s", mt_last_error());
    invalid(NULL, 0, "manta_policy_entry returned NULL");
    invalid(&t, 7, "cut short");
    invalid(&t, sizeof t - 1, "struct_size");
    t.abi_version = 9;
    invalid(&t, sizeof t, "made for policy ABI version 9, this manta speaks version 1; recompile");
    t = table(), t.policy_count = t.layer_count = t.loss_count = 0;
    invalid(&t, sizeof t, "no policy, no layer and no loss");
    t = table(), t.layers = NULL;
    invalid(&t, sizeof t, "2 layers listed and the list is NULL");
    t = table(), t.loss_count = UINT32_MAX;
    invalid(&t, sizeof t, "4294967295 loss");
    t = table(), policies[1] = policies[0];
    invalid(&t, sizeof t, "two of policy are called plain");
    t = table(), layers[0] = NULL;
    invalid(&t, sizeof t, "p.so: layer 1 of 2: a layer's descriptor is NULL");
}

Test(plugins, descriptors_are_checked_as_memory) {
    manta_policy_desc p = plain_policy;
    manta_layer_desc l = plain_layer;
    manta_loss_desc s = plain_loss;
#define INVALID(status, words)                                                                                          \
    cr_expect_eq(status, MT_PLUGIN, "%s", words);                                                                       \
    cr_expect(strstr(mt_last_error(), words), "'%s' is not in: %s", words, mt_last_error())
    INVALID(mt_policy_validate_desc(&p, sizeof p - 1), "struct_size");
    p.struct_size = 8;
    INVALID(mt_policy_validate_desc(&p, SIZE_MAX), "a policy's struct_size is 8");
    p = plain_policy, p.abi_version = 2;
    INVALID(mt_policy_validate_desc(&p, SIZE_MAX), "a policy is of ABI version 2");
    p = plain_policy, p.name = "my net";
    INVALID(mt_policy_validate_desc(&p, SIZE_MAX), "a policy's name must be");
    p = plain_policy, p.backward = NULL;
    INVALID(mt_policy_validate_desc(&p, SIZE_MAX), "policy plain: .backward is NULL");
    p = plain_policy, p.capabilities = 1u << 9;
    INVALID(mt_policy_validate_desc(&p, SIZE_MAX), "capabilities 0x200 has bits");
    p = plain_policy, p.options = NULL;
    INVALID(mt_policy_validate_desc(&p, SIZE_MAX), "option_count is 1 but options is NULL");
    l.name = "12";
    INVALID(mt_layer_validate_desc(&l, SIZE_MAX), "its name is a number");
    l = plain_layer, l.number_count = 9;
    INVALID(mt_layer_validate_desc(&l, SIZE_MAX), "number_count is 9");
    l = plain_layer, l.capabilities = MANTA_POLICY_LOG_STD;
    INVALID(mt_layer_validate_desc(&l, SIZE_MAX), "does not know of a layer");
    manta_layer_number nan_number = {"x", NAN, "help"};
    l = plain_layer, l.numbers = &nan_number;
    INVALID(mt_layer_validate_desc(&l, SIZE_MAX), "numbers[0] needs a name, a finite standard value");
    l = memory_layer, l.init = NULL;
    cr_expect_eq(mt_layer_validate_desc(&l, SIZE_MAX), MT_OK);
    s.gradient = NULL;
    INVALID(mt_loss_validate_desc(&s, SIZE_MAX), "loss plain: .gradient is NULL");
}

// ---- GPUs: a plugin says whether it works there, and is told where its arrays lie

static uint32_t seen_device;
static void *seen_stream;
static void note(const manta_pass *pass) { seen_device = pass->device, seen_stream = pass->stream; }
static void note_policy(const manta_policy *p, const manta_pass *pass, const manta_policy_output *out) {
    note(pass);
    policy_forward(p, pass, out);
}
static void note_layer(const manta_layer_plan *p, const manta_pass *pass, float *y) {
    note(pass);
    dense_forward(p, pass, y);
}
static void note_loss(const manta_loss *l, const manta_loss_batch *b) {
    seen_device = b->device, seen_stream = b->stream;
    ppo_gradient(l, b);
}
static void *a_stream(void) { return &seen_stream; }

// what a GPU's table is told round a plugin's calls: before, after, kind and name
static int foreign_before, foreign_after;
static char foreign_last[64];
static void a_foreign(const char *kind, const char *name) {
    cr_expect_eq(foreign_before - foreign_after, name ? 1 : 0, "before and after in turn");
    if (!name) foreign_before++;
    else foreign_after++, snprintf(foreign_last, sizeof foreign_last, "%s %s", kind, name);
}

// memory is the host's all the same: these functions do not care
static void expect_place(const mt_policy_desc *desc, const manta_loss_desc *loss) {
    for (int gpu = 0; gpu < 2; gpu++) {
        fixture f;
        set_up(&f, desc, ROWS);
        mt_kernels k = *f.k;
        k.on_cuda = gpu, k.stream = gpu ? a_stream : NULL, k.foreign = gpu ? a_foreign : NULL;
        f.k = &k;
        cr_expect_eq(mt_policy_check_place(f.policy, &k), MT_OK, "%s", mt_last_error());
        if (loss) cr_assert_eq(mt_plugin_loss_create(loss, f.policy, NULL, 0, &f.loss), MT_OK);
        seen_device = 99;
        gradient_of(&f);
        cr_expect_eq(seen_device, gpu ? MANTA_DEVICE_CUDA : MANTA_DEVICE_CPU);
        cr_expect(seen_stream == (gpu ? a_stream() : NULL));
        const char *called = loss ? "loss plain" : desc->plugin ? "policy plain" : "layer plain";
        if (gpu) cr_expect(foreign_after >= (loss ? 1 : 2) && !strcmp(foreign_last, called), "%d: %s", foreign_after, foreign_last);
        foreign_before = foreign_after = 0;
        tear_down(&f);
    }
}

Test(plugins, gpus) {
    manta_policy_desc policy = plain_policy;
    manta_layer_desc layer = plain_layer;
    manta_loss_desc loss = plain_loss;
    policy.forward = note_policy, layer.forward = note_layer, loss.gradient = note_loss;
    policy.capabilities = layer.capabilities = loss.capabilities = MANTA_ON_CUDA;
    mt_policy_entry entries[2];
    mt_policy_registry registry = with_layers(entries);
    entries[0].desc = &layer;
    mt_policy_desc d = base(MT_DIST_CATEGORICAL);
    d.plugin = &policy;
    expect_place(&d, NULL);
    d.plugin = NULL, d.undivided = 1;
    expect_place(&d, &loss);
    d.undivided = 0, d.extractor = MT_EXTRACTOR_LAYERS, d.layers = "plain 5", d.plugins = &registry;
    expect_place(&d, NULL);

    mt_kernels k = *mt_kernels_cpu(MT_ISA_plain_id);
    k.on_cuda = 1;
    mt_policy *p;
    d.layers = "plain 5; remember";
    cr_assert_eq(mt_policy_create(&d, &p), MT_OK);
    cr_expect_eq(mt_policy_check_place(p, &k), MT_UNSUPPORTED);
    cr_expect(strstr(mt_last_error(), "layer remember works on the CPU alone; use --device cpu --rollout-device cpu"), "%s", mt_last_error());
    mt_policy_destroy(p);
    d = base(MT_DIST_CATEGORICAL), d.plugin = &plain_policy;
    cr_assert_eq(mt_policy_create(&d, &p), MT_OK);
    cr_expect_eq(mt_policy_check_place(p, &k), MT_UNSUPPORTED);
    mt_policy_destroy(p);
}

#if MANTA_CUDA_HOST
// A plugin's GPU code returns no status: what the runtime remembers of it is the pass's failure, under its name and no other's.
int cudaSetDevice(int device);

Test(plugins, errors_of_a_plugins_gpu_code) {
    const mt_kernels *cpu;
    mt_device *device;
    mt_compute *c;
    cr_assert_eq(mt_kernels_choose(&cpu), MT_OK);
    cr_assert_eq(mt_device_open("cuda", &device), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_compute_open(&(mt_compute_desc){.device = device, .cpu = cpu}, &c), MT_OK, "%s", mt_last_error());
    for (int faulty = 0; faulty < 2; faulty++) {
        mt_compute_begin(c);
        (void)cudaSetDevice(99);   // somebody else's, unseen so far
        mt_plugin_enter(c->kernels);
        if (faulty) (void)cudaSetDevice(99);
        mt_plugin_leave(c->kernels, "layer", "careless");
        mt_plugin_enter(c->kernels);
        mt_plugin_leave(c->kernels, "layer", "careful");
        mt_status status = mt_compute_end(c);
        cr_expect_eq(status, faulty ? MT_PLUGIN : MT_OK, "%s", mt_last_error());
        cr_expect(!faulty || strstr(mt_last_error(), "layer careless: a CUDA call or launch in it failed"), "%s", mt_last_error());
    }
    cr_expect_eq(mt_compute_wait(c), MT_OK, "%s", mt_last_error());
    mt_compute_close(c);
    mt_device_close(device);
}
#endif
