/* A worked loss plugin: PPO with another surrogate. Copy this file and change it into yours.
 *
 *     cc -O2 -shared -fPIC -I policies examples/my_loss.c -o my_loss.so -lm          (-I: the folder of manta_policy.h)
 *     manta plugin check my_loss.so
 *     manta train --plugin my_loss.so --loss spo --env CartPole-v1
 *
 * Simple Policy Optimization (Xie et al. 2024, arXiv 2401.16025) replaces PPO's clipping by a parabola that pulls the ratio
 * r = π/π_old back to 1, so that rows beyond the clip range keep a gradient. With ε = clip_range, which presets let fall to 0:
 *
 *     L = mean[ -(r A - |A|/(2ε) (r - 1)²) + vf_coef (V - R)² - ent_coef H ]
 *
 * A loss gives the sum over its rows and the gradient of every output. manta_loss_row and manta_loss_row_gradient take care of the
 * distribution, categorical or Gaussian; what remains are three derivatives a row. */
#include "manta_policy.h"

#include <stdio.h>
#include <stdlib.h>

struct manta_loss {
    float strength;
};

static void destroy(manta_loss *loss) { free(loss); }

static int create(const manta_loss_config *config, manta_loss **out, char *error) {
    double strength = 1;
    *out = NULL;
    for (uint32_t i = 0; i < config->option_count; i++) {
        char *end;
        strength = strtod(config->options[i].value, &end);
        if (*end || !(strength >= 0 && strength <= 1e6))
            return snprintf(error, MANTA_ERROR_BYTES, "strength is '%s'; give a number from 0 to 1e6", config->options[i].value), 1;
    }
    manta_loss *loss = malloc(sizeof *loss);
    if (!loss) return snprintf(error, MANTA_ERROR_BYTES, "out of memory"), 1;
    loss->strength = (float)strength;
    *out = loss;
    return 0;
}

static void gradient(const manta_loss *loss, const manta_loss_batch *b) {
    double sums[MANTA_LOSS_SUMS] = {0};
    float range = fmaxf(b->clip_range, 1e-3f);
    for (int64_t i = 0; i < b->rows; i++) {
        float log_prob, entropy, a = manta_loss_advantage(b, i), pull = loss->strength * fabsf(a) / range;
        manta_loss_row(b, i, &log_prob, &entropy);
        float log_ratio = log_prob - b->old_log_prob[i], ratio = expf(log_ratio), error = b->value[i] - b->returns[i];
        float surrogate = ratio * a - 0.5f * pull * (ratio - 1) * (ratio - 1);

        /* d/dlog π = ratio · d/dratio; all gradients are scaled by 1 / rows of the whole minibatch */
        manta_loss_row_gradient(b, i, -b->inv_rows * ratio * (a - pull * (ratio - 1)), -b->inv_rows * b->ent_coef);
        b->d_value[i] = b->inv_rows * b->vf_coef * 2 * error;

        sums[MANTA_LOSS_TOTAL] += (double)(-surrogate + b->vf_coef * error * error - b->ent_coef * entropy);
        sums[MANTA_LOSS_VALUE] += (double)(error * error);
        sums[MANTA_LOSS_ENTROPY] += (double)entropy;
        sums[MANTA_LOSS_APPROX_KL] += (double)(ratio - 1 - log_ratio);
        sums[MANTA_LOSS_CLIPPED] += fabsf(ratio - 1) > b->clip_range; /* beyond where PPO would have cut */
    }
    for (int k = 0; k < MANTA_LOSS_SUMS; k++) b->sums[k] = sums[k];
}

static const manta_policy_option_desc options[] = {{"strength", "1", "of the pull towards ratio 1; the paper's is 1"}};
static const manta_loss_desc spo = {.struct_size = sizeof(manta_loss_desc), .abi_version = MANTA_POLICY_ABI_VERSION,
    .name = "spo", .summary = "Simple Policy Optimization: a parabola in place of PPO's clipping", .option_count = 1,
    .options = options, .create = create, .destroy = destroy, .gradient = gradient};
static const manta_loss_desc *const losses[] = {&spo};
static const manta_policy_plugin plugin = {.struct_size = sizeof(manta_policy_plugin), .abi_version = MANTA_POLICY_ABI_VERSION,
    .name = "my_loss", .version = "1.0", .loss_count = 1, .losses = losses};

const manta_policy_plugin *manta_policy_entry(uint32_t host_abi_version) {
    return host_abi_version == MANTA_POLICY_ABI_VERSION ? &plugin : NULL;
}
