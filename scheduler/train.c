// A training run: every rank joins the job (mt_train), rank 0 drives it (driver, train_loop), all run its actors.
#include "scheduler/train.h"

#include "engine/base/clock.h"
#include "engine/base/cpu.h"
#include "engine/base/digest.h"
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/base/signal.h"
#include "policies/policy_summary.h"
#include "scheduler/agree.h"
#include "scheduler/environment.h"
#include "scheduler/evaluate.h"
#include "scheduler/env_runner.h"
#include "scheduler/flows/on_policy.h"
#include "scheduler/learner_actor.h"
#include "scheduler/rank_setup.h"
#include "scheduler/report/reporter.h"
#include "scheduler/run_options.h"
#include "scheduler/train_checkpoint.h"
#include "scheduler/weights_file.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// A job's end that not all ranks reach is told by rank 0, after it has waited for them and for its own threads (2 s each, node.c).
#define HEAD_SPEAKS_NS (5 * MT_SECOND_NS)

enum { INFO_BYTES = 1 << 20 };       // a run.json

typedef struct training {
    const mt_train_desc *desc;
    const mt_train_config *train;
    const mt_ppo_config *ppo;
    mt_train_result *result;
    mt_comm *comm;                   // borrowed
    int rank, ranks;
    mt_rank_setup setup;             // owned
    // the driver's alone
    mt_status status;                // of the run
    char message[1024];              // with it
    mt_on_policy *flow;              // owned
    mt_run_folder folder;            // locked
    char checkpoints[MT_RUN_PATH_BYTES + 32];
    mt_reporter *reporter;           // owned
    mt_train_progress progress;
    int complete;                    // resumed with all its steps: nothing is left to do
    int64_t began_ns, saved_ns, saved_steps, first_step;
    double seconds_before;           // of earlier sessions
    // since the last row
    double rollout_seconds, update_seconds, allreduce_seconds;
    int64_t early_stops;
} training;

static double seconds_now(const training *t) { return t->seconds_before + 1e-9 * (double)(mt_clock_ns() - t->began_ns); }

static double unix_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// ---- setting up: every rank

// What this rank has: threads, kernels, the environment.
static mt_status set_up_rank(training *t) {
    int share = mt_cpu_usable() / mt_comm_node_size(t->comm);
    // a rank that mpirun bound to cores of its own sees only those; others divide what the node has
    t->setup.threads = t->train->threads ? t->train->threads : share > 1 ? share : 1;
    MT_TRY(mt_kernels_choose(&t->setup.kernels));
    MT_TRY(mt_pulse_open(t->ranks, &t->setup.pulse));
    return mt_environment_open(&t->setup.environment, t->train);
}

// What all ranks must have alike: the options, the instruction set (its sums differ in their last bits from another's), where they
// compute, and the number of logical workers.
static mt_status agree_on_job(training *t) {
    mt_rank_setup *s = &t->setup;
    mt_text text = {0};
    mt_status status = mt_options_dump_yaml(t->desc->options, &text);
    uint64_t digest = status == MT_OK ? mt_digest64_of(text.data, text.length) : 0;
    mt_text_fini(&text);
    MT_TRY(mt_agree(t->comm, status));
    MT_TRY(mt_agree_equal(t->comm, digest, "the options"));
    int64_t least[2] = {s->threads, MT_ISA_COUNT - 1};
    while (least[1] > 0 && mt_kernels_cpu((mt_isa)least[1]) != s->kernels) least[1]--;
    MT_TRY(mt_comm_allreduce(t->comm, least, least, 2, MT_I64, MT_REDUCE_MIN, 0));
    s->kernels = mt_kernels_cpu((mt_isa)least[1]);
    MT_TRY(mt_agree(t->comm, mt_rank_setup_probe(s)));
    MT_TRY(mt_ppo_check_policy(t->desc->options, t->ppo, s->policy));
    if (t->rank == 0) mt_ppo_warn_of_policy(t->desc->options, t->ppo, s->policy);
    MT_TRY(mt_devices_open(&s->devices, t->comm, t->train, t->ppo, s->policy, s->loss, (int)least[0]));
    int groups = (int)least[0] * (s->devices.acts ? MT_ROLLOUT_GROUPS : 1);
    MT_TRY(mt_layout_init(&s->layout, t->train, t->ppo, t->ranks, groups));
    if (t->train->n_workers == s->layout.workers) return MT_OK;   // and its origin stays
    char workers[32];
    snprintf(workers, sizeof workers, "%d", s->layout.workers);
    return mt_options_set_text(t->desc->options, "n_workers", workers, MT_FROM_COMMAND_LINE, "chosen at the start");
}

static mt_status set_up_job(training *t) {
    t->setup.train = t->train, t->setup.ppo = t->ppo, t->setup.world = t->comm;
    MT_TRY(mt_agree(t->comm, set_up_rank(t)));
    MT_TRY(agree_on_job(t));
    return mt_train_config_check(t->train, t->ppo);
}

// ---- setting up: the driver

static mt_status set_up_folder(training *t) {
    const mt_train_config *c = t->train;
    if (*c->resume) MT_TRY(mt_run_folder_resume(c->resume, &t->folder));
    else if (*c->run_folder) MT_TRY(mt_run_folder_create_at(c->run_folder, &t->folder));
    else MT_TRY(mt_run_folder_create(c->log_folder, c->algo, t->setup.environment.desc->id, &t->folder));
    snprintf(t->result->run_folder, sizeof t->result->run_folder, "%s", t->folder.path);
    snprintf(t->checkpoints, sizeof t->checkpoints, "%s/%s", t->folder.path, MT_RUN_CHECKPOINTS);
    return MT_OK;
}

static mt_status write_config(training *t) {
    char path[MT_RUN_PATH_BYTES];
    mt_text text = {0};
    mt_status status = mt_run_folder_file(&t->folder, MT_RUN_CONFIG, path, sizeof path);
    if (status == MT_OK) status = mt_options_dump_yaml(t->desc->options, &text);
    if (status == MT_OK) status = mt_file_write_atomic(path, text.data, text.length, MT_FILE_PUBLIC);
    mt_text_fini(&text);
    return status;
}

static const char *place_name(const mt_device *gpu) { return gpu ? gpu->name : "cpu"; }

static mt_status write_run_info(training *t, const char *outcome) {
    char path[MT_RUN_PATH_BYTES], host[256] = "", digest[32] = "";
    gethostname(host, sizeof host - 1);
    if (t->result->weights_digest)
        snprintf(digest, sizeof digest, "%016llx", (unsigned long long)t->result->weights_digest);
    MT_TRY(mt_run_folder_file(&t->folder, MT_RUN_INFO, path, sizeof path));
    json_t *info = json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:s, s:s, s:s, s:s, s:I, s:f, s:s, s:s}", "program", "manta " MANTA_VERSION,
        "command", t->desc->command_line, "host", host, "ranks", t->ranks, "threads_per_rank", mt_layout_threads(&t->setup.layout, t->setup.threads),
        "workers", t->setup.layout.workers, "kernels", t->setup.kernels->name, "learners_on",
        place_name(mt_devices_learn(&t->setup.devices)), "rollouts_on", place_name(mt_devices_act(&t->setup.devices)), "env", t->setup.environment.desc->id, "steps", (json_int_t)t->result->steps,
        "seconds", seconds_now(t), "outcome", outcome, "weights_xxh3", digest);
    char *text = info ? json_dumps(info, JSON_INDENT(2)) : NULL;
    mt_status status = text ? mt_file_write_atomic(path, text, strlen(text), MT_FILE_PUBLIC)
                            : MT_FAIL(NO_MEMORY, "cannot make %s", path);
    free(text);
    json_decref(info);
    return status;
}

static void print_log_line(void *context, mt_log_level level, const char *line, size_t bytes) {
    (void)level;
    mt_reporter_print(context, stderr, line, bytes);
}

static mt_metric_set columns_of(const training *t) {
    mt_metric_set columns = MT_METRIC_ALL;
    if (!t->train->eval_freq)
        columns &= ~(MT_METRIC_BIT(EVAL_MEAN_REWARD) | MT_METRIC_BIT(EVAL_STD_REWARD) | MT_METRIC_BIT(EVAL_MEAN_EP_LENGTH));
    if (t->ppo->learner.clip_range_vf.value < 0) columns &= ~MT_METRIC_BIT(CLIP_RANGE_VF);
    if (t->setup.policy->log_std < 0) columns &= ~MT_METRIC_BIT(STD);
    if (t->ppo->learner.target_kl <= 0) columns &= ~MT_METRIC_BIT(EARLY_STOPS);
    return columns;
}

// The network, and minibatches where they are not what batch_size says: of a recurrent policy they are whole sequences.
static void print_network(const training *t, int whole) {
    const mt_policy *p = t->setup.policy;
    int64_t steps = t->ppo->n_steps, wanted = t->ppo->learner.batch_size, sequences = wanted / steps > 1 ? wanted / steps : 1;
    int64_t rows = (sequences < t->ppo->n_envs ? sequences : t->ppo->n_envs) * steps;
    mt_text text = {0};
    if (whole) mt_policy_summary(p, &text);
    if (p->recurrent && rows != wanted)
        mt_text_printf(&text, "minibatches of %lld rows: whole sequences of %lld (batch_size %lld)\n", (long long)rows, (long long)steps, (long long)wanted);
    fputs(mt_text_str(&text), t->desc->out);
    mt_text_fini(&text);
}

static void announce(const training *t) {
    const mt_train_config *c = t->train;
    const mt_layout *l = &t->setup.layout;
    char apart[80] = "";
    int threads = mt_layout_threads(l, t->setup.threads);
    if (c->verbose == 0) return;
    if (l->learners != t->ranks || l->runners != t->ranks)
        snprintf(apart, sizeof apart, "%d learner%s, %d environment runner%s, ", l->learners, l->learners > 1 ? "s" : "", l->runners, l->runners > 1 ? "s" : "");
    fprintf(t->desc->out, "%s on %s: %d rank%s x %d thread%s, %s%d worker%s, %d environment%s, %lld parameters, %s%s\nrun folder: %s\n", c->algo,
        t->setup.environment.desc->id, t->ranks, t->ranks > 1 ? "s" : "", threads, threads > 1 ? "s" : "", apart,
        l->workers, l->workers > 1 ? "s" : "", t->ppo->n_envs, t->ppo->n_envs > 1 ? "s" : "",
        (long long)mt_policy_parameter_count(t->setup.policy), t->setup.kernels->name,
        t->desc->preset_found ? ", preset of presets/ppo.yml" : "", t->folder.path);
    print_network(t, c->verbose > 1);
    fflush(t->desc->out);
}

// What is reserved need not be what is used.
static void tell_idle_gpu(const training *t) {
    const mt_train_config *c = t->train;
    if (c->num_gpus_per_learner > 0 && strcmp(c->device, "auto") == 0 && !t->setup.devices.learns)
        mt_log(MT_LOG_INFO, "learners reserve GPUs (num_gpus_per_learner %g) and compute on the CPU: --device auto takes a GPU where there is one and "
            "network and minibatch are large enough to gain from it; --device cuda takes it in any case", c->num_gpus_per_learner);
}

static mt_status open_reports(training *t) {
    const mt_train_config *c = t->train;
    MT_TRY(write_config(t));
    MT_TRY(mt_checkpoint_prepare(t->checkpoints));
    announce(t);
    MT_TRY(mt_reporter_create(&(mt_reporter_desc){
        .run_folder = t->folder.path, .env_id = t->setup.environment.desc->id,
        .tensorboard = *c->tensorboard_log ? c->tensorboard_log : NULL, .columns = columns_of(t),
        .start_unix = t->progress.start_unix, .resume = *c->resume != 0, .resume_step = t->progress.steps,
        .resume_episodes = (uint64_t)t->progress.episodes,
        .progress = {.title = t->setup.environment.desc->id, .total_steps = c->n_timesteps, .verbose = c->verbose, .out = t->desc->out,
            .mode = c->progress ? MT_PROGRESS_LIVE : MT_PROGRESS_AUTO},
    }, &t->reporter));
    mt_log_start(&(mt_log_desc){.level = MT_LOG_INFO, .rank = t->rank, .size = t->ranks, .write = print_log_line, .context = t->reporter});
    tell_idle_gpu(t);
    return write_run_info(t, "running");
}

// --init-weights: the parameters, and the moments of observations where these are normalised; optimiser and counts are new
static mt_status load_initial_weights(training *t) {
    char path[MT_PATH_BYTES], folder[MT_PATH_BYTES];
    mt_learner_state state;
    snprintf(path, sizeof path, "%s", t->train->init_weights);
    if (mt_file_is_folder(path)) MT_TRY(mt_path_join(path, sizeof path, t->train->init_weights, MT_RUN_WEIGHTS));
    MT_TRY(mt_path_parent(folder, sizeof folder, path));
    // weights that lie alone say nothing of their options
    if (mt_run_folder_check(folder) == MT_OK) MT_TRY(mt_run_options_same_network(t->desc->options, t->ppo, folder));
    MT_TRY(mt_on_policy_learner_state(t->flow, &state));
    MT_TRY(mt_weights_file_load(path, t->setup.policy, state.param, mt_on_policy_normaliser(t->flow)));
    return mt_on_policy_set_learner_state(t->flow, &state);
}

static mt_status load_checkpoint(training *t) {
    int found = 0, exact = 1;
    MT_TRY(mt_train_checkpoint_load(t->checkpoints, t->flow, t->setup.policy, &t->setup.layout, &t->progress, &found, &exact));
    if (!found) mt_log(MT_LOG_INFO, "%s has no checkpoint yet: starting it from the beginning", t->folder.path);
    if (!found && *t->train->init_weights) return load_initial_weights(t);
    if (found && !exact)
        mt_log(MT_LOG_WARN, "%s has no snapshots: its episodes begin anew, the rest continues exactly", t->setup.environment.desc->id);
    return MT_OK;
}

static mt_status set_up_driver(training *t, manta_context *context) {
    MT_TRY(mt_on_policy_create(context, &t->setup, &t->flow));
    // before there is a run folder, so that a file that does not fit leaves none behind
    if (*t->train->init_weights && !*t->train->resume) MT_TRY(load_initial_weights(t));
    MT_TRY(set_up_folder(t));
    t->progress = (mt_train_progress){.best_eval = -INFINITY, .start_unix = unix_seconds()};
    if (*t->train->resume) MT_TRY(load_checkpoint(t));
    t->seconds_before = t->progress.seconds;
    t->first_step = t->saved_steps = t->progress.steps;
    t->result->steps = t->progress.steps;
    t->began_ns = t->saved_ns = mt_clock_ns();
    t->complete = *t->train->resume && t->progress.steps >= t->train->n_timesteps;
    return t->complete ? MT_OK : open_reports(t);
}

static void tear_down_driver(training *t) {
    mt_log_start(&(mt_log_desc){.level = MT_LOG_INFO, .rank = t->rank, .size = t->ranks});
    mt_reporter_destroy(t->reporter);
    mt_on_policy_destroy(t->flow);
    mt_run_folder_close(&t->folder);
}

// ---- between iterations

static void fill_row(training *t, const mt_on_policy_report *r, mt_metrics_row *row) {
    double elapsed = seconds_now(t);
    const mt_learner_report *l = &r->learner;
    double *v = row->value;
    mt_metrics_row_clear(row);
    v[MT_METRIC_EP_REW_MEAN] = r->ep_rew_mean, v[MT_METRIC_EP_LEN_MEAN] = r->ep_len_mean;
    v[MT_METRIC_EPISODES] = (double)r->total_episodes;
    v[MT_METRIC_TOTAL_TIMESTEPS] = (double)r->steps, v[MT_METRIC_ITERATIONS] = (double)r->iteration;
    v[MT_METRIC_TIME_ELAPSED] = elapsed;
    v[MT_METRIC_FPS] = (double)(r->steps - t->first_step) / fmax(elapsed - t->seconds_before, 1e-9);
    v[MT_METRIC_ROLLOUT_SECONDS] = t->rollout_seconds, v[MT_METRIC_UPDATE_SECONDS] = t->update_seconds;
    v[MT_METRIC_ALLREDUCE_SECONDS] = t->allreduce_seconds;
    v[MT_METRIC_APPROX_KL] = l->approx_kl, v[MT_METRIC_CLIP_FRACTION] = l->clip_fraction;
    v[MT_METRIC_CLIP_RANGE] = l->clip_range;
    if (l->clip_range_vf >= 0) v[MT_METRIC_CLIP_RANGE_VF] = l->clip_range_vf;
    v[MT_METRIC_ENTROPY_LOSS] = -l->entropy, v[MT_METRIC_EXPLAINED_VARIANCE] = l->explained_variance;
    v[MT_METRIC_LEARNING_RATE] = l->learning_rate, v[MT_METRIC_LOSS] = l->loss;
    v[MT_METRIC_N_UPDATES] = (double)t->progress.epochs;
    v[MT_METRIC_POLICY_GRADIENT_LOSS] = l->policy_loss, v[MT_METRIC_VALUE_LOSS] = l->value_loss;
    v[MT_METRIC_STD] = l->std, v[MT_METRIC_GRAD_NORM] = l->grad_norm;
    if (t->ppo->learner.target_kl > 0) v[MT_METRIC_EARLY_STOPS] = (double)t->early_stops;
}

static mt_status save_weights(training *t, const char *name) {
    char path[MT_RUN_PATH_BYTES];
    MT_TRY(mt_run_folder_file(&t->folder, name, path, sizeof path));
    return mt_weights_file_save(path, t->setup.policy, mt_on_policy_weights(t->flow)->param, mt_on_policy_normaliser(t->flow), t->progress.steps);
}

static mt_status evaluate(training *t, mt_metrics_row *row) {
    mt_evaluation e;
    MT_TRY(mt_evaluate(&(mt_evaluate_desc){
        .env = t->setup.environment.desc, .options = t->setup.environment.options, .option_count = t->setup.environment.option_count,
        .policy = t->setup.policy, .kernels = t->setup.kernels,
        .weights = mt_on_policy_weights(t->flow), .normaliser = mt_on_policy_normaliser(t->flow),
        .episodes = t->train->n_eval_episodes, .seed = (uint64_t)t->train->seed, .pulse = t->setup.pulse,
    }, &e));
    row->value[MT_METRIC_EVAL_MEAN_REWARD] = e.mean_reward, row->value[MT_METRIC_EVAL_STD_REWARD] = e.std_reward;
    row->value[MT_METRIC_EVAL_MEAN_EP_LENGTH] = e.mean_ep_length;
    int best = e.mean_reward > t->progress.best_eval;
    if (best) t->progress.best_eval = e.mean_reward;
    mt_evaluation_fini(&e);
    if (best && save_weights(t, MT_RUN_BEST_WEIGHTS) != MT_OK)
        mt_log(MT_LOG_WARN, "best weights not saved: %s", mt_last_error());
    return MT_OK;
}

// A checkpoint that fails leaves the old ones intact: the loop warns and goes on.
static mt_status save(training *t) {
    uint64_t generation;
    t->progress.seconds = seconds_now(t);
    mt_pulse_beat(t->setup.pulse);
    mt_status status = mt_train_checkpoint_save(t->checkpoints, t->train->keep_checkpoints, t->flow, t->setup.policy, &t->progress, &generation);
    t->saved_ns = mt_clock_ns(), t->saved_steps = t->progress.steps;
    if (status == MT_OK) status = save_weights(t, MT_RUN_WEIGHTS);
    if (status != MT_OK) mt_log(MT_LOG_WARN, "no checkpoint at %lld steps: %s", (long long)t->progress.steps, mt_last_error());
    return status;
}

static int crossed(int64_t every, int64_t before, int64_t now) { return every > 0 && now / every > before / every; }

static void remember(training *t, const mt_on_policy_report *r) {
    t->progress.steps = r->steps, t->progress.episodes = r->listed_episodes;
    t->progress.epochs += r->learner.epochs;
    t->rollout_seconds += r->rollout_seconds, t->update_seconds += r->update_seconds;
    t->allreduce_seconds += r->learner.allreduce_seconds;
    t->early_stops += r->learner.stopped_early;
    t->result->steps = r->steps, t->result->ep_rew_mean = r->ep_rew_mean;
    for (int64_t i = 0; i < r->episode_count; i++)
        mt_reporter_episode(t->reporter, r->episodes[i].reward, (uint64_t)r->episodes[i].steps, seconds_now(t));
}

static mt_status report(training *t, const mt_on_policy_report *r, int64_t steps_before, int last) {
    const mt_train_config *c = t->train;
    int64_t per_iteration = mt_on_policy_steps_per_iteration(t->flow);
    int64_t total = (c->n_timesteps + per_iteration - 1) / per_iteration;
    int64_t interval = c->log_interval ? c->log_interval : (total + 99) / 100;
    int evaluated = crossed(c->eval_freq, steps_before, r->steps) || (c->eval_freq && last);
    mt_reporter_step(t->reporter, r->steps);
    if (r->iteration % interval && !evaluated && !last) return MT_OK;
    mt_metrics_row row;
    fill_row(t, r, &row);
    if (evaluated) MT_TRY(evaluate(t, &row));
    mt_reporter_row(t->reporter, &row);
    t->rollout_seconds = t->update_seconds = t->allreduce_seconds = 0, t->early_stops = 0;
    return MT_OK;
}

// ---- the loop

static mt_status train_loop(training *t) {
    const mt_train_config *c = t->train;
    mt_on_policy_report r = {0};
    for (int stop = 0; !stop;) {
        int64_t before = t->progress.steps, after = before + mt_on_policy_steps_per_iteration(t->flow);
        int due = c->save_interval > 0 && 1e-9 * (double)(mt_clock_ns() - t->saved_ns) >= c->save_interval;
        double remaining = 1 - (double)after / (double)c->n_timesteps;
        MT_TRY(mt_on_policy_iterate(t->flow, remaining > 0 ? remaining : 0, &r));
        remember(t, &r);
        if (!r.signal) r.signal = mt_signal_pending();   // this rank may have neither a runner nor a learner

        t->result->reached_stop_reward = c->stop_reward != 0 && r.window == MT_RETURN_WINDOW && r.ep_rew_mean >= c->stop_reward;
        stop = r.steps >= c->n_timesteps || t->result->reached_stop_reward || r.signal;
        MT_TRY(report(t, &r, before, stop));
        if (!stop && (due || crossed(c->save_freq, before, r.steps))) {
            mt_status status = save(t);
            if (status == MT_COMM || status == MT_DEADLINE) return status;
        }
    }
    if (t->saved_steps != t->progress.steps || *c->resume == 0) MT_TRY(save(t));
    if (r.signal)
        return MT_FAIL(INTERRUPTED, "%s: stopped at %lld steps, state saved; continue with: manta train --resume %s",
            mt_signal_name(r.signal), (long long)t->progress.steps, t->folder.path);
    return MT_OK;
}

static void digest_weights(training *t) {
    const float *param = mt_on_policy_weights(t->flow)->param;
    t->result->weights_digest = mt_digest64_of(param, sizeof(float) * (size_t)t->setup.policy->sizes.params);
}

static void finish(training *t, mt_status status) {
    digest_weights(t);
    const char *verb = status == MT_INTERRUPTED ? "stopped at" : status == MT_OK ? "trained" : "failed after";
    mt_reporter_finish(t->reporter, t->progress.steps, verb);
    const char *outcome = status == MT_OK ? "done" : status == MT_INTERRUPTED ? "interrupted" : "failed";
    if (write_run_info(t, outcome) != MT_OK) mt_log(MT_LOG_WARN, "%s", mt_last_error());
}

// A resume that trains nothing changes nothing: neither options nor weights. The outcome alone is written again, in the same words,
// since a launcher asks whether its last attempt came to the end (launch/verdict.c); and a run that was killed after
// its last checkpoint gets what it still lacks.
static mt_status leave_complete(training *t) {
    char path[MT_RUN_PATH_BYTES], *text = NULL;
    size_t bytes = 0;
    mt_log(MT_LOG_INFO, "this run has %lld steps already, and -n is %lld: nothing is trained or changed; a larger -n continues it",
        (long long)t->progress.steps, (long long)t->train->n_timesteps);
    MT_TRY(mt_run_folder_file(&t->folder, MT_RUN_INFO, path, sizeof path));
    mt_status status = mt_file_read(path, INFO_BYTES, &text, &bytes);
    json_t *info = status == MT_OK ? json_loadb(text, bytes, 0, NULL) : NULL;
    const char *outcome = json_string_value(json_object_get(info, "outcome"));
    if (outcome && strcmp(outcome, "done") == 0) {
        status = mt_file_write_atomic(path, text, bytes, MT_FILE_PUBLIC);
    } else {
        status = save_weights(t, MT_RUN_WEIGHTS);
        digest_weights(t);
        if (status == MT_OK) status = write_run_info(t, "done");
    }
    json_decref(info);
    free(text);
    return status;
}

// the setup that the actors see is a part of it
static training *training_of(mt_rank_setup *setup) { return (training *)(void *)((char *)setup - offsetof(training, setup)); }

// rank 0: what the job is for
static int driver(manta_context *context) {
    training *t = training_of(manta_user(context));
    t->status = set_up_driver(t, context);
    int loop = t->status == MT_OK && !t->complete;
    if (loop) t->status = train_loop(t);
    else if (t->status == MT_OK) t->status = leave_complete(t);
    snprintf(t->message, sizeof t->message, "%s", mt_last_error());
    if (loop) finish(t, t->status);
    tear_down_driver(t);
    return MANTA_OK;
}

// What the driver's run came to is everybody's; when it went well, another rank's own failure is.
static mt_status agree_on_end(training *t, mt_status status, const char *message) {
    if (status != MT_OK) mt_fail(status, __FILE__, __LINE__, "%s", message);
    MT_TRY(mt_agree_on_root(t->comm, t->rank == 0 ? status : MT_OK, NULL, 0));
    return mt_agree(t->comm, status);
}

// Every rank.
static mt_status run_job(training *t) {
    const manta_class classes[] = {mt_learner_class, mt_env_runner_class};
    manta_program program = {.classes = classes, .class_count = MT_COUNT(classes), .driver = driver, .user = &t->setup};
    mt_job *job;
    int code = MANTA_OK;
    MT_TRY(mt_job_start(t->comm, &t->train->job, &program, 0, NULL, &job));
    mt_status status = t->rank == 0 ? mt_job_run_driver(job, &code) : mt_job_serve(job);
    if (t->rank == 0 && status == MT_OK && t->status != MT_OK) status = mt_fail(t->status, __FILE__, __LINE__, "%s", t->message);
    // ranks that are missing end the job: nobody is asked any more
    int broken = status == MT_COMM || status == MT_DEADLINE;
    char message[1024];
    snprintf(message, sizeof message, "%s", mt_last_error());
    mt_status stopped = mt_job_stop(job);
    t->result->abandoned = stopped != MT_OK;
    if (stopped != MT_OK && status == MT_OK && t->rank > 0) {
        // whoever leaves first ends the job: rank 0 knows why it came to this
        mt_log(MT_LOG_WARN, "%s", mt_last_error());
        mt_sleep_ns(HEAD_SPEAKS_NS);
    }
    // a job that could not end is most often the consequence: the driver's failure is the one to tell
    if (broken || (stopped != MT_OK && status != MT_OK)) return mt_fail(status, __FILE__, __LINE__, "%s", message);
    MT_TRY(stopped);
    return agree_on_end(t, status, message);
}

static void tear_down(training *t) {
    mt_rank_setup_fini(&t->setup);
    free(t);
}

mt_status mt_train(const mt_train_desc *desc, mt_train_result *result) {
    *result = (mt_train_result){.ep_rew_mean = NAN};
    // not on the stack: a body that never returns uses it for as long as the process lives
    training *t = calloc(1, sizeof *t);
    if (t) {
        *t = (training){.desc = desc, .comm = desc->comm, .train = desc->train, .ppo = desc->ppo, .result = result,
            .rank = mt_comm_rank(desc->comm), .ranks = mt_comm_size(desc->comm), .folder.lock_fd = -1};
    }
    mt_status status = mt_agree(desc->comm, t ? MT_OK : MT_FAIL(NO_MEMORY, "cannot allocate a training run"));
    if (status == MT_OK) status = set_up_job(t);
    if (status == MT_OK && !desc->train->dry_run) status = run_job(t);
    else if (status == MT_OK && t->rank == 0) print_network(t, 1);
    if (t && !result->abandoned) tear_down(t);
    return status;
}
