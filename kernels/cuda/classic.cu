// A step of N environments of classic control: records carried on, what comes next, rewards and ends; an episode that ends begins
// anew in the same step. The arithmetic is that of the CPU's environments (kernels/classic, the same source), IEEE operations in
// double without fused ones, and a new episode's words are those of (seed, episode): trajectories have the CPU's bits, on every GPU.
// Shapes: records (N, 48 or 64 bytes), the rest (N) and (N, O). One thread an environment, no order among them. Bytes moved: a record
// and O floats read and written, O more where an episode ends, 4 + 4 + 4.
#include "kernels/classic/row.h"
#include "engine/base/rng.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/philox.cuh"

namespace {
using namespace mt;

constexpr int threads = 64; // few environments are spread over many multiprocessors: a step is long and moves little

template <mt_classic_kind Kind>
__global__ void __launch_bounds__(threads) step_kernel(mt_classic_step s, uint64_t stream) {
    int64_t i = (int64_t)blockIdx.x * threads + threadIdx.x;
    if (i >= s.envs || !classic_row_step(Kind, &s, i)) return;
    const mt_classic_record *record = classic_record_at(Kind, &s, i);
    auto words = philox_block(record->seed, stream, record->episode);
    classic_row_anew(Kind, &s, i, words.at);
}

} // namespace

mt_status mt_cuda_classic_step(const mt_cuda *c, const mt_classic_step *s) {
    if (s->envs < 1) return MT_OK;
    uint64_t stream = mt_rng_stream(MT_RNG_ENV, 0);
    switch (s->of.kind) {
#define MT_X(id, name, states_, obs_, number_)                                                                           \
    case MT_CLASSIC_##id:                                                                                              \
        return launch(c, "classic_step, " #name, step_kernel<MT_CLASSIC_##id>, grid(ceil_div(s->envs, threads)),      \
            threads, 0, *s, stream);
        MT_CLASSIC_LIST(MT_X)
#undef MT_X
    }
    return MT_FAIL(INVALID_ARGUMENT, "no environments of kind %d", (int)s->of.kind);
}
