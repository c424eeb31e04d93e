// Initial parameters: orthogonal as in SB3 (Saxe et al. 2014; gains √2 hidden, 0.01 policy head, 1 value head), or PyTorch's
// default for Linear. Every tensor has a random stream of its own. Runs once, on one thread; fp64 inside.
#include "engine/base/rng.h"
#include "policies/policy.h"

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

static mt_status init_mlp(const mt_mlp *mlp, float *param, int ortho, double head_gain, uint64_t seed, uint64_t *tensor) {
    for (int i = 0; i < mlp->depth; i++) {
        const mt_mlp_layer *l = &mlp->layer[i];
        mt_rng rng = mt_rng_at(seed, mt_rng_stream(MT_RNG_INIT, (*tensor)++), 0);
        double gain = i == mlp->depth - 1 && head_gain > 0 ? head_gain : sqrt(2);
        double bound = 1 / sqrt(l->in);   // kaiming_uniform with a = √5
        if (ortho) {
            MT_TRY(orthogonal(param + l->weight, l->out, l->in, gain, &rng));
        } else {
            uniform(param + l->weight, (int64_t)l->out * l->in, bound, &rng);
            uniform(param + l->bias, l->out, bound, &rng);
        }
    }
    return MT_OK;
}

mt_status mt_weights_init(mt_weights *weights, const mt_policy *p, const mt_kernels *k, uint64_t seed) {
    uint64_t tensor = 0;
    for (int64_t i = 0; i < p->sizes.params; i++) weights->param[i] = 0;
    MT_TRY(init_mlp(&p->trunk, weights->param, p->desc.ortho_init, 0, seed, &tensor));
    MT_TRY(init_mlp(&p->pi, weights->param, p->desc.ortho_init, 0.01, seed, &tensor));
    MT_TRY(init_mlp(&p->vf, weights->param, p->desc.ortho_init, 1.0, seed, &tensor));
    for (int64_t i = 0; i < p->log_std_count; i++) weights->param[p->log_std + i] = p->desc.log_std_init;
    weights->version = 0;
    mt_weights_pack(weights, p, k, MT_POLICY_BOTH);
    return MT_OK;
}
