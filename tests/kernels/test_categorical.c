// Categorical actions against double: log-probabilities, entropy, sampling by word and by frequency, masks, extremes.
#include "fixture.h"
#include "engine/base/rng.h"

typedef struct layout {
    int components;
    int32_t nvec[4];
} layout;
static const layout layouts[] = {{1, {1}}, {1, {2}}, {1, {3}}, {1, {4}}, {1, {5}}, {1, {18}}, {1, {70}}, {2, {2, 2}},
    {3, {3, 2, 5}}, {4, {1, 33, 2, 4}}};
enum { layout_count = sizeof layouts / sizeof layouts[0] };

typedef struct data {
    mt_categorical d;
    float *logits;
    uint8_t *mask;
    int32_t *action;
    uint32_t *words;
    float *log_prob, *entropy;
} data;

static data make(const layout *l, int64_t rows, double scale, int masked) {
    int logit_count = 0;
    for (int i = 0; i < l->components; i++) logit_count += l->nvec[i];
    data x = {.logits = normals_of(rows * logit_count, scale),
        .action = fenced(rows * l->components * 4),
        .words = fenced(rows * l->components * 4),
        .log_prob = floats(rows),
        .entropy = floats(rows)};
    if (masked) {
        x.mask = fenced(rows * logit_count);
        for (int64_t b = 0, i = 0; b < rows; b++)
            for (int a = 0; a < l->components; a++) {
                int64_t first = i, allowed = first + random_u32() % (uint32_t)l->nvec[a];
                for (; i < first + l->nvec[a]; i++) x.mask[i] = i == allowed || random_u32() % 2;
            }
    }
    for (int64_t i = 0; i < rows * l->components; i++) x.words[i] = random_u32();
    x.d = (mt_categorical){.rows = rows,
        .components = l->components,
        .nvec = l->nvec,
        .logit_count = logit_count,
        .logits = x.logits,
        .mask = x.mask};
    return x;
}

// probabilities of one component of one row
static void probabilities(const data *x, int64_t b, int offset, int n, double *p) {
    double max = -INFINITY, total = 0;
    int64_t at = b * x->d.logit_count + offset;
    for (int k = 0; k < n; k++)
        if (!x->mask || x->mask[at + k]) max = fmax(max, x->logits[at + k]);
    for (int k = 0; k < n; k++) total += p[k] = !x->mask || x->mask[at + k] ? exp(x->logits[at + k] - max) : 0;
    for (int k = 0; k < n; k++) p[k] /= total;
}

static void check_rows(const mt_kernels *k, const data *x) {
    for (int64_t b = 0; b < x->d.rows; b++) {
        double want_log_prob = 0, want_entropy = 0, p[128];
        for (int a = 0, offset = 0; a < x->d.components; offset += x->d.nvec[a++]) {
            probabilities(x, b, offset, x->d.nvec[a], p);
            int64_t at = b * x->d.components + a;
            int32_t action = x->action[at];
            check(action >= 0 && action < x->d.nvec[a], "%s: action %d of %d", k->name, action, x->d.nvec[a]);
            check_gt(p[action], 0, "%s: impossible action %d", k->name, action);
            double below = 0, u = mt_u32_to_unit(x->words[at]);
            for (int j = 0; j < action; j++) below += p[j];
            check(below <= u + 1e-6 && u <= below + p[action] + 1e-6, "%s: action %d covers [%g, %g), u is %g", k->name,
                action, below, below + p[action], u);
            want_log_prob += log(p[action]);
            for (int j = 0; j < x->d.nvec[a]; j++) want_entropy -= p[j] > 0 ? p[j] * log(p[j]) : 0;
        }
        near(x->log_prob[b], want_log_prob, 3e-6, "log_prob of row %ld, %d logits", (long)b, x->d.logit_count);
        near(x->entropy[b], want_entropy, 3e-6, "entropy of row %ld, %d logits", (long)b, x->d.logit_count);
    }
}

static void parity(const mt_kernels *k) {
    for (int l = 0; l < layout_count; l++)
        for (int r = 0; r < row_count_count; r++)
            for (int variant = 0; variant < 4; variant++) {
                data x = make(&layouts[l], row_counts[r], variant & 2 ? 30 : 1, variant & 1);
                k->categorical_sample(&x.d, x.words, x.action, x.log_prob);
                k->categorical_log_prob(&x.d, x.action, NULL, x.entropy);
                check_rows(k, &x);
                k->categorical_log_prob(&x.d, x.action, x.log_prob, NULL);
                check_rows(k, &x);
                k->categorical_mode(&x.d, x.action);
                for (int64_t b = 0; b < x.d.rows; b++)
                    for (int a = 0, offset = 0; a < x.d.components; offset += x.d.nvec[a++]) {
                        double p[128];
                        probabilities(&x, b, offset, x.d.nvec[a], p);
                        int best = 0;
                        for (int j = 1; j < x.d.nvec[a]; j++)
                            if (p[j] > p[best]) best = j;
                        int32_t got = x.action[b * x.d.components + a];
                        check(got == best || p[got] == p[best], "%s: mode %d, not %d", k->name, got, best);
                    }
                unfence();
            }
}
Test(categorical, parity) { each_isa(parity); }

static void independent(const mt_kernels *k) {
    for (int l = 0; l < layout_count; l++)
        for (int masked = 0; masked < 2; masked++) {
            data x = make(&layouts[l], 65, 2, masked), one = make(&layouts[l], 1, 2, masked);
            k->categorical_sample(&x.d, x.words, x.action, x.log_prob);
            int a = x.d.components, n = x.d.logit_count;
            for (int64_t b = 0; b < 65; b++) {
                memcpy(one.logits, x.logits + b * n, 4 * (size_t)n);
                if (masked) memcpy(one.mask, x.mask + b * n, (size_t)n);
                k->categorical_sample(&one.d, x.words + b * a, one.action, one.log_prob);
                check_eq(
                    memcmp(one.action, x.action + b * a, 4 * (size_t)a), 0, "%s: action of row %ld", k->name, (long)b);
                check_eq(one.log_prob[0], x.log_prob[b], "%s: log_prob of row %ld", k->name, (long)b);
            }
            unfence();
        }
}
Test(categorical, a_row_knows_of_no_other) { each_isa(independent); }

static void frequencies(const mt_kernels *k) {
    for (int l = 0; l < layout_count; l++)
        for (int masked = 0; masked < 2; masked++) {
            const layout *shape = &layouts[l];
            enum { draws = 40000 };
            data x = make(shape, 1, 1, masked), many = make(shape, draws, 1, masked);
            for (int b = 0; b < draws; b++) {
                memcpy(many.logits + b * x.d.logit_count, x.logits, 4 * (size_t)x.d.logit_count);
                if (masked) memcpy(many.mask + b * x.d.logit_count, x.mask, (size_t)x.d.logit_count);
            }
            uint32_t *words = malloc((draws + 4) * 4u * (size_t)x.d.components);
            k->philox_counters(5, (uint64_t)l, 0, draws * x.d.components / 4 + 1, words);
            k->categorical_sample(&many.d, words, many.action, many.log_prob);
            for (int a = 0, offset = 0; a < x.d.components; offset += x.d.nvec[a++]) {
                double p[128], found[128] = {0};
                probabilities(&x, 0, offset, x.d.nvec[a], p);
                for (int b = 0; b < draws; b++) found[many.action[b * x.d.components + a]]++;
                for (int j = 0; j < x.d.nvec[a]; j++) {
                    if (p[j] == 0) check_eq(found[j], 0, "%s: masked action %d sampled", k->name, j);
                    check_lt(fabs(found[j] - draws * p[j]), 5 * sqrt(draws * p[j] * (1 - p[j])) + 1, "%s: action %d",
                        k->name, j);
                }
            }
            free(words);
            unfence();
        }
}
Test(categorical, frequencies) { each_isa(frequencies); }

static void extremes(const mt_kernels *k) {
    for (int l = 1; l < layout_count; l++)
        for (int masked = 0; masked < 2; masked++) {
            data x = make(&layouts[l], 33, 1, masked);
            for (int64_t i = 0; i < 33 * x.d.logit_count; i++) x.logits[i] = random_u32() % 2 ? 1e4f : -1e4f;
            x.words[0] = 0, x.words[1] = UINT32_MAX;
            k->categorical_sample(&x.d, x.words, x.action, x.log_prob);
            k->categorical_log_prob(&x.d, x.action, x.log_prob, x.entropy);
            check_rows(k, &x);
            // a component whose every action is masked: in range and finite
            if (masked) {
                memset(x.mask, 0, (size_t)(33 * x.d.logit_count));
                k->categorical_sample(&x.d, x.words, x.action, x.log_prob);
                for (int64_t i = 0; i < 33; i++) check(isfinite(x.log_prob[i]));
                for (int64_t i = 0; i < 33 * x.d.components; i++)
                    check(x.action[i] >= 0 && x.action[i] < x.d.nvec[i % x.d.components]);
            }
            // NaN logits: the action stays in range, the log-probability says NaN
            for (int64_t i = 0; i < 33 * x.d.logit_count; i++) x.logits[i] = NAN;
            if (masked) memset(x.mask, 1, (size_t)(33 * x.d.logit_count));
            k->categorical_sample(&x.d, x.words, x.action, x.log_prob);
            for (int64_t i = 0; i < 33; i++) check(isnan(x.log_prob[i]), "%s: a NaN was hidden", k->name);
            for (int64_t i = 0; i < 33 * x.d.components; i++)
                check(x.action[i] >= 0 && x.action[i] < x.d.nvec[i % x.d.components]);
            unfence();
        }
}
Test(categorical, extremes) { each_isa(extremes); }
