// Checks of what a plugin hands over. One thread, at start-up; the pure ones on any.
#include "policies/policy_plugin.h"

#include "engine/base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { LIST_MAX = 4096, OPTIONS_MAX = 1024 };

// floats: of all tensors together, of a workspace's row, of a workspace's scratch, of a state
static const int64_t params_max = INT64_C(1) << 31, row_max = INT64_C(1) << 26, scratch_max = INT64_C(1) << 31,
                     state_max = INT64_C(1) << 22;

// ---- descriptors

// what all three kinds of descriptor begin with
typedef struct head {
    uint32_t struct_size, abi_version;
    const char *name, *summary;
    uint32_t capabilities;
} head;

// how messages speak of a kind
typedef struct kind {
    const char *what, *type, *characters;   // of a name, besides letters and digits
    size_t bytes;
    uint32_t capabilities;
} kind;
static const kind policy_kind = {
    "policy", "manta_policy_desc", "_.-", sizeof(manta_policy_desc), MANTA_ON_CUDA | MANTA_POLICY_LOG_STD};
static const kind layer_kind = {"layer", "manta_layer_desc", "_-", sizeof(manta_layer_desc), MANTA_ON_CUDA};
static const kind loss_kind = {"loss", "manta_loss_desc", "_.-", sizeof(manta_loss_desc), MANTA_ON_CUDA};

static int valid_name(const char *name, const char *others) {
    size_t length = name ? strnlen(name, MT_PLUGIN_NAME_BYTES) : 0;
    if (length == 0 || length == MT_PLUGIN_NAME_BYTES) return 0;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr(others, name[i])) return 0;
    return 1;
}

static mt_status check_head(const void *desc, size_t available, const kind *k) {
    head h = {0};
    if (!desc) return MT_FAIL(PLUGIN, "a %s's descriptor is NULL", k->what);
    memcpy(&h, desc, available < 2 * sizeof(uint32_t) ? available : 2 * sizeof(uint32_t));
    if (available < k->bytes || h.struct_size < k->bytes || h.struct_size > available)
        return MT_FAIL(PLUGIN,
            "a %s's struct_size is %u, ABI version %u needs %zu; set .struct_size = sizeof(%s) and compile against "
            "this manta's manta_policy.h",
            k->what, h.struct_size, MANTA_POLICY_ABI_VERSION, k->bytes, k->type);
    memcpy(&h, desc, sizeof h);
    if (h.abi_version != MANTA_POLICY_ABI_VERSION)
        return MT_FAIL(PLUGIN,
            "a %s is of ABI version %u, this manta speaks version %u; recompile it against this manta's "
            "manta_policy.h",
            k->what, h.abi_version, MANTA_POLICY_ABI_VERSION);
    if (!valid_name(h.name, k->characters))
        return MT_FAIL(PLUGIN, "a %s's name must be 1 to %d of the characters A-Z a-z 0-9 %s", k->what, MT_PLUGIN_NAME_BYTES - 1,
            k->characters);
    if (h.capabilities & ~k->capabilities)
        return MT_FAIL(PLUGIN, "%s %s: capabilities 0x%x has bits that ABI version %u does not know of a %s", k->what, h.name,
            h.capabilities, MANTA_POLICY_ABI_VERSION, k->what);
    return MT_OK;
}

typedef struct function {
    const char *name;
    int present;
} function;

static mt_status check_functions(const char *what, const char *name, const function *functions, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!functions[i].present)
            return MT_FAIL(PLUGIN, "%s %s: .%s is NULL; every %s has this function", what, name, functions[i].name, what);
    return MT_OK;
}

static mt_status check_option_descs(const char *what, const char *name, const manta_policy_option_desc *options, uint32_t count) {
    if (count > OPTIONS_MAX || (count && !options))
        return MT_FAIL(PLUGIN, "%s %s: option_count is %u but options is %s; at most %d are allowed", what, name, count,
            options ? "given" : "NULL", OPTIONS_MAX);
    for (uint32_t i = 0; i < count; i++)
        if (!options[i].key || !options[i].key[0] || !options[i].default_value || !options[i].help)
            return MT_FAIL(PLUGIN, "%s %s: options[%u] needs a key, a default value and a line of help", what, name, i);
    return MT_OK;
}

mt_status mt_policy_validate_desc(const manta_policy_desc *d, size_t available) {
    MT_TRY(check_head(d, available, &policy_kind));
    const function functions[] = {{"create", d->create != NULL}, {"destroy", d->destroy != NULL}, {"plan", d->plan != NULL},
        {"init", d->init != NULL}, {"forward", d->forward != NULL}, {"backward", d->backward != NULL}};
    MT_TRY(check_functions("policy", d->name, functions, sizeof functions / sizeof *functions));
    return check_option_descs("policy", d->name, d->options, d->option_count);
}

mt_status mt_layer_validate_desc(const manta_layer_desc *d, size_t available) {
    MT_TRY(check_head(d, available, &layer_kind));
    const function functions[] = {{"plan", d->plan != NULL}, {"forward", d->forward != NULL}, {"backward", d->backward != NULL}};
    double number;
    MT_TRY(check_functions("layer", d->name, functions, sizeof functions / sizeof *functions));
    if (mt_parse_f64(d->name, &number) == MT_OK)
        return MT_FAIL(PLUGIN, "layer %s: its name is a number; lines of layers have numbers behind the name", d->name);
    if (d->number_count > MANTA_LAYER_MAX_NUMBERS || (d->number_count && !d->numbers))
        return MT_FAIL(PLUGIN, "layer %s: number_count is %u but numbers is %s; at most %d are allowed", d->name, d->number_count,
            d->numbers ? "given" : "NULL", MANTA_LAYER_MAX_NUMBERS);
    for (uint32_t i = 0; i < d->number_count; i++)
        if (!d->numbers[i].name || !d->numbers[i].name[0] || !d->numbers[i].help ||
            !(d->numbers[i].standard - d->numbers[i].standard == 0))
            return MT_FAIL(PLUGIN, "layer %s: numbers[%u] needs a name, a finite standard value and a line of help", d->name, i);
    return MT_OK;
}

mt_status mt_loss_validate_desc(const manta_loss_desc *d, size_t available) {
    MT_TRY(check_head(d, available, &loss_kind));
    const function functions[] = {
        {"create", d->create != NULL}, {"destroy", d->destroy != NULL}, {"gradient", d->gradient != NULL}};
    MT_TRY(check_functions("loss", d->name, functions, sizeof functions / sizeof *functions));
    return check_option_descs("loss", d->name, d->options, d->option_count);
}

// ---- what they ask for

int64_t mt_parameter_floats(const manta_parameter *p) {
    int64_t count = 1;
    for (uint32_t d = 0; d < p->ndim; d++) count *= p->shape[d];
    return count;
}

mt_status mt_parameters_validate(const manta_parameter *parameters, uint32_t count, uint32_t most, const char *what) {
    int64_t total = 0;
    if (count > most || (count && !parameters))
        return MT_FAIL(PLUGIN, "%s: parameter_count is %u and parameters is %s; at most %u tensors are supported", what, count,
            parameters ? "given" : "NULL", most);
    for (uint32_t i = 0; i < count; i++) {
        const manta_parameter *p = &parameters[i];
        int64_t floats = 1;
        if (!valid_name(p->name, "_."))
            return MT_FAIL(PLUGIN, "%s: parameters[%u] needs a name of 1 to %d of the characters A-Z a-z 0-9 _ .", what, i,
                MT_PLUGIN_NAME_BYTES - 1);
        if (p->ndim < 1 || p->ndim > MANTA_PARAMETER_MAX_DIMS)
            return MT_FAIL(PLUGIN, "%s: parameter %s has %u dimensions; 1 to %d are supported", what, p->name, p->ndim,
                MANTA_PARAMETER_MAX_DIMS);
        for (uint32_t d = 0; d < p->ndim; d++)
            if (p->shape[d] < 1 || __builtin_mul_overflow(floats, p->shape[d], &floats) || floats > params_max)
                return MT_FAIL(PLUGIN, "%s: parameter %s: shape[%u] is %lld; a tensor has 1 to %lld values", what, p->name, d,
                    (long long)p->shape[d], (long long)params_max);
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(p->name, parameters[k].name) == 0) return MT_FAIL(PLUGIN, "%s: two parameters are called %s", what, p->name);
        total += floats;
    }
    if (total > params_max)
        return MT_FAIL(PLUGIN, "%s: %lld parameters; at most %lld are supported", what, (long long)total, (long long)params_max);
    return MT_OK;
}

mt_status mt_workspace_validate(int64_t row_floats, int64_t scratch_floats, int64_t state_floats, const char *what) {
    const struct {
        const char *name;
        int64_t value, most;
    } sizes[] = {{"row_floats", row_floats, row_max}, {"scratch_floats", scratch_floats, scratch_max},
        {"state_floats", state_floats, state_max}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 0 || sizes[i].value > sizes[i].most)
            return MT_FAIL(PLUGIN, "%s: %s is %lld; 0 to %lld are supported", what, sizes[i].name, (long long)sizes[i].value,
                (long long)sizes[i].most);
    return MT_OK;
}

static const char *key_at(const void *list, size_t index) { return ((const manta_policy_option_desc *)list)[index].key; }

mt_status mt_plugin_check_options(const char *what, const manta_policy_option_desc *accepted, uint32_t accepted_count,
    const manta_policy_option *options, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        const char *key = options[i].key;
        uint32_t known = 0;
        while (known < accepted_count && strcmp(key, accepted[known].key) != 0) known++;
        if (known == accepted_count) {
            char hint[160];
            mt_text_did_you_mean(mt_text_nearest_at(key, key_at, accepted, accepted_count), hint, sizeof hint);
            return MT_FAIL(CONFIG, "%s has no option '%s'%s", what, key, hint);
        }
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(key, options[k].key) == 0) return MT_FAIL(CONFIG, "%s: option '%s' is given twice", what, key);
    }
    return MT_OK;
}

mt_status mt_plugin_check_place(const mt_kernels *k, uint32_t capabilities, const char *what, const char *name) {
    if (!k->on_cuda || (capabilities & MANTA_ON_CUDA)) return MT_OK;
    return MT_FAIL(UNSUPPORTED, "%s %s works on the CPU alone; use --device cpu --rollout-device cpu, or a plugin with MANTA_ON_CUDA", what, name);
}

// ---- the table

// a list of descriptors: its count, and each of them; names once
static mt_status check_list(
    const void *const *list, uint32_t count, const kind *k, mt_status (*validate)(const void *), const char *path) {
    if (count > LIST_MAX || (count && !list))
        return MT_FAIL(PLUGIN, "%s: %u %s%s listed and the list is %s; at most %d are supported", path, count, k->what,
            count == 1 ? "" : "s", list ? "given" : "NULL", LIST_MAX);
    for (uint32_t i = 0; i < count; i++) {
        head one, other;
        mt_status status = validate(list[i]);
        if (status != MT_OK) return mt_fail_context(status, "%s: %s %u of %u: ", path, k->what, i + 1, count);
        memcpy(&one, list[i], sizeof one);
        for (uint32_t e = 0; e < i; e++) {
            memcpy(&other, list[e], sizeof other);
            if (strcmp(one.name, other.name) == 0) return MT_FAIL(PLUGIN, "%s: two of %s are called %s", path, k->what, one.name);
        }
    }
    return MT_OK;
}

static mt_status validate_policy(const void *desc) { return mt_policy_validate_desc(desc, SIZE_MAX); }
static mt_status validate_layer(const void *desc) { return mt_layer_validate_desc(desc, SIZE_MAX); }
static mt_status validate_loss(const void *desc) { return mt_loss_validate_desc(desc, SIZE_MAX); }

mt_status mt_policy_plugin_validate(const manta_policy_plugin *table, size_t available, const char *path) {
    static const mt_plugin_abi abi = {.what = "policy",
        .entry = MANTA_POLICY_ENTRY_SYMBOL,
        .header = "manta_policy.h",
        .table = "manta_policy_plugin",
        .version = MANTA_POLICY_ABI_VERSION,
        .table_bytes = sizeof *table};
    MT_TRY(mt_plugin_check_head(table, available, &abi, path));
    if (table->policy_count == 0 && table->layer_count == 0 && table->loss_count == 0)
        return MT_FAIL(
            PLUGIN, "%s: it lists no policy, no layer and no loss; leave " MANTA_POLICY_ENTRY_SYMBOL " out, or list one", path);
    MT_TRY(check_list((const void *const *)table->policies, table->policy_count, &policy_kind, validate_policy, path));
    MT_TRY(check_list((const void *const *)table->layers, table->layer_count, &layer_kind, validate_layer, path));
    return check_list((const void *const *)table->losses, table->loss_count, &loss_kind, validate_loss, path);
}

int mt_policy_plugin_has(const mt_plugin *plugin) { return mt_plugin_symbol(plugin, MANTA_POLICY_ENTRY_SYMBOL) != NULL; }

mt_status mt_policy_plugin_table(const mt_plugin *plugin, const manta_policy_plugin **out) {
    void *symbol = mt_plugin_symbol(plugin, MANTA_POLICY_ENTRY_SYMBOL);
    *out = NULL;
    if (!symbol)
        return MT_FAIL(PLUGIN,
            "plugin %s: it exports no " MANTA_POLICY_ENTRY_SYMBOL
            "; define `MANTA_EXPORT const manta_policy_plugin *" MANTA_POLICY_ENTRY_SYMBOL "(uint32_t)` (extern \"C\" in C++)",
            mt_plugin_path(plugin));
    const manta_policy_plugin *(*entry)(uint32_t);
    memcpy(&entry, &symbol, sizeof entry);   // ISO C has no conversion from object to function pointers
    const manta_policy_plugin *table = entry(MANTA_POLICY_ABI_VERSION);
    MT_TRY(mt_policy_plugin_validate(table, SIZE_MAX, mt_plugin_path(plugin)));
    *out = table;
    return MT_OK;
}
