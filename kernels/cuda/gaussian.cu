// Diagonal Gaussian on the GPU: with σ = exp(log_std) and t = (x - mean)/σ,
//   log p = Σ_A (-½ t² - log σ - ½ log 2π),  entropy = Σ_A (½ + ½ log 2π + log σ)
// Shapes: mean, action, noise (B, A); log_std (A) or (B, A); log_prob, entropy (B). A thread has a row and adds in the
// CPU's order: deterministic, the CPU's bits, and a row's result knows of no other row. Bytes moved: 8 A read (12 A
// with log_std by rows) and 4 A + 4 written a row when sampling.
#include "kernels/cuda/gaussian.cuh"

namespace {
using namespace mt;

MT_SHARED_DYNAMIC(float, shared);

template <bool Staged>
__global__ void __launch_bounds__(tile_rows)
    sample_kernel(mt_gaussian d, const float *noise, float *action, float *log_prob) {
    gaussian_exponentials(shared, d, 1.0f);
    gaussian_tile<Staged> t(shared, d, noise, (int64_t)blockIdx.x * tile_rows);
    float sum = 0;
    if (t.live())
        for (int a = 0; a < d.dim; a++) {
            float log_std = t.log_std(a), z = t.x(a);
            t.out_x(action, a) = fmaf(t.exponential(a, 1.0f), z, t.mean(a));
            sum += fmaf(z * z, -0.5f, -half_log_2pi - log_std);
        }
    t.store_x(action);
    if (t.live()) log_prob[t.b] = sum;
}

template <bool Staged>
__global__ void __launch_bounds__(tile_rows)
    log_prob_kernel(mt_gaussian d, const float *action, float *log_prob, float *entropy) {
    gaussian_exponentials(shared, d, -1.0f);
    gaussian_tile<Staged> t(shared, d, action, (int64_t)blockIdx.x * tile_rows);
    if (!t.live()) return;
    float sum = 0, h = 0;
    for (int a = 0; a < d.dim; a++) {
        float log_std = t.log_std(a);
        h += log_std + (0.5f + half_log_2pi);
        if (!log_prob) continue;
        float u = (t.x(a) - t.mean(a)) * t.exponential(a, -1.0f);
        sum += fmaf(u * u, -0.5f, -half_log_2pi - log_std);
    }
    if (log_prob) log_prob[t.b] = sum;
    if (entropy) entropy[t.b] = h;
}

} // namespace

mt_status mt_cuda_gaussian_sample(
    const mt_cuda *c, const mt_gaussian *d, const float *noise, float *action, float *log_prob) {
    if (d->rows < 1) return MT_OK;
    bool staged = gaussian_staged(*d, 0);
    return launch(c, "gaussian_sample", staged ? sample_kernel<true> : sample_kernel<false>, grid(tile_count(d->rows)),
        tile_rows, gaussian_shared(*d, staged), *d, noise, action, log_prob);
}

mt_status mt_cuda_gaussian_log_prob(
    const mt_cuda *c, const mt_gaussian *d, const float *action, float *log_prob, float *entropy) {
    if (d->rows < 1) return MT_OK;
    // the entropy alone reads no action
    const float *x = log_prob ? action : d->mean;
    bool staged = gaussian_staged(*d, 0);
    return launch(c, "gaussian_log_prob", staged ? log_prob_kernel<true> : log_prob_kernel<false>,
        grid(tile_count(d->rows)), tile_rows, gaussian_shared(*d, staged), *d, x, log_prob, entropy);
}
