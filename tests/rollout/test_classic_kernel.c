// The kernel classic_step against the environments whose dynamics it shares: from the same snapshots the same actions give the same
// observations, rewards, ends and new episodes to the bit, and the same snapshots in the end; on the CPU for every instruction set, and
// on a GPU where this build has one (preset cuda-host: the host's implementation of it).
#include "fixture.h"

#include "engine/base/rng.h"
#include "engine/device/device_arena.h"
#include "kernels/compute.h"

enum { ENVS = 37, STEPS = 2500 };

typedef struct subject {
    const char *id, *options[2][2];   // {key, value}, as many as there are
    int least_ends;                   // episodes that end in STEPS steps of all
} subject;

static const subject subjects[] = {
    {"CartPole-v1", {{0}}, 2000},
    {"CartPole-v1", {{"sutton_barto_reward", "true"}, {"max_episode_steps", "13"}}, 5000},
    {"CartPoleNoVel-v1", {{"max_episode_steps", "29"}}, 3000},
    {"MountainCar-v0", {{0}}, 400},
    {"MountainCar-v0", {{"goal_velocity", "0.01"}, {"max_episode_steps", "0"}}, 1},
    {"MountainCarContinuous-v0", {{0}}, 50},
    {"MountainCarContinuous-v0", {{"goal_velocity", "0.01"}, {"max_episode_steps", "77"}}, 1000},
    {"Pendulum-v1", {{0}}, 400},
    {"Pendulum-v1", {{"g", "3.7"}, {"max_episode_steps", "0"}}, 0},
    {"Acrobot-v1", {{"fast_math", "true"}}, 180},
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

// ---- both

typedef struct pair {
    const subject *s;
    mt_env *env;                      // what it should be
    mt_env_buffers io;
    int obs, is_number;
    mt_classic_step there;            // arrays of the device
    mt_compute *compute;
    mt_device_arena arena;
    int32_t *choice;
    float *action;
    size_t record_bytes;
} pair;

static void open_env(pair *p, mt_isa isa) {
    manta_env_option options[2];
    uint64_t seeds[ENVS];
    uint32_t count = 0;
    for (; count < 2 && p->s->options[count][0]; count++) options[count] = (manta_env_option){p->s->options[count][0], p->s->options[count][1]};
    for (int i = 0; i < ENVS; i++) seeds[i] = 1000003u * (uint64_t)(i + 1) << (i % 40);
    manta_env_config config = {.struct_size = sizeof config, .num_envs = ENVS, .seeds = seeds, .option_count = count, .options = options};
    cr_assert_eq(mt_env_create(builtin(isa, p->s->id), &config, &p->env), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_env_buffers_init(&p->io, p->env), MT_OK);
    cr_assert_eq(mt_env_reset(p->env, &p->io.batch, NULL, NULL), MT_OK);
    p->is_number = mt_env_action_space(p->env)->kind == MANTA_SPACE_BOX;
    p->obs = (int)mt_env_observation_space(p->env)->count;
    p->record_bytes = mt_env_snapshot_bytes(p->env) / ENVS;
}

static void open_there(pair *p, mt_device *device, const mt_kernels *cpu) {
    mt_classic_step *s = &p->there;
    cr_assert_eq(mt_env_classic(p->env, &s->of), MT_OK, "%s", mt_last_error());
    cr_assert_eq((int64_t)p->record_bytes, mt_classic_record_bytes(s->of.kind));
    cr_assert_eq(mt_compute_open(&(mt_compute_desc){.device = device, .cpu = cpu}, &p->compute), MT_OK, "%s", mt_last_error());
    p->arena.device = device;
    s->envs = ENVS;
    mt_device_arena_add(&p->arena, &s->records, p->record_bytes * ENVS, "records");
    MT_DEVICE_ARENA_ADD(&p->arena, p->choice, p->is_number ? 0 : ENVS);
    MT_DEVICE_ARENA_ADD(&p->arena, p->action, p->is_number ? ENVS : 0);
    MT_DEVICE_ARENA_ADD(&p->arena, s->obs, ENVS * p->obs);
    MT_DEVICE_ARENA_ADD(&p->arena, s->final_obs, ENVS * p->obs);
    MT_DEVICE_ARENA_ADD(&p->arena, s->reward, ENVS);
    MT_DEVICE_ARENA_ADD(&p->arena, s->terminated, ENVS);
    MT_DEVICE_ARENA_ADD(&p->arena, s->truncated, ENVS);
    MT_DEVICE_ARENA_ADD(&p->arena, s->ended, ENVS);
    MT_DEVICE_ARENA_ADD(&p->arena, s->bad, ENVS);
    cr_assert_eq(mt_device_arena_commit(&p->arena), MT_OK, "%s", mt_last_error());
    s->choice = p->choice, s->action = p->action;
}

static void copy(pair *p, void *to, const void *from, size_t bytes) {
    cr_assert_eq(mt_compute_copy(p->compute, to, from, bytes), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_compute_wait(p->compute), MT_OK, "%s", mt_last_error());
}

static void close_pair(pair *p) {
    mt_device_arena_fini(&p->arena);
    mt_compute_close(p->compute);
    mt_env_buffers_fini(&p->io);
    mt_env_destroy(p->env);
}

// ---- a step of both

// What an episode is made of: pushes in runs, so that cars reach their goal; numbers beyond the bounds now and then, which are clipped.
static void act(pair *p, mt_rng *rng, int t) {
    float action[ENVS], clipped[ENVS];
    int32_t choice[ENVS], actions = p->is_number ? 1 : (int32_t)mt_env_action_space(p->env)->nvec[0];
    const float *obs = p->io.batch.obs;
    for (int i = 0; i < ENVS; i++) {
        float along = obs[i * p->obs + 1] < 0 ? -1 : 1;   // the car's velocity, the pendulum's sine: pumped where t says so
        int pumps = (t / 300 + i) % 2;
        choice[i] = pumps && actions == 3 ? 1 + (int32_t)along : (int32_t)mt_rng_below(rng, (uint32_t)actions);
        action[i] = pumps ? 3 * along * mt_rng_uniform_f(rng) : (float)mt_rng_normal(rng);
        float low = p->there.of.low, high = p->there.of.high;
        clipped[i] = action[i] < low ? low : action[i] > high ? high : action[i];
    }
    memcpy(p->io.action, p->is_number ? (void *)clipped : choice, sizeof choice);
    copy(p, p->is_number ? (void *)p->action : p->choice, p->is_number ? (void *)action : choice, sizeof choice);
}

static int step(pair *p, int t) {
    const manta_env_batch *b = &p->io.batch;
    float obs[ENVS * 6], final_obs[ENVS * 6], reward[ENVS];
    uint8_t terminated[ENVS], truncated[ENVS], ended[ENVS], bad[ENVS];
    size_t row = sizeof *obs * (size_t)p->obs;
    int ends = 0;
    mt_compute_begin(p->compute);
    p->compute->kernels->classic_step(&p->there);
    cr_assert_eq(mt_compute_end(p->compute), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_env_step(p->env, b), MT_OK, "%s", mt_last_error());
    copy(p, obs, p->there.obs, row * ENVS);
    copy(p, final_obs, p->there.final_obs, row * ENVS);
    copy(p, reward, p->there.reward, sizeof reward);
    copy(p, terminated, p->there.terminated, ENVS);
    copy(p, truncated, p->there.truncated, ENVS);
    copy(p, ended, p->there.ended, ENVS);
    copy(p, bad, p->there.bad, ENVS);
    for (int i = 0; i < ENVS; i++) {
        int over = b->terminated[i] | b->truncated[i];
        cr_assert(terminated[i] == b->terminated[i] && truncated[i] == b->truncated[i] && ended[i] == over && !bad[i],
            "%s: flags of environment %d in step %d", p->s->id, i, t);
        cr_assert(memcmp(&reward[i], &b->reward[i], sizeof *reward) == 0, "%s: reward of environment %d in step %d: %a, not %a", p->s->id, i,
            t, (double)reward[i], (double)b->reward[i]);
        cr_assert(memcmp(obs + i * p->obs, (float *)b->obs + i * p->obs, row) == 0, "%s: observation of environment %d in step %d", p->s->id, i, t);
        cr_assert(!over || memcmp(final_obs + i * p->obs, (float *)b->final_obs + i * p->obs, row) == 0,
            "%s: final observation of environment %d in step %d", p->s->id, i, t);
        ends += over;
    }
    return ends;
}

static void same_trajectories(const subject *s, mt_device *device, const mt_kernels *cpu, mt_isa isa, int steps) {
    pair p = {.s = s};
    mt_rng rng = mt_rng_at(11, mt_rng_stream(MT_RNG_USER, 4), 0);
    int64_t ends = 0;
    open_env(&p, isa);
    open_there(&p, device, cpu);
    size_t bytes = p.record_bytes * ENVS;
    char *snapshot = malloc(bytes), *got = malloc(bytes);
    for (int t = 0; t < 3; t++) {   // from the midst of episodes
        memset(p.io.action, 0, mt_env_action_space(p.env)->bytes * ENVS);
        cr_assert_eq(mt_env_step(p.env, &p.io.batch), MT_OK);
    }
    cr_assert_eq(mt_env_snapshot_save(p.env, snapshot), MT_OK);
    copy(&p, p.there.records, snapshot, bytes);
    for (int t = 0; t < steps; t++) {
        act(&p, &rng, t);
        ends += step(&p, t);
    }
    cr_expect_geq(ends, (int64_t)s->least_ends * steps / STEPS, "%s: %d episodes ended", s->id, (int)ends);
    cr_assert_eq(mt_env_snapshot_save(p.env, snapshot), MT_OK);
    copy(&p, got, p.there.records, bytes);
    cr_expect(memcmp(got, snapshot, bytes) == 0, "%s: snapshots", s->id);
    free(snapshot), free(got);
    close_pair(&p);
}

Test(classic_kernel, on_the_cpu_it_has_the_bits_of_the_environments) {
    mt_device *device;
    cr_assert_eq(mt_device_open("cpu", &device), MT_OK);
    for (int isa = 0; isa < MT_ISA_COUNT; isa++)
        for (int i = 0; mt_kernels_cpu((mt_isa)isa) && i < SUBJECTS; i++)
            same_trajectories(&subjects[i], device, mt_kernels_cpu((mt_isa)isa), (mt_isa)isa, STEPS);
    mt_device_close(device);
}

Test(classic_kernel, on_a_gpu_it_has_the_bits_of_the_environments) {
    mt_device *device;
    const mt_kernels *cpu;
    if (mt_device_open("cuda", &device) != MT_OK) {
        printf("skipped cuda: %s\n", mt_last_error());
        return;
    }
    cr_assert_eq(mt_kernels_choose(&cpu), MT_OK);
    for (int i = 0; i < SUBJECTS; i++) same_trajectories(&subjects[i], device, cpu, MT_ISA_plain_id, STEPS);
    mt_device_close(device);
}

// ---- what is none

Test(classic_kernel, an_action_that_is_none_is_told) {
    static const struct {
        int subject, number;
        int32_t choice;
        float action;
        int bad;
    } cases[] = {{0, 0, 2, 0, 1}, {0, 0, -1, 0, 1}, {0, 0, 1, 0, 0}, {3, 0, 3, 0, 1}, {9, 0, -7, 0, 1}, {7, 1, 0, NAN, 1}, {7, 1, 0, INFINITY, 0},
        {5, 1, 0, NAN, 1}, {5, 1, 0, -3, 0}};
    mt_device *device;
    const mt_kernels *cpu;
    cr_assert_eq(mt_device_open("cpu", &device), MT_OK);
    cr_assert_eq(mt_kernels_choose(&cpu), MT_OK);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        pair p = {.s = &subjects[cases[c].subject]};
        open_env(&p, MT_ISA_plain_id);
        open_there(&p, device, cpu);
        cr_assert_eq(mt_env_snapshot_save(p.env, p.there.records), MT_OK);
        for (int i = 0; i < ENVS; i++)
            if (p.is_number) p.action[i] = 0.5f;
            else p.choice[i] = 1;
        if (p.is_number) p.action[ENVS - 2] = cases[c].action;
        else p.choice[ENVS - 2] = cases[c].choice;
        cpu->classic_step(&p.there);
        for (int i = 0; i < ENVS; i++) cr_expect_eq(p.there.bad[i], i == ENVS - 2 ? cases[c].bad : 0, "case %zu, environment %d", c, i);
        close_pair(&p);
    }
    mt_device_close(device);
}

Test(classic_kernel, other_environments_say_why_not) {
    static const struct {
        const char *id, *says;
    } others[] = {{"MemoryChain-v0", "classic control"}, {"Acrobot-v1", "fast_math:true"}};
    for (int i = 0; i < 2; i++) {
        pair p = {.s = &(subject){.id = others[i].id}};
        mt_classic classic;
        open_env(&p, MT_ISA_plain_id);
        cr_expect_eq(mt_env_classic(p.env, &classic), MT_UNSUPPORTED);
        cr_expect(strstr(mt_last_error(), others[i].says) && strstr(mt_last_error(), others[i].id), "%s", mt_last_error());
        close_pair(&p);
    }
}

// ---- rows put down one behind the other

static void appends(mt_device *device) {
    enum { ROWS = 5 };
    static const int sizes[] = {4, 12, 64, 4096, 10004};
    const mt_kernels *cpu;
    cr_assert_eq(mt_kernels_choose(&cpu), MT_OK);
    for (int k = 0; k < 5; k++) {
        pair p = {.s = &subjects[0]};
        size_t bytes = (size_t)sizes[k];
        char *row, *rows, *given = malloc(bytes), *got = malloc(bytes * ROWS);
        int64_t *time, now;
        uint64_t *step, at;
        cr_assert_eq(mt_compute_open(&(mt_compute_desc){.device = device, .cpu = cpu}, &p.compute), MT_OK, "%s", mt_last_error());
        p.arena.device = device;
        MT_DEVICE_ARENA_ADD(&p.arena, row, bytes);
        MT_DEVICE_ARENA_ADD(&p.arena, rows, bytes * ROWS);
        MT_DEVICE_ARENA_ADD(&p.arena, time, 1);
        MT_DEVICE_ARENA_ADD(&p.arena, step, 1);
        cr_assert_eq(mt_device_arena_commit(&p.arena), MT_OK);
        for (int t = 0; t < ROWS; t++) {
            memset(given, t + 1, bytes);
            copy(&p, row, given, bytes);
            mt_compute_begin(p.compute);
            p.compute->kernels->append_row((int64_t)bytes, row, rows, time, step);
            cr_assert_eq(mt_compute_end(p.compute), MT_OK, "%s", mt_last_error());
        }
        copy(&p, got, rows, bytes * ROWS);
        copy(&p, &now, time, sizeof now);
        copy(&p, &at, step, sizeof at);
        cr_expect(now == ROWS && at == ROWS, "%d rows, step %d", (int)now, (int)at);
        for (size_t b = 0; b < bytes * ROWS; b++) cr_assert_eq(got[b], (char)(b / bytes + 1), "byte %zu of rows of %zu", b, bytes);
        mt_device_arena_fini(&p.arena);
        mt_compute_close(p.compute);
        free(given), free(got);
    }
}

Test(classic_kernel, rows_are_put_down_one_behind_the_other) {
    static const char *const specs[] = {"cpu", "cuda"};
    for (int i = 0; i < 2; i++) {
        mt_device *device = NULL;
        if (mt_device_open(specs[i], &device) == MT_OK) appends(device);
        else printf("skipped %s: %s\n", specs[i], mt_last_error());
        mt_device_close(device);
    }
}
