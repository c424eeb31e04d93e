// A tile of 128 rows of a Gaussian: mean, a second array x (actions or noise), and log_std; for gaussian.cu and
// ppo_loss.cu. Staged in shared memory, where results may overwrite what they were made from, or where they are: very
// wide rows, and rows of one or two components, whose lines a warp's threads share anyway. Of a shared log_std the
// exponentials are taken once a block.
#ifndef MANTA_KERNELS_CUDA_GAUSSIAN_CUH
#define MANTA_KERNELS_CUDA_GAUSSIAN_CUH

#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/vmath.cuh"

namespace mt {

constexpr float half_log_2pi = 0.91893853320467274178f;

constexpr int gaussian_narrow = 2, gaussian_table_most = 1024;

// bytes of shared memory: exponentials, then the tiles. `more` is what the caller needs besides
__host__ __device__ inline int gaussian_table(const mt_gaussian &d) {
    return d.log_std_rows || d.dim > gaussian_table_most ? 0 : (d.dim + 3) & ~3;
}
inline size_t gaussian_tiles(const mt_gaussian &d) { return (d.log_std_rows ? 3 : 2) * tile_bytes(d.dim); }
inline bool gaussian_staged(const mt_gaussian &d, size_t more) {
    return d.dim > gaussian_narrow &&
           sizeof(float) * (size_t)gaussian_table(d) + gaussian_tiles(d) + more <= shared_most;
}
inline size_t gaussian_shared(const mt_gaussian &d, bool staged) {
    return sizeof(float) * (size_t)gaussian_table(d) + (staged ? gaussian_tiles(d) : 0);
}

// fills the table with exp(sign · log_std); all threads, a barrier must follow
__device__ __forceinline__ void gaussian_exponentials(float *shared, const mt_gaussian &d, float sign) {
    for (int a = (int)threadIdx.x; a < d.dim && a < gaussian_table(d); a += tile_rows)
        shared[a] = mt::exp(sign * d.log_std[a]);
}

template <bool Staged> struct gaussian_tile {
    const mt_gaussian &d;
    const float *source; // x: (B, A)
    int64_t first, b;    // the tile's first row, this thread's
    int rows;            // in the tile
    float *table, *tile; // exponentials; mean, x, log_std

    __device__ gaussian_tile(float *shared, const mt_gaussian &d_, const float *x_, int64_t first_)
        : d(d_), source(x_), first(first_), b(first_ + threadIdx.x),
          rows((int)(d_.rows - first_ < tile_rows ? d_.rows - first_ : tile_rows)), table(shared),
          tile(shared + gaussian_table(d_)) {
        if constexpr (Staged) {
            tile_load(part(0), d.mean + first * d.dim, rows, d.dim);
            tile_load(part(1), source + first * d.dim, rows, d.dim);
            if (d.log_std_rows) tile_load(part(2), d.log_std + first * d.dim, rows, d.dim);
        }
        __syncthreads();
    }
    __device__ bool live() const { return b < d.rows; }
    __device__ float *part(int i) const { return tile + i * tile_rows * tile_stride(d.dim); }
    __device__ float &slot(int i, int a) const { return part(i)[threadIdx.x * tile_stride(d.dim) + a]; }

    __device__ float mean(int a) const { return Staged ? slot(0, a) : d.mean[b * d.dim + a]; }
    __device__ float x(int a) const { return Staged ? slot(1, a) : source[b * d.dim + a]; }
    __device__ float log_std(int a) const {
        if (!d.log_std_rows) return d.log_std[a];
        return Staged ? slot(2, a) : d.log_std[b * d.dim + a];
    }
    // exp(sign · log_std), the table's sign
    __device__ float exponential(int a, float sign) const {
        return gaussian_table(d) ? table[a] : mt::exp(sign * log_std(a));
    }

    // where a result of this row goes: over the mean, x or log_std when staged, else to its array (B, A)
    __device__ float &out_mean(float *to, int a) const { return Staged ? slot(0, a) : to[b * d.dim + a]; }
    __device__ float &out_x(float *to, int a) const { return Staged ? slot(1, a) : to[b * d.dim + a]; }
    __device__ float &out_log_std(float *to, int a) const { return Staged ? slot(2, a) : to[b * d.dim + a]; }
    // all threads: from shared memory to the array
    __device__ void store_part(int i, float *to) const {
        if constexpr (Staged) {
            __syncthreads();
            tile_store(to + first * d.dim, part(i), rows, d.dim);
        }
    }
    __device__ void store_mean(float *to) const { store_part(0, to); }
    __device__ void store_x(float *to) const { store_part(1, to); }
    __device__ void store_log_std(float *to) const { store_part(2, to); }
};

} // namespace mt
#endif
