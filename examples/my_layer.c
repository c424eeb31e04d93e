/* A worked layer plugin: a gated layer for manta's own networks. Copy this file and change it into yours.
 *
 *     cc -O3 -shared -fPIC -I policies examples/my_layer.c -o my_layer.so -lm        (-I: the folder of manta_policy.h)
 *     manta plugin check my_layer.so
 *     manta train --plugin my_layer.so --layers 'swiglu 64 1.0; swiglu 64' --env CartPole-v1
 *
 * SwiGLU (Shazeer 2020, "GLU Variants Improve Transformer"):   y = a σ(β a) ∘ c,   a = x V + b,   c = x W + d
 *
 * `swiglu 64 1.0` in the language of layers (docs/networks.md): units, then β. A layer has no instance: its plan, which the host
 * keeps, holds the numbers and the shape of what it reads, and every function is handed it. */
#include "manta_policy.h"

#include <stdio.h>
#include <string.h>

enum { V, B, W, D, TENSORS };

/* From the first half of the plan to the second. Refuse what does not fit with a message for the user. */
static int plan(manta_layer_plan *p, char *error) {
    double units = p->numbers[0];
    int64_t in = p->in_channels;
    if (units != floor(units) || units < 1 || units > 65536)
        return snprintf(error, MANTA_ERROR_BYTES, "units is %g; give a whole number from 1 to 65536", units), 1;
    if (p->in_height * p->in_width != 1)
        return snprintf(error, MANTA_ERROR_BYTES, "it reads vectors; put flatten before it"), 1;
    int64_t out = (int64_t)units;
    const manta_parameter tensors[TENSORS] = {[V] = {"gate.weight", 2, {in, out}}, [B] = {"gate.bias", 1, {out}},
        [W] = {"weight", 2, {in, out}}, [D] = {"bias", 1, {out}}};
    p->out_height = p->out_width = 1, p->out_channels = out;
    p->row_floats = 2 * out; /* a and c of a row, which backward reads */
    p->scratch_floats = 2 * out; /* their gradients, of one row at a time */
    p->parameter_count = TENSORS;
    memcpy(p->parameters, tensors, sizeof tensors);
    return 0;
}

static int init(const manta_layer_plan *p, uint64_t seed, float *const *param, char *error) {
    (void)error;
    for (int t = V; t <= W; t += 2) /* the biases stay zero */
        for (int64_t i = 0; i < p->in_channels * p->out_channels; i++)
            param[t][i] = (float)(sqrt(2.0 / (double)p->in_channels) * manta_init_normal(&seed));
    return 0;
}

static void forward(const manta_layer_plan *p, const manta_pass *pass, float *y) {
    int64_t in = p->in_channels, out = p->out_channels;
    const float *const *w = pass->param;
    float beta = (float)p->numbers[1];
    for (int64_t r = 0; r < pass->rows; r++) {
        const float *x = pass->x + r * in;
        float *a = pass->row_space + r * 2 * out, *c = a + out;
        memcpy(a, w[B], sizeof *a * (size_t)out);
        memcpy(c, w[D], sizeof *c * (size_t)out);
        for (int64_t i = 0; i < in; i++)
            for (int64_t o = 0; o < out; o++) a[o] += x[i] * w[V][i * out + o], c[o] += x[i] * w[W][i * out + o];
        for (int64_t o = 0; o < out; o++) y[r * out + o] = a[o] / (1 + expf(-beta * a[o])) * c[o];
    }
}

/* Eight sums side by side: one alone could not be vectorised, because C adds in the order that is written. */
static float dot(int64_t n, const float *a, const float *b) {
    float part[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) part[k] += a[i + k] * b[i + k];
    for (; i < n; i++) part[0] += a[i] * b[i];
    return ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
}

/* Adds to grad, writes dx where it is wanted. */
static void backward(const manta_layer_plan *p, const manta_pass *pass, const float *y, const float *dy, float *dx,
    float *const *grad) {
    int64_t in = p->in_channels, out = p->out_channels;
    const float *const *w = pass->param;
    float beta = (float)p->numbers[1], *da = pass->scratch, *dc = da + out;
    (void)y;
    for (int64_t r = 0; r < pass->rows; r++) {
        const float *x = pass->x + r * in, *a = pass->row_space + r * 2 * out, *c = a + out;
        for (int64_t o = 0; o < out; o++) {
            float s = 1 / (1 + expf(-beta * a[o])), d = dy[r * out + o];
            dc[o] = d * a[o] * s;
            da[o] = d * c[o] * (s + beta * a[o] * s * (1 - s));
            grad[B][o] += da[o], grad[D][o] += dc[o];
        }
        for (int64_t i = 0; i < in; i++) {
            for (int64_t o = 0; o < out; o++) grad[V][i * out + o] += x[i] * da[o];
            for (int64_t o = 0; o < out; o++) grad[W][i * out + o] += x[i] * dc[o];
            if (dx) dx[r * in + i] = dot(out, w[V] + i * out, da) + dot(out, w[W] + i * out, dc);
        }
    }
}

static const manta_layer_number numbers[] = {{"units", 64, "outputs, 1 to 65536"}, {"beta", 1, "how sharp the gate is; 0: a half"}};
static const manta_layer_desc swiglu = {.struct_size = sizeof(manta_layer_desc), .abi_version = MANTA_POLICY_ABI_VERSION,
    .name = "swiglu", .summary = "a gated layer: swish times linear", .number_count = 2, .numbers = numbers,
    .plan = plan, .init = init, .forward = forward, .backward = backward};
static const manta_layer_desc *const layers[] = {&swiglu};
static const manta_policy_plugin plugin = {.struct_size = sizeof(manta_policy_plugin), .abi_version = MANTA_POLICY_ABI_VERSION,
    .name = "my_layer", .version = "1.0", .layer_count = 1, .layers = layers};

const manta_policy_plugin *manta_policy_entry(uint32_t host_abi_version) {
    return host_abi_version == MANTA_POLICY_ABI_VERSION ? &plugin : NULL;
}
