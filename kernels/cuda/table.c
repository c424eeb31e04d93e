// The cuda back end as the table of kernels.h: every operation goes to the calling thread's current compute (compute.h), whose first
// failure is kept and asked for at the end of a pass; after it nothing more is queued. So networks, losses and actors run on a GPU
// with the code that runs them on the CPU, whose functions cannot fail.
//
// What returns a number waits for it, and cannot be captured; training asks for none of these.
#include "kernels/cuda/compute.h"

#include <stdio.h>
#include <string.h>

static _Thread_local mt_cuda_compute *current;

void mt_cuda_table_enter(mt_cuda_compute *compute) {
    MT_ASSERT(!current || !compute); // passes are not nested
    current = compute;
}

static void keep(mt_cuda_compute *c, mt_status status) {
    if (status == MT_OK || c->status != MT_OK) return;
    c->status = status;
    snprintf(c->message, sizeof c->message, "%s", mt_last_error());
}

// runs an operation of the current compute, called c in it
#define RUN(call)                                                                                                      \
    do {                                                                                                               \
        mt_cuda_compute *c = current;                                                                                  \
        MT_ASSERT(c);                                                                                                  \
        if (c->status == MT_OK) keep(c, call);                                                                         \
    } while (0)
#define CUDA (&c->cuda)

// ---- dense, activations

static void dense_pack(int out, int in, const float *weight, float *weight_t) { // products read the weights as they are
    (void)out, (void)in, (void)weight, (void)weight_t;
}
static void dense_forward(const mt_dense_forward *a) { RUN(mt_cuda_dense_forward(c->dense, a)); }
static void dense_backward(const mt_dense_backward *a) { RUN(mt_cuda_dense_backward(c->dense, a)); }
static void activate(mt_activation act, int64_t count, const float *z, float *y) { RUN(mt_cuda_activate(CUDA, act, count, z, y)); }
static void activate_backward(mt_activation act, int64_t count, const float *y, const float *pre, const float *dy, float *dz) {
    RUN(mt_cuda_activate_backward(CUDA, act, count, y, pre, dy, dz));
}

// ---- images

static void conv2d_pack(const mt_conv2d *conv, const float *weight, float *weight_t, float *weight_rows) {
    RUN(mt_cuda_conv2d_pack(CUDA, conv, weight, weight_t, weight_rows));
}
static void conv2d_forward(const mt_conv2d_forward *a) { RUN(mt_cuda_conv2d_forward(c->dnn, a)); }
static void conv2d_backward(const mt_conv2d_backward *a) { RUN(mt_cuda_conv2d_backward(c->dnn, a)); }
static void max_pool2d_forward(int64_t rows, const mt_max_pool2d *p, const float *x, float *y, int32_t *argmax) {
    RUN(mt_cuda_max_pool2d_forward(CUDA, rows, p, x, y, argmax));
}
static void max_pool2d_backward(int64_t rows, const mt_max_pool2d *p, const float *dy, const int32_t *argmax,
    mt_activation x_activation, const float *x, const float *x_pre, float *dx) {
    RUN(mt_cuda_max_pool2d_backward(CUDA, rows, p, dy, argmax, x_activation, x, x_pre, dx));
}
static void turn(int64_t rows, int64_t m, int64_t n, const float *x, float *y) { RUN(mt_cuda_turn(CUDA, rows, m, n, x, y, 0)); }

// ---- sequences: episodes may start anywhere in them, so there is no space for the library's own form

static void rnn_forward(const mt_rnn *a) { RUN(mt_cuda_rnn_forward(c->dnn, a, NULL)); }
static void rnn_backward(const mt_rnn_backward *a) { RUN(mt_cuda_rnn_backward(c->dnn, a, NULL)); }

// ---- lookup, columns, layer norm

static void embedding_forward(int64_t rows, int entries, int width, const float *index, const float *table, float *y) {
    RUN(mt_cuda_embedding_forward(CUDA, rows, entries, width, index, table, y));
}
static void embedding_backward(int64_t rows, int entries, int width, const float *index, const float *dy, float *dtable,
    int accumulate) {
    RUN(mt_cuda_embedding_backward(CUDA, rows, entries, width, index, dy, dtable, accumulate));
}
static void copy_columns(int64_t rows, int64_t columns, const float *x, int64_t x_stride, float *y, int64_t y_stride) {
    RUN(mt_cuda_copy_columns(CUDA, rows, columns, x, x_stride, y, y_stride));
}
static void layer_norm_forward(int64_t rows, int columns, const float *x, const float *gain, const float *bias, float *y,
    float *xhat, float *inv_std) {
    RUN(mt_cuda_layer_norm_forward(CUDA, rows, columns, x, gain, bias, y, xhat, inv_std));
}
static void layer_norm_backward(int64_t rows, int columns, const float *dy, const float *gain, const float *xhat,
    const float *inv_std, float *dx, float *dgain, float *dbias, int accumulate) {
    RUN(mt_cuda_layer_norm_backward(CUDA, rows, columns, dy, gain, xhat, inv_std, dx, dgain, dbias, accumulate));
}

// ---- distributions

// How many choices each component has is the plan's, in main memory; here it is kept on the GPU, too. One policy a compute is usual:
// then this copies once, before anything is captured.
static mt_status place_nvec(mt_cuda_compute *c, const mt_categorical *d) {
    size_t bytes = sizeof *d->nvec * (size_t)d->components;
    if (c->components == d->components && memcmp(c->host_nvec, d->nvec, bytes) == 0) return MT_OK;
    MT_TRY(mt_cuda_sync(&c->cuda)); // the copy before has left the host's array
    memcpy(c->host_nvec, d->nvec, bytes);
    c->components = d->components;
    return mt_cuda_stream_copy(c->base.device, c->cuda.stream, c->nvec, c->host_nvec, bytes);
}
static mt_categorical on_device(const mt_categorical *d) {
    mt_categorical there = *d;
    RUN(place_nvec(c, d));
    there.nvec = current->nvec;
    return there;
}

static void categorical_sample(const mt_categorical *d, const uint32_t *words, int32_t *action, float *log_prob) {
    const mt_categorical there = on_device(d);
    RUN(mt_cuda_categorical_sample(CUDA, &there, words, action, log_prob));
}
static void categorical_mode(const mt_categorical *d, int32_t *action) {
    const mt_categorical there = on_device(d);
    RUN(mt_cuda_categorical_mode(CUDA, &there, action));
}
static void categorical_log_prob(const mt_categorical *d, const int32_t *action, float *log_prob, float *entropy) {
    const mt_categorical there = on_device(d);
    RUN(mt_cuda_categorical_log_prob(CUDA, &there, action, log_prob, entropy));
}
static void gaussian_sample(const mt_gaussian *d, const float *noise, float *action, float *log_prob) {
    RUN(mt_cuda_gaussian_sample(CUDA, d, noise, action, log_prob));
}
static void gaussian_log_prob(const mt_gaussian *d, const float *action, float *log_prob, float *entropy) {
    RUN(mt_cuda_gaussian_log_prob(CUDA, d, action, log_prob, entropy));
}
static void gsde_log_std(int64_t rows, int latent, int dim, const float *h, const float *log_std, float *row_log_std) {
    RUN(mt_cuda_gsde_log_std(CUDA, rows, latent, dim, h, log_std, row_log_std));
}
static void gsde_log_std_backward(int64_t rows, int latent, int dim, const float *h, const float *log_std,
    const float *row_log_std, const float *d_row_log_std, float *d_log_std, int accumulate) {
    RUN(mt_cuda_gsde_log_std_backward(
        CUDA, rows, latent, dim, h, log_std, row_log_std, d_row_log_std, d_log_std, accumulate));
}
static void gsde_noise(int64_t rows, int latent, int dim, const float *h, const float *matrix, float *noise) {
    RUN(mt_cuda_gsde_noise(CUDA, rows, latent, dim, h, matrix, noise));
}
static void gsde_matrix(int64_t rows, int64_t count, const float *z, int64_t z_stride, const float *log_std, float *matrix) {
    RUN(mt_cuda_gsde_matrix(CUDA, rows, count, z, z_stride, log_std, matrix));
}

// ---- loss, advantages, optimiser

static void ppo_loss_categorical(const mt_categorical *d, const int32_t *action, const mt_ppo_rows *rows, float *d_logits,
    mt_ppo_stats *stats) {
    const mt_categorical there = on_device(d);
    RUN(mt_cuda_ppo_loss_categorical(CUDA, &there, action, rows, d_logits, stats));
}
static void ppo_loss_gaussian(const mt_gaussian *d, const float *action, const mt_ppo_rows *rows, float *d_mean,
    float *d_log_std, int accumulate, mt_ppo_stats *stats) {
    RUN(mt_cuda_ppo_loss_gaussian(CUDA, d, action, rows, d_mean, d_log_std, accumulate, stats));
}
static void ppo_loss_value(int64_t count, const mt_ppo_rows *rows, mt_ppo_stats *stats) {
    RUN(mt_cuda_ppo_loss_value(CUDA, count, rows, stats));
}
static void add_loss_sums(const double *sums, float vf_coef, float ent_coef, mt_ppo_stats *stats) {
    RUN(mt_cuda_add_loss_sums(CUDA, sums, vf_coef, ent_coef, stats));
}
static void gae(const mt_gae *a) { RUN(mt_cuda_gae(CUDA, a)); }
static void vtrace(const mt_vtrace *a) { RUN(mt_cuda_vtrace(CUDA, a)); }
static void adam(const mt_adam *a) { RUN(mt_cuda_adam(CUDA, a)); }
static void adam_clipped(const mt_adam *a, float max_norm, mt_adam_scalars *scalars, float *norms) {
    RUN(mt_cuda_adam_clipped(CUDA, a, max_norm, scalars, norms));
}

// ---- reductions: these wait

static mt_status fetch(mt_cuda_compute *c, void *to, size_t bytes) {
    MT_TRY(mt_cuda_stream_copy(c->base.device, c->cuda.stream, to, c->results, bytes));
    return mt_cuda_sync(&c->cuda);
}
static double sum(int64_t count, const float *x) {
    double result = 0;
    RUN(mt_cuda_sum(CUDA, count, x, c->results));
    RUN(fetch(c, &result, sizeof result));
    return result;
}
static double sum_squares(int64_t count, const float *x) {
    double result = 0;
    RUN(mt_cuda_sum_squares(CUDA, count, x, c->results));
    RUN(fetch(c, &result, sizeof result));
    return result;
}
static void mean_var(int64_t count, const float *x, double *mean, double *var) {
    double results[2] = {0};
    RUN(mt_cuda_mean_var(CUDA, count, x, c->results, c->results + 1));
    RUN(fetch(c, results, sizeof results));
    *mean = results[0], *var = results[1];
}
static int64_t count_nonfinite(int64_t count, const float *x) {
    int64_t result = 0;
    RUN(mt_cuda_count_nonfinite(CUDA, count, x, (int64_t *)(void *)c->results));
    RUN(fetch(c, &result, sizeof result));
    return result;
}
static void axpy(int64_t count, float alpha, const float *x, float *y) { RUN(mt_cuda_axpy(CUDA, count, alpha, x, y)); }

// ---- data movement, normalisation, random numbers

static void gather_rows(int64_t rows, int64_t row_bytes, const void *src, const int32_t *index, void *dst) {
    RUN(mt_cuda_gather_rows(CUDA, rows, row_bytes, src, index, dst));
}
static void sequence_rows(int64_t steps, int64_t envs, int64_t count, const int32_t *env, int32_t *row) {
    RUN(mt_cuda_sequence_rows(CUDA, steps, envs, count, env, row));
}
static void zero(int64_t bytes, void *x) { RUN(mt_cuda_zero(CUDA, x, (size_t)bytes)); }
static void running_update(mt_running *stats, int64_t rows, const float *x) { RUN(mt_cuda_running_update(CUDA, stats, rows, x)); }
static void normalise(int64_t rows, int columns, const float *mean, const float *inv_std, float clip, const float *x, float *y) {
    RUN(mt_cuda_normalise(CUDA, rows, columns, mean, inv_std, clip, x, y));
}
static void philox_streams(uint64_t seed, uint64_t stream_first, uint64_t counter, int64_t rows, uint32_t *out) {
    RUN(mt_cuda_philox_streams(CUDA, seed, stream_first, counter, rows, out));
}
static void philox_counters(uint64_t seed, uint64_t stream, uint64_t counter_first, int64_t blocks, uint32_t *out) {
    RUN(mt_cuda_philox_counters(CUDA, seed, stream, counter_first, blocks, out));
}
static void philox_words(uint64_t seed, uint64_t stream_first, const uint64_t *step, int64_t rows, int width, uint32_t *out) {
    RUN(mt_cuda_philox_words(CUDA, seed, stream_first, step, rows, width, out));
}
static void normals(int64_t count, const uint32_t *words, float *out) { RUN(mt_cuda_normals(CUDA, count, words, out)); }

// ---- environments

static void classic_step(const mt_classic_step *s) { RUN(mt_cuda_classic_step(CUDA, s)); }
static void append_row(int64_t bytes, const void *row, void *rows, int64_t *time, uint64_t *step) {
    RUN(mt_cuda_append_row(CUDA, bytes, row, rows, time, step));
}

// ---- code beside the table

static void *stream(void) { return current ? current->cuda.stream : NULL; }
static void foreign(const char *kind, const char *name) { RUN(mt_cuda_foreign(CUDA, kind, name)); }

#define OP(name) .name = name
const mt_kernels mt_cuda_kernels = {
    .name = "cuda",
    OP(dense_pack), OP(dense_forward), OP(dense_backward), OP(activate), OP(activate_backward),
    OP(conv2d_pack), .conv2d_scratch = mt_cuda_conv2d_scratch, OP(conv2d_forward), OP(conv2d_backward),
    OP(max_pool2d_forward), OP(max_pool2d_backward), OP(turn),
    .rnn_scratch = mt_cuda_rnn_scratch, OP(rnn_forward), OP(rnn_backward),
    OP(embedding_forward), OP(embedding_backward), OP(copy_columns), OP(layer_norm_forward), OP(layer_norm_backward),
    OP(categorical_sample), OP(categorical_mode), OP(categorical_log_prob), OP(gaussian_sample), OP(gaussian_log_prob),
    OP(gsde_log_std), OP(gsde_log_std_backward), OP(gsde_noise), OP(gsde_matrix),
    OP(ppo_loss_categorical), OP(ppo_loss_gaussian), OP(ppo_loss_value), OP(add_loss_sums),
    OP(gae), OP(vtrace), OP(adam), OP(adam_clipped),
    OP(sum), OP(sum_squares), OP(mean_var), OP(count_nonfinite), OP(axpy),
    OP(gather_rows), OP(sequence_rows), OP(zero), OP(running_update), OP(normalise),
    OP(philox_streams), OP(philox_counters), OP(philox_words), OP(normals), OP(classic_step), OP(append_row),
    .on_cuda = 1, OP(stream), OP(foreign),
};
