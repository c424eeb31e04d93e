// A census as JSON and in Prometheus's text format. Pure functions.
//
// Numbers that only grow end in _total; bytes and seconds are what they are called; a rank that gave no answer has manta_rank_up 0
// and nothing else, so that nobody takes its last numbers for new ones.
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/option.h"
#include "engine/runtime/status/census.h"

static const char *const states[] = {[MT_RANK_SILENT] = "no answer", [MT_RANK_ANSWERED] = "ok", [MT_RANK_GONE] = "dead"};

static const char *class_name(const mt_census *c, uint32_t number) {
    return c->program && number < c->program->desc->class_count ? c->program->desc->classes[number].name : "?";
}

static double amount(int resource, int64_t value) {
    return resource == MT_RESOURCE_MEMORY ? (double)value : (double)value / MT_RESOURCE_UNIT;
}

// The numbers of a rank: X(field, group in JSON, name in JSON, name in Prometheus, whether it only grows, help)
#define RANK_NUMBERS(X)                                                                                                \
    X(pending_tasks, "tasks", "pending", "tasks_pending", 0, "calls that this rank made and that are not done")        \
    X(queued_runs, "tasks", "queued", "tasks_queued", 0, "calls that wait here for resources or for their turn")       \
    X(running_runs, "tasks", "running", "tasks_running", 0, "calls that run here")                                     \
    X(submitted, "tasks", "submitted", "calls_submitted_total", 1, "calls made by this rank")                          \
    X(finished, "tasks", "finished", "calls_finished_total", 1, "calls that ended with a value")                       \
    X(failed, "tasks", "failed", "calls_failed_total", 1, "calls that ended with an error")                            \
    X(retried, "tasks", "retried", "calls_retried_total", 1, "calls that were made again")                             \
    X(objects, "objects", "owned", "objects_owned", 0, "objects whose state this rank keeps")                          \
    X(borrowed, "objects", "borrowed", "objects_borrowed", 0, "other ranks' objects that are held here")               \
    X(stored, "objects", "stored", "objects_stored", 0, "large objects in this rank's memory")                         \
    X(stored_bytes, "objects", "stored_bytes", "objects_stored_bytes", 0, "bytes of them")                             \
    X(spilled, "objects", "spilled", "objects_spilled", 0, "objects on this rank's disk")                              \
    X(spilled_bytes, "objects", "spilled_bytes", "objects_spilled_bytes", 0, "bytes of them")                          \
    X(fetched_bytes, "objects", "sent_bytes", "objects_sent_bytes_total", 1, "bytes of objects sent to other hosts")         \
    X(sent, "messages", "sent", "messages_sent_total", 1, "messages sent")                                             \
    X(received, "messages", "received", "messages_received_total", 1, "messages received")                             \
    X(dropped_messages, "messages", "dropped", "messages_dropped_total", 1, "messages that were none, or from the dead") \
    X(memory_bytes, "messages", "records_bytes", "records_bytes", 0, "memory of the runtime's own records")

// ---- JSON

static json_t *group_of(json_t *rank, const char *name) {
    json_t *group = json_object_get(rank, name);
    if (group) return group;
    json_object_set_new(rank, name, json_object());
    return json_object_get(rank, name);
}

static json_t *resources_json(const mt_resource_names *names, const mt_resources *total, const mt_resources *available) {
    json_t *out = json_object();
    for (int i = 0; i < names->count; i++)
        json_object_set_new(out, names->name[i], json_pack("{s:f, s:f}", "total", amount(i, total->amount[i]), "available", amount(i, available->amount[i])));
    return out;
}

static json_t *actor_json(const mt_census *c, const mt_actor_entry *a) {
    char id[64];
    snprintf(id, sizeof id, "%u.%u.%" PRIx64, a->actor.owner, a->actor.slot, a->actor.serial);
    json_t *out = json_pack("{s:s, s:s, s:i, s:i}", "id", id, "class", class_name(c, a->class_number), "queued", (int)a->queued, "running", (int)a->running);
    // a name is text of the user's; what is no UTF-8 is left out
    if (a->name[0]) json_object_set_new(out, "name", json_string(a->name));
    return out;
}

static json_t *rank_json(const mt_census *c, int rank) {
    const mt_census_rank *r = &c->ranks[rank];
    json_t *out = json_pack("{s:i, s:s, s:i}", "rank", rank, "state", states[r->state], "node", r->node);
    if (r->state != MT_RANK_ANSWERED) return out;
    json_object_set_new(out, "host", json_string(r->entry.host));
    json_object_set_new(out, "pid", json_integer(r->entry.pid));
    json_object_set_new(out, "resources", resources_json(c->names, &r->entry.stats.total, &r->entry.stats.available));
#define X(field, group, json_name, name, grows, help) \
    json_object_set_new(group_of(out, group), json_name, json_integer((json_int_t)r->entry.stats.field));
    RANK_NUMBERS(X)
#undef X
    json_t *actors = json_array();
    for (uint32_t i = 0; i < r->entry.listed; i++) json_array_append_new(actors, actor_json(c, &r->actors[i]));
    json_object_set_new(out, "actor_count", json_integer((json_int_t)r->entry.stats.actors));
    json_object_set_new(out, "actors", actors);
    return out;
}

mt_status mt_census_json(const mt_census *c, const mt_census_title *title, mt_text *out) {
    mt_resources total = {0}, available = {0};
    int counts[3] = {0}, hosts = 0;
    json_t *ranks = json_array();
    for (int r = 0; r < c->size; r++) {
        json_array_append_new(ranks, rank_json(c, r));
        counts[c->ranks[r].state]++;
        if (c->ranks[r].node >= hosts) hosts = c->ranks[r].node + 1;
        if (c->ranks[r].state != MT_RANK_ANSWERED) continue;
        mt_resources_add(&total, &c->ranks[r].entry.stats.total);
        mt_resources_add(&available, &c->ranks[r].entry.stats.available);
    }
    json_t *all = json_pack("{s:s?, s:s?, s:I, s:f, s:i, s:i, s:i, s:i, s:o, s:o}", "job", title->job, "command", title->command, "pid", (json_int_t)title->pid,
        "uptime_seconds", 1e-9 * (double)c->uptime_ns, "size", c->size, "hosts", hosts, "dead", counts[MT_RANK_GONE], "silent", counts[MT_RANK_SILENT],
        "resources", resources_json(c->names, &total, &available), "ranks", ranks);
    char *text = all ? json_dumps(all, JSON_INDENT(1)) : NULL;
    json_decref(all);
    if (!text) return MT_FAIL(NO_MEMORY, "out of memory for the state of %d ranks", c->size);
    mt_text_append(out, text);
    mt_text_append(out, "\n");
    free(text);
    return mt_text_status(out);
}

// ---- Prometheus

// a label's value: \, " and the end of a line are escaped; other control bytes become '?'
static void label(mt_text *out, const char *name, const char *value) {
    mt_text_printf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\\' || *value == '"') mt_text_printf(out, "\\%c", *value);
        else if (*value == '\n') mt_text_append(out, "\\n");
        else mt_text_append_bytes(out, (unsigned char)*value < 0x20 ? "?" : value, 1);
    }
    mt_text_append(out, "\"");
}

static void head(mt_text *out, const char *name, const char *type, const char *help) {
    mt_text_printf(out, "# HELP manta_%s %s\n# TYPE manta_%s %s\n", name, help, name, type);
}

// manta_NAME{job="...",rank="3"   and the caller goes on
static void begin(mt_text *out, const char *name, const mt_census_title *title, int rank) {
    mt_text_printf(out, "manta_%s{", name);
    label(out, "job", title->job);
    if (rank >= 0) mt_text_printf(out, ",rank=\"%d\"", rank);
}

static void end(mt_text *out, double value) { mt_text_printf(out, "} %.17g\n", value); }

static void job_number(mt_text *out, const mt_census_title *title, const char *name, const char *help, double value) {
    head(out, name, "gauge", help);
    begin(out, name, title, -1);
    end(out, value);
}

static void rank_states(mt_text *out, const mt_census *c, const mt_census_title *title) {
    head(out, "rank_up", "gauge", "1: the rank answers; 0: it is dead or gives no answer");
    for (int r = 0; r < c->size; r++) {
        begin(out, "rank_up", title, r);
        mt_text_append(out, ",");
        label(out, "host", c->ranks[r].state == MT_RANK_ANSWERED ? c->ranks[r].entry.host : "");
        end(out, c->ranks[r].state == MT_RANK_ANSWERED);
    }
}

static void resources(mt_text *out, const mt_census *c, const mt_census_title *title, const char *name, const char *help, int available) {
    head(out, name, "gauge", help);
    for (int r = 0; r < c->size; r++) {
        const mt_core_stats *s = &c->ranks[r].entry.stats;
        for (int i = 0; c->ranks[r].state == MT_RANK_ANSWERED && i < c->names->count; i++) {
            begin(out, name, title, r);
            mt_text_append(out, ",");
            label(out, "resource", c->names->name[i]);
            end(out, amount(i, available ? s->available.amount[i] : s->total.amount[i]));
        }
    }
}

// Actors by class: how many, and how many calls wait for them. One line per actor would be a series that ends with it.
static void actors(mt_text *out, const mt_census *c, const mt_census_title *title, const char *name, const char *help, int queued) {
    head(out, name, "gauge", help);
    size_t classes = c->program ? c->program->desc->class_count : 0;
    int64_t *sums = calloc(classes + 1, sizeof *sums);
    for (int r = 0; sums && r < c->size; r++) {
        if (c->ranks[r].state != MT_RANK_ANSWERED) continue;
        memset(sums, 0, (classes + 1) * sizeof *sums);
        for (uint32_t i = 0; i < c->ranks[r].entry.listed; i++) {
            const mt_actor_entry *a = &c->ranks[r].actors[i];
            sums[a->class_number < classes ? a->class_number : classes] += queued ? a->queued : 1;
        }
        for (size_t k = 0; k < classes; k++) {
            begin(out, name, title, r);
            mt_text_append(out, ",");
            label(out, "class", class_name(c, (uint32_t)k));
            end(out, (double)sums[k]);
        }
    }
    free(sums);
}

mt_status mt_census_prometheus(const mt_census *c, const mt_census_title *title, mt_text *out) {
    int counts[3] = {0};
    for (int r = 0; r < c->size; r++) counts[c->ranks[r].state]++;
    job_number(out, title, "uptime_seconds", "since the runtime started", 1e-9 * (double)c->uptime_ns);
    job_number(out, title, "ranks", "of the job", c->size);
    job_number(out, title, "ranks_dead", "out of the job", counts[MT_RANK_GONE]);
    job_number(out, title, "ranks_silent", "that gave no answer in time", counts[MT_RANK_SILENT]);
    rank_states(out, c, title);
    resources(out, c, title, "resource_total", "what the rank has; memory in bytes", 0);
    resources(out, c, title, "resource_available", "what of it is free", 1);
    actors(out, c, title, "actors", "that live on the rank", 0);
    actors(out, c, title, "actor_calls_queued", "that wait for actors of the rank", 1);
#define X(field, group, json_name, name, grows, help)                                                                  \
    head(out, name, grows ? "counter" : "gauge", help);                                                                \
    for (int r = 0; r < c->size; r++)                                                                                  \
        if (c->ranks[r].state == MT_RANK_ANSWERED) begin(out, name, title, r), end(out, (double)c->ranks[r].entry.stats.field);
    RANK_NUMBERS(X)
#undef X
    return mt_text_status(out);
}
