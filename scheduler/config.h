// What a training run is told: the options of any run, and those of PPO. Each field is one row of an option table in
// config.c, which makes the YAML key, the flag, the check, the help, the docs and the resolved config.yml.
#ifndef MANTA_SCHEDULER_CONFIG_H
#define MANTA_SCHEDULER_CONFIG_H

#include "engine/base/option.h"
#include "engine/runtime/job.h"
#include "policies/policy.h"
#include "scheduler/learner.h"

enum { MT_NAME_BYTES = 128, MT_OPTION_PATH_BYTES = 1024 };

typedef enum mt_rollout_device { MT_ROLLOUT_AUTO, MT_ROLLOUT_CPU, MT_ROLLOUT_CUDA } mt_rollout_device;
typedef enum mt_gradients { MT_GRADIENTS_ALL_REDUCE, MT_GRADIENTS_PARAMETER_SERVER } mt_gradients;
typedef enum mt_placement { MT_PLACEMENT_AUTO, MT_PLACEMENT_PACK, MT_PLACEMENT_SPREAD } mt_placement;

typedef struct mt_train_config {
    char algo[MT_NAME_BYTES], env[MT_OPTION_PATH_BYTES];
    char plugin[MT_OPTION_PATH_BYTES];          // "" = none; several separated by ':'
    mt_pairs env_kwargs;
    int64_t n_timesteps;
    int64_t seed;
    int n_workers;                       // 0: chosen (layout.h)
    int threads;                         // per rank; 0: chosen
    int num_learners, num_env_runners;   // 0: one a rank (layout.h)
    int gradients;                       // mt_gradients
    double num_cpus_per_learner, num_cpus_per_env_runner;   // 0: take turns on the rank's cores
    double num_gpus_per_learner;
    int placement;                       // mt_placement
    char device[32];
    int rollout_device;                  // mt_rollout_device
    int precision;                       // mt_precision
    bool deterministic;
    mt_job_options job;                  // the runtime's, its timeout among them
    char log_folder[MT_OPTION_PATH_BYTES], run_folder[MT_OPTION_PATH_BYTES], tensorboard_log[MT_OPTION_PATH_BYTES];
    char conf_file[MT_OPTION_PATH_BYTES], resume[MT_OPTION_PATH_BYTES], init_weights[MT_OPTION_PATH_BYTES];
    int64_t eval_freq, save_freq;        // environment steps; 0: never / by time alone
    int n_eval_episodes, keep_checkpoints;
    double save_interval;                // seconds; 0: not by time
    double stop_reward;                  // 0: train to the end
    int log_interval;                    // iterations; 0: a hundred rows a run
    int verbose;
    bool progress, dry_run;
} mt_train_config;

typedef struct mt_ppo_config {
    char policy[MT_NAME_BYTES], loss[MT_NAME_BYTES];   // one of manta's own (architecture.h) or a plugin's; "": PPO's own loss
    mt_pairs policy_options, loss_options;             // of a plugin's
    int n_envs, n_steps;
    double gamma, gae_lambda;
    mt_learner_config learner;
    bool normalize, norm_obs, norm_reward;
    double clip_obs, clip_reward;
    bool use_sde;
    int sde_sample_freq;                 // -1: once a segment
    // policy_kwargs
    mt_int_list net_arch[2];             // pi, vf
    mt_int_list net_arch_shared;         // the trunk below both
    char layers[MT_POLICY_LAYERS_BYTES]; // an extractor of the user's own (network_text.h); "": the policy's
    char layers_file[MT_NAME_BYTES];     // no option: where they were written, for messages; "": in no file
    int layers_line;
    int embedding_dim;                   // 0: discrete observations are one-hot
    int features_dim;                    // 0: the extractor's own
    bool share_features_extractor;
    int lstm_hidden_size, n_lstm_layers, memory_horizon;
    bool shared_lstm, enable_critic_lstm;
    int activation_fn;                   // mt_activation - 1: identity is not offered
    bool ortho_init;
    double log_std_init;
} mt_ppo_config;

// The option sections of `manta train --algo ppo`: the run, PPO, policy_kwargs, the runtime.
enum { MT_PPO_SECTIONS = 4 };
void mt_ppo_sections(mt_train_config *train, mt_ppo_config *ppo, mt_option_section sections[MT_PPO_SECTIONS]);

// Applies presets/ALGO.yml's entry for the environment, when both exist; *found says whether. MT_CONFIG for a bad file.
// The folder is the first that exists of $MANTA_PRESETS, PREFIX/share/manta/presets beside the program, the source tree.
mt_status mt_preset_apply(mt_options *options, const char *algo, const char *env, int *found);
mt_status mt_preset_path(const char *algo, char *path, size_t bytes);

// Applies --conf-file: a flat mapping of options, or RL Zoo's form with the environment's id on top.
mt_status mt_conf_file_apply(mt_options *options, const char *path, const char *env);

// The deadline of the ranks' collectives and of calls; MT_NEVER for timeout 0.
int64_t mt_train_config_timeout_ns(const mt_train_config *train);

// What follows from other options where the user said nothing: a convolutional policy has no hidden layers behind its features
// unless net_arch lists some (as in SB3); where layers come from. Once, when all options are set.
mt_status mt_ppo_follow(mt_options *options, mt_ppo_config *ppo);

// After it, when the policy is known: options on the command line that mean nothing to it (MT_CONFIG), and warnings in the log
// about what is only suspicious.
mt_status mt_ppo_check_policy(const mt_options *options, const mt_ppo_config *ppo, const mt_policy *policy);
void mt_ppo_warn_of_policy(const mt_options *options, const mt_ppo_config *ppo, const mt_policy *policy);

// Checks that cross options: sizes of an update, rows for every worker. The layout checks who does what (layout.h).
mt_status mt_train_config_check(const mt_train_config *train, const mt_ppo_config *ppo);

#endif
