// manta status: how the jobs of this user on this host are. Asks each through its socket; the answer is JSON, printed as it is, as
// Prometheus's text, or as tables.
#include "apps/app.h"

#include "engine/base/clock.h"
#include "engine/runtime/status/status_client.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct status_config {
    bool json, prometheus;
    double timeout;
} status_config;

#define ROW(field) MT_OPTION(status_config, field), .group = "Status"
static const mt_option options_table[] = {
    {ROW(json), .type = MT_OPT_BOOL, .standard = "false", .help = "everything as JSON, an object a job"},
    {ROW(prometheus), .type = MT_OPT_BOOL, .standard = "false", .help = "the numbers in Prometheus's text format"},
    {ROW(timeout), .type = MT_OPT_FLOAT, .standard = "10", .range = "(0, 3600]", .why = "it is a wait", .unit = "seconds",
        .help = "how long a job has for its answer; ranks have 2 s of it"},
};

static status_config config;
static size_t sections(mt_option_section *out) {
    out[0] = (mt_option_section){.table = options_table, .count = MT_COUNT(options_table), .object = &config};
    return 1;
}

// ---- tables

// what a job says goes to a terminal: no control bytes
static const char *text_of(const json_t *object, const char *key, char out[200]) {
    const char *text = json_string_value(json_object_get(object, key));
    snprintf(out, 200, "%s", text ? text : "");
    for (char *at = out; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f) *at = '?';
    return out;
}

static double number(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }
static double inner(const json_t *object, const char *group, const char *key) { return number(json_object_get(object, group), key); }

static const char *bytes_text(double bytes, char out[32]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < MT_COUNT(units)) bytes /= 1024, unit++;
    snprintf(out, 32, unit && bytes < 10 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return out;
}

static const char *time_text(double seconds, char out[32]) {
    long long s = (long long)seconds;
    if (s < 60) snprintf(out, 32, "%.1f s", seconds);
    else if (s < 86400) snprintf(out, 32, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else snprintf(out, 32, "%lld d %02lld:%02lld", s / 86400, s / 3600 % 24, s / 60 % 60);
    return out;
}

static void print_resources(const json_t *resources) {
    const char *name;
    json_t *r;
    char a[32], b[32];
    printf("  resources   ");
    const char *between = "";
    json_object_foreach((json_t *)(uintptr_t)resources, name, r) {
        double total = number(r, "total"), free_now = number(r, "available");
        if (total == 0) continue;
        if (strcmp(name, "memory") == 0) printf("%smemory %s of %s free", between, bytes_text(free_now, a), bytes_text(total, b));
        else printf("%s%.40s %g of %g free", between, name, free_now, total);
        between = ", ";
    }
    putchar('\n');
}

static void print_ranks(const json_t *ranks) {
    size_t i;
    json_t *r;
    char host[200], state[200], stored[32], spilled[32], cpus[48];
    printf("\n  %6s %-16s %9s %-10s %11s %7s %7s %7s %8s %10s %10s\n", "rank", "host", "pid", "state", "CPUs free", "actors", "running", "queued", "objects",
        "in memory", "on disk");
    json_array_foreach((json_t *)(uintptr_t)ranks, i, r) {
        text_of(r, "state", state);
        if (strcmp(state, "ok") != 0) {
            printf("  %6.0f %-16s %9s %-10s\n", number(r, "rank"), "", "", state);
            continue;
        }
        const json_t *cpu = json_object_get(json_object_get(r, "resources"), "CPU");
        snprintf(cpus, sizeof cpus, "%g of %g", number(cpu, "available"), number(cpu, "total"));
        printf("  %6.0f %-16.16s %9.0f %-10s %11s %7.0f %7.0f %7.0f %8.0f %10s %10s\n", number(r, "rank"), text_of(r, "host", host), number(r, "pid"), state, cpus,
            number(r, "actor_count"), inner(r, "tasks", "running"), inner(r, "tasks", "queued"), inner(r, "objects", "owned"),
            bytes_text(inner(r, "objects", "stored_bytes"), stored), bytes_text(inner(r, "objects", "spilled_bytes"), spilled));
    }
}

static void print_actors(const json_t *ranks) {
    size_t i, k, shown = 0;
    json_t *r, *a;
    char class_name[200], name[200];
    json_array_foreach((json_t *)(uintptr_t)ranks, i, r) {
        json_array_foreach(json_object_get(r, "actors"), k, a) {
            if (!shown++) printf("\n  %-28s %-20s %6s %7s %7s\n", "actor", "name", "rank", "running", "queued");
            printf("  %-28.60s %-20.60s %6.0f %7.0f %7.0f\n", text_of(a, "class", class_name), text_of(a, "name", name), number(r, "rank"), number(a, "running"), number(a, "queued"));
        }
    }
}

static mt_status print_tables(const mt_text *answer) {
    json_error_t error;
    json_t *job = json_loadb(mt_text_str(answer), answer->length, 0, &error);
    char command[200], word[200], up[32];
    if (!job) return MT_FAIL(CORRUPT, "the job's answer is no JSON: %s", error.text);
    printf("job %s, pid %.0f: %s\n", text_of(job, "job", word), number(job, "pid"), text_of(job, "command", command));
    printf("  up          %s\n  ranks       %.0f on %.0f host%s", time_text(number(job, "uptime_seconds"), up), number(job, "size"), number(job, "hosts"), number(job, "hosts") == 1 ? "" : "s");
    if (number(job, "dead") > 0) printf(", %.0f DEAD", number(job, "dead"));
    if (number(job, "silent") > 0) printf(", %.0f give no answer", number(job, "silent"));
    putchar('\n');
    print_resources(json_object_get(job, "resources"));
    print_ranks(json_object_get(job, "ranks"));
    print_actors(json_object_get(job, "ranks"));
    json_decref(job);
    return MT_OK;
}

// ---- asking

static mt_status show(const char *folder, const char *name) {
    mt_text answer = {0};
    mt_status status = mt_status_ask(folder, name, config.prometheus ? MT_STATUS_PROMETHEUS : MT_STATUS_JSON,
        mt_deadline_after((int64_t)(config.timeout * 1e9)), &answer);
    if (status == MT_OK && (config.json || config.prometheus)) fwrite(answer.data, 1, answer.length, stdout);
    else if (status == MT_OK) status = print_tables(&answer);
    mt_text_fini(&answer);
    return status;
}

// JOB: a pid, or the word that the job calls itself (manta launch's). Asked of the job itself, since only it knows its word.
static int is_job(const char *folder, const char *name, const char *wanted) {
    size_t length = strlen(wanted);
    if (strncmp(name, wanted, length) == 0 && strcmp(name + length, ".sock") == 0) return 1;
    mt_text answer = {0};
    int same = 0;
    if (mt_status_ask(folder, name, MT_STATUS_JSON, mt_deadline_after((int64_t)(config.timeout * 1e9)), &answer) == MT_OK) {
        json_t *job = json_loadb(mt_text_str(&answer), answer.length, 0, NULL);
        const char *word = json_string_value(json_object_get(job, "job"));
        same = word && strcmp(word, wanted) == 0;
        json_decref(job);
    }
    mt_text_fini(&answer);
    return same;
}

static mt_status show_jobs(const char *wanted) {
    char folder[MT_PATH_BYTES];
    mt_folder_names jobs;
    MT_TRY(mt_status_jobs(folder, sizeof folder, &jobs));
    mt_status first = MT_OK;
    size_t shown = 0;
    for (size_t i = 0; i < jobs.count; i++) {
        if (wanted && !is_job(folder, jobs.names[i], wanted)) continue;
        if (shown++ && !config.json && !config.prometheus) putchar('\n');
        MT_KEEP(first, show(folder, jobs.names[i]));
    }
    mt_folder_names_fini(&jobs);
    if (shown) return first;
    if (wanted) return MT_FAIL(NOT_FOUND, "no job %s of yours runs on this host; manta status without a word lists those that do", wanted);
    return MT_FAIL(NOT_FOUND, "no job of yours runs on this host (looked in %s); a job answers on the host of its rank 0", folder);
}

static mt_status run(int argc, char **argv) {
    mt_option_section list[1];
    mt_options options = {0};
    const char *job = NULL;
    size_t count = 0;
    int done = 0;
    mt_status status = mt_app_parse(&mt_app_status, &options, list, sections(list), argc, argv, &job, 1, &count, &done);
    if (status == MT_OK && !done && config.json && config.prometheus) status = MT_FAIL(CONFIG, "--json or --prometheus, not both");
    if (status == MT_OK && !done) status = show_jobs(count ? job : NULL);
    mt_options_fini(&options);
    return status;
}

const mt_app mt_app_status = {
    .name = "status",
    .summary = "how the jobs that run on this host are: ranks, resources, actors, tasks, objects",
    .usage = "manta status [JOB] [--json | --prometheus]",
    .details = "JOB is the pid of a job's rank 0, or the word that manta launch gave it. Asks through a socket that only this user can reach, "
               "on the host of rank 0; nothing listens on a network. A rank that gives no answer within 2 s is shown as such.",
    .run = run,
    .sections = sections,
};
