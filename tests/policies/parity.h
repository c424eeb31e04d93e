// A case: a policy's description, its weights, what it was given and what PyTorch made of it, in one safetensors file. The
// generator is parity.py; test_parity.c checks the files in data/, parity_program.c those that a test has just written.
//
//     metadata   "policy": mt_policy_desc as JSON, its defaults left out
//     NAME       a parameter under the name that the policy gives it. In a large net's file there are none: both sides draw them
//                (parity_draw)
//     in.obs (rows, O)   in.d_head (rows, head)   in.d_value (rows)   in.d_log_std (A), or (rows, A) with gSDE
//     in.start (T, N) U8, in.state (N, S): of a recurrent policy
//     out.head   out.value   out.log_std (gSDE)   out.state
//     grad.NAME  of Σ head·d_head + value·d_value + log_std·d_log_std; or, of a large net, dot.NAME: its norm and its products with
//                four drawn tensors (names NAME#1 to NAME#4, scale 1)
#ifndef MANTA_TESTS_POLICIES_PARITY_H
#define MANTA_TESTS_POLICIES_PARITY_H

#include "policies/policy.h"
#include "policies/safetensors.h"

enum { PARITY_LAYERS_BYTES = 2048 };

typedef struct parity {
    mt_safetensors file;
    mt_policy *policy;
    const mt_kernels *k;
    mt_arena arena;
    mt_weights weights;
    mt_policy_space space;
    int64_t rows;
    mt_sequences sequences;
    int log_std_rows;                       // rows of d_log_std: gSDE's, or 1
    float *obs, *state, *state_out, *d_head, *d_value, *d_log_std, *grad;
    uint8_t *start;
    mt_policy_output out;
} parity;

// Reads the file and, unless it has none, its weights. Free with parity_close, also after a failure.
mt_status parity_open(const char *path, const mt_kernels *k, parity *p);
void parity_close(parity *p);

// Forward and backward; p->out and p->grad are set.
void parity_run(parity *p);

// The largest difference to what the file says: of an output (absolute), of a gradient (relative to its tensor's norm or largest
// entry), with the tensor's name. MT_CONFIG where a tensor is missing.
typedef struct parity_error {
    double output, gradient;
    char output_name[MT_TENSOR_NAME_BYTES], gradient_name[MT_TENSOR_NAME_BYTES];
} parity_error;
mt_status parity_compare(parity *p, parity_error *error);

// Uniform in ±scale, a function of name and index alone.
void parity_draw(const char *name, double scale, int64_t count, float *out);

#endif
