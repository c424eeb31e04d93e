// Jobs of the runtime over mpirun: work, options, failures, deaths, the end.
#include <criterion/criterion.h>
#include "engine/base/file.h"
#include "tests/engine/mpi_launch.h"

static launch_result result;

static void start(int ranks, const char *const *arguments, double limit_s) {
    if (ranks > 0) {
        launch_mpirun(ranks, NULL, MPI_RUNTIME, arguments, limit_s, &result);
        return;
    }
    const char *argv[LAUNCH_ARGS_MAX] = {MPI_RUNTIME};
    for (int i = 0; arguments[i]; i++) argv[i + 1] = arguments[i];
    launch((char *const *)argv, limit_s, &result);
}

#define START(ranks, limit_s, ...) start(ranks, (const char *const[]){__VA_ARGS__, NULL}, limit_s)
#define SAYS(text) cr_assert(strstr(result.output, text), "no \"%s\" in:\n%s", text, result.output)
#define ENDS(code) cr_assert_eq(result.status, code, "ended with %d after %.1f s:\n%s", result.status, result.seconds, result.output)

Test(runtime_job, works_on_any_number_of_ranks) {
    for (int ranks = 0; ranks <= 4; ranks = ranks ? 2 * ranks : 1) {
        START(ranks, 60, "work");
        ENDS(0);
        SAYS("done on ");
    }
}

Test(runtime_job, works_over_mpi_when_ranks_are_on_several_hosts) {
    START(2, 100, "--nodes-of", "1", "work");
    ENDS(0);
    START(4, 100, "--nodes-of", "2", "work");
    ENDS(0);
    SAYS("done on 4 ranks");
}

Test(runtime_job, reads_its_own_options_and_leaves_the_drivers) {
    START(2, 30, "--resources", "cpu=3,tpu=0.5,memory=1G", "--timeout=7", "--", "resources", "--mine");
    ENDS(0);
    SAYS("cpu 6 tpu 1 memory 2.14748e+09");
    START(0, 30, "--resources=cpu=3", "resources", "--mine");
    ENDS(0);
    START(2, 30, "--resources", "cpu=x", "work");
    ENDS(2);
    SAYS("cpu=x");
    START(0, 30, "--timeout", "-3", "work");
    ENDS(2);
    SAYS("timeout");
    START(0, 30, "--object-memory", "lots", "work");
    ENDS(2);
    SAYS("lots");
}

// rank 0 prints for all: what another rank could not do, it says in that rank's words
Test(runtime_job, what_one_rank_could_not_set_up_is_told) {
    START(1, 60, "work", ":", "-n", "1", MPI_RUNTIME, "--object-memory", "100000G", "work");
    ENDS(2);
    SAYS("rank 1: object heap: ");
    cr_assert_null(strstr(result.output, "see its message"), "%s", result.output);
    START(1, 60, "work", ":", "-n", "1", MPI_RUNTIME, "--resources", "cpu=y", "work");
    ENDS(2);
    SAYS("rank 1: ");
    SAYS("cpu=y");
}

Test(runtime_job, files_and_folders_that_cannot_be_written_are_refused_at_the_start) {
    START(2, 30, "--timeline", "/tmp/manta-no-such-folder/trace.json", "work");
    ENDS(3);
    SAYS("--timeline: ");
    SAYS("/tmp/manta-no-such-folder/trace.json");
    START(0, 30, "--spill-folder", "/tmp/manta-no-such-folder", "work");
    ENDS(3);
    SAYS("--spill-folder: ");
    // one rank's alone
    START(1, 30, "work", ":", "-n", "1", MPI_RUNTIME, "--spill-folder", "/dev/null", "work");
    SAYS("rank 1: --spill-folder: ");
    START(0, 30, "--no-spill", "--spill-folder", "/tmp/manta-no-such-folder", "work");
    ENDS(0);
}

Test(runtime_job, the_drivers_failure_is_printed_once_and_is_the_exit_status) {
    for (int ranks = 0; ranks <= 2; ranks += 2) {
        START(ranks, 30, "fail");
        ENDS(1);
        SAYS("TASK_FAILED: fail: no luck with it");
        START(ranks, 30, "code");
        ENDS(2);
    }
}

Test(runtime_job, a_body_that_never_ends_does_not_keep_the_job) {
    START(2, 30, "--end-timeout", "1", "deaf");
    cr_assert_neq(result.status, 0);
    cr_assert_neq(result.status, -1, "it hung:\n%s", result.output);
    SAYS("deaf");
    cr_assert_lt(result.seconds, 10);
}

Test(runtime_job, a_killed_rank_ends_the_job) {
    for (int who = 0; who < 2; who++) {
        START(2, 40, "die", who ? "1" : "0");
        cr_assert_neq(result.status, 0);
        cr_assert_neq(result.status, -1, "it hung:\n%s", result.output);
        cr_assert_lt(result.seconds, 20);
    }
}

Test(runtime_job, a_rank_that_crashes_says_who_it_was_and_what_it_ran) {
    for (int ranks = 1; ranks <= 2; ranks++) {
        START(ranks, 40, "crash");
        cr_assert_neq(result.status, 0);
        cr_assert_neq(result.status, -1, "it hung:\n%s", result.output);
        SAYS(ranks == 1 ? "manta: rank 0 (process " : "manta: rank 1 (process ");
        SAYS("SIGABRT (an abort or a failed assertion) while it runs crash");
    }
}

Test(runtime_job, the_timeline_has_every_rank) {
    char path[] = "/tmp/manta-job-timeline-XXXXXX", *text;
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
    START(2, 60, "--timeline", path, "work");
    ENDS(0);
    cr_assert_eq(mt_file_read(path, 1 << 28, &text, NULL), MT_OK, "%s", mt_last_error());
    cr_assert(strstr(text, "\"rank 0\"") && strstr(text, "\"rank 1\"") && strstr(text, "Counter.order"));
    free(text);
    unlink(path);
}
