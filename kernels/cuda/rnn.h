// What the files of the recurrent layers share: one step of the cells, and the way by the vendor's library. Letters in kernels.h;
// G·H = units × gates. All arrays are device memory.
#ifndef MANTA_KERNELS_CUDA_RNN_H
#define MANTA_KERNELS_CUDA_RNN_H

#include "kernels/cuda/dnn.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- one step of all N sequences (rnn_cell.cu)

typedef struct mt_rnn_step {
    mt_rnn_cell cell;
    int64_t envs;
    int units;
    const float *gates_x;          // (N, G·H): W_x x + b_x
    const float *gates_h;          // (N, G·H): W_h h + b_h of the h before, whatever `start` says
    const float *bias_h;           // (G·H): what is left of them where an episode starts
    const uint8_t *start;          // (N). Nullable
    const float *before;           // lstm: c, gru: h before the step, rows before_stride floats apart
    int64_t before_stride;
    float *y;                      // (N, H)
    float *kept;                   // (N, mt_rnn_kept)
    float *state_out;              // (N, S), rows state_stride apart; may be where `before` is. Nullable
    int64_t state_stride;
} mt_rnn_step;
mt_status mt_cuda_rnn_step(const mt_cuda *c, const mt_rnn_step *a);

typedef struct mt_rnn_step_back {
    mt_rnn_cell cell;
    int64_t envs;
    int units;
    const uint8_t *start;          // (N) of this step. Nullable
    const uint8_t *start_after;    // (N) of the next, which cuts what comes back. Nullable
    int last;                      // nothing comes back: dh and dc are not read
    const float *kept, *before;    // as forward
    int64_t before_stride;
    const float *dy;               // (N, H)
    float *dh;                     // (N, H): what came back; gru writes what goes back without a product
    float *dc;                     // (N, H): the same of c; lstm
    float *dz_x, *dz_h;            // (N, G·H): of gates_x and gates_h; one array for lstm, where they are the same
} mt_rnn_step_back;
mt_status mt_cuda_rnn_step_back(const mt_cuda *c, const mt_rnn_step_back *a);

// h before each step, 0 where an episode starts: before (T, N, H) from y (T, N, H) and the first state
mt_status mt_cuda_rnn_before(const mt_cuda *c, const mt_rnn *a, float *before);

// ---- the vendor's library (rnn_dnn.c): sequences without a start in them
mt_status mt_cuda_rnn_dnn_forward(mt_cuda_dnn *dnn, const mt_rnn *a, void *space);
mt_status mt_cuda_rnn_dnn_backward(mt_cuda_dnn *dnn, const mt_rnn_backward *a, void *space);

// Parameters between PyTorch's arrays and the library's one: piece i of `count` floats stands at `at` of it. (rnn_pack.cu)
enum { MT_RNN_PIECES = 16 };
typedef struct mt_rnn_pieces {
    int pieces;
    struct {
        float *array;              // PyTorch's
        int64_t at, count;
    } piece[MT_RNN_PIECES];
} mt_rnn_pieces;
mt_status mt_cuda_rnn_pack(const mt_cuda *c, const mt_rnn_pieces *pieces, float *space);
mt_status mt_cuda_rnn_unpack(const mt_cuda *c, const mt_rnn_pieces *pieces, const float *space, int accumulate);

mt_status mt_cuda_rnn_lengths(const mt_cuda *c, int64_t envs, int32_t steps, int32_t *lengths);   // all `steps`

#ifdef __cplusplus
}
#endif
#endif
