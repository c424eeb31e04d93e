// Networks of every kind of layer: gradients against finite differences, sequences against step by step, what is refused, and
// layers written as text.
#include "policies/architecture.h"
#include "policies/network_text.h"

#include "engine/base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { STEPS = 5, ENVS = 3, ROWS = STEPS * ENVS };

static const mt_input board = {.name = "board", .kind = MT_INPUT_IMAGE, .width = 12 * 12 * 3, .height = 12, .width_px = 12, .channels = 3};
static const mt_input speed = {.name = "speed", .kind = MT_INPUT_VECTOR, .offset = 12 * 12 * 3, .width = 5};
static const mt_input place = {.name = "place", .kind = MT_INPUT_INDEX, .offset = 12 * 12 * 3 + 5, .width = 1, .entries = 4};

typedef struct fixture {
    const mt_kernels *k;
    mt_policy *policy;
    mt_arena arena;
    mt_weights weights;
    mt_policy_space space;
    float *grad, *obs, *state, *state_out, *d_head, *d_value;
    uint8_t start[ROWS];
    mt_sequences sequences;
} fixture;

static void normals(float *out, int64_t count, double scale, mt_rng *rng) {
    for (int64_t i = 0; i < count; i++) out[i] = (float)(scale * mt_rng_normal(rng));
}

static mt_policy_desc base(int obs) {
    return (mt_policy_desc){.obs = obs, .distribution = MT_DIST_CATEGORICAL, .action = 1, .nvec = {3}, .pi = {7}, .vf = {6}, .pi_depth = 1,
        .vf_depth = 1, .activation = MT_ACT_tanh, .ortho_init = 1, .memory_units = 8, .memory_depth = 1};
}

static mt_policy_desc with_inputs(const char *layers) {
    mt_policy_desc d = base(12 * 12 * 3 + 6);
    d.inputs[0] = board, d.inputs[1] = speed, d.inputs[2] = place, d.input_count = 3;
    d.extractor = MT_EXTRACTOR_LAYERS, d.layers = layers;
    return d;
}

static void set_up(fixture *f, const mt_policy_desc *desc, mt_isa isa) {
    mt_rng rng = mt_rng_at(11, mt_rng_stream(MT_RNG_USER, 1), 0);
    *f = (fixture){.k = mt_kernels_cpu(isa)};
    cr_assert_eq(mt_policy_create(desc, &f->policy), MT_OK, "%s", mt_last_error());
    const mt_policy *p = f->policy;
    mt_weights_register(&f->weights, p, &f->arena);
    mt_policy_space_register(&f->space, p, f->k, ROWS, 1, &f->arena);
    MT_ARENA_ADD(&f->arena, f->grad, p->sizes.params);
    MT_ARENA_ADD(&f->arena, f->obs, ROWS * desc->obs);
    MT_ARENA_ADD(&f->arena, f->state, ENVS * p->sizes.state + 1);
    MT_ARENA_ADD(&f->arena, f->state_out, ENVS * p->sizes.state + 1);
    MT_ARENA_ADD(&f->arena, f->d_head, ROWS * p->head);
    MT_ARENA_ADD(&f->arena, f->d_value, ROWS);
    cr_assert_eq(mt_arena_commit(&f->arena), MT_OK);
    cr_assert_eq(mt_weights_init(&f->weights, p, f->k, 3), MT_OK);
    for (int64_t i = 0; i < p->sizes.params; i++) f->weights.param[i] += (float)(0.05 * mt_rng_normal(&rng));
    mt_weights_pack(&f->weights, p, f->k, MT_POLICY_BOTH);
    normals(f->obs, ROWS * desc->obs, 1, &rng);
    for (int i = 0; i < desc->input_count; i++)
        for (int r = 0; desc->inputs[i].kind == MT_INPUT_INDEX && r < ROWS; r++)
            f->obs[r * desc->obs + desc->inputs[i].offset] = (float)(r % desc->inputs[i].entries);
    normals(f->state, ENVS * p->sizes.state, 0.5, &rng);
    normals(f->d_head, ROWS * p->head, 1, &rng);
    normals(f->d_value, ROWS, 1, &rng);
    for (int r = 0; r < ROWS; r++) f->start[r] = r == 1 || r == 2 * ENVS;   // at the first step, and in the middle
    f->sequences = (mt_sequences){.steps = STEPS, .envs = ENVS, .start = f->start, .state = f->state, .state_out = f->state_out,
        .state_stride = p->sizes.state};
}

static void tear_down(fixture *f) {
    mt_arena_fini(&f->arena);
    mt_policy_destroy(f->policy);
}

static mt_policy_output forward(fixture *f) {
    mt_weights_pack(&f->weights, f->policy, f->k, MT_POLICY_BOTH);
    return mt_policy_forward(f->policy, f->k, &f->weights, f->obs, ROWS, &f->sequences, MT_POLICY_BOTH, &f->space);
}

// Σ d_head·head + d_value·value: what has these gradients
static double objective(fixture *f) {
    mt_policy_output out = forward(f);
    double sum = 0;
    for (int i = 0; i < ROWS * f->policy->head; i++) sum += (double)f->d_head[i] * out.head[i];
    for (int i = 0; i < ROWS; i++) sum += (double)f->d_value[i] * out.value[i];
    return sum;
}

static mt_status check_tensor(void *context, const char *name, const mt_tensor *tensor) {
    fixture *f = context;
    mt_rng rng = mt_rng_at(5, mt_rng_stream(MT_RNG_USER, 2), 0);
    int64_t count = mt_tensor_count(tensor);
    float *w = tensor->data, *g = f->grad + (w - f->weights.param), *d = malloc(sizeof *d * (size_t)count), *kept = malloc(sizeof *d * (size_t)count);
    double length = 0, squares = 0, wanted = 0, best = INFINITY;
    memcpy(kept, w, sizeof *w * (size_t)count);
    normals(d, count, 1, &rng);
    for (int64_t i = 0; i < count; i++) length += (double)g[i] * g[i], squares += (double)d[i] * d[i];
    // along the gradient, which is large, and along a random direction, which misses no component
    for (int64_t i = 0; i < count; i++) d[i] = (float)(d[i] / sqrt(squares) + (length > 0 ? g[i] / sqrt(length) : 0));
    for (int64_t i = 0; i < count; i++) wanted += (double)d[i] * g[i];
    // the best of several: rounding below, kinks and curvature above
    double step = fmin(0.04, 1 / fabs(wanted));
    for (int halving = 0; halving < 7; halving++, step /= 2) {
        double side[2];
        for (int s = 0; s < 2; s++) {
            for (int64_t i = 0; i < count; i++) w[i] = kept[i] + (float)((s ? -step : step) * d[i]);
            side[s] = objective(f);
        }
        double error = fabs((side[0] - side[1]) / (2 * step) - wanted) / fmax(1, fabs(wanted));
        if (error < best) best = error;
    }
    memcpy(w, kept, sizeof *w * (size_t)count);
    cr_expect_lt(best, 0.02, "%s: the gradient is off by %.3g of itself (%g)", name, best, wanted);
    free(d);
    free(kept);
    return MT_OK;
}

static void check_gradients(const mt_policy_desc *desc, mt_isa isa) {
    if (!mt_kernels_cpu(isa)) return;
    fixture f;
    set_up(&f, desc, isa);
    forward(&f);
    mt_policy_backward(f.policy, f.k, &f.weights, f.obs, ROWS, &f.sequences, MT_POLICY_BOTH, f.d_head, f.d_value, NULL, &f.space, f.grad, 0);
    float *once = malloc(sizeof *once * (size_t)f.policy->sizes.params);
    memcpy(once, f.grad, sizeof *once * (size_t)f.policy->sizes.params);
    mt_policy_visit(f.policy, f.weights.param, check_tensor, &f);
    // and again, added
    forward(&f);
    mt_policy_backward(f.policy, f.k, &f.weights, f.obs, ROWS, &f.sequences, MT_POLICY_BOTH, f.d_head, f.d_value, NULL, &f.space, f.grad, 1);
    for (int64_t i = 0; i < f.policy->sizes.params; i++)
        cr_assert_float_eq(f.grad[i], 2 * once[i], 1e-4 * fmax(1, fabs(2 * (double)once[i])), "parameter %lld of %s", (long long)i, f.k->name);
    free(once);
    tear_down(&f);
}

static void check_everywhere(const mt_policy_desc *desc) {
    for (int isa = 0; isa < MT_ISA_COUNT; isa++) check_gradients(desc, (mt_isa)isa);
}

Test(network, gradients_of_separate_and_shared_dense_nets) {
    mt_policy_desc d = base(9);
    check_everywhere(&d);
    d.shared[0] = 8, d.shared_depth = 1, d.activation = MT_ACT_gelu;
    check_everywhere(&d);
}

Test(network, gradients_of_memories_of_each_of_the_actor_and_shared) {
    for (int memory = MT_MEMORY_LSTM; memory <= MT_MEMORY_GRU; memory++)
        for (int of = MT_MEMORY_OF_EACH; of <= MT_MEMORY_SHARED; of++) {
            mt_policy_desc d = base(6);
            d.memory = (mt_memory)memory, d.memory_of = (mt_memory_of)of, d.memory_depth = 1 + of % 2;
            if (of == MT_MEMORY_SHARED) d.shared[0] = 5, d.shared_depth = 1;
            check_everywhere(&d);
        }
}

Test(network, gradients_of_convolutions_residual_blocks_pools_and_joins) {
    mt_policy_desc d = with_inputs("image = input board\n"
                                   "c = conv2d 5 3 stride 2 padding 1 silu\n"
                                   "skip = max_pool2d 3 stride 2 padding 1\n"
                                   "tanh\n conv2d 5 3 padding 1 tanh\n conv2d 5 3 padding 1\n add from -1, skip\n"
                                   "gelu\n flatten\n deep = dense 9 tanh\n"
                                   "raw = input speed\n n = dense 6 tanh\n layer_norm tanh from n\n both = add from -1, n\n"
                                   "input place\n e = embedding 3\n"
                                   "concat from deep, both, e\n dense 8 elu\n");
    check_everywhere(&d);
    d.memory = MT_MEMORY_LSTM;
    check_everywhere(&d);
    d.separate_features = 1;
    check_gradients(&d, MT_ISA_plain_id);
}

Test(network, gradients_of_the_named_extractors, .timeout = 300) {
    mt_policy_desc d = base(36 * 36);
    d.inputs[0] = (mt_input){.kind = MT_INPUT_IMAGE, .width = 36 * 36, .height = 36, .width_px = 36, .channels = 1}, d.input_count = 1;
    d.pi_depth = d.vf_depth = 0;
    for (int name = 0; name < MT_POLICY_NAMES; name++) {
        if (name == MT_POLICY_MlpPolicy) continue;
        mt_policy_named((mt_policy_name)name, &d);
        d.features = 16;
        mt_policy *p;
        cr_assert_eq(mt_policy_create(&d, &p), MT_OK, "%s: %s", mt_policy_names[name], mt_last_error());
        mt_policy_destroy(p);
        if (name == MT_POLICY_CnnPolicy || name == MT_POLICY_ImpalaCnnGruPolicy) check_gradients(&d, MT_ISA_avx2_id);
    }
}

// ---- sequences

Test(network, a_sequence_is_its_steps_one_by_one) {
    mt_policy_desc d = with_inputs("input speed; dense 6 tanh");
    d.memory = MT_MEMORY_GRU, d.memory_depth = 2;
    for (int isa = 0; isa < MT_ISA_COUNT; isa++) {
        if (!mt_kernels_cpu((mt_isa)isa)) continue;
        fixture f;
        float head[ROWS * 3], value[ROWS];
        set_up(&f, &d, (mt_isa)isa);
        mt_policy_output out = forward(&f);
        memcpy(head, out.head, sizeof head), memcpy(value, out.value, sizeof value);
        size_t bytes = sizeof(float) * (size_t)(ENVS * f.policy->sizes.state);
        float *state = malloc(bytes);
        memcpy(state, f.state, bytes);
        for (int t = 0; t < STEPS; t++) {
            mt_sequences one = {.steps = 1, .envs = ENVS, .start = f.start + t * ENVS, .state = state, .state_out = state,
                .state_stride = f.policy->sizes.state};
            out = mt_policy_forward(f.policy, f.k, &f.weights, f.obs + t * ENVS * d.obs, ENVS, &one, MT_POLICY_BOTH, &f.space);
            cr_expect_arr_eq(out.head, head + t * ENVS * 3, sizeof(float) * ENVS * 3, "step %d of %s", t, f.k->name);
            cr_expect_arr_eq(out.value, value + t * ENVS, sizeof(float) * ENVS);
        }
        cr_expect_arr_eq(state, f.state_out, bytes);
        // an environment's rows do not depend on its neighbours
        mt_sequences last = {.steps = 1, .envs = 1, .start = f.start + 2, .state = f.state + 2 * f.policy->sizes.state,
            .state_stride = f.policy->sizes.state};
        out = mt_policy_forward(f.policy, f.k, &f.weights, f.obs + 2 * d.obs, 1, &last, MT_POLICY_BOTH, &f.space);
        cr_expect_arr_eq(out.head, head + 2 * 3, sizeof(float) * 3);
        free(state);
        tear_down(&f);
    }
}

Test(network, a_beginning_forgets_and_a_state_does_not) {
    mt_policy_desc d = base(6);
    d.memory = MT_MEMORY_LSTM;
    fixture f;
    float before[ROWS * 3];
    set_up(&f, &d, MT_ISA_plain_id);
    memcpy(before, forward(&f).head, sizeof before);
    for (int i = 0; i < ENVS * f.policy->sizes.state; i++) f.state[i] += 0.3f;
    const float *after = forward(&f).head;
    cr_expect_arr_eq(after + 3, before + 3, sizeof(float) * 3);                          // environment 1 begins at step 0
    cr_expect(memcmp(after, before, sizeof(float) * 3) != 0);                            // environment 0 goes on from its state,
    cr_expect_arr_eq(after + 2 * ENVS * 3, before + 2 * ENVS * 3, sizeof(float) * 3);    // and begins at step 2
    tear_down(&f);
}

Test(network, chrono_initialisation_sets_how_long_a_memory_lasts) {
    for (int memory = MT_MEMORY_LSTM; memory <= MT_MEMORY_GRU; memory++) {
        mt_policy_desc d = base(6);
        d.memory = (mt_memory)memory, d.memory_units = 64, d.memory_horizon = 100;
        fixture f;
        set_up(&f, &d, MT_ISA_plain_id);
        cr_assert_eq(mt_weights_init(&f.weights, f.policy, f.k, 3), MT_OK);
        const mt_layer *l = &f.policy->pi.layer[1];
        const float *bias = f.weights.param + l->tensor[2];
        double least = 1e9, most = 0;
        for (int j = 0; j < 64; j++) {
            double steps = exp(bias[64 + j]);   // f of the lstm, z of the gru
            least = fmin(least, steps), most = fmax(most, steps);
            if (memory == MT_MEMORY_LSTM) cr_expect_eq(bias[j], -bias[64 + j]);
        }
        cr_expect(least >= 1 && least < 15 && most > 85 && most <= 100, "from %g to %g steps", least, most);
        tear_down(&f);
    }
}

// ---- what is refused

static void refused(const char *layers, const char *says) {
    mt_policy_desc d = with_inputs(layers);
    mt_policy *p;
    mt_status status = mt_policy_create(&d, &p);
    cr_expect_eq(status, MT_CONFIG, "\"%s\" gives status %d", layers, status);
    if (status == MT_CONFIG) cr_expect_not_null(strstr(mt_last_error(), says), "\"%s\": %s", layers, mt_last_error());
    if (status == MT_OK) mt_policy_destroy(p);
}

Test(network, text_that_is_wrong_is_refused_with_the_line_and_the_reason) {
    char long_text[4096] = "input speed\n";
    for (int i = 0; i < 400; i++) strcat(long_text, "dense 3\n");
    refused("", "no layer in the text");
    refused(" \n # nothing\n", "no layer");
    refused("dense 3", "begin with \"input\"");
    refused("input sped", "no input called \"sped\"");
    refused("input speed\ndens 4", "line 2: no layer is called \"dens\"; did you mean \"dense\"?");
    refused("input speed\ndense", "dense needs its units: dense 64");
    refused("input speed\ndense from -1", "dense needs its units");
    refused("input speed\ndense 1.5", "a whole number is wanted, not \"1.5\"");
    refused("input speed\ndense -3", "dense of -3 units; 1 to 65536 are supported");
    refused("input speed\ndense 1000000000", "dense of 1000000000 units; 1 to 65536 are supported");
    refused("input speed\ndense 3 tahn", "\"tahn\" is not understood here; did you mean \"tanh\"?");
    refused("input speed\ndense 3 stride 2", "\"stride\" is not understood here; the form is: dense UNITS [ACTIVATION]");
    refused("input speed\nlayer_norm 3", "\"3\" is not understood here; the form is: layer_norm [ACTIVATION] [from A], without numbers");
    refused("input speed\nrelu 3", "the form is: relu [from A]");
    refused("input board\nconv2d 4", "conv2d needs its kernel: conv2d 32 3");
    refused("input board\nconv2d 4 3 stride", "a number is missing after \"stride\"");
    refused("input speed\nlinear 4", "did you mean \"dense\"?");
    refused("input speed\ndropout", "there are input, dense, conv2d,");
    refused("input\ndense 3", "input needs the name of a part of the observation: ");
    refused("input speed\ndense 3 from x", "no line before it is called \"x\"");
    refused("input speed\ndense 3 from -2", "no line before it");
    refused("input speed\nx = ", "a layer is missing");
    refused("input speed\nadd from", "nothing after \"from\"");
    refused("input board\ndense 3", "put a flatten layer between");
    refused("input board\nconv2d 4 13", "a kernel of 13 × 13 on an image of 12 × 12");
    refused("input speed\nconv2d 4 3", "line 2 (conv2d) reads a vector of 5 and needs an image");
    refused("input board\n\n# a comment\nflatten; conv2d 4 3", "line 4 (conv2d) reads a vector");
    refused("input board; flatten; conv2d 4 3", "line 3 (conv2d) reads a vector");
    refused("input speed; add", "add of one layer does nothing; it wants two or more: add from A, B");
    refused("a = input speed; concat from a", "concat of one layer does nothing");
    refused("input board\nconv2d 4 3 stride 0", "0 stride; 1 to 1024 are supported");
    refused("input board\nconv2d 4 3 padding 3", "3 padding; 0 to 2 are supported");
    refused("input board\nconv2d 4 3", "end the layers with flatten");
    refused("input speed\ndense 0", "of 0 units");
    refused("input speed\ndense 999999", "of 999999 units");
    refused("input speed\nembedding 4", "whole numbers");
    refused("a = dense 8 from -1", "begin with \"input\"");
    refused("a = input speed\nb = dense 8\nb = dense 8", "line 3: another layer is called \"b\" (layers, line 2)");
    refused("input speed\n3 = dense 8\ndense 8\n dense 8", "another layer is called \"3\"");
    refused("input board\nmax_pool2d 9 stride 9\nconv2d 65536 1\nconv2d 65536 4194304 stride 4194304 padding 4194303\nflatten", "1 to 1024 are supported");
    refused("input board\nconv2d 65536 1\nconv2d 65536 12\nflatten", "at most");
    refused("a = input speed\ndense 3 from a\ninput place\nembedding 2", "read by no other");
    refused("a = input speed\nb = dense 3\nadd from a, b", "cannot add 1 × 1 × 3 to 1 × 1 × 5");
    refused("a = input speed\nb = input board\nconcat from a, b", "flatten the image");
    refused(long_text, "more than");
}

Test(network, text_of_a_file_is_refused_with_the_files_line) {
    static const struct { const char *layers, *says; } cases[] = {
        {"input speed\n\n# a comment\ndens 3\n", "conf.yml:14: layers: no layer is called \"dens\""},   // of a block, whose key is in line 10
        {"input speed\nconv2d 4 3\n", "conf.yml:12: layers (conv2d) reads a vector"},
        {"input speed; dense 0", "conf.yml:10: layers, line 2: dense of 0 units"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mt_policy_desc d = with_inputs(cases[i].layers);
        mt_policy *p;
        d.layers_file = "conf.yml", d.layers_line = 10;
        cr_assert_eq(mt_policy_create(&d, &p), MT_CONFIG);
        cr_expect_eq(strstr(mt_last_error(), cases[i].says), mt_last_error(), "%s", mt_last_error());
    }
}

Test(network, an_activation_is_written_as_python_writes_it_too) {
    mt_policy_desc d = with_inputs("input speed\ndense 3 ReLU\nnn.Tanh");
    mt_policy *p;
    cr_assert_eq(mt_policy_create(&d, &p), MT_OK, "%s", mt_last_error());
    cr_expect(p->trunk.layer[1].desc.activation == MT_ACT_relu && p->trunk.layer[2].desc.activation == MT_ACT_tanh);
    mt_policy_destroy(p);
}

Test(network, a_description_that_is_wrong_is_refused) {
    static mt_network net;
    static mt_network_desc d;
    mt_slab_sizes sizes = {0};
    mt_network_add(&d, MT_LAYER_INPUT, "")->input = (mt_input){.width = 4};
    mt_layer_desc *dense = mt_network_add(&d, MT_LAYER_DENSE, "x");
    dense->units = 3, dense->source[0] = 1, dense->source_count = 1;
    cr_expect_eq(mt_network_compile(&net, &d, 4, &sizes), MT_CONFIG);
    cr_expect_not_null(strstr(mt_last_error(), "does not come before it"), "%s", mt_last_error());
    dense->source[0] = 0;
    cr_expect_eq(mt_network_compile(&net, &d, 3, &sizes), MT_CONFIG);
    cr_expect_not_null(strstr(mt_last_error(), "columns 0 to 3"), "%s", mt_last_error());
    cr_expect_eq(mt_network_compile(&net, &d, 4, &sizes), MT_OK);
    for (int i = 0; i < MT_NETWORK_MAX_LAYERS; i++) mt_network_add(&d, MT_LAYER_DENSE, "y")->units = 2;
    cr_expect_eq(mt_network_compile(&net, &d, 4, &sizes), MT_CONFIG);
    cr_expect_not_null(strstr(mt_last_error(), "at most"), "%s", mt_last_error());
}

Test(network, a_policy_that_does_not_fit_its_observation_is_refused) {
    mt_policy *p;
    mt_policy_desc d = base(4);
    d.extractor = MT_EXTRACTOR_NATURE;
    cr_expect_eq(mt_policy_create(&d, &p), MT_CONFIG);
    cr_expect_not_null(strstr(mt_last_error(), "without images"), "%s", mt_last_error());
    d = with_inputs("input board; flatten"), d.extractor = MT_EXTRACTOR_NATURE;
    cr_expect_eq(mt_policy_create(&d, &p), MT_CONFIG);
    cr_expect_not_null(strstr(mt_last_error(), "too small"), "%s", mt_last_error());
    d = with_inputs("input speed; dense 3"), d.separate_features = 1, d.memory = MT_MEMORY_LSTM, d.memory_of = MT_MEMORY_SHARED;
    cr_expect_eq(mt_policy_create(&d, &p), MT_CONFIG);
    cr_expect_not_null(strstr(mt_last_error(), "share those"), "%s", mt_last_error());
}

// ---- what Stable-Baselines3 would compute

// the first layer's weights mean an image's channels one after the other, and a dict's parts by name
Test(network, a_dense_net_reads_images_and_dicts_in_sb3s_order) {
    mt_policy_desc d = base(2 * 2 * 3 + 2);
    d.inputs[0] = (mt_input){.name = "view", .kind = MT_INPUT_IMAGE, .width = 12, .height = 2, .width_px = 2, .channels = 3};
    d.inputs[1] = (mt_input){.name = "goal", .kind = MT_INPUT_VECTOR, .offset = 12, .width = 2}, d.input_count = 2;
    d.pi_depth = d.vf_depth = 0;
    fixture f;
    set_up(&f, &d, MT_ISA_plain_id);
    float *weight = f.weights.param + f.policy->pi.layer[f.policy->pi.count - 1].tensor[0];
    for (int column = 0; column < 14; column++) {   // one column at a time: which float of the observation does it read?
        for (int i = 0; i < 3 * 14; i++) weight[i] = i == column;
        for (int i = 0; i < 14; i++) f.obs[i] = (float)i;
        int at = column - 2, wanted = column < 2 ? 12 + column : at % 4 * 3 + at / 4;   // goal before view; (c, pixel) at pixel·3 + c
        mt_weights_pack(&f.weights, f.policy, f.k, MT_POLICY_BOTH);
        mt_policy_output out = mt_policy_forward(f.policy, f.k, &f.weights, f.obs, 1, NULL, MT_POLICY_ACTOR, &f.space);
        float bias = f.weights.param[f.policy->pi.layer[f.policy->pi.count - 1].tensor[1]];
        cr_expect_float_eq(out.head[0] - bias, wanted, 1e-4, "column %d reads %g, not %d", column, (double)(out.head[0] - bias), wanted);
    }
    tear_down(&f);
}

// ---- names

static mt_status note(void *context, const char *name, const mt_tensor *tensor) {
    char shape[64], *text = context;
    mt_tensor_format(tensor, shape, sizeof shape);
    snprintf(text + strlen(text), 2048 - strlen(text), "%s %s\n", name, shape);
    return MT_OK;
}

Test(network, tensors_have_the_names_and_shapes_of_sb3_contrib) {
    char text[2048] = "";
    mt_policy *p;
    mt_policy_desc d = base(36 * 36);
    d.inputs[0] = (mt_input){.kind = MT_INPUT_IMAGE, .width = 36 * 36, .height = 36, .width_px = 36, .channels = 1}, d.input_count = 1;
    d.pi_depth = d.vf_depth = 0, d.memory_depth = 2;
    mt_policy_named(MT_POLICY_CnnLstmPolicy, &d);
    cr_assert_eq(mt_policy_create(&d, &p), MT_OK);
    float *slab = calloc((size_t)p->sizes.params, sizeof *slab);
    mt_policy_visit(p, slab, note, text);
    cr_expect_str_eq(text,
        "features_extractor.cnn.0.weight F32 (32, 1, 8, 8)\nfeatures_extractor.cnn.0.bias F32 (32)\n"
        "features_extractor.cnn.2.weight F32 (64, 32, 4, 4)\nfeatures_extractor.cnn.2.bias F32 (64)\n"
        "features_extractor.cnn.4.weight F32 (64, 64, 3, 3)\nfeatures_extractor.cnn.4.bias F32 (64)\n"
        "features_extractor.linear.0.weight F32 (512, 64)\nfeatures_extractor.linear.0.bias F32 (512)\n"
        "lstm_actor.weight_ih_l0 F32 (32, 512)\nlstm_actor.weight_hh_l0 F32 (32, 8)\nlstm_actor.bias_ih_l0 F32 (32)\nlstm_actor.bias_hh_l0 F32 (32)\n"
        "lstm_actor.weight_ih_l1 F32 (32, 8)\nlstm_actor.weight_hh_l1 F32 (32, 8)\nlstm_actor.bias_ih_l1 F32 (32)\nlstm_actor.bias_hh_l1 F32 (32)\n"
        "action_net.weight F32 (3, 8)\naction_net.bias F32 (3)\n"
        "lstm_critic.weight_ih_l0 F32 (32, 512)\nlstm_critic.weight_hh_l0 F32 (32, 8)\nlstm_critic.bias_ih_l0 F32 (32)\nlstm_critic.bias_hh_l0 F32 (32)\n"
        "lstm_critic.weight_ih_l1 F32 (32, 8)\nlstm_critic.weight_hh_l1 F32 (32, 8)\nlstm_critic.bias_ih_l1 F32 (32)\nlstm_critic.bias_hh_l1 F32 (32)\n"
        "value_net.weight F32 (1, 8)\nvalue_net.bias F32 (1)\n");
    free(slab);
    mt_policy_destroy(p);
}
