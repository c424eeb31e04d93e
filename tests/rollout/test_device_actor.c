// Rollouts whose policy runs on a device. On the cpu device they are those of the CPU to the bit; on a GPU, where this build has one
// (preset cuda-host: the host's implementation of it), what was done and what it was worth is what the network says of it, with the
// actions that the random words choose.
#include "rollout/worker.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/device/device_arena.h"
#include "rollout/envs/builtin.h"
#include "tests/devices.h"

enum { STEPS = 24, ENVS = 5, ROWS = STEPS * ENVS, SEGMENTS = 3 };
static const uint64_t seed = 3, first_env = 40;

// ---- a policy with its weights here and there

typedef struct variant {
    const char *name;
    mt_distribution distribution;
    mt_memory memory;
    int box;                 // pendulum, else cartpole
} variant;

static const variant variants[] = {
    {"categorical", MT_DIST_CATEGORICAL, MT_MEMORY_NONE, 0}, {"Gaussian", MT_DIST_GAUSSIAN, MT_MEMORY_NONE, 1},
    {"gSDE", MT_DIST_GSDE, MT_MEMORY_NONE, 1}, {"LSTM", MT_DIST_CATEGORICAL, MT_MEMORY_LSTM, 0}, {"GRU", MT_DIST_GAUSSIAN, MT_MEMORY_GRU, 1},
};

typedef struct fixture {
    const variant *v;
    mt_device *device;
    const mt_kernels *k;
    mt_policy *policy;
    mt_arena arena;
    mt_weights weights;
    mt_normaliser normaliser;
    mt_policy_space space;
    mt_compute *compute;
    mt_device_arena there;
    mt_weights device_weights;
} fixture;

static void set_up(fixture *f, const variant *v, mt_device *device) {
    *f = (fixture){.v = v, .device = device, .there.device = device};
    mt_policy_desc desc = {.obs = v->box ? 3 : 4, .distribution = v->distribution, .action = 1, .nvec = {2}, .pi = {8}, .vf = {8}, .pi_depth = 1,
        .vf_depth = 1, .activation = MT_ACT_tanh, .ortho_init = 1, .memory = v->memory, .memory_units = 16, .memory_depth = 1, .log_std_init = -1};
    cr_assert_eq(mt_kernels_choose(&f->k), MT_OK);
    cr_assert_eq(mt_policy_create(&desc, &f->policy), MT_OK, "%s", mt_last_error());
    mt_weights_register(&f->weights, f->policy, &f->arena);
    mt_normaliser_register(&f->normaliser, desc.obs, 0, 0, 10, 10, &f->arena);
    mt_policy_space_register(&f->space, f->policy, f->k, ROWS, 0, &f->arena);
    cr_assert_eq(mt_arena_commit(&f->arena), MT_OK);
    cr_assert_eq(mt_weights_init(&f->weights, f->policy, f->k, 2), MT_OK);
    mt_normaliser_reset(&f->normaliser);
    // away from the small head of the initialisation
    mt_rng rng = mt_rng_at(7, mt_rng_stream(MT_RNG_USER, 1), 0);
    for (int64_t i = 0; i < f->policy->sizes.params; i++) f->weights.param[i] += (float)(0.3 * mt_rng_normal(&rng));
    mt_weights_pack(&f->weights, f->policy, f->k, MT_POLICY_BOTH);
    cr_assert_eq(mt_compute_open(&(mt_compute_desc){.device = device, .cpu = f->k}, &f->compute), MT_OK, "%s", mt_last_error());
    mt_weights_register(&f->device_weights, f->policy, mt_device_arena_plan(&f->there));
    cr_assert_eq(mt_device_arena_commit(&f->there), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_compute_copy(f->compute, f->device_weights.param, f->weights.param, sizeof(float) * (size_t)f->policy->sizes.params), MT_OK);
    mt_compute_begin(f->compute);
    mt_weights_pack(&f->device_weights, f->policy, f->compute->kernels, MT_POLICY_BOTH);
    cr_assert_eq(mt_compute_end(f->compute), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_compute_wait(f->compute), MT_OK, "%s", mt_last_error());
}

static void tear_down(fixture *f) {
    mt_device_arena_fini(&f->there);
    mt_compute_close(f->compute);
    mt_arena_fini(&f->arena);
    mt_policy_destroy(f->policy);
}

static mt_rollout_worker *start_on(fixture *f, mt_device *device, uint64_t env, int host_envs) {
    static const manta_env_option options[] = {{"max_episode_steps", "13"}};   // segments hold ends of both kinds
    mt_rollout_worker *worker;
    mt_rollout_worker_desc d = {.env = f->v->box ? &mt_env_pendulum_plain : &mt_env_cartpole_plain, .options = options, .option_count = 1,
        .policy = f->policy, .kernels = f->k, .normaliser = &f->normaliser, .first_env = env, .envs = ENVS, .steps = STEPS, .gamma = 0.99,
        .gae_lambda = 0.95, .sde_sample_freq = 7, .seed = seed, .device = device, .device_weights = &f->device_weights,
        .host_envs = host_envs};
    cr_assert_eq(mt_rollout_worker_create(&d, &worker), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_rollout_worker_carried(worker) == MT_OK, device && !host_envs, "%s", mt_last_error());
    return worker;
}

// environments step on the device, or on the CPU
static mt_rollout_worker *start(fixture *f, mt_device *device, uint64_t env) { return start_on(f, device, env, 0); }
static mt_rollout_worker *start_apart(fixture *f, mt_device *device, uint64_t env) { return start_on(f, device, env, 1); }

static const mt_segment *collect(fixture *f, mt_rollout_worker *worker) {
    cr_assert_eq(mt_rollout_worker_collect(worker, &f->weights), MT_OK, "%s", mt_last_error());
    mt_rollout_worker_finish(worker, &f->weights);
    return mt_rollout_worker_segment(worker);
}

static int cut_at(const mt_segment *s, int64_t r) { return s->truncated[r] && !s->terminated[r]; }

// ---- the same segments

// final_value counts only where it is read
static void same_segments(const mt_segment *a, const mt_segment *b, const char *what) {
    int64_t n = a->shape.envs;
    const mt_segment_shape *s = &a->shape;
    float *final = malloc(sizeof *final * (size_t)(s->steps * n));
    int cuts = 0;
    memcpy(final, a->final_value, sizeof *final * (size_t)(s->steps * n));
    for (int64_t r = 0; r < s->steps * n; r++) {
        if (!cut_at(a, r)) continue;
        cr_expect_eq(a->final_value[r], b->final_value[r], "%s: final value of row %d", what, (int)r);
        cuts++;
    }
    cr_expect_gt(cuts, 0, "%s: no episode was cut", what);
#define MT_X(field, type, rows, width)                                                                                 \
    if (a->field && (const void *)a->field != (const void *)a->final_value)                                            \
        cr_expect(memcmp(a->field, b->field, sizeof(type) * (size_t)((rows)*n * (int64_t)(width))) == 0, "%s: " #field, what);
    MT_SEGMENT_FIELDS(MT_X)
#undef MT_X
    free(final);
}

static void same_episodes(const mt_rollout_worker *a, const mt_rollout_worker *b, const char *what) {
    const mt_episode *x, *y;
    int64_t count = mt_rollout_worker_episodes(a, &x);
    cr_assert_eq(mt_rollout_worker_episodes(b, &y), count, "%s: episodes", what);
    cr_expect(count > 0 && memcmp(x, y, sizeof *x * (size_t)count) == 0, "%s: what episodes were worth", what);
}

Test(device_actor, on_the_cpu_device_rollouts_have_the_cpus_bits) {
    mt_device *device;
    cr_assert_eq(mt_device_open("cpu", &device), MT_OK);
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        fixture f;
        set_up(&f, &variants[v], device);
        mt_rollout_worker *plain = start(&f, NULL, first_env), *there = start(&f, device, first_env), *apart = start_apart(&f, device, first_env);
        for (int i = 0; i < SEGMENTS; i++) {
            const mt_segment *a = collect(&f, plain);
            same_segments(a, collect(&f, there), f.v->name);
            same_segments(a, collect(&f, apart), f.v->name);
            same_episodes(plain, there, f.v->name);
        }
        mt_rollout_worker_destroy(plain);
        mt_rollout_worker_destroy(there);
        mt_rollout_worker_destroy(apart);
        tear_down(&f);
    }
    mt_device_close(device);
}

// ---- what the network says of a segment

// row t·N + n of the words that the actions of the segment's step t came from, at `first_step` + t
static void choices_of_words(fixture *f, const mt_segment *s, const mt_policy_output *out, uint64_t first_step) {
    int differ = 0;
    for (int64_t t = 0; t < STEPS; t++) {
        uint32_t words[ENVS * 2];
        float noise[ENVS * 2], action[ENVS], log_prob[ENVS];
        int32_t choice[ENVS];
        uint64_t step = first_step + (uint64_t)t;
        mt_policy_output row = {.head = out->head + t * ENVS * f->policy->head, .log_std = out->log_std};
        if (f->v->distribution == MT_DIST_CATEGORICAL) {
            mt_categorical d = mt_policy_categorical(f->policy, &row, NULL, ENVS);
            f->k->philox_words(seed, mt_rng_stream(MT_RNG_ACTION, first_env), &step, ENVS, 1, words);
            f->k->categorical_sample(&d, words, choice, log_prob);
            for (int i = 0; i < ENVS; i++) differ += choice[i] != s->choice[t * ENVS + i];
        } else if (f->v->distribution == MT_DIST_GAUSSIAN) {
            mt_gaussian d = mt_policy_gaussian(f->policy, &row, ENVS);
            f->k->philox_words(seed, mt_rng_stream(MT_RNG_ACTION, first_env), &step, ENVS, 2, words);
            f->k->normals(ENVS * 2, words, noise);
            for (int i = 0; i < ENVS; i++) noise[i] = noise[2 * i];
            f->k->gaussian_sample(&d, noise, action, log_prob);
            for (int i = 0; i < ENVS; i++)
                cr_expect_float_eq(action[i], s->action[t * ENVS + i], 2e-5, "%s: action of step %d", f->v->name, (int)t);
        }
    }
    // a logit's last bits can move an action over a boundary, once in some hundred thousand
    cr_expect_leq(differ, 1, "%s: %d of %d choices are not those of their words", f->v->name, differ, ROWS);
}

static void check_segment(fixture *f, const mt_segment *s, uint64_t first_step, float *state_out) {
    mt_sequences q = {.steps = STEPS, .envs = ENVS, .start = s->start, .state = s->state, .state_out = state_out, .state_stride = s->shape.state};
    mt_policy_output out = mt_policy_forward(f->policy, f->k, &f->weights, s->obs, ROWS, f->policy->recurrent ? &q : NULL, MT_POLICY_BOTH, &f->space);
    float log_prob[ROWS];
    mt_categorical c = mt_policy_categorical(f->policy, &out, NULL, ROWS);
    mt_gaussian g = mt_policy_gaussian(f->policy, &out, ROWS);
    if (s->choice) f->k->categorical_log_prob(&c, s->choice, log_prob, NULL);
    else f->k->gaussian_log_prob(&g, s->action, log_prob, NULL);
    for (int i = 0; i < ROWS; i++) {
        cr_expect_float_eq(out.value[i], s->value[i], 2e-5, "%s: V of row %d", f->v->name, i);
        // the probability of an action far from the mean has fewer digits
        cr_expect_float_eq(log_prob[i], s->log_prob[i], 5e-5 * fmax(1, fabs(log_prob[i])), "%s: log probability of row %d", f->v->name, i);
    }
    choices_of_words(f, s, &out, first_step);
    if (f->policy->recurrent) return;
    // the last observations' V, and that of episodes that were cut enters the advantage
    out = mt_policy_forward(f->policy, f->k, &f->weights, s->obs + ROWS * s->shape.obs, ENVS, NULL, MT_POLICY_CRITIC, &f->space);
    for (int i = 0; i < ENVS; i++) cr_expect_float_eq(out.value[i], s->value[ROWS + i], 2e-5, "%s: V of what comes next", f->v->name);
}

static void consistent_where(mt_device *device, int host_envs) {
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        fixture f;
        set_up(&f, &variants[v], device);
        mt_rollout_worker *worker = start_on(&f, device, first_env, host_envs);
        float *state = calloc((size_t)(ENVS * f.policy->sizes.state + 1), sizeof *state);
        for (int i = 0; i < SEGMENTS; i++) {
            const mt_segment *s = collect(&f, worker);
            for (int64_t k = 0; k < ENVS * s->shape.state; k++)
                cr_assert_float_eq(s->state[k], state[k], 2e-5, "%s: segment %d does not go on where the last one ended", f.v->name, i);
            check_segment(&f, s, (uint64_t)(i * STEPS), state);
            // of a step that was cut the temporal difference has the final observation's V
            for (int64_t r = 0; r < ROWS; r++)
                if (cut_at(s, r))
                    cr_expect_float_eq(s->advantage[r], s->reward[r] + 0.99 * s->final_value[r] - s->value[r], 1e-4 * fmax(1, fabs(s->reward[r])),
                        "%s: advantage of row %d", f.v->name, (int)r);
        }
        free(state);
        mt_rollout_worker_destroy(worker);
        tear_down(&f);
    }
}
static void consistent(mt_device *device) {
    for (int host_envs = 0; host_envs < 2; host_envs++) consistent_where(device, host_envs);
}
Test(device_actor, a_segment_is_what_the_network_says_of_it) { each_device(consistent); }

// ---- environments on the device

// The same kernels choose the same actions, whoever steps the environments: all of a segment is the same to the bit, but V of final
// observations, whose rows go through the network beside others.
static void carried(mt_device *device) {
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        fixture f;
        set_up(&f, &variants[v], device);
        mt_rollout_worker *there = start(&f, device, first_env), *apart = start_apart(&f, device, first_env);
        int most_cuts = 0;
        for (int i = 0; i < SEGMENTS; i++) {
            const mt_segment *a = collect(&f, there), *b = collect(&f, apart);
            int cuts = 0;
            for (int64_t r = 0; r < ROWS; r++) {
                if (!cut_at(b, r)) continue;
                cr_expect_float_eq(a->final_value[r], b->final_value[r], 2e-5, "%s: final value of row %d", f.v->name, (int)r);
                cuts++;
            }
            most_cuts = cuts > most_cuts ? cuts : most_cuts;
#define SAME(field, width)                                                                                             \
    cr_expect(!a->field || memcmp(a->field, b->field, sizeof *a->field * (size_t)(width)) == 0, "%s, segment %d: " #field, f.v->name, i);
            SAME(obs, (ROWS + ENVS) * a->shape.obs) SAME(action, ROWS) SAME(choice, ROWS) SAME(log_prob, ROWS) SAME(reward, ROWS)
            SAME(terminated, ROWS) SAME(truncated, ROWS) SAME(value, ROWS + ENVS) SAME(start, ROWS) SAME(state, ENVS * a->shape.state)
#undef SAME
            same_episodes(there, apart, f.v->name);
        }
        cr_expect_gt(most_cuts, ENVS, "%s: never more cuts than are asked for together", f.v->name);
        mt_rollout_worker_destroy(there);
        mt_rollout_worker_destroy(apart);
        tear_down(&f);
    }
}
Test(device_actor, environments_on_the_device_are_those_on_the_cpu) { each_device(carried); }

// what has no room there steps on the CPU
static void without_room(mt_device *device) {
    fixture f;
    set_up(&f, &variants[0], device);
    uint64_t all = device->memory_bytes;
    device->memory_bytes = 1 << 17;   // 5.6 KiB would be left, 4 KiB are for it
    mt_rollout_worker *small;
    mt_rollout_worker_desc d = {.env = &mt_env_cartpole_plain, .policy = f.policy, .kernels = f.k, .normaliser = &f.normaliser, .envs = ENVS,
        .steps = STEPS, .gamma = 0.99, .gae_lambda = 0.95, .seed = seed, .device = device, .device_weights = &f.device_weights};
    cr_assert_eq(mt_rollout_worker_create(&d, &small), MT_OK, "%s", mt_last_error());
    cr_expect_eq(mt_rollout_worker_carried(small), MT_UNSUPPORTED);
    cr_expect(strstr(mt_last_error(), "24 steps of 5"), "%s", mt_last_error());
    collect(&f, small);
    device->memory_bytes = all;
    mt_rollout_worker_destroy(small);
    tear_down(&f);
}
Test(device_actor, rows_that_have_no_room_leave_environments_on_the_cpu) { each_device(without_room); }

// saved on one side, loaded on the other
static void moved(mt_device *device) {
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++)
        for (int back = 0; back < 2; back++) {
            fixture f;
            set_up(&f, &variants[v], device);
            mt_rollout_worker *from = start_on(&f, device, first_env, back), *to = start_on(&f, device, first_env, !back);
            mt_blob blob = {0};
            int exact = 0;
            for (int i = 0; i < 2; i++) collect(&f, from);
            cr_assert_eq(mt_rollout_worker_save(from, &blob), MT_OK, "%s", mt_last_error());
            cr_assert_eq(mt_blob_finish(&blob), MT_OK);
            mt_blob_reader reader = mt_blob_read(blob.data, blob.bytes, "test");
            cr_assert_eq(mt_rollout_worker_load(to, &reader, &exact), MT_OK, "%s", mt_last_error());
            cr_expect_eq(exact, 1);
            for (int i = 0; i < 2; i++) {
                const mt_segment *a = collect(&f, from), *b = collect(&f, to);
                cr_expect(memcmp(a->obs, b->obs, sizeof *a->obs * (size_t)((ROWS + ENVS) * a->shape.obs)) == 0, "%s: observations", f.v->name);
                cr_expect(memcmp(a->log_prob, b->log_prob, sizeof *a->log_prob * ROWS) == 0, "%s: probabilities", f.v->name);
                same_episodes(from, to, f.v->name);
            }
            mt_blob_fini(&blob);
            mt_rollout_worker_destroy(from);
            mt_rollout_worker_destroy(to);
            tear_down(&f);
        }
}
Test(device_actor, environments_move_between_device_and_cpu) { each_device(moved); }

// weights that are no numbers make actions that are none
static void diverged(mt_device *device) {
    for (int v = 1; v < 3; v++) {
        fixture f;
        set_up(&f, &variants[v], device);
        for (int64_t i = 0; i < f.policy->sizes.params; i++) f.weights.param[i] = NAN;
        cr_assert_eq(mt_compute_copy(f.compute, f.device_weights.param, f.weights.param, sizeof(float) * (size_t)f.policy->sizes.params), MT_OK);
        mt_compute_begin(f.compute);
        mt_weights_pack(&f.device_weights, f.policy, f.compute->kernels, MT_POLICY_BOTH);
        cr_assert_eq(mt_compute_end(f.compute), MT_OK);
        cr_assert_eq(mt_compute_wait(f.compute), MT_OK);
        mt_rollout_worker *worker = start(&f, device, first_env);
        cr_expect_eq(mt_rollout_worker_collect(worker, &f.weights), MT_ENV);
        cr_expect(strstr(mt_last_error(), "Pendulum-v1") && strstr(mt_last_error(), "action nan of environment 0"), "%s", mt_last_error());
        mt_rollout_worker_destroy(worker);
        tear_down(&f);
    }
}
Test(device_actor, an_action_that_is_no_number_ends_the_rollout) { each_device(diverged); }

// ---- two workers on one thread

static void interleaved_where(mt_device *device, int host_envs) {
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        fixture f;
        set_up(&f, &variants[v], device);
        mt_rollout_worker *apart[2], *side_by_side[2];
        for (int i = 0; i < 2; i++)
            apart[i] = start_on(&f, device, first_env + (uint64_t)(i * ENVS), host_envs),
            side_by_side[i] = start_on(&f, device, first_env + (uint64_t)(i * ENVS), host_envs);
        for (int segment = 0; segment < 2; segment++) {
            for (int i = 0; i < 2; i++) cr_assert_eq(mt_rollout_worker_begin(side_by_side[i]), MT_OK, "%s", mt_last_error());
            for (int i = 0; i < 2; i++) cr_assert_eq(mt_rollout_worker_ask(side_by_side[i], 0), MT_OK, "%s", mt_last_error());
            for (int t = 0; t < STEPS; t++)
                for (int i = 0; i < 2; i++) {
                    cr_assert_eq(mt_rollout_worker_step(side_by_side[i], t), MT_OK, "%s", mt_last_error());
                    if (t + 1 < STEPS) cr_assert_eq(mt_rollout_worker_ask(side_by_side[i], t + 1), MT_OK, "%s", mt_last_error());
                }
            for (int i = 0; i < 2; i++) {
                cr_assert_eq(mt_rollout_worker_end(side_by_side[i]), MT_OK, "%s", mt_last_error());
                mt_rollout_worker_finish(side_by_side[i], NULL);
                same_segments(collect(&f, apart[i]), mt_rollout_worker_segment(side_by_side[i]), f.v->name);
            }
        }
        for (int i = 0; i < 2; i++) mt_rollout_worker_destroy(apart[i]), mt_rollout_worker_destroy(side_by_side[i]);
        tear_down(&f);
    }
}
static void interleaved(mt_device *device) {
    for (int host_envs = 0; host_envs < 2; host_envs++) interleaved_where(device, host_envs);
}
Test(device_actor, workers_side_by_side_do_what_they_do_apart) { each_device(interleaved); }

// ---- saved and loaded

static void resumed_where(mt_device *device, int host_envs) {
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        fixture f;
        set_up(&f, &variants[v], device);
        mt_rollout_worker *worker = start_on(&f, device, first_env, host_envs), *later = start_on(&f, device, first_env, host_envs);
        mt_blob blob = {0};
        int exact = 0;
        for (int i = 0; i < SEGMENTS; i++) collect(&f, worker);
        cr_assert_eq(mt_rollout_worker_save(worker, &blob), MT_OK, "%s", mt_last_error());
        cr_assert_eq(mt_blob_finish(&blob), MT_OK);
        mt_blob_reader reader = mt_blob_read(blob.data, blob.bytes, "test");
        cr_assert_eq(mt_rollout_worker_load(later, &reader, &exact), MT_OK, "%s", mt_last_error());
        cr_expect_eq(exact, 1);
        for (int i = 0; i < 2; i++) same_segments(collect(&f, worker), collect(&f, later), f.v->name);
        mt_blob_fini(&blob);
        mt_rollout_worker_destroy(worker);
        mt_rollout_worker_destroy(later);
        tear_down(&f);
    }
}
static void resumed(mt_device *device) {
    for (int host_envs = 0; host_envs < 2; host_envs++) resumed_where(device, host_envs);
}
Test(device_actor, a_resumed_worker_continues_exactly) { each_device(resumed); }

// ---- graphs and pieces

// what the CPU answers
typedef struct reference {
    mt_arena arena;
    mt_actor actor;
    float *action, *log_prob;
    int32_t *choice;
} reference;

static void reference_init(reference *r, const fixture *f, int64_t rows) {
    *r = (reference){0};
    mt_actor_register(&r->actor, &(mt_actor_desc){.policy = f->policy, .kernels = f->k, .use = MT_RNG_ACTION, .seed = seed, .first_env = first_env,
        .rows = rows, .values = 1}, &r->arena);
    MT_ARENA_ADD(&r->arena, r->action, rows);
    MT_ARENA_ADD(&r->arena, r->choice, rows);
    MT_ARENA_ADD(&r->arena, r->log_prob, rows);
    cr_assert_eq(mt_arena_commit(&r->arena), MT_OK);
    mt_actor_begin(&r->actor);
}

static void check_reference(reference *r, const fixture *f, const mt_device_actor_io *io, const uint8_t *start, int explore, int rows) {
    int categorical = f->v->distribution == MT_DIST_CATEGORICAL;
    if (start) memcpy(r->actor.start, start, (size_t)rows);
    if (explore) mt_actor_resample(&r->actor, &f->weights, *io->step);
    mt_actor_sample(&r->actor, &f->weights, io->obs, NULL, *io->step, r->action, r->choice, r->log_prob);
    for (int n = 0; n < rows; n++) {
        if (categorical) cr_expect_eq(io->choice[n], r->choice[n], "%s, step %d, row %d", f->v->name, (int)*io->step, n);
        else cr_expect_float_eq(io->action[n], r->action[n], 2e-5, "%s, step %d, row %d", f->v->name, (int)*io->step, n);
        cr_expect_float_eq(io->value[n], r->actor.value[n], 2e-5, "%s, step %d, row %d", f->v->name, (int)*io->step, n);
        cr_expect_float_eq(io->log_prob[n], r->log_prob[n], 5e-5 * fmax(1, fabs(r->log_prob[n])), "%s, step %d, row %d", f->v->name, (int)*io->step, n);
    }
}

// the same questions to an actor with a graph, one without, and one whose rows go in pieces; and to the CPU
static void ways(mt_device *device) {
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        enum { N = 37, ASKED = 5 };
        fixture f;
        set_up(&f, &variants[v], device);
        uint64_t all = device->memory_bytes;
        mt_device_actor *a[3];
        reference cpu;
        uint8_t start[N];
        reference_init(&cpu, &f, N);
        mt_rng rng = mt_rng_at(9, mt_rng_stream(MT_RNG_USER, 3), 0);
        int dim = f.policy->desc.action, categorical = f.v->distribution == MT_DIST_CATEGORICAL;
        for (int i = 0; i < 3; i++) {
            device->memory_bytes = i == 2 ? 1 << 19 : all;   // a quarter of it, of which 32 actors have a part each, has room for some rows
            cr_assert_eq(mt_device_actor_create(&(mt_device_actor_desc){.device = device, .cpu = f.k, .policy = f.policy, .weights = &f.device_weights,
                .seed = seed, .first_env = first_env, .rows = N, .without_graph = i == 1, .actors = i == 2 ? 32 : 1}, &a[i]), MT_OK, "%s", mt_last_error());
        }
        device->memory_bytes = all;
        for (int step = 0; step < ASKED; step++) {
            float obs[N * 4];
            for (int i = 0; i < N * f.policy->desc.obs; i++) obs[i] = (float)mt_rng_normal(&rng);
            for (int i = 0; i < 3; i++) {
                mt_device_actor_io *io = mt_device_actor_io_of(a[i]);
                memcpy(io->obs, obs, sizeof(float) * (size_t)(N * f.policy->desc.obs));
                for (int n = 0; io->start && n < N; n++) io->start[n] = step == 0 || (n + step) % 5 == 0;
                *io->step = (uint64_t)step;
                cr_assert_eq(mt_device_actor_ask(a[i], step % 2 == 0), MT_OK, "%s", mt_last_error());
                cr_assert_eq(mt_device_actor_wait(a[i]), MT_OK, "%s", mt_last_error());
            }
            for (int n = 0; n < N; n++) start[n] = step == 0 || (n + step) % 5 == 0;
            check_reference(&cpu, &f, mt_device_actor_io_of(a[0]), f.policy->recurrent ? start : NULL, step % 2 == 0, N);
            const mt_device_actor_io *x = mt_device_actor_io_of(a[0]), *y = mt_device_actor_io_of(a[1]), *z = mt_device_actor_io_of(a[2]);
            for (int i = 0; i < N * dim; i++) {
                if (categorical) cr_expect(x->choice[i] == y->choice[i] && x->choice[i] == z->choice[i], "%s, step %d", f.v->name, step);
                else cr_expect(x->action[i] == y->action[i] && fabs(x->action[i] - z->action[i]) < 2e-5, "%s, step %d", f.v->name, step);
            }
            for (int i = 0; i < N; i++) {
                cr_expect(x->value[i] == y->value[i] && fabs(x->value[i] - z->value[i]) < 2e-5, "%s, step %d", f.v->name, step);
                cr_expect(x->log_prob[i] == y->log_prob[i], "%s, step %d", f.v->name, step);
            }
        }
        cr_expect(mt_device_actor_graphed(a[0]) == mt_compute_capturable(f.compute) && !mt_device_actor_graphed(a[1]), "%s: no graph", f.v->name);
        for (int i = 0; i < 3; i++) mt_device_actor_destroy(a[i]);
        mt_arena_fini(&cpu.arena);
        tear_down(&f);
    }
}
Test(device_actor, a_graph_gives_the_bits_of_its_operations) { each_device(ways); }

// whole segments of an actor with its environments: with a graph, and without one
static void carried_ways(mt_device *device) {
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        enum { N = 21, T = 6 };
        fixture f;
        set_up(&f, &variants[v], device);
        mt_classic classic = {.kind = f.v->box ? MT_CLASSIC_PENDULUM : MT_CLASSIC_CARTPOLE, .max_steps = 4, .param = {f.v->box ? 10 : 0}, .low = -2, .high = 2};
        size_t bytes = (size_t)mt_classic_record_bytes(classic.kind), width = sizeof(float) * (size_t)(N * f.policy->desc.obs);
        char *records = calloc(N, bytes), *after[2];
        mt_device_actor *a[2];
        for (size_t i = 0; i < N; i++) {
            uint64_t stream = 5 + i;
            memcpy(records + i * bytes + offsetof(mt_classic_record, seed), &stream, sizeof stream);
        }
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(mt_device_actor_create(&(mt_device_actor_desc){.device = device, .cpu = f.k, .policy = f.policy, .weights = &f.device_weights,
                .seed = seed, .first_env = first_env, .rows = N, .without_graph = i, .envs = &classic, .steps = T}, &a[i]), MT_OK, "%s", mt_last_error());
            cr_assert_eq(mt_device_actor_put_envs(a[i], records), MT_OK, "%s", mt_last_error());
            after[i] = calloc(N, bytes);
        }
        for (int segment = 0; segment < 3; segment++) {
            for (int i = 0; i < 2; i++) {
                mt_device_actor_io *io = mt_device_actor_io_of(a[i]);
                if (segment) memcpy(io->obs, mt_device_actor_row(a[i], T - 1).obs, width);
                *io->step = (uint64_t)(segment * T);
                for (int n = 0; io->start && n < N; n++) io->start[n] = segment == 0 || mt_device_actor_row(a[i], T - 1).truncated[n];
                cr_assert_eq(mt_device_actor_begin(a[i]), MT_OK, "%s", mt_last_error());
                for (int t = 0; t < T; t++) cr_assert_eq(mt_device_actor_ask(a[i], t == 0), MT_OK, "%s", mt_last_error());
                cr_assert_eq(mt_device_actor_ask_rows(a[i]), MT_OK, "%s", mt_last_error());
                cr_assert_eq(mt_device_actor_wait(a[i]), MT_OK, "%s", mt_last_error());
            }
            for (int t = 0; t < T; t++) {
                mt_device_actor_io x = mt_device_actor_row(a[0], t), y = mt_device_actor_row(a[1], t);
                cr_expect(memcmp(x.obs, y.obs, width) == 0 && memcmp(x.log_prob, y.log_prob, sizeof(float) * N) == 0 &&
                    memcmp(x.value, y.value, sizeof(float) * N) == 0, "%s, segment %d, step %d", f.v->name, segment, t);
                int cut = (segment * T + t + 1) % 4 == 0;
                if (f.v->box) for (int n = 0; n < N; n++) cr_expect_eq(x.truncated[n], cut, "%s: cuts of step %d", f.v->name, t);
            }
        }
        for (int i = 0; i < 2; i++) cr_assert_eq(mt_device_actor_get_envs(a[i], after[i]), MT_OK, "%s", mt_last_error());
        cr_expect(memcmp(after[0], after[1], bytes * N) == 0 && memcmp(after[0], records, bytes * N) != 0, "%s: environments", f.v->name);
        cr_expect(mt_device_actor_graphed(a[0]) == mt_compute_capturable(f.compute) && !mt_device_actor_graphed(a[1]), "%s: no graph", f.v->name);
        for (int i = 0; i < 2; i++) mt_device_actor_destroy(a[i]), free(after[i]);
        free(records);
        tear_down(&f);
    }
}
Test(device_actor, a_graph_carries_environments_as_its_operations_do) { each_device(carried_ways); }
