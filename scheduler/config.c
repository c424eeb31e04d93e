// The option tables of a training run and of PPO, presets, and the checks that cross options. One thread, at start-up.
#include "scheduler/config.h"

#include "engine/base/clock.h"
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/base/yaml.h"
#include "policies/architecture.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRAIN(field) MT_OPTION(mt_train_config, field)
#define PPO(key, field)                                                                                                \
    .name = key, .offset = offsetof(mt_ppo_config, field), .bytes = sizeof(((mt_ppo_config *)0)->field), .group = "PPO"
#define NET(key, field)                                                                                                \
    .name = key, .offset = offsetof(mt_ppo_config, field), .bytes = sizeof(((mt_ppo_config *)0)->field), .group = "Policy (policy_kwargs)"

static const char *const rollout_devices[] = {"auto", "cpu", "cuda", NULL};   // mt_rollout_device
static const char *const precisions[] = {"fp32", "tf32", "bf16", NULL};       // mt_precision
static const char *const gradients[] = {"all_reduce", "parameter_server", NULL};   // mt_gradients
static const char *const placements[] = {"auto", "pack", "spread", NULL};   // mt_placement

static const mt_option train_options[] = {
    {TRAIN(algo), .type = MT_OPT_STRING, .standard = "ppo", .group = "Run", .help = "the algorithm"},
    {TRAIN(env), .type = MT_OPT_STRING, .standard = "", .group = "Run", .help = "the environment's id (manta envs lists them), or a plugin's path"},
    {TRAIN(env_kwargs), .type = MT_OPT_PAIRS, .standard = "", .group = "Run", .help = "options of the environment, key:value"},
    {TRAIN(plugin), .type = MT_OPT_STRING, .flags = MT_OPTION_PATH, .standard = "", .group = "Run", .help = "plugin files to load, separated by ':'"},
    {TRAIN(n_timesteps), .type = MT_OPT_INT, .letter = 'n', .aliases = "total_timesteps timesteps", .standard = "100000", .range = "[1, 1e15]",
        .why = "a run needs at least one step", .unit = "steps", .group = "Run", .help = "environment steps to train for, over all environments and ranks"},
    {TRAIN(seed), .type = MT_OPT_INT, .standard = "0", .range = "[0, 9e18]", .why = "it keys the random numbers", .group = "Run", .help = "random seed"},
    {TRAIN(stop_reward), .type = MT_OPT_FLOAT, .standard = "0", .range = "(-inf, inf)", .why = "it is compared with a mean return", .group = "Run",
        .help = "stop as soon as the mean return of the last 100 episodes reaches this; 0: train to the end"},
    {TRAIN(n_workers), .type = MT_OPT_INT, .standard = "0", .range = "[0, 1e6]", .why = "each has a share of the environments", .group = "Run",
        .help = "logical rollout workers, a multiple of the learners; results depend on it and not on ranks or threads; 0: one per environment runner and thread, two where rollouts are on a GPU"},
    {TRAIN(threads), .type = MT_OPT_INT, .standard = "0", .range = "[0, 1024]", .why = "they are cores", .group = "Run",
        .help = "threads per rank; 0: this rank's share of the cores"},
    {TRAIN(num_learners), .type = MT_OPT_INT, .standard = "0", .range = "[0, 1e6]", .why = "each needs a rank", .group = "Layout",
        .help = "learners, on ranks of their own; their gradients are summed; 0: one a rank"},
    {TRAIN(num_env_runners), .type = MT_OPT_INT, .standard = "0", .range = "[0, 1e6]", .why = "each has logical workers", .group = "Layout",
        .help = "environment runners; with fewer learners and runners than ranks they stand on different ranks; 0: one a rank"},
    {TRAIN(gradients), .type = MT_OPT_CHOICE, .choices = gradients, .standard = "all_reduce", .group = "Layout",
        .help = "all_reduce: every learner adds up all gradients; parameter_server: they go to learner 0's GPU, which alone has the optimiser, and parameters come back"},
    {TRAIN(num_cpus_per_learner), .type = MT_OPT_FLOAT, .standard = "0", .range = "[0, 1e6]", .why = "they are cores", .group = "Layout",
        .help = "cores that a learner reserves; 0: none, it takes turns with its rank's environment runner"},
    {TRAIN(num_cpus_per_env_runner), .type = MT_OPT_FLOAT, .standard = "0", .range = "[0, 1e6]", .why = "they are cores", .group = "Layout",
        .help = "cores that an environment runner reserves; 0: none"},
    {TRAIN(num_gpus_per_learner), .type = MT_OPT_FLOAT, .standard = "0", .range = "[0, 64]", .why = "they are devices", .group = "Layout",
        .help = "GPUs that a learner reserves, fractions allowed"},
    {TRAIN(placement), .type = MT_OPT_CHOICE, .choices = placements, .standard = "auto", .group = "Layout",
        .help = "auto: by rank number; pack: on few hosts; spread: over hosts and ranks, by what they reserve"},
    {TRAIN(device), .type = MT_OPT_STRING, .standard = "auto", .group = "Run",
        .help = "where learners compute: cpu, cuda (each rank on a GPU of its own), cuda:1, or auto: a GPU where there is one and the network is large enough"},
    {TRAIN(rollout_device), .type = MT_OPT_CHOICE, .choices = rollout_devices, .standard = "auto", .group = "Run",
        .help = "where rollouts run the policy; auto: likewise, with the environments that step together"},
    {TRAIN(precision), .type = MT_OPT_CHOICE, .choices = precisions, .standard = "fp32", .group = "Run",
        .help = "what a GPU multiplies in (bf16: dense layers; convolutions and recurrent layers then in tf32); trained weights, sums and what stands between layers are fp32 in all"},
    {TRAIN(deterministic), .type = MT_OPT_BOOL, .standard = "false", .group = "Run",
        .help = "the same bits on rerun, on resume, and for 1, 2 or 4 ranks and any threads (n_workers is 4 unless given)"},
    {TRAIN(conf_file), .type = MT_OPT_STRING, .letter = 'f', .flags = MT_OPTION_CLI_ONLY | MT_OPTION_PATH, .standard = "", .group = "Files",
        .help = "YAML file of options, flat or in RL Zoo's form"},
    {TRAIN(resume), .type = MT_OPT_STRING, .flags = MT_OPTION_CLI_ONLY | MT_OPTION_PATH, .standard = "", .group = "Files",
        .help = "continue this run folder from its newest checkpoint; 'last' is the newest run of --algo and --env"},
    {TRAIN(init_weights), .type = MT_OPT_STRING, .aliases = "trained_agent", .flags = MT_OPTION_PATH, .standard = "", .group = "Files",
        .help = "begin with the weights of this run folder or safetensors file (PyTorch's and Stable-Baselines3's, too)"},
    {TRAIN(log_folder), .type = MT_OPT_STRING, .flags = MT_OPTION_PATH, .standard = "logs", .group = "Files", .help = "runs go to LOG_FOLDER/ALGO/ENV_N"},
    {TRAIN(run_folder), .type = MT_OPT_STRING, .flags = MT_OPTION_CLI_ONLY | MT_OPTION_PATH, .standard = "", .group = "Files",
        .help = "use exactly this folder for the run; it must be new or empty"},
    {TRAIN(tensorboard_log), .type = MT_OPT_STRING, .flags = MT_OPTION_PATH, .standard = "", .group = "Files",
        .help = "folder of TensorBoard event files; empty: RUN_FOLDER/tb"},
    {TRAIN(dry_run), .type = MT_OPT_BOOL, .flags = MT_OPTION_CLI_ONLY, .standard = "false", .group = "Run",
        .help = "print the network, layer by layer, and end: nothing is trained or written"},
    {TRAIN(save_freq), .type = MT_OPT_INT, .standard = "0", .range = "[0, 1e15]", .why = "a checkpoint every so many steps", .unit = "steps", .group = "Files",
        .help = "steps between checkpoints; 0: by time alone"},
    {TRAIN(save_interval), .type = MT_OPT_FLOAT, .standard = "10", .range = "[0, 1e9]", .why = "a checkpoint every so many seconds", .unit = "seconds",
        .group = "Files", .help = "seconds between checkpoints; 0: not by time"},
    {TRAIN(keep_checkpoints), .type = MT_OPT_INT, .standard = "3", .range = "[1, 1e6]", .why = "the newest must stay", .group = "Files",
        .help = "newest checkpoints to keep"},
    {TRAIN(eval_freq), .type = MT_OPT_INT, .standard = "0", .range = "[0, 1e15]", .why = "an evaluation every so many steps", .unit = "steps",
        .group = "Reports", .help = "steps between evaluations of the deterministic policy; 0: none"},
    {TRAIN(n_eval_episodes), .type = MT_OPT_INT, .aliases = "eval_episodes", .standard = "10", .range = "[1, 1e6]", .why = "a mean needs an episode",
        .group = "Reports", .help = "episodes of an evaluation"},
    {TRAIN(log_interval), .type = MT_OPT_INT, .standard = "0", .range = "[0, 1e9]", .why = "a row every so many iterations", .unit = "iterations",
        .group = "Reports", .help = "iterations between rows of progress.csv; 0: about a hundred rows a run"},
    {TRAIN(verbose), .type = MT_OPT_INT, .standard = "1", .range = "[0, 2]", .why = "there are three levels", .group = "Reports",
        .help = "0: silent, 1: a progress line, 2: the network and tables"},
    {TRAIN(progress), .type = MT_OPT_BOOL, .letter = 'P', .standard = "false", .group = "Reports", .help = "the live line even where output is no terminal"},
};

static const char *const nets[] = {"pi", "vf", NULL};
static const char *const activations[] = {"tanh", "relu", "elu", "gelu", "silu", NULL};   // mt_activation from 1 on

static const mt_option ppo_options[] = {
    {PPO("policy", policy), .type = MT_OPT_STRING, .choices = mt_policy_names, .standard = "MlpPolicy",
        .help = "the network: what it makes of an observation, and whether it remembers; or a plugin's policy by its name"},
    {PPO("policy_options", policy_options), .type = MT_OPT_PAIRS, .standard = "", .help = "options of a plugin's policy, key:value"},
    {PPO("loss", loss), .type = MT_OPT_STRING, .standard = "", .help = "a plugin's loss by its name, in place of PPO's clipped one"},
    {PPO("loss_options", loss_options), .type = MT_OPT_PAIRS, .standard = "", .help = "options of a plugin's loss, key:value"},
    {PPO("n_envs", n_envs), .type = MT_OPT_INT, .standard = "1", .range = "[1, 1e7]", .why = "a rollout needs an environment",
        .help = "environments over all workers and ranks"},
    {PPO("n_steps", n_steps), .type = MT_OPT_INT, .standard = "2048", .range = "[1, 1e8]", .why = "an update needs a step", .unit = "steps",
        .help = "steps of every environment per update"},
    {PPO("batch_size", learner.batch_size), .type = MT_OPT_INT, .standard = "64", .range = "[1, 1e9]", .why = "a minibatch needs a row", .unit = "rows",
        .help = "rows of a minibatch, over all workers"},
    {PPO("n_epochs", learner.n_epochs), .type = MT_OPT_INT, .standard = "10", .range = "[1, 1e6]", .why = "the data is used at least once",
        .help = "passes over the rollout per update"},
    {PPO("learning_rate", learner.learning_rate), .type = MT_OPT_SCHEDULE, .standard = "0.0003", .range = "[0, 10]", .why = "Adam's step is about this long",
        .help = "step size of Adam; lin_X falls linearly from X to 0"},
    {PPO("gamma", gamma), .type = MT_OPT_FLOAT, .standard = "0.99", .range = "[0, 1]", .why = "a discount above 1 diverges", .help = "discount"},
    {PPO("gae_lambda", gae_lambda), .type = MT_OPT_FLOAT, .standard = "0.95", .range = "[0, 1]", .why = "it weighs n-step returns",
        .help = "λ of generalised advantage estimation"},
    {PPO("clip_range", learner.clip_range), .type = MT_OPT_SCHEDULE, .standard = "0.2", .range = "(0, 100]", .why = "a ratio clipped to 1 learns nothing",
        .help = "ε of the clipped surrogate objective"},
    {PPO("clip_range_vf", learner.clip_range_vf), .type = MT_OPT_SCHEDULE, .standard = "-1", .none = "-1", .range = "[-1, 1e9]",
        .why = "-1 is off, 0 or more a distance", .help = "clips the value's change likewise; null: not"},
    {PPO("normalize_advantage", learner.normalize_advantage), .type = MT_OPT_BOOL, .standard = "true", .help = "per minibatch, to mean 0 and deviation 1"},
    {PPO("ent_coef", learner.ent_coef), .type = MT_OPT_FLOAT, .standard = "0.0", .range = "[0, 1e6]", .why = "a negative bonus punishes exploring",
        .help = "weight of the entropy bonus"},
    {PPO("vf_coef", learner.vf_coef), .type = MT_OPT_FLOAT, .standard = "0.5", .range = "[0, 1e6]", .why = "it weighs a loss", .help = "weight of the value loss"},
    {PPO("max_grad_norm", learner.max_grad_norm), .type = MT_OPT_FLOAT, .standard = "0.5", .none = "0", .range = "[0, 1e9]", .why = "it is a length",
        .help = "clips the gradient's global norm; 0: not"},
    {PPO("target_kl", learner.target_kl), .type = MT_OPT_FLOAT, .standard = "0", .none = "0", .range = "[0, 1e6]", .why = "a divergence is not negative",
        .help = "stops an update when the approximate KL passes 1.5 times this; null or 0: never"},
    {PPO("adam_eps", learner.adam_eps), .type = MT_OPT_FLOAT, .standard = "0.00001", .range = "(0, 1]", .why = "it keeps the step finite", .help = "ε of Adam"},
    {PPO("weight_decay", learner.weight_decay), .type = MT_OPT_FLOAT, .standard = "0", .range = "[0, 10]", .why = "it is a rate", .help = "decoupled (AdamW)"},
    {PPO("normalize", normalize), .type = MT_OPT_BOOL, .standard = "false", .help = "running normalisation of observations and rewards"},
    {PPO("norm_obs", norm_obs), .type = MT_OPT_BOOL, .standard = "true", .help = "with normalize: of observations"},
    {PPO("norm_reward", norm_reward), .type = MT_OPT_BOOL, .standard = "true", .help = "with normalize: of rewards"},
    {PPO("clip_obs", clip_obs), .type = MT_OPT_FLOAT, .standard = "10", .range = "(0, 1e9]", .why = "it is a half-width", .help = "with normalize: observations are clipped to ± this"},
    {PPO("clip_reward", clip_reward), .type = MT_OPT_FLOAT, .standard = "10", .range = "(0, 1e9]", .why = "it is a half-width", .help = "with normalize: rewards are clipped to ± this"},
    {PPO("use_sde", use_sde), .type = MT_OPT_BOOL, .standard = "false", .help = "state-dependent exploration (gSDE), for box actions"},
    {PPO("sde_sample_freq", sde_sample_freq), .type = MT_OPT_INT, .standard = "-1", .range = "[-1, 1e8]", .why = "-1 is once a rollout", .unit = "steps",
        .help = "with use_sde: steps between new exploration matrices; -1: one a rollout"},
};

static const mt_option policy_options[] = {
    {NET("net_arch", net_arch), .type = MT_OPT_INT_LIST, .choices = nets, .standard = "[64, 64]", .range = "[1, 65536]", .why = "a layer needs a unit",
        .unit = "units", .help = "hidden layers of both nets, or {pi: [...], vf: [...]}; none behind a convolutional extractor unless given"},
    {NET("net_arch_shared", net_arch_shared), .type = MT_OPT_INT_LIST, .standard = "[]", .range = "[1, 65536]", .why = "a layer needs a unit",
        .unit = "units", .help = "hidden layers of a trunk that policy and value share, below net_arch"},
    {NET("features_dim", features_dim), .type = MT_OPT_INT, .standard = "0", .range = "[0, 65536]", .why = "0 is the extractor's own", .unit = "units",
        .help = "units of a convolutional extractor's last layer; 0: as in its paper, 512 or 256"},
    {NET("embedding_dim", embedding_dim), .type = MT_OPT_INT, .standard = "0", .range = "[0, 65536]", .why = "0 is one-hot", .unit = "units",
        .help = "discrete observations are looked up in a table of rows so wide that is learned; 0: one-hot"},
    {NET("share_features_extractor", share_features_extractor), .type = MT_OPT_BOOL, .standard = "true",
        .help = "policy and value have one convolutional extractor; else one each"},
    {NET("layers", layers), .type = MT_OPT_STRING, .standard = "",
        .help = "an extractor of your own, a layer a line: conv2d 32 8 stride 4 relu; flatten; dense 256 relu (docs/networks.md)"},
    {NET("lstm_hidden_size", lstm_hidden_size), .type = MT_OPT_INT, .aliases = "gru_hidden_size", .standard = "256", .range = "[1, 65536]",
        .why = "a memory needs a unit", .unit = "units", .help = "units of an LSTM or GRU layer"},
    {NET("n_lstm_layers", n_lstm_layers), .type = MT_OPT_INT, .aliases = "n_gru_layers", .standard = "1", .range = "[1, 8]",
        .why = "a memory needs a layer", .help = "LSTM or GRU layers, one above the other"},
    {NET("memory_horizon", memory_horizon), .type = MT_OPT_INT, .standard = "0", .range = "[0, 1e9]", .why = "0 is PyTorch's initialisation",
        .unit = "steps", .help = "how far back the memory reaches before it has learned anything (chrono initialisation); 0: hardly at all"},
    {NET("shared_lstm", shared_lstm), .type = MT_OPT_BOOL, .aliases = "shared_gru", .standard = "false",
        .help = "policy and value share the memory, and both train it"},
    {NET("enable_critic_lstm", enable_critic_lstm), .type = MT_OPT_BOOL, .aliases = "enable_critic_gru", .standard = "true",
        .help = "the value has a memory of its own; else a dense layer in its place (unless shared)"},
    {NET("activation_fn", activation_fn), .type = MT_OPT_CHOICE, .choices = activations, .standard = "tanh", .help = "of all hidden layers"},
    {NET("ortho_init", ortho_init), .type = MT_OPT_BOOL, .standard = "true", .help = "orthogonal initialisation; else PyTorch's default"},
    {NET("log_std_init", log_std_init), .type = MT_OPT_FLOAT, .standard = "0.0", .range = "[-20, 5]", .why = "it is a logarithm of a deviation",
        .help = "first log σ of the action noise"},
};

void mt_ppo_sections(mt_train_config *train, mt_ppo_config *ppo, mt_option_section sections[MT_PPO_SECTIONS]) {
    sections[0] = (mt_option_section){.table = train_options, .count = MT_COUNT(train_options), .object = train};
    sections[1] = (mt_option_section){.table = ppo_options, .count = MT_COUNT(ppo_options), .object = ppo};
    sections[2] = (mt_option_section){
        .nest = "policy_kwargs", .table = policy_options, .count = MT_COUNT(policy_options), .object = ppo};
    sections[3] = (mt_option_section){.object = &train->job};
    sections[3].table = mt_job_option_table(&sections[3].count);
}

// ---- presets and files

// the folder the program lies in, without the trailing name; "" when unknown
static void program_folder(char *out, size_t bytes) {
    ssize_t length = readlink("/proc/self/exe", out, bytes - 1);
    out[length > 0 ? length : 0] = 0;
    char *slash = strrchr(out, '/');
    if (slash) *slash = 0;
}

mt_status mt_preset_path(const char *algo, char *path, size_t bytes) {
    const char *given = getenv("MANTA_PRESETS");
    char folder[MT_PATH_BYTES], installed[MT_PATH_BYTES + 32];
    program_folder(folder, sizeof folder);
    snprintf(installed, sizeof installed, "%s/../share/manta/presets", folder);
    const char *folders[] = {given && *given ? given : NULL, installed, MANTA_SOURCE_PRESETS};
    for (size_t i = 0; i < MT_COUNT(folders); i++) {
        if (!folders[i]) continue;
        snprintf(path, bytes, "%s/%s.yml", folders[i], algo);
        if (access(path, R_OK) == 0) return MT_OK;
    }
    return MT_FAIL(NOT_FOUND, "no preset file %s.yml in %s; set MANTA_PRESETS to the folder that holds it", algo, folders[2]);
}

mt_status mt_preset_apply(mt_options *options, const char *algo, const char *env, int *found) {
    char path[2 * MT_PATH_BYTES];
    *found = 0;
    if (mt_preset_path(algo, path, sizeof path) != MT_OK) return MT_OK;   // an algorithm's own defaults stand
    mt_yaml *doc = NULL;
    MT_TRY(mt_yaml_load_file(path, NULL, &doc));
    const mt_yaml_node *entry = mt_yaml_find(mt_yaml_root(doc), env);
    mt_status status = entry ? mt_options_set_yaml(options, entry, MT_FROM_PRESET) : MT_OK;
    *found = entry != NULL;
    mt_yaml_destroy(doc);
    return status;
}

// RL Zoo's form without the environment that was asked for: nothing but mappings under names that are no options.
static mt_status check_environment(const mt_options *options, const mt_yaml_node *root, const char *env) {
    mt_text names = {0};
    int zoo = root->kind == MT_YAML_MAPPING && root->count > 0;
    for (size_t i = 0; zoo && i < root->count; i++) {
        const char *key = root->keys[i]->text;
        zoo = root->items[i]->kind == MT_YAML_MAPPING && !mt_options_find(options, key);
        for (size_t s = 0; s < options->section_count; s++) zoo = zoo && !(options->sections[s].nest && mt_text_equal_fold(options->sections[s].nest, key));
        if (i < 6) mt_text_printf(&names, "%s%.60s", i ? ", " : "", key);
        else if (i == 6) mt_text_append(&names, ", ...");
    }
    mt_status status = MT_OK;
    if (zoo)
        status = mt_yaml_fail(root->keys[0], "nothing in it for %s; it has %s: say --env %s", *env ? env : "a run without --env",
            mt_text_str(&names), root->keys[0]->text);
    mt_text_fini(&names);
    return status;
}

mt_status mt_conf_file_apply(mt_options *options, const char *path, const char *env) {
    mt_yaml *doc = NULL;
    MT_TRY(mt_yaml_load_file(path, NULL, &doc));
    const mt_yaml_node *root = mt_yaml_root(doc), *entry = env && *env ? mt_yaml_find(root, env) : NULL;
    mt_status status = entry || !env ? MT_OK : check_environment(options, root, env);
    if (status == MT_OK) status = mt_options_set_yaml(options, entry ? entry : root, MT_FROM_FILE);
    mt_yaml_destroy(doc);
    return status;
}

// ---- what follows from options

// A memory's options on the command line, without a memory: MlpPolicy was written where MlpLstmPolicy was meant. (Presets and files
// may hold them for another policy.)
static mt_status check_memory(const mt_options *options, const mt_ppo_config *ppo) {
    static const char *const keys[] = {"lstm_hidden_size", "n_lstm_layers", "memory_horizon", "shared_lstm", "enable_critic_lstm"};
    int name = mt_policy_find(ppo->policy);
    mt_policy_desc desc = {0};
    if (name < 0) return MT_OK;   // a plugin's, which has options of its own
    mt_policy_named((mt_policy_name)name, &desc);
    for (size_t i = 0; i < MT_COUNT(keys) && desc.memory == MT_MEMORY_NONE; i++)
        if (mt_options_origin(options, keys[i])->from == MT_FROM_COMMAND_LINE)
            return MT_FAIL(CONFIG, "%s means nothing to %s, which has no memory; use MlpLstmPolicy, MlpGruPolicy or another of them (docs/networks.md)",
                keys[i], ppo->policy);
    return MT_OK;
}

// Options of manta's own policies on the command line, with a plugin's.
static mt_status check_own(const mt_options *options, const mt_ppo_config *ppo) {
    static const char *const keys[] = {"net_arch", "net_arch_shared", "features_dim", "share_features_extractor", "activation_fn", "ortho_init",
        "lstm_hidden_size", "n_lstm_layers", "memory_horizon", "shared_lstm", "enable_critic_lstm"};
    int plugins = mt_options_origin(options, "plugin")->from != MT_FROM_DEFAULT;   // without one the name is misspelt
    for (size_t i = 0; i < MT_COUNT(keys) && plugins && mt_policy_find(ppo->policy) < 0; i++)
        if (mt_options_origin(options, keys[i])->from == MT_FROM_COMMAND_LINE)
            return MT_FAIL(CONFIG, "%s is for manta's own policies; %s has policy_options (manta plugin list shows them)", keys[i], ppo->policy);
    return MT_OK;
}

static int was_said(const mt_options *options, const char *key) { return mt_options_origin(options, key)->from == MT_FROM_COMMAND_LINE; }

// Likewise an extractor's, without one or with layers in its place; and whose the memory is, said twice.
static mt_status check_extractor(const mt_options *options, const mt_ppo_config *ppo) {
    int name = mt_policy_find(ppo->policy);
    mt_policy_desc desc = {.input_count = 1, .inputs = {{.kind = MT_INPUT_IMAGE}}};
    if (name < 0) return MT_OK;
    mt_policy_named((mt_policy_name)name, &desc);
    if (was_said(options, "features_dim") && *ppo->layers)
        return MT_FAIL(CONFIG, "features_dim means nothing with layers: the units of their last line are the features");
    if (was_said(options, "features_dim") && desc.extractor == MT_EXTRACTOR_FLATTEN)
        return MT_FAIL(CONFIG, "features_dim means nothing to %s, which has no convolutional extractor; net_arch sets hidden layers (docs/networks.md)",
            ppo->policy);
    // the other way about, both are what sb3-contrib asks for
    if (was_said(options, "shared_lstm") && was_said(options, "enable_critic_lstm") && ppo->shared_lstm && ppo->enable_critic_lstm)
        return MT_FAIL(CONFIG, "shared_lstm and enable_critic_lstm: the value either shares the policy's memory or has one of its own");
    return MT_OK;
}

// "conf.yml:12" gives the file and the line
static void find_layers(const mt_options *options, mt_ppo_config *ppo) {
    const mt_option_origin *origin = mt_options_origin(options, "layers");
    const char *colon = strrchr(origin->where, ':');
    int64_t line = 0;
    ppo->layers_file[0] = 0;
    if ((origin->from != MT_FROM_FILE && origin->from != MT_FROM_PRESET) || !colon || mt_parse_i64(colon + 1, &line) != MT_OK) return;
    snprintf(ppo->layers_file, sizeof ppo->layers_file, "%.*s", (int)(colon - origin->where), origin->where);
    ppo->layers_line = (int)line;
}

static int is_convolutional(const mt_ppo_config *ppo) {
    static const mt_policy_name names[] = {MT_POLICY_CnnPolicy, MT_POLICY_ImpalaCnnPolicy, MT_POLICY_CnnLstmPolicy, MT_POLICY_ImpalaCnnLstmPolicy,
        MT_POLICY_CnnGruPolicy, MT_POLICY_ImpalaCnnGruPolicy};
    for (size_t i = 0; i < MT_COUNT(names); i++)
        if (mt_policy_find(ppo->policy) == (int)names[i]) return 1;
    return 0;
}

mt_status mt_ppo_follow(mt_options *options, mt_ppo_config *ppo) {
    const mt_option_origin *origin = mt_options_origin(options, "net_arch");
    find_layers(options, ppo);
    MT_TRY(check_memory(options, ppo));
    MT_TRY(check_own(options, ppo));
    MT_TRY(check_extractor(options, ppo));
    if (is_convolutional(ppo) && origin->from == MT_FROM_DEFAULT)
        return mt_options_set_text(options, "net_arch", "[]", MT_FROM_PRESET, "follows from policy");
    return MT_OK;
}

// ---- what the policy's inputs make of them

static int has_kind(const mt_policy_desc *d, mt_input_kind kind) {
    for (int i = 0; i < d->input_count; i++)
        if (d->inputs[i].kind == kind) return 1;
    return 0;
}

mt_status mt_ppo_check_policy(const mt_options *options, const mt_ppo_config *ppo, const mt_policy *policy) {
    if (was_said(options, "embedding_dim") && ppo->embedding_dim > 0 && !has_kind(&policy->desc, MT_INPUT_INDEX))
        return MT_FAIL(CONFIG, "embedding_dim means nothing here: the observation has no discrete part, which alone is looked up in a table");
    if (!policy->plugin && was_said(options, "features_dim") && !has_kind(&policy->desc, MT_INPUT_IMAGE))
        return MT_FAIL(CONFIG, "features_dim means nothing to %s here: the observation has no image", ppo->policy);
    return MT_OK;
}

static int reads(const mt_network *net, const mt_input *input) {
    for (int i = 0; i < net->count; i++)
        if (net->layer[i].desc.kind == MT_LAYER_INPUT && strcmp(net->layer[i].desc.input.name, input->name) == 0) return 1;
    return 0;
}

void mt_ppo_warn_of_policy(const mt_options *options, const mt_ppo_config *ppo, const mt_policy *policy) {
    const mt_policy_desc *d = &policy->desc;
    int asked = was_said(options, "policy") && is_convolutional(ppo);
    if (asked && *ppo->layers) mt_log_warn("layers stand in place of %s's extractor; no hidden layers follow unless net_arch lists some", ppo->policy);
    if (asked && !*ppo->layers && d->input_count > 1)
        mt_log_warn("%s reads %d parts as MultiInputPolicy does: images through its net, the rest beside it; no hidden layers follow unless "
            "net_arch lists some", ppo->policy, d->input_count);
    for (int i = 0; i < d->input_count && *ppo->layers && d->input_count > 1; i++)
        if (!reads(&policy->trunk, &d->inputs[i]) && !reads(&policy->pi, &d->inputs[i]))
            mt_log_warn("layers do not read \"%s\" of the observation: no line says \"input %s\"", d->inputs[i].name, d->inputs[i].name);
}

int64_t mt_train_config_timeout_ns(const mt_train_config *train) {
    if (train->job.timeout == 0) return MT_NEVER;
    int64_t ns = (int64_t)(train->job.timeout * MT_SECOND_NS);
    return ns > 0 ? ns : 1;   // 0 would be the communicator's own choice
}

// ---- checks that cross options

mt_status mt_train_config_check(const mt_train_config *train, const mt_ppo_config *ppo) {
    int64_t rows = (int64_t)ppo->n_envs * ppo->n_steps;
    if (rows > INT32_MAX)
        return MT_FAIL(CONFIG, "n_envs %d × n_steps %d is %lld rows in an update; at most %d are supported", ppo->n_envs, ppo->n_steps,
            (long long)rows, INT32_MAX);
    if (ppo->learner.normalize_advantage && ppo->learner.batch_size == 1)
        return MT_FAIL(CONFIG, "batch_size 1 with normalize_advantage: one row has no deviation; use a larger batch_size");
    if (ppo->learner.batch_size < train->n_workers)
        return MT_FAIL(CONFIG, "batch_size %d for %d logical workers: each needs a row of a minibatch; use a larger batch_size or "
            "fewer n_workers", ppo->learner.batch_size, train->n_workers);
    if (ppo->use_sde && ppo->sde_sample_freq == 0)
        return MT_FAIL(CONFIG, "sde_sample_freq 0: use -1 for once a rollout, or the number of steps between new matrices");
    return MT_OK;
}
