// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019) as PyTorch writes them, with clipping by the global
// norm, in two launches:
//   norm = √Σ (grad·grad_scale)²,  s = grad_scale · min(1, max_norm / (norm + 1e-6)) where norm > max_norm > 0
//   g = grad·s,  m ← m + (1-β1)(g - m),  v ← v + (1-β2)(g² - v)
//   p ← p (1 - lr·wd) - lr/(1-β1ᵗ) · m / (√v/√(1-β2ᵗ) + eps)
// All arrays (count), in place. The norm is a sum in fixed order (reduce.cu), the rest element-wise: deterministic. The
// host never learns the norm before the update: nothing waits. Bytes moved per parameter: 4 read for the
// norm, 16 read and 12 written for the update.
#include "kernels/cuda/sums.cuh"

#include <math.h>

namespace {
using namespace mt;

struct clip {
    float grad_scale, max_norm;
    float *scale, *norm; // s, norm
    __device__ void operator()(double squares) const {
        double length = sqrt(squares) * fabs((double)grad_scale);
        *norm = (float)length;
        *scale = max_norm > 0 && length > (double)max_norm
                     ? (float)((double)grad_scale * ((double)max_norm / (length + 1e-6)))
                     : grad_scale;
    }
};

struct adam_op {
    float *param, *m, *v;
    const float *grad, *scale;
    float one_beta1, one_beta2, decay, step, root, eps;
    template <int N> __device__ void at(int64_t i) const {
        auto p = load<N>(param + i), a = load<N>(m + i), b = load<N>(v + i), g = load<N>(grad + i);
        const float s = *scale;
#pragma unroll
        for (int k = 0; k < N; k++) {
            float x = g.at[k] * s;
            a.at[k] = fmaf(x - a.at[k], one_beta1, a.at[k]);
            b.at[k] = fmaf(fmaf(x, x, -b.at[k]), one_beta2, b.at[k]);
            p.at[k] = fmaf(p.at[k], decay, -step * (a.at[k] / fmaf(sqrtf(b.at[k]), root, eps)));
        }
        store<N>(m + i, a);
        store<N>(v + i, b);
        store<N>(param + i, p);
    }
};

} // namespace

mt_status mt_cuda_adam(const mt_cuda *c, const mt_adam *a, float max_norm, float *norm) {
    MT_ASSERT(a->step >= 1);
    double bias1 = 1.0 - pow((double)a->beta1, (double)a->step), bias2 = 1.0 - pow((double)a->beta2, (double)a->step);
    float *scale = reinterpret_cast<float *>(c->ticket + 1);
    MT_TRY(sum_of<double>(
        c, "norm of the gradient", a->count, a->grad, square_value{}, clip{a->grad_scale, max_norm, scale, norm}));
    adam_op op = {a->param, a->m, a->v, a->grad, scale, (float)(1.0 - (double)a->beta1),
        (float)(1.0 - (double)a->beta2), (float)(1.0 - (double)a->lr * (double)a->weight_decay),
        (float)((double)a->lr / bias1), (float)(1.0 / sqrt(bias2)), a->eps};
    return each(c, "adam", a->count, aligned(a->param, a->m, a->v, a->grad), op);
}
