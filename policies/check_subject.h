// Inside the checker's child process: what is looked at, a policy or a layer with everything that it was asked for, and one set of
// arrays for it, each between guard pages (engine/base/guard.h).
#ifndef MANTA_POLICIES_CHECK_SUBJECT_H
#define MANTA_POLICIES_CHECK_SUBJECT_H

#include "engine/base/check.h"
#include "policies/manta_policy.h"

enum { CHECK_OUTPUTS = 3, CHECK_CASES = 4 };

// What is asked for: one of several actions or shapes of input that every subject is tried with.
typedef struct mt_check_case {
    const char *name;   // "3 actions", "an image"
    manta_action_space action;
    int64_t obs;
    uint32_t input_count;
    const manta_policy_input *inputs;
    int64_t height, width, channels;   // of what a layer reads
} mt_check_case;
extern const mt_check_case mt_check_policy_cases[CHECK_CASES], mt_check_layer_cases[CHECK_CASES - 1];

typedef struct mt_check_subject {
    mt_check_session *session;
    const mt_check_case *asked;
    const manta_policy_desc *policy;   // one of the two
    const manta_layer_desc *layer;
    manta_policy *instance;   // owned: the policy's
    manta_layer_plan layer_plan;
    // from the plan
    const manta_parameter *parameters;   // (parameter_count)
    uint32_t parameter_count;
    int64_t in, row_floats, scratch_floats, state_floats;
    int outputs;
    struct {
        const char *name;
        int64_t width;   // floats of a row
    } output[CHECK_OUTPUTS];
} mt_check_subject;

// 0; 1 after saying why it cannot be; 2: it refuses this case, and *why (MANTA_ERROR_BYTES) says why.
int mt_check_subject_open(mt_check_subject *subject, char *why);
void mt_check_subject_close(mt_check_subject *subject);

// ---- arrays

typedef struct mt_check_arrays {
    mt_check_subject *subject;   // borrowed
    int64_t rows, steps, envs;
    mt_guard x, row_space, scratch, start, state, state_out, dx;
    mt_guard out[CHECK_OUTPUTS], d_out[CHECK_OUTPUTS];
    mt_guard *param, *grad;   // owned (parameter_count)
    const float **param_at;   // owned (parameter_count)
    float **grad_at;
    manta_pass pass;
} mt_check_arrays;

// 0, or 1 after saying why. Inputs, initial parameters (off their symmetric places), states and output gradients come from the
// seed, numbered by sequence, so that fewer sequences have the same. steps 1 where there is no state.
int mt_check_arrays_open(mt_check_arrays *arrays, mt_check_subject *subject, int64_t steps, int64_t envs);
void mt_check_arrays_close(mt_check_arrays *arrays);

// One call with the guards looked at afterwards: 0, or 1 after saying what is wrong. wanted: bits of outputs.
int mt_check_forward(mt_check_arrays *arrays, int wanted);
int mt_check_backward(mt_check_arrays *arrays, int with_dx);   // adds to the gradients: mt_check_zero first where that is not meant
void mt_check_zero(mt_check_arrays *arrays);

// Fills an array with a NaN that arithmetic does not make, and says whether one is left: the index, or -1.
void mt_check_poison(const mt_guard *array);
int64_t mt_check_poisoned(const mt_guard *array);

static inline float *mt_check_floats(const mt_guard *array) { return array->start; }
static inline int64_t mt_check_count(const mt_guard *array) { return (int64_t)(array->bytes / sizeof(float)); }
int64_t mt_check_nonfinite(const mt_guard *array);   // index of the first, or -1

// A number from a seed, in [-1, 1): the same for the same arguments.
float mt_check_number(uint64_t seed, uint64_t index);

#endif
