// manta train: options from flags, preset and file, then a run.
#include "apps/app.h"

#include "engine/base/file.h"
#include "engine/base/signal.h"
#include "engine/collective/mpi.h"
#include "scheduler/agree.h"
#include "scheduler/environment.h"
#include "scheduler/run_options.h"
#include "scheduler/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const algorithms[] = {"ppo"};

typedef struct train_command {
    mt_train_config train;
    mt_ppo_config ppo;
    mt_option_section sections[MT_PPO_SECTIONS];
    mt_options options;
    int preset_found;
    char command_line[4096];
} train_command;

// Bytes of the letter at `at`, 0 when it is none: not UTF-8, or cut.
static size_t letter_bytes(const char *at) {
    char letter[5] = "";
    for (size_t n = 1; n <= 4 && at[n - 1]; n++) {
        letter[n - 1] = at[n - 1];
        if (mt_text_is_utf8(letter)) return n;
    }
    return 0;
}

// For run.json, which is UTF-8: cut between letters, and what is none becomes a question mark. 0: cut.
static int append_word(const char *word, char *out, size_t bytes, size_t *used) {
    while (*word) {
        size_t n = letter_bytes(word), step = n ? n : 1;
        if (*used + step >= bytes) return 0;
        memcpy(out + *used, n ? word : "?", step);
        word += step, *used += step;
        out[*used] = 0;
    }
    return 1;
}

static void join_arguments(int argc, char **argv, char *out, size_t bytes) {
    size_t used = 0;
    int fits = append_word("manta", out, bytes, &used);
    for (int i = 0; i < argc && fits; i++) fits = append_word(" ", out, bytes, &used) && append_word(argv[i], out, bytes, &used);
}

static mt_status check_algorithm(const char *name) {
    for (size_t i = 0; i < MT_COUNT(algorithms); i++)
        if (strcmp(name, algorithms[i]) == 0) return MT_OK;
    const char *near = mt_text_nearest(name, algorithms, MT_COUNT(algorithms));
    if (near) return MT_FAIL(CONFIG, "unknown algorithm \"%s\"; did you mean \"%s\"?", name, near);
    return MT_FAIL(CONFIG, "unknown algorithm \"%s\"; this version has: ppo", name);
}

// --resume takes everything from the run's own config.yml; flags override what may change under way
static mt_status apply_resume(train_command *c) {
    char path[MT_PATH_BYTES];
    if (strcmp(c->train.resume, "last") == 0) {
        MT_TRY(mt_run_folder_find_newest(c->train.log_folder, c->train.algo, c->train.env, path, sizeof path));
        if (strlen(path) >= sizeof c->train.resume) return MT_FAIL(CONFIG, "the path %s is too long", path);
        snprintf(c->train.resume, sizeof c->train.resume, "%.*s", (int)sizeof c->train.resume - 1, path);
    }
    return mt_run_options_resume(&c->options, &c->train, c->train.resume);
}

static mt_status configure(train_command *c) {
    if (*c->train.resume && *c->train.conf_file)
        return MT_FAIL(CONFIG, "--resume takes its options from the run folder's config.yml; leave out --conf-file %s", c->train.conf_file);
    if (*c->train.resume) MT_TRY(apply_resume(c));
    else if (*c->train.conf_file) MT_TRY(mt_conf_file_apply(&c->options, c->train.conf_file, c->train.env));
    MT_TRY(check_algorithm(c->train.algo));
    MT_TRY(mt_preset_apply(&c->options, c->train.algo, c->train.env, &c->preset_found));
    MT_TRY(mt_ppo_follow(&c->options, &c->ppo));
    // a run's own paths are absolute, and the weights that it began with may be gone by now
    return *c->train.resume ? MT_OK : mt_environment_make_absolute(&c->train);
}

// What a rank does by itself before it meets the others.
static mt_status prepare(train_command *c, int argc, char **argv, int *done) {
    const char *extra[1];
    size_t extra_count;
    mt_ppo_sections(&c->train, &c->ppo, c->sections);
    MT_TRY(mt_app_parse(&mt_app_train, &c->options, c->sections, MT_PPO_SECTIONS, argc, argv, extra, 1, &extra_count, done));
    if (*done) return MT_OK;
    if (extra_count) return MT_FAIL(CONFIG, "\"%s\" is not an option of manta train; see manta train --help", extra[0]);
    MT_TRY(mt_signal_start());
    return configure(c);
}

// Flags and files may differ from rank to rank: what one cannot read, all learn, and nobody waits for the one that has left.
static mt_status meet(mt_comm *comm, mt_status prepared, int done) {
    MT_TRY(mt_agree(comm, prepared));
    return mt_agree_equal(comm, (uint64_t)done, "the options (--help)");
}

// *abandoned: threads that still run use the configuration
static mt_status train(train_command *c, int argc, char **argv, int *abandoned) {
    int done = 0;
    mt_comm *comm = NULL;
    mt_train_result result = {0};
    mt_status prepared = c ? prepare(c, argc, argv, &done) : MT_FAIL(NO_MEMORY, "cannot allocate the configuration");
    // the timeout is an option, too: without options it is the communicator's own
    mt_comm_desc desc = {.timeout_ns = prepared == MT_OK && !done ? mt_train_config_timeout_ns(&c->train) : 0};
    MT_TRY(mt_comm_world(&desc, &comm));
    mt_status status = meet(comm, prepared, done);
    if (status == MT_OK && !done)
        status = mt_train(&(mt_train_desc){.train = &c->train, .ppo = &c->ppo, .options = &c->options, .comm = comm,
            .command_line = c->command_line, .preset_found = c->preset_found, .out = stdout}, &result);
    // ranks are gone, and no launcher starts the job again
    if ((status == MT_COMM || status == MT_DEADLINE) && *result.run_folder && !getenv("MANTA_PULSE"))
        mt_fail(status, __FILE__, __LINE__, "%s; it goes on from its newest checkpoint with: manta train --resume %s", mt_last_error(), result.run_folder);
    *abandoned = result.abandoned;
    if (!result.abandoned) mt_comm_destroy(comm);
    if (status == MT_OK && !done && mt_mpi_rank() == 0 && c->train.verbose > 0 && !c->train.dry_run) printf("evaluate it:  manta eval %s\n", result.run_folder);
    return status;
}

static mt_status run(int argc, char **argv) {
    train_command *c = calloc(1, sizeof *c);
    if (c) join_arguments(argc, argv, c->command_line, sizeof c->command_line);
    int abandoned = 0;
    mt_status status = train(c, argc, argv, &abandoned);
    if (status == MT_DEADLINE && c)   // the floors below know of a deadline and not where it comes from
        status = MT_FAIL(DEADLINE, "%s. When it is only slow (environments, evaluation, a busy machine), give more than --timeout %g (seconds; 0: no limit)",
            mt_last_error(), c->train.job.timeout);
    if (abandoned) return status;
    if (c) mt_options_fini(&c->options);
    free(c);
    return status;
}

// ---- for manta launch

// The folder that a start without --run-folder would make; every attempt gets it by name.
static mt_status make_folder(const train_command *c, mt_run_folder *folder) {
    char name[MT_NAME_BYTES];
    if (*c->train.run_folder) return mt_run_folder_create_at(c->train.run_folder, folder);
    // a plugin's file stands for the id that only opening it would tell: ./my_env.so makes my_env_1
    snprintf(name, sizeof name, "%.*s", (int)sizeof name - 1, mt_path_name(c->train.env));
    char *end = strrchr(name, '.');
    if (end && strcmp(end, ".so") == 0) *end = 0;
    return mt_run_folder_create(c->train.log_folder, c->train.algo, name, folder);
}

static mt_status plan_folder(train_command *c, mt_app_plan *plan) {
    mt_run_folder folder;
    if (c->train.dry_run) return MT_FAIL(CONFIG, "--dry-run trains nothing that could be kept running: leave out manta launch");
    MT_TRY(configure(c));
    if (*c->train.resume) {
        snprintf(plan->run_folder, sizeof plan->run_folder, "%s", c->train.resume);
    } else {
        MT_TRY(make_folder(c, &folder));
        mt_run_folder_close(&folder);   // the lock is for rank 0
        plan->fresh = 1;
        memcpy(plan->run_folder, folder.path, sizeof plan->run_folder);
        snprintf(plan->first, sizeof plan->first, "--run-folder=%s", plan->run_folder);
    }
    // the flags stay: they say again what config.yml says, or are not in it (--progress)
    snprintf(plan->again[0], sizeof plan->again[0], "--resume=%s", plan->run_folder);
    snprintf(plan->again[1], sizeof plan->again[1], "--conf-file=");
    snprintf(plan->again[2], sizeof plan->again[2], "--run-folder=");
    return MT_OK;
}

static mt_status plan(int argc, char **argv, mt_app_plan *out, int *done) {
    train_command *c = calloc(1, sizeof *c);
    if (!c) return MT_FAIL(NO_MEMORY, "cannot allocate the configuration");
    const char *extra[1];
    size_t extra_count = 0;
    mt_ppo_sections(&c->train, &c->ppo, c->sections);
    mt_status status = mt_app_parse(&mt_app_train, &c->options, c->sections, MT_PPO_SECTIONS, argc, argv, extra, 1, &extra_count, done);
    if (status == MT_OK && extra_count) status = MT_FAIL(CONFIG, "\"%s\" is not an option of manta train; see manta train --help", extra[0]);
    if (status == MT_OK && !*done) status = plan_folder(c, out);
    mt_options_fini(&c->options);
    free(c);
    return status;
}

static size_t sections(mt_option_section *out) {
    static mt_train_config train_defaults;
    static mt_ppo_config ppo_defaults;
    mt_ppo_sections(&train_defaults, &ppo_defaults, out);
    return MT_PPO_SECTIONS;
}

const mt_app mt_app_train = {
    .name = "train",
    .summary = "train a policy; under mpirun on every rank",
    .usage = "manta train --algo ppo --env CartPole-v1 [-n STEPS] [--seed N] [-params key:value ...] [options]",
    .details = "Options come from, in rising order: defaults, presets/ALGO.yml, --conf-file, the command line. The run folder's "
               "config.yml holds the resolved ones and where each came from. A signal (Ctrl-C once) stops at the next safe point and saves; exit "
               "status 75, which mpirun may report as its own 1.",
    .uses_mpi = 1,
    .run = run,
    .sections = sections,
    .plan = plan,
};
