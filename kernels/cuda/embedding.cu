// Lookup in a table on the GPU, and the gradient of the table.
//   forward    y[b] = table[index[b]]                      a copy; 8 bytes moved an element
//   backward   dtable[e] (+)= Σ_{b: index[b] = e} dy[b]
// Shapes in kernels.h; an index is a whole number in a float, clamped to the table, NaN is entry 0.
// Backward nobody scatters: a warp has an entry, looks through the indices of a part of the rows 32 at a time and adds the rows
// that name it, in their order, in fp64; the parts' sums are added in order by a second launch. The number of parts depends on the
// shape alone: deterministic. Sorting the indices first was the alternative; it pays from tables of some 10⁵ entries on, where
// looking through costs entries · rows / 32 reads of a cached line, and reinforcement learning's tables (discrete observations)
// are far smaller. Bytes moved: 4 · rows · width read, 4 · entries · width written (8 · parts times that between the launches).
#include "kernels/cuda/launch.cuh"

namespace {
using namespace mt;

// a span of indices stands in shared memory for all of a block's entries
constexpr int warps = 8, threads = 32 * warps, span = 1024, parts_most = 64, columns_each = 4;
constexpr int64_t parts_floats = 1 << 20; // sums between the launches: at most 8 MiB, or one part

__device__ __forceinline__ int entry_of(float index, int entries) {
    if (!(index > 0.0f)) return 0;
    return index < (float)entries && (int)index < entries ? (int)index : entries - 1;
}

// ---- forward

template <class Place> struct lookup_op {
    const float *index, *table;
    float *y;
    int entries;
    Place width;
    template <int N> __device__ void at(int64_t i) const {
        Place row = (Place)i / width, column = (Place)i - row * width;
        store<N>(y + i, load<N>(table + (int64_t)entry_of(index[row], entries) * width + column));
    }
};

// ---- backward

// adds the rows in `matches` (bit k: row first + k) to the lanes' columns, in order
__device__ __forceinline__ void add_rows(
    unsigned matches, const float *dy, int64_t first, int width, int column, double (&sum)[columns_each]) {
    while (matches) {
        int k = __ffs((int)matches) - 1;
        matches &= matches - 1;
        const float *row = dy + (first + k) * width;
#pragma unroll
        for (int j = 0; j < columns_each; j++)
            if (column + 32 * j < width) sum[j] += (double)row[column + 32 * j];
    }
}

// block: (entries, parts, columns). part (parts, entries · width)
__global__ void __launch_bounds__(threads)
    backward_kernel(int64_t rows, int entries, int width, const float *index, const float *dy, double *part) {
    MT_SHARED(int, named, [span]);
    const int entry = (int)blockIdx.x * warps + (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int column = (int)blockIdx.z * 32 * columns_each + lane;
    const int64_t length = (rows + gridDim.y - 1) / gridDim.y, from = blockIdx.y * length;
    const int64_t to = from + length < rows ? from + length : rows;
    double sum[columns_each] = {};
    for (int64_t first = from; first < to; first += span) {
        const int count = (int)(to - first < span ? to - first : span);
        __syncthreads(); // the span before has been looked through
        for (int i = (int)threadIdx.x; i < span; i += threads) named[i] = i < count ? entry_of(index[first + i], entries) : -1;
        __syncthreads();
        if (entry < entries)
            for (int i = 0; i < count; i += 32)
                add_rows(__ballot_sync(0xffffffffu, named[i + lane] == entry), dy, first + i, width, column, sum);
    }
    if (entry >= entries) return;
    double *out = part + ((int64_t)blockIdx.y * entries + entry) * width;
#pragma unroll
    for (int j = 0; j < columns_each; j++)
        if (column + 32 * j < width) out[column + 32 * j] = sum[j];
}

} // namespace

mt_status mt_cuda_embedding_forward(
    const mt_cuda *c, int64_t rows, int entries, int width, const float *index, const float *table, float *y) {
    bool by_four = aligned(table, y) && width % 4 == 0;
    if (rows * width < UINT32_MAX)
        return each(c, "embedding_forward", rows * width, by_four, lookup_op<uint32_t>{index, table, y, entries, (uint32_t)width});
    return each(c, "embedding_forward", rows * width, by_four, lookup_op<int64_t>{index, table, y, entries, width});
}

mt_status mt_cuda_embedding_backward(const mt_cuda *c, int64_t rows, int entries, int width, const float *index,
    const float *dy, float *dtable, int accumulate) {
    const int64_t size = (int64_t)entries * width;
    if (size > INT32_MAX)
        return MT_FAIL(UNSUPPORTED, "embedding_backward: a table of %d x %d, the GPU's kernel takes at most 2147483647 floats",
            entries, width);
    int64_t parts = clamp(ceil_div(rows, span), 1, clamp(parts_floats / size, 1, parts_most));
    double *part;
    MT_TRY(workspace(c, parts * size, &part));
    dim3 blocks = grid(ceil_div(entries, warps), parts, ceil_div(width, 32 * columns_each));
    MT_TRY(launch(c, "embedding_backward", backward_kernel, blocks, threads, 0, rows, entries, width, index, dy, part));
    return fold(c, "embedding_backward, second pass", parts, (int)size, part, fold_to_float{dtable, accumulate});
}
