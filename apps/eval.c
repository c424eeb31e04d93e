// manta eval: plays episodes with a run's weights and says how well they went.
#include "apps/app.h"

#include "engine/collective/mpi.h"
#include "scheduler/saved_run.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct eval_config {
    int n_episodes;
    int64_t seed;
    bool json, stochastic, render, best;
    double fps;
    char env[MT_NAME_BYTES];
} eval_config;

#define EVAL(field) MT_OPTION(eval_config, field), .group = "Evaluation"
static const mt_option options_table[] = {
    {EVAL(n_episodes), .type = MT_OPT_INT, .standard = "0", .range = "[0, 1e6]", .why = "0 means 100, or 1 to look at", .help = "episodes to play; 0: 100, or 1 with --render"},
    {EVAL(seed), .type = MT_OPT_INT, .standard = "1000000", .range = "[0, 9e18]", .why = "it keys the random numbers", .help = "seed of the episodes"},
    {EVAL(stochastic), .type = MT_OPT_BOOL, .standard = "false", .help = "sample actions instead of taking the most probable"},
    {EVAL(best), .type = MT_OPT_BOOL, .standard = "false", .help = "the weights of the run's best evaluation (--eval-freq) instead of the last"},
    {EVAL(json), .type = MT_OPT_BOOL, .standard = "false", .help = "one JSON object on standard output"},
    {EVAL(render), .type = MT_OPT_BOOL, .standard = "false", .help = "draw the episodes in the terminal"},
    {EVAL(fps), .type = MT_OPT_FLOAT, .standard = "30", .range = "(0, 1000]", .why = "it is pictures a second", .help = "with --render: pictures a second"},
    {EVAL(env), .type = MT_OPT_STRING, .standard = "", .help = "play in this environment instead of the run's; its spaces must be the same"},
};

static eval_config config;
static size_t sections(mt_option_section *out) {
    out[0] = (mt_option_section){.table = options_table, .count = MT_COUNT(options_table), .object = &config};
    return 1;
}

static void print_json(const mt_saved_run *run, const char *folder, const mt_evaluation *e) {
    json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:f, s:f, s:f, s:b, s:I}", "run", folder, "env", run->environment.desc->id,
        "weights", run->weights_path, "n_episodes", e->episodes, "mean_reward", e->mean_reward, "std_reward", e->std_reward,
        "mean_ep_length", e->mean_ep_length, "min_reward", e->min_reward, "max_reward", e->max_reward, "deterministic",
        !config.stochastic, "seed", (json_int_t)config.seed);
    char *text = json_dumps(o, JSON_COMPACT);
    puts(text ? text : "{}");
    free(text);
    json_decref(o);
}

static mt_status evaluate(const char *folder) {
    mt_saved_run run;
    mt_evaluation e;
    MT_TRY(mt_saved_run_open(folder, config.env, config.best, &run));
    mt_status status = mt_evaluate(&(mt_evaluate_desc){
        .env = run.environment.desc, .options = run.environment.options, .option_count = run.environment.option_count,
        .policy = run.policy, .kernels = run.kernels, .weights = &run.weights, .normaliser = &run.normaliser,
        .episodes = config.n_episodes ? config.n_episodes : config.render ? 1 : 100, .stochastic = config.stochastic, .seed = (uint64_t)config.seed,
        .render = config.render ? stderr : NULL, .render_delay_ms = (int)(1000 / config.fps),
    }, &e);
    if (status == MT_OK) {
        if (config.json) print_json(&run, folder, &e);
        else
            printf("%s, %d episode%s: reward %.2f +/- %.2f (%.2f to %.2f), length %.1f\n", run.environment.desc->id, e.episodes,
                e.episodes > 1 ? "s" : "", e.mean_reward, e.std_reward, e.min_reward, e.max_reward, e.mean_ep_length);
        mt_evaluation_fini(&e);
    }
    mt_saved_run_close(&run);
    return status;
}

static mt_status run(int argc, char **argv) {
    mt_option_section list[1];
    mt_options options = {0};
    const char *folder = NULL;
    size_t count = 0;
    int done = 0;
    mt_status status = mt_app_parse(&mt_app_eval, &options, list, sections(list), argc, argv, &folder, 1, &count, &done);
    // one process plays all episodes; the other ranks of an mpirun leave them to it
    if (status == MT_OK && !done && mt_mpi_size() > 1 && mt_mpi_rank() == 0)
        fprintf(stderr, "manta: eval plays on rank 0 alone; mpirun is not needed\n");
    if (status == MT_OK && !done && mt_mpi_rank() == 0)
        status = count ? evaluate(folder) : MT_FAIL(CONFIG, "which run? give its folder: manta eval logs/ppo/CartPole-v1_1");
    mt_options_fini(&options);
    return status;
}

const mt_app mt_app_eval = {
    .name = "eval",
    .summary = "play episodes with a run's weights",
    .usage = "manta eval RUN_FOLDER [--n-episodes N] [--json] [--render] [options]",
    .details = "Plays whole episodes with the most probable action and prints mean and standard deviation of the returns. A weights "
               "file inside a run folder may stand for the folder.",
    .uses_mpi = 1,
    .run = run,
    .sections = sections,
};
