// Vector exp, expm1, log, sin, cos and tanh against libm in double, over dense ranges and at the edges.
#include "tests/kernels/fixture.h"
#include "tests/kernels/vmath_probe.h"

typedef void (*probe)(vmath_function f, int64_t count, const float *x, float *y);

static probe probe_of(int isa) {
    if (!mt_kernels_cpu((mt_isa)isa)) {
        printf("skipped: this machine or build lacks instruction set %d\n", isa);
        return NULL;
    }
#if defined(__x86_64__)
    if (isa == MT_ISA_avx512_id) return vmath_probe_avx512;
    if (isa == MT_ISA_avx2_id) return vmath_probe_avx2;
#endif
    return vmath_probe_plain;
}

// largest |y - true| / max(|true|·relative, absolute) over `count` points of [low, high]
static double worst(probe p, vmath_function f, double (*truth)(double), double low, double high, double relative, double absolute) {
    enum { COUNT = 100003 };   // not a multiple of any vector
    static float x[COUNT], y[COUNT];
    double largest = 0;
    for (int i = 0; i < COUNT; i++) x[i] = (float)(low + (high - low) * i / (COUNT - 1));
    p(f, COUNT, x, y);
    for (int i = 0; i < COUNT; i++) {
        double t = truth(x[i]), error = fabs(y[i] - t) / (fabs(t) * relative + absolute);
        if (!(error <= largest)) largest = error;   // NaN counts, too
    }
    return largest;
}

Test(vmath, is_as_close_to_libm_as_it_says) {
    for (int isa = 0; isa < MT_ISA_COUNT; isa++) {
        probe p = probe_of(isa);
        if (!p) continue;
        cr_expect_leq(worst(p, VMATH_EXP, exp, -80, 80, 2.5e-7, 0), 1.0, "exp, isa %d", isa);
        cr_expect_leq(worst(p, VMATH_EXP, exp, -1, 1, 2.5e-7, 0), 1.0, "exp near 0, isa %d", isa);
        cr_expect_leq(worst(p, VMATH_EXPM1, expm1, -5, 5, 3e-7, 1e-30), 1.0, "expm1, isa %d", isa);
        cr_expect_leq(worst(p, VMATH_LOG, log, 1e-6, 10, 2.5e-7, 1e-7), 1.0, "log, isa %d", isa);
        cr_expect_leq(worst(p, VMATH_LOG, log, 1, 1e30, 2.5e-7, 1e-7), 1.0, "log of large, isa %d", isa);
        cr_expect_leq(worst(p, VMATH_SIN, sin, -10, 10, 0, 3e-7), 1.0, "sin, isa %d", isa);
        cr_expect_leq(worst(p, VMATH_COS, cos, -10, 10, 0, 3e-7), 1.0, "cos, isa %d", isa);
        cr_expect_leq(worst(p, VMATH_TANH, tanh, -12, 12, 0, 5e-7), 1.0, "tanh, isa %d", isa);
    }
}

Test(vmath, edges_are_those_of_libm) {
    static const float in[] = {INFINITY, -INFINITY, NAN, 0, 1e30f, -1e30f};
    for (int isa = 0; isa < MT_ISA_COUNT; isa++) {
        probe p = probe_of(isa);
        float y[6];
        if (!p) continue;
        p(VMATH_EXP, 6, in, y);
        cr_expect(isinf(y[0]) && y[1] == 0 && isnan(y[2]) && y[3] == 1 && isinf(y[4]) && y[5] == 0, "exp, isa %d", isa);
        p(VMATH_TANH, 6, in, y);
        cr_expect(y[0] == 1 && y[1] == -1 && isnan(y[2]) && y[3] == 0 && y[4] == 1 && y[5] == -1, "tanh, isa %d", isa);
        p(VMATH_LOG, 4, in, y);
        cr_expect(isinf(y[0]) && isnan(y[1]) && isnan(y[2]) && isinf(y[3]) && y[3] < 0, "log, isa %d", isa);
    }
}
