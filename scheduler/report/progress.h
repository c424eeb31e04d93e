// The progress line: what a person sees while training. Rank 0 only; one thread, but for mt_progress_print.
//
// On a terminal one line that is redrawn in place at most ten times a second:
//     CartPole-v1  62% ━━━━━━━━━━━━━━━╸───────── 62.0k/100k  251k steps/s  return 431.2  ETA 0:12
// elsewhere one plain line per log interval:
//     steps 62000/100000 (62%)  fps 251000  ep_rew_mean 431.2  ep_len_mean 431  ETA 0:12
// With verbose 2 a table of all metrics per log interval, drawn as Stable-Baselines3 draws it.
//
// mt_progress_update costs one clock read (about 20 ns); call it as often as convenient, once per vector step is fine.
#ifndef MANTA_SCHEDULER_REPORT_PROGRESS_H
#define MANTA_SCHEDULER_REPORT_PROGRESS_H

#include "scheduler/report/metrics.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_progress mt_progress;

typedef enum mt_progress_mode {
    MT_PROGRESS_AUTO,    // live on a terminal, plain lines elsewhere
    MT_PROGRESS_LIVE,    // as on a terminal, whatever `out` is (-P)
    MT_PROGRESS_PLAIN,
} mt_progress_mode;

typedef struct mt_progress_desc {
    FILE *out;             // borrowed; NULL: stdout
    const char *title;     // borrowed until create returns: the environment's name; NULL: none
    int64_t total_steps;   // 0: unknown, no percentage and no ETA
    int64_t first_step;    // where a resumed run begins; rate and ETA count from here
    int verbose;           // 0: nothing at all, 1: line, 2: line and tables
    mt_progress_mode mode;
    int columns;           // 0: ask the terminal
    int64_t (*now_ns)(void);   // monotonic clock; NULL: the system's. For tests.
} mt_progress_desc;

mt_status mt_progress_create(const mt_progress_desc *desc, mt_progress **out);

// Redraws the live line when a tenth of a second has passed; nothing on anything but a terminal.
void mt_progress_update(mt_progress *progress, int64_t steps);

// A log interval's row: live line (return taken from the row), plain line, or table.
void mt_progress_row(mt_progress *progress, const mt_metrics_row *row);

// Takes the live line off the screen, so that something else can be printed; the next update draws it again.
void mt_progress_clear(mt_progress *progress);

// Puts `bytes` of text (whole lines) on `to`, with the live line out of the way. Any thread: made for
// mt_log_desc.write.
void mt_progress_print(mt_progress *progress, FILE *to, const char *text, size_t bytes);

// The final line: "trained 100000 steps in 0.41 s (243902 steps/s), ep_rew_mean 487.3"; `verb` is "trained", "stopped
// after", .... Later updates draw nothing.
void mt_progress_finish(mt_progress *progress, int64_t steps, const char *verb);

void mt_progress_destroy(mt_progress *progress);   // Nullable; clears a line that is still there

// 251000 -> "251k", 1830 -> "1.83k"; "1:02:03", "0:12" for seconds. Return `buffer`.
char *mt_progress_print_count(double value, char buffer[MT_METRIC_TEXT_BYTES]);
char *mt_progress_print_seconds(double seconds, char buffer[MT_METRIC_TEXT_BYTES]);

#ifdef __cplusplus
}
#endif
#endif
