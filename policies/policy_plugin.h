// What a plugin brings to this floor: its entry symbol called, and every table that it returns checked before anything in it is
// used. Pure functions over memory but for the call itself.
#ifndef MANTA_POLICIES_POLICY_PLUGIN_H
#define MANTA_POLICIES_POLICY_PLUGIN_H

#include "engine/base/plugin.h"
#include "kernels/kernels.h"
#include "policies/manta_policy.h"

enum { MT_PLUGIN_NAME_BYTES = 64 };   // of a policy, layer, loss or parameter, with its zero

// Whether there is anything: it exports manta_policy_entry.
int mt_policy_plugin_has(const mt_plugin *plugin);

// *out: inside the plugin. MT_PLUGIN with what is wrong.
mt_status mt_policy_plugin_table(const mt_plugin *plugin, const manta_policy_plugin **out);

// Checks what an entry symbol returned, and every descriptor in it. `available` bytes may be read at table (SIZE_MAX when it is a
// loaded plugin's); `path` names the plugin in messages.
mt_status mt_policy_plugin_validate(const manta_policy_plugin *table, size_t available, const char *path);

// One descriptor each: struct size, ABI version, name, functions, options. MT_PLUGIN says what is wrong and what to do.
mt_status mt_policy_validate_desc(const manta_policy_desc *desc, size_t available);
mt_status mt_layer_validate_desc(const manta_layer_desc *desc, size_t available);
mt_status mt_loss_validate_desc(const manta_loss_desc *desc, size_t available);

// Tensors that something wants: names, shapes, the sum of their floats within what is possible. `what` begins the message.
mt_status mt_parameters_validate(const manta_parameter *parameters, uint32_t count, uint32_t most, const char *what);
int64_t mt_parameter_floats(const manta_parameter *parameter);   // of a valid one

// Workspace and state that something wants. MT_PLUGIN: negative, or more than is possible.
mt_status mt_workspace_validate(int64_t row_floats, int64_t scratch_floats, int64_t state_floats, const char *what);

// Where a plugin's functions are to compute.
typedef struct mt_plugin_place {
    uint32_t device;   // manta_policy_device
    void *stream;
} mt_plugin_place;
static inline mt_plugin_place mt_plugin_place_of(const mt_kernels *k) {
    return (mt_plugin_place){k->on_cuda ? MANTA_DEVICE_CUDA : MANTA_DEVICE_CPU, k->stream ? k->stream() : NULL};
}
// Round each call of a plugin's functions that queues work there: what its GPU code does wrong is the pass's failure, by its name.
static inline void mt_plugin_enter(const mt_kernels *k) {
    if (k->foreign) k->foreign(NULL, NULL);
}
static inline void mt_plugin_leave(const mt_kernels *k, const char *kind, const char *name) {
    if (k->foreign) k->foreign(kind, name);
}
// MT_UNSUPPORTED when it is a GPU and something with these capabilities works on the CPU alone. `what`: "policy", "layer", "loss".
mt_status mt_plugin_check_place(const mt_kernels *k, uint32_t capabilities, const char *what, const char *name);

// Option keys against what is accepted: MT_CONFIG names an unknown or repeated key and the nearest known one. `what` names the
// owner: "policy my_net".
mt_status mt_plugin_check_options(const char *what, const manta_policy_option_desc *accepted, uint32_t accepted_count,
    const manta_policy_option *options, uint32_t count);

#endif
