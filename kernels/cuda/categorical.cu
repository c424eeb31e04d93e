// Categorical actions on the GPU: sampling, mode, log-probability and entropy. Formulae in categorical.cuh; sampling
// inverts the cumulative sum: the first k with Σ_{j≤k} e_j > u Σ_j e_j, u in [0, 1) from one random word. Shapes in
// kernels.h. A thread has a row and adds in the CPU's order: deterministic, the CPU's actions from the same words, and
// a row's result knows of no other row. Bytes moved: 4 K (5 K with a mask) read a row, 8 written per component.
#include "kernels/cuda/categorical.cuh"

namespace {
using namespace mt;

MT_SHARED_DYNAMIC(float, shared);

// work.template row<K>(d, z, b) for every row
template <int K, class Work> __device__ __forceinline__ void each_row(const mt_categorical &d, const Work &work) {
    int64_t first = (int64_t)blockIdx.x * tile_rows, b = first + threadIdx.x;
    if constexpr (K == 0) {
        categorical_stage(shared, d, first, (int)(d.rows - first < tile_rows ? d.rows - first : tile_rows));
        __syncthreads();
    }
    if (b < d.rows) work.template row<K>(d, categorical_row<K>(shared, d, b), b);
}

struct sample_work {
    const uint32_t *words;
    int32_t *action;
    float *log_prob;
    template <int K, class Z>
    __device__ __forceinline__ void row(const mt_categorical &d, const Z &z, int64_t b) const {
        float log_p = 0;
        each_component<K>(d, [&](int i, int offset, int actions) {
            // exponentials are kept: in registers, or in shared memory over the logits; only rows of any width make
            // them again
            float kept[K > 0 ? K : 1],
                *over = K == 0 ? shared + threadIdx.x * tile_stride(d.logit_count) + offset : kept;
            softmax_row s = softmax<K>(z, offset, actions, [&](int k, float e) {
                if constexpr (K >= 0) over[k] = e;
            });
            int64_t at = b * d.components + i;
            float target = unit(words[at]) * s.total, sum = 0;
            int a = 0;
            each_action<K>(0, actions - 1, [&](int k) {
                if (K > 0 && k == K - 1) return;
                if constexpr (K >= 0)
                    sum += over[k];
                else
                    sum += mt::exp(z(offset + k) - s.max);
                a = sum <= target ? k + 1 : a;
            });
            action[at] = a;
            if constexpr (K == 0)
                log_p += picked<-1>(categorical_row<-1>(nullptr, d, b), s, offset, actions, a) - s.log_total;
            else
                log_p += picked<K>(z, s, offset, actions, a) - s.log_total;
        });
        log_prob[b] = log_p;
    }
};

struct mode_work {
    int32_t *action;
    template <int K, class Z>
    __device__ __forceinline__ void row(const mt_categorical &d, const Z &z, int64_t b) const {
        each_component<K>(d, [&](int i, int offset, int actions) {
            float best = z(offset);
            int a = 0;
            each_action<K>(1, actions, [&](int k) {
                bool more = best < z(offset + k);
                a = more ? k : a;
                best = more ? z(offset + k) : best;
            });
            action[b * d.components + i] = a;
        });
    }
};

struct log_prob_work {
    const int32_t *action;
    float *log_prob, *entropy;
    template <int K, class Z>
    __device__ __forceinline__ void row(const mt_categorical &d, const Z &z, int64_t b) const {
        float log_p = 0, h = 0;
        each_component<K>(d, [&](int i, int offset, int actions) {
            softmax_row s = softmax<K>(z, offset, actions);
            h += s.entropy;
            if (log_prob) log_p += picked<K>(z, s, offset, actions, action[b * d.components + i]) - s.log_total;
        });
        if (log_prob) log_prob[b] = log_p;
        if (entropy) entropy[b] = h;
    }
};

template <int K> __global__ void __launch_bounds__(tile_rows) sample_kernel(mt_categorical d, sample_work w) {
    each_row<K>(d, w);
}
template <int K> __global__ void __launch_bounds__(tile_rows) mode_kernel(mt_categorical d, mode_work w) {
    each_row<K>(d, w);
}
template <int K> __global__ void __launch_bounds__(tile_rows) log_prob_kernel(mt_categorical d, log_prob_work w) {
    each_row<K>(d, w);
}

} // namespace

mt_status mt_cuda_categorical_sample(
    const mt_cuda *c, const mt_categorical *d, const uint32_t *words, int32_t *action, float *log_prob) {
    if (d->rows < 1) return MT_OK;
    int form = categorical_form(d);
    return launch(c, "categorical_sample", MT_CATEGORICAL_FORM(form, sample_kernel), grid(tile_count(d->rows)),
        tile_rows, categorical_shared(form, d), *d, sample_work{words, action, log_prob});
}

mt_status mt_cuda_categorical_mode(const mt_cuda *c, const mt_categorical *d, int32_t *action) {
    if (d->rows < 1) return MT_OK;
    int form = categorical_form(d);
    return launch(c, "categorical_mode", MT_CATEGORICAL_FORM(form, mode_kernel), grid(tile_count(d->rows)), tile_rows,
        categorical_shared(form, d), *d, mode_work{action});
}

mt_status mt_cuda_categorical_log_prob(
    const mt_cuda *c, const mt_categorical *d, const int32_t *action, float *log_prob, float *entropy) {
    if (d->rows < 1) return MT_OK;
    int form = categorical_form(d);
    return launch(c, "categorical_log_prob", MT_CATEGORICAL_FORM(form, log_prob_kernel), grid(tile_count(d->rows)),
        tile_rows, categorical_shared(form, d), *d, log_prob_work{action, log_prob, entropy});
}
