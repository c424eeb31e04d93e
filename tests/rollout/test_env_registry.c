// The list of environments: built-in ones, plugins, names that are nearly right.
#include "fixture.h"

Test(env_registry, finds_the_built_in_environments) {
    mt_env_registry *registry;
    const manta_env_desc *desc;
    cr_assert(mt_env_registry_create(&registry) == MT_OK, "%s", mt_last_error());
    cr_expect(mt_env_registry_count(registry) == BUILTINS);
    for (int k = 0; k < BUILTINS; k++) {
        cr_expect(mt_env_registry_find(registry, builtin_ids[k], &desc) == MT_OK && strcmp(desc->id, builtin_ids[k]) == 0);
        cr_expect(mt_env_registry_origin(registry, (size_t)k) == NULL);
    }
    mt_env_registry_destroy(registry);
    mt_env_registry_destroy(NULL);
}

Test(env_registry, a_misspelt_name_gets_a_suggestion) {
    mt_env_registry *registry;
    const manta_env_desc *desc = (const manta_env_desc *)&registry;
    cr_assert(mt_env_registry_create(&registry) == MT_OK);
    cr_expect(mt_env_registry_find(registry, "CartPole-v0", &desc) == MT_NOT_FOUND && !desc);
    cr_expect(strstr(mt_last_error(), "did you mean \"CartPole-v1\""), "%s", mt_last_error());
    cr_expect(mt_env_registry_find(registry, "pendulm-v1", &desc) == MT_NOT_FOUND);
    cr_expect(strstr(mt_last_error(), "Pendulum-v1"), "%s", mt_last_error());
    cr_expect(mt_env_registry_nearest(registry, "Xyzzy") == NULL);
    mt_env_registry_destroy(registry);
}

Test(env_registry, plugins_join_and_ids_stay_unique) {
    mt_env_registry *registry;
    const manta_env_desc *desc;
    const char *path = walk_plugin("walk");
    cr_assert(mt_env_registry_create(&registry) == MT_OK);
    cr_assert(mt_env_registry_add_plugin(registry, path, NULL) == MT_OK, "%s", mt_last_error());
    cr_expect(mt_env_registry_count(registry) == BUILTINS + 1);
    cr_expect_str_eq(mt_env_registry_at(registry, BUILTINS)->id, "Walk-v0");
    cr_expect_str_eq(mt_env_registry_origin(registry, BUILTINS), path);
    cr_expect(mt_env_registry_find(registry, "Walk-v0", &desc) == MT_OK);
    cr_expect(mt_env_registry_add_plugin(registry, path, NULL) == MT_EXISTS);
    cr_expect(strstr(mt_last_error(), "Walk-v0 is taken"), "%s", mt_last_error());
    cr_expect(mt_env_registry_count(registry) == BUILTINS + 1);

    batch_env b;
    batch_open(&b, desc, 5, 1, NULL);
    for (uint64_t t = 0; t < 100; t++) batch_choose(&b, 1, 0, t), batch_step(&b);
    batch_close(&b);
    mt_env_registry_destroy(registry);
    plugin_remove(path);
}
