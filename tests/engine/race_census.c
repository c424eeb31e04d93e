// Races in the census: one thread asks the whole job again and again, through the socket and straight, while the ranks work, while
// actors come and go, and while the server is ended in the middle of a question. A plain program, for ThreadSanitizer.
#include <stdatomic.h>
#include <unistd.h>
#include "engine/runtime/status/status_client.h"
#include "engine/runtime/status/status_server.h"
#include "tests/engine/runtime_local.h"
#include "tests/engine/runtime_program.h"

typedef struct asker {
    mt_node *node;
    atomic_int stop, asked, answered;
} asker;

static void *ask(void *argument) {
    asker *a = argument;
    while (!atomic_load(&a->stop)) {
        char folder[MT_PATH_BYTES];
        mt_folder_names names;
        mt_text text = {0};
        if (mt_status_jobs(folder, sizeof folder, &names) == MT_OK) {
            for (size_t i = 0; i < names.count; i++) {
                atomic_fetch_add(&a->asked, 1);
                mt_status_form form = atomic_load(&a->asked) % 2 ? MT_STATUS_JSON : MT_STATUS_PROMETHEUS;
                if (mt_status_ask(folder, names.names[i], form, mt_deadline_after(20 * MT_SECOND_NS), &text) == MT_OK) atomic_fetch_add(&a->answered, 1);
                mt_text_clear(&text);
            }
            mt_folder_names_fini(&names);
        }
        mt_text_fini(&text);
    }
    return NULL;
}

static int work(manta_context *c) {
    int64_t x;
    asker a = {.node = c->node};
    pthread_t thread;
    mt_status_server *server;
    mt_status_server_desc desc = {.node = c->node, .socket = 1};
    if (mt_status_server_create(&desc, &server) != MT_OK) return manta_fail(c, "%s", mt_last_error());
    pthread_create(&thread, NULL, ask, &a);
    for (int round = 0; round < 60; round++) {
        manta_actor adder = manta_new(c, "Counter", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(round % manta_rank_count(c))), manta_i64(0));
        manta_ref refs[20];
        for (int i = 0; i < 20; i++) refs[i] = i % 2 ? manta_tell(c, adder, "add", manta_i64(1)) : manta_call(c, "fib", manta_i64(4));
        for (int i = 0; i < 20; i++) {
            if (manta_get_i64(c, refs[i], &x) != MANTA_OK) return manta_error(c).code;
            manta_release(c, refs[i]);
        }
        manta_kill(c, adder);
        if (round % 20 == 19) {   // in the middle of whatever is asked
            mt_status_server_destroy(server);
            if (mt_status_server_create(&desc, &server) != MT_OK) return manta_fail(c, "%s", mt_last_error());
        }
    }
    for (int i = 0; i < 2000 && !atomic_load(&a.answered); i++) mt_sleep_ns(5 * MT_MILLISECOND_NS);
    mt_status_server_destroy(server);
    atomic_store(&a.stop, 1);
    pthread_join(thread, NULL);
    printf("%d questions, %d answers\n", atomic_load(&a.asked), atomic_load(&a.answered));
    return atomic_load(&a.answered) ? MANTA_OK : manta_fail(c, "nobody answered");
}

int main(void) {
    static cluster k;
    char folder[] = "/tmp/manta-race-XXXXXX", path[64];
    if (!mkdtemp(folder)) return 1;
    setenv("XDG_RUNTIME_DIR", folder, 1);
    cluster_start(&k, &test_program, &(cluster_options){.size = 3, .timeout = 120, .end_seconds = 60});
    int code = cluster_run(&k, work, 0);
    if (code != MANTA_OK) fprintf(stderr, "race_census: %s: %s\n", manta_code_name(code), k.message[0]);
    cluster_stop(&k);
    snprintf(path, sizeof path, "%s/manta", folder);
    rmdir(path);
    rmdir(folder);
    return code != MANTA_OK;
}
