// What stands at the other end of a file descriptor: a terminal (how wide, colour, Unicode) or not.
//
// A launcher gives every rank's stdout a pseudo-terminal of its own, so isatty() alone says "terminal" even when the
// launcher's output goes to a file. Such a forwarding terminal has no size (0 columns); then the parent process's
// descriptor of the same number is looked at instead, which also gives the true width.
#ifndef MANTA_SCHEDULER_REPORT_TERMINAL_H
#define MANTA_SCHEDULER_REPORT_TERMINAL_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_terminal {
    int is_terminal;   // 0: a file or a pipe (or TERM=dumb): nothing but plain lines
    int columns;       // 80 when unknown
    int color;         // is_terminal and NO_COLOR unset or empty
    int unicode;       // the locale's environment says UTF-8
} mt_terminal;

mt_terminal mt_terminal_probe(int fd);
int mt_terminal_columns(int fd);   // the width alone, cheap enough for every redraw; 80 when unknown

#ifdef __cplusplus
}
#endif
#endif
