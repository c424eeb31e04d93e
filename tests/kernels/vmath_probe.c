// The vector functions of vmath.h, one call a whole array, compiled for each instruction set. Called by test_vmath.c.
#include "kernels/cpu/vmath.h"
#include "tests/kernels/vmath_probe.h"

void MT_ISA_NAME(vmath_probe)(vmath_function f, int64_t count, const float *x, float *y) {
    for (int64_t i = 0; i < count; i += VF) {
        int n = count - i < VF ? (int)(count - i) : VF;
        vf v = vf_load_n(x + i, n), r = v;
        switch (f) {
        case VMATH_EXP: r = vf_exp(v); break;
        case VMATH_EXPM1: r = vf_expm1(v); break;
        case VMATH_LOG: r = vf_log(v); break;
        case VMATH_SIN: r = vf_sin(v); break;
        case VMATH_COS: r = vf_cos(v); break;
        case VMATH_TANH: r = vf_tanh(v); break;
        }
        vf_store_n(y + i, r, n);
    }
}
