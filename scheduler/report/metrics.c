// The table behind metrics.h, the printing of values for people, and docs/metrics.md. Pure functions; any thread.
#include "scheduler/report/metrics.h"

#include <math.h>
#include <string.h>

static const mt_metric_info table[MT_METRIC_COUNT] = {
#define MT_X(id, metric_name, metric_format, metric_unit, metric_meaning)                                              \
    [MT_METRIC_##id] = {                                                                                               \
        .name = metric_name,                                                                                           \
        .unit = metric_unit,                                                                                           \
        .meaning = metric_meaning,                                                                                     \
        .format = MT_METRIC_FORMAT_##metric_format,                                                                    \
    },
    MT_METRIC_LIST(MT_X)
#undef MT_X
};

const mt_metric_info *mt_metric_get(mt_metric metric) {
    MT_ASSERT((unsigned)metric < MT_METRIC_COUNT);
    return &table[metric];
}

mt_metric mt_metric_find(const char *name) {
    for (int i = 0; i < MT_METRIC_COUNT; i++)
        if (strcmp(table[i].name, name) == 0) return (mt_metric)i;
    return MT_METRIC_COUNT;
}

void mt_metrics_row_clear(mt_metrics_row *row) {
    for (int i = 0; i < MT_METRIC_COUNT; i++) row->value[i] = NAN;
}

mt_metric_set mt_metrics_row_present(const mt_metrics_row *row) {
    mt_metric_set set = 0;
    for (int i = 0; i < MT_METRIC_COUNT; i++)
        if (!isnan(row->value[i])) set |= (mt_metric_set)1 << i;
    return set;
}

// four significant digits, but whole digits never turn into an exponent while they fit: 12346, not 1.235e+04
static const char *general_format(double magnitude) {
    if (magnitude >= 1e9) return "%.4g";
    if (magnitude >= 999.95) return magnitude < 9999.95 ? "%.1f" : "%.0f";
    return "%.4g";
}

char *mt_metric_print(mt_metric metric, double value, char buffer[MT_METRIC_TEXT_BYTES]) {
    double magnitude = fabs(value);
    const char *format = "%.4g";
    if (isnan(value)) {
        buffer[0] = '\0';
        return buffer;
    }
    switch (mt_metric_get(metric)->format) {
    case MT_METRIC_FORMAT_COUNT: format = magnitude < 1e11 ? "%.0f" : "%.4g"; break;
    case MT_METRIC_FORMAT_SECONDS: format = magnitude < 1000 ? "%.3f" : magnitude < 1e9 ? "%.1f" : "%.4g"; break;
    case MT_METRIC_FORMAT_GENERAL: format = general_format(magnitude); break;
    }
    snprintf(buffer, MT_METRIC_TEXT_BYTES, format, value);
    return buffer;
}

static const struct {
    const char *prefix, *heading;
} groups[] = {
    {"rollout/", "What the policy earns while it trains"},
    {"eval/", "What it earns when it is evaluated"},
    {"time/", "Steps and time"},
    {"train/", "The update"},
};

mt_status mt_metrics_write_markdown(FILE *out) {
    fputs(
        "# Metrics\n\n"
        "Every number a run reports. The names are Stable-Baselines3's and RL Baselines3 Zoo's where they have one.\n"
        "They are the columns of `progress.csv` and the curves in TensorBoard; `--verbose 2` prints them as a\n"
        "table, and `manta plot --y NAME` draws any of them. An empty cell means that a row has no such value (no\n"
        "episode has finished yet, no evaluation took place, the option is off).\n\n"
        "This file is generated from the table in `scheduler/report/metrics.h`; a test fails when the two differ and\n"
        "says how to write it anew.\n",
        out);
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        fprintf(out, "\n## %s\n\n| metric | unit | meaning |\n|---|---|---|\n", groups[g].heading);
        for (int i = 0; i < MT_METRIC_COUNT; i++) {
            if (strncmp(table[i].name, groups[g].prefix, strlen(groups[g].prefix)) != 0) continue;
            const char *unit = strcmp(table[i].unit, "1") == 0 ? "" : table[i].unit;
            fprintf(out, "| `%s` | %s | %s |\n", table[i].name, unit, table[i].meaning);
        }
    }
    if (fflush(out) != 0 || ferror(out)) return MT_FAIL(IO, "cannot write the metrics reference");
    return MT_OK;
}
