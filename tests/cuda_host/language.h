// CUDA C++ for the host's own compiler: included before everything else when a .cu file is compiled for the host. The words are
// those that manta's kernels use, and their neighbours; one that is missing does not compile. The vendor's headers come first
// and stay as they are: types, vectors and the runtime's functions are theirs.
//
// A kernel becomes an ordinary function that a fiber calls (block.c). Its loads and stores are seen because these files are
// compiled with -fsanitize=thread, whose calls are answered by races.c; that library itself is not linked.
#ifndef MANTA_TESTS_CUDA_HOST_LANGUAGE_H
#define MANTA_TESTS_CUDA_HOST_LANGUAGE_H

#include <cuda_runtime.h>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>
#include "tests/cuda_host/device_calls.h"
#include "tests/cuda_host/launch.h"

#define __launch_bounds__(...)
#undef __shared__
#define __shared__ static_assert(false, "shared memory is declared by MT_SHARED and MT_SHARED_DYNAMIC (kernels/cuda/launch.cuh)");
#undef __constant__
#define __constant__ static_assert(false, "tests/cuda_host knows no constant memory yet");

// ---- where a thread is

template <uint3 (*Ask)(), unsigned uint3::*Part> struct mt_host_index {
    operator unsigned() const { return Ask().*Part; }
};
template <uint3 (*Ask)()> struct mt_host_indices {
    mt_host_index<Ask, &uint3::x> x;
    mt_host_index<Ask, &uint3::y> y;
    mt_host_index<Ask, &uint3::z> z;
};
inline constexpr mt_host_indices<mt_host_thread_index> threadIdx{};
inline constexpr mt_host_indices<mt_host_block_index> blockIdx{};
inline constexpr mt_host_indices<mt_host_block_size> blockDim{};
inline constexpr mt_host_indices<mt_host_grid_size> gridDim{};
inline constexpr int warpSize = 32;

// ---- shared memory

#define MT_SHARED(type, name, ...) auto &name = mt_host_array<type __VA_ARGS__>([] {}, #name, __FILE__, __LINE__)
#define MT_SHARED_DYNAMIC(type, name) static const mt_host_rest<type> name

// Each place in the source has a lambda's type of its own, and so does each instance of a template around it.
template <class T, class Place>
inline __attribute__((no_sanitize("thread"))) T &mt_host_array(Place, const char *name, const char *file, int line) {
    static int id;
    return *static_cast<T *>(mt_host_shared(&id, sizeof(T), alignof(T), name, file, line));
}
template <class T> struct mt_host_rest {
    constexpr mt_host_rest() {}
    operator T *() const { return static_cast<T *>(mt_host_shared_rest()); }
};

// ---- together

#define __syncthreads() mt_host_syncthreads(__FILE__, __LINE__)
#define __syncthreads_count(predicate) mt_host_syncthreads_count((predicate) != 0, __FILE__, __LINE__)
#define __syncthreads_or(predicate) (mt_host_syncthreads_count((predicate) != 0, __FILE__, __LINE__) != 0)
#define __syncthreads_and(predicate) (mt_host_syncthreads_count((predicate) == 0, __FILE__, __LINE__) == 0)
#define __threadfence() mt_host_fence()
#define __threadfence_block() ((void)0) // a barrier must follow all the same
#define __trap() mt_host_trap(__FILE__, __LINE__)

template <class T>
inline T mt_host_exchange(mt_host_warp_kind kind, unsigned mask, T value, int argument, int width, const char *file, int line) {
    static_assert(std::is_arithmetic<T>::value && sizeof(T) <= 8, "numbers are exchanged");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = mt_host_warp(kind, mask, bits, argument, width, file, line);
    memcpy(&value, &bits, sizeof value);
    return value;
}
struct mt_host_place {
    const char *file;
    int line;
    template <class T> T shfl(unsigned mask, T value, int lane, int width = 32) const {
        return mt_host_exchange(MT_HOST_SHFL, mask, value, lane, width, file, line);
    }
    template <class T> T shfl_xor(unsigned mask, T value, int lanes, int width = 32) const {
        return mt_host_exchange(MT_HOST_SHFL_XOR, mask, value, lanes, width, file, line);
    }
    template <class T> T shfl_up(unsigned mask, T value, unsigned by, int width = 32) const {
        return mt_host_exchange(MT_HOST_SHFL_UP, mask, value, (int)by, width, file, line);
    }
    template <class T> T shfl_down(unsigned mask, T value, unsigned by, int width = 32) const {
        return mt_host_exchange(MT_HOST_SHFL_DOWN, mask, value, (int)by, width, file, line);
    }
    void syncwarp(unsigned mask = 0xffffffffu) const { mt_host_warp(MT_HOST_SYNCWARP, mask, 0, 0, 32, file, line); }
    unsigned ballot(unsigned mask, int predicate) const {
        return (unsigned)mt_host_warp(MT_HOST_BALLOT, mask, predicate != 0, 0, 32, file, line);
    }
    int any(unsigned mask, int predicate) const { return ballot(mask, predicate) != 0; }
    int all(unsigned mask, int predicate) const { return ballot(mask, !predicate) == 0; }
    unsigned reduce_add(unsigned mask, unsigned value) const {
        return mt_host_exchange(MT_HOST_REDUCE_ADD, mask, value, 0, 32, file, line);
    }
    unsigned reduce_min(unsigned mask, unsigned value) const {
        return mt_host_exchange(MT_HOST_REDUCE_MIN, mask, value, 0, 32, file, line);
    }
    unsigned reduce_max(unsigned mask, unsigned value) const {
        return mt_host_exchange(MT_HOST_REDUCE_MAX, mask, value, 0, 32, file, line);
    }
};
#define MT_HOST_PLACE (mt_host_place{__FILE__, __LINE__})
#define __shfl_sync MT_HOST_PLACE.shfl
#define __shfl_xor_sync MT_HOST_PLACE.shfl_xor
#define __shfl_up_sync MT_HOST_PLACE.shfl_up
#define __shfl_down_sync MT_HOST_PLACE.shfl_down
#define __syncwarp MT_HOST_PLACE.syncwarp
#define __ballot_sync MT_HOST_PLACE.ballot
#define __any_sync MT_HOST_PLACE.any
#define __all_sync MT_HOST_PLACE.all
#define __reduce_add_sync MT_HOST_PLACE.reduce_add
#define __reduce_min_sync MT_HOST_PLACE.reduce_min
#define __reduce_max_sync MT_HOST_PLACE.reduce_max

// ---- atomic operations: what was there before

template <class T> struct mt_host_atomics; // a type that has none does not compile
template <> struct mt_host_atomics<int> {
    static int apply(mt_host_atomic_kind kind, int *at, int x, int compare = 0) { return mt_host_atomic_i32(kind, at, x, compare); }
};
template <> struct mt_host_atomics<unsigned> {
    static unsigned apply(mt_host_atomic_kind kind, unsigned *at, unsigned x, unsigned compare = 0) {
        return mt_host_atomic_u32(kind, at, x, compare);
    }
};
template <> struct mt_host_atomics<unsigned long long> {
    using T = unsigned long long;
    static T apply(mt_host_atomic_kind kind, T *at, T x, T compare = 0) {
        return mt_host_atomic_u64(kind, reinterpret_cast<uint64_t *>(at), x, compare);
    }
};
template <> struct mt_host_atomics<float> {
    static float apply(mt_host_atomic_kind kind, float *at, float x) { return mt_host_atomic_f32(kind, at, x); }
};
template <> struct mt_host_atomics<double> {
    static double apply(mt_host_atomic_kind kind, double *at, double x) { return mt_host_atomic_f64(kind, at, x); }
};
template <class T> struct mt_host_plain { using type = T; }; // the operand takes the type of the place
#define MT_HOST_ATOMIC(name, kind)                                                                                     \
    template <class T> inline T name(T *at, typename mt_host_plain<T>::type x) {                                       \
        return mt_host_atomics<T>::apply(kind, at, x);                                                                 \
    }
MT_HOST_ATOMIC(atomicAdd, MT_HOST_ATOMIC_ADD)
MT_HOST_ATOMIC(atomicSub, MT_HOST_ATOMIC_SUB)
MT_HOST_ATOMIC(atomicMin, MT_HOST_ATOMIC_MIN)
MT_HOST_ATOMIC(atomicMax, MT_HOST_ATOMIC_MAX)
MT_HOST_ATOMIC(atomicAnd, MT_HOST_ATOMIC_AND)
MT_HOST_ATOMIC(atomicOr, MT_HOST_ATOMIC_OR)
MT_HOST_ATOMIC(atomicXor, MT_HOST_ATOMIC_XOR)
MT_HOST_ATOMIC(atomicExch, MT_HOST_ATOMIC_EXCH)
MT_HOST_ATOMIC(atomicInc, MT_HOST_ATOMIC_INC)
MT_HOST_ATOMIC(atomicDec, MT_HOST_ATOMIC_DEC)
#undef MT_HOST_ATOMIC
template <class T>
inline T atomicCAS(T *at, typename mt_host_plain<T>::type compare, typename mt_host_plain<T>::type x) {
    return mt_host_atomics<T>::apply(MT_HOST_ATOMIC_CAS, at, x, compare);
}

// ---- loads and stores with advice for caches

template <class T> inline T __ldg(const T *p) { return *p; }
template <class T> inline T __ldcg(const T *p) { return *p; }
template <class T> inline T __ldca(const T *p) { return *p; }
template <class T> inline T __ldcs(const T *p) { return *p; }
template <class T> inline T __ldcv(const T *p) { return *p; }
template <class T> inline void __stcg(T *p, typename mt_host_plain<T>::type x) { *p = x; }
template <class T> inline void __stcs(T *p, typename mt_host_plain<T>::type x) { *p = x; }
template <class T> inline void __stwt(T *p, typename mt_host_plain<T>::type x) { *p = x; }

// ---- numbers

template <class To, class From> inline To mt_host_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "bits of the same number");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
inline int __float_as_int(float x) { return mt_host_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return mt_host_bits<unsigned>(x); }
inline float __int_as_float(int x) { return mt_host_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return mt_host_bits<float>(x); }
inline long long __double_as_longlong(double x) { return mt_host_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return mt_host_bits<double>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
// the fast ones are exact here: how far off they are only a GPU shows
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
template <class T> inline T min(T a, T b) { return b < a ? b : a; }
template <class T> inline T max(T a, T b) { return a < b ? b : a; }

// ---- launching: cudaLaunchKernelEx as the vendor's header has it, but that it keeps the types

template <class... Parameters, class... Arguments>
inline cudaError_t mt_host_launch_kernel(
    const cudaLaunchConfig_t *config, void (*kernel)(Parameters...), Arguments &&...arguments) {
    using closure = std::tuple<void (*)(Parameters...), Parameters...>;
    auto call = [](const void *c) {
        std::apply([](auto k, const auto &...a) { k(a...); }, *static_cast<const closure *>(c));
    };
    auto destroy = [](void *c) { delete static_cast<closure *>(c); };
    return mt_host_launch(config, reinterpret_cast<const void *>(kernel), call,
        new closure(kernel, std::forward<Arguments>(arguments)...), sizeof(closure), destroy);
}
#define cudaLaunchKernelEx mt_host_launch_kernel
// the attributes of a kernel, by its function
template <class... Parameters>
inline cudaError_t mt_host_set_attribute(void (*kernel)(Parameters...), cudaFuncAttribute attribute, int value) {
    return cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), attribute, value);
}
#define cudaFuncSetAttribute mt_host_set_attribute

#endif
