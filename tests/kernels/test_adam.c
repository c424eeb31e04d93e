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

// the same bits as the update with what the host would derive, and a step that advances
static void clipped(const mt_kernels *k) {
    enum { count = 257 };
    for (int variant = 0; variant < 3; variant++) {
        float *p = normals_of(count, 1), *m = normals_of(count, 0.1), *v = filled(count, 1), *g = normals_of(count, 1);
        float *p2 = floats(count), *m2 = floats(count), *v2 = floats(count), max_norm = variant == 0 ? 0 : variant == 1 ? 0.5f : 1e6f;
        memcpy(p2, p, 4 * count), memcpy(m2, m, 4 * count), memcpy(v2, v, 4 * count);
        mt_adam a = {.count = count, .param = p, .m = m, .v = v, .grad = g, .grad_scale = NAN, .lr = NAN, .beta1 = 0.9f, .beta2 = 0.999f,
            .eps = 1e-5f, .weight_decay = 0.1f, .step = -1};
        mt_adam_scalars scalars = {.step = 6, .lr = 1e-3f};
        float norms = 0;
        k->adam_clipped(&a, max_norm, &scalars, variant ? &norms : NULL);
        double norm = sqrt(k->sum_squares(count, g));
        a.param = p2, a.m = m2, a.v = v2, a.lr = 1e-3f, a.step = 7;
        a.grad_scale = variant == 1 ? (float)(0.5 / (norm + 1e-6)) : 1;
        k->adam(&a);
        check(memcmp(p, p2, 4 * count) == 0 && memcmp(m, m2, 4 * count) == 0 && memcmp(v, v2, 4 * count) == 0, "%s: max_norm %g", k->name,
            (double)max_norm);
        check_eq(scalars.step, 7);
        check_eq(scalars.norm, (float)norm);
        check_eq(norms, variant ? (float)norm : 0);
        // a gradient that is none halts this update and those after it
        float last = g[count - 1];
        for (int round = 0; round < 2; round++) {
            g[count - 1] = round ? last : variant ? NAN : INFINITY;
            a.param = p, a.m = m, a.v = v;
            k->adam_clipped(&a, max_norm, &scalars, NULL);
            check(memcmp(p, p2, 4 * count) == 0 && memcmp(m, m2, 4 * count) == 0 && memcmp(v, v2, 4 * count) == 0, "%s: halted", k->name);
            check(scalars.halted == 1 && scalars.step == 7, "%s: halted %d at step %ld", k->name, scalars.halted, (long)scalars.step);
        }
        scalars.halted = 0;
        k->adam_clipped(&a, max_norm, &scalars, NULL);
        check(memcmp(p, p2, 4 * count) != 0 && scalars.step == 8, "%s: goes on", k->name);
        unfence();
    }
}
Test(adam, clips_by_the_global_norm_and_halts_where_it_is_none) { each_isa(clipped); }
