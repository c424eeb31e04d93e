// The list of metrics: every number that a run reports stands here once, and this list drives progress.csv, the
// TensorBoard files, the progress line, the table of --verbose 2 and docs/metrics.md (tests check that it is current).
//
// Names are those of Stable-Baselines3 and RL Baselines3 Zoo where they have one, so that existing dashboards and
// scripts go on working.
#ifndef MANTA_SCHEDULER_REPORT_METRICS_H
#define MANTA_SCHEDULER_REPORT_METRICS_H

#include <stdint.h>
#include <stdio.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

// X(enumerator, name, format, unit, meaning). The order is the order of columns; append to a group, never rename.
#define MT_METRIC_LIST(X)                                                                                              \
    X(EP_REW_MEAN, "rollout/ep_rew_mean", GENERAL, "reward",                                                           \
      "mean undiscounted return of the last 100 finished episodes, rewards as the environment gave them")              \
    X(EP_LEN_MEAN, "rollout/ep_len_mean", GENERAL, "steps", "mean length of the last 100 finished episodes")           \
    X(EPISODES, "rollout/episodes", COUNT, "episodes", "episodes finished since the run began")                        \
    X(EVAL_MEAN_REWARD, "eval/mean_reward", GENERAL, "reward", "mean return of the evaluation episodes")               \
    X(EVAL_STD_REWARD, "eval/std_reward", GENERAL, "reward",                                                           \
      "standard deviation of the evaluation episodes' returns (population, as NumPy's std)")                           \
    X(EVAL_MEAN_EP_LENGTH, "eval/mean_ep_length", GENERAL, "steps", "mean length of the evaluation episodes")          \
    X(TOTAL_TIMESTEPS, "time/total_timesteps", COUNT, "steps",                                                         \
      "environment steps taken since the run began, over all environments and ranks; the x axis of every curve")       \
    X(ITERATIONS, "time/iterations", COUNT, "iterations", "rollout + update rounds done since the run began")          \
    X(TIME_ELAPSED, "time/time_elapsed", SECONDS, "s",                                                                 \
      "wall-clock seconds of training; a resumed run goes on counting where its checkpoint stood")                     \
    X(FPS, "time/fps", COUNT, "steps/s", "environment steps per second since this process started training")           \
    X(ROLLOUT_SECONDS, "time/rollout_seconds", SECONDS, "s",                                                           \
      "time of the slowest environment runner in each rollout since the last row")                                     \
    X(UPDATE_SECONDS, "time/update_seconds", SECONDS, "s",                                                             \
      "the iterations' wall time since the last row less time/rollout_seconds: gradient steps, and what goes between") \
    X(ALLREDUCE_SECONDS, "time/allreduce_seconds", SECONDS, "s",                                                       \
      "learner 0's time in sums of gradients over the learners since the last row, waiting for the others included; empty on a GPU")   \
    X(APPROX_KL, "train/approx_kl", GENERAL, "nats",                                                                   \
      "mean of (ratio - 1) - log(ratio) in the last epoch: the low-variance estimate of KL(old policy || new policy)") \
    X(CLIP_FRACTION, "train/clip_fraction", GENERAL, "fraction",                                                       \
      "share of samples whose probability ratio left 1 +- clip_range")                                                 \
    X(CLIP_RANGE, "train/clip_range", GENERAL, "1", "the clipping parameter of this update (schedule applied)")        \
    X(CLIP_RANGE_VF, "train/clip_range_vf", GENERAL, "reward",                                                         \
      "the value function's clipping parameter of this update; absent when its loss is not clipped")                   \
    X(ENTROPY_LOSS, "train/entropy_loss", GENERAL, "nats", "minus the mean entropy of the action distribution")        \
    X(EXPLAINED_VARIANCE, "train/explained_variance", GENERAL, "fraction",                                             \
      "1 - Var(return - value) / Var(return): 1 is a perfect critic, 0 one no better than a constant")                 \
    X(LEARNING_RATE, "train/learning_rate", GENERAL, "1", "the optimiser's step size in this update (scheduled)")      \
    X(LOSS, "train/loss", GENERAL, "1", "policy gradient loss + ent_coef * entropy loss + vf_coef * value loss")       \
    X(N_UPDATES, "train/n_updates", COUNT, "epochs", "passes over a rollout made since the run began (SB3's count)")   \
    X(POLICY_GRADIENT_LOSS, "train/policy_gradient_loss", GENERAL, "1", "the clipped surrogate loss")                  \
    X(VALUE_LOSS, "train/value_loss", GENERAL, "reward^2", "mean squared error of the critic against the returns")     \
    X(STD, "train/std", GENERAL, "action", "mean standard deviation of the action distribution (continuous actions)")  \
    X(GRAD_NORM, "train/grad_norm", GENERAL, "1", "mean gradient norm before clipping")                                \
    X(EARLY_STOPS, "train/early_stops", COUNT, "updates", "updates since the last row that target_kl ended early")

typedef enum mt_metric {
#define MT_X(id, name, format, unit, meaning) MT_METRIC_##id,
    MT_METRIC_LIST(MT_X)
#undef MT_X
    MT_METRIC_COUNT
} mt_metric;

typedef enum mt_metric_format {
    MT_METRIC_FORMAT_COUNT,     // a whole number: 100000
    MT_METRIC_FORMAT_GENERAL,   // short and readable: 0.00873, 1.2e-05
    MT_METRIC_FORMAT_SECONDS,   // 12.345
} mt_metric_format;

typedef struct mt_metric_info {
    const char *name;      // "rollout/ep_rew_mean"
    const char *unit;      // "steps/s"; "1" for a pure number
    const char *meaning;   // one sentence, no full stop
    mt_metric_format format;
} mt_metric_info;

// One report: a value per metric, NaN where this report has none.
typedef struct mt_metrics_row {
    double value[MT_METRIC_COUNT];   // indexed by mt_metric
} mt_metrics_row;

// A set of metrics: bit i is metric i.
typedef uint64_t mt_metric_set;
_Static_assert(MT_METRIC_COUNT <= 64, "mt_metric_set is one 64-bit word");
#define MT_METRIC_BIT(id) ((mt_metric_set)1 << MT_METRIC_##id)
#define MT_METRIC_ALL (~(mt_metric_set)0 >> (64 - MT_METRIC_COUNT))

const mt_metric_info *mt_metric_get(mt_metric metric);

// The metric of that name, or MT_METRIC_COUNT.
mt_metric mt_metric_find(const char *name);

void mt_metrics_row_clear(mt_metrics_row *row);                 // all NaN
mt_metric_set mt_metrics_row_present(const mt_metrics_row *row);   // those not NaN; an infinity is present

// For people: by the metric's format, at most 12 characters; "" when absent. Returns `buffer`.
enum { MT_METRIC_TEXT_BYTES = 32 };
char *mt_metric_print(mt_metric metric, double value, char buffer[MT_METRIC_TEXT_BYTES]);

// docs/metrics.md. MT_IO.
mt_status mt_metrics_write_markdown(FILE *out);

#ifdef __cplusplus
}
#endif
#endif
