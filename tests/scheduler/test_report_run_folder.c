// Run folders: numbers, exclusive creation, and the lock against a second run, each tried by real processes.
#include <signal.h>
#include <sys/wait.h>
#include "scheduler/report/run_folder.h"
#include "test_report_common.h"

TestSuite(report_run_folder, .init = make_test_folder, .fini = remove_test_folder);

static void make_run(const char *name) {
    char path[MT_PATH_BYTES];
    CHECK_OK(mt_folder_make(at(name), MT_FOLDER_PUBLIC));
    CHECK_OK(mt_path_join(path, sizeof path, at(name), MT_RUN_CONFIG));
    spill(path, "algo: ppo\n");
}

Test(report_run_folder, numbers_go_up) {
    mt_run_folder a, b, c;
    char log[MT_PATH_BYTES];
    strcpy(log, at("logs"));
    CHECK_OK(mt_run_folder_create(log, "ppo", "CartPole-v1", &a));
    CHECK_OK(mt_run_folder_create(log, "ppo", "CartPole-v1", &b));
    cr_assert_str_eq(a.path, at("logs/ppo/CartPole-v1_1"));
    cr_assert_str_eq(b.path, at("logs/ppo/CartPole-v1_2"));
    mt_run_folder_close(&a);
    mt_run_folder_close(&a);   // harmless
    // numbers are not used again, names that only look alike do not count
    CHECK_OK(mt_folder_make(at("logs/ppo/CartPole-v1_41"), MT_FOLDER_PUBLIC));
    CHECK_OK(mt_folder_make(at("logs/ppo/CartPole-v1_x99"), MT_FOLDER_PUBLIC));
    CHECK_OK(mt_folder_make(at("logs/ppo/CartPole-v12_77"), MT_FOLDER_PUBLIC));
    CHECK_OK(mt_folder_make(at("logs/ppo/CartPole-v1_99999999999999999999"), MT_FOLDER_PUBLIC));
    CHECK_OK(mt_run_folder_create(log, "ppo", "CartPole-v1", &c));
    cr_assert_str_eq(c.path, at("logs/ppo/CartPole-v1_42"));

    char path[MT_PATH_BYTES];
    CHECK_OK(mt_run_folder_file(&c, MT_RUN_PROGRESS, path, sizeof path));
    cr_assert_str_eq(path, at("logs/ppo/CartPole-v1_42/progress.csv"));
    cr_assert_neq(mt_run_folder_file(&c, MT_RUN_PROGRESS, path, 10), MT_OK);
    mt_run_folder_close(&b);
    mt_run_folder_close(&c);
}

Test(report_run_folder, names_cannot_leave_the_log_folder) {
    mt_run_folder run;
    CHECK_OK(mt_run_folder_create(at("logs"), "ppo", "gym:ALE/Pong-v5", &run));
    cr_assert_str_eq(run.path, at("logs/ppo/gym-ALE-Pong-v5_1"));
    mt_run_folder_close(&run);
    CHECK_FAIL(INVALID_ARGUMENT, "environment", mt_run_folder_create(at("logs"), "ppo", "../up", &run));
    CHECK_FAIL(INVALID_ARGUMENT, "algorithm", mt_run_folder_create(at("logs"), "", "x", &run));
    char wide[400];
    memset(wide, 'x', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    CHECK_FAIL(INVALID_ARGUMENT, "too long", mt_run_folder_create(at("logs"), "ppo", wide, &run));
    cr_assert_eq(run.lock_fd, -1);
}

Test(report_run_folder, starts_at_one_moment_get_a_folder_each) {
    enum { STARTS = 12 };
    char log[MT_PATH_BYTES];
    strcpy(log, at("logs"));
    pid_t child[STARTS];
    for (int i = 0; i < STARTS; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            mt_run_folder run;
            _exit(mt_run_folder_create(log, "ppo", "CartPole-v1", &run) == MT_OK ? 0 : 1);
        }
    }
    for (int i = 0; i < STARTS; i++) {
        int status;
        waitpid(child[i], &status, 0);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    mt_folder_names names;
    CHECK_OK(mt_folder_list(at("logs/ppo"), &names));
    cr_assert_eq(names.count, STARTS);
    mt_folder_names_fini(&names);
}

Test(report_run_folder, an_explicit_folder_must_be_new_or_empty) {
    mt_run_folder run;
    CHECK_OK(mt_run_folder_create_at(at("deep/run/"), &run));
    cr_assert_str_eq(run.path, at("deep/run"));
    CHECK_FAIL(EXISTS, "another run", mt_run_folder_create_at(at("deep/run"), &run));
    CHECK_OK(mt_folder_make(at("empty"), MT_FOLDER_PUBLIC));
    CHECK_OK(mt_run_folder_create_at(at("empty"), &run));
    mt_run_folder_close(&run);
    CHECK_OK(mt_run_folder_create_at(at("empty"), &run));   // a start that died before it wrote anything
    mt_run_folder_close(&run);

    make_run("full");
    CHECK_FAIL(EXISTS, "--resume", mt_run_folder_create_at(at("full"), &run));
    cr_assert(!mt_file_exists(at("full/run.lock")), "a refused folder is left as it was");
    spill(at("file"), "");
    CHECK_FAIL(EXISTS, "file", mt_run_folder_create_at(at("file"), &run));
    CHECK_FAIL(INVALID_ARGUMENT, "empty", mt_run_folder_create_at("", &run));
}

// A child that holds `path` until it is killed; its pid, once it holds it.
static pid_t holder(const char *path) {
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        mt_run_folder run;
        char ok = mt_run_folder_resume(path, &run) == MT_OK;
        if (write(ready[1], &ok, 1) == 1) pause();
        _exit(1);
    }
    char ok = 0;
    cr_assert_eq(read(ready[0], &ok, 1), 1);
    cr_assert_eq(ok, 1);
    return child;
}

Test(report_run_folder, a_second_run_is_told_who_holds_it) {
    make_run("run");
    char path[MT_PATH_BYTES], pid[32];
    strcpy(path, at("run"));
    pid_t child = holder(path);
    snprintf(pid, sizeof pid, "pid %ld on ", (long)child);
    mt_run_folder run;
    CHECK_FAIL(EXISTS, pid, mt_run_folder_resume(path, &run));
    CHECK_FAIL(EXISTS, pid, mt_run_folder_create_at(path, &run));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK_OK(mt_run_folder_resume(path, &run));   // a killed run does not block its resume
    CHECK_FAIL(EXISTS, "another run", mt_run_folder_resume(path, &run));
}

Test(report_run_folder, what_is_no_run) {
    mt_run_folder run;
    CHECK_FAIL(NOT_FOUND, "no run folder", mt_run_folder_resume(at("none"), &run));
    CHECK_OK(mt_folder_make(at("bare"), MT_FOLDER_PUBLIC));
    CHECK_FAIL(NOT_FOUND, "config.yml", mt_run_folder_resume(at("bare"), &run));
    spill(at("file"), "");
    CHECK_FAIL(NOT_FOUND, "is a file", mt_run_folder_check(at("file")));
    make_run("run");
    CHECK_OK(mt_run_folder_check(at("run")));
}

Test(report_run_folder, newest) {
    char log[MT_PATH_BYTES], path[MT_PATH_BYTES];
    strcpy(log, at("logs"));
    CHECK_FAIL(NOT_FOUND, "ppo", mt_run_folder_find_newest(log, "ppo", "CartPole-v1", path, sizeof path));
    make_run("logs/ppo/CartPole-v1_9");
    make_run("logs/ppo/CartPole-v1_10");
    CHECK_OK(mt_folder_make(at("logs/ppo/CartPole-v1_11"), MT_FOLDER_PUBLIC));   // died before its config
    CHECK_OK(mt_run_folder_find_newest(log, "ppo", "CartPole-v1", path, sizeof path));
    cr_assert_str_eq(path, at("logs/ppo/CartPole-v1_10"));
    CHECK_FAIL(NOT_FOUND, "CartPole-v1\"", mt_run_folder_find_newest(log, "ppo", "CartPol-v1", path, sizeof path));
    CHECK_FAIL(NOT_FOUND, "Pong", mt_run_folder_find_newest(log, "ppo", "Pong", path, sizeof path));
    cr_assert_neq(mt_run_folder_find_newest(log, "ppo", "CartPole-v1", path, 8), MT_OK);
}

Test(report_run_folder, faults) {
    mt_run_folder run;
    CHECK_OK(mt_failpoint_set("file.mkdir:EACCES+"));
    CHECK_FAIL(IO, "logs", mt_run_folder_create(at("logs"), "ppo", "x", &run));
    CHECK_OK(mt_failpoint_set("file.write:ENOSPC"));
    CHECK_FAIL(IO, "run.lock", mt_run_folder_create(at("logs"), "ppo", "x", &run));
    cr_assert_eq(run.lock_fd, -1);
    spill(at("in-the-way"), "");
    CHECK_FAIL(EXISTS, "in-the-way", mt_run_folder_create(at("in-the-way"), "ppo", "x", &run));
}
