// Loading plugins: each way a file can be wrong has its own message.
#include "fixture.h"
#include "rollout/env_plugin.h"

static void refuses(const char *path, mt_status expected, const char *words) {
    mt_plugin *plugin = (mt_plugin *)(uintptr_t)path;
    mt_status status = mt_plugin_open(path, &plugin);
    cr_expect(status == expected, "%s: got %s: %s", words, mt_status_name(status), mt_last_error());
    cr_expect(!plugin && strstr(mt_last_error(), words), "'%s' is not in: %s", words, mt_last_error());
}

// it opens, and its environments are refused
static void refuses_walk(const char *name, const char *words) {
    const char *path = walk_plugin(name);
    mt_plugin *plugin;
    const manta_env_plugin *table = (const manta_env_plugin *)(const void *)path;
    cr_assert(mt_plugin_open(path, &plugin) == MT_OK, "%s", mt_last_error());
    cr_expect(mt_env_plugin_table(plugin, &table) == MT_PLUGIN && !table, "%s", words);
    cr_expect(strstr(mt_last_error(), words), "'%s' is not in: %s", words, mt_last_error());
    mt_plugin_close(plugin);
    plugin_remove(path);
}

Test(plugin, a_good_one_opens) {
    mt_plugin *plugin;
    const char *path = walk_plugin("walk");
    cr_assert(mt_plugin_open(path, &plugin) == MT_OK, "%s", mt_last_error());
    const manta_env_plugin *table;
    cr_expect_str_eq(mt_plugin_path(plugin), path);
    cr_expect(mt_env_plugin_has(plugin) && !mt_plugin_symbol(plugin, "manta_env_entrance"));
    cr_assert(mt_env_plugin_table(plugin, &table) == MT_OK, "%s", mt_last_error());
    cr_expect(table->env_count == 1);
    cr_expect_str_eq(table->envs[0]->id, "Walk-v0");
    mt_plugin_close(plugin);
    mt_plugin_close(NULL);
    plugin_remove(path);
}

Test(plugin, two_at_once_are_two) {   // though the second one's descriptor could have had the first one's number
    mt_plugin *plugins[3];
    char copy[PATH_MAX], other[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", walk_plugin("walk"));
    snprintf(other, sizeof other, "%s", walk_plugin("walk_no_symbol"));
    cr_assert(mt_plugin_open(copy, &plugins[0]) == MT_OK && mt_plugin_open(other, &plugins[1]) == MT_OK);
    cr_expect(mt_env_plugin_has(plugins[0]) && !mt_env_plugin_has(plugins[1]));
    cr_expect(mt_plugin_open(copy, &plugins[2]) == MT_OK && mt_env_plugin_has(plugins[2]));   // and one twice
    for (int i = 0; i < 3; i++) mt_plugin_close(plugins[i]);
    plugin_remove(copy);
    plugin_remove(other);
}

Test(plugin, paths) {
    refuses("walk.so", MT_INVALID_ARGUMENT, "absolute path");
    refuses("", MT_INVALID_ARGUMENT, "absolute path");
    refuses(NULL, MT_INVALID_ARGUMENT, "absolute path");
    refuses("/nowhere/at/all.so", MT_NOT_FOUND, "check the path");
    refuses("/usr", MT_PLUGIN, "not a regular file");
    refuses("/dev/null", MT_PLUGIN, "not a regular file");
}

Test(plugin, files_and_folders_others_can_write_are_refused) {
    const char *path = walk_plugin("walk");
    char folder[PATH_MAX], link[PATH_MAX + 8];
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    chmod(path, 0775);
    refuses(path, MT_PLUGIN, "the file can be written by group or others (mode 0775)");
    chmod(path, 0757);
    refuses(path, MT_PLUGIN, "chmod go-w");
    chmod(path, 0755);
    chmod(folder, 0777);
    refuses(path, MT_PLUGIN, "its folder can be written");
    mt_plugin *plugin;
    chmod(folder, 01777);   // as /tmp: others cannot exchange our file
    cr_expect(mt_plugin_open(path, &plugin) == MT_OK, "%s", mt_last_error());
    mt_plugin_close(plugin);

    // a link is followed to the file, whose mode counts
    snprintf(link, sizeof link, "%s/link.so", folder);
    cr_assert(symlink(path, link) == 0);
    cr_expect(mt_plugin_open(link, &plugin) == MT_OK);
    cr_expect_str_eq(mt_plugin_path(plugin), path);
    mt_plugin_close(plugin);
    unlink(link);
    plugin_remove(path);
}

Test(plugin, strangers_files_are_refused) {
    if (geteuid() != 0) cr_skip_test("giving a file away needs root");
    const char *path = walk_plugin("walk");
    cr_assert(chown(path, 12345, 12345) == 0);
    refuses(path, MT_PLUGIN, "belongs to user 12345");
    plugin_remove(path);
}

Test(plugin, not_a_shared_object) {
    const char *path = walk_plugin("walk");
    FILE *file = fopen(path, "w");
    fputs("#!/bin/sh\n", file);
    fclose(file);
    refuses(path, MT_PLUGIN, "cannot be loaded");
    cr_assert(truncate(path, 0) == 0);
    refuses(path, MT_PLUGIN, "cannot be loaded");
    plugin_remove(path);
}

Test(plugin, wrong_ones) {
    refuses_walk("walk_abi", "ABI version 7, this manta speaks version 1; recompile");
    refuses_walk("walk_no_symbol", "exports no manta_env_entry");
    refuses_walk("walk_entry_null", "returned NULL");
    refuses_walk("walk_struct_size", "struct_size is 16");
    refuses_walk("walk_no_step", ".step is NULL");
}

// ---------------------------------------------------------------- the table as memory

static manta_env_desc good_desc;
static const manta_env_desc *good_envs[2] = {&good_desc, &good_desc};

static manta_env_plugin good(void) {
    good_desc = *builtin(MT_ISA_plain_id, "CartPole-v1");
    return (manta_env_plugin){.struct_size = sizeof(manta_env_plugin), .abi_version = MANTA_ENV_ABI_VERSION, .name = "n",
        .version = "1", .env_count = 1, .envs = good_envs};
}

static void invalid(const manta_env_plugin *table, size_t available, const char *words) {
    cr_expect(mt_env_plugin_validate(table, available, "p.so") == MT_PLUGIN, "%s", words);
    cr_expect(strstr(mt_last_error(), words), "'%s' is not in: %s", words, mt_last_error());
}

Test(plugin, validate_is_a_function_of_memory) {
    manta_env_plugin t = good();
    cr_expect(mt_env_plugin_validate(&t, sizeof t, "p.so") == MT_OK, "%s", mt_last_error());
    invalid(NULL, 0, "returned NULL");
    invalid(&t, 7, "cut short");
    invalid(&t, sizeof t - 1, "struct_size");
    t.struct_size = 8;
    invalid(&t, sizeof t, "struct_size is 8");
    t = good(), t.env_count = 0;
    invalid(&t, sizeof t, "env_count is 0");
    t.env_count = UINT32_MAX;
    invalid(&t, sizeof t, "env_count is 4294967295");
    t = good(), t.envs = NULL;
    invalid(&t, sizeof t, "envs is NULL");
    t = good(), t.name = NULL;
    invalid(&t, sizeof t, "name is NULL");
    t = good(), t.env_count = 2;
    invalid(&t, sizeof t, "two environments have the id CartPole-v1");
    t = good(), good_desc.reset = NULL;
    invalid(&t, sizeof t, "p.so: environment 1 of 1: environment CartPole-v1: .reset is NULL");
}
