// Running normalisation of observations and rewards, as SB3's VecNormalize: observations by their mean and variance, rewards
// by the standard deviation of the discounted return; both clipped, both with the statistics up to the present step.
//
// A job has one normaliser that all ranks hold alike. During a segment every rollout worker goes on from a copy of its own,
// step by step, and keeps the moments it added apart; between segments those of all workers are merged in worker order, so
// the result depends on the logical workers and not on how they are spread over ranks. With one worker it is VecNormalize.
//
// Columns of images (and of indices into tables) are left alone and have no moments: VecNormalize with the other keys of a dict as
// its norm_obs_keys. An observation of images alone is not normalised at all.
#ifndef MANTA_ROLLOUT_NORMALISER_H
#define MANTA_ROLLOUT_NORMALISER_H

#include "engine/base/arena.h"
#include "kernels/kernels.h"
#include "policies/network.h"

typedef struct mt_normaliser {
    int observations, rewards;        // which of the two is on
    float clip_obs, clip_reward;
    int width;                        // O: floats of an observation
    int span_count;
    struct mt_columns {
        int offset, width;
    } span[MT_MAX_INPUTS];            // the V columns that are normalised
    mt_running obs;                   // (V) moments of all observations so far
    mt_running returns;               // (1) moments of all discounted returns so far
    float *obs_mean, *obs_inv_std;    // (V) the published scale
    float *gathered;                  // (MT_NORMALISER_ROWS, V) scratch; where V < O
    float reward_scale;               // 1/√(var of returns + 1e-8)
} mt_normaliser;

enum { MT_NORMALISER_ROWS = 64 };

// Of all `obs` columns; or of those that `inputs` (input_count; none: all) say are no images.
void mt_normaliser_register(mt_normaliser *n, int obs, int observations, int rewards, float clip_obs, float clip_reward,
    mt_arena *arena);
void mt_normaliser_register_inputs(mt_normaliser *n, int obs, const mt_input *inputs, int input_count, int observations, int rewards,
    float clip_obs, float clip_reward, mt_arena *arena);
// After the arena's commit. reset: VecNormalize's beginning, mean 0 and variance 1 with the weight of 1e-4 samples.
// clear: nothing at all, for moments that will be merged into others.
void mt_normaliser_reset(mt_normaliser *n);
void mt_normaliser_clear(mt_normaliser *n);
void mt_normaliser_publish(mt_normaliser *n);   // the scale from the moments
void mt_normaliser_copy(mt_normaliser *n, const mt_normaliser *from);   // moments and scale, between equal shapes

// Takes observations x (rows, O) into the moments. The scale stays as published.
void mt_normaliser_update(mt_normaliser *n, const mt_kernels *k, int64_t rows, const float *x);

// y = normalised x (rows, O); y may be x. Copies when observations are off and y is not x.
void mt_normaliser_apply(const mt_normaliser *n, const mt_kernels *k, int64_t rows, const float *x, float *y);

// Moments as a flat row of doubles, to be gathered from workers, merged, saved: (count, mean…, m2…) of obs, then returns.
int mt_normaliser_doubles(const mt_normaliser *n);
void mt_normaliser_store(const mt_normaliser *n, double *out);
void mt_normaliser_load(mt_normaliser *n, const double *in);
void mt_normaliser_merge(mt_normaliser *n, const double *from);

#endif
