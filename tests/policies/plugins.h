// Plugins that do what manta does itself, so that results can be held against manta's own: a policy that is MlpPolicy, a layer that
// is dense, a loss that is PPO's. And a layer and a policy with a state. In one process: tables, not shared objects.
#ifndef MANTA_TESTS_POLICIES_PLUGINS_H
#define MANTA_TESTS_POLICIES_PLUGINS_H

#include "policies/manta_policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// y (B, O) = x W + b with PyTorch's (O, I); dW += …, db += …, dx = … (NULL: not wanted)
static void dense(int64_t rows, int64_t in, int64_t out, const float *x, const float *w, const float *b, float *y) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < out; o++) {
            float sum = b[o];
            for (int64_t i = 0; i < in; i++) sum += x[r * in + i] * w[o * in + i];
            y[r * out + o] = sum;
        }
}

static void dense_backward(int64_t rows, int64_t in, int64_t out, const float *x, const float *w, const float *dy, float *dw, float *db,
    float *dx) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; dx && i < in; i++) {
            dx[r * in + i] = 0;
            for (int64_t o = 0; o < out; o++) dx[r * in + i] += dy[r * out + o] * w[o * in + i];
        }
        for (int64_t o = 0; o < out; o++) {
            db[o] += dy[r * out + o];
            for (int64_t i = 0; i < in; i++) dw[o * in + i] += dy[r * out + o] * x[r * in + i];
        }
    }
}

// ---- the layer that is dense

static int dense_plan(manta_layer_plan *p, char *error) {
    (void)error;
    int64_t in = p->in_height * p->in_width * p->in_channels, out = (int64_t)p->numbers[0];
    if (out < 1) return snprintf(error, MANTA_ERROR_BYTES, "units is %g; give 1 or more", p->numbers[0]), 1;
    p->out_height = p->out_width = 1, p->out_channels = out;
    p->parameter_count = 2;
    p->parameters[0] = (manta_parameter){"weight", 2, {out, in}};
    p->parameters[1] = (manta_parameter){"bias", 1, {out}};
    return 0;
}
static int dense_init(const manta_layer_plan *p, uint64_t seed, float *const *param, char *error) {
    (void)error;
    int64_t count = p->in_height * p->in_width * p->in_channels * p->out_channels;
    for (int64_t i = 0; i < count; i++) param[0][i] = (float)(0.3 * manta_init_normal(&seed));
    return 0;
}
static void dense_forward(const manta_layer_plan *p, const manta_pass *pass, float *y) {
    dense(pass->rows, p->in_height * p->in_width * p->in_channels, p->out_channels, pass->x, pass->param[0], pass->param[1], y);
}
static void dense_back(const manta_layer_plan *p, const manta_pass *pass, const float *y, const float *dy, float *dx, float *const *grad) {
    (void)y;
    dense_backward(pass->rows, p->in_height * p->in_width * p->in_channels, p->out_channels, pass->x, pass->param[0], dy, grad[0], grad[1], dx);
}
static const manta_layer_number dense_numbers[] = {{"units", 8, "outputs"}};
__attribute__((unused)) static const manta_layer_desc plain_layer = {.struct_size = sizeof(manta_layer_desc),
    .abi_version = MANTA_POLICY_ABI_VERSION, .name = "plain", .number_count = 1, .numbers = dense_numbers, .plan = dense_plan,
    .init = dense_init, .forward = dense_forward, .backward = dense_back};

// ---- a layer that remembers: h = tanh(x + u h), as wide as what it reads

static int memory_plan(manta_layer_plan *p, char *error) {
    if (p->in_height * p->in_width != 1) return snprintf(error, MANTA_ERROR_BYTES, "it reads vectors; put flatten before it"), 1;
    p->out_height = p->out_width = 1, p->out_channels = p->row_floats = p->state_floats = p->in_channels;
    p->scratch_floats = p->in_channels;
    p->parameter_count = 1;
    p->parameters[0] = (manta_parameter){"u", 1, {p->in_channels}};
    return 0;
}
static int memory_init(const manta_layer_plan *p, uint64_t seed, float *const *param, char *error) {
    (void)error;
    for (int64_t i = 0; i < p->in_channels; i++) param[0][i] = (float)manta_init_uniform(&seed, 0.2, 0.9);
    return 0;
}
// row_space: the state before every row
static void memory_run(const manta_pass *pass, int64_t width, float *before, float *y) {
    for (int64_t n = 0; n < pass->envs; n++)
        for (int64_t t = 0; t < pass->steps; t++) {
            int64_t row = t * pass->envs + n;
            const float *last = t ? y + (row - pass->envs) * width : pass->state + n * pass->state_stride;
            int starts = pass->start && pass->start[row];
            for (int64_t i = 0; i < width; i++) {
                float h = starts ? 0 : last[i];
                before[row * width + i] = h;
                y[row * width + i] = tanhf(pass->x[row * width + i] + pass->param[0][i] * h);
            }
        }
    for (int64_t n = 0; pass->state_out && n < pass->envs; n++)
        memcpy(pass->state_out + n * pass->state_stride, y + ((pass->steps - 1) * pass->envs + n) * width, sizeof *y * (size_t)width);
}
static void memory_back_run(const manta_pass *pass, int64_t width, const float *before, const float *y, const float *dy, float *dx, float *du) {
    float *dh = pass->scratch;
    for (int64_t n = 0; n < pass->envs; n++) {
        memset(dh, 0, sizeof *dh * (size_t)width);
        for (int64_t t = pass->steps - 1; t >= 0; t--) {
            int64_t row = t * pass->envs + n;
            for (int64_t i = 0; i < width; i++) {
                float h = y[row * width + i], dz = (dy[row * width + i] + dh[i]) * (1 - h * h);
                du[i] += dz * before[row * width + i];
                dh[i] = pass->start && pass->start[row] ? 0 : dz * pass->param[0][i];
                if (dx) dx[row * width + i] = dz;
            }
        }
    }
}
static void memory_forward(const manta_layer_plan *p, const manta_pass *pass, float *y) {
    memory_run(pass, p->in_channels, pass->row_space, y);
}
static void memory_backward(const manta_layer_plan *p, const manta_pass *pass, const float *y, const float *dy, float *dx, float *const *grad) {
    memory_back_run(pass, p->in_channels, pass->row_space, y, dy, dx, grad[0]);
}
__attribute__((unused)) static const manta_layer_desc memory_layer = {.struct_size = sizeof(manta_layer_desc),
    .abi_version = MANTA_POLICY_ABI_VERSION, .name = "remember", .plan = memory_plan, .init = memory_init, .forward = memory_forward,
    .backward = memory_backward};

// ---- the policy: MlpPolicy with one hidden layer of UNITS tanh in each net. Options: `memory:1` puts the layer above below the
// policy's head, `log_std:…` is only there with MANTA_POLICY_LOG_STD: means and log σ come from one head then.

enum { UNITS = 9, POLICY_TENSORS = 9 };

struct manta_policy {
    int64_t obs, head, wide;   // wide: columns of the policy's last layer
    int memory;
    manta_parameter tensors[POLICY_TENSORS];
    manta_policy_plan plan;
};

static void policy_destroy(manta_policy *p) { free(p); }

static int policy_make(const manta_policy_config *c, int own_log_std, manta_policy **out, char *error) {
    manta_policy *p = calloc(1, sizeof *p);
    (void)error;
    p->obs = c->obs, p->head = c->action->head;
    p->wide = p->head * (own_log_std && c->action->kind == MANTA_ACTION_GAUSSIAN ? 2 : 1);
    p->memory = c->option_count > 0 && strcmp(c->options[0].value, "1") == 0;
    const manta_parameter tensors[POLICY_TENSORS] = {{"pi0.weight", 2, {UNITS, p->obs}}, {"pi0.bias", 1, {UNITS}},
        {"pi1.weight", 2, {p->wide, UNITS}}, {"pi1.bias", 1, {p->wide}}, {"vf0.weight", 2, {UNITS, p->obs}}, {"vf0.bias", 1, {UNITS}},
        {"vf1.weight", 2, {1, UNITS}}, {"vf1.bias", 1, {1}}, {"memory.u", 1, {UNITS}}};
    memcpy(p->tensors, tensors, sizeof tensors);
    // a row: hidden of both nets, what goes into the head, its output, the state before; then their gradients
    p->plan = (manta_policy_plan){.struct_size = sizeof p->plan, .parameter_count = p->memory ? 9 : 8, .parameters = p->tensors,
        .row_floats = 8 * UNITS + 2 * p->wide, .scratch_floats = UNITS, .state_floats = p->memory ? UNITS : 0};
    *out = p;
    return 0;
}
static int policy_create(const manta_policy_config *c, manta_policy **out, char *error) { return policy_make(c, 0, out, error); }
static int policy_create_log_std(const manta_policy_config *c, manta_policy **out, char *error) { return policy_make(c, 1, out, error); }
static const manta_policy_plan *policy_plan(const manta_policy *p) { return &p->plan; }
static int policy_init(const manta_policy *p, uint64_t seed, float *const *param, char *error) {
    (void)error;
    for (uint32_t t = 0; t < p->plan.parameter_count; t++)
        for (int64_t i = 0, n = p->tensors[t].shape[0] * (p->tensors[t].ndim == 2 ? p->tensors[t].shape[1] : 1); i < n; i++)
            param[t][i] = (float)(0.3 * manta_init_normal(&seed));
    return 0;
}

typedef struct policy_rows { // arrays over all rows in the row space
    float *pi, *vf, *latent, *before, *out, *d_out, *d_latent, *d_pi, *d_vf;
} policy_rows;
static policy_rows rows_of(const manta_policy *p, const manta_pass *pass) {
    float *at = pass->row_space;
    int64_t n = pass->rows;
    policy_rows r = {.pi = at, .vf = at + n * UNITS, .latent = at + 2 * n * UNITS, .before = at + 3 * n * UNITS, .d_latent = at + 4 * n * UNITS,
        .d_pi = at + 5 * n * UNITS, .d_vf = at + 6 * n * UNITS, .out = at + 8 * n * UNITS};
    r.d_out = r.out + n * p->wide;
    return r;
}

static void policy_forward(const manta_policy *p, const manta_pass *pass, const manta_policy_output *out) {
    policy_rows r = rows_of(p, pass);
    int64_t n = pass->rows;
    if (out->head) {
        dense(n, p->obs, UNITS, pass->x, pass->param[0], pass->param[1], r.pi);
        for (int64_t i = 0; i < n * UNITS; i++) r.pi[i] = tanhf(r.pi[i]);
        manta_pass inner = *pass;
        inner.x = r.pi, inner.param = pass->param + 8;
        if (p->memory) memory_run(&inner, UNITS, r.before, r.latent);
        dense(n, UNITS, p->wide, p->memory ? r.latent : r.pi, pass->param[2], pass->param[3], r.out);
        for (int64_t i = 0; i < n; i++) {
            memcpy(out->head + i * p->head, r.out + i * p->wide, sizeof(float) * (size_t)p->head);
            if (out->log_std) memcpy(out->log_std + i * p->head, r.out + i * p->wide + p->head, sizeof(float) * (size_t)p->head);
        }
    }
    if (out->value) {
        dense(n, p->obs, UNITS, pass->x, pass->param[4], pass->param[5], r.vf);
        for (int64_t i = 0; i < n * UNITS; i++) r.vf[i] = tanhf(r.vf[i]);
        dense(n, UNITS, 1, r.vf, pass->param[6], pass->param[7], out->value);
    }
}

static void policy_backward(const manta_policy *p, const manta_pass *pass, const manta_policy_gradient *d, float *const *g) {
    policy_rows r = rows_of(p, pass);
    int64_t n = pass->rows;
    for (int64_t i = 0; i < n; i++) {
        memcpy(r.d_out + i * p->wide, d->head + i * p->head, sizeof(float) * (size_t)p->head);
        if (d->log_std) memcpy(r.d_out + i * p->wide + p->head, d->log_std + i * p->head, sizeof(float) * (size_t)p->head);
    }
    dense_backward(n, UNITS, p->wide, p->memory ? r.latent : r.pi, pass->param[2], r.d_out, g[2], g[3], r.d_latent);
    manta_pass inner = *pass;
    inner.x = r.pi, inner.param = pass->param + 8;
    if (p->memory) memory_back_run(&inner, UNITS, r.before, r.latent, r.d_latent, r.d_pi, g[8]);
    else memcpy(r.d_pi, r.d_latent, sizeof(float) * (size_t)(n * UNITS));
    for (int64_t i = 0; i < n * UNITS; i++) r.d_pi[i] *= 1 - r.pi[i] * r.pi[i];
    dense_backward(n, p->obs, UNITS, pass->x, pass->param[0], r.d_pi, g[0], g[1], NULL);
    dense_backward(n, UNITS, 1, r.vf, pass->param[6], d->value, g[6], g[7], r.d_vf);
    for (int64_t i = 0; i < n * UNITS; i++) r.d_vf[i] *= 1 - r.vf[i] * r.vf[i];
    dense_backward(n, p->obs, UNITS, pass->x, pass->param[4], r.d_vf, g[4], g[5], NULL);
}
static const manta_policy_option_desc policy_options[] = {{"memory", "0", "1: the policy remembers"}};
__attribute__((unused)) static const manta_policy_desc plain_policy = {.struct_size = sizeof(manta_policy_desc),
    .abi_version = MANTA_POLICY_ABI_VERSION, .name = "plain", .option_count = 1, .options = policy_options, .create = policy_create,
    .destroy = policy_destroy, .plan = policy_plan, .init = policy_init, .forward = policy_forward, .backward = policy_backward};
__attribute__((unused)) static const manta_policy_desc log_std_policy = {.struct_size = sizeof(manta_policy_desc),
    .abi_version = MANTA_POLICY_ABI_VERSION, .name = "own_log_std", .capabilities = MANTA_POLICY_LOG_STD, .option_count = 1,
    .options = policy_options, .create = policy_create_log_std, .destroy = policy_destroy, .plan = policy_plan, .init = policy_init,
    .forward = policy_forward, .backward = policy_backward};

// ---- the loss: PPO's own, written with the header's help

struct manta_loss {
    int unused;
};
static int ppo_create(const manta_loss_config *c, manta_loss **out, char *error) {
    (void)c, (void)error;
    *out = calloc(1, sizeof **out);
    return 0;
}
static void ppo_destroy(manta_loss *l) { free(l); }
static void ppo_gradient(const manta_loss *l, const manta_loss_batch *b) {
    (void)l;
    memset(b->sums, 0, sizeof *b->sums * MANTA_LOSS_SUMS);
    for (int64_t i = 0; i < b->rows; i++) {
        float log_prob, entropy, a = manta_loss_advantage(b, i), value = b->value[i];
        manta_loss_row(b, i, &log_prob, &entropy);
        float log_ratio = log_prob - b->old_log_prob[i], ratio = expf(log_ratio);
        float clipped = fminf(fmaxf(ratio, 1 - b->clip_range), 1 + b->clip_range), free_term = ratio * a, clip_term = clipped * a;
        int whole = ratio == clipped || free_term < clip_term;
        manta_loss_row_gradient(b, i, whole ? -b->inv_rows * free_term : 0, -b->inv_rows * b->ent_coef);
        int moved = b->clip_range_vf >= 0 && fabsf(value - b->old_value[i]) > b->clip_range_vf;
        if (moved) value = b->old_value[i] + fminf(fmaxf(value - b->old_value[i], -b->clip_range_vf), b->clip_range_vf);
        float error = value - b->returns[i];
        b->d_value[i] = moved ? 0 : 2 * b->vf_coef * b->inv_rows * error;
        b->sums[MANTA_LOSS_TOTAL] += (double)(-fminf(free_term, clip_term) + b->vf_coef * error * error - b->ent_coef * entropy);
        b->sums[MANTA_LOSS_VALUE] += (double)(error * error);
        b->sums[MANTA_LOSS_ENTROPY] += (double)entropy;
        b->sums[MANTA_LOSS_APPROX_KL] += (double)(ratio - 1 - log_ratio);
        b->sums[MANTA_LOSS_CLIPPED] += fabsf(ratio - 1) > b->clip_range;
    }
}
__attribute__((unused)) static const manta_loss_desc plain_loss = {.struct_size = sizeof(manta_loss_desc),
    .abi_version = MANTA_POLICY_ABI_VERSION, .name = "plain", .create = ppo_create, .destroy = ppo_destroy, .gradient = ppo_gradient};

#endif
