// The policy that a configuration and an environment's spaces give. One thread.
#include "scheduler/policy_probe.h"

#include "policies/architecture.h"

#include <string.h>

static mt_status make_policy(const mt_ppo_config *c, const mt_codec *codec, mt_policy **out) {
    mt_policy_desc d = {
        .shared_depth = c->net_arch_shared.count, .pi_depth = c->net_arch[0].count, .vf_depth = c->net_arch[1].count,
        .activation = (mt_activation)(c->activation_fn + 1), .ortho_init = c->ortho_init,
        .log_std_init = (float)c->log_std_init, .features = c->features_dim, .embedding = c->embedding_dim, .separate_features = !c->share_features_extractor,
        .layers = c->layers, .memory_units = c->lstm_hidden_size, .memory_depth = c->n_lstm_layers, .memory_horizon = c->memory_horizon,
        .memory_of = c->shared_lstm ? MT_MEMORY_SHARED : c->enable_critic_lstm ? MT_MEMORY_OF_EACH : MT_MEMORY_OF_ACTOR,
    };
    *out = NULL;
    if (d.shared_depth > MT_POLICY_MAX_DEPTH || d.pi_depth > MT_POLICY_MAX_DEPTH || d.vf_depth > MT_POLICY_MAX_DEPTH)
        return MT_FAIL(CONFIG, "net_arch may list at most %d hidden layers each", MT_POLICY_MAX_DEPTH);
    memcpy(d.shared, c->net_arch_shared.items, sizeof(int) * (size_t)d.shared_depth);
    memcpy(d.pi, c->net_arch[0].items, sizeof(int) * (size_t)d.pi_depth);
    memcpy(d.vf, c->net_arch[1].items, sizeof(int) * (size_t)d.vf_depth);
    MT_TRY(mt_codec_describe(codec, c->use_sde, &d));
    mt_policy_named((mt_policy_name)c->policy, &d);
    if (*c->layers) d.extractor = MT_EXTRACTOR_LAYERS;
    return mt_policy_create(&d, out);
}

mt_status mt_policy_probe(const mt_ppo_config *config, const manta_env_desc *env, const manta_env_option *options,
    uint32_t option_count, mt_codec *codec, mt_policy **policy) {
    mt_env *probe = NULL;
    uint64_t seed = 0;
    MT_TRY(mt_env_create(env, &(manta_env_config){.struct_size = sizeof(manta_env_config), .num_envs = 1, .seeds = &seed,
        .option_count = option_count, .options = options}, &probe));
    mt_status status = mt_codec_init(codec, probe, config->embedding_dim > 0);
    if (status == MT_OK) status = make_policy(config, codec, policy);
    codec->observation = codec->action = NULL;   // they go with the probe
    mt_env_destroy(probe);
    return status;
}
