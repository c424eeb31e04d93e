// The program: finds the subcommand, starts MPI where it is needed, prints what failed.
#include "apps/app.h"

#include "engine/base/text.h"
#include "engine/collective/mpi.h"

#include <stdio.h>
#include <string.h>

static const mt_app *const apps[] = {&mt_app_train};

static mt_status find(const char *name, const mt_app **out) {
    const char *names[MT_COUNT(apps)];
    for (size_t i = 0; i < MT_COUNT(apps); i++) {
        names[i] = apps[i]->name;
        if (strcmp(name, names[i]) == 0) {
            *out = apps[i];
            return MT_OK;
        }
    }
    const char *near = mt_text_nearest(name, names, MT_COUNT(apps));
    if (near) return MT_FAIL(CONFIG, "unknown subcommand \"%s\"; did you mean \"%s\"?", name, near);
    return MT_FAIL(CONFIG, "unknown subcommand \"%s\"; see manta help", name);
}

static mt_status run(int argc, char **argv) {
    const mt_app *app;
    MT_TRY(find(argc > 1 ? argv[1] : "help", &app));
    if (!app->uses_mpi) return app->run(argc - 1, argv + 1);
    MT_TRY(mt_mpi_init(&argc, &argv));
    return app->run(argc - 1, argv + 1);
}

int main(int argc, char **argv) {
    mt_status status = run(argc, argv);
    int code = mt_status_exit_code(status);
    if (status != MT_OK && mt_mpi_rank() == 0) fprintf(stderr, "manta: %s\n", mt_last_error());
    // ranks that still wait for a missing one must not wait for ever
    if (status == MT_COMM || status == MT_DEADLINE) mt_mpi_abort(code);
    if (mt_mpi_active() && mt_mpi_finalize() != MT_OK) mt_mpi_abort(code ? code : 1);
    return code;
}
