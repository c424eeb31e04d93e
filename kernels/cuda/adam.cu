// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019) as PyTorch writes them:
//   g = grad·s,  m ← m + (1-β1)(g - m),  v ← v + (1-β2)(g² - v)
//   p ← p (1 - lr·wd) - lr/(1-β1ᵗ) · m / (√v/√(1-β2ᵗ) + eps)
// All arrays (count), in place. With clipping by the global norm, s = min(1, max_norm / (norm + 1e-6)) where norm = √Σ grad² >
// max_norm > 0, two launches: the first sums (fixed order, reduce.cu), advances t and derives what the second needs, pow in fp64;
// the host never learns the norm before the update, and nothing waits. A norm that is not finite halts all updates that follow.
// The rest is element-wise: deterministic. Bytes moved per parameter: 4 read for the norm, 16 read and 12 written for the update.
#include "kernels/cuda/sums.cuh"

#include <math.h>

namespace {
using namespace mt;

// what the first launch tells the second: behind the context's ticket
struct factors {
    float scale;             // of the gradient
    float decay, step, root; // 1 - lr·wd, lr/(1-β1ᵗ), 1/√(1-β2ᵗ)
    int halted;              // 1: nothing changes
};
static_assert(sizeof(factors) <= 60, "with the ticket in 64 bytes");

struct rates { // double from here on
    float beta1, beta2, weight_decay;
    __host__ __device__ factors at(double scale, double lr, double t) const {
        return {(float)scale, (float)(1.0 - lr * (double)weight_decay), (float)(lr / (1.0 - pow((double)beta1, t))),
            (float)(1.0 / sqrt(1.0 - pow((double)beta2, t))), 0};
    }
};

struct clip {
    rates r;
    float max_norm;
    mt_adam_scalars *scalars;
    float *norms; // or NULL
    factors *out;
    __device__ void operator()(double squares) const {
        double norm = sqrt(squares);
        bool finite = norm <= 1.7976931348623157e308; // and no NaN
        scalars->norm = (float)norm;
        if (norms) *norms = (float)norm;
        if (!finite) scalars->halted = 1;
        if (scalars->halted) {
            *out = {0, 1, 0, 1, 1};
            return;
        }
        double scale = max_norm > 0 && norm > (double)max_norm ? (double)max_norm / (norm + 1e-6) : 1.0;
        *out = r.at(scale, scalars->lr, (double)++scalars->step);
    }
};

struct adam_op {
    float *param, *m, *v;
    const float *grad;
    factors given;
    const factors *shared; // or NULL: those given
    float one_beta1, one_beta2, eps;
    template <int N> __device__ void at(int64_t i) const {
        const factors f = shared ? *shared : given;
        if (f.halted) return;
        auto p = load<N>(param + i), a = load<N>(m + i), b = load<N>(v + i), g = load<N>(grad + i);
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

mt_status update(const mt_cuda *c, const mt_adam *a, factors given, const factors *shared) {
    adam_op op = {a->param, a->m, a->v, a->grad, given, shared, (float)(1.0 - (double)a->beta1), (float)(1.0 - (double)a->beta2), a->eps};
    return each(c, "adam", a->count, aligned(a->param, a->m, a->v, a->grad), op);
}

} // namespace

mt_status mt_cuda_adam(const mt_cuda *c, const mt_adam *a) {
    MT_ASSERT(a->step >= 1);
    return update(c, a, rates{a->beta1, a->beta2, a->weight_decay}.at(a->grad_scale, a->lr, (double)a->step), nullptr);
}

mt_status mt_cuda_adam_clipped(const mt_cuda *c, const mt_adam *a, float max_norm, mt_adam_scalars *scalars, float *norms) {
    factors *shared = reinterpret_cast<factors *>(c->ticket + 1);
    MT_TRY(sum_of<double>(c, "norm of the gradient", a->count, a->grad, square_value{},
        clip{{a->beta1, a->beta2, a->weight_decay}, max_norm, scalars, norms, shared}));
    return update(c, a, {}, shared);
}
