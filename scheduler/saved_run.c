// Reading a run back. One thread.
#include "scheduler/saved_run.h"

#include "engine/base/file.h"
#include "scheduler/policy_probe.h"
#include "scheduler/report/run_folder.h"
#include "scheduler/weights_file.h"

#include <string.h>

static mt_status load_config(const char *folder, mt_saved_run *run) {
    char path[MT_PATH_BYTES];
    mt_option_section sections[MT_PPO_SECTIONS];
    mt_options options = {0};
    MT_TRY(mt_run_folder_check(folder));
    MT_TRY(mt_path_join(path, sizeof path, folder, MT_RUN_CONFIG));
    mt_ppo_sections(&run->train, &run->ppo, sections);
    mt_status status = mt_options_init(&options, sections, MT_PPO_SECTIONS);
    if (status == MT_OK) status = mt_conf_file_apply(&options, path, NULL);
    mt_options_fini(&options);
    return status;
}

// the policy's shape follows from the environment's spaces
static mt_status make_policy(mt_saved_run *run) {
    mt_codec codec;
    MT_TRY(mt_policy_probe(&run->ppo, &run->environment, &codec, &run->policy));
    mt_weights_register(&run->weights, run->policy, &run->arena);
    mt_normaliser_register_inputs(&run->normaliser, codec.obs, codec.inputs, codec.input_count, run->ppo.normalize && run->ppo.norm_obs, 0,
        (float)run->ppo.clip_obs, (float)run->ppo.clip_reward, &run->arena);
    MT_TRY(mt_arena_commit(&run->arena));
    mt_normaliser_reset(&run->normaliser);
    return MT_OK;
}

static mt_status open_run(const char *given, const char *env, int best, mt_saved_run *run) {
    char folder[MT_PATH_BYTES];
    snprintf(folder, sizeof folder, "%s", given);
    if (mt_file_exists(given) && !mt_file_is_folder(given)) {
        MT_TRY(mt_path_parent(folder, sizeof folder, given));
        snprintf(run->weights_path, sizeof run->weights_path, "%s", given);
    } else {
        MT_TRY(mt_path_join(run->weights_path, sizeof run->weights_path, folder, best ? MT_RUN_BEST_WEIGHTS : MT_RUN_WEIGHTS));
    }
    MT_TRY(load_config(folder, run));
    if (env && *env) snprintf(run->train.env, sizeof run->train.env, "%s", env);
    MT_TRY(mt_environment_open(&run->environment, &run->train));
    MT_TRY(mt_kernels_choose(&run->kernels));
    MT_TRY(make_policy(run));
    MT_TRY(mt_weights_file_load(run->weights_path, run->policy, run->weights.param, &run->normaliser));
    mt_weights_pack(&run->weights, run->policy, run->kernels, MT_POLICY_BOTH);
    return MT_OK;
}

mt_status mt_saved_run_open(const char *folder, const char *env, int best, mt_saved_run *out) {
    memset(out, 0, sizeof *out);
    mt_status status = open_run(folder, env, best, out);
    if (status != MT_OK) mt_saved_run_close(out);
    return status;
}

void mt_saved_run_close(mt_saved_run *run) {
    mt_policy_destroy(run->policy);   // a plugin's goes before the plugin
    mt_environment_close(&run->environment);
    mt_arena_fini(&run->arena);
    run->policy = NULL;
}
