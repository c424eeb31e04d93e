// The progress line, on a clock of the test's own: what is drawn, how often, and how it fits a narrow terminal.
#include <math.h>
#include <pthread.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include "engine/base/clock.h"
#include "scheduler/report/progress.h"
#include "scheduler/report/terminal.h"
#include "test_report_common.h"

static int64_t test_now_ns;
static int64_t test_clock(void) { return test_now_ns; }

typedef struct screen {
    FILE *out;
    char *text;
    size_t bytes;
} screen;

static void plain_environment(void) {
    setenv("LC_ALL", "C", 1);
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
}

static void open_screen(screen *s) {
    plain_environment();
    s->out = open_memstream(&s->text, &s->bytes);
    test_now_ns = 1000000000;
}

static const char *shown(screen *s) {
    fflush(s->out);
    return s->text;
}

static mt_progress *start(screen *s, mt_progress_mode mode, int verbose, int columns) {
    mt_progress *p;
    mt_progress_desc desc = {.out = s->out,
        .title = "CartPole-v1",
        .total_steps = 100000,
        .verbose = verbose,
        .mode = mode,
        .columns = columns,
        .now_ns = test_clock};
    CHECK_OK(mt_progress_create(&desc, &p));
    return p;
}

static mt_metrics_row row_at(double steps, double reward) {
    mt_metrics_row row;
    mt_metrics_row_clear(&row);
    row.value[MT_METRIC_TOTAL_TIMESTEPS] = steps;
    row.value[MT_METRIC_EP_REW_MEAN] = reward;
    row.value[MT_METRIC_EP_LEN_MEAN] = reward;
    return row;
}

Test(report_progress, numbers) {
    static const struct {
        double value;
        const char *text;
    } counts[] = {{0, "0"}, {999, "999"}, {1000, "1.00k"}, {1830, "1.83k"}, {62000, "62.0k"}, {251000, "251k"},
        {999700, "1.00M"}, {14e6, "14.0M"}, {NAN, "0"}, {-1500, "-1.50k"}},
      seconds[] = {{0, "0:00"}, {11.6, "0:12"}, {3599.6, "1:00:00"}, {3723, "1:02:03"}, {400000, "111:06:40"},
          {NAN, "?"}, {-1, "?"}, {1e300, "?"}};
    char text[MT_METRIC_TEXT_BYTES];
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        cr_assert_str_eq(mt_progress_print_count(counts[i].value, text), counts[i].text);
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++)
        cr_assert_str_eq(mt_progress_print_seconds(seconds[i].value, text), seconds[i].text);
    mt_progress_print_count(1.7e308, text);
}

Test(report_progress, live_line) {
    screen s;
    open_screen(&s);
    mt_progress *p = start(&s, MT_PROGRESS_LIVE, 1, 120);
    test_now_ns += MT_SECOND_NS;
    mt_metrics_row row = row_at(50000, 431.24);
    mt_progress_row(p, &row);
    cr_assert_str_eq(shown(&s),
        "\rCartPole-v1   50%  ===============---------------  50.0k/100k  50.0k steps/s  return "
        "431.2  ETA 0:01\x1b[K");
    // ten times a second at most
    size_t before = s.bytes;
    test_now_ns += MT_SECOND_NS / 10 - 1;
    mt_progress_update(p, 60000);
    shown(&s);
    cr_assert_eq(s.bytes, before);
    test_now_ns += 1;
    mt_progress_update(p, 60000);
    shown(&s);
    cr_assert_gt(s.bytes, before);

    mt_progress_finish(p, 100000, "trained");
    cr_assert_not_null(
        strstr(shown(&s), "\r\x1b[Ktrained 100000 steps in 1.10 s (90909 steps/s), ep_rew_mean 431.2\n"));
    before = s.bytes;
    test_now_ns += MT_SECOND_NS;
    mt_progress_update(p, 100001);
    mt_progress_destroy(p);
    shown(&s);
    cr_assert_eq(s.bytes, before, "nothing after the final line");
    fclose(s.out);
    free(s.text);
}

Test(report_progress, every_width_fits) {
    for (int columns = 5; columns <= 140; columns++) {
        screen s;
        open_screen(&s);
        mt_progress *p = start(&s, MT_PROGRESS_LIVE, 1, columns);
        test_now_ns += MT_SECOND_NS;
        mt_metrics_row row = row_at(62000, 431.24);
        mt_progress_row(p, &row);
        const char *text = shown(&s);
        cr_assert_eq(text[0], '\r');
        size_t length = strlen(text) - 1 - strlen("\x1b[K");
        cr_assert_leq(length, (size_t)columns - 1, "%d columns: %s", columns, text);
        cr_assert_not_null(strstr(text, "62%"));
        mt_progress_destroy(p);
        fclose(s.out);
        free(s.text);
    }
}

Test(report_progress, plain_lines) {
    screen s;
    open_screen(&s);
    mt_progress *p = start(&s, MT_PROGRESS_AUTO, 1, 0);   // a memory stream is no terminal
    test_now_ns += MT_SECOND_NS;
    mt_progress_update(p, 10);
    cr_assert_str_eq(shown(&s), "");
    mt_metrics_row row = row_at(25000, NAN);
    mt_progress_row(p, &row);
    row = row_at(62000, 431.24);
    row.value[MT_METRIC_FPS] = 251000;
    row.value[MT_METRIC_EVAL_MEAN_REWARD] = 500;
    mt_progress_row(p, &row);
    cr_assert_str_eq(shown(&s), "steps 25000/100000 (25%)  fps 25000  ETA 0:03\n"
                                "steps 62000/100000 (62%)  fps 251000  ep_rew_mean 431.2  ep_len_mean 431.2  eval 500"
                                "  ETA 0:01\n");
    mt_progress_destroy(p);
    fclose(s.out);
    free(s.text);
}

Test(report_progress, no_total_no_eta) {
    screen s;
    open_screen(&s);
    mt_progress *p;
    mt_progress_desc desc = {.out = s.out, .verbose = 1, .now_ns = test_clock, .mode = MT_PROGRESS_PLAIN};
    CHECK_OK(mt_progress_create(&desc, &p));
    mt_metrics_row row = row_at(5, 1);
    mt_progress_row(p, &row);
    cr_assert_str_eq(shown(&s), "steps 5  fps 0  ep_rew_mean 1  ep_len_mean 1\n");
    mt_progress_destroy(p);
    desc.mode = MT_PROGRESS_LIVE;
    CHECK_OK(mt_progress_create(&desc, &p));
    mt_progress_update(p, 7);
    cr_assert_not_null(strstr(shown(&s), "\r7 steps  0 steps/s"));
    mt_progress_destroy(p);
    fclose(s.out);
    free(s.text);
}

Test(report_progress, table_as_stable_baselines3_draws_it) {
    screen s;
    open_screen(&s);
    mt_progress *p = start(&s, MT_PROGRESS_PLAIN, 2, 0);
    mt_metrics_row row = row_at(2048, 21.5);
    row.value[MT_METRIC_APPROX_KL] = 0.0087312;
    mt_progress_row(p, &row);
    cr_assert_str_eq(shown(&s), "-----------------------------------------------\n"
                                "| rollout/                     |              |\n"
                                "|    ep_rew_mean               | 21.5         |\n"
                                "|    ep_len_mean               | 21.5         |\n"
                                "| time/                        |              |\n"
                                "|    total_timesteps           | 2048         |\n"
                                "| train/                       |              |\n"
                                "|    approx_kl                 | 0.008731     |\n"
                                "-----------------------------------------------\n");
    mt_progress_destroy(p);
    fclose(s.out);
    free(s.text);
}

Test(report_progress, silent) {
    screen s;
    open_screen(&s);
    mt_progress *p = start(&s, MT_PROGRESS_LIVE, 0, 80);
    mt_metrics_row row = row_at(2048, 21.5);
    mt_progress_row(p, &row);
    mt_progress_update(p, 3000);
    mt_progress_finish(p, 4000, "trained");
    mt_progress_destroy(p);
    mt_progress_destroy(NULL);
    shown(&s);
    cr_assert_eq(s.bytes, 0);
    fclose(s.out);
    free(s.text);
}

Test(report_progress, a_log_line_takes_the_live_line_away) {
    screen s;
    open_screen(&s);
    mt_progress *p = start(&s, MT_PROGRESS_LIVE, 1, 60);
    mt_progress_update(p, 1);
    mt_progress_print(p, s.out, "warning: x\n", 11);
    cr_assert_not_null(strstr(shown(&s), "\x1b[K\r\x1b[Kwarning: x\n"));
    size_t before = s.bytes;
    mt_progress_clear(p);   // nothing there to clear
    shown(&s);
    cr_assert_eq(s.bytes, before);
    mt_progress_update(p, 2);   // comes back at once
    shown(&s);
    cr_assert_gt(s.bytes, before);
    mt_progress_destroy(p);
    fclose(s.out);
    free(s.text);
}

Test(report_progress, a_resumed_run_counts_its_own_rate) {
    screen s;
    open_screen(&s);
    mt_progress *p;
    mt_progress_desc desc = {
        .out = s.out, .total_steps = 100000, .first_step = 50000, .verbose = 1, .now_ns = test_clock};
    CHECK_OK(mt_progress_create(&desc, &p));
    test_now_ns += 10 * MT_SECOND_NS;
    mt_metrics_row row = row_at(60000, NAN);
    mt_progress_row(p, &row);
    cr_assert_str_eq(shown(&s), "steps 60000/100000 (60%)  fps 1000  ETA 0:40\n");
    mt_progress_finish(p, 60000, "stopped after");
    cr_assert_not_null(strstr(shown(&s), "stopped after 10000 steps in 10.00 s (1000 steps/s)\n"));
    mt_progress_destroy(p);
    fclose(s.out);
    free(s.text);
}

// --- terminals -----------------------------------------------------------------------------------------------------

Test(report_progress, terminal_probe) {
    plain_environment();
    int pipes[2], master, slave;
    cr_assert_eq(pipe(pipes), 0);
    mt_terminal t = mt_terminal_probe(pipes[1]);
    cr_assert(!t.is_terminal && !t.color && t.columns == 80 && !t.unicode);

    struct winsize size = {.ws_row = 24, .ws_col = 132};
    cr_assert_eq(openpty(&master, &slave, NULL, NULL, &size), 0);
    setenv("LC_ALL", "en_US.UTF-8", 1);
    t = mt_terminal_probe(slave);
    cr_assert(t.is_terminal && t.color && t.columns == 132 && t.unicode);
    setenv("NO_COLOR", "1", 1);
    t = mt_terminal_probe(slave);
    cr_assert(t.is_terminal && !t.color);
    setenv("TERM", "dumb", 1);
    cr_assert(!mt_terminal_probe(slave).is_terminal);
}

Test(report_progress, a_forwarding_terminal_is_not_a_terminal_when_the_launchers_output_is_a_file) {
    plain_environment();
    // what a launcher does: its own output goes to a file, its child writes to a terminal without a size
    int master, slave;
    cr_assert_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
    FILE *file = tmpfile();
    int saved = dup(1);
    cr_assert_eq(dup2(fileno(file), 1), 1);
    pid_t child = fork();
    if (child == 0) {
        dup2(slave, 1);
        _exit(mt_terminal_probe(1).is_terminal ? 1 : 0);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    dup2(saved, 1);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);

    // and with the launcher on a real terminal its width is found
    struct winsize size = {.ws_row = 24, .ws_col = 97};
    int real_master, real;
    cr_assert_eq(openpty(&real_master, &real, NULL, NULL, &size), 0);
    cr_assert_eq(dup2(real, 1), 1);
    child = fork();
    if (child == 0) {
        dup2(slave, 1);
        mt_terminal t = mt_terminal_probe(1);
        _exit(t.is_terminal && t.columns == 97 && mt_terminal_columns(1) == 97 ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    dup2(saved, 1);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    fclose(file);
}

Test(report_progress, colour_and_unicode_on_a_real_terminal) {
    plain_environment();
    setenv("LC_ALL", "C.UTF-8", 1);
    struct winsize size = {.ws_row = 24, .ws_col = 100};
    int master, slave;
    cr_assert_eq(openpty(&master, &slave, NULL, NULL, &size), 0);
    screen s = {.out = fdopen(slave, "w")};
    test_now_ns = 0;
    mt_progress *p = start(&s, MT_PROGRESS_AUTO, 1, 0);
    test_now_ns = MT_SECOND_NS;
    mt_metrics_row row = row_at(50000, 20);
    mt_progress_row(p, &row);
    char text[1024];
    ssize_t got = read(master, text, sizeof text - 1);
    cr_assert_gt(got, 0);
    text[got] = '\0';
    cr_assert_not_null(strstr(text, "\x1b[36m\u2501\u2501"));
    cr_assert_not_null(strstr(text, "\x1b[0;2m\u2500"));
    cr_assert_not_null(strstr(text, "\x1b[1mreturn 20\x1b[0m"));
    mt_progress_destroy(p);
    fclose(s.out);
}

// threads that log while the line is redrawn: the sanitizers watch
static void *log_much(void *progress) {
    for (int i = 0; i < 500; i++) mt_progress_print(progress, stderr, "", 0);
    return NULL;
}

Test(report_progress, threads) {
    screen s;
    open_screen(&s);
    FILE *null = fopen("/dev/null", "w");
    mt_progress *p;
    mt_progress_desc desc = {.out = null, .total_steps = 500, .verbose = 1, .mode = MT_PROGRESS_LIVE, .columns = 80};
    CHECK_OK(mt_progress_create(&desc, &p));
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, log_much, p);
    for (int i = 0; i < 500; i++) mt_progress_update(p, i);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    mt_progress_destroy(p);
    fclose(null);
    fclose(s.out);
    free(s.text);
}
