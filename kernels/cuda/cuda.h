// The cuda back end: the operations of kernels/kernels.h on an NVIDIA GPU. Shapes, formulae and descriptors are those of
// kernels.h; every array pointer, those inside a descriptor included, points to device memory.
//
// Three things differ from the table there, because a GPU works later than it is asked:
//   - an operation is queued on the context's stream and can fail: it returns mt_status. What it reads and writes must
//     stay until the stream has got there
//   - what the table returns as a number is written to device memory: nobody waits, and a CUDA graph can hold the call
//   - scratch space is the context's, taken once: nothing allocates, so an operation that needs more says how much. What the
//     table has as an argument (of convolutions, and of recurrent layers, where it grows with the rows) is one here, too
//
// Thread: one at a time per context, any. Different contexts are independent, also on one device.
// Determinism: sums have a fixed order that depends on the shapes alone (no float atomics, no dependence on the number of
// multiprocessors): own operations give the same bits on every GPU. Multiplications and additions are fused only where
// the source says so, as on the CPU; exp, log, sine and tanh are the CPU's polynomials (vmath.cuh). Hence forward
// operations on rows (distributions, GAE and V-trace with many environments, normalisation, activations but for tanh on AVX-512)
// have the bits of the CPU's AVX2 table: the same logits and random words give the same actions.
// Dense layers are cuBLASLt's and promise neither: their order of sums depends on the GPU and the number of rows.
#ifndef MANTA_KERNELS_CUDA_CUDA_H
#define MANTA_KERNELS_CUDA_CUDA_H

#include <stddef.h>
#include "engine/device/cuda.h"
#include "kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- context: a device, a stream, scratch space

typedef struct mt_cuda {
    const mt_device *device;     // borrowed; of kind cuda
    mt_stream stream;            // owned
    void *workspace;             // owned, device memory
    size_t workspace_bytes;
    uint32_t *ticket;            // owned, device memory: 0 between operations (launch.cuh); behind it what adam's launches share
} mt_cuda;

enum { MT_CUDA_WORKSPACE_BYTES = 32 << 20 };   // usual; the sums over rows of layer norm and gSDE take most

mt_status mt_cuda_init(mt_cuda *c, const mt_device *device, size_t workspace_bytes);
void mt_cuda_fini(mt_cuda *c);                 // waits for the stream
mt_status mt_cuda_sync(const mt_cuda *c);
mt_status mt_cuda_zero(const mt_cuda *c, void *x, size_t bytes);   // in the order of the stream
// Round code that is not ours and returns no status. name NULL: before it, what the runtime remembers is forgotten. Else after it:
// MT_PLUGIN with both names where its last call failed.
mt_status mt_cuda_foreign(const mt_cuda *c, const char *kind, const char *name);

// ---- activations (activate.cu)
mt_status mt_cuda_activate(const mt_cuda *c, mt_activation act, int64_t count, const float *z, float *y);
mt_status mt_cuda_activate_backward(const mt_cuda *c, mt_activation act, int64_t count, const float *y,
    const float *pre /* Nullable */, const float *dy, float *dz);
// pre = z + bias, y = act(pre), of rows × columns; z, pre and y may be the same array
mt_status mt_cuda_bias_activate(const mt_cuda *c, mt_activation act, int64_t rows, int columns, const float *z,
    const float *bias /* (columns). Nullable */, float *pre /* Nullable */, float *y);

// ---- layer norm (layer_norm.cu)
mt_status mt_cuda_layer_norm_forward(const mt_cuda *c, int64_t rows, int columns, const float *x, const float *gain,
    const float *bias, float *y, float *xhat, float *inv_std);
mt_status mt_cuda_layer_norm_backward(const mt_cuda *c, int64_t rows, int columns, const float *dy, const float *gain,
    const float *xhat, const float *inv_std, float *dx, float *dgain, float *dbias, int accumulate);

// ---- distributions (categorical.cu, gaussian.cu, gsde.cu)
mt_status mt_cuda_categorical_sample(const mt_cuda *c, const mt_categorical *d, const uint32_t *words, int32_t *action,
    float *log_prob);
mt_status mt_cuda_categorical_mode(const mt_cuda *c, const mt_categorical *d, int32_t *action);
mt_status mt_cuda_categorical_log_prob(const mt_cuda *c, const mt_categorical *d, const int32_t *action,
    float *log_prob /* Nullable */, float *entropy /* Nullable */);
mt_status mt_cuda_gaussian_sample(const mt_cuda *c, const mt_gaussian *d, const float *noise, float *action,
    float *log_prob);
mt_status mt_cuda_gaussian_log_prob(const mt_cuda *c, const mt_gaussian *d, const float *action,
    float *log_prob /* Nullable */, float *entropy /* Nullable */);
mt_status mt_cuda_gsde_log_std(const mt_cuda *c, int64_t rows, int latent, int dim, const float *h, const float *log_std,
    float *row_log_std);
mt_status mt_cuda_gsde_log_std_backward(const mt_cuda *c, int64_t rows, int latent, int dim, const float *h,
    const float *log_std, const float *row_log_std, const float *d_row_log_std, float *d_log_std, int accumulate);
mt_status mt_cuda_gsde_noise(const mt_cuda *c, int64_t rows, int latent, int dim, const float *h, const float *matrix,
    float *noise);
mt_status mt_cuda_gsde_matrix(const mt_cuda *c, int64_t rows, int64_t count, const float *z, int64_t z_stride,
    const float *log_std, float *matrix);

// From sums = {Σ a, Σ a²} of a minibatch's `count` advantages (sum, sum_squares; over several GPUs: added up) writes their mean and
// 1/(std + 1e-8), std unbiased as Stable-Baselines3 has it; 0 and 1 for a minibatch of one row. (ppo_loss.cu)
mt_status mt_cuda_advantage_scale(const mt_cuda *c, double count, const double *sums, mt_ppo_scalars *scalars);

// ---- PPO loss (ppo_loss.cu); scalars and stats in device memory
mt_status mt_cuda_ppo_loss_categorical(const mt_cuda *c, const mt_categorical *d, const int32_t *action,
    const mt_ppo_rows *rows, float *d_logits, mt_ppo_stats *stats);
mt_status mt_cuda_ppo_loss_gaussian(const mt_cuda *c, const mt_gaussian *d, const float *action, const mt_ppo_rows *rows,
    float *d_mean, float *d_log_std, int accumulate, mt_ppo_stats *stats);
mt_status mt_cuda_ppo_loss_value(const mt_cuda *c, int64_t count, const mt_ppo_rows *rows, mt_ppo_stats *stats);
mt_status mt_cuda_add_loss_sums(const mt_cuda *c, const double *sums, float vf_coef, float ent_coef, mt_ppo_stats *stats);

// ---- advantages (gae.cu, vtrace.cu)
mt_status mt_cuda_gae(const mt_cuda *c, const mt_gae *a);
mt_status mt_cuda_vtrace(const mt_cuda *c, const mt_vtrace *a);

// ---- optimiser (adam.cu). With clipping two launches: the first sums the squares of a->grad, advances the step and derives what
// the second, which updates, needs. scalars and norms in device memory.
mt_status mt_cuda_adam(const mt_cuda *c, const mt_adam *a);
mt_status mt_cuda_adam_clipped(const mt_cuda *c, const mt_adam *a, float max_norm, mt_adam_scalars *scalars,
    float *norms /* Nullable */);

// ---- reductions (reduce.cu): results in device memory
mt_status mt_cuda_sum(const mt_cuda *c, int64_t count, const float *x, double *sum);
mt_status mt_cuda_sum_squares(const mt_cuda *c, int64_t count, const float *x, double *sum);
mt_status mt_cuda_mean_var(const mt_cuda *c, int64_t count, const float *x, double *mean, double *var);
mt_status mt_cuda_count_nonfinite(const mt_cuda *c, int64_t count, const float *x, int64_t *found);
mt_status mt_cuda_axpy(const mt_cuda *c, int64_t count, float alpha, const float *x, float *y);
// sum (C) (+)= Σ_B x
mt_status mt_cuda_column_sums(const mt_cuda *c, int64_t rows, int columns, const float *x, float *sum, int accumulate);

// ---- data movement (gather.cu)
mt_status mt_cuda_gather_rows(const mt_cuda *c, int64_t rows, int64_t row_bytes, const void *src, const int32_t *index,
    void *dst);
mt_status mt_cuda_sequence_rows(const mt_cuda *c, int64_t steps, int64_t envs, int64_t count, const int32_t *env, int32_t *row);

// (append_row.cu) time and step in device memory
mt_status mt_cuda_append_row(const mt_cuda *c, int64_t bytes, const void *row, void *rows, int64_t *time, uint64_t *step);

// y (+)= x turned within each row (turn.cu). Not in place
mt_status mt_cuda_turn(const mt_cuda *c, int64_t rows, int64_t m, int64_t n, const float *x, float *y, int accumulate);
// (copy_columns.cu)
mt_status mt_cuda_copy_columns(const mt_cuda *c, int64_t rows, int64_t columns, const float *x, int64_t x_stride, float *y,
    int64_t y_stride);

// ---- lookup (embedding.cu)
mt_status mt_cuda_embedding_forward(const mt_cuda *c, int64_t rows, int entries, int width, const float *index,
    const float *table, float *y);
mt_status mt_cuda_embedding_backward(const mt_cuda *c, int64_t rows, int entries, int width, const float *index,
    const float *dy, float *dtable, int accumulate);

// ---- pooling (max_pool2d.cu)
mt_status mt_cuda_max_pool2d_forward(const mt_cuda *c, int64_t rows, const mt_max_pool2d *p, const float *x, float *y,
    int32_t *argmax);
mt_status mt_cuda_max_pool2d_backward(const mt_cuda *c, int64_t rows, const mt_max_pool2d *p, const float *dy,
    const int32_t *argmax, mt_activation x_activation, const float *x, const float *x_pre /* Nullable */, float *dx);

// ---- normalisation (normalise.cu). In an mt_running here mean and m2 are device memory; the struct, with its count, is
// the host's and advances when the call returns.
mt_status mt_cuda_running_update(const mt_cuda *c, mt_running *stats, int64_t rows, const float *x);
mt_status mt_cuda_running_merge(const mt_cuda *c, mt_running *into, const mt_running *from);
mt_status mt_cuda_running_scale(const mt_cuda *c, const mt_running *stats, double eps, float *mean, float *inv_std);
mt_status mt_cuda_normalise(const mt_cuda *c, int64_t rows, int columns, const float *mean, const float *inv_std,
    float clip, const float *x, float *y);

// ---- random numbers (philox.cu)
mt_status mt_cuda_philox_streams(const mt_cuda *c, uint64_t seed, uint64_t stream_first, uint64_t counter, int64_t rows,
    uint32_t *out);
mt_status mt_cuda_philox_counters(const mt_cuda *c, uint64_t seed, uint64_t stream, uint64_t counter_first,
    int64_t blocks, uint32_t *out);
mt_status mt_cuda_philox_words(const mt_cuda *c, uint64_t seed, uint64_t stream_first, const uint64_t *step /* device memory */,
    int64_t rows, int width, uint32_t *out);
mt_status mt_cuda_normals(const mt_cuda *c, int64_t count, const uint32_t *words, float *out);

// ---- environments of classic control (classic.cu)
mt_status mt_cuda_classic_step(const mt_cuda *c, const mt_classic_step *s);

// ---- dense layers (dense.c): the vendor's matrix products, with what it needs to know about each shape kept.
// weight_t is not read: there is nothing to pack.
typedef struct mt_cuda_dense mt_cuda_dense;
// TF32: multiply with 10 bits of mantissa where the GPU can. BF16: with 7, weights included; the master weights, what stands
// between layers, bias, sums and gradients are fp32. Sums are fp32 in all. c is borrowed and must outlive the layers.
typedef enum mt_cuda_precision { MT_CUDA_FP32, MT_CUDA_TF32, MT_CUDA_BF16 } mt_cuda_precision;
mt_status mt_cuda_dense_create(const mt_cuda *c, mt_cuda_precision precision, mt_cuda_dense **out);
void mt_cuda_dense_destroy(mt_cuda_dense *dense);   // Nullable
mt_status mt_cuda_dense_forward(mt_cuda_dense *dense, const mt_dense_forward *a);
mt_status mt_cuda_dense_backward(mt_cuda_dense *dense, const mt_dense_backward *a);

// ---- convolutions and recurrent layers (conv2d.c, rnn.c): the vendor's library of layers, its plan for each shape kept.
// The first call with a shape makes the plan, which asks the library for its choice of algorithm: once before a capture.
typedef struct mt_cuda_dnn mt_cuda_dnn;
// c and dense are borrowed and must outlive it. dense makes the recurrent layers' products: in fp32 or TF32, since bf16 would round
// the same weights at each step (MT_INVALID_ARGUMENT).
mt_status mt_cuda_dnn_create(const mt_cuda *c, mt_cuda_dense *dense, int tf32, mt_cuda_dnn **out);
void mt_cuda_dnn_destroy(mt_cuda_dnn *dnn);   // Nullable

// Both forms that conv2d_pack makes are the library's (O, k, k, C) here: weight_t may be weight_rows. Arrays of images, and the
// packed forms, stand at multiples of 16 bytes (MT_INVALID_ARGUMENT).
mt_status mt_cuda_conv2d_pack(const mt_cuda *c, const mt_conv2d *conv, const float *weight, float *weight_t, float *weight_rows);
int64_t mt_cuda_conv2d_scratch(const mt_conv2d *conv);   // floats
mt_status mt_cuda_conv2d_forward(mt_cuda_dnn *dnn, const mt_conv2d_forward *a);
mt_status mt_cuda_conv2d_backward(mt_cuda_dnn *dnn, const mt_conv2d_backward *a);

// weight_x_t and weight_h_t are not read. Where `start` is NULL (no episode starts in a sequence) and the caller brings `space`,
// mt_cuda_rnn_space bytes at a multiple of 256 that stay as they are from forward to backward, the library's RNN runs and `kept`
// and `scratch` are not touched; else a product and a cell for each step (rnn.c says why).
int64_t mt_cuda_rnn_scratch(mt_rnn_cell cell, int64_t steps, int64_t envs, int in, int units);   // floats
mt_status mt_cuda_rnn_space(mt_cuda_dnn *dnn, mt_rnn_cell cell, int64_t steps, int64_t envs, int in, int units, size_t *bytes);
mt_status mt_cuda_rnn_forward(mt_cuda_dnn *dnn, const mt_rnn *a, void *space /* Nullable */);
mt_status mt_cuda_rnn_backward(mt_cuda_dnn *dnn, const mt_rnn_backward *a, void *space /* Nullable: as forward's */);

#ifdef __cplusplus
}
#endif
#endif
