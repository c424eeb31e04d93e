// Settings of the host implementation. Any thread; the calls that shall fail are counted under a lock of their own.
#include "tests/cuda_host/settings.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/cuda_host/report.h"

enum { FAILURES_MOST = 32, NAME_BYTES = 64 };

typedef struct failure {
    char name[NAME_BYTES];
    long at, code; // code -1: the standard one
    long calls;
} failure;

static mt_host_settings settings;
static failure failures[FAILURES_MOST];
static int failure_count;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static long long number(const char *name, long long standard, long long least, long long most) {
    const char *text = getenv(name);
    if (!text || !*text) return standard;
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (shift) end++;
    if (errno || *end || end == text || n < least || n > most >> shift)
        mt_host_fatal("%s=\"%.60s\": a number between %lld and %lld is wanted", name, text, least, most);
    return n << shift;
}

// NAME:N[=CODE],...
static void read_failures(void) {
    const char *text = getenv("MANTA_CUDA_HOST_FAIL");
    while (text && *text) {
        failure *f = &failures[failure_count];
        int used = 0;
        f->code = -1;
        if (failure_count == FAILURES_MOST || sscanf(text, "%63[A-Za-z0-9_]:%ld%n", f->name, &f->at, &used) < 2 || f->at < 1)
            mt_host_fatal("MANTA_CUDA_HOST_FAIL=\"...%.60s\": NAME:N[=CODE],... is wanted, at most %d", text, FAILURES_MOST);
        text += used;
        if (*text == '=') {
            char *end;
            f->code = strtol(text + 1, &end, 10);
            text = end;
        }
        if (*text == ',')
            text++;
        else if (*text)
            mt_host_fatal("MANTA_CUDA_HOST_FAIL: \"%.60s\" follows the failure of %s", text, f->name);
        failure_count++;
    }
}

// the ordinals that CUDA_VISIBLE_DEVICES leaves; as the driver does, up to the first that is none
static void read_visible(void) {
    const char *text = getenv("CUDA_VISIBLE_DEVICES");
    if (!text) {
        for (int i = 0; i < settings.devices; i++) settings.visible[i] = i;
        settings.visible_count = settings.devices;
        return;
    }
    while (*text) {
        char *end;
        long device = strtol(text, &end, 10);
        if (end == text || device < 0 || device >= settings.devices) return;
        for (int i = 0; i < settings.visible_count; i++)
            if (settings.visible[i] == device) return;
        settings.visible[settings.visible_count++] = (int)device;
        text = *end == ',' ? end + 1 : end + strlen(end);
    }
}

static void read_all(void) {
    settings.seed = (uint64_t)number("MANTA_CUDA_HOST_SEED", 1, 0, INT64_MAX);
    settings.devices = (int)number("MANTA_CUDA_HOST_DEVICES", 2, 0, MT_HOST_DEVICES_MOST);
    settings.memory_bytes = (size_t)number("MANTA_CUDA_HOST_MEMORY", 4ll << 30, 1, 1ll << 40);
    settings.races = (int)number("MANTA_CUDA_HOST_RACES", 1, 0, 1);
    settings.protect = (int)number("MANTA_CUDA_HOST_PROTECT", 2, 0, 2);
    settings.trace = (int)number("MANTA_CUDA_HOST_TRACE", 0, 0, 1);
    read_failures();
    read_visible();
}

const mt_host_settings *mt_host_settings_get(void) {
    pthread_once(&once, read_all);
    return &settings;
}

int mt_host_settings_fail(const char *name, int standard) {
    long code = 0;
    mt_host_settings_get();
    if (!failure_count) return 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < failure_count; i++)
        if (strcmp(failures[i].name, name) == 0 && ++failures[i].calls == failures[i].at)
            code = failures[i].code >= 0 ? failures[i].code : standard;
    pthread_mutex_unlock(&lock);
    return (int)code;
}
