// manta launch: starts mpirun and keeps its job running. A process of its own, outside the job; it never initialises
// MPI.
#include "apps/app.h"

#include "engine/base/clock.h"
#include "engine/collective/mpi.h"
#include "scheduler/launch/launch.h"
#include "scheduler/report/run_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct launch_config {
    int ranks, max_relaunches;
    double backoff, hang_timeout;
    char host[MT_PATH_BYTES], hostfile[MT_PATH_BYTES], mpirun[MT_PATH_BYTES], mpirun_args[MT_PATH_BYTES];
    char sweep[MT_JOB_BYTES];
} launch_config;

#define ROW(field) MT_OPTION(launch_config, field)
static const mt_option options_table[] = {
    {ROW(ranks), .type = MT_OPT_INT, .letter = 'n', .aliases = "np", .standard = "0", .range = "[0, 1e7]", .why = "they are processes", .group = "Job",
        .help = "ranks to start; 0: as many as mpirun finds slots for"},
    {ROW(host), .type = MT_OPT_STRING, .standard = "", .group = "Job", .help = "mpirun's --host: a,b:4,c"},
    {ROW(hostfile), .type = MT_OPT_STRING, .flags = MT_OPTION_PATH, .standard = "", .group = "Job", .help = "mpirun's --hostfile"},
    {ROW(mpirun), .type = MT_OPT_STRING, .flags = MT_OPTION_PATH, .standard = "mpirun", .group = "Job", .help = "the mpirun to use"},
    {ROW(mpirun_args), .type = MT_OPT_STRING, .flags = MT_OPTION_WORDS, .standard = "", .group = "Job",
        .help = "more words for mpirun, quoted as in a shell: \"--oversubscribe --bind-to none\""},
    {ROW(max_relaunches), .type = MT_OPT_INT, .standard = "5", .range = "[0, 1e9]", .why = "a job that always dies must end", .group = "Relaunching",
        .help = "relaunches without a new checkpoint between them before it gives up"},
    {ROW(backoff), .type = MT_OPT_FLOAT, .standard = "1", .range = "[0, 3600]", .why = "it is a wait", .unit = "seconds", .group = "Relaunching",
        .help = "wait before a relaunch, doubled for each one without progress, up to a minute"},
    {ROW(hang_timeout), .type = MT_OPT_FLOAT, .standard = "1800", .range = "[0, 1e9]", .why = "it is a wait; 0 is the one without end", .unit = "seconds",
        .group = "Relaunching", .help = "a job is hung when no environment step, minibatch or evaluation step ended on any rank for so long; more than "
            "--timeout, which names the rank that is missed; 0: never"},
    {ROW(sweep), .type = MT_OPT_STRING, .flags = MT_OPTION_HIDDEN, .standard = "", .group = "Job", .help = "kill the processes of this job on this host, and end"},
};

static launch_config config;
static size_t sections(mt_option_section *out) {
    out[0] = (mt_option_section){.table = options_table, .count = MT_COUNT(options_table), .object = &config};
    return 1;
}

// ---- mpirun's words

typedef struct words {
    const char *list[MT_LAUNCH_WORDS];   // ends with NULL
    size_t count;                        // may grow beyond the list: asked once at the end
} words;

static void add(words *w, const char *word) {
    if (w->count + 1 < MT_LAUNCH_WORDS) w->list[w->count] = word;
    w->count++;
}

static mt_status check(const words *w) {
    return w->count < MT_LAUNCH_WORDS
               ? MT_OK
               : MT_FAIL(CONFIG, "more than %d words for a command; put options into a file", MT_LAUNCH_WORDS);
}

// One word as a shell takes it apart: blanks end it, '...' and "..." keep them, \ keeps the next letter. Written over
// the text.
static mt_status next_word(char **at, char **word) {
    char *from = *at + strspn(*at, " \t\n"), *to = from, quote = 0;
    *word = *from ? to : NULL;
    for (; *from && (quote || !strchr(" \t\n", *from)); from++) {
        if (quote ? *from == quote : *from == '\'' || *from == '"') quote = quote ? 0 : *from;
        else if (*from == '\\' && quote != '\'' && from[1]) *to++ = *++from;
        else *to++ = *from;
    }
    if (quote) return MT_FAIL(CONFIG, "--mpirun-args: a quotation mark %c is not closed", quote);
    *at = *from ? from + 1 : from;
    *to = '\0';
    return MT_OK;
}

static mt_status mpirun_words(words *w, char *ranks, size_t bytes) {
    char *at = config.mpirun_args, *word;
    snprintf(ranks, bytes, "%d", config.ranks);
    if (config.ranks) add(w, "-n"), add(w, ranks);
    if (*config.host) add(w, "--host"), add(w, config.host);
    if (*config.hostfile) add(w, "--hostfile"), add(w, config.hostfile);
    for (;;) {
        MT_TRY(next_word(&at, &word));
        if (!word) return check(w);
        add(w, word);
    }
}

static int several_hosts(void) {
    static const char *const batch[] = {
        "SLURM_JOB_ID", "PBS_NODEFILE", "LSB_DJOB_HOSTFILE", "PE_HOSTFILE", "OMPI_MCA_orte_default_hostfile"};
    for (size_t i = 0; i < MT_COUNT(batch); i++)
        if (getenv(batch[i])) return 1;
    return *config.host || *config.hostfile || strstr(config.mpirun_args, "host") != NULL;
}

// ---- running

static void relay(void *context, const char *bytes, size_t count) {
    (void)context;
    for (ssize_t n; count; bytes += n, count -= (size_t)n)
        if ((n = write(STDERR_FILENO, bytes, count)) <= 0) return;
}

static void say(void *context, const char *line) {
    (void)context;
    fprintf(stderr, "manta launch: %s\n", line);
}

static mt_status launch_planned(const mt_app_plan *plan, const words *before, int argc, char **argv) {
    static words first, again;   // large
    char program[MT_PATH_BYTES];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0) return MT_FAIL(INTERNAL, "cannot find out where this program is (is /proc mounted?)");
    program[length] = '\0';
    for (int i = 0; i < argc; i++) add(&first, argv[i]), add(&again, argv[i]);
    if (*plan->first) add(&first, plan->first);
    for (size_t i = 0; i < MT_COUNT(plan->again); i++) add(&again, plan->again[i]);
    MT_TRY(check(&first));
    MT_TRY(check(&again));
    mt_launch_desc d = {
        .mpirun = config.mpirun,
        .mpirun_words = (char *const *)(uintptr_t)before->list,
        .program = program,
        .first = (char *const *)(uintptr_t)first.list,
        .again = (char *const *)(uintptr_t)again.list,
        .run_folder = plan->run_folder,
        .fresh = plan->fresh,
        .hosts = several_hosts(),
        .max_relaunches = config.max_relaunches,
        .backoff = config.backoff,
        .hang_timeout = config.hang_timeout,
        .relay = relay,
        .say = say,
    };
    return mt_launch(&d);
}

static mt_status launch(const mt_app *app, int argc, char **argv) {
    static mt_app_plan plan;   // large
    static words before;
    char ranks[16];
    int done = 0;
    if (!app->plan)
        return MT_FAIL(CONFIG,
            "manta launch does not run \"%s\": it keeps runs going that save their state, as manta train does",
            app->name);
    MT_TRY(mpirun_words(&before, ranks, sizeof ranks));
    // may make the run folder, which the only way out below removes
    mt_status status = app->plan(argc, argv, &plan, &done);
    if (status == MT_OK && !done) status = launch_planned(&plan, &before, argc, argv);
    if (plan.fresh) mt_run_folder_remove_unused(plan.run_folder);
    return status;
}

static mt_status sweep(void) {
    int killed;
    return mt_sweep_processes(config.sweep, getppid(), mt_deadline_after(10 * MT_SECOND_NS), &killed);
}

static mt_status run_options(int argc, char **argv, mt_options *options) {
    mt_option_section list[1];
    const char **command = calloc((size_t)argc + 1, sizeof *command);
    if (!command) return MT_FAIL(NO_MEMORY, "out of memory for the command line");
    size_t count = 0;
    int done = 0;
    const mt_app *app;
    mt_status status =
        mt_app_parse(&mt_app_launch, options, list, sections(list), argc, argv, command, (size_t)argc, &count, &done);
    if (status == MT_OK && !done) {
        if (*config.sweep) status = sweep();
        else if (mt_mpi_launched())
            status = MT_FAIL(CONFIG, "manta launch starts mpirun itself: call it without mpirun");
        else if (!count)
            status = MT_FAIL(
                CONFIG, "what is to be launched? for example: manta launch -n 4 train --algo ppo --env CartPole-v1");
        else if ((status = mt_app_find(command[0], &app)) == MT_OK)
            status = launch(app, (int)count, argv + (argc - (int)count));
    }
    free(command);
    return status;
}

static mt_status run(int argc, char **argv) {
    mt_options options = {0};
    mt_status status = run_options(argc, argv, &options);
    mt_options_fini(&options);
    return status;
}

const mt_app mt_app_launch = {
    .name = "launch",
    .summary = "start a job with mpirun and keep it running through failures",
    .usage = "manta launch -n 4 [--host A,B] [--max-relaunches 5] [options] train --algo ppo --env CartPole-v1 "
             "[options of train]",
    .details = "Stands outside the job: starts mpirun, and when a rank, a host or mpirun itself dies or hangs, "
               "sweeps what it left and starts it again from the newest checkpoint that verifies. A bad option or "
               "a missing file ends it at once. SIGINT (Ctrl-C), SIGTERM and SIGUSR1 make all ranks save and end "
               "with status 75; a second signal does not wait for them. See docs/failures.md.",
    .takes_command = 1,
    .run = run,
    .sections = sections,
};
