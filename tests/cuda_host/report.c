// Reports of the host implementation. Any thread; a second thread that fails meanwhile waits for the first one's abort.
#include "tests/cuda_host/report.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/cuda_host/settings.h"
#include "tests/cuda_host/symbols.h"

static void (*describe_place)(char *text, size_t bytes);
static pthread_mutex_t speaking = PTHREAD_MUTEX_INITIALIZER;

void mt_host_report_place(void (*describe)(char *text, size_t bytes)) { describe_place = describe; }

void mt_host_fatal(const char *format, ...) {
    char text[4096], place[512] = "";
    const char *seed = getenv("MANTA_CUDA_HOST_SEED");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (describe_place) describe_place(place, sizeof place);
    pthread_mutex_lock(&speaking);
    fflush(stdout);
    fprintf(stderr, "cuda_host: %s%s%s\ncuda_host: process %d, MANTA_CUDA_HOST_SEED=%s\n", text, *place ? "\n    in " : "",
        place, (int)getpid(), seed && *seed ? seed : "1");
    fflush(stderr);
    abort();
}

// file:line by way of binutils, which not every machine has
static int line_of(const void *address, char *text, size_t bytes) {
    char command[128], program[4096], file[512] = "";
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length < 0) return 0;
    program[length] = 0;
    setenv("MT_HOST_PROGRAM", program, 1); // by the environment: no quoting
    snprintf(command, sizeof command, "addr2line -e \"$MT_HOST_PROGRAM\" 0x%zx 2>/dev/null", mt_host_symbols_offset(address));
    FILE *out = popen(command, "r");
    if (!out) return 0;
    if (!fgets(file, sizeof file, out)) *file = 0;
    pclose(out);
    file[strcspn(file, "\n")] = 0;
    if (!*file || *file == '?') return 0;
    snprintf(text, bytes, "%s", file);
    return 1;
}

const char *mt_host_name_of(const void *address, char *text, size_t bytes) {
    char line[512];
    const char *name = mt_host_function_name(address);
    if (line_of((const char *)address - 1, line, sizeof line))
        snprintf(text, bytes, "%s (%s)", name, line); // a return address
    else
        snprintf(text, bytes, "%s", name);
    return text;
}

const char *mt_host_function_name(const void *address) {
    const char *name = mt_host_symbols_find(address);
    return name ? name : "an unknown function";
}
