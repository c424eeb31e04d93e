// log.h: levels, prefixes, one write a line, hostile text.
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/log.h"

static char seen[8192];
static int lines;

static void collect(void *context, mt_log_level level, const char *line, size_t bytes) {
    (void)context;
    (void)level;
    memcpy(seen + strlen(seen), line, bytes);
    lines++;
}

static void start(mt_log_level level, int rank, int size) {
    memset(seen, 0, sizeof seen);
    mt_log_start(&(mt_log_desc){.level = level, .rank = rank, .size = size, .write = collect});
}

Test(log, levels) {
    start(MT_LOG_WARN, 0, 1);
    mt_log_error("a %d", 1);
    mt_log_warn("b");
    mt_log_info("c");
    mt_log_debug("d");
    cr_assert_str_eq(seen, "error: a 1\nwarning: b\n");
    start(MT_LOG_DEBUG, 0, 1);
    mt_log_info("c");
    mt_log_debug("d");
    cr_assert_str_eq(seen, "c\ndebug: d\n");
}

Test(log, ranks_show_when_there_are_several) {
    start(MT_LOG_INFO, 3, 4);
    mt_log_warn("x");
    cr_assert_str_eq(seen, "[rank 3] warning: x\n");
}

Test(log, one_clean_line_whatever_the_text) {
    start(MT_LOG_INFO, 0, 1);
    mt_log_info("evil\n\033[2Jname\x7f h\xc3\xa9");
    cr_assert_str_eq(seen, "evil??[2Jname? h\xc3\xa9\n");
    char large[5000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = 0;
    start(MT_LOG_INFO, 0, 1);
    mt_log_info("%s", large);
    cr_assert_eq(strlen(seen), 2047);
    cr_assert_eq(seen[2046], '\n');
}

Test(log, leaves_errno_alone_and_writes_to_stderr) {
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    mt_log_start(&(mt_log_desc){.level = MT_LOG_INFO, .size = 1});
    errno = 42;
    mt_log_info("to stderr");
    cr_assert_eq(errno, 42);
    char got[32] = "";
    cr_assert_eq(read(ends[0], got, sizeof got - 1), 10);
    cr_assert_str_eq(got, "to stderr\n");
}
