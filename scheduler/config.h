// What a training run is told: the options of any run, and those of PPO. Each field is one row of an option table in
// config.c, which makes the YAML key, the flag, the check, the help, the docs and the resolved config.yml.
#ifndef MANTA_SCHEDULER_CONFIG_H
#define MANTA_SCHEDULER_CONFIG_H

#include "engine/base/option.h"
#include "policies/policy.h"
#include "scheduler/learner.h"

enum { MT_NAME_BYTES = 128, MT_OPTION_PATH_BYTES = 1024 };

typedef struct mt_train_config {
    char algo[MT_NAME_BYTES], env[MT_OPTION_PATH_BYTES];
    char plugin[MT_OPTION_PATH_BYTES];          // "" = none; several separated by ':'
    mt_pairs env_kwargs;
    int64_t n_timesteps;
    int64_t seed;
    int n_workers;                       // 0: chosen (mt_train_config_workers)
    int threads;                         // per rank; 0: chosen
    char device[32];
    bool deterministic;
    double timeout;                      // seconds; 0: never
    char log_folder[MT_OPTION_PATH_BYTES], run_folder[MT_OPTION_PATH_BYTES], tensorboard_log[MT_OPTION_PATH_BYTES];
    char conf_file[MT_OPTION_PATH_BYTES], resume[MT_OPTION_PATH_BYTES];
    int64_t eval_freq, save_freq;        // environment steps; 0: never / by time alone
    int n_eval_episodes, keep_checkpoints;
    double save_interval;                // seconds; 0: not by time
    double stop_reward;                  // 0: train to the end
    int log_interval;                    // iterations; 0: a hundred rows a run
    int verbose;
    bool progress;
} mt_train_config;

typedef struct mt_ppo_config {
    int policy;                          // index of its choice; MlpPolicy
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
    int activation_fn;                   // mt_activation - 1: identity is not offered
    bool ortho_init;
    double log_std_init;
} mt_ppo_config;

// The option sections of `manta train --algo ppo`: the run, PPO, policy_kwargs.
enum { MT_PPO_SECTIONS = 3 };
void mt_ppo_sections(mt_train_config *train, mt_ppo_config *ppo, mt_option_section sections[MT_PPO_SECTIONS]);

// Applies presets/ALGO.yml's entry for the environment, when both exist; *found says whether. MT_CONFIG for a bad file.
// The folder is the first that exists of $MANTA_PRESETS, PREFIX/share/manta/presets beside the program, the source tree.
mt_status mt_preset_apply(mt_options *options, const char *algo, const char *env, int *found);
mt_status mt_preset_path(const char *algo, char *path, size_t bytes);

// Applies --conf-file: a flat mapping of options, or RL Zoo's form with the environment's id on top.
mt_status mt_conf_file_apply(mt_options *options, const char *path, const char *env);

// Checks that cross options: worker counts against ranks and minibatches, sizes of an update.
mt_status mt_train_config_check(const mt_train_config *train, const mt_ppo_config *ppo, int ranks);

// The deadline of the job's collectives, for mt_comm_desc.timeout_ns: MT_NEVER for 0.
int64_t mt_train_config_timeout_ns(const mt_train_config *train);

// W, the number of logical workers: n_workers; else 4 with --deterministic where the ranks divide it, so that 1, 2 and 4 ranks
// agree without being told; else ranks × threads, as far as there are environments. threads: the fewest of any rank.
int mt_train_config_workers(const mt_train_config *train, const mt_ppo_config *ppo, int ranks, int threads);

#endif
