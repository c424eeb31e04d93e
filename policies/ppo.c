// PPO's gradient: gather rows, forward, loss, backward. Called by learners, one workspace a thread; allocates nothing.
#include "policies/ppo.h"

#include <string.h>

void mt_ppo_space_register(mt_ppo_space *space, const mt_policy *policy, const mt_segment_shape *shape, int64_t max_rows,
    mt_arena *arena) {
    mt_policy_space_register(&space->net, policy, max_rows, arena);
    MT_ARENA_ADD(arena, space->obs, max_rows * shape->obs);
    MT_ARENA_ADD(arena, space->action, shape->logits ? 0 : max_rows * shape->action);
    MT_ARENA_ADD(arena, space->choice, shape->logits ? max_rows * shape->action : 0);
    MT_ARENA_ADD(arena, space->mask, shape->masked ? max_rows * shape->logits : 0);
    MT_ARENA_ADD(arena, space->log_prob, max_rows);
    MT_ARENA_ADD(arena, space->advantage, max_rows);
    MT_ARENA_ADD(arena, space->returns, max_rows);
    MT_ARENA_ADD(arena, space->old_value, max_rows);
    MT_ARENA_ADD(arena, space->d_head, max_rows * policy->head);
    MT_ARENA_ADD(arena, space->d_value, max_rows);
    MT_ARENA_ADD(arena, space->d_log_std, policy->log_std < 0 ? 0 : max_rows * policy->desc.action);
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

static mt_ppo_stats loss_of(const mt_policy *policy, const mt_kernels *k, const mt_ppo_share *share,
    const mt_policy_output *out, const mt_ppo_rows *loss, int64_t rows, mt_ppo_space *space) {
    mt_ppo_stats sums = {0};
    if (!(share->parts & MT_POLICY_ACTOR)) {
        k->ppo_loss_value(rows, loss, &sums);
    } else if (policy->desc.distribution == MT_DIST_CATEGORICAL) {
        const uint8_t *mask = share->segment->shape.masked ? space->mask : NULL;
        mt_categorical d = mt_policy_categorical(policy, out, mask, rows);
        k->ppo_loss_categorical(&d, space->choice, loss, space->d_head, &sums);
    } else {
        mt_gaussian d = mt_policy_gaussian(policy, out, rows);
        k->ppo_loss_gaussian(&d, space->action, loss, space->d_head, space->d_log_std, 0, &sums);
    }
    return sums;
}

// forward, loss and backward of the rows that lie gathered in the workspace
static void gradient_of_gathered(const mt_policy *policy, const mt_kernels *k, const mt_weights *weights,
    const mt_ppo_share *share, const mt_ppo_coefficients *coef, int64_t rows, mt_ppo_space *space, float *grad,
    int accumulate, mt_ppo_stats *stats) {
    mt_policy_output out = mt_policy_forward(policy, k, weights, space->obs, rows, share->parts, &space->net);
    mt_ppo_rows loss = {
        .old_log_prob = space->log_prob, .advantage = space->advantage, .returns = space->returns,
        .old_value = coef->clip_range_vf >= 0 ? space->old_value : NULL, .value = out.value,
        .adv_mean = share->adv_mean, .adv_inv_std = share->adv_inv_std,
        .clip_range = coef->clip_range, .clip_range_vf = coef->clip_range_vf,
        .ent_coef = coef->ent_coef, .vf_coef = coef->vf_coef, .inv_rows = share->inv_rows, .d_value = space->d_value,
    };
    mt_ppo_stats sums = loss_of(policy, k, share, &out, &loss, rows, space);
    mt_policy_backward(policy, k, weights, space->obs, rows, share->parts, space->d_head, space->d_value, space->d_log_std,
        &space->net, grad, accumulate);
    stats->policy_loss += sums.policy_loss, stats->value_loss += sums.value_loss, stats->entropy += sums.entropy;
    stats->approx_kl += sums.approx_kl, stats->clipped += sums.clipped, stats->ratio += sums.ratio;
}

void mt_ppo_gradient(const mt_policy *policy, const mt_kernels *k, const mt_weights *weights, const mt_ppo_share *share,
    const mt_ppo_coefficients *coef, mt_ppo_space *space, float *grad, mt_ppo_stats *stats) {
    if (share->rows == 0) memset(grad, 0, sizeof *grad * (size_t)mt_policy_range_of(policy, share->parts).count);
    for (int64_t first = 0; first < share->rows; first += space->net.max_rows) {
        int64_t left = share->rows - first, rows = left < space->net.max_rows ? left : space->net.max_rows;
        gather(k, share->segment, share->index + first, rows, share->parts, coef->clip_range_vf >= 0, space);
        gradient_of_gathered(policy, k, weights, share, coef, rows, space, grad, first > 0, stats);
    }
}
