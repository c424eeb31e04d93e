// PPO's loss and all its gradients in one pass over the rows on the GPU (Schulman et al. 2017, eq. 7 and 9; the value
// term as in Stable-Baselines3). The formulae, and what autograd does at the kinks, stand in kernels/cpu/ppo_loss.c.
// Shapes in kernels.h; stats in device memory. A thread has a row, whose gradients have the CPU's bits; statistics are
// summed in fp64 by thread, warp and block over a number of blocks that depends on the rows alone, d_log_std of a
// shared log_std by warp in fp32 and over warps and blocks in fp64, in a second, small launch: deterministic. Bytes
// moved a row: 4·(K + A + 5) read, 4·(K + 1) written; Gaussian 4·(2 A + 5) read, 4·(A + 1) written (4 A more of each
// with log_std by rows).
#include "kernels/cuda/categorical.cuh"
#include "kernels/cuda/gaussian.cuh"

namespace {
using namespace mt;

// At most as many blocks as the largest GPU up to now holds at once, 8 a multiprocessor. Ten, with fewer registers,
// spilled and were slower by a tenth.
constexpr int stats_count = 6, loss_blocks = 1024, resident = 8;
static_assert(sizeof(mt_ppo_stats) == stats_count * sizeof(double), "in this order below");

MT_SHARED_DYNAMIC(float, shared);

// ---- what both distributions share

// The numbers that change from update to update. They stand in shared memory: in registers two of the kernels spilled. All
// threads call it.
__device__ __forceinline__ const mt_ppo_scalars &scalars_of(const mt_ppo_rows &r) {
    MT_SHARED(mt_ppo_scalars, s);
    if (threadIdx.x == 0) s = *r.scalars;
    __syncthreads();
    return s;
}

// What a row brings besides its distribution: fetched first, so that it is on its way while the rest is computed
struct row_inputs {
    float old_log_prob, advantage, value, target, old_value;
};
__device__ __forceinline__ row_inputs fetch_value(const mt_ppo_rows &r, const mt_ppo_scalars &now, int64_t b) {
    row_inputs x = {};
    if (!r.value) return x;
    x.value = r.value[b], x.target = r.returns[b];
    if (now.clip_range_vf >= 0) x.old_value = r.old_value[b];
    return x;
}
__device__ __forceinline__ row_inputs fetch(const mt_ppo_rows &r, const mt_ppo_scalars &now, int64_t b) {
    row_inputs x = fetch_value(r, now, b);
    x.old_log_prob = r.old_log_prob[b], x.advantage = r.advantage[b];
    return x;
}

// writes d_value of row b, returns the value loss
__device__ __forceinline__ float value_row(
    const mt_ppo_rows &r, const mt_ppo_scalars &now, const row_inputs &x, int64_t b) {
    float scale = 2.0f * now.vf_coef * r.inv_rows;
    if (now.clip_range_vf < 0) {
        float error = x.value - x.target;
        r.d_value[b] = scale * error;
        return error * error;
    }
    float range = now.clip_range_vf, moved = x.value - x.old_value;
    float error = x.old_value + clamped(moved, -range, range) - x.target;
    r.d_value[b] = fabsf(moved) <= range ? scale * error : 0.0f;
    return error * error;
}

// dL/dlog p of row b; adds its statistics
__device__ __forceinline__ float policy_row(const mt_ppo_rows &r, const mt_ppo_scalars &now, const row_inputs &x,
    int64_t b, float log_prob, float entropy, double (&sums)[stats_count]) {
    float adv = (x.advantage - now.adv_mean) * now.adv_inv_std;
    float log_ratio = log_prob - x.old_log_prob, ratio = mt::exp(log_ratio);
    float low = 1.0f - now.clip_range, high = 1.0f + now.clip_range;
    float free = adv * ratio, clipped = adv * clamped(ratio, low, high);
    bool whole = (low <= ratio && ratio <= high) || free < clipped;
    float used = whole ? free : free == clipped ? 0.5f * free : 0.0f;
    used = free != free ? free : used; // a NaN must reach the gradient, where it is looked for
    sums[0] += (double)-least(clipped, free);
    if (r.value) sums[1] += (double)value_row(r, now, x, b);
    sums[2] += (double)entropy;
    sums[3] += (double)((ratio - 1.0f) - log_ratio);
    sums[4] += now.clip_range < fabsf(ratio - 1.0f) ? 1.0 : 0.0;
    sums[5] += (double)ratio;
    return used * -r.inv_rows;
}

__device__ __forceinline__ void finish_stats(
    double (&sums)[stats_count], double *part, uint32_t *ticket, mt_ppo_stats *stats) {
    if (grid_sum<stats_count, tile_rows>(sums, part, ticket))
        *stats = {stats->policy_loss + sums[0], stats->value_loss + sums[1], stats->entropy + sums[2],
            stats->approx_kl + sums[3], stats->clipped + sums[4], stats->ratio + sums[5]};
}

// ---- the value term alone

__global__ void __launch_bounds__(tile_rows)
    value_kernel(int64_t count, mt_ppo_rows r, double *part, uint32_t *ticket, mt_ppo_stats *stats) {
    double sums[stats_count] = {};
    const mt_ppo_scalars &now = scalars_of(r);
    for (int64_t b = (int64_t)blockIdx.x * tile_rows + threadIdx.x; b < count; b += (int64_t)gridDim.x * tile_rows)
        sums[1] += (double)value_row(r, now, fetch_value(r, now, b), b);
    finish_stats(sums, part, ticket, stats);
}

// ---- categorical

template <int K>
__global__ void __launch_bounds__(tile_rows, resident) categorical_kernel(mt_categorical d, const int32_t *action,
    mt_ppo_rows r, float *d_logits, double *part, uint32_t *ticket, mt_ppo_stats *stats) {
    double sums[stats_count] = {};
    const mt_ppo_scalars &now = scalars_of(r);
    const float bonus = now.ent_coef * r.inv_rows;
    for (int64_t first = (int64_t)blockIdx.x * tile_rows; first < d.rows; first += (int64_t)gridDim.x * tile_rows) {
        int64_t b = first + threadIdx.x;
        int rows = (int)(d.rows - first < tile_rows ? d.rows - first : tile_rows);
        row_inputs x = {};
        if (b < d.rows) x = fetch(r, now, b);
        if constexpr (K == 0) {
            __syncthreads(); // the tile before has been stored
            categorical_stage(shared, d, first, rows);
            __syncthreads();
        }
        if (b < d.rows) {
            auto z = categorical_row<K>(shared, d, b);
            const int first_action = action[b * d.components];
            float log_prob = 0, entropy = 0;
            softmax_row s = {};
            // several components: their log-probabilities add up before any gradient is known
            each_component<K>(d, [&](int i, int offset, int actions) {
                s = softmax<K>(z, offset, actions);
                int a = i ? action[b * d.components + i] : first_action;
                log_prob += picked<K>(z, s, offset, actions, a) - s.log_total;
                entropy += s.entropy;
            });
            float g = policy_row(r, now, x, b, log_prob, entropy, sums);
            float *out = K == 0 ? shared + threadIdx.x * tile_stride(d.logit_count) : d_logits + b * d.logit_count;
            each_component<K>(d, [&](int i, int offset, int actions) {
                if (d.components > 1) s = softmax<K>(z, offset, actions);
                int a = i ? action[b * d.components + i] : first_action;
                float made[K > 0 ? K : 1];
                each_action<K>(0, actions, [&](int k) {
                    float u = z(offset + k) - s.max, p = mt::exp(u) * s.inv_total;
                    float dz = fmaf(bonus * p, (u - s.log_total) + s.entropy, g * ((k == a ? 1.0f : 0.0f) - p));
                    if constexpr (K > 0)
                        made[k] = dz;
                    else
                        out[offset + k] = dz;
                });
                if constexpr (K == 4)
                    *reinterpret_cast<float4 *>(out) = make_float4(made[0], made[1], made[2], made[3]);
                else if constexpr (K == 2)
                    *reinterpret_cast<float2 *>(out) = make_float2(made[0], made[1]);
                else if constexpr (K == 3)
                    out[0] = made[0], out[1] = made[1], out[2] = made[2];
            });
        }
        if constexpr (K == 0) {
            __syncthreads();
            tile_store(d_logits + first * d.logit_count, shared, rows, d.logit_count);
        }
    }
    finish_stats(sums, part, ticket, stats);
}

// ---- Gaussian

constexpr int warps = tile_rows / 32;

// shared memory: exponentials, the tiles, then a shared log_std's gradient (warps, A) in fp64. log_std_part: (blocks,
// A)
template <bool Staged>
__global__ void __launch_bounds__(tile_rows, resident)
    gaussian_kernel(mt_gaussian d, const float *action, mt_ppo_rows r, float *d_mean, float *d_log_std, int tile_floats,
        double *part, double *log_std_part, uint32_t *ticket, mt_ppo_stats *stats) {
    double sums[stats_count] = {}, *gradient = reinterpret_cast<double *>(shared + tile_floats);
    const mt_ppo_scalars &now = scalars_of(r);
    const float bonus = now.ent_coef * r.inv_rows;
    const int warp = (int)threadIdx.x / 32;
    if (!d.log_std_rows)
        for (int i = (int)threadIdx.x; i < warps * d.dim; i += tile_rows) gradient[i] = 0;
    gaussian_exponentials(shared, d, -1.0f);
    for (int64_t first = (int64_t)blockIdx.x * tile_rows; first < d.rows; first += (int64_t)gridDim.x * tile_rows) {
        row_inputs x = {};
        if (first + threadIdx.x < d.rows) x = fetch(r, now, first + threadIdx.x);
        __syncthreads();
        gaussian_tile<Staged> t(shared, d, action, first);
        float log_prob = 0, entropy = 0, g = 0;
        if (t.live()) {
            for (int a = 0; a < d.dim; a++) {
                float log_std = t.log_std(a), u = (t.x(a) - t.mean(a)) * t.exponential(a, -1.0f);
                log_prob += fmaf(u * u, -0.5f, -half_log_2pi - log_std);
                entropy += log_std + (0.5f + half_log_2pi);
            }
            g = policy_row(r, now, x, t.b, log_prob, entropy, sums);
        }
        for (int a = 0; a < d.dim; a++) {
            float d_scale = 0;
            if (t.live()) {
                float inv_std = t.exponential(a, -1.0f), u = (t.x(a) - t.mean(a)) * inv_std;
                t.out_mean(d_mean, a) = g * u * inv_std;
                d_scale = g * fmaf(u, u, -1.0f) - bonus;
                if (d.log_std_rows) t.out_log_std(d_log_std, a) = d_scale;
            }
            if (d.log_std_rows) continue;
            d_scale = warp_sum(d_scale);
            if (threadIdx.x % 32 == 0) gradient[warp * d.dim + a] += (double)d_scale;
        }
        t.store_mean(d_mean);
        if (d.log_std_rows) t.store_log_std(d_log_std);
    }
    __syncthreads();
    if (!d.log_std_rows)
        for (int a = (int)threadIdx.x; a < d.dim; a += tile_rows) {
            double sum = gradient[a];
            for (int w = 1; w < warps; w++) sum += gradient[w * d.dim + a];
            log_std_part[(int64_t)blockIdx.x * d.dim + a] = sum;
        }
    finish_stats(sums, part, ticket, stats);
}

// ---- the advantages' mean and deviation

__global__ void advantage_kernel(double count, const double *sums, mt_ppo_scalars *scalars) {
    double mean = sums[0] / count, variance = (sums[1] - sums[0] * sums[0] / count) / count;
    bool use = count > 1;
    variance = variance > 0 ? variance : 0;
    scalars->adv_mean = use ? (float)mean : 0.0f;
    scalars->adv_inv_std = use ? (float)(1.0 / (sqrt(variance * count / (count - 1.0)) + 1e-8)) : 1.0f;
}

// ---- another loss

__global__ void add_sums_kernel(const double *sums, float vf_coef, float ent_coef, mt_ppo_stats *stats) {
    stats->policy_loss += sums[0] - (double)vf_coef * sums[1] + (double)ent_coef * sums[2];
    stats->value_loss += sums[1];
    stats->entropy += sums[2];
    stats->approx_kl += sums[3];
    stats->clipped += sums[4];
}

int64_t blocks_for(int64_t rows) { return clamp(tile_count(rows), 1, loss_blocks); }

} // namespace

mt_status mt_cuda_advantage_scale(const mt_cuda *c, double count, const double *sums, mt_ppo_scalars *scalars) {
    return launch(c, "advantage_scale", advantage_kernel, 1, 1, 0, count, sums, scalars);
}

mt_status mt_cuda_add_loss_sums(const mt_cuda *c, const double *sums, float vf_coef, float ent_coef, mt_ppo_stats *stats) {
    return launch(c, "add_loss_sums", add_sums_kernel, 1, 1, 0, sums, vf_coef, ent_coef, stats);
}

mt_status mt_cuda_ppo_loss_value(const mt_cuda *c, int64_t count, const mt_ppo_rows *rows, mt_ppo_stats *stats) {
    double *part;
    MT_TRY(workspace(c, stats_count * loss_blocks, &part));
    return launch(
        c, "ppo_loss_value", value_kernel, grid(blocks_for(count)), tile_rows, 0, count, *rows, part, c->ticket, stats);
}

mt_status mt_cuda_ppo_loss_categorical(const mt_cuda *c, const mt_categorical *d, const int32_t *action,
    const mt_ppo_rows *rows, float *d_logits, mt_ppo_stats *stats) {
    double *part;
    MT_TRY(workspace(c, stats_count * loss_blocks, &part));
    int form = categorical_form(d);
    if (form > 0 && !aligned(d_logits)) form = 0;
    return launch(c, "ppo_loss_categorical", MT_CATEGORICAL_FORM(form, categorical_kernel), grid(blocks_for(d->rows)),
        tile_rows, categorical_shared(form, d), *d, action, *rows, d_logits, part, c->ticket, stats);
}

mt_status mt_cuda_ppo_loss_gaussian(const mt_cuda *c, const mt_gaussian *d, const float *action,
    const mt_ppo_rows *rows, float *d_mean, float *d_log_std, int accumulate, mt_ppo_stats *stats) {
    size_t sums = d->log_std_rows ? 0 : sizeof(double) * warps * (size_t)d->dim;
    if (sums + gaussian_shared(*d, false) > shared_most)
        return MT_FAIL(UNSUPPORTED,
            "ppo_loss_gaussian: %d action components, the GPU's kernel sums a shared log_std's gradient for at most %d",
            d->dim, (int)(shared_most / sizeof(double) / warps - gaussian_table_most / 8));
    bool staged = gaussian_staged(*d, sums);
    size_t tiles = gaussian_shared(*d, staged);
    int64_t blocks = blocks_for(d->rows);
    double *part;
    MT_TRY(workspace(c, stats_count * loss_blocks + blocks * d->dim, &part));
    double *log_std_part = part + stats_count * loss_blocks;
    MT_TRY(launch(c, "ppo_loss_gaussian", staged ? gaussian_kernel<true> : gaussian_kernel<false>, grid(blocks),
        tile_rows, tiles + sums, *d, action, *rows, d_mean, d_log_std, (int)(tiles / sizeof(float)), part, log_std_part,
        c->ticket, stats));
    if (d->log_std_rows) return MT_OK;
    return fold(c, "ppo_loss_gaussian, d_log_std", blocks, d->dim, log_std_part, fold_to_float{d_log_std, accumulate});
}
