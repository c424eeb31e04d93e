// Initial parameters: orthogonal as in SB3 (Saxe et al. 2014; gains √2 hidden, 0.01 policy head, 1 value head), or PyTorch's
// default for Linear. Every tensor has a random stream of its own. Runs once, on one thread; fp64 inside.
#include "engine/base/rng.h"
#include "policies/plugin_layer.h"
#include "policies/plugin_policy.h"

#include <math.h>
#include <stdlib.h>

// Fills `out` (rows, cols) with gain·Q of a Gaussian matrix: orthonormal rows, or columns when there are more rows.
// Gram–Schmidt applied twice is as orthogonal as Householder at these sizes ("twice is enough", Giraud et al. 2005).
static mt_status orthogonal(float *out, int rows, int cols, double gain, mt_rng *rng) {
    int count = rows < cols ? rows : cols, length = rows < cols ? cols : rows;
    double *q = malloc(sizeof *q * (size_t)count * (size_t)length);
    if (!q) return MT_FAIL(NO_MEMORY, "cannot allocate %d × %d doubles to initialise a layer", count, length);
    for (int i = 0; i < count; i++) {
        double *v = q + (size_t)i * (size_t)length, norm = 0;
        for (int j = 0; j < length; j++) v[j] = mt_rng_normal(rng);
        for (int pass = 0; pass < 2; pass++)
            for (int e = 0; e < i; e++) {
                const double *u = q + (size_t)e * (size_t)length;
                double dot = 0;
                for (int j = 0; j < length; j++) dot += u[j] * v[j];
                for (int j = 0; j < length; j++) v[j] -= dot * u[j];
            }
        for (int j = 0; j < length; j++) norm += v[j] * v[j];
        for (int j = 0; j < length; j++) v[j] /= sqrt(norm);
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++)
            out[(size_t)r * (size_t)cols + (size_t)c] =
                (float)(gain * (rows < cols ? q[(size_t)r * (size_t)length + (size_t)c] : q[(size_t)c * (size_t)length + (size_t)r]));
    free(q);
    return MT_OK;
}

static void uniform(float *out, int64_t count, double bound, mt_rng *rng) {
    for (int64_t i = 0; i < count; i++) out[i] = (float)(bound * (2 * mt_rng_uniform(rng) - 1));
}

// kaiming_uniform with a = √5, as PyTorch draws the weights and biases of Linear and Conv2d
static void standard(float *param, const mt_layer *l, int64_t fan_in, int64_t count, mt_rng *rng) {
    double bound = 1 / sqrt((double)fan_in);
    uniform(param + l->tensor[0], count, bound, rng);
    uniform(param + l->tensor[1], l->channels, bound, rng);
}

// Chrono initialisation (Tallec & Ollivier 2018, eq. 16): unit j forgets after about τ_j steps, τ uniform in 1 … horizon, so that a
// gradient reaches what lies so far back. PyTorch's own forgets half of everything each step. The forgetting gate is the lstm's f,
// whose i is its counterpart, and the gru's z.
static void chrono(float *param, const mt_layer *l, mt_rng *rng) {
    int units = l->desc.units, lstm = l->desc.kind == MT_LAYER_LSTM;
    float *bias_x = param + l->tensor[2], *bias_h = param + l->tensor[3];
    for (int j = 0; j < units; j++) {
        float b = (float)log(1 + (l->desc.horizon - 1) * mt_rng_uniform(rng));
        bias_x[units + j] = b, bias_h[units + j] = 0;   // f, or z: the second of both
        if (lstm) bias_x[j] = -b, bias_h[j] = 0;
    }
}

// The parameters of one layer; biases stay 0 where initialisation is orthogonal.
static mt_status init_layer(const mt_network *net, const mt_layer *l, float *param, int ortho, mt_rng *rng) {
    const mt_layer *from = &net->layer[l->desc.source[0]];
    int64_t units = l->desc.units, fan_in = l->in, gates = l->desc.kind == MT_LAYER_LSTM ? 4 : 3;
    switch (l->desc.kind) {
    case MT_LAYER_CONV2D: fan_in = (int64_t)from->channels * l->desc.kernel * l->desc.kernel;   // fall through
    case MT_LAYER_DENSE:
        if (ortho) return orthogonal(param + l->tensor[0], (int)units, (int)fan_in, l->desc.gain > 0 ? l->desc.gain : sqrt(2), rng);
        standard(param, l, fan_in, units * fan_in, rng);
        return MT_OK;
    case MT_LAYER_LSTM:
    case MT_LAYER_GRU:   // PyTorch's only way, ±1/√H: sb3-contrib leaves it so, too
        uniform(param + l->tensor[0], gates * units * fan_in, 1 / sqrt((double)units), rng);
        uniform(param + l->tensor[1], gates * units * units, 1 / sqrt((double)units), rng);
        uniform(param + l->tensor[2], gates * units, 1 / sqrt((double)units), rng);
        uniform(param + l->tensor[3], gates * units, 1 / sqrt((double)units), rng);
        if (l->desc.horizon > 1) chrono(param, l, rng);
        return MT_OK;
    case MT_LAYER_EMBEDDING:
        for (int64_t i = 0; i < from->desc.input.entries * units; i++) param[l->tensor[0] + i] = (float)mt_rng_normal(rng);
        return MT_OK;
    case MT_LAYER_LAYER_NORM:
        for (int64_t i = 0; i < l->size; i++) param[l->tensor[0] + i] = 1;
        return MT_OK;
    case MT_LAYER_PLUGIN: {
        mt_plugin_layer plugin = {.desc = l->desc.plugin, .plan = &net->plan[l->plan], .offset = l->tensor};
        return mt_plugin_layer_init(&plugin, param, mt_rng_u64(rng));
    }
    default: return MT_OK;
    }
}

mt_status mt_network_init(const mt_network *net, float *param, int ortho, uint64_t seed, uint64_t *tensor) {
    for (int i = 0; i < net->count; i++) {
        const mt_layer *l = &net->layer[i];
        if (l->tensor[0] < 0) continue;
        mt_rng rng = mt_rng_at(seed, mt_rng_stream(MT_RNG_INIT, (*tensor)++), 0);
        MT_TRY(init_layer(net, l, param, ortho, &rng));
    }
    return MT_OK;
}

mt_status mt_weights_init(mt_weights *weights, const mt_policy *p, const mt_kernels *k, uint64_t seed) {
    uint64_t tensor = 0;
    for (int64_t i = 0; i < p->sizes.params; i++) weights->param[i] = 0;
    if (p->plugin) {
        mt_rng rng = mt_rng_at(seed, mt_rng_stream(MT_RNG_INIT, tensor++), 0);
        MT_TRY(mt_plugin_policy_init(p->plugin, weights->param, mt_rng_u64(&rng)));
    }
    MT_TRY(mt_network_init(&p->trunk, weights->param, p->desc.ortho_init, seed, &tensor));
    MT_TRY(mt_network_init(&p->pi, weights->param, p->desc.ortho_init, seed, &tensor));
    MT_TRY(mt_network_init(&p->vf, weights->param, p->desc.ortho_init, seed, &tensor));
    for (int64_t i = 0; i < p->log_std_count; i++) weights->param[p->log_std + i] = p->desc.log_std_init;
    weights->version = 0;
    mt_weights_pack(weights, p, k, MT_POLICY_BOTH);
    return MT_OK;
}
