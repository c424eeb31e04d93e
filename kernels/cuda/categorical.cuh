// Log-softmax over the actions of a row, for categorical.cu and ppo_loss.cu. With d = z - max z and S = Σ exp d:
// log p_k = d_k - log S,  entropy = log S - Σ exp(d_k) d_k / S. A masked action's logit counts as -FLT_MAX: its
// probability is exactly 0. A component without any allowed action counts as uniform. Orders and bits are
// kernels/cpu/categorical.h's.
//
// Three ways to hold a row's logits, which are functions of k: in registers (one component of 2, 3 or 4 actions, no
// mask: the hot case, K > 0 below), staged in shared memory, where they are.
#ifndef MANTA_KERNELS_CUDA_CATEGORICAL_CUH
#define MANTA_KERNELS_CUDA_CATEGORICAL_CUH

#include <float.h>
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/vmath.cuh"

namespace mt {

template <int K> struct register_logits {
    float z[K];
    __device__ float operator()(int k) const { return z[k]; }
};
struct memory_logits {
    const float *z;
    const uint8_t *mask; // Nullable
    __device__ float operator()(int k) const { return mask && !mask[k] ? -FLT_MAX : z[k]; }
};

template <int K> __device__ __forceinline__ register_logits<K> load_logits(const float *p) {
    register_logits<K> r;
    if constexpr (K == 2) {
        float2 v = *reinterpret_cast<const float2 *>(p);
        r.z[0] = v.x, r.z[1] = v.y;
    } else if constexpr (K == 4) {
        float4 v = *reinterpret_cast<const float4 *>(p);
        r.z[0] = v.x, r.z[1] = v.y, r.z[2] = v.z, r.z[3] = v.w;
    } else {
#pragma unroll
        for (int k = 0; k < K; k++) r.z[k] = p[k];
    }
    return r;
}

// the form a call takes: K > 0, or 0 staged, or -1 in place
inline int categorical_form(const mt_categorical *d) {
    bool small = d->components == 1 && !d->mask && d->logit_count >= 2 && d->logit_count <= 4;
    if (small && reinterpret_cast<uintptr_t>(d->logits) % 16 == 0) return d->logit_count;
    return tile_bytes(d->logit_count) <= shared_most ? 0 : -1;
}
inline size_t categorical_shared(int form, const mt_categorical *d) {
    return form == 0 ? tile_bytes(d->logit_count) : 0;
}

// the kernel of a form
#define MT_CATEGORICAL_FORM(form, kernel)                                                                              \
    ((form) == 2 ? kernel<2> : (form) == 3 ? kernel<3> : (form) == 4 ? kernel<4> : (form) == 0 ? kernel<0> : kernel<-1>)

// the tile of logits, masks applied, into shared memory
__device__ __forceinline__ void categorical_stage(float *tile, const mt_categorical &d, int64_t first, int rows) {
    const float *z = d.logits + first * d.logit_count;
    const uint8_t *mask = d.mask ? d.mask + first * d.logit_count : nullptr;
    if (!mask)
        tile_load(tile, z, rows, d.logit_count);
    else
        tile_each(0, rows, d.logit_count, [&](int i, int slot) { tile[slot] = mask[i] ? z[i] : -FLT_MAX; });
}
// this thread's row b, in the form K
template <int K>
__device__ __forceinline__ auto categorical_row(const float *tile, const mt_categorical &d, int64_t b) {
    if constexpr (K > 0)
        return load_logits<K>(d.logits + b * K);
    else if constexpr (K == 0)
        return memory_logits{tile + threadIdx.x * tile_stride(d.logit_count), nullptr};
    else
        return memory_logits{d.logits + b * d.logit_count, d.mask ? d.mask + b * d.logit_count : nullptr};
}

struct softmax_row {
    float max, total, inv_total, log_total, entropy;
};

// f(component, offset, actions) for each; with K > 0 there is one, of K actions
template <int K, class F> __device__ __forceinline__ void each_component(const mt_categorical &d, F f) {
    if constexpr (K > 0)
        f(0, 0, K);
    else
        for (int i = 0, offset = 0; i < d.components; offset += d.nvec[i++]) f(i, offset, d.nvec[i]);
}
// f(k) for k in from .. actions; unrolled with K > 0
template <int K, class F> __device__ __forceinline__ void each_action(int from, int actions, F f) {
    if constexpr (K > 0) {
#pragma unroll
        for (int k = 0; k < K; k++)
            if (k >= from) f(k);
    } else {
#pragma unroll 4
        for (int k = from; k < actions; k++) f(k);
    }
}

// keep(k, exp d_k), in order
template <int K, class Z, class Keep>
__device__ __forceinline__ softmax_row softmax(const Z &z, int offset, int actions, Keep keep) {
    softmax_row s;
    float weighted = 0;
    s.max = z(offset);
    each_action<K>(1, actions, [&](int k) { s.max = most(s.max, z(offset + k)); });
    s.total = 0;
    each_action<K>(0, actions, [&](int k) {
        float d = z(offset + k) - s.max, e = mt::exp(d);
        s.total += e;
        weighted = fmaf(e, d, weighted);
        keep(k, e);
    });
    s.inv_total = 1.0f / s.total;
    s.log_total = mt::log(s.total);
    s.entropy = s.log_total - weighted * s.inv_total;
    return s;
}

template <int K, class Z> __device__ __forceinline__ softmax_row softmax(const Z &z, int offset, int actions) {
    return softmax<K>(z, offset, actions, [](int, float) {});
}

// d of the given action
template <int K, class Z>
__device__ __forceinline__ float picked(const Z &z, const softmax_row &s, int offset, int actions, int action) {
    float d = 0;
    if constexpr (K > 0)
        each_action<K>(0, actions, [&](int k) { d = k == action ? z(offset + k) - s.max : d; });
    else if (action >= 0 && action < actions)
        d = z(offset + action) - s.max;
    return d;
}

} // namespace mt
#endif
