// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019) as PyTorch writes them, with clipping by the global
// norm, in two launches:
//   norm = √Σ (grad·grad_scale)²,  s = grad_scale · min(1, max_norm / (norm + 1e-6)) where norm > max_norm > 0
//   g = grad·s,  m ← m + (1-β1)(g - m),  v ← v + (1-β2)(g² - v)
//   p ← p (1 - lr·wd) - lr/(1-β1ᵗ) · m / (√v/√(1-β2ᵗ) + eps)
// All arrays (count), in place. The norm is a sum in fixed order (reduce.cu), the rest element-wise: deterministic. The
// host never learns the norm before the update: nothing waits. lr and t come with the call or stand in device memory, where each
// update advances t, so that a captured one can be replayed; pow is then the GPU's, in fp64.
// Bytes moved per parameter: 4 read for the norm, 16 read and 12 written for the update.
#include "kernels/cuda/sums.cuh"

#include <math.h>

namespace {
using namespace mt;

// what the first launch tells the second: behind the context's ticket
struct factors {
    float scale;             // of the gradient
    float decay, step, root; // 1 - lr·wd, lr/(1-β1ᵗ), 1/√(1-β2ᵗ)
};
static_assert(sizeof(factors) <= 60, "with the ticket in 64 bytes");

__host__ __device__ inline void adam_factors(factors *f, double lr, double beta1, double beta2, double weight_decay, double t) {
    f->decay = (float)(1.0 - lr * weight_decay);
    f->step = (float)(lr / (1.0 - pow(beta1, t)));
    f->root = (float)(1.0 / sqrt(1.0 - pow(beta2, t)));
}

struct clip {
    float grad_scale, max_norm;
    factors host, *out; // host: what is known when the call is made
    float *norm;
    mt_cuda_adam_scalars *scalars; // or NULL
    float beta1, beta2, weight_decay;
    __device__ void operator()(double squares) const {
        double length = sqrt(squares) * fabs((double)grad_scale);
        factors f = host;
        *norm = (float)length;
        f.scale = max_norm > 0 && length > (double)max_norm
                      ? (float)((double)grad_scale * ((double)max_norm / (length + 1e-6)))
                      : grad_scale;
        if (scalars) adam_factors(&f, scalars->lr, beta1, beta2, weight_decay, (double)++scalars->step);
        *out = f;
    }
};

struct adam_op {
    float *param, *m, *v;
    const float *grad;
    const factors *shared;
    float one_beta1, one_beta2, eps;
    template <int N> __device__ void at(int64_t i) const {
        auto p = load<N>(param + i), a = load<N>(m + i), b = load<N>(v + i), g = load<N>(grad + i);
        const factors f = *shared;
#pragma unroll
        for (int k = 0; k < N; k++) {
            float x = g.at[k] * f.scale;
            a.at[k] = fmaf(x - a.at[k], one_beta1, a.at[k]);
            b.at[k] = fmaf(fmaf(x, x, -b.at[k]), one_beta2, b.at[k]);
            p.at[k] = fmaf(p.at[k], f.decay, -f.step * (a.at[k] / fmaf(sqrtf(b.at[k]), f.root, eps)));
        }
        store<N>(m + i, a);
        store<N>(v + i, b);
        store<N>(param + i, p);
    }
};

} // namespace

mt_status mt_cuda_adam(const mt_cuda *c, const mt_adam *a, mt_cuda_adam_scalars *scalars, float max_norm, float *norm) {
    MT_ASSERT(scalars || a->step >= 1);
    factors host = {}, *shared = reinterpret_cast<factors *>(c->ticket + 1);
    if (!scalars) adam_factors(&host, a->lr, a->beta1, a->beta2, a->weight_decay, (double)a->step);
    MT_TRY(sum_of<double>(c, "norm of the gradient", a->count, a->grad, square_value{},
        clip{a->grad_scale, max_norm, host, shared, norm, scalars, a->beta1, a->beta2, a->weight_decay}));
    adam_op op = {a->param, a->m, a->v, a->grad, shared, (float)(1.0 - (double)a->beta1), (float)(1.0 - (double)a->beta2), a->eps};
    return each(c, "adam", a->count, aligned(a->param, a->m, a->v, a->grad), op);
}
