// The table of arithmetic that every back end implements, on plain arrays whose shape stands behind each pointer.
//
// Letters: B rows of a batch, I inputs, O outputs of a layer, T time steps, N environments, A action components,
// K logits in all. Everything is fp32, dense and row-major. Pointers marked "Nullable" may be NULL, no others.
// Input and output arrays never overlap unless said. Any alignment is correct; 64 bytes is fast.
//
// Thread: every function is pure in its arguments and may run on any thread; none allocates, locks or fails.
// Determinism: for one back end and instruction set the result depends only on the arguments (fixed order of sums).
// A row's result of a forward function does not depend on how many other rows are in the call.
#ifndef MANTA_KERNELS_KERNELS_H
#define MANTA_KERNELS_KERNELS_H

#include <stdint.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

// X(name): the activation functions a dense layer can fuse
#define MT_ACTIVATION_LIST(X) X(identity) X(tanh) X(relu) X(elu) X(gelu) X(silu)
typedef enum mt_activation {
#define MT_X(name) MT_ACT_##name,
    MT_ACTIVATION_LIST(MT_X)
#undef MT_X
    MT_ACT_COUNT
} mt_activation;
const char *mt_activation_name(mt_activation a);
// gelu and silu need the pre-activation to go backward; the others only their own output.
static inline int mt_activation_needs_pre(mt_activation a) { return a == MT_ACT_gelu || a == MT_ACT_silu; }

// y = act(x Wᵀ + b). W is PyTorch's (O, I).
typedef struct mt_dense_forward {
    int64_t rows;                // B
    int in, out;                 // I, O
    mt_activation activation;
    const float *x;              // (B, I)
    const float *weight;         // (O, I)
    const float *weight_t;       // (I, O): the transpose, kept by dense_pack
    const float *bias;           // (O). Nullable
    float *y;                    // (B, O)
    float *pre;                  // (B, O): x Wᵀ + b. Nullable unless mt_activation_needs_pre
} mt_dense_forward;

// Given dz = dL/d(x Wᵀ + b):  dw (+)= dzᵀ x,  db (+)= Σ_B dz,  dx = (dz W) ∘ act'(x)
// where act' belongs to the layer that MADE x, so that dx is already that layer's dz.
typedef struct mt_dense_backward {
    int64_t rows;
    int in, out;
    const float *x;              // (B, I): what forward read
    const float *dz;             // (B, O)
    const float *weight;         // (O, I)
    mt_activation x_activation;  // of the layer that made x; identity for the network's input
    const float *x_pre;          // (B, I): its pre-activation. Nullable unless mt_activation_needs_pre(x_activation)
    float *dx;                   // (B, I). Nullable: not wanted
    float *dw;                   // (O, I)
    float *db;                   // (O). Nullable
    int accumulate;              // 0: dw, db are overwritten; 1: added to
} mt_dense_backward;

// A layer of independent categorical distributions: component a has nvec[a] logits, K = Σ nvec.
typedef struct mt_categorical {
    int64_t rows;
    int components;              // A; 1 for a discrete space
    const int32_t *nvec;         // (A)
    int logit_count;             // K
    const float *logits;         // (B, K)
    const uint8_t *mask;         // (B, K): 0 = not allowed. Nullable
} mt_categorical;

// Gaussian with diagonal covariance. log_std is (A) shared by all rows, or (B, A) when log_std_rows is set (gSDE).
typedef struct mt_gaussian {
    int64_t rows;
    int dim;                     // A
    const float *mean;           // (B, A)
    const float *log_std;        // (A) or (B, A)
    int log_std_rows;
} mt_gaussian;

// What PPO's loss reads for each row besides the distribution, and what it writes. Schulman et al. 2017, eq. 7 and 9.
//   L = mean_B[ max(-adv·ratio, -adv·clip(ratio, 1±clip_range)) + vf_coef·value_loss - ent_coef·entropy ]
//   value_loss = (value - return)², or with clip_range_vf ≥ 0 SB3's form: (clip(value, old_value ± clip_range_vf) - return)²
// The advantage is used as (adv - adv_mean)·adv_inv_std.
// Sums over rows are returned undivided and the gradients are scaled by `inv_rows`, the reciprocal of the WHOLE minibatch's
// row count over all workers, so that adding workers' gradients gives the minibatch's.
typedef struct mt_ppo_rows {
    const float *old_log_prob;   // (B)
    const float *advantage;      // (B)
    const float *returns;        // (B). Nullable without the value term
    const float *old_value;      // (B). Nullable unless clip_range_vf ≥ 0
    const float *value;          // (B). Nullable: without the value term, whose gradient and sum are then not computed
    float adv_mean, adv_inv_std; // 0 and 1: advantages as they are
    float clip_range;            // > 0
    float clip_range_vf;         // < 0: no clipping
    float ent_coef, vf_coef;
    float inv_rows;
    float *d_value;              // (B): dL/dvalue
} mt_ppo_rows;

// Sums over the rows of one call.
typedef struct mt_ppo_stats {
    double policy_loss, value_loss, entropy;   // Σ rows; value_loss without vf_coef, entropy without ent_coef
    double approx_kl;                          // Σ (ratio - 1) - log ratio   (Schulman, "Approximating KL divergence", k3)
    double clipped;                            // rows with |ratio - 1| > clip_range
    double ratio;                              // Σ ratio
} mt_ppo_stats;

typedef struct mt_adam {
    int64_t count;
    float *param, *m, *v;        // (count): updated in place
    const float *grad;           // (count)
    float grad_scale;            // gradient clipping: min(1, max_norm / norm), applied as it is read
    float lr, beta1, beta2, eps;
    float weight_decay;          // decoupled (AdamW); 0 = Adam
    int64_t step;                // t ≥ 1, for the bias correction
} mt_adam;

// Generalised advantage estimation (Schulman et al. 2016, eq. 16), with the bootstrap value of a truncated episode.
typedef struct mt_gae {
    int64_t steps, envs;           // T, N
    const float *reward;           // (T, N)
    const float *value;            // (T + 1, N): the last row is V of the observation after the segment
    const uint8_t *terminated;     // (T, N): the episode ended in step t: no bootstrap
    const uint8_t *truncated;      // (T, N): it was cut in step t: bootstrap with final_value
    const float *final_value;      // (T, N): V(final observation); read only where truncated and not terminated
    float gamma, lambda;
    float *advantage;              // (T, N)
    float *returns;                // (T, N): advantage + value
} mt_gae;

// Mean and variance of B rows of C columns, mergeable (Chan, Golub & LeVeque 1979). fp64 so that 10⁹ rows are no problem.
typedef struct mt_running {
    int columns;                   // C
    double count;
    double *mean;                  // (C)
    double *m2;                    // (C): Σ (x - mean)²
} mt_running;

typedef struct mt_kernels {
    const char *name;              // "cpu/avx512"

    // ---- dense (kernels/cpu/dense.c)
    void (*dense_pack)(int out, int in, const float *weight /* (O, I) */, float *weight_t /* (I, O) */);
    void (*dense_forward)(const mt_dense_forward *a);
    void (*dense_backward)(const mt_dense_backward *a);
    void (*activate)(mt_activation act, int64_t count, const float *z, float *y);                 // y may be z
    // dz = dy ∘ act'(z), from the output y and, for gelu and silu, the pre-activation. dz may be dy.
    void (*activate_backward)(mt_activation act, int64_t count, const float *y, const float *pre /* Nullable */,
        const float *dy, float *dz);

    // ---- layer norm (Ba et al. 2016); eps 1e-5 as PyTorch. xhat and inv_std are kept for backward.
    void (*layer_norm_forward)(int64_t rows, int columns, const float *x, const float *gain, const float *bias, float *y,
        float *xhat /* (B, C) */, float *inv_std /* (B) */);
    void (*layer_norm_backward)(int64_t rows, int columns, const float *dy, const float *gain, const float *xhat,
        const float *inv_std, float *dx, float *dgain, float *dbias, int accumulate);

    // ---- distributions
    // words (B, A): one random word a component; the action is the first k whose cumulative probability exceeds
    // mt_u32_to_unit(word); `log_prob` (B) is the sum over components. Masked actions have probability 0.
    void (*categorical_sample)(const mt_categorical *d, const uint32_t *words, int32_t *action /* (B, A) */,
        float *log_prob /* (B) */);
    void (*categorical_mode)(const mt_categorical *d, int32_t *action /* (B, A) */);
    void (*categorical_log_prob)(const mt_categorical *d, const int32_t *action, float *log_prob /* (B). Nullable */,
        float *entropy /* (B). Nullable */);
    // noise (B, A) standard normal; action = mean + exp(log_std)·noise
    void (*gaussian_sample)(const mt_gaussian *d, const float *noise, float *action, float *log_prob);
    void (*gaussian_log_prob)(const mt_gaussian *d, const float *action, float *log_prob /* Nullable */,
        float *entropy /* Nullable */);
    // gSDE (Raffin et al. 2021): log σ[b,a] = ½ log(Σ_l h[b,l]² exp(2 log_std[l,a]) + 1e-6); h is not differentiated
    void (*gsde_log_std)(int64_t rows, int latent, int dim, const float *h /* (B, L) */, const float *log_std /* (L, A) */,
        float *row_log_std /* (B, A) */);
    void (*gsde_log_std_backward)(int64_t rows, int latent, int dim, const float *h, const float *log_std,
        const float *row_log_std, const float *d_row_log_std /* (B, A) */, float *d_log_std /* (L, A) */, int accumulate);
    // noise[b,a] = Σ_l h[b,l] matrix[b,l,a]: every row (environment) has its own exploration matrix (L, A)
    void (*gsde_noise)(int64_t rows, int latent, int dim, const float *h, const float *matrix /* (B, L, A) */, float *noise);

    // ---- PPO loss: distribution, ratio, clipping, value and entropy terms and all gradients in one pass over the rows
    void (*ppo_loss_categorical)(const mt_categorical *d, const int32_t *action, const mt_ppo_rows *rows,
        float *d_logits /* (B, K) */, mt_ppo_stats *stats);
    // d_log_std has the shape of log_std; the shared form is written as a sum over rows, or added to with accumulate
    void (*ppo_loss_gaussian)(const mt_gaussian *d, const float *action, const mt_ppo_rows *rows,
        float *d_mean /* (B, A) */, float *d_log_std, int accumulate, mt_ppo_stats *stats);
    // The value term of `count` rows alone, the same bits as above; nothing of the policy's rows is read.
    void (*ppo_loss_value)(int64_t count, const mt_ppo_rows *rows, mt_ppo_stats *stats);

    // ---- advantages
    void (*gae)(const mt_gae *a);

    // ---- optimiser
    void (*adam)(const mt_adam *a);

    // ---- reductions: fixed order, fp64 where sums are long
    double (*sum)(int64_t count, const float *x);
    double (*sum_squares)(int64_t count, const float *x);
    void (*mean_var)(int64_t count, const float *x, double *mean, double *var /* population */);
    int64_t (*count_nonfinite)(int64_t count, const float *x);   // NaN or ±Inf
    void (*axpy)(int64_t count, float alpha, const float *x, float *y);   // y += alpha·x

    // ---- data movement
    void (*gather_rows)(int64_t rows, int64_t row_bytes, const void *src, const int32_t *index /* (B) */, void *dst);

    // ---- normalisation
    void (*running_update)(mt_running *stats, int64_t rows, const float *x /* (B, C) */);
    // y = clip((x - mean)/sqrt(var + eps), ±clip); y may be x. mean and inv_std come from mt_running_scale.
    void (*normalise)(int64_t rows, int columns, const float *mean, const float *inv_std, float clip, const float *x,
        float *y);

    // ---- random numbers: the words of engine/base/rng.h, many at once
    // out[i] = Philox block of (seed, stream_first + i, counter), i < rows
    void (*philox_streams)(uint64_t seed, uint64_t stream_first, uint64_t counter, int64_t rows, uint32_t *out /* (B, 4) */);
    // out[i] = Philox block of (seed, stream, counter_first + i)
    void (*philox_counters)(uint64_t seed, uint64_t stream, uint64_t counter_first, int64_t blocks, uint32_t *out);
    // count standard normals from count words (count even): pairs by Box–Muller
    void (*normals)(int64_t count, const uint32_t *words, float *out);
} mt_kernels;

// Instruction sets of the cpu back end, from least to most.
typedef enum mt_isa { MT_ISA_plain_id, MT_ISA_avx2_id, MT_ISA_avx512_id, MT_ISA_COUNT } mt_isa;

// NULL when this build or this machine lacks it.
const mt_kernels *mt_kernels_cpu(mt_isa isa);

// The best this machine has, or what MANTA_ISA=plain|avx2|avx512 asks for; MT_UNSUPPORTED / MT_CONFIG with the reason.
mt_status mt_kernels_choose(const mt_kernels **out);

// ---- mergeable statistics, plain C (kernels/running.c)
void mt_running_merge(mt_running *into, const mt_running *from);
void mt_running_scale(const mt_running *stats, double eps, float *mean, float *inv_std);   // population variance

#ifdef __cplusplus
}
#endif
#endif
