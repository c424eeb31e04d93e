// The checker's look at a loss: what a call writes, rows apart and together, and the gradient of every output against finite
// differences of the total. Runs in a child process.
#include "policies/check_list.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 9, HEAD_MAX = 16, POINTS = 3 };   // HEAD_MAX: of the cases
enum {
    HEAD,
    LOG_STD,
    VALUE,
    CHOICE,
    TAKEN,
    MASK,
    OLD_LOG_PROB,
    ADVANTAGE,
    RETURNS,
    OLD_VALUE,
    INPUTS,
    D_HEAD = INPUTS,
    D_VALUE,
    D_LOG_STD,
    SUMS,
    ARRAYS
};
static const char *const names[ARRAYS] = {[HEAD] = "head",
    [LOG_STD] = "log_std",
    [VALUE] = "value",
    [CHOICE] = "choice",
    [TAKEN] = "taken",
    [MASK] = "mask",
    [OLD_LOG_PROB] = "old_log_prob",
    [ADVANTAGE] = "advantage",
    [RETURNS] = "returns",
    [OLD_VALUE] = "old_value",
    [D_HEAD] = "d_head",
    [D_VALUE] = "d_value",
    [D_LOG_STD] = "d_log_std",
    [SUMS] = "sums"};

typedef struct batch {
    mt_check_loss *loss;
    manta_loss *instance;   // owned
    int log_std_rows, masked, clip_value;
    mt_guard array[ARRAYS];
    manta_loss_batch given;
} batch;

static int is_box(const mt_check_loss *l) { return l->asked->action.kind == MANTA_ACTION_GAUSSIAN; }

static int make_instance(batch *b, char *why) {
    const mt_check_loss *l = b->loss;
    manta_loss_config config = {.struct_size = sizeof config, .action = &l->asked->action};
    memset(why, 0, MANTA_ERROR_BYTES);
    mt_check_enter(l->session, "create");
    int code = l->desc->create(&config, &b->instance, why);
    mt_check_leave(l->session);
    why[MANTA_ERROR_BYTES - 1] = 0;
    if (code) b->instance = NULL;
    if (code && *why) return 2;
    if (!code && b->instance) return 0;
    mt_check_say(l->session, MT_VERDICT_FAIL, "create", "%s: %s", l->asked->name,
        code ? "create failed and left no message in `error`" : "create returned 0 but left *out NULL");
    return 1;
}

static int64_t elements(const batch *b, int array, int64_t rows) {
    const manta_action_space *a = &b->loss->asked->action;
    int box = is_box(b->loss);
    switch (array) {
    case HEAD:
    case D_HEAD: return rows * a->head;
    case LOG_STD:
    case D_LOG_STD: return box ? (b->log_std_rows ? rows : 1) * a->components : 0;
    case CHOICE: return box ? 0 : rows * a->components;
    case TAKEN: return box ? rows * a->components : 0;
    case MASK: return b->masked ? rows * a->head : 0;
    case SUMS: return MANTA_LOSS_SUMS;
    default: return rows;
    }
}

static size_t element_bytes(int array) { return array == MASK ? 1 : array == SUMS ? sizeof(double) : sizeof(float); }

static void fill(mt_guard *g, int array, double scale, double middle) {
    for (int64_t i = 0; i < mt_check_count(g); i++)
        mt_check_floats(g)[i] = (float)(middle + scale * (double)mt_check_number((uint64_t)array + 40, (uint64_t)i));
}

static void fill_choices(batch *b, int64_t rows) {
    const manta_action_space *a = &b->loss->asked->action;
    uint8_t *mask = b->array[MASK].start;
    for (int64_t i = 0; mask && i < rows * a->head; i++) mask[i] = mt_check_number(77, (uint64_t)i) > -0.4f;
    for (int64_t r = 0, at = 0; r < rows && b->array[CHOICE].map; r++)
        for (uint32_t c = 0; c < a->components; at += a->nvec[c++]) {
            int32_t pick = (int32_t)((r * 5 + c) % a->nvec[c]);
            ((int32_t *)b->array[CHOICE].start)[r * a->components + c] = pick;
            if (mask) mask[at + pick] = 1;
        }
}

static void bind(batch *b, int64_t rows) {
    const mt_guard *g = b->array;
    b->given = (manta_loss_batch){.struct_size = sizeof b->given,
        .device = MANTA_DEVICE_CPU,
        .action = &b->loss->asked->action,
        .rows = rows,
        .head = g[HEAD].start,
        .log_std = g[LOG_STD].start,
        .log_std_rows = (uint32_t)b->log_std_rows,
        .value = g[VALUE].start,
        .choice = g[CHOICE].start,
        .taken = g[TAKEN].start,
        .mask = g[MASK].start,
        .old_log_prob = g[OLD_LOG_PROB].start,
        .advantage = g[ADVANTAGE].start,
        .adv_mean = 0.1f,
        .adv_inv_std = 0.8f,
        .returns = g[RETURNS].start,
        .old_value = g[OLD_VALUE].start,
        .clip_range = 0.2f,
        .clip_range_vf = b->clip_value ? 0.25f : -1.0f,
        .ent_coef = 0.03f,
        .vf_coef = 0.6f,
        .inv_rows = 1.0f / ROWS,
        .d_head = g[D_HEAD].start,
        .d_value = g[D_VALUE].start,
        .d_log_std = g[D_LOG_STD].start,
        .sums = g[SUMS].start};
}

// as if the policy had changed a little since it acted
static void fill_old(batch *b, int64_t rows) {
    for (int64_t r = 0; r < rows; r++) {
        float log_prob, entropy;
        manta_loss_row(&b->given, r, &log_prob, &entropy);
        mt_check_floats(&b->array[OLD_LOG_PROB])[r] = log_prob + 0.4f * mt_check_number(88, (uint64_t)r);
        mt_check_floats(&b->array[OLD_VALUE])[r] = mt_check_floats(&b->array[VALUE])[r] + 0.4f * mt_check_number(89, (uint64_t)r);
    }
}

// variant: bit 0 rows of log σ, or masks; bit 1 clipped values. 0; 1 after saying why not; 2: it refuses
static int batch_open(batch *b, mt_check_loss *l, int variant, int64_t rows, char *why) {
    memset(b, 0, sizeof *b);
    b->loss = l, b->log_std_rows = is_box(l) && (variant & 1), b->masked = !is_box(l) && (variant & 1),
    b->clip_value = variant >> 1 & 1;
    int failed = make_instance(b, why);
    for (int a = HEAD; a < ARRAYS && !failed; a++) {
        int64_t count = elements(b, a, rows);
        if (count) failed = mt_guard_map(&b->array[a], names[a], (size_t)count * element_bytes(a));
    }
    if (failed) return failed;
    bind(b, rows);
    fill(&b->array[HEAD], HEAD, 1.2, 0), fill(&b->array[VALUE], VALUE, 1, 0), fill(&b->array[TAKEN], TAKEN, 1.5, 0);
    fill(&b->array[LOG_STD], LOG_STD, 0.4, -0.3), fill(&b->array[ADVANTAGE], ADVANTAGE, 1.5, 0),
        fill(&b->array[RETURNS], RETURNS, 1, 0);
    fill_choices(b, rows);
    fill_old(b, rows);
    return 0;
}

static void batch_close(batch *b) {
    for (int a = 0; a < ARRAYS; a++) mt_guard_unmap(&b->array[a]);
    if (!b->instance) return;
    mt_check_enter(b->loss->session, "destroy");
    b->loss->desc->destroy(b->instance);
    mt_check_leave(b->loss->session);
    b->instance = NULL;
}

static int guards_broken(batch *b) {
    for (int a = HEAD; a < ARRAYS; a++) {
        long at;
        if (!b->array[a].map || !mt_guard_broken(&b->array[a], &at)) continue;
        mt_check_say(b->loss->session, MT_VERDICT_FAIL, "guard",
            "%s: the byte %ld %s of %s was written (%lld rows); it has %zu bytes: check the index", b->loss->asked->name,
            at < 0 ? -at : at, at < 0 ? "before the start" : "past the end", names[a], (long long)b->given.rows, b->array[a].bytes);
        return 1;
    }
    return 0;
}

static int call(batch *b) {
    if (b->array[D_LOG_STD].map) memset(b->array[D_LOG_STD].start, 0, b->array[D_LOG_STD].bytes);
    b->loss->session->shared->step++;
    mt_check_enter(b->loss->session, "gradient");
    b->loss->desc->gradient(b->instance, &b->given);
    mt_check_leave(b->loss->session);
    return guards_broken(b);
}

static double total(const batch *b) { return ((const double *)b->array[SUMS].start)[MANTA_LOSS_TOTAL]; }

// ---- contract

static int say(const batch *b, const char *check, const char *format, const char *name) {
    char text[400];
    snprintf(text, sizeof text, format, name);
    mt_check_say(b->loss->session, MT_VERDICT_FAIL, check, "%s: %s", b->loss->asked->name, text);
    return 1;
}

static int outputs_contract(batch *b) {
    double *sums = b->array[SUMS].start;
    mt_check_poison(&b->array[D_HEAD]), mt_check_poison(&b->array[D_VALUE]);
    for (int k = 0; k < MANTA_LOSS_SUMS; k++) sums[k] = NAN;
    if (call(b)) return 1;
    for (int a = D_HEAD; a <= D_VALUE; a++)
        if (mt_check_poisoned(&b->array[a]) >= 0) return say(b, "written", "%s is not written in every row", names[a]);
    for (int a = D_HEAD; a <= D_LOG_STD; a++)
        if (b->array[a].map && mt_check_nonfinite(&b->array[a]) >= 0)
            return say(b, "finite", "%s has a NaN or infinity, from finite numbers", names[a]);
    for (int k = 0; k < MANTA_LOSS_SUMS; k++)
        if (!isfinite(sums[k]))
            return say(b, "written", "%s must hold MANTA_LOSS_SUMS finite numbers after a call; write 0 where one means nothing",
                names[SUMS]);
    return 0;
}

static int read_only(batch *b) {
    char *copy[INPUTS] = {0};
    int found = 0;
    for (int a = HEAD; a < INPUTS; a++)
        if (b->array[a].map && (copy[a] = malloc(b->array[a].bytes))) memcpy(copy[a], b->array[a].start, b->array[a].bytes);
    int failed = call(b);
    for (int a = HEAD; a < INPUTS; a++) {
        if (copy[a] && !failed && !found && memcmp(copy[a], b->array[a].start, b->array[a].bytes) != 0)
            found = say(b, "read-only", "it changed %s, which it may only read", names[a]);
        free(copy[a]);
    }
    return failed || found;
}

// what a call wrote
typedef struct loss_outputs {
    float array[SUMS - D_HEAD][HEAD_MAX * ROWS];   // d_head, d_value, d_log_std
    double sums[MANTA_LOSS_SUMS];
} loss_outputs;

static void keep(const batch *b, loss_outputs *out) {
    for (int a = D_HEAD; a < SUMS; a++)
        if (b->array[a].map) memcpy(out->array[a - D_HEAD], b->array[a].start, b->array[a].bytes);
    memcpy(out->sums, b->array[SUMS].start, sizeof out->sums);
}

static void window(batch *b, int64_t row) {
    manta_loss_batch *one = &b->given;
    int64_t head = one->action->head, components = one->action->components;
    one->rows = 1, one->head += row * head, one->value += row, one->old_log_prob += row, one->advantage += row, one->returns += row,
    one->old_value += row;
    if (one->choice) one->choice += row * components;
    if (one->taken) one->taken += row * components;
    if (one->mask) one->mask += row * head;
    if (b->log_std_rows) one->log_std += row * components;
}

// outputs of a row stand at their beginnings when it is alone
static int row_differs(const batch *b, const loss_outputs *all, int64_t row) {
    for (int a = D_HEAD; a < SUMS; a++) {
        size_t width = b->array[a].bytes / ROWS / sizeof(float);
        if (!b->array[a].map || (a == D_LOG_STD && !b->log_std_rows)) continue;   // a shared one is a sum
        if (memcmp(all->array[a - D_HEAD] + width * (size_t)row, b->array[a].start, sizeof(float) * width) != 0)
            return say(b, "rows",
                "%s of a row alone has other bits than among others; a row's gradient depends on that row and inv_rows", names[a]);
    }
    return 0;
}

static int sums_differ(const batch *b, const loss_outputs *all, const double *sums, const double *log_std, const double *size) {
    static const char *const sum_names[MANTA_LOSS_SUMS] = {"sums[MANTA_LOSS_TOTAL]", "sums[MANTA_LOSS_VALUE]",
        "sums[MANTA_LOSS_ENTROPY]", "sums[MANTA_LOSS_APPROX_KL]", "sums[MANTA_LOSS_CLIPPED]"};
    for (int k = 0; k < MANTA_LOSS_SUMS; k++)
        if (fabs(sums[k] - all->sums[k]) > 1e-4 * (fabs(all->sums[k]) + 1))
            return say(b, "rows", "%s of rows one by one does not add up to that of all; sums are over rows, undivided", sum_names[k]);
    if (b->array[D_LOG_STD].map && !b->log_std_rows)
        for (int64_t i = 0; i < mt_check_count(&b->array[D_LOG_STD]); i++)
            if (fabs(log_std[i] - (double)all->array[D_LOG_STD - D_HEAD][i]) > 1e-4 * (size[i] + 1e-6))
                return say(b, "rows", "%s of rows one by one does not add up to that of all; it is a sum over rows, with inv_rows",
                    names[D_LOG_STD]);
    return 0;
}

// each row is the same alone, and the sums are sums
static int rows_apart(batch *b) {
    double sums[MANTA_LOSS_SUMS] = {0}, log_std[HEAD_MAX] = {0}, size[HEAD_MAX] = {0};
    int64_t shared = b->log_std_rows ? 0 : mt_check_count(&b->array[D_LOG_STD]);
    loss_outputs all;
    manta_loss_batch given = b->given;
    keep(b, &all);
    int failed = 0;
    for (int64_t r = 0; r < ROWS && !failed; r++) {
        window(b, r);
        failed = call(b) || row_differs(b, &all, r);
        b->given = given;
        for (int k = 0; k < MANTA_LOSS_SUMS; k++) sums[k] += ((const double *)b->array[SUMS].start)[k];
        for (int64_t i = 0; i < shared; i++) {
            double d = (double)mt_check_floats(&b->array[D_LOG_STD])[i];
            log_std[i] += d, size[i] += fabs(d);
        }
    }
    return failed || sums_differ(b, &all, sums, log_std, size);
}

static int reproducible(batch *b) {
    static const char words[] = "the same numbers gave other bits in %s the second time; compute from the arguments alone";
    loss_outputs first;
    if (call(b)) return 1;
    keep(b, &first);
    if (call(b)) return 1;
    for (int a = D_HEAD; a < SUMS; a++)
        if (b->array[a].map && memcmp(first.array[a - D_HEAD], b->array[a].start, b->array[a].bytes) != 0)
            return say(b, "reproducible", words, names[a]);
    return memcmp(first.sums, b->array[SUMS].start, sizeof first.sums) == 0 ? 0 : say(b, "reproducible", words, names[SUMS]);
}

void mt_check_loss_contract(mt_check_loss *l) {
    char why[MANTA_ERROR_BYTES];
    for (int variant = 0; variant < 4; variant++) {
        batch b;
        int failed =
            batch_open(&b, l, variant, ROWS, why) || outputs_contract(&b) || read_only(&b) || reproducible(&b) || rows_apart(&b);
        batch_close(&b);
        if (failed) return;
    }
    mt_check_enter(l->session, "destroy of NULL");
    l->desc->destroy(NULL);
    mt_check_leave(l->session);
    mt_check_say(l->session, MT_VERDICT_PASS, "written", "gradients and sums are written in each call");
    mt_check_say(l->session, MT_VERDICT_PASS, "finite", "no NaN or infinity from finite numbers");
    mt_check_say(l->session, MT_VERDICT_PASS, "read-only", "inputs are left as they are");
    mt_check_say(l->session, MT_VERDICT_PASS, "guard", "nothing is written outside the arrays");
    mt_check_say(l->session, MT_VERDICT_PASS, "reproducible", "the same numbers give the same bits");
    mt_check_say(
        l->session, MT_VERDICT_PASS, "rows", "a row's gradient depends on its own numbers alone, and sums add up over rows");
}

// ---- gradient

static double objective(void *context) {
    batch *b = context;
    call(b);   // its guards were looked at before
    return total(b) * (double)b->given.inv_rows;
}

static int wrong_by(batch *b, int output, int by, int last, int *flat) {
    if (!b->array[output].map) return 0;
    float *g = malloc(b->array[by].bytes);
    int wrong = !g || call(b);
    if (!wrong) {
        memcpy(g, b->array[by].start, b->array[by].bytes);
        mt_check_slope slope = {.f = objective,
            .context = b,
            .x = b->array[output].start,
            .g = g,
            .count = mt_check_count(&b->array[output]),
            .seed = 300};
        wrong = mt_check_slope_wrong(&slope);
        *flat &= slope.flat;
        if (wrong && last)
            mt_check_say(b->loss->session, MT_VERDICT_FAIL, "gradient",
                "%s%s: %s says that the loss changes by %.4g with %s%s, finite differences "
                "of sums[MANTA_LOSS_TOTAL] say %.4g; look at the derivative, and at inv_rows",
                b->loss->asked->name, b->clip_value ? ", values clipped" : "", names[by], slope.claimed, names[output],
                slope.index < 0 ? " as a whole" : "", slope.found);
    }
    free(g);
    return wrong;
}

// at one point of several (check_gradient.c)
static int wrong_at(mt_check_loss *l, int variant, int point, int last, int flat[2]) {
    char why[MANTA_ERROR_BYTES];
    batch b;
    int unused = 0, wrong = batch_open(&b, l, variant, ROWS, why);
    for (int64_t i = 0; i < ROWS && !wrong; i++) {
        mt_check_floats(&b.array[OLD_LOG_PROB])[i] += (float)point * 0.1f * mt_check_number(501, (uint64_t)i);
        mt_check_floats(&b.array[OLD_VALUE])[i] += (float)point * 0.1f * mt_check_number(502, (uint64_t)i);
    }
    wrong = wrong || wrong_by(&b, HEAD, D_HEAD, last, &flat[0]) || wrong_by(&b, VALUE, D_VALUE, last, &flat[1]) ||
            wrong_by(&b, LOG_STD, D_LOG_STD, last, &unused);
    batch_close(&b);
    return wrong;
}

void mt_check_loss_gradient(mt_check_loss *l) {
    int flat[2] = {1, 1};
    for (int variant = 0; variant < 4; variant++) {
        int point = 0;
        while (point < POINTS && wrong_at(l, variant, point, point == POINTS - 1, flat)) point++;
        if (point == POINTS) return;
    }
    static const char *const outputs[] = {"head", "value"};
    for (int o = 0; o < 2; o++)
        if (flat[o])
            mt_check_say(l->session, MT_VERDICT_WARN, "gradient", "%s: the %s changes nothing: this loss does not train it",
                l->asked->name, outputs[o]);
    mt_check_say(
        l->session, MT_VERDICT_PASS, "gradient", "d_head, d_value and d_log_std agree with finite differences of the total");
}
