// What the actors of one rank find there.
#include "scheduler/rank_setup.h"

#include "policies/policy_plugin.h"
#include "scheduler/policy_probe.h"

mt_status mt_rank_setup_probe(mt_rank_setup *s) {
    mt_codec codec;
    MT_TRY(mt_policy_probe(s->ppo, &s->environment, &codec, &s->policy));
    MT_TRY(mt_policy_check_place(s->policy, s->kernels));
    MT_TRY(mt_loss_probe(s->ppo, &s->environment, s->policy, &s->loss));
    if (s->loss) MT_TRY(mt_plugin_check_place(s->kernels, s->loss->desc->capabilities, "loss", s->loss->desc->name));
    s->shape = (mt_segment_shape){.steps = s->ppo->n_steps, .obs = codec.obs, .action = codec.action_count, .logits = codec.logits,
        .state = s->policy->sizes.state, .masked = (s->environment.desc->capabilities & MANTA_ENV_HAS_ACTION_MASK) != 0};
    return MT_OK;
}

void mt_rank_setup_fini(mt_rank_setup *s) {
    mt_devices_close(&s->devices);
    mt_pulse_destroy(s->pulse);
    s->pulse = NULL;
    mt_plugin_loss_destroy(s->loss);
    mt_policy_destroy(s->policy);
    mt_environment_close(&s->environment);
    s->policy = NULL, s->loss = NULL;
}

void mt_rank_setup_register_normaliser(const mt_rank_setup *s, mt_normaliser *normaliser, mt_arena *arena) {
    const mt_ppo_config *p = s->ppo;
    const mt_policy_desc *d = &s->policy->desc;
    mt_normaliser_register_inputs(normaliser, d->obs, d->inputs, d->input_count, p->normalize && p->norm_obs, p->normalize && p->norm_reward,
        (float)p->clip_obs, (float)p->clip_reward, arena);
}

static int64_t bytes_between(const mt_rank_setup *s, int first, int end) {
    int64_t bytes = 0;
    for (int w = first; w < end; w++) {
        mt_segment_shape shape = mt_rank_setup_shape(s, w);
        bytes += mt_segment_block_bytes(&shape);
    }
    return bytes;
}

int64_t mt_rank_setup_segment_at(const mt_rank_setup *s, int worker) {
    return bytes_between(s, mt_layout_runner_first(&s->layout, mt_layout_runner_of(&s->layout, worker)), worker);
}

int64_t mt_rank_setup_segments_bytes(const mt_rank_setup *s, int runner) {
    return bytes_between(s, mt_layout_runner_first(&s->layout, runner), mt_layout_runner_first(&s->layout, runner + 1));
}
