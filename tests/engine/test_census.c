// What a job says of itself, and how it is asked: several ranks in one process, real sockets, and everything that may come in on them.
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine/runtime/status/census.h"
#include "engine/runtime/status/status_client.h"
#include "engine/runtime/status/status_server.h"
#include "tests/engine/runtime_local.h"

static char folder[64];

static void begin(void) {
    snprintf(folder, sizeof folder, "/tmp/manta-census-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    setenv("XDG_RUNTIME_DIR", folder, 1);
}

static void end(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_expect_eq(system(command), 0);
}

TestSuite(census, .init = begin, .fini = end);

// ---- a program

typedef struct thing { int64_t value; } thing;
static atomic_int gate;
static int wait_for_gate(manta_context *c) {
    while (!atomic_load(&gate) && !manta_cancelled(c)) mt_sleep_ns(MT_MILLISECOND_NS);
    return MANTA_OK;
}
static const manta_method methods[] = {{"hold", wait_for_gate, "->"}};
static const manta_class classes[] = {{.name = "Thing", .state_bytes = sizeof(thing), .methods = methods, .method_count = 1}};
static const manta_program program = {.classes = classes, .class_count = 1};

static void run(manta_function *driver, cluster_options options) {
    static cluster k;
    atomic_store(&gate, 0);
    options.user = &k;
    cluster_start(&k, &program, &options);
    int code = cluster_run(&k, driver, 0);
    cr_assert_eq(code, MANTA_OK, "%s: %s", manta_code_name(code), k.message[0]);
    cluster_stop(&k);
}

static mt_node *node_of(manta_context *c, int rank) { return ((cluster *)manta_user(c))->node[rank]; }

// ---- gathering

static int see_everybody(manta_context *c) {
    mt_census census;
    int size = manta_rank_count(c);
    manta_actor things[8];
    for (int r = 0; r < size; r++)
        things[r] = manta_new(c, "Thing", &((manta_options){.on_rank = MANTA_ON_RANK(r), .num_cpus = 1, .name = r == 0 ? "first \"one\"\\" : NULL}));
    manta_ref held[3];
    for (int i = 0; i < 3; i++) held[i] = manta_tell(c, things[size - 1], "hold");
    for (int tries = 0;; tries++) {   // until they run
        cr_assert_eq(mt_census_take(node_of(c, 0), mt_deadline_after(5 * MT_SECOND_NS), &census), MT_OK, "%s", mt_last_error());
        const mt_census_rank *last = &census.ranks[size - 1];
        cr_assert_eq(last->state, MT_RANK_ANSWERED);
        if (last->entry.listed == 1 && last->actors[0].running == 1 && last->actors[0].queued == 2 && census.ranks[0].entry.listed == 1) break;
        cr_assert_lt(tries, 1000, "the calls never arrived: %u %d %d", last->entry.listed, last->entry.listed ? last->actors[0].running : -1,
            last->entry.listed ? last->actors[0].queued : -1);
        mt_census_fini(&census);
        mt_sleep_ns(5 * MT_MILLISECOND_NS);
    }
    cr_expect_eq(census.size, size);
    for (int r = 0; r < size; r++) {
        const mt_census_rank *rank = &census.ranks[r];
        cr_assert_eq(rank->state, MT_RANK_ANSWERED, "rank %d", r);
        cr_expect_eq(rank->entry.pid, getpid());
        cr_expect_eq(rank->entry.stats.total.amount[MT_RESOURCE_CPU], 4 * MT_RESOURCE_UNIT);
        cr_expect_eq(rank->entry.stats.available.amount[MT_RESOURCE_CPU], 3 * MT_RESOURCE_UNIT, "rank %d: the actor keeps one", r);
        cr_expect_eq(rank->node, manta_rank_node(c, r));
    }
    cr_expect_str_eq(census.ranks[0].actors[0].name, "first \"one\"\\");

    // as JSON
    mt_text text = {0};
    mt_census_title title = {.job = "a\"b", .command = "x y", .pid = 7};
    cr_assert_eq(mt_census_json(&census, &title, &text), MT_OK);
    json_t *job = json_loadb(text.data, text.length, 0, NULL);
    cr_assert_not_null(job, "%s", mt_text_str(&text));
    json_t *ranks = json_object_get(job, "ranks");
    cr_expect_eq(json_array_size(ranks), (size_t)size);
    json_t *actor = json_array_get(json_object_get(json_array_get(ranks, 0), "actors"), 0);
    cr_expect_str_eq(json_string_value(json_object_get(actor, "class")), "Thing");
    cr_expect_str_eq(json_string_value(json_object_get(actor, "name")), "first \"one\"\\");
    cr_expect_eq(json_number_value(json_object_get(json_object_get(json_object_get(job, "resources"), "CPU"), "total")), 4.0 * size);
    cr_expect_eq(json_number_value(json_object_get(json_object_get(json_object_get(job, "resources"), "CPU"), "available")), 3.0 * size);
    json_decref(job);

    // as Prometheus reads it
    mt_text_clear(&text);
    cr_assert_eq(mt_census_prometheus(&census, &title, &text), MT_OK);
    cr_expect_not_null(strstr(text.data, "\nmanta_ranks{job=\"a\\\"b\"} "), "%s", text.data);
    cr_expect_not_null(strstr(text.data, "manta_resource_available{job=\"a\\\"b\",rank=\"0\",resource=\"CPU\"} 3\n"));
    cr_expect_not_null(strstr(text.data, "manta_actors{job=\"a\\\"b\",rank=\"0\",class=\"Thing\"} 1\n"));
    cr_expect_not_null(strstr(text.data, "# TYPE manta_calls_submitted_total counter\n"));
    mt_text_fini(&text);
    mt_census_fini(&census);
    atomic_store(&gate, 1);
    return manta_get_all(c, held, 3, 20, NULL);
}

Test(census, every_rank_is_seen) {
    for (int size = 1; size <= 4; size *= 2) run(see_everybody, (cluster_options){.size = size, .hosts = size > 2 ? 2 : 1});
}

static int one_is_stuck(manta_context *c) {
    mt_census census;
    mt_node *stuck = node_of(c, 2);
    mt_node_enter(stuck);   // it hangs with its lock held
    int64_t began = mt_clock_ns();
    cr_assert_eq(mt_census_take(node_of(c, 0), mt_deadline_after(200 * MT_MILLISECOND_NS), &census), MT_OK);
    cr_expect_lt(mt_clock_ns() - began, 5 * MT_SECOND_NS);
    mt_node_leave(stuck);
    cr_expect_eq(census.ranks[0].state, MT_RANK_ANSWERED);
    cr_expect_eq(census.ranks[1].state, MT_RANK_ANSWERED);
    cr_expect_eq(census.ranks[2].state, MT_RANK_SILENT);
    mt_text text = {0};
    mt_census_title title = {.job = "j", .command = "", .pid = 1};
    cr_assert_eq(mt_census_prometheus(&census, &title, &text), MT_OK);
    cr_expect_not_null(strstr(text.data, "manta_rank_up{job=\"j\",rank=\"2\",host=\"\"} 0\n"));
    cr_expect_not_null(strstr(text.data, "manta_ranks_silent{job=\"j\"} 1\n"));
    cr_expect_null(strstr(text.data, "manta_tasks_running{job=\"j\",rank=\"2\""), "numbers of a rank that gave none");
    mt_text_fini(&text);
    mt_census_fini(&census);
    // its late answer belongs to no question any more, and the next one is answered
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(mt_census_take(node_of(c, 0), mt_deadline_after(5 * MT_SECOND_NS), &census), MT_OK);
        cr_expect_eq(census.ranks[2].state, MT_RANK_ANSWERED);
        mt_census_fini(&census);
    }
    return MANTA_OK;
}

Test(census, a_rank_that_hangs_gives_no_answer) { run(one_is_stuck, (cluster_options){.size = 3}); }

static void *take_slowly(void *argument) {
    mt_census census;
    if (mt_census_take(argument, mt_deadline_after(30 * MT_SECOND_NS), &census) == MT_OK) mt_census_fini(&census);
    return NULL;
}

static int cancelled(manta_context *c) {
    mt_census census;
    pthread_t thread;
    mt_node *stuck = node_of(c, 1);
    mt_node_enter(stuck);
    int64_t began = mt_clock_ns();
    pthread_create(&thread, NULL, take_slowly, node_of(c, 0));
    mt_sleep_ns(50 * MT_MILLISECOND_NS);
    cr_expect_eq(mt_census_take(node_of(c, 0), mt_deadline_after(MT_SECOND_NS), &census), MT_EXISTS, "two at once");
    do mt_census_cancel(node_of(c, 0)), mt_sleep_ns(MT_MILLISECOND_NS);
    while (pthread_tryjoin_np(thread, NULL) != 0);
    mt_node_leave(stuck);
    cr_expect_lt(mt_clock_ns() - began, 10 * MT_SECOND_NS);
    return MANTA_OK;
}

Test(census, can_be_cancelled) { run(cancelled, (cluster_options){.size = 2}); }

static void bad_answer(const void *data, size_t bytes) {
    mt_rank_entry entry;
    mt_actor_entry *actors;
    cr_expect_eq(mt_census_decode(data, bytes, &entry, &actors), MT_CORRUPT);
    cr_expect_null(actors);
}

Test(census, answers_that_contradict_themselves_are_refused) {
    struct { mt_rank_entry entry; mt_actor_entry actors[2]; } sent = {.entry = {.listed = 2}};
    mt_rank_entry entry;
    mt_actor_entry *actors;
    memset(sent.entry.host, 'h', sizeof sent.entry.host);
    memset(sent.actors[1].name, 'n', sizeof sent.actors[1].name);
    cr_assert_eq(mt_census_decode(&sent, sizeof sent, &entry, &actors), MT_OK);
    cr_expect_eq(strlen(entry.host), sizeof entry.host - 1);
    cr_expect_eq(strlen(actors[1].name), sizeof actors[1].name - 1);
    free(actors);
    bad_answer(&sent, sizeof sent - 1);
    bad_answer(&sent, sizeof sent.entry);
    bad_answer(&sent, 3);
    sent.entry.listed = UINT32_MAX;
    bad_answer(&sent, sizeof sent);
}

// ---- the socket

static mt_status_server *server;
static char place[MT_PATH_BYTES];
static mt_folder_names jobs;

static void serve(manta_context *c, const char *metrics) {
    mt_status_server_desc desc = {.node = node_of(c, 0), .socket = 1, .metrics_file = metrics, .metrics_ns = 50 * MT_MILLISECOND_NS, .answer_ns = 300 * MT_MILLISECOND_NS};
    cr_assert_eq(mt_status_server_create(&desc, &server), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_status_jobs(place, sizeof place, &jobs), MT_OK, "%s", mt_last_error());
    cr_assert_eq(jobs.count, 1);
}

static void expect_answer(void) {
    mt_text text = {0};
    cr_assert_eq(mt_status_ask(place, jobs.names[0], MT_STATUS_JSON, mt_deadline_after(20 * MT_SECOND_NS), &text), MT_OK, "%s", mt_last_error());
    json_t *job = json_loadb(text.data, text.length, 0, NULL);
    cr_assert_not_null(job);
    cr_expect_eq(json_integer_value(json_object_get(job, "pid")), getpid());
    json_decref(job);
    mt_text_fini(&text);
}

static int connect_raw(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", mt_status_server_path(server));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    struct timeval limit = {10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static void say(const char *bytes, size_t count, const char *begins) {
    char reply[1024];
    int fd = connect_raw();
    cr_expect_eq(send(fd, bytes, count, MSG_NOSIGNAL), (ssize_t)count);
    ssize_t n = recv(fd, reply, sizeof reply - 1, 0);
    reply[n > 0 ? n : 0] = '\0';
    cr_expect_eq(strncmp(reply, begins, strlen(begins)), 0, "%s", reply);
    close(fd);
}

static int asked(manta_context *c) {
    struct stat info;
    serve(c, NULL);
    cr_assert_eq(stat(place, &info), 0);
    cr_expect_eq(info.st_mode & 07777, 0700);
    cr_assert_eq(stat(mt_status_server_path(server), &info), 0);
    cr_expect_eq(info.st_mode & 07777, 0600);
    for (int i = 0; i < 20; i++) expect_answer();
    // another job with this pid, as in a container that shares the folder, gets a place of its own
    mt_status_server *other;
    mt_folder_names both;
    cr_assert_eq(mt_status_server_create(&(mt_status_server_desc){.node = node_of(c, 0), .socket = 1}, &other), MT_OK);
    cr_expect_str_neq(mt_status_server_path(other), mt_status_server_path(server));
    cr_assert_eq(mt_status_jobs(place, sizeof place, &both), MT_OK);
    cr_expect_eq(both.count, 2);
    mt_folder_names_fini(&both);
    mt_status_server_destroy(other);
    expect_answer();

    // what is no question gets one line; who says nothing, too much, or goes away, gets nothing; and the next is served
    char garbage[4096];
    memset(garbage, 'A', sizeof garbage);
    say("GET / HTTP/1.1\n", 15, "manta error ");
    say("manta 2 json\n", 13, "manta error ");
    say("\n", 1, "manta error ");
    say("manta 1 json\n\n", 14, "manta error ");
    say("\0\0\0\0\n", 5, "manta error ");
    say(garbage, MT_STATUS_REQUEST_BYTES, "manta error ");
    int fd = connect_raw();
    close(fd);
    fd = connect_raw();
    send(fd, "manta", 5, MSG_NOSIGNAL);
    close(fd);
    fd = connect_raw();
    send(fd, garbage, sizeof garbage, MSG_NOSIGNAL);
    close(fd);
    expect_answer();
    // one that never says anything keeps the others waiting for 2 s and no longer
    fd = connect_raw();
    int64_t began = mt_clock_ns();
    expect_answer();
    cr_expect_lt(mt_clock_ns() - began, 15 * MT_SECOND_NS);
    // nor does it keep the job from ending
    int second = connect_raw();
    began = mt_clock_ns();
    mt_status_server_destroy(server);
    cr_expect_lt(mt_clock_ns() - began, MT_SECOND_NS);
    close(fd), close(second);
    mt_folder_names_fini(&jobs);
    cr_assert_eq(mt_status_jobs(place, sizeof place, &jobs), MT_OK);
    cr_expect_eq(jobs.count, 0);
    mt_folder_names_fini(&jobs);
    return MANTA_OK;
}

Test(census, the_socket_answers_and_stands_what_comes_in) { run(asked, (cluster_options){.size = 2}); }

static int measured(manta_context *c) {
    char file[128], *text;
    size_t bytes;
    snprintf(file, sizeof file, "%s/m.prom", folder);
    serve(c, file);
    for (int i = 0; i < 500 && access(file, F_OK) != 0; i++) mt_sleep_ns(10 * MT_MILLISECOND_NS);
    struct stat first, second = {0};
    cr_assert_eq(stat(file, &first), 0);
    for (int i = 0; i < 500 && (stat(file, &second) != 0 || second.st_ino == first.st_ino); i++) mt_sleep_ns(10 * MT_MILLISECOND_NS);
    cr_expect_neq(first.st_ino, second.st_ino, "it is replaced, never written in place");
    cr_expect_eq(second.st_mode & 07777, 0644);
    cr_assert_eq(mt_file_read(file, 1 << 20, &text, &bytes), MT_OK);
    cr_expect_not_null(strstr(text, "\nmanta_ranks{job="), "%s", text);
    cr_expect_eq(text[bytes - 1], '\n');
    free(text);
    mt_status_server_destroy(server);
    cr_expect_neq(access(file, F_OK), 0, "numbers of a job that is over");
    mt_folder_names_fini(&jobs);
    return MANTA_OK;
}

Test(census, the_metrics_file_is_rewritten) { run(measured, (cluster_options){.size = 2}); }

Test(census, sockets_of_dead_jobs_go) {
    mt_folder_names names;
    char path[MT_PATH_BYTES + 8];
    cr_assert_eq(mt_status_folder(place, sizeof place), MT_OK);
    snprintf(path, sizeof path, "%s/1.sock", place);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    cr_assert_eq(mt_status_jobs(place, sizeof place, &names), MT_OK);
    cr_expect_eq(names.count, 0);
    cr_expect_neq(access(path, F_OK), 0);
    mt_folder_names_fini(&names);
}

// ---- whose folder it is

Test(census, a_folder_that_others_may_enter_is_refused) {
    char path[MT_PATH_BYTES], expected[128];
    cr_assert_eq(mt_status_folder(path, sizeof path), MT_OK);
    chmod(path, 0755);
    cr_expect_eq(mt_status_folder(path, sizeof path), MT_IO);
    cr_expect_not_null(strstr(mt_last_error(), "only this user"));
    chmod(path, 0700);
    // a runtime folder that others may write into does not count
    chmod(folder, 0777);
    mt_status_folder(path, sizeof path);
    snprintf(expected, sizeof expected, "/tmp/manta-%lu", (unsigned long)geteuid());
    cr_expect_str_eq(path, expected);
    chmod(folder, 0700);
    setenv("XDG_RUNTIME_DIR", "relative", 1);
    mt_status_folder(path, sizeof path);
    cr_expect_str_eq(path, expected);
    // a link to somewhere else is not followed
    char command[256];
    snprintf(command, sizeof command, "mv %s/manta %s/other && ln -s other %s/manta", folder, folder, folder);
    setenv("XDG_RUNTIME_DIR", folder, 1);
    cr_assert_eq(system(command), 0);
    cr_expect_eq(mt_status_folder(path, sizeof path), MT_IO);
}

// ---- the words

static void head_of(const char *text, mt_status status, size_t head, uint64_t body) {
    size_t got;
    uint64_t bytes;
    mt_status s = mt_status_answer_parse(text, strlen(text), &got, &bytes);
    cr_expect_eq(s, status, "%s", text);
    if (status == MT_OK) cr_expect(got == head && bytes == body, "%s: %zu %llu", text, got, (unsigned long long)bytes);
}

Test(census, heads_of_answers) {
    head_of("", MT_OK, 0, 0);
    head_of("manta ok 12", MT_OK, 0, 0);
    head_of("manta ok 12\n", MT_OK, 12, 12);
    head_of("manta ok 0\nrest", MT_OK, 11, 0);
    head_of("manta ok \n", MT_CORRUPT, 0, 0);
    head_of("manta ok -1\n", MT_CORRUPT, 0, 0);
    head_of("manta ok 12x\n", MT_CORRUPT, 0, 0);
    head_of("manta ok 99999999999999999999999\n", MT_CORRUPT, 0, 0);
    head_of("HTTP/1.1 200 OK\n", MT_CORRUPT, 0, 0);
    head_of("manta error a \033[31m\n", MT_COMM, 0, 0);
    cr_expect_null(strchr(mt_last_error(), '\033'), "bytes that drive a terminal");
    char longest[MT_STATUS_HEAD_BYTES + 2];
    memset(longest, 'm', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    head_of(longest, MT_CORRUPT, 0, 0);
}
