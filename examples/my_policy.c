/* A worked policy plugin: an actor-critic network with its own arithmetic. Copy this file and change it into yours.
 *
 *     cc -O3 -shared -fPIC -I policies examples/my_policy.c -o my_policy.so -lm      (-I: the folder of manta_policy.h)
 *     manta plugin check my_policy.so
 *     manta train --plugin my_policy.so --policy my_net --policy-options hidden:64 --env CartPole-v1
 *
 * A net for the policy and one for the value, each with a hidden layer:
 *
 *     x -> h = f(x W1 + b1) -> y = h W2 + b2,  f(z) = z / (1 + |z|)        y: logits or means; or the value
 *
 * The host owns all arrays. It asks the plan how many floats a row of the workspace has, keeps what forward leaves there, and
 * hands it to backward. Instances are never written after create: many threads compute with the same one. */
#include "manta_policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { W1, B1, W2, B2, PER_NET, TENSORS = 2 * PER_NET }; /* the policy's four, then the value's */

struct manta_policy {
    int64_t obs, hidden, head; /* O, H, K */
    manta_parameter tensors[TENSORS];
    manta_policy_plan plan;
};

static void destroy(manta_policy *p) { free(p); }

static int create(const manta_policy_config *config, manta_policy **out, char *error) {
    long hidden = 64;
    *out = NULL;
    for (uint32_t i = 0; i < config->option_count; i++) { /* manta refuses unknown keys: only `hidden` arrives here */
        char *end;
        hidden = strtol(config->options[i].value, &end, 10);
        if (*end || hidden < 1 || hidden > 4096)
            return snprintf(error, MANTA_ERROR_BYTES, "hidden is '%s'; give 1 to 4096 units", config->options[i].value), 1;
    }
    manta_policy *p = calloc(1, sizeof *p);
    if (!p) return snprintf(error, MANTA_ERROR_BYTES, "out of memory"), 1;
    p->obs = config->obs, p->hidden = hidden, p->head = config->action->head;
    /* weights are (in, out) here, so that the inner loops below run along rows of them */
    const manta_parameter tensors[TENSORS] = {
        {"policy.hidden.weight", 2, {p->obs, p->hidden}}, {"policy.hidden.bias", 1, {p->hidden}},
        {"policy.head.weight", 2, {p->hidden, p->head}}, {"policy.head.bias", 1, {p->head}},
        {"value.hidden.weight", 2, {p->obs, p->hidden}}, {"value.hidden.bias", 1, {p->hidden}},
        {"value.head.weight", 2, {p->hidden, 1}}, {"value.head.bias", 1, {1}},
    };
    memcpy(p->tensors, tensors, sizeof tensors);
    p->plan = (manta_policy_plan){.struct_size = sizeof(manta_policy_plan), .parameter_count = TENSORS, .parameters = p->tensors,
        .row_floats = 2 * p->hidden, /* h of both nets, which backward reads */
        .scratch_floats = p->hidden}; /* its gradient, of one row and one net at a time */
    *out = p;
    return 0;
}

static const manta_policy_plan *get_plan(const manta_policy *p) { return &p->plan; }

/* Normal weights about as large as orthogonal ones would be; all arrives as zeros, so biases need nothing. */
static int init(const manta_policy *p, uint64_t seed, float *const *param, char *error) {
    static const double gain[TENSORS] = {[W1] = 1.4, [W2] = 0.01, [PER_NET + W1] = 1.4, [PER_NET + W2] = 1};
    (void)error;
    for (int t = 0; t < TENSORS; t++) {
        int64_t in = p->tensors[t].shape[0], out = p->tensors[t].ndim == 2 ? p->tensors[t].shape[1] : 0;
        double deviation = gain[t] / sqrt((double)(in > out ? in : out));
        for (int64_t i = 0; i < in * out; i++) param[t][i] = (float)(deviation * manta_init_normal(&seed));
    }
    return 0;
}

/* y (out) = x (in) W + b */
static void dense(int64_t in, int64_t out, const float *x, const float *w, const float *b, float *y) {
    for (int64_t o = 0; o < out; o++) y[o] = b[o];
    for (int64_t i = 0; i < in; i++)
        for (int64_t o = 0; o < out; o++) y[o] += x[i] * w[i * out + o];
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

/* dW += xᵀ dy, db += dy, and where it is wanted dx = dy Wᵀ */
static void dense_backward(int64_t in, int64_t out, const float *x, const float *w, const float *dy, float *dw, float *db,
    float *dx) {
    for (int64_t o = 0; o < out; o++) db[o] += dy[o];
    for (int64_t i = 0; i < in; i++) {
        for (int64_t o = 0; o < out; o++) dw[i * out + o] += x[i] * dy[o];
        if (dx) dx[i] = dot(out, w + i * out, dy);
    }
}

static void forward(const manta_policy *p, const manta_pass *pass, const manta_policy_output *out) {
    for (int net = 0; net < 2; net++) {
        const float *const *w = pass->param + net * PER_NET;
        int64_t width = net == 0 ? p->head : 1;
        float *y = net == 0 ? out->head : out->value;
        for (int64_t r = 0; y && r < pass->rows; r++) { /* NULL: nobody wants it now */
            float *h = pass->row_space + (2 * r + net) * p->hidden;
            dense(p->obs, p->hidden, pass->x + r * p->obs, w[W1], w[B1], h);
            for (int64_t i = 0; i < p->hidden; i++) h[i] /= 1 + fabsf(h[i]); /* softsign: a tanh that costs nothing */
            dense(p->hidden, width, h, w[W2], w[B2], y + r * width);
        }
    }
}

/* Adds to grad. */
static void backward(const manta_policy *p, const manta_pass *pass, const manta_policy_gradient *d, float *const *grad) {
    for (int net = 0; net < 2; net++) {
        const float *const *w = pass->param + net * PER_NET, *dy = net == 0 ? d->head : d->value;
        float *const *g = grad + net * PER_NET, *dh = pass->scratch;
        int64_t width = net == 0 ? p->head : 1;
        for (int64_t r = 0; r < pass->rows; r++) {
            const float *h = pass->row_space + (2 * r + net) * p->hidden;
            dense_backward(p->hidden, width, h, w[W2], dy + r * width, g[W2], g[B2], dh);
            for (int64_t i = 0; i < p->hidden; i++) dh[i] *= (1 - fabsf(h[i])) * (1 - fabsf(h[i]));
            dense_backward(p->obs, p->hidden, pass->x + r * p->obs, w[W1], dh, g[W1], g[B1], NULL);
        }
    }
}

/* The descriptor ties it together, the plugin lists its descriptors, and one exported function hands the list over. */
static const manta_policy_option_desc options[] = {{"hidden", "64", "units of both hidden layers, 1 to 4096"}};
static const manta_policy_desc my_net = {.struct_size = sizeof(manta_policy_desc), .abi_version = MANTA_POLICY_ABI_VERSION,
    .name = "my_net", .summary = "a hidden layer each for policy and value", .option_count = 1, .options = options,
    .create = create, .destroy = destroy, .plan = get_plan, .init = init, .forward = forward, .backward = backward};
static const manta_policy_desc *const policies[] = {&my_net};
static const manta_policy_plugin plugin = {.struct_size = sizeof(manta_policy_plugin), .abi_version = MANTA_POLICY_ABI_VERSION,
    .name = "my_policy", .version = "1.0", .policy_count = 1, .policies = policies};

const manta_policy_plugin *manta_policy_entry(uint32_t host_abi_version) {
    return host_abi_version == MANTA_POLICY_ABI_VERSION ? &plugin : NULL;
}
