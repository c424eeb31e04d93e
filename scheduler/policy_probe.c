// The policy that a configuration and an environment's spaces give. One thread.
#include "scheduler/policy_probe.h"

#include "engine/base/text.h"
#include "policies/architecture.h"

#include <string.h>

typedef struct names {
    const mt_policy_registry *registry;
    mt_plugin_kind kind;
    size_t own;   // manta's own policies come first
} names;

static const char *name_at(const void *list, size_t index) {
    const names *n = list;
    return index < n->own ? mt_policy_names[index] : n->registry->of[n->kind].entries[index - n->own].name;
}

static mt_status unknown(const mt_policy_registry *registry, mt_plugin_kind kind, const char *name) {
    names n = {registry, kind, kind == MT_PLUGIN_POLICY ? MT_POLICY_NAMES : 0};
    char hint[160];
    mt_text_did_you_mean(mt_text_nearest_at(name, name_at, &n, n.own + registry->of[kind].count), hint, sizeof hint);
    return MT_FAIL(CONFIG, "no %s is called \"%s\"%s", kind == MT_PLUGIN_POLICY ? "policy" : "loss", name,
        *hint ? hint : " (--plugin loads more)");
}

static int options_of(const mt_pairs *pairs, manta_policy_option out[MT_PAIRS_MAX]) {
    for (int i = 0; i < pairs->count; i++) out[i] = (manta_policy_option){.key = pairs->items[i].key, .value = pairs->items[i].value};
    return pairs->count;
}

// what the policy's name stands for
static mt_status set_policy(const mt_ppo_config *c, const mt_policy_registry *plugins, mt_policy_desc *d) {
    int own = mt_policy_find(c->policy);
    const mt_policy_entry *entry = own < 0 ? mt_policy_registry_find(plugins, MT_PLUGIN_POLICY, c->policy) : NULL;
    if (own < 0 && !entry) return unknown(plugins, MT_PLUGIN_POLICY, c->policy);
    if (entry) {
        d->plugin = entry->desc;
        if (*c->layers) return MT_FAIL(CONFIG, "layers are for manta's own policies; %s comes from a plugin, with layers of its own", c->policy);
        return MT_OK;
    }
    if (c->policy_options.count) return MT_FAIL(CONFIG, "policy_options are for a plugin's policy; %s has policy_kwargs", mt_policy_names[own]);
    mt_policy_named((mt_policy_name)own, d);
    if (*c->layers) d->extractor = MT_EXTRACTOR_LAYERS;
    return MT_OK;
}

static mt_status make_policy(const mt_ppo_config *c, const mt_policy_registry *plugins, const mt_codec *codec, mt_policy **out) {
    manta_policy_option options[MT_PAIRS_MAX];
    mt_policy_desc d = {
        .shared_depth = c->net_arch_shared.count, .pi_depth = c->net_arch[0].count, .vf_depth = c->net_arch[1].count,
        .activation = (mt_activation)(c->activation_fn + 1), .ortho_init = c->ortho_init,
        .log_std_init = (float)c->log_std_init, .features = c->features_dim, .embedding = c->embedding_dim, .separate_features = !c->share_features_extractor,
        .layers = c->layers, .layers_file = *c->layers_file ? c->layers_file : NULL, .layers_line = c->layers_line, .memory_units = c->lstm_hidden_size, .memory_depth = c->n_lstm_layers, .memory_horizon = c->memory_horizon,
        .memory_of = c->shared_lstm ? MT_MEMORY_SHARED : c->enable_critic_lstm ? MT_MEMORY_OF_EACH : MT_MEMORY_OF_ACTOR,
        .plugins = plugins, .options = options, .option_count = options_of(&c->policy_options, options), .undivided = *c->loss != 0,
    };
    *out = NULL;
    if (d.shared_depth > MT_POLICY_MAX_DEPTH || d.pi_depth > MT_POLICY_MAX_DEPTH || d.vf_depth > MT_POLICY_MAX_DEPTH)
        return MT_FAIL(CONFIG, "net_arch may list at most %d hidden layers each", MT_POLICY_MAX_DEPTH);
    memcpy(d.shared, c->net_arch_shared.items, sizeof(int) * (size_t)d.shared_depth);
    memcpy(d.pi, c->net_arch[0].items, sizeof(int) * (size_t)d.pi_depth);
    memcpy(d.vf, c->net_arch[1].items, sizeof(int) * (size_t)d.vf_depth);
    MT_TRY(mt_codec_describe(codec, c->use_sde, &d));
    MT_TRY(set_policy(c, plugins, &d));
    return mt_policy_create(&d, out);
}

mt_status mt_policy_probe(const mt_ppo_config *config, const mt_environment *environment, mt_codec *codec, mt_policy **policy) {
    mt_env *probe = NULL;
    uint64_t seed = 0;
    MT_TRY(mt_env_create(environment->desc, &(manta_env_config){.struct_size = sizeof(manta_env_config), .num_envs = 1, .seeds = &seed,
        .option_count = environment->option_count, .options = environment->options}, &probe));
    mt_status status = mt_codec_init(codec, probe, config->embedding_dim > 0);
    if (status == MT_OK) status = make_policy(config, &environment->policies, codec, policy);
    codec->observation = codec->action = NULL;   // they go with the probe
    mt_env_destroy(probe);
    return status;
}

mt_status mt_loss_probe(const mt_ppo_config *c, const mt_environment *environment, const mt_policy *policy, mt_plugin_loss **loss) {
    manta_policy_option options[MT_PAIRS_MAX];
    *loss = NULL;
    if (!*c->loss)
        return c->loss_options.count ? MT_FAIL(CONFIG, "loss_options are for a plugin's loss; say which with --loss") : MT_OK;
    const mt_policy_entry *entry = mt_policy_registry_find(&environment->policies, MT_PLUGIN_LOSS, c->loss);
    if (!entry) return unknown(&environment->policies, MT_PLUGIN_LOSS, c->loss);
    return mt_plugin_loss_create(entry->desc, policy, options, options_of(&c->loss_options, options), loss);
}
