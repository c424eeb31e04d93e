// Failpoints: a small table read from MANTA_FAILPOINTS at the first use. Counts are atomic; any thread.
#include "engine/base/failpoint.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/text.h"

enum { ENTRIES_MAX = 32, NAME_BYTES = 64, ACT_KILL = -1, ACT_STOP = -2, ACT_ABORT = -3 };

typedef struct entry {
    char name[NAME_BYTES];
    int action;           // an errno, or ACT_*
    uint64_t first;       // acts at the first-th passing, from 1
    bool later;           // and at every one after it
    _Atomic uint64_t passed;
} entry;

static entry entries[ENTRIES_MAX];
static atomic_size_t entry_count;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const struct {
    const char *name;
    int action;
} actions[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"ENOMEM", ENOMEM}, {"EACCES", EACCES}, {"EDQUOT", EDQUOT}, {"EROFS", EROFS},
    {"EINTR", EINTR}, {"EEXIST", EEXIST}, {"EMFILE", EMFILE}, {"EXDEV", EXDEV}, {"KILL", ACT_KILL}, {"STOP", ACT_STOP},
    {"ABORT", ACT_ABORT}};

// name:action[@n][+]
static mt_status parse_entry(const char *text, entry *out) {
    char word[NAME_BYTES * 2];
    int64_t first = 1;
    if (strlen(text) >= sizeof word) return MT_FAIL(INVALID_ARGUMENT, "failpoint \"%.40s...\" is too long", text);
    strcpy(word, text);
    size_t length = strlen(word);
    bool later = length && word[length - 1] == '+';
    if (later) word[length - 1] = '\0';
    char *count = strchr(word, '@');
    if (count) *count++ = '\0';
    char *action = strchr(word, ':');
    if (!action || action == word || action - word >= NAME_BYTES)
        return MT_FAIL(INVALID_ARGUMENT, "failpoint \"%s\": write name:action[@n][+]", text);
    *action++ = '\0';
    if (count && (mt_parse_i64(count, &first) != MT_OK || first < 1))
        return MT_FAIL(INVALID_ARGUMENT, "failpoint \"%s\": \"%s\" is not a count from 1", text, count);
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(action, actions[i].name) != 0) continue;
        strcpy(out->name, word);
        out->action = actions[i].action;
        out->first = (uint64_t)first;
        out->later = later;
        atomic_store(&out->passed, 0);
        return MT_OK;
    }
    return MT_FAIL(INVALID_ARGUMENT, "failpoint \"%s\": unknown action \"%s\"", text, action);
}

static mt_status parse_all(const char *spec) {
    atomic_store(&entry_count, 0);
    if (!spec || !*spec) return MT_OK;
    char *copy = strdup(spec), *rest = copy;
    if (!copy) return MT_FAIL(NO_MEMORY, "out of memory while reading failpoints");
    size_t count = 0;
    mt_status status = MT_OK;
    for (char *word; status == MT_OK && (word = strsep(&rest, ","));) {
        if (count == ENTRIES_MAX) status = MT_FAIL(INVALID_ARGUMENT, "more than %d failpoints", ENTRIES_MAX);
        else status = parse_entry(word, &entries[count++]);
    }
    free(copy);
    if (status == MT_OK) atomic_store(&entry_count, count);
    return status;
}

static void from_environment(void) {
    if (parse_all(getenv("MANTA_FAILPOINTS")) == MT_OK) return;
    fprintf(stderr, "manta: MANTA_FAILPOINTS: %s\n", mt_last_error());
    abort();
}

mt_status mt_failpoint_set(const char *spec) {
    pthread_once(&once, from_environment);
    return parse_all(spec);
}

int mt_failpoint(const char *name) {
    pthread_once(&once, from_environment);
    size_t count = atomic_load_explicit(&entry_count, memory_order_relaxed);
    for (size_t i = 0; i < count; i++) {
        entry *e = &entries[i];
        if (strcmp(e->name, name) != 0) continue;
        uint64_t passed = atomic_fetch_add(&e->passed, 1) + 1;
        if (passed != e->first && !(e->later && passed > e->first)) continue;
        if (e->action == ACT_KILL) raise(SIGKILL);
        if (e->action == ACT_STOP) raise(SIGSTOP);
        if (e->action == ACT_ABORT) abort();
        return e->action > 0 ? e->action : 0;
    }
    return 0;
}
