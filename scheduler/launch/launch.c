// The launcher's loop; launch.h has the picture. One thread; start reading at mt_launch.
#include "scheduler/launch/launch.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/base/clock.h"
#include "engine/base/file.h"
#include "engine/base/pulse.h"
#include "scheduler/checkpoint.h"
#include "scheduler/report/run_folder.h"

enum { LINES_SHOWN = 6, INFO_BYTES = 1 << 20 };
#define KILL_NS        (10 * MT_SECOND_NS)   // a process that SIGKILL does not end by then waits for something broken
#define BACKOFF_MAX_NS (60 * MT_SECOND_NS)
#define REMOTE_NS      (20 * MT_SECOND_NS)   // the sweep of other hosts

typedef struct launch {
    const mt_launch_desc *desc;
    uint64_t id;                      // of this launcher: the first part of its attempts' words
    int attempts;
    int used;                         // relaunches since the last progress
    uint64_t generation, steps;       // of the newest checkpoint that verified; 0: none
    int signal_fd, uri_fd;
    sigset_t before;
    char uri[64], job[MT_JOB_BYTES];
    char pulse[MT_RUN_PATH_BYTES], checkpoints[MT_RUN_PATH_BYTES], info[MT_RUN_PATH_BYTES], config[MT_RUN_PATH_BYTES];
    const char *words[MT_LAUNCH_WORDS];
    mt_attempt attempt;               // the last one
    struct stat info_before;          // run.json as it was when that began
} launch;

static void say(const launch *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const launch *l, const char *format, ...) {
    char line[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    l->desc->say(l->desc->context, line);
}

// ---- the command

static int append(launch *l, int count, const char *word) {
    if (count < MT_LAUNCH_WORDS) l->words[count] = word;
    return count + 1;
}

static int append_all(launch *l, int count, char *const *words) {
    for (; *words; words++) count = append(l, count, *words);
    return count;
}

static mt_status make_command(launch *l, char *const *program_words) {
    const mt_launch_desc *d = l->desc;
    int n = append(l, 0, d->mpirun);
    n = append(l, n, "--report-uri"), n = append(l, n, l->uri);
    // other hosts' ranks do not inherit the launcher's environment; mpirun takes words of this kind one way only
    if (!getenv("OMPI_MCA_mca_base_env_list"))
        n = append(l, n, "-x"), n = append(l, n, MT_JOB_WORD), n = append(l, n, "-x"),
        n = append(l, n, MT_PULSE_VARIABLE);
    n = append_all(l, n, d->mpirun_words);
    n = append(l, n, d->program);
    n = append_all(l, n, program_words);
    n = append(l, n, NULL);
    return n <= MT_LAUNCH_WORDS
               ? MT_OK
               : MT_FAIL(CONFIG, "a command line of more than %d words; put options into a file (--conf-file)",
                     MT_LAUNCH_WORDS);
}

static int has_run(const launch *l) { return mt_file_exists(l->config); }

// What a start that got no further than its first file leaves in the folder, which was new or empty before: it would be
// in the way of the next start (--run-folder takes an empty folder only).
static mt_status clear_folder(const launch *l) {
    mt_folder_names names;
    if (!l->desc->fresh || has_run(l) || !mt_file_is_folder(l->desc->run_folder)) return MT_OK;
    MT_TRY(mt_folder_list(l->desc->run_folder, &names));
    mt_status status = MT_OK;
    for (size_t i = 0; i < names.count && status == MT_OK; i++) {
        size_t length = strlen(names.names[i]);
        if (names.names[i][0] == '.' && length > 4 && strcmp(names.names[i] + length - 4, ".tmp") == 0)
            status = mt_folder_remove_tree(l->desc->run_folder, names.names[i]);
    }
    mt_folder_names_fini(&names);
    return status;
}

// ---- what an attempt left

// What the attempt wrote into run.json; "" when it did not come so far, and an earlier session's word stands there.
static void read_outcome(const launch *l, char out[32]) {
    char *text = NULL;
    size_t bytes = 0;
    struct stat now;
    const struct stat *before = &l->info_before;
    out[0] = '\0';
    if (stat(l->info, &now) != 0 || (now.st_ino == before->st_ino && now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
                                        now.st_mtim.tv_nsec == before->st_mtim.tv_nsec)) return;
    if (mt_file_read(l->info, INFO_BYTES, &text, &bytes) != MT_OK) return;
    json_t *info = json_loadb(text, bytes, 0, NULL);
    const char *outcome = json_string_value(json_object_get(info, "outcome"));
    if (outcome) snprintf(out, 32, "%.31s", outcome);
    json_decref(info);
    free(text);
}

static int is_rank_count(const char *word) {
    static const char *const words[] = {"-n", "-np", "--n", "--np", "-c"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0) return 1;
    return 0;
}

// mpirun goes to every host again with a launcher that only sweeps. Best effort: a host that is out of reach ends its
// ranks itself.
static void sweep_other_hosts(launch *l) {
    char sweep[MT_JOB_BYTES + 16];
    snprintf(sweep, sizeof sweep, "--sweep=%s", l->job);
    char *words[] = {(char *)"launch", sweep, NULL};
    mt_attempt attempt;
    char job[MT_JOB_BYTES + 8];
    snprintf(job, sizeof job, "%s-sweep", l->job);
    int n = append(l, 0, l->desc->mpirun);
    for (char *const *w = l->desc->mpirun_words; *w; w++)
        if (is_rank_count(*w) && w[1]) w++;   // one a host
        else n = append(l, n, *w);
    n = append(l, n, "--map-by"), n = append(l, n, "ppr:1:node"), n = append(l, n, "--oversubscribe"),
    n = append(l, n, l->desc->program);
    n = append_all(l, n, words);
    n = append(l, n, NULL);
    if (n > MT_LAUNCH_WORDS) return;
    // no sign of life is expected: the patience alone ends it
    if (mt_attempt_run(&(mt_attempt_desc){.command = (char *const *)(uintptr_t)l->words,
                           .job = job,
                           .pulse = "",
                           .hang_ns = REMOTE_NS,
                           .uri_fd = -1,
                           .signal_fd = l->signal_fd,
                           .mask = &l->before,
                           .relay = l->desc->relay,
                           .context = l->desc->context},
            &attempt) != MT_OK)
        return;
    mt_attempt_collect(&attempt);
    // a signal that came meanwhile ended the sweep, and is meant for the launch
    l->attempt.asked = attempt.asked, l->attempt.signals += attempt.signals;
}

static mt_status sweep(launch *l) {
    int killed = 0, files = 0;
    mt_status status = mt_sweep_processes(l->job, l->attempt.mpirun, mt_deadline_after(KILL_NS), &killed);
    mt_sweep_files(l->attempt.family, l->attempt.mpirun, &files);
    mt_attempt_collect(&l->attempt);
    if (killed || files)
        say(l, "swept %d process%s and %d item%s of shared memory and temporary files", killed, killed == 1 ? "" : "es",
            files, files == 1 ? "" : "s");
    if (l->desc->hosts && l->attempt.code != 0 && !l->attempt.asked) sweep_other_hosts(l);
    return status;
}

// The newest generation that verifies becomes l->generation; *newer says whether it is one. MT_CORRUPT: there are some
// and none does.
static mt_status look_for_progress(launch *l, int *newer) {
    mt_checkpoint *checkpoint = NULL;
    *newer = 0;
    if (!mt_file_is_folder(l->checkpoints)) return MT_OK;
    mt_status status = mt_checkpoint_open_newest(l->checkpoints, &checkpoint);
    if (status == MT_NOT_FOUND) return MT_OK;
    MT_TRY(status);
    *newer = checkpoint->generation > l->generation;
    l->generation = checkpoint->generation, l->steps = checkpoint->steps;
    mt_checkpoint_close(checkpoint);
    return MT_OK;
}

// What the ranks said last. mpirun's and MPI's own words stand between lines of dashes, in pairs; the end of the text
// is outside, so it is read from there. What mattered of them is the reason, which the user has been told.
static void show_last_words(const launch *l) {
    const char *lines[LINES_SHOWN];
    char text[MT_ATTEMPT_WORDS];
    int count = 0, inside = 0;
    memcpy(text, l->attempt.words, sizeof text);
    for (size_t length = strlen(text); length && count < LINES_SHOWN;) {
        while (length && text[length - 1] != '\n' && text[length - 1] != '\r') length--;
        const char *line = text + length;
        size_t dashes = strspn(line, "-");
        if (dashes > 20 && line[dashes] == '\0') inside = !inside;
        else if (!inside && line[strspn(line, " \t")]) lines[count++] = line;
        if (length) text[--length] = '\0';
    }
    if (count) say(l, "its last words:");
    while (count--) say(l, "  | %.300s", lines[count]);
}

// ---- the loop

static mt_status run_once(launch *l) {
    mt_attempt_desc d = {
        .job = l->job, .pulse = l->pulse, .hang_ns = (int64_t)(l->desc->hang_timeout * 1e9), .uri_fd = l->uri_fd,
        .signal_fd = l->signal_fd, .mask = &l->before, .relay = l->desc->relay, .context = l->desc->context,
    };
    MT_TRY(clear_folder(l));
    if (stat(l->info, &l->info_before) != 0) memset(&l->info_before, 0, sizeof l->info_before);
    snprintf(l->job, sizeof l->job, "%016llx-%d", (unsigned long long)l->id, ++l->attempts);
    MT_TRY(make_command(l, has_run(l) ? l->desc->again : l->desc->first));
    d.command = (char *const *)(uintptr_t)l->words;   // exec's words are not const, and not written to
    return mt_attempt_run(&d, &l->attempt);
}

static mt_status stopped(const launch *l, int saved, const char *why) {
    if (saved)
        return MT_FAIL(INTERRUPTED,
            "stopped, state saved at %llu steps; continue with the same command and train --resume %s",
            (unsigned long long)l->steps, l->desc->run_folder);
    if (!l->generation)
        return MT_FAIL(INTERRUPTED,
            "stopped before there was a checkpoint (%s); continue, from the beginning, with train --resume %s", why,
            l->desc->run_folder);
    return MT_FAIL(INTERRUPTED,
        "stopped without a last checkpoint (%s); the newest has %llu steps; continue with the same command and train "
        "--resume %s",
        why, (unsigned long long)l->steps, l->desc->run_folder);
}

// Sleeps; a signal meanwhile ends the launch.
static mt_status back_off(launch *l) {
    double seconds = l->desc->backoff;
    for (int i = 1; i < l->used; i++) seconds *= 2;
    int64_t ns = seconds * 1e9 < (double)BACKOFF_MAX_NS ? (int64_t)(seconds * 1e9) : BACKOFF_MAX_NS;
    char from[96] = "from the beginning (there is no checkpoint yet)";
    if (l->generation)
        snprintf(from, sizeof from, "from generation %llu (%llu steps)", (unsigned long long)l->generation,
            (unsigned long long)l->steps);
    say(l, "relaunching %s in %g s (%d of %d without progress)", from, 1e-9 * (double)ns, l->used,
        l->desc->max_relaunches);
    int number = mt_attempt_signal_wait(l->signal_fd, mt_deadline_after(ns));
    if (!number) return MT_OK;
    l->attempt.asked = number;
    return stopped(l, 0, "between two attempts");
}

static mt_status give_up(const launch *l, const char *why) {
    char newest[64] = "there is no checkpoint";
    if (l->generation)
        snprintf(newest, sizeof newest, "the newest checkpoint has %llu steps", (unsigned long long)l->steps);
    return mt_fail(mt_attempt_status(&l->attempt), __FILE__, __LINE__,
        "gave up after %d attempt%s, %d relaunch%s without a new checkpoint (--max-relaunches %d): %s; %s. When the "
        "cause is mended, continue with train --resume %s",
        l->attempts, l->attempts == 1 ? "" : "s", l->used, l->used == 1 ? "" : "es", l->desc->max_relaunches, why,
        newest, l->desc->run_folder);
}

// One attempt and what follows from it. *again: another one.
static mt_status step(launch *l, int *again) {
    char why[MT_WHY_BYTES], outcome[32];
    int newer;
    *again = 0;
    MT_TRY(run_once(l));
    mt_status swept = sweep(l);
    read_outcome(l, outcome);
    mt_verdict verdict = mt_attempt_verdict(&l->attempt, outcome, why);
    if (verdict == MT_VERDICT_DONE) return MT_OK;
    mt_status status = look_for_progress(l, &newer);
    int saved = l->attempt.code == mt_status_exit_code(MT_INTERRUPTED) || strcmp(outcome, "interrupted") == 0;
    if (verdict == MT_VERDICT_STOPPED) return stopped(l, saved, why);
    if (verdict == MT_VERDICT_FINAL)
        return mt_fail(mt_attempt_status(&l->attempt), __FILE__, __LINE__,
            "not started again, since it would end the same way: %s", why);
    say(l, "attempt %d ended after %.1f s: %s", l->attempts, l->attempt.seconds, why);
    MT_TRY(swept);
    MT_TRY(status);
    if (newer) l->used = 0;
    if (l->used >= l->desc->max_relaunches) {
        show_last_words(l);
        return give_up(l, why);
    }
    show_last_words(l);
    l->used++;
    *again = 1;
    return back_off(l);
}

static mt_status set_up(launch *l) {
    const char *folder = l->desc->run_folder;
    int newer;
    if (getrandom(&l->id, sizeof l->id, 0) != (ssize_t)sizeof l->id)
        return MT_FAIL(INTERNAL, "the system gives no random number: %s", strerror(errno));
    MT_TRY(mt_path_join(l->pulse, sizeof l->pulse, folder, MT_RUN_PULSE));
    MT_TRY(mt_path_join(l->checkpoints, sizeof l->checkpoints, folder, MT_RUN_CHECKPOINTS));
    MT_TRY(mt_path_join(l->info, sizeof l->info, folder, MT_RUN_INFO));
    MT_TRY(mt_path_join(l->config, sizeof l->config, folder, MT_RUN_CONFIG));
    MT_TRY(look_for_progress(l, &newer));   // of a run that is continued
    l->uri_fd = memfd_create("manta-launch-uri", MFD_CLOEXEC);
    if (l->uri_fd < 0) return MT_FAIL(INTERNAL, "cannot make a file in memory: %s", strerror(errno));
    snprintf(l->uri, sizeof l->uri, "/proc/%ld/fd/%d", (long)getpid(), l->uri_fd);
    return mt_attempt_signals(&l->before, &l->signal_fd);
}

mt_status mt_launch(const mt_launch_desc *desc) {
    launch *l = calloc(1, sizeof *l);
    if (!l) return MT_FAIL(NO_MEMORY, "out of memory for the launcher");
    l->desc = desc;
    l->signal_fd = l->uri_fd = -1;
    int again = 1;
    mt_status status = set_up(l);
    while (status == MT_OK && again) status = step(l, &again);
    if (l->uri_fd >= 0) close(l->uri_fd);
    if (l->signal_fd >= 0) {
        close(l->signal_fd);
        sigprocmask(SIG_SETMASK, &l->before, NULL);
    }
    free(l);
    return status;
}
