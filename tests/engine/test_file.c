// file.h and failpoint.h: whole reads, atomic writes, folders, and what happens when the system says no.
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine/base/failpoint.h"
#include "engine/base/file.h"

static char root[64];

static void make_root(void) {
    strcpy(root, "/tmp/manta-test-file-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
}

static void remove_root(void) {
    mt_failpoint_set(NULL);
    cr_assert_eq(mt_folder_remove_tree("/tmp", mt_path_name(root)), MT_OK, "%s", mt_last_error());
    cr_assert(!mt_file_exists(root));
}

TestSuite(file, .init = make_root, .fini = remove_root);

static const char *at(const char *name) {
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, 256, "%s/%s", root, name);
    return path;
}

static mode_t mode_of(const char *path) {
    struct stat info;
    cr_assert_eq(stat(path, &info), 0);
    return info.st_mode & 07777;
}

static void expect_content(const char *path, const char *content) {
    char *data = NULL;
    size_t size = 0;
    cr_assert_eq(mt_file_read(path, 1 << 20, &data, &size), MT_OK, "%s", mt_last_error());
    cr_assert_eq(size, strlen(content));
    cr_assert_str_eq(data, content);
    free(data);
}

Test(file, writes_and_reads) {
    char large[100000], *data;
    memset(large, 'x', sizeof large);
    size_t size;
    cr_assert_eq(mt_file_write_atomic(at("a"), "hello", 5, 0644), MT_OK, "%s", mt_last_error());
    expect_content(at("a"), "hello");
    cr_assert_eq(mt_file_write_atomic(at("a"), "", 0, 0644), MT_OK);
    expect_content(at("a"), "");
    cr_assert_eq(mt_file_write_atomic(at("a"), large, sizeof large, 0644), MT_OK);
    cr_assert_eq(mt_file_read(at("a"), sizeof large, &data, &size), MT_OK);
    cr_assert_eq(size, sizeof large);
    free(data);
    uint64_t bytes = 0;
    cr_assert_eq(mt_file_size(at("a"), &bytes), MT_OK);
    cr_assert_eq(bytes, sizeof large);
    cr_assert_eq(mt_file_read(at("a"), sizeof large - 1, &data, &size), MT_INVALID_ARGUMENT);
    cr_assert_null(data);
    mt_folder_names names;
    cr_assert_eq(mt_folder_list(root, &names), MT_OK);
    cr_assert_eq(names.count, 1);   // nothing temporary is left
    mt_folder_names_fini(&names);
}

Test(file, what_cannot_be_read) {
    char *data;
    cr_assert_eq(mt_file_read(at("none"), 10, &data, NULL), MT_NOT_FOUND);
    cr_assert_not_null(strstr(mt_last_error(), "No such file"));
    cr_assert_eq(mt_file_read(root, 10, &data, NULL), MT_INVALID_ARGUMENT);
    cr_assert_eq(mkfifo(at("pipe"), 0600), 0);
    cr_assert_eq(mt_file_read(at("pipe"), 10, &data, NULL), MT_INVALID_ARGUMENT);
    cr_assert_eq(mt_file_read("/dev/zero", 10, &data, NULL), MT_INVALID_ARGUMENT);
    // files of /proc say size 0 and hold more
    cr_assert_eq(mt_file_read("/proc/self/status", 1 << 20, &data, NULL), MT_OK);
    cr_assert(strlen(data) > 100);
    free(data);
    cr_assert_eq(mt_file_read("/proc/self/status", 10, &data, NULL), MT_INVALID_ARGUMENT);
}

Test(file, modes_do_not_depend_on_the_umask) {
    mode_t before = umask(0777);
    cr_assert_eq(mt_file_write_atomic(at("open"), "x", 1, MT_FILE_PUBLIC), MT_OK);
    cr_assert_eq(mt_file_write_atomic(at("secret"), "x", 1, MT_FILE_PRIVATE), MT_OK);
    umask(0);
    cr_assert_eq(mt_folder_make(at("p/q"), MT_FOLDER_PRIVATE), MT_OK, "%s", mt_last_error());
    umask(0077);
    cr_assert_eq(mt_folder_make_new(at("r"), MT_FOLDER_PUBLIC), MT_OK);
    umask(before);
    cr_assert_eq(mode_of(at("open")), 0644);
    cr_assert_eq(mode_of(at("secret")), 0600);
    cr_assert_eq(mode_of(at("p")), 0700);
    cr_assert_eq(mode_of(at("p/q")), 0700);
    cr_assert_eq(mode_of(at("r")), 0755);
}

Test(file, folders) {
    cr_assert_eq(mt_folder_make(at("a//b/c/"), 0755), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_folder_make(at("a/b/c"), 0755), MT_OK);
    cr_assert(mt_file_is_folder(at("a/b/c")) && !mt_file_is_folder(at("a/b/d")));
    cr_assert_eq(mt_folder_make_new(at("a/b"), 0755), MT_EXISTS);
    cr_assert_eq(mt_folder_make("", 0755), MT_NOT_FOUND);
    cr_assert_eq(mt_file_write_atomic(at("a/file"), "x", 1, 0644), MT_OK);
    cr_assert_eq(mt_folder_make(at("a/file"), 0755), MT_EXISTS);
    cr_assert_not_null(strstr(mt_last_error(), "is a file"));
    cr_assert_neq(mt_folder_make(at("a/file/x"), 0755), MT_OK);
    mt_folder_names names;
    cr_assert_eq(mt_folder_list(at("a"), &names), MT_OK);
    cr_assert_eq(names.count, 2);
    cr_assert_str_eq(names.names[0], "b");
    cr_assert_str_eq(names.names[1], "file");
    mt_folder_names_fini(&names);
    cr_assert_eq(mt_folder_list(at("nowhere"), &names), MT_NOT_FOUND);
    cr_assert_eq(mt_folder_list(at("a/b/c"), &names), MT_OK);
    cr_assert_eq(names.count, 0);
    mt_folder_names_fini(&names);
}

Test(file, removal_stays_inside) {
    cr_assert_eq(mt_folder_make(at("keep"), 0755), MT_OK);
    cr_assert_eq(mt_file_write_atomic(at("keep/file"), "x", 1, 0644), MT_OK);
    cr_assert_eq(mt_folder_make(at("box/deep/er"), 0755), MT_OK);
    cr_assert_eq(mt_file_write_atomic(at("box/deep/f"), "x", 1, 0644), MT_OK);
    cr_assert_eq(symlink("../../keep", at("box/deep/link")), 0);
    cr_assert_eq(symlink("nowhere", at("box/dangling")), 0);
    cr_assert_eq(mt_folder_remove_tree(root, "box"), MT_OK, "%s", mt_last_error());
    cr_assert(!mt_file_exists(at("box")) && mt_file_exists(at("keep/file")));
    cr_assert_eq(symlink("keep", at("link")), 0);
    cr_assert_eq(mt_folder_remove_tree(root, "link"), MT_OK);
    cr_assert(mt_file_exists(at("keep/file")) && !mt_file_exists(at("link")));
    static const char *const bad[] = {"", ".", "..", "a/b", "/", "../keep"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) cr_expect_eq(mt_folder_remove_tree(root, bad[i]), MT_INVALID_ARGUMENT);
    cr_assert_eq(mt_folder_remove_tree(root, "not-there"), MT_OK);
    cr_assert_eq(mt_folder_remove_tree(at("not-there"), "x"), MT_NOT_FOUND);
}

Test(file, exclusive_and_renames) {
    int fd;
    cr_assert_eq(mt_file_open_exclusive(at("new"), 0600, &fd), MT_OK);
    cr_assert_eq(mt_file_write_all(fd, at("new"), "ab", 2), MT_OK);
    cr_assert_eq(mt_file_write_all(fd, at("new"), "cd", 2), MT_OK);
    cr_assert_eq(mt_file_sync_close(fd, at("new")), MT_OK);
    expect_content(at("new"), "abcd");
    cr_assert_eq(mt_file_open_exclusive(at("new"), 0600, &fd), MT_EXISTS);
    cr_assert_eq(fd, -1);
    cr_assert_eq(symlink("target", at("link")), 0);
    cr_assert_eq(mt_file_open_exclusive(at("link"), 0600, &fd), MT_EXISTS);
    cr_assert(!mt_file_exists(at("target")) && mt_file_exists(at("link")));
    cr_assert_eq(mt_folder_make(at("tmp-gen"), 0700), MT_OK);
    cr_assert_eq(mt_file_rename_new(at("tmp-gen"), at("gen-1")), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_folder_make(at("tmp-gen"), 0700), MT_OK);
    cr_assert_eq(mt_file_rename_new(at("tmp-gen"), at("gen-1")), MT_EXISTS);
    cr_assert_eq(mt_file_rename(at("none"), at("x")), MT_NOT_FOUND);
    cr_assert_eq(mt_file_rename(at("new"), at("newer")), MT_OK);
    cr_assert(mt_file_exists(at("newer")) && !mt_file_exists(at("new")));
}

// whatever step fails: the old content stays, nothing temporary is left, the message says what to do
Test(file, a_failed_write_leaves_the_old_file) {
    static const char *const points[] = {"file.open:EACCES", "file.write:ENOSPC", "file.write:EIO", "file.fsync:EIO", "file.fsync:EDQUOT",
        "file.rename:EIO", "file.write:ENOSPC@1+"};
    cr_assert_eq(mt_file_write_atomic(at("config.yml"), "old", 3, 0644), MT_OK);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        cr_assert_eq(mt_failpoint_set(points[i]), MT_OK, "%s", mt_last_error());
        cr_expect_eq(mt_file_write_atomic(at("config.yml"), "new", 3, 0644), MT_IO, "%s", points[i]);
        cr_expect_not_null(strstr(mt_last_error(), "config.yml"), "%s", mt_last_error());
        bool full = strstr(points[i], "ENOSPC") || strstr(points[i], "EDQUOT");
        if (full) cr_expect_not_null(strstr(mt_last_error(), "disk full: free space or choose another --log-folder"), "%s", mt_last_error());
        mt_failpoint_set(NULL);
        expect_content(at("config.yml"), "old");
        mt_folder_names names;
        cr_assert_eq(mt_folder_list(root, &names), MT_OK);
        cr_expect_eq(names.count, 1, "%s left %zu files", points[i], names.count);
        mt_folder_names_fini(&names);
    }
    // the fsync of the folder, the second one: the new file is there, durable or not
    cr_assert_eq(mt_failpoint_set("file.fsync:EIO@2"), MT_OK);
    cr_expect_eq(mt_file_write_atomic(at("config.yml"), "new", 3, 0644), MT_IO);
    mt_failpoint_set(NULL);
    expect_content(at("config.yml"), "new");
    cr_assert_eq(mt_failpoint_set("file.mkdir:ENOSPC"), MT_OK);
    cr_assert_eq(mt_folder_make(at("x/y"), 0755), MT_IO);
    cr_assert_eq(mt_folder_make(at("x/y"), 0755), MT_OK);
}

Test(file, a_full_device) {
    int fd = open("/dev/full", O_WRONLY);
    if (fd < 0) cr_skip("no /dev/full here");
    cr_assert_eq(mt_file_write_all(fd, "/dev/full", "x", 1), MT_IO);
    cr_assert_not_null(strstr(mt_last_error(), "disk full"));
    close(fd);
}

Test(file, missing_and_forbidden_folders) {
    cr_assert_eq(mt_file_write_atomic(at("no/such/file"), "x", 1, 0644), MT_NOT_FOUND);
    cr_assert_eq(mt_folder_make(at("f"), 0755), MT_OK);
    if (geteuid() == 0) cr_skip("root may write everywhere");
    cr_assert_eq(chmod(at("f"), 0500), 0);
    cr_assert_eq(mt_file_write_atomic(at("f/x"), "x", 1, 0644), MT_IO);
    cr_assert_not_null(strstr(mt_last_error(), "check the permissions"));
    cr_assert_eq(chmod(at("f"), 0700), 0);
}

Test(path, join_parent_name) {
    char out[16];
    static const struct {
        const char *a, *b, *joined;
    } joins[] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"a", "/b", "/b"}, {"/", "b", "/b"}, {"a", "", "a/"}};
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
        cr_expect_eq(mt_path_join(out, sizeof out, joins[i].a, joins[i].b), MT_OK);
        cr_expect_str_eq(out, joins[i].joined);
    }
    cr_assert_eq(mt_path_join(out, sizeof out, "0123456789", "0123456789"), MT_INVALID_ARGUMENT);
    static const struct {
        const char *path, *parent, *name;
    } parents[] = {{"a/b", "a", "b"}, {"b", ".", "b"}, {"/b", "/", "b"}, {"a/b/c", "a/b", "c"}, {"a/", "a", ""}};
    for (size_t i = 0; i < sizeof parents / sizeof *parents; i++) {
        cr_expect_eq(mt_path_parent(out, sizeof out, parents[i].path), MT_OK);
        cr_expect_str_eq(out, parents[i].parent);
        cr_expect_str_eq(mt_path_name(parents[i].path), parents[i].name);
    }
    cr_assert_eq(mt_path_parent(out, 4, "abcdef/g"), MT_INVALID_ARGUMENT);
}

Test(failpoint, counts) {
    cr_assert_eq(mt_failpoint_set("a:EIO@2,b:ENOSPC+,c:EINTR@2+"), MT_OK);
    int a[4], b[4], c[4];
    for (int i = 0; i < 4; i++) a[i] = mt_failpoint("a"), b[i] = mt_failpoint("b"), c[i] = mt_failpoint("c");
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(a[i], i == 1 ? EIO : 0);
        cr_expect_eq(b[i], ENOSPC);
        cr_expect_eq(c[i], i >= 1 ? EINTR : 0);
    }
    cr_assert_eq(mt_failpoint("d"), 0);
    mt_failpoint_set("");
    cr_assert_eq(mt_failpoint("b"), 0);
}

Test(failpoint, misspelt_entries_are_errors) {
    static const char *const bad[] = {"a", ":EIO", "a:", "a:EWHAT", "a:EIO@0", "a:EIO@x", "a:EIO@-1", "a:EIO,", "a:EIO@1.5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) cr_expect_eq(mt_failpoint_set(bad[i]), MT_INVALID_ARGUMENT, "%s", bad[i]);
    cr_assert_eq(mt_failpoint("a"), 0);
}

static int status_of_child(const char *spec) {
    pid_t child = fork();
    if (child == 0) {
        setenv("MANTA_FAILPOINTS", spec, 1);
        mt_failpoint("a");
        mt_failpoint("a");
        _exit(7);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return status;
}

Test(failpoint, from_the_environment) {
    int killed = status_of_child("a:KILL@2"), passed = status_of_child("b:KILL"), misspelt = status_of_child("a:KIL");
    cr_assert(WIFSIGNALED(killed) && WTERMSIG(killed) == SIGKILL);
    cr_assert(WIFEXITED(passed) && WEXITSTATUS(passed) == 7);
    cr_assert(WIFSIGNALED(misspelt) && WTERMSIG(misspelt) == SIGABRT);
}
