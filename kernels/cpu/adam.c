// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019) exactly as PyTorch writes them:
//   g = grad·grad_scale,  m ← β1 m + (1-β1) g,  v ← β2 v + (1-β2) g²
//   p ← p (1 - lr·wd) - lr/(1-β1ᵗ) · m / (√v/√(1-β2ᵗ) + eps)
// All arrays (count), in place. Elementwise: deterministic. Bytes moved per parameter: 16 read, 12 written.
#include <math.h>
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"

typedef struct adam_constants {
    float beta1, beta2, grad_m, grad_v;   // g enters m as grad_m·grad and v as grad_v·grad²
    float decay;                          // 1 - lr·wd
    float step;                           // lr / (1 - β1ᵗ)
    float root, eps;                      // denominator = √v·root + eps
} adam_constants;

static adam_constants adam_prepare(const mt_adam *a) {
    double bias1 = 1.0 - pow((double)a->beta1, (double)a->step), bias2 = 1.0 - pow((double)a->beta2, (double)a->step);
    return (adam_constants){
        .beta1 = a->beta1,
        .beta2 = a->beta2,
        .grad_m = (float)((1.0 - (double)a->beta1) * (double)a->grad_scale),
        .grad_v = (float)((1.0 - (double)a->beta2) * (double)a->grad_scale * (double)a->grad_scale),
        .decay = (float)(1.0 - (double)a->lr * (double)a->weight_decay),
        .step = (float)((double)a->lr / bias1),
        .root = (float)(1.0 / sqrt(bias2)),
        .eps = a->eps,
    };
}

void MT_ISA_NAME(mt_adam)(const mt_adam *a) {
    const adam_constants c = adam_prepare(a);
    float *restrict param = a->param, *restrict m = a->m, *restrict v = a->v;
    const float *restrict grad = a->grad;
    for (int64_t i = 0; i < a->count; i++) {
        float g = grad[i];
        float mi = c.beta1 * m[i] + c.grad_m * g;
        float vi_ = c.beta2 * v[i] + c.grad_v * g * g;
        m[i] = mi;
        v[i] = vi_;
        param[i] = param[i] * c.decay - c.step * (mi / (__builtin_sqrtf(vi_) * c.root + c.eps));
    }
}
