// The host's side: validation of descriptors and options, checks of what environments write, errors that name the place.
#include "fixture.h"
#include "rollout/env_plugin.h"

// ---------------------------------------------------------------- an environment that does what the test wants

struct manta_env {
    uint32_t count;
    int step;
};
static struct {
    float obs, reward;
    uint8_t terminated, truncated, mask;
    int row, at, fail, create_code, keep_null;
} wish;   // what row `row` gets at step `at`; Criterion runs each test in its own process
static manta_space toy_obs, toy_action;
static const int64_t four[1] = {4};

static int toy_create(const manta_env_config *config, manta_env **out, char *error) {
    if (wish.create_code) snprintf(error, MANTA_ERROR_BYTES, "no licence");
    *out = wish.keep_null || wish.create_code ? NULL : calloc(1, sizeof **out);
    if (*out) (*out)->count = config->num_envs;
    return wish.create_code;
}
static void toy_destroy(manta_env *env) { free(env); }
static const manta_space *toy_observation(const manta_env *env) { return (void)env, &toy_obs; }
static const manta_space *toy_actions(const manta_env *env) { return (void)env, &toy_action; }
static int toy_reset(manta_env *env, const manta_env_batch *batch, const uint64_t *seeds, const uint8_t *mask, char *error) {
    (void)seeds, (void)mask, (void)error;
    memset(batch->obs, 0, env->count * 2 * sizeof(float));
    if (batch->action_mask) memset(batch->action_mask, 1, env->count * 4);
    return 0;
}
static int toy_step(manta_env *env, const manta_env_batch *batch, char *error) {
    env->step++;
    for (uint32_t i = 0; i < env->count; i++) {
        int now = (int)i == wish.row && env->step == wish.at;
        ((float *)batch->obs)[2 * i] = 0;
        ((float *)batch->obs)[2 * i + 1] = now ? wish.obs : 0;
        batch->reward[i] = now ? wish.reward : 0;
        batch->terminated[i] = now ? wish.terminated : 0;
        batch->truncated[i] = now ? wish.truncated : 0;
        if (batch->action_mask) memset(batch->action_mask + 4 * i, now ? wish.mask : 1, 4);
        if (now && wish.terminated) ((float *)batch->final_obs)[2 * i + 1] = wish.obs, ((float *)batch->obs)[2 * i + 1] = 0;
        if (now && wish.fail) return snprintf(error, MANTA_ERROR_BYTES, "the motor has burnt out"), 1;
    }
    return 0;
}
static const manta_env_option_desc toy_options[] = {{"gravity", "9.8", "m/s^2"}, {"length", "1", "m"}};

static manta_env_desc toy(void) {
    toy_obs = (manta_space){.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_BOX, .dtype = MANTA_F32, .ndim = 1, .shape = {2}};
    toy_action = (manta_space){.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_DISCRETE, .dtype = MANTA_I32, .nvec = four};
    return (manta_env_desc){.struct_size = sizeof(manta_env_desc), .abi_version = MANTA_ENV_ABI_VERSION, .id = "Toy-v0",
        .summary = "", .option_count = 2, .options = toy_options, .create = toy_create, .destroy = toy_destroy,
        .observation_space = toy_observation, .action_space = toy_actions, .reset = toy_reset, .step = toy_step};
}

static void says(mt_status status, mt_status expected, const char *words) {
    cr_expect(status == expected, "got %s: %s", mt_status_name(status), mt_last_error());
    cr_expect(strstr(mt_last_error(), words), "'%s' is not in: %s", words, mt_last_error());
}

// ---------------------------------------------------------------- descriptors and options

Test(env, descriptors_are_validated) {
    manta_env_desc d = toy();
    cr_expect(mt_env_validate_desc(&d, sizeof d) == MT_OK);
    says(mt_env_validate_desc(NULL, 0), MT_PLUGIN, "NULL");
    says(mt_env_validate_desc(&d, 3), MT_PLUGIN, "struct_size is 0");
    says(mt_env_validate_desc(&d, sizeof d - 1), MT_PLUGIN, "struct_size");
    d.struct_size = 12;
    says(mt_env_validate_desc(&d, SIZE_MAX), MT_PLUGIN, "struct_size is 12");
    d = toy(), d.abi_version = 9;
    says(mt_env_validate_desc(&d, SIZE_MAX), MT_PLUGIN, "ABI version 9");
    d = toy(), d.id = "has space";
    says(mt_env_validate_desc(&d, SIZE_MAX), MT_PLUGIN, "id must be");
    d.id = "";
    says(mt_env_validate_desc(&d, SIZE_MAX), MT_PLUGIN, "id must be");
    d = toy(), d.step = NULL;
    says(mt_env_validate_desc(&d, SIZE_MAX), MT_PLUGIN, ".step is NULL");
    d = toy(), d.capabilities = 1u << 30;
    says(mt_env_validate_desc(&d, SIZE_MAX), MT_PLUGIN, "capabilities");
    d = toy(), d.options = NULL;
    says(mt_env_validate_desc(&d, SIZE_MAX), MT_PLUGIN, "option_count is 2");
    d = toy(), d.options = (const manta_env_option_desc[]){{"a", "1", "x"}, {"b", NULL, "x"}};
    says(mt_env_validate_desc(&d, SIZE_MAX), MT_PLUGIN, "options[1]");
}

Test(env, unknown_and_repeated_options_are_refused) {
    manta_env_desc d = toy();
    cr_expect(mt_env_check_options(&d, (manta_env_option[]){{"length", "2"}, {"gravity", "1"}}, 2) == MT_OK);
    says(mt_env_check_options(&d, (manta_env_option[]){{"gravitiy", "2"}}, 1), MT_CONFIG, "did you mean \"gravity\"");
    says(mt_env_check_options(&d, (manta_env_option[]){{"colour", "2"}}, 1), MT_CONFIG, "no option 'colour'");
    says(mt_env_check_options(&d, (manta_env_option[]){{"length", "2"}, {"length", "3"}}, 2), MT_CONFIG, "given twice");
    d.option_count = 0, d.options = NULL;
    says(mt_env_check_options(&d, (manta_env_option[]){{"length", "2"}}, 1), MT_CONFIG, "no option 'length'");
}

static mt_status try_create(const manta_env_desc *d, uint32_t rows, const uint64_t *seeds) {
    mt_env *env;
    manta_env_config config = {.struct_size = sizeof config, .num_envs = rows, .seeds = seeds};
    mt_status status = mt_env_create(d, &config, &env);
    cr_expect((env != NULL) == (status == MT_OK));
    mt_env_destroy(env);
    return status;
}

Test(env, create_translates_what_goes_wrong) {
    manta_env_desc d = toy();
    const uint64_t seeds[3] = {1, 2, 3};
    cr_expect(try_create(&d, 3, seeds) == MT_OK);
    says(try_create(&d, 0, seeds), MT_CONFIG, "0 environments");
    says(try_create(&d, 3, NULL), MT_CONFIG, "without seeds");
    wish.create_code = 1;
    says(try_create(&d, 3, seeds), MT_ENV, "Toy-v0: create failed: no licence");
    wish.create_code = 0, wish.keep_null = 1;
    says(try_create(&d, 3, seeds), MT_PLUGIN, "left *out NULL");
    wish.keep_null = 0, toy_obs.shape[0] = -1;
    says(try_create(&d, 3, seeds), MT_PLUGIN, "Toy-v0: observation space: shape[0] is -1");
    d = toy(), toy_action.nvec = NULL;
    says(try_create(&d, 3, seeds), MT_PLUGIN, "action space: nvec");
}

// ---------------------------------------------------------------- what a step writes

static mt_status run_wish(uint32_t capabilities) {
    manta_env_desc d = toy();
    batch_env b;
    d.capabilities = capabilities;
    wish.row = 2, wish.at = 5;
    batch_open(&b, &d, 4, 1, NULL);
    mt_status status = MT_OK;
    for (int t = 0; t < 8 && status == MT_OK; t++) status = mt_env_step(b.env, &b.io.batch);
    if (status != MT_OK) {
        char first[1024];
        snprintf(first, sizeof first, "%s", mt_last_error());
        says(mt_env_step(b.env, &b.io.batch), MT_ENV, "after an earlier failure");
        (void)MT_FAIL(ENV, "%s", first);
    }
    batch_close(&b);
    return status;
}

Test(env, nan_and_infinity_stop_at_the_boundary) {
    wish.obs = NAN;
    says(run_wish(0), MT_NUMERIC, "Toy-v0: obs[1] of environment 2 is nan after step 5");
    wish.obs = -INFINITY;
    says(run_wish(0), MT_NUMERIC, "obs[1] of environment 2 is -inf");
    wish.obs = 0, wish.reward = INFINITY;
    says(run_wish(0), MT_NUMERIC, "reward[0] of environment 2 is inf after step 5");
    wish.reward = 3e38f, wish.obs = -3e38f;
    cr_expect(run_wish(0) == MT_OK);
    wish.terminated = 1, wish.obs = NAN;
    says(run_wish(0), MT_NUMERIC, "final_obs[1] of environment 2 is nan");
}

Test(env, flags_are_0_or_1) {
    wish.truncated = 2;
    says(run_wish(0), MT_ENV, "truncated is 2 for environment 2 in step 5");
    wish.truncated = 1, wish.terminated = 1;
    cr_expect(run_wish(0) == MT_OK);
}

Test(env, action_masks_allow_something) {
    wish.mask = 0;
    says(run_wish(MANTA_ENV_HAS_ACTION_MASK), MT_ENV, "action mask of environment 2 allows no action after step 5");
    wish.mask = 9;
    says(run_wish(MANTA_ENV_HAS_ACTION_MASK), MT_ENV, "value other than 0 and 1");
    wish.mask = 1;
    cr_expect(run_wish(MANTA_ENV_HAS_ACTION_MASK) == MT_OK);
}

Test(env, a_failed_step_brings_the_environments_words) {
    wish.fail = 1;
    says(run_wish(0), MT_ENV, "environment Toy-v0: step 5 failed: the motor has burnt out");
}

// steps of a plugin with a dict of parts, until one fails
static mt_status run_camera(const char *name) {
    mt_plugin *plugin;
    const manta_env_plugin *table;
    batch_env b;
    const char *path = walk_plugin(name);
    mt_status status = MT_OK;
    cr_assert(mt_plugin_open(path, &plugin) == MT_OK && mt_env_plugin_table(plugin, &table) == MT_OK, "%s", mt_last_error());
    batch_open(&b, table->envs[0], 4, 1, NULL);
    for (uint64_t t = 0; t < 50 && status == MT_OK; t++) {
        batch_choose(&b, 1, 0, t);
        status = mt_env_step(b.env, &b.io.batch);
    }
    batch_close(&b);
    mt_plugin_close(plugin);
    plugin_remove(path);
    return status;
}

Test(env, parts_of_a_dict_are_looked_at) {
    cr_expect(run_camera("camera") == MT_OK, "%s", mt_last_error());
    says(run_camera("camera_part_nan"), MT_NUMERIC, "Camera-v0: obs.camera.depth[1] of environment 3 is ");
    says(run_camera("camera_part_mode"), MT_ENV, "Camera-v0: obs.mode[0] of environment 2 is 3 in step 17; the observation space allows 0 to 2");
}

Test(env, actions_of_several_parts_are_refused) {
    manta_env_desc d = toy();
    const manta_space *children[2] = {&toy_obs, &toy_obs};
    toy_action = (manta_space){.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_TUPLE, .child_count = 2, .children = children};
    says(try_create(&d, 1, (const uint64_t[]){1}), MT_UNSUPPORTED, "Toy-v0: action space: actions of several parts");
}

Test(env, calls_out_of_order_and_wrong_batches) {
    manta_env_desc d = toy();
    const uint64_t seeds[2] = {1, 2};
    manta_env_config config = {.struct_size = sizeof config, .num_envs = 2, .seeds = seeds};
    mt_env *env;
    mt_env_buffers io;
    cr_assert(mt_env_create(&d, &config, &env) == MT_OK);
    cr_assert(mt_env_buffers_init(&io, env) == MT_OK);
    cr_expect((uintptr_t)io.batch.obs % 64 == 0 && !io.batch.action_mask);
    says(mt_env_step(env, &io.batch), MT_INVALID_ARGUMENT, "before the first reset");
    io.batch.num_envs = 3;
    says(mt_env_reset(env, &io.batch, NULL, NULL), MT_INVALID_ARGUMENT, "batch of 3");
    io.batch.num_envs = 2;
    cr_expect(mt_env_reset(env, &io.batch, NULL, NULL) == MT_OK && mt_env_step(env, &io.batch) == MT_OK);
    cr_expect(mt_env_snapshot_bytes(env) == 0);
    char byte;
    says(mt_env_snapshot_save(env, &byte), MT_UNSUPPORTED, "manta.snapshot");
    says(mt_env_snapshot_load(env, &byte, 1), MT_UNSUPPORTED, "manta.snapshot");
    says(mt_env_render(env, 0, &byte, 1), MT_UNSUPPORTED, "manta.render");
    mt_env_buffers_fini(&io);
    cr_expect(!io.batch.obs && !io.action);
    mt_env_destroy(env);
    mt_env_destroy(NULL);
}
