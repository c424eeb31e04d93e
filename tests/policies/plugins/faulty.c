// The ways to get a policy, a layer or a loss wrong: built once for each FAULT_... (CMakeLists.txt), each of which the checker has to
// name. Without a fault it keeps every promise.
#include "tests/policies/plugins.h"

#include <time.h>
#include <unistd.h>

// ---- the policy

static int make(const manta_policy_config *c, manta_policy **out, char *error) {
#ifdef FAULT_REFUSES
    return (void)c, (void)out, snprintf(error, MANTA_ERROR_BYTES, "the licence has expired"), 1;
#endif
    int code = policy_create(c, out, error);
#ifdef FAULT_HUGE
    (*out)->plan.row_floats = INT64_C(1) << 40;
#endif
#ifdef FAULT_NAMES
    (*out)->tensors[1].name = "pi0.weight";
#endif
    return code;
}

static int init(const manta_policy *p, uint64_t seed, float *const *param, char *error) {
#ifdef FAULT_RANDOM_INIT
    seed = (uint64_t)clock() ^ (uint64_t)(uintptr_t)p ^ (uint64_t)getpid() << 32;
#endif
    int code = policy_init(p, seed, param, error);
#ifdef FAULT_RANDOM_INIT
    static int calls;   // two calls within a tick of the clock
    param[0][0] += (float)++calls;
#endif
    return code;
}

static void forward(const manta_policy *p, const manta_pass *pass, const manta_policy_output *out) {
    policy_forward(p, pass, out);
#ifdef FAULT_HANG
    while (out->head) out->head[0] += 1;
#endif
#ifdef FAULT_CRASH
    if (out->head) *(volatile int *)8 = 1;
#endif
#ifdef FAULT_EXIT
    if (out->head) exit(3);
#endif
#ifdef FAULT_PRINTS
    if (out->head) printf("forward\n"), fflush(stdout);
#endif
#ifdef FAULT_OVERRUN
    if (out->value) out->value[pass->rows] = 1;
#endif
#ifdef FAULT_FAR_OVERRUN
    if (out->value) ((volatile float *)out->value)[pass->rows + 64] = 1;
#endif
#ifdef FAULT_UNDERRUN
    if (out->head) out->head[-1] = 1;
#endif
#ifdef FAULT_NAN
    if (out->head) out->head[p->head] = sqrtf(-1.0f - fabsf(out->head[0]));
#endif
#ifdef FAULT_CHANGES_PARAMETERS
    ((float *)(uintptr_t)pass->param[1])[0] += 1;
#endif
#ifdef FAULT_NEIGHBOURS
    for (int64_t i = 0; out->value && i < pass->rows; i++) out->value[i] += 0.01f * (float)i;
#endif
#ifdef FAULT_STATIC
    static float calls;
    if (out->value) out->value[0] += ++calls;
#endif
#ifdef FAULT_WANTS_ALL
    if (!out->head) for (int64_t i = 0; i < pass->rows; i++) out->value[i] = 0;
#endif
}

#ifdef FAULT_UNWRITTEN
static void without_last_row(const manta_policy *p, const manta_pass *pass, const manta_policy_output *out) {
    manta_policy_output mine = *out;
    float *value = calloc((size_t)pass->rows, sizeof *value);
    if (out->value) mine.value = value;
    policy_forward(p, pass, &mine);
    for (int64_t i = 0; out->value && i + 1 < pass->rows; i++) out->value[i] = value[i];
    free(value);
}
#define FORWARD without_last_row
#endif

#ifdef FAULT_THREADS
static float shared_rows[1 << 20];   // a workspace for all threads
static void with_shared_rows(const manta_policy *p, const manta_pass *pass, const manta_policy_output *out) {
    manta_pass mine = *pass;
    mine.row_space = shared_rows;
    policy_forward(p, &mine, out);
}
static void back_with_shared_rows(const manta_policy *p, const manta_pass *pass, const manta_policy_gradient *d, float *const *g) {
    manta_pass mine = *pass;
    mine.row_space = shared_rows;
    policy_backward(p, &mine, d, g);
}
#define FORWARD with_shared_rows
#endif

static void backward(const manta_policy *p, const manta_pass *pass, const manta_policy_gradient *d, float *const *g) {
#ifdef FAULT_GRADIENT
    float kept = g[3][1];   // one bias of the head
#endif
#ifdef FAULT_OVERWRITES
    memset(g[4], 0, sizeof(float) * (size_t)(UNITS * p->obs));
#endif
#ifdef FAULT_FACTOR
    float *twice = calloc((size_t)pass->rows, sizeof *twice);
    manta_policy_gradient mine = *d;
    for (int64_t i = 0; i < pass->rows; i++) twice[i] = 1.1f * d->value[i];
    mine.value = twice, d = &mine;
#endif
    policy_backward(p, pass, d, g);
#ifdef FAULT_GRADIENT
    g[3][1] = kept;
#endif
#ifdef FAULT_FACTOR
    free(twice);
#endif
}
#ifdef FAULT_THREADS
#define BACKWARD back_with_shared_rows
#endif

// ---- the layer

static int shape(manta_layer_plan *p, char *error) {
    int code = memory_plan(p, error);
#ifdef FAULT_SHAPE
    p->out_channels = 0;
#endif
#ifdef FAULT_NUMBERS
    p->in_channels = 17;
#endif
    return code;
}
static void layer_forward(const manta_layer_plan *p, const manta_pass *pass, float *y) {
#ifdef FAULT_START
    manta_pass mine = *pass;
    mine.start = NULL, pass = &mine;
#endif
    memory_forward(p, pass, y);
#ifdef FAULT_STATE
    if (pass->state_out) memset(pass->state_out, 0, sizeof *y * (size_t)(pass->envs * pass->state_stride));
#endif
}
static void layer_backward(const manta_layer_plan *p, const manta_pass *pass, const float *y, const float *dy, float *dx, float *const *grad) {
    memory_backward(p, pass, y, dy, dx, grad);
#ifdef FAULT_DX
    for (int64_t i = 0; dx && i < pass->rows * p->in_channels; i++) dx[i] = dy[i];
#endif
}

// ---- the loss

static void loss_gradient(const manta_loss *l, const manta_loss_batch *b) {
    ppo_gradient(l, b);
#ifdef FAULT_SIGN
    for (int64_t i = 0; i < b->rows * b->action->head; i++) b->d_head[i] = -b->d_head[i];
#endif
#ifdef FAULT_INV_ROWS
    for (int64_t i = 0; i < b->rows; i++) b->d_value[i] /= b->inv_rows * (float)b->rows;
#endif
#ifdef FAULT_SUMS
    b->sums[MANTA_LOSS_CLIPPED] = NAN;
#endif
#ifdef FAULT_LOG_STD
    for (uint32_t i = 0; b->d_log_std && i < b->action->components * (b->log_std_rows ? (uint32_t)b->rows : 1); i++) b->d_log_std[i] = 0;
#endif
#ifdef FAULT_MEAN
    b->sums[MANTA_LOSS_TOTAL] /= (double)b->rows;
#endif
#ifdef FAULT_CLIPPED_MEAN
    b->sums[MANTA_LOSS_CLIPPED] /= (double)b->rows;
#endif
    // too little for finite differences to see, and nothing in the last row
#ifdef FAULT_HEAD_ROWS
    for (int64_t i = 0; i < b->rows; i++) b->d_head[i * b->action->head] += 1e-6f * (float)(b->rows - 1 - i);
#endif
#ifdef FAULT_LOG_STD_ROWS
    for (int64_t i = 0; b->log_std_rows && i < b->rows; i++) b->d_log_std[i * b->action->components] += 1e-6f * (float)(b->rows - 1 - i);
#endif
#ifdef FAULT_LOG_STD_MEAN
    for (uint32_t i = 0; b->d_log_std && !b->log_std_rows && i < b->action->components; i++) b->d_log_std[i] /= (float)b->rows;
#endif
#if defined FAULT_LOSS_STATIC_HEAD || defined FAULT_LOSS_STATIC_VALUE || defined FAULT_LOSS_STATIC_LOG_STD || defined FAULT_LOSS_STATIC_SUMS
    static int calls;
    calls++;
#endif
#ifdef FAULT_LOSS_STATIC_HEAD
    b->d_head[0] += 1e-6f * (float)calls;
#endif
#ifdef FAULT_LOSS_STATIC_VALUE
    b->d_value[0] += 1e-6f * (float)calls;
#endif
#ifdef FAULT_LOSS_STATIC_LOG_STD
    if (b->d_log_std) b->d_log_std[0] += 1e-6f * (float)calls;
#endif
#ifdef FAULT_LOSS_STATIC_SUMS
    b->sums[MANTA_LOSS_ENTROPY] += 1e-6 * calls;
#endif
}

// ---- the tables

#ifndef FORWARD
#define FORWARD forward
#endif
#ifndef BACKWARD
#define BACKWARD backward
#endif

static const manta_policy_desc policy = {
#ifdef FAULT_STRUCT_SIZE
    .struct_size = 16,
#else
    .struct_size = sizeof(manta_policy_desc),
#endif
    .abi_version = MANTA_POLICY_ABI_VERSION, .name = "faulty", .summary = "MlpPolicy", .create = make, .destroy = policy_destroy, .plan = policy_plan,
    .init = init, .forward = FORWARD,
#ifndef FAULT_NO_BACKWARD
    .backward = BACKWARD,
#endif
};
#ifdef FAULT_OWN_NAME
#define LAYER_NAME "dense"
#else
#define LAYER_NAME "faulty"
#endif
static const manta_layer_desc layer = {.struct_size = sizeof(manta_layer_desc), .abi_version = MANTA_POLICY_ABI_VERSION, .name = LAYER_NAME,
    .summary = "it remembers", .plan = shape, .init = memory_init, .forward = layer_forward, .backward = layer_backward};
static const manta_loss_desc loss = {.struct_size = sizeof(manta_loss_desc), .abi_version = MANTA_POLICY_ABI_VERSION, .name = "faulty",
    .summary = "PPO's", .create = ppo_create, .destroy = ppo_destroy, .gradient = loss_gradient};
static const manta_policy_desc *const policies[] = {&policy};
static const manta_layer_desc *const layers[] = {&layer};
static const manta_loss_desc *const losses[] = {&loss};
static const manta_policy_plugin plugin = {.struct_size = sizeof(manta_policy_plugin),
#ifdef FAULT_ABI
    .abi_version = 7,
#else
    .abi_version = MANTA_POLICY_ABI_VERSION,
#endif
    .name = "faulty", .version = "1", .policy_count = 1, .policies = policies, .layer_count = 1, .layers = layers, .loss_count = 1, .losses = losses};

#ifdef FAULT_NO_SYMBOL
MANTA_EXPORT const manta_policy_plugin *manta_policy_entrance(uint32_t host_abi_version);
const manta_policy_plugin *manta_policy_entrance(uint32_t host_abi_version) { return (void)host_abi_version, (void)backward, (void)forward, &plugin; }
#else
const manta_policy_plugin *manta_policy_entry(uint32_t host_abi_version) {
    (void)host_abi_version, (void)backward, (void)forward;
#ifdef FAULT_ENTRY_NULL
    return NULL;
#endif
    return &plugin;
}
#endif
