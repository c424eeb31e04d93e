// The progress line; progress.h shows it. The training thread updates, any thread may print past it: `lock` guards the
// live line and everything written to `out`.
#include "scheduler/report/progress.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "scheduler/report/terminal.h"

static const int64_t REDRAW_NS = 100 * MT_MILLISECOND_NS;

enum { TITLE_BYTES = 64, PIECE_BYTES = 128, LINE_BYTES = 1024, BAR_MIN = 8, BAR_MAX = 30 };

struct mt_progress {
    pthread_mutex_t lock;
    FILE *out;   // borrowed
    char title[TITLE_BYTES];
    int64_t total_steps, first_step, steps;
    int64_t start_ns;
    _Atomic int64_t drawn_ns;   // read without the lock: the common update is a clock read and a comparison
    int64_t (*now_ns)(void);
    double ep_rew_mean, ep_len_mean;   // of the last row; NaN before
    mt_terminal terminal;
    int columns;   // fixed width; 0: ask
    int live, verbose, finished;
    int on_screen;   // the cursor stands in a live line
};

// --- numbers for people --------------------------------------------------------------------------------------------

char *mt_progress_print_count(double value, char buffer[MT_METRIC_TEXT_BYTES]) {
    static const char suffix[] = {'\0', 'k', 'M', 'G', 'T', 'P'};
    size_t s = 0;
    double magnitude = fabs(value);
    if (!isfinite(value)) magnitude = value = 0;
    // 999.5 and not 1000: 999,700 is "1.00M", not "1000k"
    for (; magnitude >= 999.5 && s + 1 < sizeof suffix; s++) magnitude /= 1000, value /= 1000;
    int decimals = s == 0 ? 0 : magnitude < 9.995 ? 2 : magnitude < 99.95 ? 1 : 0;
    int length = snprintf(buffer, MT_METRIC_TEXT_BYTES - 1, "%.*f", decimals, value);
    if (length < 0 || length > MT_METRIC_TEXT_BYTES - 2) length = MT_METRIC_TEXT_BYTES - 2;
    buffer[length] = suffix[s];
    buffer[length + 1] = '\0';
    return buffer;
}

char *mt_progress_print_seconds(double seconds, char buffer[MT_METRIC_TEXT_BYTES]) {
    if (!(seconds >= 0) || seconds > 359999999) {
        strcpy(buffer, "?");
        return buffer;
    }
    long long s = (long long)(seconds + 0.5);
    if (s < 3600) snprintf(buffer, MT_METRIC_TEXT_BYTES, "%lld:%02lld", s / 60, s % 60);
    else snprintf(buffer, MT_METRIC_TEXT_BYTES, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    return buffer;
}

static double seconds_run(const mt_progress *p) { return 1e-9 * (double)(p->now_ns() - p->start_ns); }

static double rate(const mt_progress *p) {
    double seconds = seconds_run(p);
    return seconds > 0 ? (double)(p->steps - p->first_step) / seconds : 0;
}

static double percent_done(const mt_progress *p) {
    double percent = 100.0 * (double)p->steps / (double)p->total_steps;
    return percent < 0 ? 0 : percent > 100 ? 100 : percent;
}

// NaN while there is nothing to estimate from
static double seconds_left(const mt_progress *p) {
    double per_second = rate(p);
    if (p->total_steps <= 0 || per_second <= 0) return NAN;
    return p->steps >= p->total_steps ? 0 : (double)(p->total_steps - p->steps) / per_second;
}

// --- the live line: pieces, and what is left out when the terminal is narrow ---------------------------------------

typedef enum piece { TITLE, PERCENT, BAR, STEPS, RATE, RETURN, ETA, PIECES } piece;

// what goes first when there is no room
static const piece drop_order[] = {BAR, TITLE, STEPS, RATE, ETA, RETURN};

static int width(const char *text) {
    int columns = 0;
    for (; *text; text++) columns += ((unsigned char)*text & 0xc0) != 0x80;   // all but UTF-8 continuation bytes
    return columns;
}

static void fill_pieces(const mt_progress *p, char pieces[PIECES][PIECE_BYTES]) {
    char a[MT_METRIC_TEXT_BYTES], b[MT_METRIC_TEXT_BYTES];
    memset(pieces, 0, sizeof(char[PIECES][PIECE_BYTES]));
    snprintf(pieces[TITLE], PIECE_BYTES, "%s", p->title);
    if (p->total_steps > 0) {
        snprintf(pieces[PERCENT], PIECE_BYTES, "%3.0f%%", floor(percent_done(p)));
        snprintf(pieces[STEPS], PIECE_BYTES, "%s/%s", mt_progress_print_count((double)p->steps, a),
            mt_progress_print_count((double)p->total_steps, b));
        snprintf(pieces[ETA], PIECE_BYTES, "ETA %s", mt_progress_print_seconds(seconds_left(p), a));
    } else {
        snprintf(pieces[STEPS], PIECE_BYTES, "%s steps", mt_progress_print_count((double)p->steps, a));
    }
    snprintf(pieces[RATE], PIECE_BYTES, "%s steps/s", mt_progress_print_count(rate(p), a));
    if (!isnan(p->ep_rew_mean))
        snprintf(pieces[RETURN], PIECE_BYTES, "return %s", mt_metric_print(MT_METRIC_EP_REW_MEAN, p->ep_rew_mean, a));
}

static int joined_width(char pieces[PIECES][PIECE_BYTES], int bar) {
    int columns = 0;
    for (int i = 0; i < PIECES; i++) {
        int own = i == BAR ? bar : width(pieces[i]);
        if (own > 0) columns += own + (columns > 0 ? 2 : 0);
    }
    return columns;
}

// The bar's width, after leaving out pieces until the rest fits into `columns`.
static int fit(const mt_progress *p, char pieces[PIECES][PIECE_BYTES], int columns) {
    int room = columns - joined_width(pieces, 0) - 2;
    if (p->total_steps > 0 && room >= BAR_MIN) return room < BAR_MAX ? room : BAR_MAX;
    for (size_t i = 0; i < sizeof drop_order / sizeof *drop_order; i++)
        if (joined_width(pieces, 0) > columns) pieces[drop_order[i]][0] = '\0';
    return 0;
}

static void append(char line[LINE_BYTES], size_t *used, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char line[LINE_BYTES], size_t *used, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line + *used, LINE_BYTES - *used, format, args);
    va_end(args);
    if (length > 0) *used += (size_t)length < LINE_BYTES - *used ? (size_t)length : LINE_BYTES - 1 - *used;
}

static void append_bar(const mt_progress *p, int columns, char line[LINE_BYTES], size_t *used) {
    const char *full = p->terminal.unicode ? "\u2501" : "=", *empty = p->terminal.unicode ? "\u2500" : "-";
    int filled = (int)(percent_done(p) / 100 * columns);
    if (p->terminal.color) append(line, used, "\x1b[36m");
    for (int i = 0; i < filled; i++) append(line, used, "%s", full);
    if (p->terminal.color) append(line, used, "\x1b[0;2m");
    for (int i = filled; i < columns; i++) append(line, used, "%s", empty);
    if (p->terminal.color) append(line, used, "\x1b[0m");
}

static void draw(mt_progress *p, int64_t now) {
    char pieces[PIECES][PIECE_BYTES], line[LINE_BYTES];
    int columns = p->columns ? p->columns : mt_terminal_columns(fileno(p->out));
    fill_pieces(p, pieces);
    int bar = fit(p, pieces, columns - 1);   // a line that fills the last column would wrap on some terminals
    size_t used = 0;
    const char *gap = "";
    append(line, &used, "\r");
    for (int i = 0; i < PIECES; i++) {
        if (i == BAR ? bar == 0 : pieces[i][0] == '\0') continue;
        append(line, &used, "%s", gap);
        gap = "  ";
        if (i == BAR) append_bar(p, bar, line, &used);
        else if (i == RETURN && p->terminal.color) append(line, &used, "\x1b[1m%s\x1b[0m", pieces[i]);
        else append(line, &used, "%s", pieces[i]);
    }
    append(line, &used, "\x1b[K");   // what an older, longer line left
    fwrite(line, 1, used, p->out);
    fflush(p->out);
    p->on_screen = 1;
    atomic_store_explicit(&p->drawn_ns, now, memory_order_relaxed);
}

static void clear_line(mt_progress *p) {
    if (!p->on_screen) return;
    fputs("\r\x1b[K", p->out);
    fflush(p->out);
    p->on_screen = 0;
    atomic_store_explicit(&p->drawn_ns, INT64_MIN / 2, memory_order_relaxed);   // the next update draws
}

// --- lines and tables ----------------------------------------------------------------------------------------------

static void print_plain(mt_progress *p, const mt_metrics_row *row) {
    char text[MT_METRIC_TEXT_BYTES];
    double fps = row->value[MT_METRIC_FPS];
    if (p->total_steps > 0)
        fprintf(
            p->out, "steps %lld/%lld (%.0f%%)", (long long)p->steps, (long long)p->total_steps, floor(percent_done(p)));
    else fprintf(p->out, "steps %lld", (long long)p->steps);
    fprintf(p->out, "  fps %.0f", isnan(fps) ? rate(p) : fps);
    if (!isnan(p->ep_rew_mean))
        fprintf(p->out, "  ep_rew_mean %s", mt_metric_print(MT_METRIC_EP_REW_MEAN, p->ep_rew_mean, text));
    if (!isnan(p->ep_len_mean))
        fprintf(p->out, "  ep_len_mean %s", mt_metric_print(MT_METRIC_EP_LEN_MEAN, p->ep_len_mean, text));
    if (!isnan(row->value[MT_METRIC_EVAL_MEAN_REWARD]))
        fprintf(p->out, "  eval %s",
            mt_metric_print(MT_METRIC_EVAL_MEAN_REWARD, row->value[MT_METRIC_EVAL_MEAN_REWARD], text));
    if (p->total_steps > 0) fprintf(p->out, "  ETA %s", mt_progress_print_seconds(seconds_left(p), text));
    fputc('\n', p->out);
    fflush(p->out);
}

// Stable-Baselines3's table: metrics of one prefix under a heading, so that people find what they know.
static void print_table(mt_progress *p, const mt_metrics_row *row) {
    static const char rule[] = "-----------------------------------------------\n";
    const char *heading = "";
    size_t heading_bytes = 0;
    fputs(rule, p->out);
    for (int i = 0; i < MT_METRIC_COUNT; i++) {
        if (isnan(row->value[i])) continue;
        const char *name = mt_metric_get((mt_metric)i)->name;
        size_t prefix = (size_t)(strchr(name, '/') - name) + 1;
        if (prefix != heading_bytes || strncmp(name, heading, prefix) != 0) {
            heading = name;
            heading_bytes = prefix;
            fprintf(p->out, "| %.*s%*s |              |\n", (int)prefix, name, 28 - (int)prefix, "");
        }
        char text[MT_METRIC_TEXT_BYTES];
        mt_metric_print((mt_metric)i, row->value[i], text);
        fprintf(p->out, "|    %-25s | %-12s |\n", name + prefix, text);
    }
    fputs(rule, p->out);
    fflush(p->out);
}

// --- the interface -------------------------------------------------------------------------------------------------

mt_status mt_progress_create(const mt_progress_desc *desc, mt_progress **out) {
    *out = NULL;
    mt_progress *p = calloc(1, sizeof *p);
    if (!p) return MT_FAIL(NO_MEMORY, "out of memory for the progress line");
    pthread_mutex_init(&p->lock, NULL);
    p->out = desc->out ? desc->out : stdout;
    snprintf(p->title, sizeof p->title, "%s", desc->title ? desc->title : "");
    p->total_steps = desc->total_steps;
    p->first_step = p->steps = desc->first_step;
    p->verbose = desc->verbose;
    p->columns = desc->columns;
    p->now_ns = desc->now_ns ? desc->now_ns : mt_clock_ns;
    p->start_ns = p->now_ns();
    atomic_init(&p->drawn_ns, INT64_MIN / 2);
    p->ep_rew_mean = p->ep_len_mean = NAN;
    int fd = fileno(p->out);
    if (fd >= 0) p->terminal = mt_terminal_probe(fd);
    p->live = desc->mode == MT_PROGRESS_LIVE || (desc->mode == MT_PROGRESS_AUTO && p->terminal.is_terminal);
    *out = p;
    return MT_OK;
}

void mt_progress_update(mt_progress *p, int64_t steps) {
    p->steps = steps;   // this thread alone writes and reads it
    if (!p->live || p->verbose < 1 || p->finished) return;
    int64_t now = p->now_ns();
    if (now - atomic_load_explicit(&p->drawn_ns, memory_order_relaxed) < REDRAW_NS) return;
    pthread_mutex_lock(&p->lock);
    draw(p, now);
    pthread_mutex_unlock(&p->lock);
}

void mt_progress_row(mt_progress *p, const mt_metrics_row *row) {
    const double *value = row->value;
    if (value[MT_METRIC_TOTAL_TIMESTEPS] >= 0) p->steps = (int64_t)value[MT_METRIC_TOTAL_TIMESTEPS];
    if (!isnan(value[MT_METRIC_EP_REW_MEAN])) p->ep_rew_mean = value[MT_METRIC_EP_REW_MEAN];
    if (!isnan(value[MT_METRIC_EP_LEN_MEAN])) p->ep_len_mean = value[MT_METRIC_EP_LEN_MEAN];
    if (p->verbose < 1 || p->finished) return;
    pthread_mutex_lock(&p->lock);
    if (p->verbose >= 2) {
        clear_line(p);
        print_table(p, row);
    } else if (!p->live) {
        print_plain(p, row);
    }
    pthread_mutex_unlock(&p->lock);
    mt_progress_update(p, p->steps);
}

void mt_progress_clear(mt_progress *p) {
    pthread_mutex_lock(&p->lock);
    clear_line(p);
    pthread_mutex_unlock(&p->lock);
}

void mt_progress_print(mt_progress *p, FILE *to, const char *text, size_t bytes) {
    pthread_mutex_lock(&p->lock);
    clear_line(p);
    fwrite(text, 1, bytes, to);
    fflush(to);
    pthread_mutex_unlock(&p->lock);
}

void mt_progress_finish(mt_progress *p, int64_t steps, const char *verb) {
    p->steps = steps;
    pthread_mutex_lock(&p->lock);
    clear_line(p);
    p->finished = 1;
    if (p->verbose >= 1) {
        char text[MT_METRIC_TEXT_BYTES];
        double seconds = seconds_run(p);
        fprintf(p->out, "%s %lld steps in ", verb, (long long)(steps - p->first_step));
        if (seconds < 100) fprintf(p->out, "%.2f s", seconds);
        else fprintf(p->out, "%s", mt_progress_print_seconds(seconds, text));
        fprintf(p->out, " (%.0f steps/s)", rate(p));
        if (!isnan(p->ep_rew_mean))
            fprintf(p->out, ", ep_rew_mean %s", mt_metric_print(MT_METRIC_EP_REW_MEAN, p->ep_rew_mean, text));
        fputc('\n', p->out);
        fflush(p->out);
    }
    pthread_mutex_unlock(&p->lock);
}

void mt_progress_destroy(mt_progress *p) {
    if (!p) return;
    clear_line(p);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
