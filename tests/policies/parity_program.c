// The manta side of parity_torch.py, parity_sb3.py and onnx_runtime.py:
//   check FILE       does a case's outputs and gradients match those in its file? On every instruction set there is.
//   answer FILE OUT  weights of manta's own drawing for a case, and its outputs and gradients with them; answer-sb3 writes the
//                    weights under every name that Stable-Baselines3 has for them
//   onnx FILE OUT    the policy as an ONNX model; onnx-full: with a normaliser, bounds and masks
#include "parity.h"

#include "engine/base/file.h"
#include "engine/base/rng.h"
#include "policies/onnx.h"
#include "policies/state_dict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(void) { return fprintf(stderr, "%s\n", mt_last_error()), 1; }

static int check(const char *path) {
    static const char *const names[MT_ISA_COUNT] = {"plain", "avx2", "avx512"};
    int bad = 0;
    for (int isa = 0; isa < MT_ISA_COUNT; isa++) {
        const mt_kernels *k = mt_kernels_cpu((mt_isa)isa);
        parity p;
        parity_error e;
        if (!k) continue;
        mt_status status = parity_open(path, k, &p);
        if (status == MT_OK) parity_run(&p), status = parity_compare(&p, &e);
        if (status != MT_OK) bad = fail();
        else
            printf("%s: outputs differ by %.1e (%s), gradients by %.1e (%s)\n", names[isa], e.output, e.output_name, e.gradient,
                e.gradient_name);
        bad |= status == MT_OK && (e.output > 1e-5 || e.gradient > 1e-4);
        parity_close(&p);
    }
    return bad;
}

// ---- a file of manta's own

typedef struct listing {
    mt_named_tensor *items;
    size_t count;
    const char *prefix;
    mt_status (*visit)(const mt_policy *, float *, mt_tensor_visit, void *);   // of the weights
} listing;

enum { LISTING_MAX = 1024 };

static mt_status list_one(void *context, const char *name, const mt_tensor *t) {
    listing *l = context;
    char *full = NULL;
    if (l->count == LISTING_MAX || asprintf(&full, "%s%s", l->prefix, name) < 0) return MT_FAIL(NO_MEMORY, "too many tensors");
    l->items[l->count++] = (mt_named_tensor){full, *t};
    return MT_OK;
}

static mt_status list(listing *l, const char *name, const float *data, int64_t rows, int64_t columns) {
    mt_tensor t = {.data = (float *)data, .dtype = MT_F32, .ndim = columns ? 2 : 1, .shape = {rows, columns}};
    return list_one(l, name, &t);
}

static mt_status save(parity *p, listing *l, const char *path) {
    MT_TRY(l->visit(p->policy, p->weights.param, list_one, l));
    l->prefix = "grad.";
    MT_TRY(mt_policy_visit(p->policy, p->grad, list_one, l));
    l->prefix = "";
    MT_TRY(list(l, "out.head", p->out.head, p->rows, p->policy->head));
    MT_TRY(list(l, "out.value", p->out.value, p->rows, 0));
    if (p->policy->desc.distribution == MT_DIST_GSDE)
        MT_TRY(list(l, "out.log_std", p->out.log_std, p->rows, p->policy->desc.action));
    if (p->policy->recurrent) MT_TRY(list(l, "out.state", p->state_out, p->sequences.envs, p->policy->sizes.state));
    return mt_safetensors_save(path, l->items, l->count, NULL, 0);
}

static mt_status answer(parity *p, listing *l, const char *path) {
    mt_rng rng = mt_rng_at(5, mt_rng_stream(MT_RNG_USER, 1), 0);
    MT_TRY(mt_weights_init(&p->weights, p->policy, p->k, 3));
    // away from biases of zero and from the small policy head
    for (int64_t i = 0; i < p->policy->sizes.params; i++) p->weights.param[i] += (float)(0.05 * mt_rng_normal(&rng));
    mt_weights_pack(&p->weights, p->policy, p->k, MT_POLICY_BOTH);
    parity_run(p);
    return save(p, l, path);
}

static int write_answer(const char *path, const char *out, int sb3) {
    static mt_named_tensor items[LISTING_MAX];
    listing l = {.items = items, .prefix = "", .visit = sb3 ? mt_state_dict_visit : mt_policy_visit};
    const mt_kernels *k;
    parity p = {0};
    mt_status status = mt_kernels_choose(&k);
    if (status == MT_OK) status = parity_open(path, k, &p);
    if (status == MT_OK) status = answer(&p, &l, out);
    for (size_t i = 0; i < l.count; i++) free((char *)items[i].name);
    parity_close(&p);
    return status == MT_OK ? 0 : fail();
}

// ---- a model

// a normaliser, bounds and masks, which the case itself does not have
static void decorate(mt_onnx_desc *d, float *mean, float *inv_std, float *low, float *high) {
    const mt_policy_desc *p = &d->policy->desc;
    int columns = p->input_count ? 0 : p->obs;   // of vectors
    for (int i = 0; i < p->input_count; i++) columns += p->inputs[i].kind == MT_INPUT_VECTOR ? p->inputs[i].width : 0;
    parity_draw("mean", 0.5, columns, mean), parity_draw("inv_std", 0.5, columns, inv_std);
    for (int i = 0; i < columns; i++) inv_std[i] += 1;
    for (int a = 0; a < p->action; a++) low[a] = -0.1f * (float)(a + 1), high[a] = 0.05f;
    d->obs_mean = mean, d->obs_inv_std = inv_std, d->clip_obs = 0.7f, d->low = low, d->high = high, d->has_mask = 1;
}

static mt_status encode_onnx(parity *p, const char *path, int full) {
    const mt_string_pair metadata = {"made by", "a test"};
    mt_onnx_desc d = {.policy = p->policy, .param = p->weights.param, .version = "0", .metadata = &metadata, .metadata_count = 1};
    size_t obs = (size_t)p->policy->desc.obs, actions = (size_t)p->policy->desc.action;
    float *room = malloc(sizeof *room * 2 * (obs + actions));
    void *bytes = NULL;
    size_t size = 0;
    if (!room) return MT_FAIL(NO_MEMORY, "no memory");
    if (full) decorate(&d, room, room + obs, room + 2 * obs, room + 2 * obs + actions);
    mt_status status = mt_onnx_encode(&d, &bytes, &size);
    if (status == MT_OK) status = mt_file_write_atomic(path, bytes, size, MT_FILE_PUBLIC);
    free(bytes);
    free(room);
    return status;
}

static int write_onnx(const char *path, const char *out, int full) {
    parity p;
    mt_status status = parity_open(path, mt_kernels_cpu(MT_ISA_plain_id), &p);
    if (status == MT_OK) status = encode_onnx(&p, out, full);
    parity_close(&p);
    return status == MT_OK ? 0 : fail();
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "check") == 0) return check(argv[2]);
    if (argc == 4 && strncmp(argv[1], "answer", 6) == 0) return write_answer(argv[2], argv[3], strcmp(argv[1], "answer-sb3") == 0);
    if (argc == 4 && strncmp(argv[1], "onnx", 4) == 0) return write_onnx(argv[2], argv[3], strcmp(argv[1], "onnx-full") == 0);
    return fprintf(stderr, "parity_program check FILE | answer[-sb3] FILE OUT | onnx[-full] FILE OUT\n"), 2;
}
