// PPO's loss against a double reference, every gradient against finite differences of that reference, and torch's
// conventions where the loss has kinks.
#include "fixture.h"

typedef struct layout {
    int components;
    int32_t nvec[4];
} layout;
static const layout layouts[] = {{1, {2}}, {1, {3}}, {1, {4}}, {1, {6}}, {1, {40}}, {2, {2, 2}}, {3, {3, 2, 5}}};
enum { layout_count = sizeof layouts / sizeof layouts[0] };

// ---- the rows' side

typedef struct rows_data {
    mt_ppo_rows r;
    mt_ppo_scalars *now;
    float *old_log_prob, *advantage, *returns, *old_value, *value, *d_value;
} rows_data;

static rows_data make_rows(int64_t rows, float clip_range_vf) {
    rows_data x = {.old_log_prob = floats(rows),
        .advantage = normals_of(rows, 2),
        .returns = normals_of(rows, 1),
        .old_value = clip_range_vf < 0 ? NULL : normals_of(rows, 0.5),
        .value = normals_of(rows, 0.5),
        .d_value = floats(rows),
        .now = fenced(sizeof(mt_ppo_scalars))};
    *x.now = (mt_ppo_scalars){.adv_mean = 0.3f,
        .adv_inv_std = 0.7f,
        .clip_range = 0.2f,
        .clip_range_vf = clip_range_vf,
        .ent_coef = 0.01f,
        .vf_coef = 0.5f};
    x.r = (mt_ppo_rows){.old_log_prob = x.old_log_prob,
        .advantage = x.advantage,
        .returns = x.returns,
        .old_value = x.old_value,
        .value = x.value,
        .scalars = x.now,
        .inv_rows = 0.5f / (float)rows,
        .d_value = x.d_value};
    return x;
}

// a row's contribution to L, times the row count; statistics are added when `s` is given
static double row_loss(
    const mt_ppo_rows *r, int64_t b, double log_prob, double entropy, double value, mt_ppo_stats *s) {
    double adv = ((double)r->advantage[b] - r->scalars->adv_mean) * r->scalars->adv_inv_std, log_ratio = log_prob - r->old_log_prob[b];
    double ratio = exp(log_ratio), low = 1.0f - r->scalars->clip_range, high = 1.0f + r->scalars->clip_range;
    double policy = -fmin(adv * ratio, adv * fmax(low, fmin(high, ratio))), v = value;
    if (r->scalars->clip_range_vf >= 0) {
        double old = r->old_value[b];
        v = old + fmax(-r->scalars->clip_range_vf, fmin(r->scalars->clip_range_vf, value - old));
    }
    double value_loss = (v - r->returns[b]) * (v - r->returns[b]);
    if (s) {
        s->policy_loss += policy, s->value_loss += value_loss, s->entropy += entropy;
        s->approx_kl += ratio - 1 - log_ratio, s->clipped += fabs(ratio - 1) > r->scalars->clip_range, s->ratio += ratio;
    }
    return policy + (double)r->scalars->vf_coef * value_loss - (double)r->scalars->ent_coef * entropy;
}

// is the loss smooth around this row? finite differences say nothing at a kink
static int smooth(const mt_ppo_rows *r, int64_t b, double log_prob) {
    double ratio = exp(log_prob - r->old_log_prob[b]);
    return fabs(ratio - 0.8) > 1e-3 && fabs(ratio - 1.2) > 1e-3;
}

static void check_stats(const mt_kernels *k, const mt_ppo_stats *got, const mt_ppo_stats *want, double tolerance) {
    near(got->policy_loss, want->policy_loss, tolerance, "policy_loss");
    near(got->value_loss, want->value_loss, tolerance, "value_loss");
    near(got->entropy, want->entropy, tolerance, "entropy");
    near(got->approx_kl, want->approx_kl, tolerance, "approx_kl");
    near(got->clipped, want->clipped, 0, "clipped");
    near(got->ratio, want->ratio, tolerance, "ratio");
}
static void check_values(const mt_kernels *k, const rows_data *x, int64_t rows) {
    const double h = 1e-6;
    for (int64_t b = 0; b < rows; b++) {
        double v = x->value[b];
        if (x->old_value && fabs(fabs(v - x->old_value[b]) - x->now->clip_range_vf) < 1e-3) continue;
        double lp = x->old_log_prob[b], up = row_loss(&x->r, b, lp, 0, v + h, NULL),
               down = row_loss(&x->r, b, lp, 0, v - h, NULL);
        double slope = (up - down) / (2 * h);
        near(x->d_value[b] / x->r.inv_rows, slope, 1e-5, "d_value of row %ld", (long)b);
    }
}

// ---- categorical

static double log_softmax(
    const layout *l, const double *z, const uint8_t *mask, const int32_t *action, double *entropy) {
    double log_prob = 0;
    *entropy = 0;
    for (int a = 0; a < l->components; z += l->nvec[a], mask += mask ? l->nvec[a] : 0, a++) {
        double total = 0, max = -INFINITY;
        for (int j = 0; j < l->nvec[a]; j++)
            if (!mask || mask[j]) max = fmax(max, z[j]);
        for (int j = 0; j < l->nvec[a]; j++)
            if (!mask || mask[j]) total += exp(z[j] - max);
        for (int j = 0; j < l->nvec[a]; j++) {
            double lp = z[j] - max - log(total);
            if (!mask || mask[j]) *entropy -= exp(lp) * lp;
            if (j == action[a]) log_prob += lp;
        }
    }
    return log_prob;
}

static void run_categorical(
    const mt_kernels *k, const layout *l, int64_t rows, int masked, float clip_range_vf, double scale) {
    int logit_count = 0;
    for (int a = 0; a < l->components; a++) logit_count += l->nvec[a];
    rows_data x = make_rows(rows, clip_range_vf);
    float *logits = normals_of(rows * logit_count, scale), *d_logits = floats(rows * logit_count);
    int32_t *action = fenced(rows * l->components * 4);
    uint8_t *mask = masked ? fenced(rows * logit_count) : NULL;
    double z[64];
    mt_ppo_stats want = {0}, got = {0};
    for (int64_t b = 0; b < rows; b++) {
        for (int a = 0, offset = 0; a < l->components; offset += l->nvec[a++]) {
            action[b * l->components + a] = (int32_t)(random_u32() % (uint32_t)l->nvec[a]);
            for (int j = 0; masked && j < l->nvec[a]; j++)
                mask[b * logit_count + offset + j] = j == action[b * l->components + a] || random_u32() % 2;
        }
        double entropy;
        for (int j = 0; j < logit_count; j++) z[j] = logits[b * logit_count + j];
        double lp = log_softmax(l, z, masked ? mask + b * logit_count : NULL, action + b * l->components, &entropy);
        x.old_log_prob[b] = (float)(lp + 0.25 * normal());
        row_loss(&x.r, b, lp, entropy, x.value[b], &want);
    }
    k->ppo_loss_categorical(&(mt_categorical){.rows = rows,
                                .components = l->components,
                                .nvec = l->nvec,
                                .logit_count = logit_count,
                                .logits = logits,
                                .mask = mask},
        action, &x.r, d_logits, &got);
    // log-probabilities of -1e4 have three digits behind the point, and the ratio is their exponential
    double digits = scale > 100 ? 200 : 1;
    check_stats(k, &got, &want, 1e-5 * digits * fmax(1, (double)rows / 4));
    check_values(k, &x, rows);
    const double h = 1e-6 * digits;
    for (int64_t b = 0; b < rows; b++) {
        const uint8_t *m = masked ? mask + b * logit_count : NULL;
        const int32_t *act = action + b * l->components;
        double e, up, down;
        for (int j = 0; j < logit_count; j++) z[j] = logits[b * logit_count + j];
        if (!smooth(&x.r, b, log_softmax(l, z, m, act, &e))) continue;
        for (int j = 0; j < logit_count; j++) {
            double keep = z[j];
            z[j] = keep + h, up = log_softmax(l, z, m, act, &e), up = row_loss(&x.r, b, up, e, x.value[b], NULL);
            z[j] = keep - h, down = log_softmax(l, z, m, act, &e), down = row_loss(&x.r, b, down, e, x.value[b], NULL);
            z[j] = keep;
            double d = d_logits[b * logit_count + j] / x.r.inv_rows;
            near(d, (up - down) / (2 * h), 2e-5 * digits, "d_logits (%ld, %d) of %d", (long)b, j, logit_count);
            if (m && !m[j]) check_eq(d, 0, "%s: gradient %g at a masked action", k->name, d);
        }
    }
    unfence();
}

static void categorical(const mt_kernels *k) {
    for (int l = 0; l < layout_count; l++)
        for (int r = 0; r < row_count_count; r++)
            for (int variant = 0; variant < 4; variant++)
                run_categorical(k, &layouts[l], row_counts[r], variant & 1, variant & 2 ? 0.3f : -1.0f, 1);
    for (int masked = 0; masked < 2; masked++) run_categorical(k, &layouts[0], 4097, masked, -1, 1);
}
Test(ppo_loss, categorical_gradients) { each_isa(categorical); }

static void saturated(const mt_kernels *k) {
    for (int l = 0; l < layout_count; l++) run_categorical(k, &layouts[l], 33, l % 2, -1, 1e4);
}
Test(ppo_loss, categorical_logits_of_1e4) { each_isa(saturated); }

static void independent(const mt_kernels *k) {
    for (int l = 0; l < 4; l++) {
        int n = layouts[l].nvec[0];
        rows_data x = make_rows(65, 0.3f);
        float *logits = normals_of(65 * n, 1), *all = floats(65 * n), *one = floats(n), all_value[65];
        int32_t *action = fenced(65 * 4);
        for (int b = 0; b < 65; b++) action[b] = (int32_t)(random_u32() % (uint32_t)n), x.old_log_prob[b] = -0.7f;
        mt_categorical d = {.rows = 65, .components = 1, .nvec = layouts[l].nvec, .logit_count = n, .logits = logits};
        mt_ppo_stats stats = {0};
        k->ppo_loss_categorical(&d, action, &x.r, all, &stats);
        memcpy(all_value, x.d_value, sizeof all_value);
        mt_ppo_rows r = x.r;
        d.rows = 1;
        for (int b = 0; b < 65; b++, r.old_log_prob++, r.advantage++, r.returns++, r.old_value++, r.value++) {
            d.logits = logits + b * n;
            k->ppo_loss_categorical(&d, action + b, &r, one, &stats);
            check_eq(memcmp(one, all + b * n, 4 * (size_t)n), 0, "%s: row %d", k->name, b);
            check_eq(x.d_value[0], all_value[b], "%s: value of row %d", k->name, b);
        }
        unfence();
    }
}
Test(ppo_loss, a_rows_gradient_knows_of_no_other) { each_isa(independent); }

// ---- Gaussian

static double gaussian_log_prob(
    int dim, const double *mean, const double *log_std, const float *action, double *entropy) {
    double lp = 0;
    *entropy = 0;
    for (int a = 0; a < dim; a++) {
        double t = (action[a] - mean[a]) / exp(log_std[a]);
        lp += -0.5 * t * t - log_std[a] - 0.5 * log(2 * M_PI);
        *entropy += 0.5 + 0.5 * log(2 * M_PI) + log_std[a];
    }
    return lp;
}

static void run_gaussian(
    const mt_kernels *k, int64_t rows, int dim, int by_rows, int accumulate, float clip_range_vf, double shift) {
    int64_t count = rows * dim, stds = by_rows ? count : dim;
    rows_data x = make_rows(rows, clip_range_vf);
    float *mean = normals_of(count, exp(shift)), *action = floats(count), *log_std = normals_of(stds, 0.3);
    float *d_mean = floats(count), *d_log_std = filled(stds, 4);
    double *want_std = calloc((size_t)(rows * dim), sizeof(double)), md[64], sd[64];
    mt_ppo_stats want = {0}, got = {0};
    double slack = 5 + (double)(rows + dim) / 4; // a log-probability is a float sum over dim, statistics one over rows
    for (int64_t i = 0; i < stds; i++) log_std[i] += (float)shift;
    for (int64_t b = 0; b < rows; b++) {
        for (int a = 0; a < dim; a++) {
            md[a] = mean[b * dim + a], sd[a] = log_std[by_rows ? b * dim + a : a];
            action[b * dim + a] = (float)(md[a] + exp(sd[a]) * normal());
        }
        double e, lp = gaussian_log_prob(dim, md, sd, action + b * dim, &e);
        x.old_log_prob[b] = (float)(lp + 0.25 * normal());
        if (!smooth(&x.r, b, lp)) x.old_log_prob[b] = (float)lp;
        row_loss(&x.r, b, lp, e, x.value[b], &want);
    }
    k->ppo_loss_gaussian(
        &(mt_gaussian){.rows = rows, .dim = dim, .mean = mean, .log_std = log_std, .log_std_rows = by_rows}, action,
        &x.r, d_mean, d_log_std, accumulate, &got);
    check_stats(k, &got, &want, 1e-5 * slack);
    check_values(k, &x, rows);
    for (int64_t b = 0; b < rows; b++)
        for (int a = 0; a < dim; a++) {
            double e, up, down;
            for (int j = 0; j < dim; j++) md[j] = mean[b * dim + j], sd[j] = log_std[by_rows ? b * dim + j : j];
            const float *act = action + b * dim;
            double keep = md[a], h = 1e-6 * exp(sd[a]), unit = exp(sd[a]);
            md[a] = keep + h, up = gaussian_log_prob(dim, md, sd, act, &e),
            up = row_loss(&x.r, b, up, e, x.value[b], NULL);
            md[a] = keep - h, down = gaussian_log_prob(dim, md, sd, act, &e),
            down = row_loss(&x.r, b, down, e, x.value[b], NULL);
            md[a] = keep;
            near(d_mean[b * dim + a] / x.r.inv_rows * unit, (up - down) / (2 * h) * unit, 1e-5 * slack,
                "d_mean (%ld, %d)", (long)b, a);
            keep = sd[a], h = 1e-6;
            sd[a] = keep + h, up = gaussian_log_prob(dim, md, sd, act, &e),
            up = row_loss(&x.r, b, up, e, x.value[b], NULL);
            sd[a] = keep - h, down = gaussian_log_prob(dim, md, sd, act, &e),
            down = row_loss(&x.r, b, down, e, x.value[b], NULL);
            want_std[by_rows ? b * dim + a : a] += (up - down) / (2 * h);
        }
    for (int64_t i = 0; i < stds; i++)
        near((d_log_std[i] - (!by_rows && accumulate ? 4.0f : 0.0f)) / x.r.inv_rows, want_std[i],
            (accumulate && !by_rows ? 1e-6 / x.r.inv_rows : 0) + 2e-5 * slack, "d_log_std[%ld] of %ld rows, by_rows %d",
            (long)i, (long)rows, by_rows);
    free(want_std);
    unfence();
}

static void tiny_deviation(const mt_kernels *k) {
    for (int by_rows = 0; by_rows < 2; by_rows++) run_gaussian(k, 33, 1, by_rows, 0, -1, -20);
}
Test(ppo_loss, gaussian_log_std_of_minus_20) { each_isa(tiny_deviation); }

static void gaussian(const mt_kernels *k) {
    static const int dims[] = {1, 2, 3, 6, 17, 40};
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++)
        for (int r = 0; r < row_count_count; r++)
            for (int variant = 0; variant < 8; variant++)
                run_gaussian(k, row_counts[r], dims[d], variant & 1, variant & 2, variant & 4 ? 0.3f : -1.0f, 0);
}
Test(ppo_loss, gaussian_gradients) { each_isa(gaussian); }

// ---- kinks: what autograd does there

static void kinks(const mt_kernels *k) {
    // one action: log_prob 0 and no gradient from the logit; a Gaussian with σ = 1 at its mean + 1 shows dL/dlogp as
    // d_mean
    float mean[4] = {0}, action[4] = {1, 1, 1, 1}, log_std[1] = {0}, d_mean[4], d_log_std[1], zero[4] = {0}, d_value[4];
    float old[4], advantage[4] = {1, -1, 0, 1}, value[4] = {0.5f, -0.5f, 0.25f, 0.75f};
    const float log_prob = -0.5f - 0.91893853320467274178f;
    mt_gaussian d = {.rows = 4, .dim = 1, .mean = mean, .log_std = log_std};
    mt_ppo_rows r = {.old_log_prob = old,
        .advantage = advantage,
        .returns = zero,
        .old_value = zero,
        .value = value,
        .scalars = &(mt_ppo_scalars){.adv_inv_std = 1, .clip_range = 0.2f, .clip_range_vf = 0.5f, .vf_coef = 1},
        .inv_rows = 1,
        .d_value = d_value};
    mt_ppo_stats s = {0};
    // ratio 1, where both terms of the minimum are equal: the whole gradient
    for (int i = 0; i < 4; i++) old[i] = log_prob;
    k->ppo_loss_gaussian(&d, action, &r, d_mean, d_log_std, 0, &s);
    near(d_mean[0], -1, 1e-6, "ratio 1, advantage 1");
    near(d_mean[1], 1, 1e-6, "ratio 1, advantage -1");
    check_eq(d_mean[2], 0, "%s: advantage 0", k->name);
    // |v - old| = clip_range_vf: clamp passes the gradient at its bounds, not beyond
    near(d_value[0], 1, 1e-6, "value at the upper bound");
    near(d_value[1], -1, 1e-6, "value at the lower bound");
    check_eq(d_value[3], 0, "%s: value beyond the bound", k->name);
    // ratio e and 1/e: clipped only where the minimum is the constant
    old[0] = old[1] = old[2] = log_prob - 1, old[3] = log_prob + 1;
    s = (mt_ppo_stats){0};
    k->ppo_loss_gaussian(&d, action, &r, d_mean, d_log_std, 0, &s);
    check_eq(d_mean[0], 0, "%s: ratio above, advantage 1", k->name);
    near(d_mean[1], M_E, 1e-5, "ratio above, advantage -1");
    near(d_mean[3], -1 / M_E, 1e-5, "ratio below, advantage 1");
    near(s.clipped, 4, 0, "clipped");
    // an infinite ratio that the clip discards costs nothing; a NaN is not hidden
    old[0] = log_prob - 1000, old[3] = NAN;
    k->ppo_loss_gaussian(&d, action, &r, d_mean, d_log_std, 0, &s);
    check_eq(d_mean[0], 0, "%s: infinite ratio", k->name);
    check(isnan(d_mean[3]) && isnan(s.policy_loss), "%s: a NaN was hidden", k->name);
}
Test(ppo_loss, kinks_as_autograd) { each_isa(kinks); }

// ---- the policy's term and the value's apart

// what a call without the value term and the value term's own call give, beside what they give together
static void same_apart(const mt_kernels *k, const mt_ppo_stats *whole, const mt_ppo_stats *policy, const mt_ppo_stats *value,
    const float *d_value, const float *d_value_alone, int64_t rows) {
    mt_ppo_stats sum = *policy;
    check_eq(policy->value_loss, 0, "%s: value_loss without values is %g", k->name, policy->value_loss);
    sum.value_loss = value->value_loss;
    check_eq(memcmp(&sum, whole, sizeof sum), 0, "%s: statistics of %ld rows", k->name, (long)rows);
    check_eq(memcmp(d_value, d_value_alone, 4 * (size_t)rows), 0, "%s: d_value of %ld rows", k->name, (long)rows);
}

static void run_apart(const mt_kernels *k, int64_t rows, int actions, float clip_range_vf) {
    rows_data x = make_rows(rows, clip_range_vf);
    int32_t nvec[1] = {actions}, *choice = fenced(rows * 4);
    float *z = normals_of(rows * actions, 1), *action = normals_of(rows * actions, 1), *log_std = normals_of(actions, 0.3);
    float *d = floats(rows * actions), *d_alone = floats(rows * actions), *d_std = floats(actions), *d_value = floats(rows);
    float *d_std_alone = floats(actions);
    mt_ppo_rows policy = x.r, value = {.value = x.value, .returns = x.returns, .old_value = x.old_value, .scalars = x.now,
        .inv_rows = x.r.inv_rows, .d_value = d_value};
    policy.value = policy.returns = policy.old_value = NULL, policy.d_value = NULL;
    for (int64_t b = 0; b < rows; b++) choice[b] = (int32_t)(random_u32() % (uint32_t)actions), x.old_log_prob[b] = -1;
    mt_ppo_stats whole = {0}, part = {0}, value_part = {0}, twice;
    k->ppo_loss_value(rows, &value, &value_part);

    mt_categorical c = {.rows = rows, .components = 1, .nvec = nvec, .logit_count = actions, .logits = z};
    k->ppo_loss_categorical(&c, choice, &x.r, d, &whole);
    k->ppo_loss_categorical(&c, choice, &policy, d_alone, &part);
    same_apart(k, &whole, &part, &value_part, x.d_value, d_value, rows);
    check_eq(memcmp(d, d_alone, 4 * (size_t)(rows * actions)), 0, "%s: d_logits of %ld rows", k->name, (long)rows);

    // sums are added to what is there
    twice = whole;
    k->ppo_loss_categorical(&c, choice, &x.r, d, &twice);
    check(twice.policy_loss == 2 * whole.policy_loss && twice.value_loss == 2 * whole.value_loss && twice.entropy == 2 * whole.entropy &&
            twice.approx_kl == 2 * whole.approx_kl && twice.clipped == 2 * whole.clipped && twice.ratio == 2 * whole.ratio,
        "%s: a second call of %ld rows does not add as much", k->name, (long)rows);

    mt_gaussian g = {.rows = rows, .dim = actions, .mean = z, .log_std = log_std};
    whole = part = (mt_ppo_stats){0};
    k->ppo_loss_gaussian(&g, action, &x.r, d, d_std, 0, &whole);
    k->ppo_loss_gaussian(&g, action, &policy, d_alone, d_std_alone, 0, &part);
    same_apart(k, &whole, &part, &value_part, x.d_value, d_value, rows);
    check_eq(memcmp(d, d_alone, 4 * (size_t)(rows * actions)), 0, "%s: d_mean of %ld rows", k->name, (long)rows);
    check_eq(memcmp(d_std, d_std_alone, 4 * (size_t)actions), 0, "%s: d_log_std of %ld rows", k->name, (long)rows);
    unfence();
}
static void apart(const mt_kernels *k) {
    for (int r = 0; r < row_count_count; r++)
        for (int actions = 2; actions <= 6; actions += 2)
            for (int clipped = 0; clipped < 2; clipped++) run_apart(k, row_counts[r], actions, clipped ? 0.3f : -1.0f);
}
Test(ppo_loss, terms_apart_have_the_bits_they_have_together) { each_isa(apart); }

static void other_loss(const mt_kernels *k) {
    const double sums[MT_LOSS_SUMS] = {3.5, 1.25, -0.5, 0.125, 7};
    mt_ppo_stats s = {.policy_loss = 1, .value_loss = 2, .entropy = 3, .approx_kl = 4, .clipped = 5, .ratio = 6};
    k->add_loss_sums(sums, 0.5f, 0.25f, &s);
    near(s.policy_loss, 1 + 3.5 - 0.625 - 0.125, 1e-12, "policy_loss");
    check(s.value_loss == 3.25 && s.entropy == 2.5 && s.approx_kl == 4.125 && s.clipped == 12 && s.ratio == 6, "%s: sums", k->name);
}
Test(ppo_loss, takes_the_sums_of_another_loss) { each_isa(other_loss); }
