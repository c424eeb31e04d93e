// cpu.h: what may be used; control groups of both versions from made-up folders.
#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/cpu.h"
#include "engine/base/file.h"

static char root[64];

static void make_root(void) {
    strcpy(root, "/tmp/manta-test-cpu-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
}
static void remove_root(void) { mt_folder_remove_tree("/tmp", mt_path_name(root)); }

TestSuite(cgroup, .init = make_root, .fini = remove_root);

static void put(const char *folder, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, folder);
    cr_assert_eq(mt_folder_make(path, 0755), MT_OK);
    snprintf(path, sizeof path, "%s/%s/%s", root, folder, name);
    cr_assert_eq(mt_file_write_atomic(path, text, strlen(text), 0644), MT_OK);
}

Test(cgroup, version_2) {
    cr_assert_eq(mt_cpu_quota_in("0::/a/b\n", root), 0);
    put("a/b", "cpu.max", "max 100000\n");
    cr_assert_eq(mt_cpu_quota_in("0::/a/b\n", root), 0);
    put("a", "cpu.max", "250000 100000\n");
    cr_assert_eq(mt_cpu_quota_in("0::/a/b\n", root), 2.5);
    put("a/b", "cpu.max", "50000 100000\n");
    cr_assert_eq(mt_cpu_quota_in("0::/a/b", root), 0.5);
    // a container: the group's path is the host's, only the root is mounted here
    put(".", "cpu.max", "150000 100000\n");
    cr_assert_eq(mt_cpu_quota_in("0::/elsewhere/deep/er\n", root), 1.5);
    cr_assert_eq(mt_cpu_quota_in("0::/\n", root), 1.5);
    put("a", "memory.max", "1073741824\n");
    put("a/b", "memory.max", "max\n");
    cr_assert_eq(mt_cpu_memory_limit_in("0::/a/b\n", root), 1073741824u);
}

Test(cgroup, version_1) {
    static const char membership[] = "5:memory:/m\n4:cpu,cpuacct:/c/d\n1:name=systemd:/x\n0::/\n";
    put("cpu/c", "cpu.cfs_quota_us", "300000\n");
    put("cpu/c", "cpu.cfs_period_us", "100000\n");
    put("cpu/c/d", "cpu.cfs_quota_us", "-1\n");
    put("cpu/c/d", "cpu.cfs_period_us", "100000\n");
    cr_assert_eq(mt_cpu_quota_in(membership, root), 3);
    put("memory/m", "memory.limit_in_bytes", "9223372036854771712\n");
    cr_assert_eq(mt_cpu_memory_limit_in(membership, root), 0);
    put("memory/m", "memory.limit_in_bytes", "4096\n");
    cr_assert_eq(mt_cpu_memory_limit_in(membership, root), 4096);
}

Test(cgroup, nonsense_is_no_limit) {
    static const char *const texts[] = {"", "\n", "0", "0:", "0::", ":::", "0::/../..", "x:cpu:/", "4:cpuset:/c\n", "0::///"};
    put(".", "cpu.max", "what is this\n");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) cr_expect_eq(mt_cpu_quota_in(texts[i], root), 0, "%s", texts[i]);
    put(".", "cpu.max", "-5 0\n");
    cr_expect_eq(mt_cpu_quota_in("0::/", root), 0);
    put(".", "cpu.max", "");
    cr_expect_eq(mt_cpu_quota_in("0::/", root), 0);
}

Test(cpu, usable_follows_the_affinity_mask) {
    cpu_set_t before, one;
    cr_assert_eq(sched_getaffinity(0, sizeof before, &before), 0);
    cr_assert(mt_cpu_usable() >= 1 && mt_cpu_usable() <= CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &before)) {
            CPU_SET(i, &one);
            break;
        }
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    cr_assert_eq(mt_cpu_usable(), 1);
}

Test(cpu, query_and_text) {
    mt_cpu_info info;
    cr_assert_eq(mt_cpu_query(&info), MT_OK, "%s", mt_last_error());
    cr_assert(info.usable >= 1 && info.cores >= 1 && info.threads >= info.cores && info.memory_bytes > 0 && info.affinity >= 1);
    cr_assert(info.avx2 || !info.avx512);
    mt_text text = {0};
    mt_cpu_format(&info, &text);
    cr_assert_not_null(strstr(mt_text_str(&text), info.model));
    mt_text_fini(&text);
    char tiny[4];
    cr_assert_eq(strlen(mt_cpu_model(tiny, sizeof tiny)), 3);
}
