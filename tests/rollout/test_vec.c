// The vector sine and cosine against the C library. The widest set is tested through the environments (test_builtin.c:
// every set gives the same bits).
#include "kernels/classic/vec.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static double ulps(double got, double exact) {
    double unit = nextafter(fabs(exact), INFINITY) - fabs(exact);
    return fabs(got - exact) / unit;
}

static double worst_error(double low, double high, int small) {
    double worst = 0;
    for (int i = 0; i < 200000; i++) {
        double x = low + (high - low) * i / 199999.0;
        vd s, c;
        if (small)
            vd_sincos_small(vd_set(x), &s, &c);
        else
            vd_sincos(vd_set(x), &s, &c);
        worst = fmax(worst, fmax(fabs(s[0] - (double)sinl(x)) > 1e-300 ? ulps(s[0], (double)sinl(x)) : 0, ulps(c[0], (double)cosl(x))));
    }
    return worst;
}

Test(vec, small_sine_and_cosine_are_within_one_ulp) { cr_expect(worst_error(-0.785, 0.785, 1) <= 1); }

Test(vec, small_ones_are_nearly_always_the_nearest_double) {
    int off = 0;
    for (int i = 0; i < 100000; i++) {
        double x = -0.21 + 0.42 * i / 99999.0;
        vd s, c;
        vd_sincos_small(vd_set(x), &s, &c);
        off += s[0] != (double)sinl(x);
        off += c[0] != (double)cosl(x);
    }
    cr_expect(off < 400, "%d of 200000", off);
}

Test(vec, sine_and_cosine_are_within_two_ulp_of_the_whole_range) {
    cr_expect(worst_error(-7, 7, 0) <= 2, "%g", worst_error(-7, 7, 0));
    double worst = 0;   // far out, where results near 0 lose relative accuracy: absolute
    for (int i = 0; i < 100000; i++) {
        double x = -99999.0 + 2.0 * i + 0.37;
        vd s, c;
        vd_sincos(vd_set(x), &s, &c);
        worst = fmax(worst, fmax(fabs(s[0] - (double)sinl(x)), fabs(c[0] - (double)cosl(x))));
    }
    cr_expect(worst < 3e-16, "%g", worst);
}

Test(vec, far_arguments_and_nan_go_to_the_library) {
    vd x = vd_set(1e9), s, c;
    vd_sincos(x, &s, &c);
    cr_expect(s[0] == sin(1e9) && c[VD - 1] == cos(1e9));
    vd_sincos(vd_set(NAN), &s, &c);
    cr_expect(isnan(s[0]) && isnan(c[0]));
    vd_sincos(vd_set(INFINITY), &s, &c);
    cr_expect(isnan(s[0]));
}

Test(vec, clip_and_select) {
    vd v = vd_clip((vd){-3, 3}, -1, 2);
    cr_expect(v[0] == -1 && v[1] == 2);
    v = vd_clip((vd){NAN, 0.5}, -1, 2);
    cr_expect(isnan(v[0]) && v[1] == 0.5);
    cr_expect(vl_bits((vd){1, -1} > 0) == 1u);
}

Test(vec, rows_are_stored_transposed) {
    float out[VD * 3];
    vs columns[3];
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < VD; i++) columns[c][i] = (float)(10 * i + c);
    vs_store_rows(out, columns, 3);
    for (int i = 0; i < VD; i++)
        for (int c = 0; c < 3; c++) cr_expect(out[3 * i + c] == (float)(10 * i + c));
}
