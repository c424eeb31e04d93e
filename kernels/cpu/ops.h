// Every operation of the cpu back end, listed once: this list declares the functions and fills the table.
#ifndef MANTA_KERNELS_CPU_OPS_H
#define MANTA_KERNELS_CPU_OPS_H

#include "kernels/cpu/isa.h"
#include "kernels/kernels.h"

#define MT_CPU_OP_LIST(X)                                                                                              \
    X(dense_pack) X(dense_forward) X(dense_backward)                                                                   \
    X(activate) X(activate_backward)                                                                                   \
    X(conv2d_pack) X(conv2d_scratch) X(conv2d_forward) X(conv2d_backward)                                              \
    X(max_pool2d_forward) X(max_pool2d_backward) X(turn)                                                               \
    X(rnn_scratch) X(rnn_forward) X(rnn_backward)                                                                      \
    X(embedding_forward) X(embedding_backward) X(copy_columns)                                                         \
    X(layer_norm_forward) X(layer_norm_backward)                                                                       \
    X(categorical_sample) X(categorical_mode) X(categorical_log_prob)                                                  \
    X(gaussian_sample) X(gaussian_log_prob)                                                                            \
    X(gsde_log_std) X(gsde_log_std_backward) X(gsde_noise) X(gsde_matrix)                                              \
    X(ppo_loss_categorical) X(ppo_loss_gaussian) X(ppo_loss_value) X(add_loss_sums)                                    \
    X(gae) X(vtrace) X(adam) X(adam_clipped)                                                                           \
    X(sum) X(sum_squares) X(mean_var) X(count_nonfinite) X(axpy)                                                       \
    X(gather_rows) X(sequence_rows) X(zero)                                                                            \
    X(running_update) X(normalise)                                                                                     \
    X(philox_streams) X(philox_counters) X(philox_words) X(normals)                                                    \
    X(classic_step) X(append_row)

// each function has exactly the type of its slot in mt_kernels
#define MT_X(op) extern __typeof__(*((mt_kernels *)0)->op) MT_ISA_NAME(mt_##op);
MT_CPU_OP_LIST(MT_X)
#undef MT_X

#endif
