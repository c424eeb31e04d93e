// The activation functions in double, for the references of layers that apply or differentiate them.
#ifndef MANTA_TESTS_KERNELS_ACTIVATION_REF_H
#define MANTA_TESTS_KERNELS_ACTIVATION_REF_H

#include <math.h>
#include "kernels/kernels.h"

static inline double activation_ref(mt_activation act, double z) {
    switch (act) {
    case MT_ACT_tanh: return tanh(z);
    case MT_ACT_relu: return z > 0 ? z : 0;
    case MT_ACT_elu: return z > 0 ? z : expm1(z);
    case MT_ACT_gelu: return 0.5 * z * erfc(-z / sqrt(2));
    case MT_ACT_silu: return z / (1 + exp(-z));
    default: return z;
    }
}
// act'(z) by central differences, but for the two with a kink
static inline double activation_slope_ref(mt_activation act, double z) {
    const double h = 1e-5;
    if (act == MT_ACT_relu) return z > 0;
    if (act == MT_ACT_elu) return z > 0 ? 1 : exp(z);
    return (activation_ref(act, z + h) - activation_ref(act, z - h)) / (2 * h);
}

#endif
