// A recurrent layer's parameters between PyTorch's arrays and the one array that the vendor's library reads, on the GPU: pieces
// (a gate's matrix or bias) are copied there, and gradients copied or added back. One launch; a block has a span of one piece.
// Bytes moved: 8 a parameter, 12 where it is added. Deterministic.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/rnn.h"

namespace {
using namespace mt;

constexpr int threads = 256, span = 8 * threads;

struct to_library {
    float *space;
    __device__ void operator()(float *array, int64_t at, int64_t i) const { space[at + i] = array[i]; }
};
struct to_pytorch {
    const float *space;
    int accumulate;
    __device__ void operator()(float *array, int64_t at, int64_t i) const {
        array[i] = accumulate ? array[i] + space[at + i] : space[at + i];
    }
};

template <class Move> __global__ void __launch_bounds__(threads) pieces_kernel(mt_rnn_pieces pieces, Move move) {
    const auto &piece = pieces.piece[blockIdx.y];
    const int64_t first = (int64_t)blockIdx.x * span, end = first + span < piece.count ? first + span : piece.count;
    for (int64_t i = first + threadIdx.x; i < end; i += threads) move(piece.array, piece.at, i);
}

template <class Move> mt_status each_piece(const mt_cuda *c, const char *name, const mt_rnn_pieces *pieces, Move move) {
    int64_t most = 0;
    for (int i = 0; i < pieces->pieces; i++) most = pieces->piece[i].count > most ? pieces->piece[i].count : most;
    return launch(c, name, pieces_kernel<Move>, grid(ceil_div(most, span), pieces->pieces), threads, 0, *pieces, move);
}

struct lengths_op {
    int32_t *lengths, steps;
    template <int N> __device__ void at(int64_t i) const {
#pragma unroll
        for (int k = 0; k < N; k++) lengths[i + k] = steps;
    }
};

} // namespace

mt_status mt_cuda_rnn_lengths(const mt_cuda *c, int64_t envs, int32_t steps, int32_t *lengths) {
    return each(c, "rnn, lengths of sequences", envs, false, lengths_op{lengths, steps});
}

mt_status mt_cuda_rnn_pack(const mt_cuda *c, const mt_rnn_pieces *pieces, float *space) {
    return each_piece(c, "rnn, packing of parameters", pieces, to_library{space});
}

mt_status mt_cuda_rnn_unpack(const mt_cuda *c, const mt_rnn_pieces *pieces, const float *space, int accumulate) {
    return each_piece(c, "rnn, unpacking of gradients", pieces, to_pytorch{space, accumulate});
}
