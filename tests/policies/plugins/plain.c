// The plugins of plugins.h as a shared object.
#include "tests/policies/plugins.h"

static const manta_policy_desc *const policies[] = {&plain_policy, &log_std_policy};
static const manta_layer_desc *const layers[] = {&plain_layer, &memory_layer};
static const manta_loss_desc *const losses[] = {&plain_loss};
static const manta_policy_plugin plugin = {.struct_size = sizeof(manta_policy_plugin), .abi_version = MANTA_POLICY_ABI_VERSION,
    .name = "plain", .version = "1", .policy_count = 2, .policies = policies, .layer_count = 2, .layers = layers, .loss_count = 1,
    .losses = losses};

const manta_policy_plugin *manta_policy_entry(uint32_t host_abi_version) { return (void)host_abi_version, &plugin; }
