// Adam against the formula in double: ten steps, odd sizes, weight decay, gradient clipping, extremes.
#include "fixture.h"

static void run(const mt_kernels *k, int64_t count, double scale, float weight_decay, float grad_scale) {
    float *p = normals_of(count, 1), *m = filled(count, 0), *v = filled(count, 0), *g = floats(count);
    double *pd = malloc(sizeof(double) * (size_t)count * 3), *md = pd + count, *vd = md + count;
    for (int64_t i = 0; i < count; i++) pd[i] = p[i], md[i] = vd[i] = 0;
    const float lr = 3e-4f, beta1 = 0.9f, beta2 = 0.999f, eps = 1e-5f;
    for (int step = 1; step <= 10; step++) {
        for (int64_t i = 0; i < count; i++) g[i] = (float)(scale * normal());
        if (count > 2) g[count / 2] = 0; // v stays 0 there
        for (int64_t i = 0; i < count; i++) {
            double gi = (double)g[i] * grad_scale, step_size;
            md[i] = beta1 * md[i] + (1.0 - beta1) * gi;
            vd[i] = beta2 * vd[i] + (1.0 - beta2) * gi * gi;
            pd[i] *= 1.0 - (double)lr * weight_decay;
            step_size = lr / (1 - pow(beta1, step));
            pd[i] -= step_size * md[i] / (sqrt(vd[i]) / sqrt(1 - pow(beta2, step)) + eps);
        }
        k->adam(&(mt_adam){.count = count,
            .param = p,
            .m = m,
            .v = v,
            .grad = g,
            .grad_scale = grad_scale,
            .lr = lr,
            .beta1 = beta1,
            .beta2 = beta2,
            .eps = eps,
            .weight_decay = weight_decay,
            .step = step});
        for (int64_t i = 0; i < count; i++) {
            near(m[i], md[i], 1e-6 * fmax(1, 4 * scale * grad_scale), "m[%ld] of %ld, step %d", (long)i, (long)count,
                step);
            check(fabs(v[i] - vd[i]) <= 3e-6 * fabs(vd[i]) + 1e-37, "%s v %g %g", k->name, v[i], vd[i]);
            near(p[i], pd[i], 2e-6, "param[%ld] of %ld, step %d", (long)i, (long)count, step);
        }
    }
    free(pd);
    unfence();
}

static void parity(const mt_kernels *k) {
    for (int i = 0; i < row_count_count; i++) run(k, row_counts[i], 1, 0, 1);
    run(k, 10007, 0.01, 0.1f, 0.37f);
    run(k, 257, 1e-12, 0, 1);
    run(k, 257, 1e8, 0, 1);
}
Test(adam, follows_the_formula) { each_isa(parity); }

// one step from a known state: the update alone within 2e-6 of the double formula
static void update_precision(const mt_kernels *k) {
    enum { count = 4099 };
    float *p = filled(count, 0), *m = normals_of(count, 1), *v = floats(count), *g = normals_of(count, 1);
    double want[count];
    for (int i = 0; i < count; i++) {
        v[i] = (float)exp(uniform(-60, 20));
        double mi = 0.9f * (double)m[i] + (1 - (double)0.9f) * g[i];
        double vi = 0.999f * (double)v[i] + (1 - (double)0.999f) * (double)g[i] * g[i];
        want[i] = -1e-3f / (1 - pow(0.9f, 7)) * mi / (sqrt(vi) / sqrt(1 - pow(0.999f, 7)) + 1e-8f);
    }
    float *start = floats(count);
    memcpy(start, m, sizeof(float) * count);
    k->adam(&(mt_adam){.count = count,
        .param = p,
        .m = m,
        .v = v,
        .grad = g,
        .grad_scale = 1,
        .lr = 1e-3f,
        .beta1 = 0.9f,
        .beta2 = 0.999f,
        .eps = 1e-8f,
        .step = 7});
    double worst = 0;
    for (int i = 0; i < count; i++) {
        // where β1 m and (1-β1) g cancel, the sum itself has lost digits
        double size = fabs(0.9 * start[i]) + fabs(0.1 * g[i]), kept = fabs(m[i]) / size;
        worst = fmax(worst, fabs(p[i] / want[i] - 1) * fmin(1, kept));
    }
    check_lt(worst, 2e-6, "%s: relative error of an update %g", k->name, worst);
    unfence();
}
Test(adam, update_is_precise) { each_isa(update_precision); }
