// manta export: a run's policy for other programs.
#include "apps/app.h"

#include "engine/base/text.h"
#include "scheduler/export.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef struct export_config {
    char output[MT_OPTION_PATH_BYTES], env[MT_NAME_BYTES];
    bool best;
} export_config;

#define EXPORT(field) MT_OPTION(export_config, field), .group = "Export"
static const mt_option options_table[] = {
    {EXPORT(output), .type = MT_OPT_STRING, .letter = 'o', .flags = MT_OPTION_PATH, .standard = "", .help = "file to write; empty: policy.onnx, or state_dict.safetensors, here"},
    {EXPORT(best), .type = MT_OPT_BOOL, .standard = "false", .help = "the weights of the run's best evaluation (--eval-freq) instead of the last"},
    {EXPORT(env), .type = MT_OPT_STRING, .standard = "", .help = "the environment, where the run's own is not to be found; its spaces must be the same"},
};

static export_config config;
static size_t sections(mt_option_section *out) {
    out[0] = (mt_option_section){.table = options_table, .count = MT_COUNT(options_table), .object = &config};
    return 1;
}

// ---- formats

static const struct format {
    const char *name, *output;
    mt_status (*write)(const mt_saved_run *run, const char *path);
} formats[] = {
    {"onnx", "policy.onnx", mt_export_onnx},
    {"safetensors", "state_dict.safetensors", mt_export_state_dict},
};

static mt_status find_format(const char *name, const struct format **out) {
    const char *names[MT_COUNT(formats)];
    char hint[64];
    for (size_t i = 0; i < MT_COUNT(formats); i++) {
        names[i] = formats[i].name;
        *out = &formats[i];
        if (strcmp(name, names[i]) == 0) return MT_OK;
    }
    mt_text_did_you_mean(mt_text_nearest(name, names, MT_COUNT(formats)), hint, sizeof hint);
    return MT_FAIL(CONFIG, "unknown format \"%s\"%s (onnx or safetensors comes first, then the run's folder)", name, hint);
}

static mt_status export(const char *format_name, const char *folder) {
    const struct format *format;
    mt_saved_run run;
    MT_TRY(find_format(format_name, &format));
    MT_TRY(mt_saved_run_open(folder, config.env, config.best, &run));
    const char *path = *config.output ? config.output : format->output;
    mt_status status = format->write(&run, path);
    if (status == MT_OK) {
        printf("%s\n", path);
        if (format->write == mt_export_state_dict && run.normaliser.observations)
            printf("the run normalises observations: obs_rms.mean and obs_rms.var are in %s\n", run.weights_path);
    }
    mt_saved_run_close(&run);
    return status;
}

static mt_status run(int argc, char **argv) {
    mt_option_section list[1];
    mt_options options = {0};
    const char *words[2] = {NULL, NULL};
    size_t count = 0;
    int done = 0;
    mt_status status = mt_app_parse(&mt_app_export, &options, list, sections(list), argc, argv, words, 2, &count, &done);
    if (status == MT_OK && !done)
        status = count == 2 ? export(words[0], words[1])
            : MT_FAIL(CONFIG, "which format, and which run? for example: manta export onnx logs/ppo/CartPole-v1_1");
    mt_options_fini(&options);
    return status;
}

const mt_app mt_app_export = {
    .name = "export",
    .summary = "write a run's policy for other programs",
    .usage = "manta export onnx|safetensors RUN_FOLDER [-o FILE] [--best]",
    .details = "onnx: a model for onnxruntime and whatever else reads ONNX, with the run's normalisation in it. safetensors: the weights under "
               "all names that Stable-Baselines3 has for them, for load_state_dict. docs/weights.md says how to use both. A weights file "
               "inside a run folder may stand for the folder.",
    .run = run,
    .sections = sections,
};
