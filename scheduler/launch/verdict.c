// What an attempt's end means. No state; any thread.
//
// Exit statuses come through mpirun 4.1 as they are, from the first rank that ended badly; 128 + signal when one was
// killed; 1 when mpirun itself gave up, was told to (SIGTERM), or mixed things up. So signs beside the number count,
// too: run.json says "done" or "interrupted" only after the last checkpoint is written, and with --enable-recovery
// mpirun says 0 for a job that died. Hence 0 alone is no success: only a run.json of this attempt is, which a run that
// had all its steps before writes anew, too.
#include "scheduler/launch/verdict.h"

#include <stdio.h>
#include <string.h>

// Of the floors below: what another attempt would not change. Not among them: input and output (a file server comes
// back), memory (what else runs ends), environments, deadlines and communication.
static const mt_status final[] = {
    MT_INVALID_ARGUMENT, MT_CONFIG, MT_NOT_FOUND, MT_EXISTS, MT_CORRUPT, MT_PLUGIN, MT_NUMERIC, MT_UNSUPPORTED};

// mpirun's own words for a command that cannot work; its status for them is 1 or 132
static int not_startable(const mt_attempt *a) {
    return strstr(a->words, "not enough slots") || strstr(a->words, "could not access\nor execute an executable") ||
        strstr(a->words, "was unable to find the specified executable");
}

mt_status mt_attempt_status(const mt_attempt *a) {
    if (a->hung) return MT_DEADLINE;
    if (not_startable(a)) return MT_CONFIG;
    for (int s = MT_STATUS_COUNT - 1; s > 0; s--)
        if (mt_status_exit_code((mt_status)s) == a->code) return (mt_status)s;
    return MT_COMM;
}

static int is_final(int code) {
    for (size_t i = 0; i < sizeof final / sizeof *final; i++)
        if (mt_status_exit_code(final[i]) == code) return 1;
    return 0;
}

// ---- the reason, in the words of whoever knew it

// The last line of `text` that holds `mark`, without blanks round it.
static int last_line_with(const char *text, const char *mark, char out[MT_WHY_BYTES]) {
    const char *found = NULL;
    for (const char *at = text; (at = strstr(at, mark)) != NULL; at++) found = at;
    if (!found) return 0;
    while (found > text && found[-1] != '\n') found--;
    found += strspn(found, " \t\r");
    size_t length = strcspn(found, "\r\n");
    if (length >= MT_WHY_BYTES) length = MT_WHY_BYTES - 1;
    memcpy(out, found, length);
    out[length] = '\0';
    return 1;
}

static void describe_stuck(const mt_attempt *a, char why[MT_WHY_BYTES]) {
    int used = snprintf(why, MT_WHY_BYTES, "it gave no sign of life");
    int listed = a->stuck.count < MT_SWEEP_LIST ? a->stuck.count : MT_SWEEP_LIST, named = 0;
    for (int i = 0; i < listed && used < MT_WHY_BYTES - 80; i++) {
        const mt_stray *s = &a->stuck.list[i];
        const char *what = s->state == 'T' || s->state == 't' ? "is stopped"
                           : s->state == 'D'                  ? "waits for a device or a file server"
                                                              : NULL;
        if (!what || s->rank < 0) continue;
        used += snprintf(why + used, (size_t)(MT_WHY_BYTES - used), "%s rank %d (pid %d) %s", named++ ? "," : ":",
            s->rank, s->pid, what);
    }
}

static void reason(const mt_attempt *a, char why[MT_WHY_BYTES]) {
    if (a->hung) describe_stuck(a, why);
    // "mpirun noticed that process rank 1 with PID 0 on node h exited on signal 9 (Killed)."
    else if (last_line_with(a->words, "exited on signal", why)) return;
    else if (last_line_with(a->words, "manta: ", why)) return;
    else if (last_line_with(a->words, "not enough slots", why)) return;
    else if (a->code > 128)
        snprintf(why, MT_WHY_BYTES, "mpirun was ended by signal %d (%s)", a->code - 128, strsignal(a->code - 128));
    else if (a->code == 0)
        snprintf(why, MT_WHY_BYTES,
            "mpirun ended with status 0 and the run without its end (does --mpirun-args ask for --enable-recovery?)");
    else snprintf(why, MT_WHY_BYTES, "mpirun ended with status %d", a->code);
}

mt_verdict mt_attempt_verdict(const mt_attempt *a, const char *outcome, char why[MT_WHY_BYTES]) {
    reason(a, why);
    if (strcmp(outcome, "done") == 0) return MT_VERDICT_DONE;
    if (a->asked) return MT_VERDICT_STOPPED;
    // the launcher's SIGTERM wakes stopped ranks, too, and they may even save: nobody asked them to stop for good
    if (a->hung) return MT_VERDICT_RETRY;
    if (a->code == mt_status_exit_code(MT_INTERRUPTED) || strcmp(outcome, "interrupted") == 0)
        return MT_VERDICT_STOPPED;
    if (is_final(a->code) || not_startable(a)) return MT_VERDICT_FINAL;
    return MT_VERDICT_RETRY;
}
