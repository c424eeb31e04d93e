// The list of subcommands, and what they share.
#include "apps/app.h"

#include "engine/base/text.h"
#include "engine/collective/mpi.h"

#include <stdio.h>
#include <string.h>

const mt_app *const mt_apps[] = {
    &mt_app_train, &mt_app_launch, &mt_app_status, &mt_app_eval, &mt_app_export, &mt_app_plot, &mt_app_envs, &mt_app_plugin, &mt_app_doctor, &mt_app_version, &mt_app_help,
};
const size_t mt_app_count = MT_COUNT(mt_apps);

mt_status mt_app_find(const char *name, const mt_app **out) {
    const char *names[MT_COUNT(mt_apps)];
    for (size_t i = 0; i < mt_app_count; i++) {
        names[i] = mt_apps[i]->name;
        if (strcmp(name, names[i]) == 0) {
            *out = mt_apps[i];
            return MT_OK;
        }
    }
    const char *near = mt_text_nearest(name, names, mt_app_count);
    if (near) return MT_FAIL(CONFIG, "unknown subcommand \"%s\"; did you mean \"%s\"?", name, near);
    return MT_FAIL(CONFIG, "unknown subcommand \"%s\"; see manta help", name);
}

mt_status mt_app_parse(const mt_app *app, mt_options *options, const mt_option_section *sections, size_t section_count, int argc,
    char **argv, const char **positionals, size_t capacity, size_t *count, int *done) {
    *done = 0;
    MT_TRY(mt_options_init(options, sections, section_count));
    options->word_ends_flags = app->takes_command;
    MT_TRY(mt_options_parse_args(options, argc, argv, positionals, capacity, count));
    if (!options->help) return MT_OK;
    *done = 1;
    if (mt_mpi_rank()) return MT_OK;
    printf("usage: %s\n\n%s\n\n", app->usage, app->summary);
    if (app->details) printf("%s\n\n", app->details);
    mt_options_print_help(options, stdout);
    return MT_OK;
}
