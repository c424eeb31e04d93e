// manta_sim: runs seeds of the simulated job, or measures how it scales (--scale). A seed that fails prints what was violated
// and the command that runs it again; the exit status is 1 then, 0 otherwise, 2 for a wrong command line.
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "tests/simulator/scale.h"
#include "tests/simulator/simulator.h"

static const char usage[] =
    "usage: manta_sim [--ranks N] [--nodes K] [--deaths D] [--partitions P] [--duplicates PERCENT] [--tasks N]\n"
    "                 [--stalls S] [--head 0|1: rank 0 dies]\n"
    "                 [--seed S] [--seeds COUNT] [--seconds T] [--twice] [--mutate KIND] [--verbose]\n"
    "       manta_sim --list FILE      seeds of a file, a command line each\n"
    "       manta_sim --scale [--ranks N]\n"
    "What is not given is drawn from the seed. --verbose twice prints every event. KIND: drop-release, twice, release-twice, lose-done, free-early.\n";

static const char *const mutations[] = {"none", "drop-release", "twice", "release-twice", "lose-done", "free-early"};

typedef struct arguments {
    mt_sim_desc desc;
    uint64_t count;
    double seconds;
    int twice, scale;
    const char *list;
} arguments;

// ---- the command that runs a seed again, for a signal's handler, too
static char replay[512];

static void note_replay(const mt_sim_desc *d) {
    int at = snprintf(replay, sizeof replay, "manta_sim --seed %llu", (unsigned long long)d->seed);
    const struct { const char *name; int value; } given[] = {{"ranks", d->ranks}, {"nodes", d->nodes}, {"deaths", d->deaths},
        {"partitions", d->partitions}, {"tasks", d->tasks}, {"stalls", d->stalls}, {"head", d->head}};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (given[i].value != MT_DRAWN) at += snprintf(replay + at, sizeof replay - (size_t)at, " --%s %d", given[i].name, given[i].value);
    if (d->duplicates >= 0) at += snprintf(replay + at, sizeof replay - (size_t)at, " --duplicates %g", d->duplicates);
    if (d->mutation) snprintf(replay + at, sizeof replay - (size_t)at, " --mutate %s", mutations[d->mutation]);
}

static void on_crash(int number) {
    char text[700];
    int bytes = snprintf(text, sizeof text, "seed fails: the core stopped with signal %d\n    again: %s\n", number, replay);
    if (write(STDERR_FILENO, text, (size_t)bytes) < 0) _exit(1);
    _exit(1);
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// ---- the command line

static int number_of(const char *text, double *out) {
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return end != text && !*end && !errno && *out >= 0;
}

static int parse(int argc, char **argv, arguments *out) {
    static const struct option options[] = {{"ranks", 1, NULL, 'r'}, {"seed", 1, NULL, 's'}, {"seeds", 1, NULL, 'c'},
        {"nodes", 1, NULL, 'k'}, {"deaths", 1, NULL, 'd'}, {"partitions", 1, NULL, 'p'}, {"duplicates", 1, NULL, 'u'},
        {"tasks", 1, NULL, 't'}, {"verbose", 0, NULL, 'v'}, {"scale", 0, NULL, 'S'}, {"mutate", 1, NULL, 'm'},
        {"list", 1, NULL, 'l'}, {"seconds", 1, NULL, 'T'}, {"twice", 0, NULL, '2'}, {"stalls", 1, NULL, 'L'},
        {"head", 1, NULL, 'H'}, {0}};
    *out = (arguments){.count = 1, .desc = {.seed = 1, .ranks = MT_DRAWN, .nodes = MT_DRAWN, .deaths = MT_DRAWN,
        .partitions = MT_DRAWN, .tasks = MT_DRAWN, .stalls = MT_DRAWN, .head = MT_DRAWN, .duplicates = MT_DRAWN}};
    optind = 0;
    for (int letter; (letter = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        double x = 0;
        int wants = letter != 'v' && letter != 'S' && letter != '2' && letter != 'm' && letter != 'l';
        if (letter == '?' || (wants && !number_of(optarg, &x))) return 0;
        switch (letter) {
        case 'r': out->desc.ranks = (int)x; break;
        case 's': out->desc.seed = strtoull(optarg, NULL, 10); break;
        case 'c': out->count = (uint64_t)x; break;
        case 'k': out->desc.nodes = (int)x; break;
        case 'd': out->desc.deaths = (int)x; break;
        case 'p': out->desc.partitions = (int)x; break;
        case 'u': out->desc.duplicates = x; break;
        case 't': out->desc.tasks = (int)x; break;
        case 'L': out->desc.stalls = (int)x; break;
        case 'H': out->desc.head = x != 0; break;
        case 'v': out->desc.verbose++; break;
        case 'S': out->scale = 1; break;
        case 'T': out->seconds = x; break;
        case '2': out->twice = 1; break;
        case 'l': out->list = optarg; break;
        case 'm':
            for (int i = 1; i < MT_MUTATIONS; i++)
                if (!strcmp(optarg, mutations[i])) out->desc.mutation = i;
            if (!out->desc.mutation) return 0;
            break;
        default: break;
        }
    }
    if (out->desc.ranks != MT_DRAWN && (out->desc.ranks < 1 || out->desc.ranks > 100000)) return 0;
    if (out->desc.nodes != MT_DRAWN && out->desc.nodes < 1) return 0;
    return optind == argc;
}

// ---- running

typedef struct totals { uint64_t seeds, events, messages, calls, actors, objects, values, errors, met, unmet, stalled, locked_up, deaths; double virtual_s; } totals;

static int run_seed(const mt_sim_desc *desc, int twice, totals *sum) {
    mt_sim_report report, again;
    note_replay(desc);
    mt_simulator_run(desc, &report);
    if (!report.failed && twice) {
        mt_simulator_run(desc, &again);
        if (again.digest != report.digest || again.events != report.events) {
            fprintf(stderr, "seed fails: two runs of it differ (%llu and %llu events)\n    again: %s --twice\n",
                (unsigned long long)report.events, (unsigned long long)again.events, replay);
            return 1;
        }
    }
    if (report.failed) {
        fprintf(stderr, "seed fails: %s\n    again: %s\n", report.violation, replay);
        return 1;
    }
    if (desc->verbose)
        printf("seed %llu: %d ranks, %d deaths, %llu events, %llu messages, %llu calls, %llu actors, %llu objects, %llu values and %llu "
               "errors seen, %llu met, %llu did not, %llu waits for resources given up, %.3f s, digest %016llx\n",
            (unsigned long long)desc->seed, report.ranks, report.deaths, (unsigned long long)report.events,
            (unsigned long long)report.messages, (unsigned long long)report.calls, (unsigned long long)report.actors,
            (unsigned long long)report.objects, (unsigned long long)report.values, (unsigned long long)report.errors,
            (unsigned long long)report.met, (unsigned long long)report.unmet, (unsigned long long)report.stalled,
            (double)report.virtual_ns * 1e-9, (unsigned long long)report.digest);
    sum->seeds++;
    sum->events += report.events, sum->messages += report.messages, sum->calls += report.calls, sum->actors += report.actors;
    sum->objects += report.objects, sum->values += report.values, sum->errors += report.errors;
    sum->met += report.met, sum->unmet += report.unmet, sum->stalled += report.stalled, sum->deaths += (uint64_t)report.deaths, sum->locked_up += report.locked_up;
    sum->virtual_s += (double)report.virtual_ns * 1e-9;
    return 0;
}

static int run_seeds(const arguments *a, totals *sum) {
    double end = a->seconds > 0 ? seconds_now() + a->seconds : 0;
    mt_sim_desc desc = a->desc;
    for (uint64_t i = 0; i < a->count; i++, desc.seed++) {
        if (end > 0 && seconds_now() > end) break;
        if (run_seed(&desc, a->twice, sum)) return 1;
    }
    return 0;
}

// A line is a command line; what follows a # is why it is there.
static int run_list(const char *path, totals *sum) {
    FILE *file = fopen(path, "re");
    char line[1024];
    if (!file) {
        fprintf(stderr, "manta_sim: cannot open %s: %s\n", path, strerror(errno));
        return 2;
    }
    int code = 0;
    for (int number = 1; !code && fgets(line, sizeof line, file); number++) {
        char *words[32] = {"manta_sim"}, *save = NULL;
        int count = 1;
        line[strcspn(line, "#\n")] = 0;
        for (char *word = strtok_r(line, " \t", &save); word && count < 31; word = strtok_r(NULL, " \t", &save)) words[count++] = word;
        arguments a;
        if (count == 1) continue;
        if (!parse(count, words, &a)) {
            fprintf(stderr, "%s:%d: not a command line of manta_sim\n", path, number);
            code = 2;
        } else code = run_seeds(&a, sum);
    }
    fclose(file);
    return code;
}

int main(int argc, char **argv) {
    arguments a;
    totals sum = {0};
    if (!parse(argc, argv, &a)) {
        fputs(usage, stderr);
        return 2;
    }
    signal(SIGABRT, on_crash), signal(SIGSEGV, on_crash), signal(SIGFPE, on_crash), signal(SIGBUS, on_crash);
    if (a.scale) return mt_scale_run(a.desc.ranks == MT_DRAWN ? 0 : a.desc.ranks, stdout);
    double began = seconds_now();
    int code = a.list ? run_list(a.list, &sum) : run_seeds(&a, &sum);
    double took = seconds_now() - began;
    if (code) return code;
    printf("%llu seeds kept their promises: %llu events, %llu messages, %llu calls, %llu actors, %llu objects, %llu values and %llu errors "
           "checked, %llu meetings held (%llu not), %llu waits for resources given up, %llu programs that locked themselves up, %llu deaths, %.0f s of virtual time in %.1f s\n",
        (unsigned long long)sum.seeds, (unsigned long long)sum.events, (unsigned long long)sum.messages, (unsigned long long)sum.calls,
        (unsigned long long)sum.actors, (unsigned long long)sum.objects, (unsigned long long)sum.values, (unsigned long long)sum.errors,
        (unsigned long long)sum.met, (unsigned long long)sum.unmet, (unsigned long long)sum.stalled, (unsigned long long)sum.locked_up, (unsigned long long)sum.deaths,
        sum.virtual_s, took);
    return 0;
}
