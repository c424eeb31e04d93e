// manta doctor: what this machine offers, and what is missing. Each line says what to do when it is not fine.
#include "apps/app.h"

#include "engine/base/cpu.h"
#include "engine/base/file.h"
#include "engine/device/device.h"
#include "kernels/kernels.h"
#include "scheduler/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static void line(const char *what, const char *verdict, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void line(const char *what, const char *verdict, const char *format, ...) {
    va_list args;
    printf("%-4s %-14s ", verdict, what);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

static int check_kernels(void) {
    const mt_kernels *k;
    if (mt_kernels_choose(&k) != MT_OK) {
        line("kernels", "BAD", "%s", mt_last_error());
        return 1;
    }
    line("kernels", "ok", "%s", k->name);
    return 0;
}

// every GPU that this process sees, or why there is none
static int check_devices(void) {
    mt_device *device = NULL;
    int count = 0;
    for (char spec[32] = "cuda:0"; mt_device_open(spec, &device) == MT_OK; snprintf(spec, sizeof spec, "cuda:%d", ++count)) {
        uint64_t left = 0;
        mt_status status = device->ops->memory_free(device, &left);
        if (status == MT_OK)
            line(spec, "ok", "%s at %s, %.1f of %.1f GiB free", device->name, device->place, (double)left / (1 << 30),
                (double)device->memory_bytes / (1 << 30));
        else line(spec, "note", "%s: %s", device->name, mt_last_error());
        mt_device_close(device);
    }
    if (!count) line("cuda", "note", "%s", mt_last_error());
    return 0;
}

// an all-reduce's shared memory and mpirun itself both live in /dev/shm
static int check_shared_memory(void) {
    struct statvfs fs;
    if (statvfs("/dev/shm", &fs) != 0) {
        line("/dev/shm", "BAD", "not there; mount a tmpfs on it");
        return 1;
    }
    double free_mib = (double)fs.f_bavail * (double)fs.f_frsize / (1 << 20);
    line("/dev/shm", free_mib < 64 ? "BAD" : "ok", "%.0f MiB free%s", free_mib,
        free_mib < 64 ? "; ranks on a node share gradients there: in a container give --shm-size=1g" : "");
    return free_mib < 64;
}

static int check_mpirun(void) {
    const char *path = getenv("PATH");
    char candidate[MT_PATH_BYTES];
    for (; path && *path; path += strcspn(path, ":"), path += *path == ':') {
        snprintf(candidate, sizeof candidate, "%.*s/mpirun", (int)strcspn(path, ":"), path);
        if (access(candidate, X_OK) == 0) {
            line("mpirun", "ok", "%s", candidate);
            return 0;
        }
    }
    line("mpirun", "BAD", "not on the PATH; install Debian's openmpi-bin to train on several ranks");
    return 1;
}

static int check_presets(void) {
    char path[2 * MT_PATH_BYTES];
    if (mt_preset_path("ppo", path, sizeof path) != MT_OK) {
        line("presets", "BAD", "%s", mt_last_error());
        return 1;
    }
    line("presets", "ok", "%s", path);
    return 0;
}

static mt_status run(int argc, char **argv) {
    if (argc > 1) {
        printf("usage: %s\n\n%s\n", mt_app_doctor.usage, mt_app_doctor.summary);
        return strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0
            ? MT_OK : MT_FAIL(CONFIG, "\"%s\" is not an option of manta doctor", argv[1]);
    }
    mt_cpu_info info;
    mt_text text = {0};
    MT_TRY(mt_cpu_query(&info));
    mt_cpu_format(&info, &text);
    printf("%s\n", text.length ? text.data : "");
    mt_text_fini(&text);
    int bad = check_kernels() + check_devices() + check_mpirun() + check_shared_memory() + check_presets();
    return bad ? MT_FAIL(UNSUPPORTED, "%d of the checks above failed", bad) : MT_OK;
}

const mt_app mt_app_doctor = {
    .name = "doctor",
    .summary = "say what this machine offers and what is missing",
    .usage = "manta doctor",
    .run = run,
};
