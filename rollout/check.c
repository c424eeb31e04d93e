// The checker's parent: which checks run, each in a child of its own (engine/base/check.h). The plugin is never loaded here.
#include "rollout/check.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "policies/policy_check.h"
#include "policies/policy_plugin.h"
#include "rollout/check_list.h"
#include "rollout/env_plugin.h"

typedef struct checker {
    mt_checker base;
    const manta_env_desc *desc;   // given, or NULL: environment `index` of the plugin at `path`
    const char *path;
    uint32_t index;
    uint32_t num_envs, steps;     // steps 0: the usual number
    void (*check)(check_session *);   // the running one
} checker;

// ---- the child

// the plugin, which stays loaded until the child's end; NULL after saying why not
static const mt_plugin *load(const checker *c, mt_check_session *session) {
    mt_plugin *plugin = NULL;
    mt_check_enter(session, "loading");
    mt_status status = mt_plugin_open(c->path, &plugin);
    mt_check_leave(session);
    if (status != MT_OK) mt_check_say(session, MT_VERDICT_FAIL, "load", "%s", mt_last_error());
    return plugin;
}

static const manta_env_plugin *load_environments(const checker *c, mt_check_session *session) {
    const mt_plugin *plugin = load(c, session);
    const manta_env_plugin *table = NULL;
    mt_check_enter(session, "loading");
    if (plugin && mt_env_plugin_table(plugin, &table) != MT_OK) mt_check_say(session, MT_VERDICT_FAIL, "load", "%s", mt_last_error());
    mt_check_leave(session);
    return table;
}

// the first child of a plugin: what does it export
enum { HAS_ENVIRONMENTS = 1, HAS_POLICIES = 2 };
static void check_exports(mt_check_session *session, void *argument) {
    const mt_plugin *plugin = load(argument, session);
    if (!plugin) return;
    session->shared->answer = (mt_env_plugin_has(plugin) ? HAS_ENVIRONMENTS : 0) | (mt_policy_plugin_has(plugin) ? HAS_POLICIES : 0);
    if (session->shared->answer == 0)
        mt_check_say(session, MT_VERDICT_FAIL, "load", "%s: it exports neither " MANTA_ENV_ENTRY_SYMBOL " nor " MANTA_POLICY_ENTRY_SYMBOL
            "; define one with MANTA_EXPORT (extern \"C\" in C++)", mt_plugin_path(plugin));
}

// the second: are its environments' tables in order, and how many are there
static void check_load(mt_check_session *session, void *argument) {
    const manta_env_plugin *table = load_environments(argument, session);
    if (!table) return;
    mt_check_say(session, MT_VERDICT_PASS, "load", "%s %s: %u environment%s", table->name, table->version, table->env_count,
        table->env_count == 1 ? "" : "s");
    session->shared->answer = table->env_count;
}

static void check_one(mt_check_session *base, void *argument) {
    const checker *c = argument;
    const manta_env_plugin *table = c->desc ? NULL : load_environments(c, base);
    check_session session = {.base = *base, .desc = table ? table->envs[c->index] : c->desc, .num_envs = c->num_envs,
        .steps = c->steps ? c->steps : 2000};
    if (!session.desc) return;
    uint32_t limit = session.desc->max_episode_steps;
    if (c->steps == 0 && limit && limit < 100000 && limit + 100 > session.steps) session.steps = limit + 100;
    c->check(&session);
}

// ---- the parent

static mt_status run_all(checker *c) {
    static void (*const checks[])(check_session *) = {check_descriptor, check_contract, check_reset_mask, check_reproducible,
        check_rows, check_instances, check_snapshot, check_render};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        int before = c->base.failures;
        c->check = checks[i];
        MT_TRY(mt_checker_run(&c->base, check_one, c, NULL));
        if (checks[i] == check_descriptor && c->base.failures > before) break;   // nothing else could work
    }
    return MT_OK;
}

static checker make(const mt_check_options *options, mt_check_line_fn line, void *context) {
    mt_check_options o = options ? *options : (mt_check_options){0};
    return (checker){.num_envs = o.num_envs ? o.num_envs : 7, .steps = o.steps,
        .base = {.line = line, .context = context, .timeout_ns = o.timeout_ns, .whose = "environments", .row = "environment", .counted = "step"}};
}

mt_status mt_env_check(const manta_env_desc *desc, const mt_check_options *options, mt_check_line_fn line, void *context,
    int *failures) {
    checker c = make(options, line, context);
    c.desc = desc;
    mt_status status = run_all(&c);
    *failures = c.base.failures;
    return status;
}

mt_status mt_plugin_check(const char *path, const mt_check_options *options, mt_check_line_fn line, void *context, int *failures) {
    char resolved[PATH_MAX];   // a plugin is opened by an absolute path alone
    *failures = 0;
    if (!realpath(path, resolved)) return MT_FAIL(NOT_FOUND, "plugin %s: %s; check the path", path, strerror(errno));
    checker c = make(options, line, context);
    c.path = resolved;
    uint64_t exports, count = 0;
    int policy_failures = 0;
    mt_status status = mt_checker_run(&c.base, check_exports, &c, &exports);
    if (status == MT_OK && (exports & HAS_ENVIRONMENTS)) status = mt_checker_run(&c.base, check_load, &c, &count);
    for (c.index = 0; c.index < count && status == MT_OK; c.index++) status = run_all(&c);
    if (status == MT_OK && (exports & HAS_POLICIES))
        status = mt_policy_plugin_check(resolved, c.base.timeout_ns, line, context, &policy_failures);
    *failures = c.base.failures + policy_failures;
    return status;
}
