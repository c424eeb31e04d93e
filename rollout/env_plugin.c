// The environments of a plugin. One thread, at start-up.
#include "rollout/env_plugin.h"

#include "rollout/env.h"

#include <string.h>

enum { PLUGIN_ENVS_MAX = 4096 };

mt_status mt_env_plugin_validate(const manta_env_plugin *table, size_t available, const char *path) {
    static const mt_plugin_abi abi = {.what = "environment", .entry = MANTA_ENV_ENTRY_SYMBOL, .header = "manta_env.h",
        .table = "manta_env_plugin", .version = MANTA_ENV_ABI_VERSION, .table_bytes = sizeof *table};
    MT_TRY(mt_plugin_check_head(table, available, &abi, path));
    if (table->env_count == 0 || table->env_count > PLUGIN_ENVS_MAX || !table->envs)
        return MT_FAIL(PLUGIN, "%s: env_count is %u and envs is %s; a plugin lists 1 to %d environments", path, table->env_count,
            table->envs ? "given" : "NULL", PLUGIN_ENVS_MAX);
    for (uint32_t i = 0; i < table->env_count; i++) {
        mt_status status = mt_env_validate_desc(table->envs[i], SIZE_MAX);
        if (status != MT_OK) return mt_fail_context(status, "%s: environment %u of %u: ", path, i + 1, table->env_count);
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(table->envs[i]->id, table->envs[k]->id) == 0)
                return MT_FAIL(PLUGIN, "%s: two environments have the id %s", path, table->envs[i]->id);
    }
    return MT_OK;
}

int mt_env_plugin_has(const mt_plugin *plugin) { return mt_plugin_symbol(plugin, MANTA_ENV_ENTRY_SYMBOL) != NULL; }

mt_status mt_env_plugin_table(const mt_plugin *plugin, const manta_env_plugin **out) {
    void *symbol = mt_plugin_symbol(plugin, MANTA_ENV_ENTRY_SYMBOL);
    *out = NULL;
    if (!symbol)
        return MT_FAIL(PLUGIN, "plugin %s: it exports no " MANTA_ENV_ENTRY_SYMBOL "; define `MANTA_EXPORT const manta_env_plugin *"
            MANTA_ENV_ENTRY_SYMBOL "(uint32_t)` (extern \"C\" in C++)", mt_plugin_path(plugin));
    const manta_env_plugin *(*entry)(uint32_t);
    memcpy(&entry, &symbol, sizeof entry);   // ISO C has no conversion from object to function pointers
    const manta_env_plugin *table = entry(MANTA_ENV_ABI_VERSION);
    MT_TRY(mt_env_plugin_validate(table, SIZE_MAX, mt_plugin_path(plugin)));
    *out = table;
    return MT_OK;
}
