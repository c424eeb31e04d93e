// Options of a run that exists. One thread, at start-up.
#include "scheduler/run_options.h"

#include "engine/base/file.h"
#include "scheduler/environment.h"
#include "scheduler/report/run_folder.h"

#include <stdlib.h>
#include <string.h>

// What makes the network's function. Shapes are among them, although tensors would tell: here they are told by the option's name.
static const char *const network[] = {"policy", "policy_options", "net_arch", "net_arch_shared", "features_dim", "embedding_dim",
    "share_features_extractor", "layers", "lstm_hidden_size", "n_lstm_layers", "shared_lstm", "enable_critic_lstm", "activation_fn", "use_sde"};
// What it is fed with.
static const char *const inputs[] = {"normalize", "norm_obs", "clip_obs"};
// What a run asks for when it begins; random numbers under way are keyed by the seed, too.
static const char *const start[] = {"seed", "memory_horizon", "ortho_init", "log_std_init", "init_weights"};

typedef struct saved_options {
    mt_train_config train;
    mt_ppo_config ppo;
    mt_options options;
} saved_options;

static void close_saved(saved_options *s) {
    if (s) mt_options_fini(&s->options);
    free(s);
}

static mt_status read_saved(saved_options *s, const char *path) {
    mt_option_section sections[MT_PPO_SECTIONS];
    char *text = NULL;
    size_t bytes = 0;
    mt_ppo_sections(&s->train, &s->ppo, sections);
    MT_TRY(mt_options_init(&s->options, sections, MT_PPO_SECTIONS));
    MT_TRY(mt_conf_file_apply(&s->options, path, NULL));
    MT_TRY(mt_file_read(path, (size_t)1 << 20, &text, &bytes));
    mt_options_read_origins(&s->options, text);
    free(text);
    return MT_OK;
}

static mt_status open_saved(const char *folder, saved_options **out) {
    char path[MT_PATH_BYTES];
    MT_TRY(mt_path_join(path, sizeof path, folder, MT_RUN_CONFIG));
    saved_options *s = calloc(1, sizeof *s);
    if (!s) return MT_FAIL(NO_MEMORY, "cannot allocate the options of %s", folder);
    mt_status status = read_saved(s, path);
    if (status != MT_OK) close_saved(s);
    else *out = s;
    return status;
}

// ---- comparing

static int is_among(const char *key, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], key) == 0) return 1;
    return 0;
}

// Both values as text. A plugin's file may lie elsewhere than it did: an environment's path counts from its last '/'.
static mt_status values_of(const mt_options *run, const mt_options *now, const char *key, mt_text *was, mt_text *is, int *same) {
    MT_TRY(mt_options_get_text(run, key, was));
    MT_TRY(mt_options_get_text(now, key, is));
    const char *a = mt_text_str(was), *b = mt_text_str(is);
    *same = strcmp(a, b) == 0 || (strcmp(key, "env") == 0 && strcmp(mt_path_name(a), mt_path_name(b)) == 0) ||
        (strcmp(key, "policy") == 0 && mt_text_equal_fold(a, b));
    return MT_OK;
}

static mt_status refuse_change(const char *key, const char *was, const char *is, const char *why, const char *instead) {
    if (!*was) was = "none";
    return MT_FAIL(CONFIG, "this run has %s %s, the command line says %s: %s; leave %s out%s", key, was, *is ? is : "none", why, key, instead);
}

static mt_status check_change(const char *key, const char *was, const char *is) {
    if (strcmp(key, "env") == 0)
        return refuse_change(key, was, is, "a run stays in its environment", ", or begin a run of its own with --init-weights");
    if (is_among(key, network, MT_COUNT(network)) || is_among(key, inputs, MT_COUNT(inputs)))
        return refuse_change(key, was, is, "its network was trained so", "");
    if (is_among(key, start, MT_COUNT(start)))
        return refuse_change(key, was, is, "that is settled when a run begins", ", or begin a run of its own");
    return MT_OK;
}

// One option: open on the command line, said again there, or changed.
static mt_status resume_option(mt_options *options, const saved_options *run, const char *key) {
    const mt_option_origin *before = mt_options_origin(&run->options, key);
    int open = mt_options_origin(options, key)->from != MT_FROM_COMMAND_LINE, same = 1;
    mt_text was = {0}, is = {0};
    mt_status status = open ? MT_OK : values_of(&run->options, options, key, &was, &is, &same);
    if (status == MT_OK && !same) status = check_change(key, mt_text_str(&was), mt_text_str(&is));
    // a config.yml of an earlier version lacks the options that came later
    if (status == MT_OK && !same) mt_options_mark(options, key, "command line, on resume");
    else if (status == MT_OK && before->from == MT_FROM_FILE) mt_options_mark(options, key, before->where);
    mt_text_fini(&was);
    mt_text_fini(&is);
    return status;
}

mt_status mt_run_options_resume(mt_options *options, mt_train_config *train, const char *folder) {
    char path[MT_PATH_BYTES];
    saved_options *run = NULL;
    MT_TRY(mt_run_folder_check(folder));
    MT_TRY(mt_path_join(path, sizeof path, folder, MT_RUN_CONFIG));
    MT_TRY(mt_environment_make_absolute(train));   // as the run's are
    MT_TRY(open_saved(folder, &run));
    mt_status status = mt_conf_file_apply(options, path, NULL);
    for (size_t s = 0; s < options->section_count; s++)
        for (size_t i = 0; i < options->sections[s].count && status == MT_OK; i++) {
            const mt_option *row = &options->sections[s].table[i];
            if (!(row->flags & MT_OPTION_CLI_ONLY)) status = resume_option(options, run, row->name);
        }
    close_saved(run);
    return status;
}

// ---- weights of one run for another

static mt_status check_same(const mt_options *run, const mt_options *now, const char *key, const char *folder) {
    mt_text was = {0}, is = {0};
    int same = 1;
    mt_status status = values_of(run, now, key, &was, &is, &same);
    const char *had = mt_text_str(&was), *has = mt_text_str(&is);
    if (status == MT_OK && !same)
        status = MT_FAIL(CONFIG, "--init-weights %s: that run has %s %s, this one %s: with its weights the network would compute something else; "
            "give this run %s %s, too", folder, key, *had ? had : "none", *has ? has : "none", key, *had ? had : "none");
    mt_text_fini(&was);
    mt_text_fini(&is);
    return status;
}

mt_status mt_run_options_same_network(const mt_options *options, const mt_ppo_config *ppo, const char *folder) {
    saved_options *run = NULL;
    MT_TRY(open_saved(folder, &run));
    mt_status status = MT_OK;
    for (size_t i = 0; i < MT_COUNT(network) && status == MT_OK; i++) status = check_same(&run->options, options, network[i], folder);
    // norm_obs and clip_obs mean nothing without normalize
    int had = run->ppo.normalize && run->ppo.norm_obs, has = ppo->normalize && ppo->norm_obs;
    for (size_t i = 0; i < MT_COUNT(inputs) && status == MT_OK && (had || has); i++) status = check_same(&run->options, options, inputs[i], folder);
    close_saved(run);
    return status;
}
