// What stands at the other end of a file descriptor. Reads the environment and asks the system; changes nothing.
#include "scheduler/report/terminal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS_UNKNOWN = 80 };

static int width_of(int fd) {
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

// The terminal's width; 0: a terminal of unknown width; -1: no terminal.
static int look(int fd) {
    if (!isatty(fd)) return -1;
    int columns = width_of(fd);
    if (columns > 0) return columns;

    // no size: a launcher's forwarding terminal, or a real one that nobody told its size. The parent knows.
    char link[64], target[64];
    snprintf(link, sizeof link, "/proc/%ld/fd/%d", (long)getppid(), fd);
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length < 0) return 0;
    target[length] = '\0';
    if (strncmp(target, "/dev/pts/", 9) != 0 && strncmp(target, "/dev/tty", 8) != 0) return -1;
    int parent = open(target, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (parent < 0) return 0;
    columns = width_of(parent);
    close(parent);
    return columns;
}

static int says_utf8(void) {
    // the order in which the C library looks
    static const char *const variables[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = getenv(variables[i]);
        if (!value || !*value) continue;
        const char *dot = strchr(value, '.');
        return dot && (strncasecmp(dot, ".utf-8", 6) == 0 || strncasecmp(dot, ".utf8", 5) == 0);
    }
    return 0;
}

mt_terminal mt_terminal_probe(int fd) {
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    int columns = look(fd);
    mt_terminal terminal = {.columns = columns > 0 ? columns : COLUMNS_UNKNOWN, .unicode = says_utf8()};
    terminal.is_terminal = columns >= 0 && !(term && strcmp(term, "dumb") == 0);
    terminal.color = terminal.is_terminal && !(no_color && *no_color);
    return terminal;
}

int mt_terminal_columns(int fd) {
    int columns = look(fd);
    return columns > 0 ? columns : COLUMNS_UNKNOWN;
}
