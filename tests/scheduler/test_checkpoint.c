// scheduler/checkpoint: commit and load, damage, retention, leftovers. Kills and failing disks:
// test_checkpoint_faults.c.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "checkpoint_sample.h"
#include "engine/base/log.h"
#include "engine/base/text.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static sample_place place;
static char logged[65536];   // what went to the log

static void catch_line(void *context, mt_log_level level, const char *line, size_t bytes) {
    (void)context, (void)level;
    size_t used = strlen(logged);
    if (used + bytes < sizeof logged) memcpy(logged + used, line, bytes), logged[used + bytes] = 0;
}

static void set_up(void) {
    mt_log_desc desc = {.level = MT_LOG_INFO, .size = 1, .write = catch_line};
    mt_log_start(&desc);
    place = sample_open();
}
static void tear_down(void) { sample_close(&place); }

TestSuite(checkpoint, .init = set_up, .fini = tear_down);

static void path_of(uint64_t generation, const char *name, char out[MT_PATH_BYTES]) {
    snprintf(out, MT_PATH_BYTES, "%s/gen-%08llu/%s", place.folder, (unsigned long long)generation, name);
}

static void write_ok(uint64_t generation, int keep) {
    cr_assert_eq(sample_write(place.folder, generation, keep), MT_OK, "%s", mt_last_error());
}

// ---- commit and load ----

Test(checkpoint, what_is_committed_loads) {
    mt_checkpoint *c = NULL;
    cr_assert_eq(mt_checkpoint_open_newest(place.folder, &c), MT_NOT_FOUND, "no folder yet");
    cr_assert_eq(mt_checkpoint_prepare(place.folder), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_checkpoint_open_newest(place.folder, &c), MT_NOT_FOUND, "an empty folder");
    cr_assert_null(c);

    uint64_t next = 0;
    for (uint64_t g = 1; g <= 3; g++) {
        cr_assert_eq(mt_checkpoint_next_generation(place.folder, &next), MT_OK);
        cr_assert_eq(next, g);
        write_ok(g, 5);
        cr_assert_eq(sample_newest(place.folder, NULL, 0), g, "%s", mt_last_error());
    }
    cr_assert_eq(sample_count(place.folder, ".tmp-"), 0);
    cr_assert_eq(mt_checkpoint_open(place.folder, 2, true, &c), MT_OK, "%s", mt_last_error());
    cr_assert_eq(c->generation, 2);
    cr_assert_str_eq(c->skipped, "");
    cr_assert_not_null(mt_checkpoint_find(c, "state.json"));
    cr_assert_null(mt_checkpoint_find(c, "nope"));
    void *data = NULL;
    size_t bytes = 0;
    cr_assert_eq(mt_checkpoint_read(c, "nope", &data, &bytes), MT_NOT_FOUND);
    cr_assert(strstr(mt_last_error(), "gen-00000002 has no file nope"), "%s", mt_last_error());
    mt_checkpoint_close(c);
    cr_assert_eq(mt_checkpoint_open(place.folder, 9, true, &c), MT_NOT_FOUND);
}

Test(checkpoint, files_are_private_and_the_manifest_checks_by_hand) {
    struct stat info;
    char path[MT_PATH_BYTES], *text = NULL, hex[MT_DIGEST_HEX_BYTES];
    write_ok(1, 1);
    path_of(1, "policy.safetensors", path);
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0600);
    path_of(1, "manifest.json", path);
    cr_assert_eq(mt_file_read(path, 1 << 20, &text, NULL), MT_OK);
    char *rest = strchr(text, '\n') + 1;   // tail -n +2 manifest.json | xxh128sum
    mt_digest_hex(mt_digest128_of(rest, strlen(rest)), hex);
    cr_assert_eq(strncmp(text + 12, hex, 32), 0);
    free(text);
}

Test(checkpoint, an_abandoned_generation_leaves_nothing) {
    mt_checkpoint_desc desc = sample_desc(place.folder, 1, 1);
    mt_checkpoint_writer *w = NULL;
    cr_assert_eq(mt_checkpoint_begin(&desc, &w), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_checkpoint_add_bytes(w, "a", "abc", 3), MT_OK);
    cr_assert_eq(sample_count(place.folder, ".tmp-gen-00000001"), 1);
    mt_checkpoint_abandon(w);
    cr_assert_eq(sample_count(place.folder, ""), 0);
    mt_checkpoint_abandon(NULL);
}

Test(checkpoint, the_first_failure_ends_the_generation_and_commit_returns_it) {
    static const char *const bad[] = {"", ".hidden", "a/b", "../a", "manifest.json", "a b",
        "a23456789012345678901234567890123456789012345678901234567890123x"};
    mt_checkpoint_desc desc = sample_desc(place.folder, 1, 1);
    mt_checkpoint_writer *w = NULL;
    for (size_t i = 0; i < COUNT(bad); i++) {
        cr_assert_eq(mt_checkpoint_begin(&desc, &w), MT_OK, "%s", mt_last_error());
        cr_assert_eq(mt_checkpoint_add_bytes(w, bad[i], "x", 1), MT_INVALID_ARGUMENT, "\"%s\"", bad[i]);
        cr_assert_eq(sample_count(place.folder, ""), 0, "gone at once");
        cr_assert_eq(mt_checkpoint_add_bytes(w, "good", "x", 1), MT_INVALID_ARGUMENT);
        cr_assert_eq(mt_checkpoint_commit(w), MT_INVALID_ARGUMENT);
        cr_assert_neq(strstr(mt_last_error(), bad[i]), NULL, "%s", mt_last_error());
    }
    cr_assert_eq(mt_checkpoint_begin(&desc, &w), MT_OK);
    cr_assert_eq(mt_checkpoint_add_bytes(w, "twice", "x", 1), MT_OK);
    cr_assert_eq(mt_checkpoint_add_bytes(w, "twice", "x", 1), MT_EXISTS);
    cr_assert_eq(mt_checkpoint_commit(w), MT_EXISTS);
    cr_assert_eq(sample_count(place.folder, ""), 0);
    desc.keep = 0;
    cr_assert_eq(mt_checkpoint_begin(&desc, &w), MT_INVALID_ARGUMENT);
    desc.keep = 1, desc.generation = 0;
    cr_assert_eq(mt_checkpoint_begin(&desc, &w), MT_INVALID_ARGUMENT);
}

// ---- damage ----

static void flip(const char *path, off_t at) {
    unsigned char byte = 0;
    int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void damage(const char *how, const char *path) {
    struct stat info;
    cr_assert_eq(stat(path, &info), 0, "%s", path);
    if (strcmp(how, "truncate") == 0) cr_assert_eq(truncate(path, info.st_size / 2), 0);
    if (strcmp(how, "empty") == 0) cr_assert_eq(truncate(path, 0), 0);
    if (strcmp(how, "longer") == 0) cr_assert_eq(truncate(path, info.st_size + 1), 0);
    if (strcmp(how, "flip") == 0) flip(path, info.st_size / 2);
    if (strcmp(how, "flip first") == 0) flip(path, 0);
    if (strcmp(how, "flip last") == 0) flip(path, info.st_size - 1);
    if (strcmp(how, "missing") == 0) cr_assert_eq(unlink(path), 0);
    if (strcmp(how, "folder") == 0) cr_assert(unlink(path) == 0 && mkdir(path, 0700) == 0);
    if (strcmp(how, "fifo") == 0) cr_assert(unlink(path) == 0 && mkfifo(path, 0600) == 0);
    if (strcmp(how, "link") == 0) cr_assert(unlink(path) == 0 && symlink("/etc/passwd", path) == 0);
}

Test(checkpoint, a_damaged_generation_is_passed_over_and_its_file_named) {
    static const char *const files[] = {
        "policy.safetensors", "state.json", "rng.blob", "worker-00000.blob", "manifest.json"};
    static const char *const ways[] = {
        "truncate", "empty", "longer", "flip", "flip first", "flip last", "missing", "folder", "fifo", "link"};
    char path[MT_PATH_BYTES], skipped[8192];
    write_ok(1, 100);
    uint64_t generation = 1;
    for (size_t f = 0; f < COUNT(files); f++) {
        for (size_t w = 0; w < COUNT(ways); w++) {
            write_ok(++generation, 100);
            path_of(generation, files[f], path);
            damage(ways[w], path);
            logged[0] = 0;
            cr_assert_eq(sample_newest(place.folder, skipped, sizeof skipped), 1, "%s %s: %s", ways[w], files[f],
                mt_last_error());
            char want[MT_PATH_BYTES];
            snprintf(want, sizeof want, "gen-%08llu/%s", (unsigned long long)generation, files[f]);
            cr_assert(strstr(skipped, want), "%s %s: %s", ways[w], files[f], skipped);
            cr_assert(strstr(logged, want), "%s", logged);
            char folder[64];
            snprintf(folder, sizeof folder, "gen-%08llu", (unsigned long long)generation);
            cr_assert_eq(mt_folder_remove_tree(place.folder, folder), MT_OK);
        }
    }
}

Test(checkpoint, when_nothing_verifies_the_error_says_why) {
    char path[MT_PATH_BYTES];
    mt_checkpoint *c = NULL;
    for (uint64_t g = 1; g <= 3; g++) {
        write_ok(g, 5);
        path_of(g, "state.json", path);
        damage("flip", path);
    }
    cr_assert_eq(mt_checkpoint_open_newest(place.folder, &c), MT_CORRUPT);
    cr_assert_null(c);
    cr_assert(strstr(mt_last_error(), "gen-00000003/state.json"), "%s", mt_last_error());
    // training goes on under a new number even so
    uint64_t next = 0;
    cr_assert_eq(mt_checkpoint_next_generation(place.folder, &next), MT_OK);
    cr_assert_eq(next, 4);
}

Test(checkpoint, damage_after_opening_is_found_when_read) {
    mt_checkpoint *c = NULL;
    mt_safetensors file;
    char path[MT_PATH_BYTES];
    write_ok(1, 1);
    cr_assert_eq(mt_checkpoint_open(place.folder, 1, false, &c), MT_OK);
    path_of(1, "policy.safetensors", path);
    damage("flip", path);
    cr_assert_eq(mt_checkpoint_tensors(c, "policy.safetensors", &file), MT_CORRUPT);
    cr_assert(strstr(mt_last_error(), path), "%s", mt_last_error());
    mt_checkpoint_close(c);
    cr_assert_eq(mt_checkpoint_open(place.folder, 1, true, &c), MT_CORRUPT);
}

Test(checkpoint, a_generation_under_another_number_is_refused) {
    char from[MT_PATH_BYTES], to[MT_PATH_BYTES];
    mt_checkpoint *c = NULL;
    write_ok(1, 1);
    path_of(1, "", from);
    path_of(2, "", to);
    cr_assert_eq(rename(from, to), 0);
    cr_assert_eq(mt_checkpoint_open_newest(place.folder, &c), MT_CORRUPT);
    cr_assert(strstr(mt_last_error(), "generation 1"), "%s", mt_last_error());
}

// ---- the manifest by itself ----

// A manifest with a true digest and this rest.
static mt_status parse_rest(const char *rest) {
    mt_text text = {0};
    char hex[MT_DIGEST_HEX_BYTES];
    mt_text_printf(&text, "{\"digest\": \"%s\",\n%s", mt_digest_hex(mt_digest128_of(rest, strlen(rest)), hex), rest);
    mt_checkpoint c;
    mt_status status = mt_checkpoint_parse_manifest(text.data, text.length, "forged", &c);
    mt_checkpoint_fini(&c);
    mt_text_fini(&text);
    return status;
}

#define HEX "00000000000000000000000000000000"
#define HEAD "\"format\":1,\"generation\":1,\"steps\":1,\"build_id\":\"b\""
#define ENTRY(name, bytes) "{\"name\":\"" name "\",\"bytes\":" bytes ",\"digest\":\"" HEX "\"}"

Test(checkpoint, a_manifest_with_a_true_digest_is_still_not_believed) {
    static const struct {
        const char *rest;
        mt_status want;
    } cases[] = {
        {HEAD ",\"files\":[]}", MT_OK},
        {HEAD ",\"config_digest\":\"" HEX "\",\"files\":[]}", MT_OK},   // earlier versions wrote it
        {HEAD ",\"files\":[" ENTRY("b", "1") "," ENTRY("a", "0") "],\"later\":1}", MT_OK},
        {HEAD ",\"files\":[" ENTRY("a", "1") "," ENTRY("a", "1") "]}", MT_CORRUPT},
        {HEAD ",\"files\":[" ENTRY("../../etc/passwd", "1") "]}", MT_CORRUPT},
        {HEAD ",\"files\":[" ENTRY("/etc/passwd", "1") "]}", MT_CORRUPT},
        {HEAD ",\"files\":[" ENTRY("manifest.json", "1") "]}", MT_CORRUPT},
        {HEAD ",\"files\":[" ENTRY("a", "-1") "]}", MT_CORRUPT},
        {HEAD ",\"files\":[" ENTRY("a", "1e3") "]}", MT_CORRUPT},
        {HEAD ",\"files\":[{}]}", MT_CORRUPT},
        {HEAD ",\"files\":[7]}", MT_CORRUPT},
        {HEAD ",\"files\":{}}", MT_CORRUPT},
        {HEAD "}", MT_CORRUPT},
        {"\"format\":2}", MT_UNSUPPORTED},
        {"\"format\":1}", MT_CORRUPT},
        {"\"digest\":\"\"," HEAD ",\"files\":[]}", MT_CORRUPT},   // a key twice
        {HEAD ",\"files\":[]}}", MT_CORRUPT},
        {"", MT_CORRUPT},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        mt_status status = parse_rest(cases[i].rest);
        cr_assert_eq(status, cases[i].want, "case %zu: %s %s", i, mt_status_name(status), mt_last_error());
        if (status != MT_OK) cr_assert_eq(strncmp(mt_last_error(), "forged: ", 8), 0, "%s", mt_last_error());
    }
}

Test(checkpoint, no_bit_and_no_length_of_the_manifest_is_unguarded) {
    char path[MT_PATH_BYTES], *text = NULL;
    size_t bytes = 0;
    mt_checkpoint c;
    write_ok(1, 1);
    path_of(1, "manifest.json", path);
    cr_assert_eq(mt_file_read(path, 1 << 20, &text, &bytes), MT_OK);
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        text[bit / 8] ^= (char)(1 << bit % 8);
        cr_assert_neq(mt_checkpoint_parse_manifest(text, bytes, "flipped", &c), MT_OK, "bit %zu", bit);
        text[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t length = 0; length < bytes; length++) {
        char *cut = malloc(length ? length : 1);   // exactly sized, for AddressSanitizer
        memcpy(cut, text, length);
        cr_assert_neq(mt_checkpoint_parse_manifest(cut, length, "cut", &c), MT_OK, "length %zu", length);
        free(cut);
    }
    free(text);
}

// ---- retention, leftovers, rivals ----

Test(checkpoint, the_newest_are_kept) {
    char path[MT_PATH_BYTES];
    for (uint64_t g = 1; g <= 5; g++) {
        write_ok(g, 2);
        cr_assert_eq(sample_count(place.folder, "gen-"), g < 2 ? 1 : 2);
        cr_assert_eq(sample_newest(place.folder, NULL, 0), g);
    }
    // a damaged one does not count among those kept: 6 and 4 stay besides it
    path_of(5, "rng.blob", path);
    damage("truncate", path);
    write_ok(6, 2);
    path_of(4, "manifest.json", path);
    cr_assert(mt_file_exists(path));
    cr_assert_eq(sample_count(place.folder, "gen-"), 3);
    write_ok(7, 2);
    cr_assert_eq(sample_count(place.folder, "gen-"), 2, "7 and 6");
    cr_assert_eq(sample_count(place.folder, ""), 2);
}

Test(checkpoint, leftovers_go_but_not_what_a_living_writer_has) {
    char path[MT_PATH_BYTES];
    mt_checkpoint_writer *w = NULL;
    write_ok(1, 3);
    mt_checkpoint_desc desc = sample_desc(place.folder, 2, 3);
    cr_assert_eq(mt_checkpoint_begin(&desc, &w), MT_OK);
    snprintf(path, sizeof path, "%s/.tmp-gen-00000007/deep/er", place.folder);
    cr_assert_eq(mt_folder_make(path, 0700), MT_OK);
    snprintf(path, sizeof path, "%s/.tmp-file", place.folder);
    cr_assert_eq(mt_file_write_atomic(path, "x", 1, 0600), MT_OK);
    snprintf(path, sizeof path, "%s/.tmp-link", place.folder);
    cr_assert_eq(symlink("/nowhere", path), 0);
    uint64_t next = 0;
    cr_assert_eq(mt_checkpoint_next_generation(place.folder, &next), MT_OK);
    cr_assert_eq(next, 8, "above every leftover");

    cr_assert_eq(mt_checkpoint_prepare(place.folder), MT_OK, "%s", mt_last_error());
    cr_assert_eq(sample_count(place.folder, ".tmp-"), 1, "the living one stays");
    cr_assert(strstr(logged, ".tmp-gen-00000002"), "and is named: %s", logged);
    cr_assert_eq(mt_checkpoint_add_bytes(w, "a", "abc", 3), MT_OK);
    cr_assert_eq(mt_checkpoint_commit(w), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_checkpoint_prepare(place.folder), MT_OK);
    cr_assert_eq(sample_count(place.folder, ""), 2);
}

Test(checkpoint, of_two_writers_of_one_generation_the_second_is_told) {
    mt_checkpoint_desc desc = sample_desc(place.folder, 1, 3);
    mt_checkpoint_writer *first = NULL, *second = NULL;
    cr_assert_eq(mt_checkpoint_begin(&desc, &first), MT_OK);
    cr_assert_eq(mt_checkpoint_begin(&desc, &second), MT_EXISTS);
    cr_assert_null(second);
    pid_t child = fork();
    if (child == 0) _exit(mt_checkpoint_begin(&desc, &second) == MT_EXISTS ? 0 : 1);
    int status = -1;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0, "another process is told too");
    cr_assert_eq(mt_checkpoint_add_bytes(first, "a", "abc", 3), MT_OK, "the first is unharmed");
    cr_assert_eq(mt_checkpoint_commit(first), MT_OK);
    cr_assert_eq(mt_checkpoint_begin(&desc, &second), MT_EXISTS, "committed");
    cr_assert(strstr(mt_last_error(), "gen-00000001 exists already"), "%s", mt_last_error());
}

// A reader beside a run that keeps a single generation always finds one.
Test(checkpoint, a_reader_beside_a_writer_always_finds_a_whole_one) {
    write_ok(1, 1);
    pid_t child = fork();
    if (child == 0) {
        for (uint64_t g = 2; g <= 60; g++)
            if (sample_write(place.folder, g, 1) != MT_OK) _exit(1);
        _exit(0);
    }
    uint64_t last = 0;
    int status = 0, reads = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        mt_checkpoint *c = NULL;
        cr_assert_eq(mt_checkpoint_open_newest(place.folder, &c), MT_OK, "after %llu: %s", (unsigned long long)last,
            mt_last_error());
        cr_assert_geq(c->generation, last);
        last = c->generation;
        mt_checkpoint_close(c);
        reads++;
    }
    cr_assert_eq(status, 0);
    cr_assert_gt(reads, 0);
    cr_assert_eq(sample_newest(place.folder, NULL, 0), 60);
}
