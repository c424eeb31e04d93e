// The synchronous on-policy flow. Start reading at mt_on_policy_iterate.
#include "scheduler/flows/on_policy.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "scheduler/actor_failure.h"
#include "scheduler/env_runner.h"
#include "scheduler/learner_actor.h"
#include "scheduler/weights_link.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mt_on_policy {
    manta_context *c;                 // borrowed
    const mt_rank_setup *setup;       // borrowed
    mt_layout layout;
    manta_actor *runners, *learners;  // owned (R), (L)
    manta_placement *placement;       // of those that reserve something. Nullable
    int *learner_rank, *runner_rank;  // owned (L), (R): where they stand
    manta_ref *news, *segments;       // owned (R): what the runners give in the running iteration
    mt_learner_reads *reads;          // owned (L): the workers whose segments a learner reads
    manta_ref *updated;               // owned (L, 2): news, parameters
    manta_value *heard;               // owned (R): the news, once they are there
    manta_ref *waiting;               // owned (L or R, whichever is more): what hear_all waits for
    int *waiting_for;                 // owned, likewise: whose they are
    bool *ready;                      // owned, likewise
    int linked;                       // weights go from learner 0's GPU to those of the runners (weights_link.h)
    manta_ref published;              // that they do, in the running iteration
    manta_ref parameters;             // held: an object of the newest
    mt_arena arena;
    mt_weights weights;               // the same, for evaluation here
    mt_normaliser normaliser;
    double *moments;                  // (doubles) the normaliser, as it is sent
    float *saved;                     // owned (3, params): the learner's state, once asked for
    mt_episode *episodes;             // (W · MT_EPISODES_SHARED) of the last iteration
    int64_t episode_count;
    int64_t iteration, steps, total_episodes;
    int64_t windowed;                 // episodes that went through the window
    mt_episode window[MT_RETURN_WINDOW];
};

// what went wrong in a call, as a status of this program; otherwise: when the actor did not say
static mt_status failed(const mt_on_policy *f, mt_status otherwise, const char *format, ...) __attribute__((format(printf, 3, 4)));
static mt_status failed(const mt_on_policy *f, mt_status otherwise, const char *format, ...) {
    manta_error_info e = manta_error(f->c);
    char what[160], why[800];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    mt_status status = e.code == MANTA_INFEASIBLE ? MT_CONFIG : e.code == MANTA_DEADLINE ? MT_DEADLINE
        : e.code == MANTA_ACTOR_DIED || e.code == MANTA_OBJECT_LOST || e.code == MANTA_COMM ? MT_COMM
        : e.code == MANTA_NO_MEMORY ? MT_NO_MEMORY : otherwise;
    mt_status said = mt_actor_failure_read(e.message, status, why, sizeof why);
    if (e.code == MANTA_TASK_FAILED) status = said;
    return mt_fail(status, __FILE__, __LINE__, "%s: %s%s", what, e.code == MANTA_DEADLINE ? "deadline passed: " : "", why);
}

// ---- one iteration

static void window_means(const mt_on_policy *f, mt_on_policy_report *report) {
    int64_t count = f->windowed < MT_RETURN_WINDOW ? f->windowed : MT_RETURN_WINDOW;
    double reward = 0, steps = 0;
    for (int64_t i = 0; i < count; i++) reward += f->window[i].reward, steps += f->window[i].steps;
    report->window = (int)count;
    report->ep_rew_mean = count ? reward / (double)count : NAN;
    report->ep_len_mean = count ? steps / (double)count : NAN;
}

// in worker order, so that every layout gets the same
static void read_news(mt_on_policy *f, int worker, const mt_worker_news *news, mt_on_policy_report *report) {
    if (news->signal > report->signal) report->signal = news->signal;
    if (news->seconds > report->rollout_seconds) report->rollout_seconds = news->seconds;
    for (int e = 0; e < news->listed; e++) {
        f->window[f->windowed++ % MT_RETURN_WINDOW] = news->episodes[e];
        f->episodes[f->episode_count++] = news->episodes[e];
    }
    f->total_episodes += news->ended;
    if (mt_layout_worker_envs(&f->layout, worker)) mt_normaliser_merge(&f->normaliser, (const double *)(news + 1));
}

static void call_runners(mt_on_policy *f) {
    int doubles = mt_normaliser_doubles(&f->normaliser);
    mt_normaliser_store(&f->normaliser, f->moments);
    if (f->linked) f->published = manta_tell(f->c, f->learners[0], "publish");
    for (int r = 0; r < f->layout.runners; r++) {
        const manta_arg args[] = {f->linked ? manta_vector(MANTA_TYPE_F32, 0, NULL) : manta_from(f->parameters), manta_vector(MANTA_TYPE_F64, doubles, f->moments)};
        manta_ref results[2];
        manta_invoke(f->c, f->runners[r], "collect", args, 2, results);
        f->news[r] = results[0], f->segments[r] = results[1];
    }
}

// Of a runner or learner that did not answer, or answered with a failure.
static mt_status runner_failed(mt_on_policy *f, int r) {
    return failed(f, MT_ENV, "environment runner %d (rank %d of %d)", r, f->runner_rank[r], f->layout.ranks);
}
static mt_status learner_failed(mt_on_policy *f, int l) {
    return failed(f, MT_INTERNAL, "learner %d (rank %d of %d)", l, f->learner_rank[l], f->layout.ranks);
}

// What all of them do at the same time: refs[step · i] is the answer of number i.
typedef struct hearing {
    const manta_ref *refs;
    int step, count;
    mt_status (*hear)(mt_on_policy *f, int i, void *context);   // it is there: takes it, or says why it failed
    mt_status (*failed)(mt_on_policy *f, int i);                // none is: i is the first of those
    void *context;
} hearing;

// Hears them in the order in which they come. Where one fails the others may wait for it inside, each for the whole timeout: the
// first failure that is more than a deadline is the reason, and nobody is asked any more.
static mt_status hear_all(mt_on_policy *f, const hearing *h) {
    int left = h->count;
    mt_status status = MT_OK;
    char message[1024] = "";
    for (int i = 0; i < left; i++) f->waiting[i] = h->refs[h->step * i], f->waiting_for[i] = i;
    while (left > 0) {
        int late = manta_wait(f->c, f->waiting, left, 1, MANTA_DEFAULT_TIMEOUT, f->ready) != MANTA_OK;
        int kept = 0;
        for (int i = 0; i < left; i++) {
            if (!late && !f->ready[i]) {
                f->waiting[kept] = f->waiting[i], f->waiting_for[kept++] = f->waiting_for[i];
                continue;
            }
            mt_status heard = late ? h->failed(f, f->waiting_for[i]) : h->hear(f, f->waiting_for[i], h->context);
            if (heard != MT_OK && heard != MT_DEADLINE) return heard;
            if (heard != MT_OK && !*message) snprintf(message, sizeof message, "%s", mt_last_error());
            MT_KEEP(status, heard);
            if (late) break;
        }
        left = late ? 0 : kept;
    }
    return status == MT_OK ? MT_OK : mt_fail(status, __FILE__, __LINE__, "%s", message);
}

static mt_status hear_news(mt_on_policy *f, int r, void *context) {
    manta_value *news = context;
    return manta_get(f->c, f->news[r], &news[r]) == MANTA_OK ? MT_OK : runner_failed(f, r);
}

static mt_status hear_runners(mt_on_policy *f, mt_on_policy_report *report) {
    size_t bytes = mt_worker_news_bytes(mt_normaliser_doubles(&f->normaliser));
    f->episode_count = 0;
    MT_TRY(hear_all(f, &(hearing){.refs = f->news, .step = 1, .count = f->layout.runners, .hear = hear_news, .failed = runner_failed,
        .context = f->heard}));
    for (int r = 0; r < f->layout.runners; r++) {
        int first = mt_layout_runner_first(&f->layout, r), end = mt_layout_runner_first(&f->layout, r + 1);
        for (int w = first; w < end; w++)
            read_news(f, w, (const mt_worker_news *)(const void *)((const char *)f->heard[r].data + bytes * (size_t)(w - first)), report);
    }
    mt_normaliser_publish(&f->normaliser);
    return MT_OK;
}

// Learner l's call waits for its segments, and for the news of all runners: when one of them fails, no learner begins and waits for
// the others. With too many runners for arguments the driver waits first (hear_runners), and the references go as a list.
static int arguments_fit(const mt_on_policy *f) { return 2 + 2 * f->layout.runners <= MANTA_MAX_ARGUMENTS; }

static void call_learners(mt_on_policy *f, double remaining) {
    for (int l = 0; l < f->layout.learners; l++) {
        manta_arg args[MANTA_MAX_ARGUMENTS] = {manta_i64(f->iteration), manta_f64(remaining)};
        int count = 2, first, end;
        mt_learner_runners(&f->layout, f->reads[l], &first, &end);
        if (arguments_fit(f)) {
            for (int r = first; r < end; r++) args[count++] = manta_from(f->segments[r]);
            for (int r = 0; r < f->layout.runners; r++) args[count++] = manta_from(f->news[r]);
        } else args[count++] = manta_references(f->segments, f->layout.runners);
        manta_invoke(f->c, f->learners[l], "update", args, count, &f->updated[2 * l]);
    }
}

static mt_status take_parameters(mt_on_policy *f, manta_ref parameters) {
    manta_value v;
    if (manta_get(f->c, parameters, &v) != MANTA_OK) return failed(f, MT_INTERNAL, "the learners' parameters");
    memcpy(f->weights.param, v.data, v.bytes);
    mt_weights_pack(&f->weights, f->setup->policy, f->setup->kernels, MT_POLICY_BOTH);
    f->weights.version++;
    if (f->parameters.serial) manta_release(f->c, f->parameters);
    f->parameters = parameters;
    return MT_OK;
}

static mt_status hear_update(mt_on_policy *f, int l, void *context) {
    mt_on_policy_report *report = context;
    manta_value v;
    if (manta_get(f->c, f->updated[2 * l], &v) != MANTA_OK) return learner_failed(f, l);
    const mt_learner_news *news = v.data;
    if (news->status != MT_OK) return mt_fail((mt_status)news->status, __FILE__, __LINE__, "%.500s", news->message);
    if (news->signal > report->signal) report->signal = news->signal;
    if (l == 0) report->learner = news->report;
    manta_release(f->c, f->updated[2 * l]);
    if (l > 0) manta_release(f->c, f->updated[2 * l + 1]);
    return MT_OK;
}

static mt_status hear_learners(mt_on_policy *f, mt_on_policy_report *report) {
    MT_TRY(hear_all(f, &(hearing){.refs = f->updated, .step = 2, .count = f->layout.learners, .hear = hear_update, .failed = learner_failed,
        .context = report}));
    if (f->linked && manta_get(f->c, f->published, NULL) != MANTA_OK) return learner_failed(f, 0);
    return take_parameters(f, f->updated[1]);
}

mt_status mt_on_policy_iterate(mt_on_policy *f, double remaining, mt_on_policy_report *report) {
    *report = (mt_on_policy_report){0};
    int64_t began = mt_clock_ns();

    // every runner fills its segments with the present weights
    call_runners(f);
    if (!arguments_fit(f)) MT_TRY(hear_runners(f, report));
    // every learner reads its workers' segments where they lie; gradients are summed between learners
    call_learners(f, remaining);
    // episodes and moments come here, while the learners are at work
    if (arguments_fit(f)) MT_TRY(hear_runners(f, report));
    MT_TRY(hear_learners(f, report));

    if (f->linked) manta_release(f->c, f->published);
    for (int r = 0; r < f->layout.runners; r++) manta_release(f->c, f->news[r]), manta_release(f->c, f->segments[r]);
    report->iteration = ++f->iteration;
    report->steps = f->steps += mt_on_policy_steps_per_iteration(f);
    report->episodes = f->episodes, report->episode_count = f->episode_count;
    report->total_episodes = f->total_episodes, report->listed_episodes = f->windowed;
    window_means(f, report);
    report->update_seconds = 1e-9 * (double)(mt_clock_ns() - began) - report->rollout_seconds;
    return MT_OK;
}

// ---- who stands where

static int learners_reserve(const mt_train_config *t) { return t->num_cpus_per_learner > 0 || t->num_gpus_per_learner > 0; }
static int runners_reserve(const mt_train_config *t) { return t->num_cpus_per_env_runner > 0; }

// Without numbers of the user's an actor reserves nothing and can stand on any rank: which, is the layout's to say.
static mt_status stand(mt_on_policy *f) {
    const mt_layout *layout = &f->layout;
    mt_placement placement = (mt_placement)f->setup->train->placement;
    int *node_of = malloc(sizeof *node_of * 2 * (size_t)layout->ranks), *order = node_of + layout->ranks;
    if (!node_of) return MT_FAIL(NO_MEMORY, "cannot allocate a list of %d ranks", layout->ranks);
    for (int r = 0; r < layout->ranks; r++) node_of[r] = manta_rank_node(f->c, r);
    mt_layout_order(layout, placement, node_of, order);
    int by_number = placement == MT_PLACEMENT_AUTO;
    for (int l = 0; l < layout->learners; l++)
        f->learner_rank[l] = by_number ? mt_layout_learner_rank(layout, l) : mt_layout_placed_learner(layout, order, l);
    for (int r = 0; r < layout->runners; r++)
        f->runner_rank[r] = by_number ? mt_layout_runner_rank(layout, r) : mt_layout_placed_runner(layout, order, r);
    free(node_of);
    return MT_OK;
}

// Bundles in this order: the learners that reserve something, the runners that do.
static int learner_bundle(const mt_on_policy *f, int l) { return f->placement && learners_reserve(f->setup->train) ? l : -1; }
static int runner_bundle(const mt_on_policy *f, int r) {
    const mt_train_config *t = f->setup->train;
    return f->placement && runners_reserve(t) ? (learners_reserve(t) ? f->layout.learners : 0) + r : -1;
}

// Learners sum between ranks, so a rank has one of them. A placement by reservations cannot promise that.
static mt_status check_learners(const mt_on_policy *f) {
    for (int l = 0; l < f->layout.learners; l++)
        for (int k = 0; k < l; k++)
            if (f->learner_rank[k] == f->learner_rank[l])
                return MT_FAIL(CONFIG, "the placement puts two learners on rank %d, and each needs a rank of its own: reserve nothing for "
                    "learners (num_cpus_per_learner 0 and num_gpus_per_learner 0), more than half of what a rank has, or use fewer num_learners",
                    f->learner_rank[l]);
    return MT_OK;
}

static mt_status place(mt_on_policy *f) {
    const mt_train_config *t = f->setup->train;
    int learners = learners_reserve(t) ? f->layout.learners : 0, count = learners + (runners_reserve(t) ? f->layout.runners : 0);
    MT_TRY(stand(f));
    if (t->placement == MT_PLACEMENT_AUTO || count == 0) return MT_OK;
    manta_bundle *bundles = calloc((size_t)count, sizeof *bundles);
    if (!bundles) return MT_FAIL(NO_MEMORY, "cannot allocate %d bundles", count);
    for (int i = 0; i < count; i++)
        bundles[i] = i < learners ? (manta_bundle){.num_cpus = t->num_cpus_per_learner, .num_gpus = t->num_gpus_per_learner}
                                  : (manta_bundle){.num_cpus = t->num_cpus_per_env_runner};
    f->placement = manta_placement_create(f->c, bundles, count, t->placement == MT_PLACEMENT_PACK ? MANTA_PACK : MANTA_SPREAD);
    free(bundles);
    if (!f->placement) return MT_FAIL(NO_MEMORY, "cannot allocate a placement group");
    if (manta_placement_wait(f->c, f->placement, MANTA_DEFAULT_TIMEOUT) != MANTA_OK)
        return failed(f, MT_CONFIG, "placing learners and environment runners");
    for (int l = 0; l < f->layout.learners; l++)
        if (learner_bundle(f, l) >= 0) f->learner_rank[l] = manta_placement_rank(f->placement, learner_bundle(f, l));
    for (int r = 0; r < f->layout.runners; r++)
        if (runner_bundle(f, r) >= 0) f->runner_rank[r] = manta_placement_rank(f->placement, runner_bundle(f, r));
    return check_learners(f);
}

// What an actor asks for. Those that reserve nothing take turns on a rank's cores.
static manta_options ask(const mt_on_policy *f, double cpus, double gpus, int rank, int bundle) {
    manta_options o = {.num_cpus = cpus > 0 ? cpus : MANTA_NO_CPU, .num_gpus = gpus};
    if (bundle >= 0) o.placement = f->placement, o.bundle = bundle;
    else o.on_rank = MANTA_ON_RANK(rank);
    return o;
}

static mt_status create_actors(mt_on_policy *f) {
    const mt_train_config *t = f->setup->train;
    for (int l = 0; l < f->layout.learners; l++) {
        manta_options o = ask(f, t->num_cpus_per_learner, t->num_gpus_per_learner, f->learner_rank[l], learner_bundle(f, l));
        f->learners[l] = manta_new(f->c, mt_learner_class.name, &o, manta_i64(l));
    }
    for (int r = 0; r < f->layout.runners; r++) {
        manta_options o = ask(f, t->num_cpus_per_env_runner, 0, f->runner_rank[r], runner_bundle(f, r));
        f->runners[r] = manta_new(f->c, mt_env_runner_class.name, &o, manta_i64(r));
    }
    for (int l = 0; l < f->layout.learners; l++)
        if (manta_get(f->c, f->learners[l].ref, NULL) != MANTA_OK) return failed(f, MT_INTERNAL, "creating learner %d", l);
    for (int r = 0; r < f->layout.runners; r++)
        if (manta_get(f->c, f->runners[r].ref, NULL) != MANTA_OK) return failed(f, MT_ENV, "creating environment runner %d", r);
    return MT_OK;
}

static mt_status hear_connected(mt_on_policy *f, int l, void *context) {
    (void)context;
    manta_value v;
    if (manta_get(f->c, f->updated[l], &v) != MANTA_OK) return learner_failed(f, l);
    const int64_t *reads = v.data;
    f->reads[l] = (mt_learner_reads){.first = (int)reads[0], .count = (int)reads[1]};
    manta_release(f->c, f->updated[l]);
    return MT_OK;
}

// The learners make their communicator; then the first weights are known.
static mt_status connect_learners(mt_on_policy *f) {
    int count = f->layout.learners;
    uint32_t *ranks = malloc(sizeof *ranks * (size_t)count);
    if (!ranks) return MT_FAIL(NO_MEMORY, "cannot allocate a list of %d ranks", count);
    for (int l = 0; l < count; l++) ranks[l] = (uint32_t)f->learner_rank[l];
    for (int l = 0; l < count; l++) f->updated[l] = manta_tell(f->c, f->learners[l], "connect", manta_vector(MANTA_TYPE_U32, count, ranks));
    free(ranks);
    MT_TRY(hear_all(f, &(hearing){.refs = f->updated, .step = 1, .count = count, .hear = hear_connected, .failed = learner_failed}));
    return take_parameters(f, manta_tell(f->c, f->learners[0], "weights"));
}

static mt_status hear_linked(mt_on_policy *f, int r, void *context) {
    (void)context;
    int code = manta_get(f->c, f->news[r], NULL);
    manta_release(f->c, f->news[r]);
    return code == MANTA_OK ? MT_OK : runner_failed(f, r);
}

// Learner 0 and the runners meet, where weights can go from GPU to GPU.
static mt_status link_weights(mt_on_policy *f) {
    const mt_devices *d = &f->setup->devices;
    int runners = f->layout.runners;
    f->linked = mt_weights_link_wanted(f->setup, f->learner_rank[0], f->runner_rank, runners);
    if (!f->linked) {
        if (mt_devices_learn(d) && mt_devices_act(d) && f->layout.ranks > 1)
            mt_log_info("weights go to environment runners through main memory, since one shares a rank with learner 0 or another: "
                "num_learners and num_env_runners that add up to the %d ranks set them apart", f->layout.ranks);
        return MT_OK;
    }
    uint32_t *ranks = malloc(sizeof *ranks * (size_t)(1 + runners));
    if (!ranks) return MT_FAIL(NO_MEMORY, "cannot allocate a list of %d ranks", 1 + runners);
    ranks[0] = (uint32_t)f->learner_rank[0];
    for (int r = 0; r < runners; r++) ranks[1 + r] = (uint32_t)f->runner_rank[r];
    manta_arg all = manta_vector(MANTA_TYPE_U32, 1 + runners, ranks);
    manta_ref learner = manta_tell(f->c, f->learners[0], "link", all);
    for (int r = 0; r < runners; r++) f->news[r] = manta_tell(f->c, f->runners[r], "link", all);
    free(ranks);
    mt_status status = hear_all(f, &(hearing){.refs = f->news, .step = 1, .count = runners, .hear = hear_linked, .failed = runner_failed});
    if (status == MT_OK && manta_get(f->c, learner, NULL) != MANTA_OK) status = learner_failed(f, 0);
    manta_release(f->c, learner);
    if (status == MT_OK) mt_log_info("weights go from learner 0's GPU to those of %d environment runner%s", runners, runners > 1 ? "s" : "");
    return status;
}

static mt_status build(mt_on_policy *f) {
    size_t runners = (size_t)f->layout.runners, learners = (size_t)f->layout.learners;
    f->runners = calloc(runners, sizeof *f->runners), f->learners = calloc(learners, sizeof *f->learners);
    f->news = calloc(runners, sizeof *f->news), f->segments = calloc(runners, sizeof *f->segments);
    f->updated = calloc(2 * learners, sizeof *f->updated), f->reads = calloc(learners, sizeof *f->reads);
    size_t most = runners > learners ? runners : learners;
    f->waiting = calloc(most, sizeof *f->waiting), f->waiting_for = calloc(most, sizeof *f->waiting_for);
    f->ready = calloc(most, sizeof *f->ready), f->heard = calloc(runners, sizeof *f->heard);
    f->learner_rank = calloc(learners, sizeof *f->learner_rank), f->runner_rank = calloc(runners, sizeof *f->runner_rank);
    if (!f->runners || !f->learners || !f->news || !f->segments || !f->updated || !f->reads || !f->heard || !f->waiting || !f->waiting_for ||
        !f->ready || !f->learner_rank || !f->runner_rank)
        return MT_FAIL(NO_MEMORY, "cannot allocate a flow");
    mt_weights_register(&f->weights, f->setup->policy, &f->arena);
    mt_rank_setup_register_normaliser(f->setup, &f->normaliser, &f->arena);
    MT_ARENA_ADD(&f->arena, f->moments, mt_normaliser_doubles(&f->normaliser));
    MT_ARENA_ADD(&f->arena, f->episodes, f->layout.workers * MT_EPISODES_SHARED);
    MT_TRY(mt_arena_commit(&f->arena));
    mt_normaliser_reset(&f->normaliser);
    MT_TRY(place(f));
    MT_TRY(create_actors(f));
    MT_TRY(connect_learners(f));
    return link_weights(f);
}

mt_status mt_on_policy_create(manta_context *context, const mt_rank_setup *setup, mt_on_policy **out) {
    *out = NULL;
    mt_on_policy *f = calloc(1, sizeof *f);
    if (!f) return MT_FAIL(NO_MEMORY, "cannot allocate a flow");
    f->c = context, f->setup = setup, f->layout = setup->layout;
    mt_status status = build(f);
    if (status != MT_OK) {
        mt_on_policy_destroy(f);
        return status;
    }
    *out = f;
    return MT_OK;
}

void mt_on_policy_destroy(mt_on_policy *f) {
    if (!f) return;
    if (f->parameters.serial) manta_release(f->c, f->parameters);
    for (int r = 0; f->runners && r < f->layout.runners; r++)
        if (f->runners[r].ref.serial) manta_release(f->c, f->runners[r].ref);
    for (int l = 0; f->learners && l < f->layout.learners; l++)
        if (f->learners[l].ref.serial) manta_release(f->c, f->learners[l].ref);
    manta_placement_remove(f->c, f->placement);
    mt_arena_fini(&f->arena);
    free(f->runners), free(f->learners), free(f->news), free(f->segments), free(f->updated), free(f->saved);
    free(f->reads), free(f->learner_rank), free(f->runner_rank), free(f->waiting), free(f->waiting_for), free(f->ready), free(f->heard);
    free(f);
}

// ---- what others ask

int64_t mt_on_policy_steps_per_iteration(const mt_on_policy *f) { return (int64_t)f->layout.envs * f->setup->ppo->n_steps; }
mt_normaliser *mt_on_policy_normaliser(mt_on_policy *f) { return &f->normaliser; }
const mt_weights *mt_on_policy_weights(const mt_on_policy *f) { return &f->weights; }

// ---- state

static mt_status copy_learner_state(mt_on_policy *f, const manta_value v[4], mt_learner_state *state) {
    size_t bytes = sizeof(float) * (size_t)f->setup->policy->sizes.params;
    float *copy = f->saved ? f->saved : (f->saved = malloc(3 * bytes));
    if (!copy) return MT_FAIL(NO_MEMORY, "cannot allocate the learner's state, %zu bytes", 3 * bytes);
    for (int i = 0; i < 3; i++) memcpy((char *)copy + bytes * (size_t)i, v[i].data, bytes);
    *state = (mt_learner_state){.param = copy, .m = copy + bytes / sizeof *copy, .v = copy + 2 * bytes / sizeof *copy,
        .step = *(const int64_t *)v[3].data};
    return MT_OK;
}

mt_status mt_on_policy_learner_state(mt_on_policy *f, mt_learner_state *state) {
    manta_ref refs[4];
    manta_value v[4];
    manta_invoke(f->c, f->learners[0], "save", NULL, 0, refs);
    int code = manta_get_all(f->c, refs, 4, MANTA_DEFAULT_TIMEOUT, v);
    mt_status status = code == MANTA_OK ? copy_learner_state(f, v, state) : failed(f, MT_INTERNAL, "the learner's state");
    for (int i = 0; i < 4; i++) manta_release(f->c, refs[i]);
    return status;
}

mt_status mt_on_policy_set_learner_state(mt_on_policy *f, const mt_learner_state *s) {
    int64_t params = f->setup->policy->sizes.params;
    for (int l = 0; l < f->layout.learners; l++) {
        manta_ref done = manta_tell(f->c, f->learners[l], "load", manta_vector(MANTA_TYPE_F32, params, s->param),
            manta_vector(MANTA_TYPE_F32, params, s->m), manta_vector(MANTA_TYPE_F32, params, s->v), manta_i64(s->step));
        int code = manta_get(f->c, done, NULL);
        mt_status status = code == MANTA_OK ? MT_OK : failed(f, MT_INTERNAL, "restoring learner %d", l);
        manta_release(f->c, done);
        MT_TRY(status);
    }
    return take_parameters(f, manta_tell(f->c, f->learners[0], "weights"));
}

static mt_status visit_runner(mt_on_policy *f, int r, const manta_value *v, mt_worker_visit visit, void *context) {
    const char *at = v->data;
    for (int w = mt_layout_runner_first(&f->layout, r); w < mt_layout_runner_first(&f->layout, r + 1); w++) {
        uint64_t bytes;
        memcpy(&bytes, at, sizeof bytes);
        at += sizeof bytes;
        if (bytes) MT_TRY(visit(context, w, at, bytes));
        at += bytes;
    }
    return MT_OK;
}

// A visit may fail, again and again while a disk is full: every state is given back all the same.
mt_status mt_on_policy_save_workers(mt_on_policy *f, mt_worker_visit visit, void *context) {
    mt_status status = MT_OK;
    char message[1024] = "";
    for (int r = 0; r < f->layout.runners; r++) f->news[r] = manta_tell(f->c, f->runners[r], "save");
    for (int r = 0; r < f->layout.runners; r++) {
        manta_value v;
        int got = status == MT_OK ? manta_get(f->c, f->news[r], &v) : MANTA_OK;
        if (got != MANTA_OK) status = failed(f, MT_ENV, "the state of environment runner %d", r);
        else if (status == MT_OK) status = visit_runner(f, r, &v, visit, context);
        if (status != MT_OK && !*message) snprintf(message, sizeof message, "%s", mt_last_error());
        manta_release(f->c, f->news[r]);
    }
    return status == MT_OK ? MT_OK : mt_fail(status, __FILE__, __LINE__, "%s", message);
}

static mt_status load_runner(mt_on_policy *f, int r, void *const *blobs, const size_t *bytes, int *exact) {
    mt_text all = {0};
    int64_t restored = 0;
    for (int w = mt_layout_runner_first(&f->layout, r); w < mt_layout_runner_first(&f->layout, r + 1); w++) {
        uint64_t n = blobs[w] ? bytes[w] : 0;
        mt_text_append_bytes(&all, (const char *)&n, sizeof n);
        mt_text_append_bytes(&all, blobs[w], n);
    }
    mt_status status = mt_text_status(&all);
    if (status == MT_OK) {
        manta_ref done = manta_tell(f->c, f->runners[r], "load", manta_bytes(all.data, all.length));
        if (manta_get_i64(f->c, done, &restored) != MANTA_OK) status = failed(f, MT_ENV, "restoring an environment runner");
        manta_release(f->c, done);
    }
    *exact &= (int)restored;
    mt_text_fini(&all);
    return status;
}

mt_status mt_on_policy_load_workers(mt_on_policy *f, void *const *blobs, const size_t *bytes, int *exact) {
    for (int r = 0; r < f->layout.runners; r++) MT_TRY(load_runner(f, r, blobs, bytes, exact));
    return MT_OK;
}

void mt_on_policy_save(const mt_on_policy *f, mt_blob *blob) {
    int64_t counters[] = {f->iteration, f->steps, f->total_episodes, f->windowed, f->layout.workers, f->layout.envs};
    float rewards[MT_RETURN_WINDOW];
    int32_t lengths[MT_RETURN_WINDOW];
    for (int i = 0; i < MT_RETURN_WINDOW; i++) rewards[i] = f->window[i].reward, lengths[i] = f->window[i].steps;
    mt_blob_put_i64(blob, "counters", counters, 6);
    mt_blob_put_f32(blob, "window_reward", rewards, MT_RETURN_WINDOW);
    mt_blob_put_i32(blob, "window_steps", lengths, MT_RETURN_WINDOW);
}

mt_status mt_on_policy_load(mt_on_policy *f, mt_blob_reader *reader) {
    int64_t counters[6];
    float rewards[MT_RETURN_WINDOW];
    int32_t lengths[MT_RETURN_WINDOW];
    mt_blob_get_i64(reader, "counters", counters, 6);
    mt_blob_get_f32(reader, "window_reward", rewards, MT_RETURN_WINDOW);
    mt_blob_get_i32(reader, "window_steps", lengths, MT_RETURN_WINDOW);
    MT_TRY(reader->status);
    if (counters[4] != f->layout.workers || counters[5] != f->layout.envs)
        return MT_FAIL(CONFIG, "the checkpoint has %lld logical workers and %lld environments, this run %d and %d; resume with "
            "--n-workers %lld and the same n_envs", (long long)counters[4], (long long)counters[5], f->layout.workers,
            f->layout.envs, (long long)counters[4]);
    f->iteration = counters[0], f->steps = counters[1], f->total_episodes = counters[2], f->windowed = counters[3];
    for (int i = 0; i < MT_RETURN_WINDOW; i++) f->window[i] = (mt_episode){rewards[i], lengths[i]};
    return MT_OK;
}
