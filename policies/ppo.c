// PPO's gradient: gather rows, forward, loss, backward. Called by learners, one workspace a thread; allocates nothing.
#include "policies/ppo.h"

void mt_ppo_space_register(mt_ppo_space *space, const mt_policy *policy, const mt_kernels *k, const mt_segment_shape *shape,
    int64_t max_rows, mt_arena *arena) {
    MT_ASSERT(!policy->recurrent || (max_rows >= shape->steps && shape->state == policy->sizes.state));
    mt_policy_space_register(&space->net, policy, k, max_rows, 1, arena);
    MT_ARENA_ADD(arena, space->obs, max_rows * shape->obs);
    MT_ARENA_ADD(arena, space->action, shape->logits ? 0 : max_rows * shape->action);
    MT_ARENA_ADD(arena, space->choice, shape->logits ? max_rows * shape->action : 0);
    MT_ARENA_ADD(arena, space->mask, shape->masked ? max_rows * shape->logits : 0);
    MT_ARENA_ADD(arena, space->row, policy->recurrent ? max_rows : 0);
    MT_ARENA_ADD(arena, space->start, policy->recurrent ? max_rows : 0);
    MT_ARENA_ADD(arena, space->state, policy->recurrent ? max_rows / shape->steps * shape->state : 0);
    MT_ARENA_ADD(arena, space->log_prob, max_rows);
    MT_ARENA_ADD(arena, space->advantage, max_rows);
    MT_ARENA_ADD(arena, space->returns, max_rows);
    MT_ARENA_ADD(arena, space->old_value, max_rows);
    MT_ARENA_ADD(arena, space->d_head, max_rows * policy->head);
    MT_ARENA_ADD(arena, space->d_value, max_rows);
    MT_ARENA_ADD(arena, space->loss_sums, MANTA_LOSS_SUMS);
    MT_ARENA_ADD(arena, space->d_log_std, policy->desc.distribution == MT_DIST_CATEGORICAL ? 0 : max_rows * policy->desc.action);
}

static void gather(const mt_kernels *k, const mt_segment *s, const int32_t *index, int64_t rows, int parts,
    int need_old_value, mt_ppo_space *space) {
    const mt_segment_shape *shape = &s->shape;
    k->gather_rows(rows, 4 * shape->obs, s->obs, index, space->obs);
    if (parts & MT_POLICY_ACTOR) {
        if (shape->logits) k->gather_rows(rows, 4 * shape->action, s->choice, index, space->choice);
        else k->gather_rows(rows, 4 * shape->action, s->action, index, space->action);
        if (shape->masked) k->gather_rows(rows, shape->logits, s->mask, index, space->mask);
        k->gather_rows(rows, 4, s->log_prob, index, space->log_prob);
        k->gather_rows(rows, 4, s->advantage, index, space->advantage);
    }
    if (parts & MT_POLICY_CRITIC) {
        k->gather_rows(rows, 4, s->returns, index, space->returns);
        if (need_old_value) k->gather_rows(rows, 4, s->value, index, space->old_value);
    }
}

// Whole sequences: rows t·n + j of what is gathered are step t of environment env[j].
static mt_sequences gather_sequences(const mt_kernels *k, const mt_segment *s, const int32_t *env, int64_t envs, mt_ppo_space *space) {
    int64_t steps = s->shape.steps;
    k->sequence_rows(steps, s->shape.envs, envs, env, space->row);
    k->gather_rows(steps * envs, 1, s->start, space->row, space->start);
    k->gather_rows(envs, 4 * s->shape.state, s->state, env, space->state);
    return (mt_sequences){.steps = steps, .envs = envs, .start = space->start, .state = space->state, .state_stride = s->shape.state};
}

static void plugin_loss_of(const mt_policy *policy, const mt_kernels *k, const mt_ppo_share *share, const mt_policy_output *out,
    float inv_rows, int64_t rows, mt_ppo_space *space, mt_ppo_stats *stats) {
    const mt_ppo_scalars *now = share->host_scalars;
    int gaussian = policy->desc.distribution != MT_DIST_CATEGORICAL;
    if (gaussian) k->zero((int64_t)sizeof *space->d_log_std * policy->desc.action * (policy->log_std_rows ? rows : 1), space->d_log_std);
    mt_plugin_loss_gradient(share->loss, k, (manta_loss_batch){
        .rows = rows, .head = out->head, .log_std = out->log_std, .log_std_rows = (uint32_t)policy->log_std_rows,
        .value = out->value, .choice = space->choice, .taken = space->action, .mask = space->mask, .old_log_prob = space->log_prob,
        .advantage = space->advantage, .adv_mean = now->adv_mean, .adv_inv_std = now->adv_inv_std, .returns = space->returns,
        .old_value = space->old_value, .clip_range = now->clip_range, .clip_range_vf = now->clip_range_vf, .ent_coef = now->ent_coef,
        .vf_coef = now->vf_coef, .inv_rows = inv_rows, .d_head = space->d_head, .d_value = space->d_value,
        .d_log_std = gaussian ? space->d_log_std : NULL, .sums = space->loss_sums});
    k->add_loss_sums(space->loss_sums, now->vf_coef, now->ent_coef, stats);
}

static void loss_of(const mt_policy *policy, const mt_kernels *k, const mt_ppo_share *share, const mt_policy_output *out,
    const mt_ppo_rows *loss, int64_t rows, mt_ppo_space *space, mt_ppo_stats *stats) {
    if (share->loss) {
        MT_ASSERT(share->parts == MT_POLICY_BOTH);
        plugin_loss_of(policy, k, share, out, loss->inv_rows, rows, space, stats);
    } else if (!(share->parts & MT_POLICY_ACTOR)) {
        k->ppo_loss_value(rows, loss, stats);
    } else if (policy->desc.distribution == MT_DIST_CATEGORICAL) {
        const uint8_t *mask = share->segment->shape.masked ? space->mask : NULL;
        mt_categorical d = mt_policy_categorical(policy, out, mask, rows);
        k->ppo_loss_categorical(&d, space->choice, loss, space->d_head, stats);
    } else {
        mt_gaussian d = mt_policy_gaussian(policy, out, rows);
        k->ppo_loss_gaussian(&d, space->action, loss, space->d_head, space->d_log_std, 0, stats);
    }
}

// forward, loss and backward of the rows that lie gathered in the workspace
static void gradient_of_gathered(const mt_policy *policy, const mt_kernels *k, const mt_weights *weights,
    const mt_ppo_share *share, int64_t rows, const mt_sequences *sequences, mt_ppo_space *space, float *grad, int accumulate,
    mt_ppo_stats *stats) {
    mt_policy_output out = mt_policy_forward(policy, k, weights, space->obs, rows, sequences, share->parts, &space->net);
    mt_ppo_rows loss = {
        .old_log_prob = space->log_prob, .advantage = space->advantage, .returns = space->returns,
        .old_value = share->clips_value ? space->old_value : NULL, .value = out.value,
        .scalars = share->scalars, .inv_rows = share->inv_rows, .d_value = space->d_value,
    };
    loss_of(policy, k, share, &out, &loss, rows, space, stats);
    mt_policy_backward(policy, k, weights, space->obs, rows, sequences, share->parts, space->d_head, space->d_value, space->d_log_std,
        &space->net, grad, accumulate);
}

void mt_ppo_gradient(const mt_policy *policy, const mt_kernels *k, const mt_weights *weights, const mt_ppo_share *share,
    mt_ppo_space *space, float *grad, mt_ppo_stats *stats) {
    const mt_segment *s = share->segment;
    if (share->count == 0) k->zero((int64_t)sizeof *grad * mt_policy_range_of(policy, share->parts).count, grad);
    int64_t steps = share->count && policy->recurrent ? s->shape.steps : 1, at_once = space->net.net.max_rows / steps;
    for (int64_t first = 0; first < share->count; first += at_once) {
        int64_t left = share->count - first, count = left < at_once ? left : at_once;
        const int32_t *index = share->index + first;
        mt_sequences sequences;
        if (policy->recurrent) sequences = gather_sequences(k, s, index, count, space), index = space->row;
        gather(k, s, index, count * steps, share->parts, share->clips_value || share->loss, space);
        gradient_of_gathered(policy, k, weights, share, count * steps, policy->recurrent ? &sequences : NULL, space, grad, first > 0, stats);
    }
}
