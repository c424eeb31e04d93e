// The learner on a device against the learner on the CPU: the same updates to rounding for every kind of policy and division of
// environments, and what only it has: graphs, pieces, memory that does not suffice. The CPU is a device, too; a GPU is one more,
// where this build has one (preset cuda-host: the host's implementation of it).
#include "scheduler/learner.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "tests/devices.h"

enum { MAX_WORKERS = 4, STEPS = 12, UPDATES = 3 };

// ---- policies

static mt_policy_desc mlp(void) {
    return (mt_policy_desc){.obs = 5, .distribution = MT_DIST_CATEGORICAL, .action = 1, .nvec = {3}, .pi = {16, 12}, .vf = {16}, .pi_depth = 2,
        .vf_depth = 1, .activation = MT_ACT_tanh, .ortho_init = 1, .log_std_init = -0.3f};
}

static mt_policy_desc image(const char *layers) {
    mt_policy_desc d = mlp();
    d.obs = 9 * 7 * 4 + 3, d.input_count = 2, d.extractor = MT_EXTRACTOR_LAYERS, d.layers = layers, d.activation = MT_ACT_relu;
    d.inputs[0] = (mt_input){.name = "eye", .kind = MT_INPUT_IMAGE, .width = 9 * 7 * 4, .height = 9, .width_px = 7, .channels = 4};
    d.inputs[1] = (mt_input){.name = "speed", .kind = MT_INPUT_VECTOR, .offset = 9 * 7 * 4, .width = 3};
    return d;
}

static mt_policy_desc memory(mt_memory memory, mt_memory_of of) {
    mt_policy_desc d = mlp();
    d.memory = memory, d.memory_of = of, d.memory_units = 8, d.memory_depth = 1;
    return d;
}

// ---- two learners of the same policy

typedef struct fixture {
    mt_device *device;
    const mt_kernels *k;
    mt_policy *policy;
    mt_comm *comm;
    mt_compute *compute;
    mt_learner *cpu, *there;
    mt_learner_config config;
    int workers, envs[MAX_WORKERS], masked;
    mt_arena arena;
    mt_segment segment[MAX_WORKERS];
    const mt_segment *segments[MAX_WORKERS];
    mt_rng rng;
} fixture;

static mt_learner_config base_config(void) {
    return (mt_learner_config){.batch_size = 24, .n_epochs = 2, .learning_rate = {0.001, 0}, .clip_range = {0.2, 0}, .clip_range_vf = {-1, 0},
        .ent_coef = 0.02, .vf_coef = 0.6, .max_grad_norm = 0.5, .normalize_advantage = true, .adam_eps = 1e-3};
}

static mt_segment_shape shape_of(const fixture *f) {
    const mt_policy_desc *d = &f->policy->desc;
    return (mt_segment_shape){.steps = STEPS, .obs = d->obs, .action = d->action, .masked = f->masked, .state = f->policy->sizes.state,
        .logits = d->distribution == MT_DIST_CATEGORICAL ? f->policy->head : 0};
}

static mt_status make_learner(fixture *f, mt_compute *compute, int without_graph, mt_learner **out) {
    return mt_learner_create(&(mt_learner_desc){.policy = f->policy, .kernels = f->k, .compute = compute, .without_graph = without_graph,
        .comm = f->comm, .config = f->config, .shape = shape_of(f), .workers = f->workers, .local_workers = f->workers, .worker_envs = f->envs,
        .seed = 5}, out);
}

static void set_up(fixture *f, mt_device *device, const mt_policy_desc *desc, const mt_learner_config *config, int workers, const int *envs,
    int masked) {
    *f = (fixture){.device = device, .config = *config, .workers = workers, .masked = masked};
    cr_assert_eq(mt_kernels_choose(&f->k), MT_OK);
    cr_assert_eq(mt_policy_create(desc, &f->policy), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_comm_world(NULL, &f->comm), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_compute_open(&(mt_compute_desc){.device = device, .cpu = f->k}, &f->compute), MT_OK, "%s", mt_last_error());
    memcpy(f->envs, envs, sizeof *envs * (size_t)workers);
    mt_segment_shape shape = shape_of(f);
    for (int w = 0; w < workers; w++) {
        f->segments[w] = envs[w] ? &f->segment[w] : NULL;
        shape.envs = envs[w];
        if (envs[w]) mt_segment_register(&f->segment[w], &shape, &f->arena);
    }
    cr_assert_eq(mt_arena_commit(&f->arena), MT_OK);
    f->rng = mt_rng_at(11, mt_rng_stream(MT_RNG_USER, 2), 0);
    cr_assert_eq(make_learner(f, NULL, 0, &f->cpu), MT_OK, "%s", mt_last_error());
    cr_assert_eq(make_learner(f, f->compute, 0, &f->there), MT_OK, "%s", mt_last_error());
}

static void tear_down(fixture *f) {
    mt_learner_destroy(f->cpu);
    mt_learner_destroy(f->there);
    mt_compute_close(f->compute);
    mt_comm_destroy(f->comm);
    mt_arena_fini(&f->arena);
    mt_policy_destroy(f->policy);
}

// ---- what was seen

static void fill_inputs(fixture *f, mt_segment *s) {
    const mt_policy_desc *d = &f->policy->desc;
    int64_t rows = STEPS * s->shape.envs;
    for (int64_t i = 0; i < rows * d->obs; i++) s->obs[i] = (float)mt_rng_normal(&f->rng);
    for (int64_t i = 0; i < rows * d->action; i++) {
        if (s->choice) s->choice[i] = (int32_t)mt_rng_below(&f->rng, (uint32_t)d->nvec[i % d->action]);
        else s->action[i] = (float)mt_rng_normal(&f->rng);
    }
    for (int64_t r = 0; s->mask && r < rows; r++)
        for (int a = 0, at = 0; a < d->action; at += d->nvec[a++])
            for (int c = 0; c < d->nvec[a]; c++)
                s->mask[r * f->policy->head + at + c] = c == s->choice[r * d->action + a] || mt_rng_below(&f->rng, 2);
    for (int64_t r = 0; s->start && r < rows; r++) s->start[r] = mt_rng_below(&f->rng, 5) == 0;
    for (int64_t i = 0; i < s->shape.envs * s->shape.state; i++) s->state[i] = (float)(0.5 * mt_rng_normal(&f->rng));
    for (int64_t i = 0; i < rows; i++) {
        s->advantage[i] = (float)(2 * mt_rng_normal(&f->rng));
        s->value[i] = (float)mt_rng_normal(&f->rng);
        s->returns[i] = (float)mt_rng_normal(&f->rng);
    }
}

// log_prob is near what the policy says, so that some ratios are clipped and most are not
static void fill_log_prob(fixture *f, mt_segment *s) {
    int64_t rows = STEPS * s->shape.envs;
    mt_arena arena = {0};
    mt_policy_space space;
    mt_policy_space_register(&space, f->policy, f->k, rows, 0, &arena);
    cr_assert_eq(mt_arena_commit(&arena), MT_OK);
    mt_sequences q = {.steps = STEPS, .envs = s->shape.envs, .start = s->start, .state = s->state, .state_stride = s->shape.state};
    mt_policy_output out = mt_policy_forward(f->policy, f->k, mt_learner_weights(f->cpu), s->obs, rows, f->policy->recurrent ? &q : NULL,
        MT_POLICY_ACTOR, &space);
    mt_categorical c = mt_policy_categorical(f->policy, &out, s->mask, rows);
    mt_gaussian g = mt_policy_gaussian(f->policy, &out, rows);
    if (s->choice) f->k->categorical_log_prob(&c, s->choice, s->log_prob, NULL);
    else f->k->gaussian_log_prob(&g, s->action, s->log_prob, NULL);
    for (int64_t i = 0; i < rows; i++) s->log_prob[i] += (float)(0.15 * mt_rng_normal(&f->rng));
    mt_arena_fini(&arena);
}

static void fill(fixture *f) {
    for (int w = 0; w < f->workers; w++) {
        if (!f->envs[w]) continue;
        fill_inputs(f, &f->segment[w]);
        fill_log_prob(f, &f->segment[w]);
    }
}

// ---- comparing

static mt_learner_state state_of(mt_learner *l) {
    cr_assert_eq(mt_learner_state_pull(l), MT_OK, "%s", mt_last_error());
    return mt_learner_state_get(l);
}

static double worst_of(const float *a, const float *b, int64_t count) {
    double worst = 0;
    for (int64_t i = 0; i < count; i++) worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    return worst;
}

static void check_close(const char *what, double got, double wanted, double tolerance) {
    if (isnan(wanted)) cr_expect(isnan(got), "%s is %g", what, got);
    else cr_expect_float_eq(got, wanted, tolerance * fmax(1, fabs(wanted)), "%s is %.9g, on the CPU %.9g", what, got, wanted);
}

static void check_reports(const mt_learner_report *a, const mt_learner_report *b) {
    check_close("policy_loss", a->policy_loss, b->policy_loss, 2e-5);
    check_close("value_loss", a->value_loss, b->value_loss, 2e-5);
    check_close("entropy", a->entropy, b->entropy, 2e-5);
    check_close("approx_kl", a->approx_kl, b->approx_kl, 2e-5);
    check_close("loss", a->loss, b->loss, 2e-5);
    check_close("grad_norm", a->grad_norm, b->grad_norm, 1e-4);
    check_close("explained_variance", a->explained_variance, b->explained_variance, 0);
    check_close("std", a->std, b->std, 1e-5);
    check_close("clip_fraction", a->clip_fraction, b->clip_fraction, 0.01);
    cr_expect(a->updates == b->updates && a->epochs == b->epochs && a->stopped_early == b->stopped_early, "%d updates in %d epochs, on the CPU %d in %d",
        (int)a->updates, a->epochs, (int)b->updates, b->epochs);
}

static void check_states(fixture *f, const char *what) {
    int64_t count = f->policy->sizes.params;
    mt_learner_state a = state_of(f->there), b = state_of(f->cpu);
    double step = f->config.learning_rate.value, worst = worst_of(a.param, b.param, count);
    printf("%s on %s: %g of a step of %g\n", what, f->device->name, worst / step, step);
    cr_expect_lt(worst, 0.005 * step, "%s: parameters are %g apart, a step is %g", what, worst, step);
    cr_expect_lt(worst_of(a.m, b.m, count), 1e-5, "%s: first moments", what);
    cr_expect_lt(worst_of(a.v, b.v, count), 1e-6, "%s: second moments", what);
    cr_expect_eq(a.step, b.step, "%s: step %d, on the CPU %d", what, (int)a.step, (int)b.step);
}

static void update_both(fixture *f, uint64_t iteration, mt_learner_report *there) {
    mt_learner_report cpu;
    fill(f);
    cr_assert_eq(mt_learner_update(f->cpu, f->segments, iteration, 1, &cpu), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_learner_update(f->there, f->segments, iteration, 1, there), MT_OK, "%s", mt_last_error());
    check_reports(there, &cpu);
}

static void compare(mt_device *device, const char *what, const mt_policy_desc *desc, const mt_learner_config *config, int workers,
    const int *envs, int masked) {
    fixture f;
    mt_learner_report report;
    set_up(&f, device, desc, config, workers, envs, masked);
    float *before = malloc(sizeof *before * (size_t)f.policy->sizes.params);
    memcpy(before, mt_learner_weights(f.there)->param, sizeof *before * (size_t)f.policy->sizes.params);
    cr_assert_eq(worst_of(before, mt_learner_weights(f.cpu)->param, f.policy->sizes.params), 0);
    // the third one is a graph where there are any
    for (int i = 0; i < UPDATES; i++) update_both(&f, (uint64_t)i, &report);
    check_states(&f, what);
    cr_expect_gt(worst_of(before, mt_learner_weights(f.there)->param, f.policy->sizes.params), config->learning_rate.value,
        "%s: updates that move nothing test nothing", what);
    free(before);
    tear_down(&f);
}

// ---- every kind of policy

static void policies(mt_device *device) {
    mt_learner_config config = base_config(), clipped = config;
    clipped.clip_range_vf.value = 0.3;
    const int two[] = {2, 2}, uneven[] = {3, 0, 2, 1};
    mt_policy_desc d = mlp();
    compare(device, "MLP", &d, &config, 2, two, 0);
    d.activation = MT_ACT_silu, d.shared[0] = 9, d.shared_depth = 1;
    compare(device, "MLP with a trunk, silu", &d, &config, 4, uneven, 0);
    d = mlp(), d.action = 3, d.nvec[0] = 2, d.nvec[1] = 4, d.nvec[2] = 3;
    compare(device, "multi-discrete with masks", &d, &clipped, 4, uneven, 1);
    d = mlp(), d.distribution = MT_DIST_GAUSSIAN, d.action = 3;
    compare(device, "Gaussian", &d, &clipped, 2, two, 0);
    d.distribution = MT_DIST_GSDE;
    compare(device, "gSDE", &d, &config, 4, uneven, 0);
}
Test(learner_device, agrees_with_the_cpu) { each_device(policies); }

static void images(mt_device *device) {
    mt_learner_config config = base_config();
    const int two[] = {2, 2};
    mt_policy_desc d = image("speed = input speed; input eye; conv2d 8 3 stride 2 relu; conv2d 8 3 padding 1 relu; flatten; dense 16 relu; concat from speed, -1");
    compare(device, "CNN", &d, &config, 2, two, 0);
    d = image("speed = input speed; input eye; x = conv2d 8 3 padding 1; relu; conv2d 8 3 padding 1; add from x, -1; max_pool2d 3 stride 2 padding 1; relu; flatten; "
        "dense 16; layer_norm tanh; concat from -1, speed");
    compare(device, "residual CNN", &d, &config, 2, two, 0);
}
Test(learner_device, agrees_on_images) { each_device(images); }

static void memories(mt_device *device) {
    mt_learner_config config = base_config();
    const int two[] = {2, 2}, uneven[] = {3, 0, 2, 1};
    mt_policy_desc d = memory(MT_MEMORY_LSTM, MT_MEMORY_OF_EACH);
    compare(device, "LSTM", &d, &config, 4, uneven, 0);
    d = memory(MT_MEMORY_GRU, MT_MEMORY_SHARED);
    compare(device, "GRU, shared", &d, &config, 2, two, 0);
    d = memory(MT_MEMORY_GRU, MT_MEMORY_OF_ACTOR);
    compare(device, "GRU of the actor", &d, &config, 4, uneven, 0);
}
Test(learner_device, agrees_on_sequences) { each_device(memories); }

static void options(mt_device *device) {
    mt_learner_config config = base_config();
    mt_policy_desc d = mlp();
    const int one[] = {3};
    config.max_grad_norm = 0, config.weight_decay = 0.1, config.normalize_advantage = false, config.batch_size = 7;
    compare(device, "no clipping, weight decay", &d, &config, 1, one, 0);
    config.batch_size = 1000;
    compare(device, "one minibatch", &d, &config, 1, one, 0);
}
Test(learner_device, agrees_with_other_options) { each_device(options); }

// ---- target_kl

static void target_kl(mt_device *device) {
    mt_learner_config config = base_config();
    mt_policy_desc d = mlp();
    fixture f;
    mt_learner_report report;
    int stopped = 0, applied = 0;
    config.target_kl = 0.02, config.n_epochs = 30, config.learning_rate.value = 0.01;
    set_up(&f, device, &d, &config, 2, (const int[]){2, 2}, 0);
    for (int i = 0; i < UPDATES; i++) {
        update_both(&f, (uint64_t)i, &report);
        stopped += report.stopped_early, applied += (int)report.updates;
    }
    check_states(&f, "target_kl");
    cr_expect_gt(stopped, 0);
    cr_expect_gt(applied, 0);
    cr_expect_lt(applied, UPDATES * 30 * 2);
    tear_down(&f);
}
Test(learner_device, target_kl_stops_where_the_cpu_does) { each_device(target_kl); }

// ---- numbers that are none

static void not_finite(mt_device *device) {
    for (int watched = 0; watched < 2; watched++) {
        mt_learner_config config = base_config();
        mt_policy_desc d = mlp();
        fixture f;
        mt_learner_report report;
        config.target_kl = watched ? 1 : 0;
        set_up(&f, device, &d, &config, 2, (const int[]){2, 2}, 0);
        int64_t count = f.policy->sizes.params;
        for (int i = 0; i < UPDATES; i++) update_both(&f, (uint64_t)i, &report);
        // both learners stop in front of the same minibatch: that of the row that is none
        fill(&f);
        float *returns = &f.segment[1].returns[7], at = *returns;
        *returns = NAN;
        for (int there = 0; there < 2; there++) {
            cr_expect_eq(mt_learner_update(there ? f.there : f.cpu, f.segments, 9, 1, &report), MT_NUMERIC);
            cr_expect(strstr(mt_last_error(), "not finite"), "%s", mt_last_error());
        }
        check_states(&f, "after a NaN");
        mt_learner_state a = state_of(f.there);
        for (int64_t i = 0; i < count; i++) cr_assert(isfinite(a.param[i]) && isfinite(a.m[i]) && isfinite(a.v[i]), "number %d", (int)i);
        *returns = at;   // and goes on when the numbers are numbers again
        int64_t step = a.step;
        cr_expect_eq(mt_learner_update(f.there, f.segments, 10, 1, &report), MT_OK, "%s", mt_last_error());
        cr_expect_eq(state_of(f.there).step, step + report.updates);
        tear_down(&f);
    }
}
Test(learner_device, a_nan_leaves_the_weights_as_on_the_cpu) { each_device(not_finite); }

// ---- bits

static void same_bits(fixture *f, mt_learner *a, mt_learner *b, const char *what) {
    size_t bytes = sizeof(float) * (size_t)f->policy->sizes.params;
    mt_learner_state x = state_of(a), y = state_of(b);
    cr_expect(memcmp(x.param, y.param, bytes) == 0, "%s: parameters", what);
    cr_expect(memcmp(x.m, y.m, bytes) == 0 && memcmp(x.v, y.v, bytes) == 0, "%s: moments", what);
    cr_expect_eq(x.step, y.step, "%s: step", what);
}

static void bits(mt_device *device) {
    const mt_policy_desc descs[] = {mlp(), memory(MT_MEMORY_LSTM, MT_MEMORY_OF_EACH),
        image("speed = input speed; input eye; conv2d 8 3 stride 2 relu; flatten; dense 16 relu; concat from speed, -1")};
    for (size_t p = 0; p < sizeof descs / sizeof *descs; p++) {
        mt_learner_config config = base_config();
        fixture f;
        mt_learner_report report[2];
        mt_learner *again;
        config.learning_rate.linear = 1, config.clip_range.linear = 1;   // what changes stands in memory, not in the graph
        set_up(&f, device, &descs[p], &config, 2, (const int[]){2, 1}, 0);
        cr_assert_eq(make_learner(&f, f.compute, 1, &again), MT_OK, "%s", mt_last_error());
        for (int i = 0; i < 4; i++) {
            fill(&f);
            cr_assert_eq(mt_learner_update(f.there, f.segments, (uint64_t)i, 1 - 0.2 * i, &report[0]), MT_OK, "%s", mt_last_error());
            cr_assert_eq(mt_learner_update(again, f.segments, (uint64_t)i, 1 - 0.2 * i, &report[1]), MT_OK, "%s", mt_last_error());
            cr_expect(memcmp(&report[0], &report[1], sizeof *report) == 0, "the report of update %d", i);
        }
        same_bits(&f, f.there, again, "with and without a graph");
        cr_expect(mt_learner_graphed(f.there) == mt_compute_capturable(f.compute) && !mt_learner_graphed(again), "nothing was captured");
        mt_learner_destroy(again);
        tear_down(&f);
    }
}
Test(learner_device, a_graph_gives_the_bits_of_its_operations) { each_device(bits); }

static void resumed(mt_device *device) {
    mt_learner_config config = base_config();
    mt_policy_desc d = mlp();
    fixture f;
    mt_learner_report report;
    mt_learner *later;
    set_up(&f, device, &d, &config, 2, (const int[]){2, 1}, 0);
    size_t bytes = sizeof(float) * (size_t)f.policy->sizes.params;
    for (int i = 0; i < UPDATES; i++) update_both(&f, (uint64_t)i, &report);
    // what a checkpoint holds, into a learner of a new process
    mt_learner_state from = state_of(f.there), to;
    cr_assert_eq(make_learner(&f, f.compute, 0, &later), MT_OK, "%s", mt_last_error());
    to = mt_learner_state_get(later);
    memcpy(to.param, from.param, bytes), memcpy(to.m, from.m, bytes), memcpy(to.v, from.v, bytes);
    cr_assert_eq(mt_learner_state_set(later, from.step), MT_OK, "%s", mt_last_error());
    for (int i = UPDATES; i < 2 * UPDATES; i++) {
        fill(&f);
        cr_assert_eq(mt_learner_update(f.there, f.segments, (uint64_t)i, 1, &report), MT_OK, "%s", mt_last_error());
        cr_assert_eq(mt_learner_update(later, f.segments, (uint64_t)i, 1, &report), MT_OK, "%s", mt_last_error());
    }
    same_bits(&f, f.there, later, "resumed");
    mt_learner_destroy(later);
    tear_down(&f);
}
Test(learner_device, a_resumed_learner_continues_exactly) { each_device(resumed); }

// ---- memory

static void pieces(mt_device *device) {
    mt_learner_config config = base_config();
    mt_policy_desc d = mlp();
    uint64_t all = device->memory_bytes;
    config.batch_size = 400;
    d.pi[0] = d.vf[0] = 128;
    device->memory_bytes = 2 << 20;   // an eighth of it has room for about fifty rows of activations
    compare(device, "pieces", &d, &config, 2, (const int[]){40, 30}, 0);
    d = memory(MT_MEMORY_LSTM, MT_MEMORY_OF_EACH), d.memory_units = 32;
    compare(device, "pieces of sequences", &d, &config, 2, (const int[]){40, 30}, 0);
    device->memory_bytes = all;
}
Test(learner_device, activations_that_do_not_fit_go_in_pieces) { each_device(pieces); }

static void too_little(mt_device *device) {
    mt_learner_config config = base_config();
    mt_policy_desc d = mlp();
    fixture f;
    mt_learner *none = NULL;
    set_up(&f, device, &d, &config, 1, (const int[]){2}, 0);
    uint64_t all = device->memory_bytes;
    device->memory_bytes = 4096;
    cr_expect_eq(make_learner(&f, f.compute, 0, &none), MT_NO_MEMORY);
    cr_expect_null(none);
    cr_expect(strstr(mt_last_error(), "does not fit") && strstr(mt_last_error(), "activations"), "%s", mt_last_error());
    device->memory_bytes = all;
    tear_down(&f);
}
Test(learner_device, memory_that_does_not_suffice_is_told_before_the_start) { each_device(too_little); }
