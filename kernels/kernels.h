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
#include "kernels/classic/classic.h"

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

// A convolution (cross-correlation, as PyTorch's Conv2d) with square kernel, stride and zero padding. Images are channels-last
// inside manta: a row of a batch is (H, W, C), so that the channels are what vectors run over and a patch's row is contiguous.
// Parameters stay in PyTorch's shape and order, (O, C, k, k); conv2d_pack makes what the loops read: O·C·k·k floats for forward and
// as many for backward, in an order that is the back end's own.
typedef struct mt_conv2d {
    int height, width, in;         // H, W, C of the input
    int out;                       // O
    int kernel, stride, padding;   // k ≥ 1, stride ≥ 1, 0 ≤ padding < k
} mt_conv2d;
static inline int mt_conv2d_out_height(const mt_conv2d *c) { return (c->height + 2 * c->padding - c->kernel) / c->stride + 1; }
static inline int mt_conv2d_out_width(const mt_conv2d *c) { return (c->width + 2 * c->padding - c->kernel) / c->stride + 1; }

// y = act(x ⋆ W + b)
typedef struct mt_conv2d_forward {
    int64_t rows;                  // B
    mt_conv2d conv;
    mt_activation activation;
    const float *x;                // (B, H, W, C)
    const float *weight_t;         // (k·k·C·O): by conv2d_pack
    const float *bias;             // (O). Nullable
    float *y;                      // (B, H', W', O)
    float *pre;                    // (B, H', W', O). Nullable unless mt_activation_needs_pre
    float *scratch;                // (conv2d_scratch): overwritten
} mt_conv2d_forward;

// Given dz = dL/d(x ⋆ W + b):  dw (+)= …,  db (+)= Σ dz,  dx = (…) ∘ act'(x) with the act' of the layer that made x.
typedef struct mt_conv2d_backward {
    int64_t rows;
    mt_conv2d conv;
    const float *x;                // (B, H, W, C): what forward read
    const float *dz;               // (B, H', W', O)
    const float *weight_rows;      // (k·k·O·C): by conv2d_pack
    mt_activation x_activation;
    const float *x_pre;            // (B, H, W, C). Nullable unless mt_activation_needs_pre(x_activation)
    float *dx;                     // (B, H, W, C). Nullable: not wanted
    float *dw;                     // (O, C, k, k)
    float *db;                     // (O). Nullable
    int accumulate;                // 0: dw, db are overwritten; 1: added to
    float *scratch;                // (conv2d_scratch): overwritten
} mt_conv2d_backward;

// The largest value of each k×k window (padding counts as -∞; the first of equals, in row-major order).
typedef struct mt_max_pool2d {
    int height, width, channels;   // H, W, C
    int kernel, stride, padding;
} mt_max_pool2d;
static inline int mt_max_pool2d_out_height(const mt_max_pool2d *p) { return (p->height + 2 * p->padding - p->kernel) / p->stride + 1; }
static inline int mt_max_pool2d_out_width(const mt_max_pool2d *p) { return (p->width + 2 * p->padding - p->kernel) / p->stride + 1; }

// A recurrent layer over whole sequences. Rows are numbered t·N + n: T steps of N sequences.
//   lstm  [i f g o] = W_x x + b_x + W_h h + b_h;  c = σ(f) c + σ(i) tanh(g);  h = σ(o) tanh(c)   (Hochreiter & Schmidhuber 1997)
//   gru   [r z n], n = tanh(W_xn x + b_xn + σ(r)(W_hn h + b_hn));  h = (1 - σ(z)) n + σ(z) h        (Cho et al. 2014)
// Gates and parameters as PyTorch orders them: G = 4 gates (i f g o) or 3 (r z n). A sequence's state is S floats: lstm h then c,
// gru h.
typedef enum mt_rnn_cell { MT_RNN_LSTM, MT_RNN_GRU } mt_rnn_cell;
static inline int mt_rnn_gates(mt_rnn_cell cell) { return cell == MT_RNN_LSTM ? 4 : 3; }
static inline int mt_rnn_state(mt_rnn_cell cell, int units) { return cell == MT_RNN_LSTM ? 2 * units : units; }
// Floats that forward keeps of a row for backward: the gates after their functions, and c (lstm) or W_hn h + b_hn (gru).
static inline int mt_rnn_kept(mt_rnn_cell cell, int units) { return (mt_rnn_gates(cell) + 1) * units; }

typedef struct mt_rnn {
    mt_rnn_cell cell;
    int64_t steps, envs;           // T, N
    int in, units;                 // I, H
    const float *x;                // (T, N, I)
    const uint8_t *start;          // (T, N): 1 where the state is zero before the step: an episode's first. Nullable: nowhere
    int64_t start_stride;          // from one step's row of `start` to the next; N where it is dense
    const float *state;            // (N, S) before the first step
    int64_t state_stride;          // from one sequence's state to the next, of `state` and `state_out`; S where it is dense
    const float *weight_x;         // (G·H, I)   PyTorch's weight_ih
    const float *weight_h;         // (G·H, H)   weight_hh
    const float *weight_x_t;       // (I, G·H)   transposes, by dense_pack
    const float *weight_h_t;       // (H, G·H)
    const float *bias_x, *bias_h;  // (G·H)
    float *y;                      // (T, N, H): h of every step
    float *kept;                   // (T, N, mt_rnn_kept): forward writes, backward reads
    float *state_out;              // (N, S) after the last step; may be `state`. Nullable. Backward ignores it
    float *scratch;                // (rnn_scratch): overwritten
} mt_rnn;

// Through all T steps (truncated at the first: no gradient of `state` is made). Reads dy = dL/dy and everything of `rnn` that
// forward read and wrote.
typedef struct mt_rnn_backward {
    mt_rnn rnn;
    const float *dy;               // (T, N, H)
    mt_activation x_activation;    // of the layer that made x
    const float *x_pre;            // (T, N, I). Nullable unless mt_activation_needs_pre(x_activation)
    float *dx;                     // (T, N, I). Nullable: not wanted
    float *dw_x, *dw_h;            // (G·H, I), (G·H, H)
    float *db_x, *db_h;            // (G·H)
    int accumulate;
} mt_rnn_backward;

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

// The numbers of PPO's loss that change from minibatch to minibatch, and from update to update: memory of the back end, so that a
// captured update is replayed with others.
typedef struct mt_ppo_scalars {
    float adv_mean, adv_inv_std;   // of the whole minibatch; 0 and 1: advantages as they are
    float clip_range;              // > 0
    float clip_range_vf;           // < 0: the value loss is not clipped
    float ent_coef, vf_coef;
} mt_ppo_scalars;

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
    const mt_ppo_scalars *scalars;
    float inv_rows;
    float *d_value;              // (B): dL/dvalue
} mt_ppo_rows;

// Sums over rows. A call adds those of its rows to what is there.
typedef struct mt_ppo_stats {
    double policy_loss, value_loss, entropy;   // Σ rows; value_loss without vf_coef, entropy without ent_coef
    double approx_kl;                          // Σ (ratio - 1) - log ratio   (Schulman, "Approximating KL divergence", k3)
    double clipped;                            // rows with |ratio - 1| > clip_range
    double ratio;                              // Σ ratio
} mt_ppo_stats;

enum { MT_LOSS_SUMS = 5 };   // of a loss that is not PPO's: add_loss_sums

typedef struct mt_adam {
    int64_t count;
    float *param, *m, *v;        // (count): updated in place
    const float *grad;           // (count)
    float grad_scale;            // gradient clipping: min(1, max_norm / norm), applied as it is read
    float lr, beta1, beta2, eps;
    float weight_decay;          // decoupled (AdamW); 0 = Adam
    int64_t step;                // t ≥ 1, for the bias correction
} mt_adam;

// What an update reads and advances where its caller does not wait for it: memory of the back end.
typedef struct mt_adam_scalars {
    int64_t step;                // t of the last update
    float lr;
    float norm;                  // of the last update's gradient before clipping
    int32_t halted;              // 1: a norm was not finite. From then on nothing changes until somebody clears it
} mt_adam_scalars;

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

// V-trace (Espeholt et al. 2018, IMPALA, eq. 1): value targets and policy gradient of a segment that an older policy μ acted in, for
// the present one π. With w_t = π(a_t)/μ(a_t), ρ_t = min(rho_bar, w_t) and c_t = λ min(c_bar, w_t):
//   vs_t = V_t + Σ_{i ≥ t} γ^(i-t) (Π_{t ≤ j < i} c_j) ρ_i (r_i + γ V_{i+1} - V_i),   advantage_t = ρ_t (r_t + γ vs_{t+1} - V_t)
// up to the episode's end, where V_{i+1} and vs_{t+1} are 0 or final_value, as in mt_gae; vs_T = V_T. On-policy (w = 1, both bars at
// least 1) vs are GAE's returns, and with λ = 1 advantages are GAE's. A bar of infinity does not clip. For learners that lag behind
// their runners (IMPALA, APPO); no flow calls it yet.
typedef struct mt_vtrace {
    int64_t steps, envs;           // T, N
    const float *reward;           // (T, N)
    const float *value;            // (T + 1, N): V of π's critic; the last row of the observation after the segment
    const float *behaviour_log_prob;   // (T, N): log μ(a_t), as it was stored when acting
    const float *target_log_prob;      // (T, N): log π(a_t)
    const uint8_t *terminated;     // (T, N): as in mt_gae
    const uint8_t *truncated;      // (T, N)
    const float *final_value;      // (T, N): read only where truncated and not terminated
    float gamma, lambda;
    float rho_bar, c_bar;          // the paper's: 1 and 1. rho_bar decides what the fixed point is, c_bar how fast it is reached
    float *vs;                     // (T, N): what V_t is regressed on
    float *advantage;              // (T, N): what ∇ log π(a_t) is weighed with
} mt_vtrace;

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

    // ---- images (kernels/cpu/conv2d.c, max_pool2d.c)
    // both forms of the parameters that the loops read, in the back end's own order
    void (*conv2d_pack)(const mt_conv2d *c, const float *weight /* (O, C, k, k) */, float *weight_t /* (k·k·C·O) */,
        float *weight_rows /* (k·k·O·C) */);
    int64_t (*conv2d_scratch)(const mt_conv2d *c);   // floats; the same for any number of rows
    void (*conv2d_forward)(const mt_conv2d_forward *a);
    void (*conv2d_backward)(const mt_conv2d_backward *a);
    void (*max_pool2d_forward)(int64_t rows, const mt_max_pool2d *p, const float *x /* (B, H, W, C) */,
        float *y /* (B, H', W', C) */, int32_t *argmax /* (B, H', W', C): h·W + w of the largest */);
    // dx (B, H, W, C) = dy at the largest, added where windows overlap, then ∘ act'(x) with the act' of the layer that made x
    void (*max_pool2d_backward)(int64_t rows, const mt_max_pool2d *p, const float *dy, const int32_t *argmax,
        mt_activation x_activation, const float *x, const float *x_pre /* Nullable */, float *dx);
    // y (B, N, M) = x (B, M, N) turned within each row: channels-last images to PyTorch's order of flattening, and back
    void (*turn)(int64_t rows, int64_t m, int64_t n, const float *x, float *y);

    // ---- sequences (kernels/cpu/rnn.c)
    int64_t (*rnn_scratch)(mt_rnn_cell cell, int64_t steps, int64_t envs, int in, int units);   // floats, for both directions
    void (*rnn_forward)(const mt_rnn *a);
    void (*rnn_backward)(const mt_rnn_backward *a);

    // ---- lookup: y[b] = table[index[b]]; indices are whole numbers in floats, below 0 or past the table they are clamped
    void (*embedding_forward)(int64_t rows, int entries, int width, const float *index /* (B) */, const float *table /* (E, W) */,
        float *y /* (B, W) */);
    void (*embedding_backward)(int64_t rows, int entries, int width, const float *index, const float *dy, float *dtable /* (E, W) */,
        int accumulate);
    // y[b, 0..columns) = x[b, 0..columns), rows `x_stride` and `y_stride` floats apart
    void (*copy_columns)(int64_t rows, int64_t columns, const float *x, int64_t x_stride, float *y, int64_t y_stride);

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
    // matrix[b,i] = z[b,i] exp(log_std[i]): of standard normals, rows `z_stride` floats apart
    void (*gsde_matrix)(int64_t rows, int64_t count /* L·A */, const float *z, int64_t z_stride, const float *log_std /* (L, A) */,
        float *matrix /* (B, L, A) */);

    // ---- PPO loss: distribution, ratio, clipping, value and entropy terms and all gradients in one pass over the rows
    void (*ppo_loss_categorical)(const mt_categorical *d, const int32_t *action, const mt_ppo_rows *rows,
        float *d_logits /* (B, K) */, mt_ppo_stats *stats);
    // d_log_std has the shape of log_std; the shared form is written as a sum over rows, or added to with accumulate
    void (*ppo_loss_gaussian)(const mt_gaussian *d, const float *action, const mt_ppo_rows *rows,
        float *d_mean /* (B, A) */, float *d_log_std, int accumulate, mt_ppo_stats *stats);
    // The value term of `count` rows alone, the same bits as above; nothing of the policy's rows is read.
    void (*ppo_loss_value)(int64_t count, const mt_ppo_rows *rows, mt_ppo_stats *stats);
    // Adds what another loss says of its rows: its total with all terms, Σ value losses, Σ entropies, Σ approximate KL, clipped rows;
    // policy_loss is what the total has besides the value and entropy terms.
    void (*add_loss_sums)(const double *sums /* (MT_LOSS_SUMS) */, float vf_coef, float ent_coef, mt_ppo_stats *stats);

    // ---- advantages
    void (*gae)(const mt_gae *a);
    void (*vtrace)(const mt_vtrace *a);

    // ---- optimiser
    void (*adam)(const mt_adam *a);
    // The same with the step and the rate of *scalars, advancing the step, and with the gradient clipped by its global norm as
    // PyTorch's clip_grad_norm_ has it: grad · min(1, max_norm / (norm + 1e-6)); max_norm 0: not. Of `a`, grad_scale, lr and step
    // are not read. norms: where the norm goes, too. Nullable
    void (*adam_clipped)(const mt_adam *a, float max_norm, mt_adam_scalars *scalars, float *norms);

    // ---- reductions: fixed order, fp64 where sums are long
    double (*sum)(int64_t count, const float *x);
    double (*sum_squares)(int64_t count, const float *x);
    void (*mean_var)(int64_t count, const float *x, double *mean, double *var /* population */);
    int64_t (*count_nonfinite)(int64_t count, const float *x);   // NaN or ±Inf
    void (*axpy)(int64_t count, float alpha, const float *x, float *y);   // y += alpha·x

    // ---- data movement
    void (*gather_rows)(int64_t rows, int64_t row_bytes, const void *src, const int32_t *index /* (B) */, void *dst);
    // whole sequences as rows of a segment of T steps of N environments: row[t·count + j] = t·N + env[j]
    void (*sequence_rows)(int64_t steps, int64_t envs, int64_t count, const int32_t *env /* (count) */, int32_t *row /* (T, count) */);
    void (*zero)(int64_t bytes, void *x);

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
    // `width` words of each of B streams: word c of row i is word c mod 4 of the block (seed, stream_first + i, *step·⌈width/4⌉ + c/4)
    void (*philox_words)(uint64_t seed, uint64_t stream_first, const uint64_t *step, int64_t rows, int width, uint32_t *out);
    // count standard normals from count words (count even): pairs by Box–Muller
    void (*normals)(int64_t count, const uint32_t *words, float *out);

    // ---- environments of classic control, as they stand in kernels/classic: one step, with the bits that rollout/envs' have
    void (*classic_step)(const mt_classic_step *s);
    // rows[*time] = row, of `bytes` (a multiple of 4); then *time and *step go on by one
    void (*append_row)(int64_t bytes, const void *row, void *rows, int64_t *time, uint64_t *step);

    // ---- for code beside the table (plugins): where its arrays lie, and what its operations are queued on
    int on_cuda;               // 1: in the memory of an NVIDIA GPU
    void *(*stream)(void);     // the cudaStream_t of this thread. NULL on the CPU
    // Called round them, with NULL before and their kind and name after: an error that the runtime then remembers is the pass's
    // failure, under that name. NULL on the CPU
    void (*foreign)(const char *kind, const char *name);
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
