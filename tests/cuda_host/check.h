// What the self-tests of the host implementation share. Each case is a process of its own, with the environment it asks for: most
// of them are wrong on purpose, and have to end with the right words.
//
//   program            all cases
//   program CASE       that one, here, its words on the terminal
#ifndef MANTA_TESTS_CUDA_HOST_CHECK_H
#define MANTA_TESTS_CUDA_HOST_CHECK_H

#include <cuda_runtime_api.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK_HELPER static inline __attribute__((unused))

typedef struct check_case {
    const char *name;
    void (*run)(void);
    const char *words;       // on stderr before it dies by abort(); NULL: it ends well, having said nothing
    const char *environment; // "NAME=VALUE NAME=VALUE". Nullable
    int status;              // with words: other than by abort(), with this exit status
} check_case;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            exit(3);                                                                                                   \
        }                                                                                                              \
    } while (0)
CHECK_HELPER void check_cuda(cudaError_t code, const char *call, const char *file, int line) {
    if (code == cudaSuccess) return;
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, call, cudaGetErrorString(code));
    exit(3);
}
#define CHECK_CUDA(call) check_cuda((call), #call, __FILE__, __LINE__)

CHECK_HELPER void check_environment(const char *text) {
    char copy[512];
    snprintf(copy, sizeof copy, "%s", text ? text : "");
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        char *value = strchr(word, '=');
        if (!value) continue;
        *value = 0;
        setenv(word, value + 1, 1);
    }
}

// runs `run` in a process of its own, with these words in its environment; its stderr, and its status as waitpid has it
CHECK_HELPER int check_process(void (*run)(void), const char *environment, char *text, size_t bytes) {
    int ends[2], status = 0;
    size_t length = 0;
    if (pipe(ends) != 0) exit(2);
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) exit(2);
    if (child == 0) {
        dup2(ends[1], 2);
        close(ends[0]), close(ends[1]);
        alarm(60); // a hang is an end, too
        check_environment(environment);
        run();
        exit(0);
    }
    close(ends[1]);
    for (ssize_t n; length + 1 < bytes && (n = read(ends[0], text + length, bytes - 1 - length)) > 0;) length += (size_t)n;
    text[length] = 0;
    close(ends[0]);
    waitpid(child, &status, 0);
    return status;
}

CHECK_HELPER int check_one(const check_case *c) {
    char text[1 << 14];
    int status = check_process(c->run, c->environment, text, sizeof text);
    int aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, exited = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    int good = !c->words ? exited == 0 && !*text : strstr(text, c->words) && (c->status ? exited == c->status : aborted);
    printf("%s %s\n", good ? "passed" : "FAILED", c->name);
    if (!good) {
        printf("    wanted %s%s%s, ended with %s %d, having said:\n%s\n", c->words ? "\"" : "a good end", c->words ? c->words : "",
            c->words ? "\"" : "", WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : exited, text);
    }
    return good;
}

// in how many of `seeds` runs, each with a seed of its own, does it end with these words or, without words, badly?
CHECK_HELPER int check_seeds(void (*run)(void), int seeds, const char *words) {
    int found = 0;
    for (int seed = 1; seed <= seeds; seed++) {
        char text[1 << 14], environment[64];
        snprintf(environment, sizeof environment, "MANTA_CUDA_HOST_SEED=%d", seed);
        int status = check_process(run, environment, text, sizeof text);
        found += words ? strstr(text, words) != NULL : status != 0;
    }
    return found;
}

CHECK_HELPER int check_main(int argc, char **argv, const check_case *cases, size_t count) {
    int failed = 0;
    for (size_t i = 0; i < count; i++) {
        if (argc > 1 && strcmp(argv[1], cases[i].name) == 0) {
            check_environment(cases[i].environment);
            cases[i].run();
            return 0;
        }
        if (argc < 2) failed += !check_one(&cases[i]);
    }
    if (argc > 1) printf("there is no case %s\n", argv[1]);
    else printf("%zu cases, %d failed\n", count, failed);
    return argc > 1 ? 2 : failed != 0;
}

#endif
