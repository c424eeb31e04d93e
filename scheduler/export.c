// Exporting a run. One thread.
#include "scheduler/export.h"

#include "engine/base/file.h"
#include "policies/onnx.h"
#include "policies/state_dict.h"
#include "scheduler/weights_file.h"

#include <stdlib.h>
#include <sys/stat.h>

// The run's own weights hold more than what is written here, and everything that reads a run needs them.
static mt_status check_path(const mt_saved_run *run, const char *path) {
    struct stat from, to;
    if (stat(run->weights_path, &from) == 0 && stat(path, &to) == 0 && from.st_dev == to.st_dev && from.st_ino == to.st_ino)
        return MT_FAIL(CONFIG, "%s holds the weights that are exported; name another file with -o", path);
    return MT_OK;
}

// ---- ONNX

static mt_status encode(const mt_saved_run *run, const mt_env *env, void **bytes, size_t *size) {
    const mt_space *action = mt_env_action_space(env);
    const mt_normaliser *n = &run->normaliser;
    char observations[512], actions[512];
    mt_space_format(mt_env_observation_space(env), observations, sizeof observations);
    mt_space_format(action, actions, sizeof actions);
    const mt_string_pair metadata[] = {{"environment", run->environment.desc->id}, {"policy", run->ppo.policy},
        {"observation_space", observations}, {"action_space", actions}};
    return mt_onnx_encode(&(mt_onnx_desc){.policy = run->policy, .param = run->weights.param,
        .obs_mean = n->observations ? n->obs_mean : NULL, .obs_inv_std = n->obs_inv_std, .clip_obs = n->clip_obs,
        .low = action->low, .high = action->high, .has_mask = mt_env_has_action_mask(env), .version = MANTA_VERSION,
        .metadata = metadata, .metadata_count = MT_COUNT(metadata)}, bytes, size);
}

mt_status mt_export_onnx(const mt_saved_run *run, const char *path) {
    mt_env *env = NULL;
    void *bytes = NULL;
    size_t size = 0;
    uint64_t seed = 0;
    MT_TRY(check_path(run, path));
    // bounds and masks are the environment's
    MT_TRY(mt_env_create(run->environment.desc, &(manta_env_config){.struct_size = sizeof(manta_env_config), .num_envs = 1,
        .seeds = &seed, .option_count = run->environment.option_count, .options = run->environment.options}, &env));
    mt_status status = encode(run, env, &bytes, &size);
    mt_env_destroy(env);
    if (status == MT_OK) status = mt_file_write_atomic(path, bytes, size, MT_FILE_PUBLIC);
    free(bytes);
    return status;
}

// ---- safetensors

static mt_status add_one(void *context, const char *name, const mt_tensor *tensor) {
    return mt_tensor_list_add(context, "", name, tensor);
}

mt_status mt_export_state_dict(const mt_saved_run *run, const char *path) {
    const mt_string_pair metadata = {"format", "pt"};   // as PyTorch's own files say
    mt_tensor_list list = {0};
    MT_TRY(check_path(run, path));
    mt_status status = mt_state_dict_visit(run->policy, run->weights.param, add_one, &list);
    if (status == MT_OK) status = mt_safetensors_save(path, list.items, list.count, &metadata, 1);
    mt_tensor_list_fini(&list);
    return status;
}
