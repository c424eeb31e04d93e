// The checker's parent: which checks run on what, each in a child of its own. The plugin is never loaded here.
//
// A subject is tried with several cases (kinds of action, shapes of input); a promise is kept when it is in all of them, and said
// to be once. What is broken is said with the case. A case may be refused with a message, but not all of them.
#include "policies/policy_check.h"

#include "policies/check_list.h"
#include "policies/policy_plugin.h"
#include "policies/policy_registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_MAX = 32, ANSWER_REFUSED = 1 };
static const char *const kinds[] = {"policy", "layer", "loss"};

typedef struct checker {
    mt_checker base;         // its lines come to take_line
    mt_check_line_fn line;   // the caller's
    void *context;
    const char *path;
    int kind;   // 0 policy, 1 layer, 2 loss
    uint32_t index;
    const mt_check_case *asked;
    int which;   // of the checks
    // of the subject
    char name[64];
    struct {
        char check[32], text[256];
        int cases;   // in which it was kept
    } kept[KEPT_MAX];
    int kept_count, cases;   // cases: tried and not refused
} checker;

// ---- the child

static const manta_policy_plugin *load(const checker *c, mt_check_session *session) {
    mt_plugin *plugin;
    const manta_policy_plugin *table = NULL;
    mt_check_enter(session, "loading");
    mt_status status = mt_plugin_open(c->path, &plugin);
    if (status == MT_OK) status = mt_policy_plugin_table(plugin, &table);
    mt_check_leave(session);
    if (status != MT_OK) mt_check_say(session, MT_VERDICT_FAIL, "load", "%s", mt_last_error());
    return table;   // stays loaded until the child's end
}

// the first child: does it load, and what is in it. The answer holds the three counts and a name comes with each subject's first
// line.
static void child_load(mt_check_session *session, void *argument) {
    const manta_policy_plugin *t = load(argument, session);
    if (!t) return;
    mt_check_say(session, MT_VERDICT_PASS, "load", "%s %s: %u polic%s, %u layer%s, %u loss%s", t->name, t->version, t->policy_count,
        t->policy_count == 1 ? "y" : "ies", t->layer_count, t->layer_count == 1 ? "" : "s", t->loss_count,
        t->loss_count == 1 ? "" : "es");
    session->shared->answer = t->policy_count | (uint64_t)t->layer_count << 16 | (uint64_t)t->loss_count << 32;
}

static void child_describe(mt_check_session *session, void *argument) {
    const checker *c = argument;
    const manta_policy_plugin *t = load(c, session);
    if (!t) return;
    const char *name = c->kind == 0   ? t->policies[c->index]->name
                       : c->kind == 1 ? t->layers[c->index]->name
                                      : t->losses[c->index]->name;
    const char *summary = c->kind == 0   ? t->policies[c->index]->summary
                          : c->kind == 1 ? t->layers[c->index]->summary
                                         : t->losses[c->index]->summary;
    uint32_t capabilities = c->kind == 0   ? t->policies[c->index]->capabilities
                            : c->kind == 1 ? t->layers[c->index]->capabilities
                                           : t->losses[c->index]->capabilities;
    mt_check_say(session, MT_VERDICT_PASS, "descriptor", "%s", name);
    static const mt_plugin_kind registered[] = {MT_PLUGIN_POLICY, MT_PLUGIN_LAYER, MT_PLUGIN_LOSS};
    if (mt_policy_registry_reserves(registered[c->kind], name))
        mt_check_say(session, MT_VERDICT_FAIL, "name", "which manta itself has: --plugin refuses it; rename the %s", kinds[c->kind]);
    if (!summary || !summary[0]) mt_check_say(session, MT_VERDICT_WARN, "summary", "there is none; a line helps users to find it");
    if (capabilities & MANTA_ON_CUDA)
        mt_check_say(session, MT_VERDICT_WARN, "cuda", "it says that it works on a GPU; this check runs it on the CPU alone");
}

static void check_network(checker *c, mt_check_session *session, const manta_policy_plugin *t) {
    static void (*const checks[])(mt_check_subject *) = {mt_check_plan, mt_check_contract, mt_check_compare, mt_check_gradient};
    char why[MANTA_ERROR_BYTES];
    mt_check_subject s = {.session = session,
        .asked = c->asked,
        .policy = c->kind == 0 ? t->policies[c->index] : NULL,
        .layer = c->kind == 1 ? t->layers[c->index] : NULL};
    int code = mt_check_subject_open(&s, why);
    if (code == 2) {
        session->shared->answer = ANSWER_REFUSED;
        if (c->which == 0) mt_check_say(session, MT_VERDICT_PASS, "refuses", "%s: %s", c->asked->name, why);
    }
    if (code == 0) checks[c->which](&s);
    mt_check_subject_close(&s);
}

static void child_check(mt_check_session *session, void *argument) {
    checker *c = argument;
    const manta_policy_plugin *t = load(c, session);
    if (!t) return;
    if (c->kind < 2) {
        check_network(c, session, t);
        return;
    }
    mt_check_loss l = {.session = session, .desc = t->losses[c->index], .asked = c->asked};
    char why[MANTA_ERROR_BYTES] = "";
    manta_loss *instance = NULL;
    mt_check_enter(session, "create");
    int code =
        l.desc->create(&(manta_loss_config){.struct_size = sizeof(manta_loss_config), .action = &c->asked->action}, &instance, why);
    if (!code && instance) l.desc->destroy(instance);
    mt_check_leave(session);
    why[sizeof why - 1] = 0;
    if (code && *why) {
        session->shared->answer = ANSWER_REFUSED;
        if (c->which == 0) mt_check_say(session, MT_VERDICT_PASS, "refuses", "%s: %s", c->asked->name, why);
        return;
    }
    (c->which == 0 ? mt_check_loss_contract : mt_check_loss_gradient)(&l);
}

// ---- the parent

static int kept_at(checker *c, const char *check) {
    int i = 0;
    while (i < c->kept_count && strcmp(c->kept[i].check, check) != 0) i++;
    if (i < c->kept_count || c->kept_count == KEPT_MAX) return i;
    snprintf(c->kept[i].check, sizeof c->kept[i].check, "%s", check);
    c->kept[i].text[0] = 0, c->kept[i].cases = 0;
    return c->kept_count++;
}

static void take_line(void *context, mt_verdict verdict, const char *check, const char *text) {
    checker *c = context;
    char full[700];
    if (strcmp(check, "descriptor") == 0 && verdict == MT_VERDICT_PASS) {
        snprintf(c->name, sizeof c->name, "%s", text);
        return;
    }
    int i = kept_at(c, check);
    if (*c->name && verdict == MT_VERDICT_PASS && i < KEPT_MAX && strcmp(check, "refuses") != 0) {
        snprintf(c->kept[i].text, sizeof c->kept[i].text, "%s", text);
        c->kept[i].cases++;
        return;
    }
    if (*c->name)
        snprintf(full, sizeof full, "%s %s, %s", kinds[c->kind], c->name, text);
    else
        snprintf(full, sizeof full, "%s", text);
    c->line(c->context, verdict, check, full);
}

// promises that were kept in all cases
static void flush(checker *c) {
    for (int i = 0; i < c->kept_count; i++) {
        char full[400];
        if (c->kept[i].cases < c->cases || !c->kept[i].text[0]) continue;
        snprintf(full, sizeof full, "%s %s: %s", kinds[c->kind], c->name, c->kept[i].text);
        c->line(c->context, MT_VERDICT_PASS, c->kept[i].check, full);
    }
    c->kept_count = c->cases = 0, c->name[0] = 0;
}

static mt_status run_case(checker *c, int checks, int *refused) {
    uint64_t answer;
    int before = c->base.failures;
    for (c->which = 0; c->which < checks && c->base.failures == before; c->which++) {
        MT_TRY(mt_checker_run(&c->base, child_check, c, &answer));
        if (answer == ANSWER_REFUSED) {
            ++*refused;
            return MT_OK;
        }
    }
    c->cases++;
    return MT_OK;
}

static mt_status run_subject(checker *c) {
    // a loss sees no observations, so an image is nothing new to it
    int cases = c->kind == 0 ? CHECK_CASES : CHECK_CASES - 1, refused = 0, before = c->base.failures;
    snprintf(c->name, sizeof c->name, "number %u", c->index + 1);   // until it says its own
    MT_TRY(mt_checker_run(&c->base, child_describe, c, NULL));
    for (int i = 0; i < cases && c->base.failures == before; i++) {
        c->asked = c->kind == 1 ? &mt_check_layer_cases[i] : &mt_check_policy_cases[i];
        MT_TRY(run_case(c, c->kind == 2 ? 2 : 4, &refused));
    }
    if (refused == cases)
        mt_checker_say(&c->base, MT_VERDICT_FAIL, "create",
            "it refuses everything that it was tried with; the defaults of its options must work");
    flush(c);
    return MT_OK;
}

mt_status mt_policy_plugin_check(const char *path, int64_t timeout_ns, mt_check_line_fn line, void *context, int *failures) {
    checker *c = calloc(1, sizeof *c);
    uint64_t counts;
    *failures = 0;
    if (!c) return MT_FAIL(NO_MEMORY, "no memory for a check");
    c->base = (mt_checker){
        .line = take_line, .context = c, .timeout_ns = timeout_ns, .whose = "plugins", .row = "row", .counted = "call"};
    c->line = line, c->context = context, c->path = path;
    mt_status status = mt_checker_run(&c->base, child_load, c, &counts);
    for (c->kind = 0; c->kind < 3 && status == MT_OK; c->kind++)
        for (c->index = 0; c->index < (counts >> 16 * c->kind & 0xffff) && status == MT_OK; c->index++) status = run_subject(c);
    *failures = c->base.failures;
    free(c);
    return status;
}
