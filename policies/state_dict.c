// Names of Stable-Baselines3: see state_dict.h. Pure functions of their arguments.
#include "policies/state_dict.h"

#include <stdio.h>
#include <string.h>

static const char extractor[] = "features_extractor.";

enum { ALIASES_MAX = 2 };

// what else a tensor is called: 0 to 2 names
static int aliases_of(const char *name, char out[ALIASES_MAX][MT_TENSOR_NAME_BYTES]) {
    int pi = strncmp(name, "pi_", 3) == 0;
    if (strncmp(pi ? name + 3 : name, extractor, sizeof extractor - 1) != 0) return 0;
    snprintf(out[0], MT_TENSOR_NAME_BYTES, "%s%s", pi ? "" : "pi_", pi ? name + 3 : name);
    if (pi) return 1;
    snprintf(out[1], MT_TENSOR_NAME_BYTES, "vf_%s", name);
    return 2;
}

typedef struct alias_visit {
    mt_tensor_visit visit;
    void *ctx;
} alias_visit;

static mt_status visit_all(void *context, const char *name, const mt_tensor *tensor) {
    const alias_visit *v = context;
    char alias[ALIASES_MAX][MT_TENSOR_NAME_BYTES];
    int count = aliases_of(name, alias);
    MT_TRY(v->visit(v->ctx, name, tensor));
    for (int a = 0; a < count; a++) MT_TRY(v->visit(v->ctx, alias[a], tensor));
    return MT_OK;
}

mt_status mt_state_dict_visit(const mt_policy *policy, float *param, mt_tensor_visit visit, void *ctx) {
    return mt_policy_visit(policy, param, visit_all, &(alias_visit){visit, ctx});
}

mt_status mt_state_dict_read(const mt_safetensors *file, const char *name, const mt_tensor *into) {
    char alias[ALIASES_MAX][MT_TENSOR_NAME_BYTES];
    int count = mt_safetensors_find(file, name) ? 0 : aliases_of(name, alias);
    for (int a = 0; a < count; a++)
        if (mt_safetensors_find(file, alias[a])) return mt_safetensors_read(file, alias[a], into);
    return mt_safetensors_read(file, name, into);
}
