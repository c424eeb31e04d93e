// Codec: see codec.h. Pure functions of their arguments.
#include "rollout/codec.h"

#include <string.h>

mt_status mt_codec_init(mt_codec *codec, const mt_env *env) {
    const mt_space *o = mt_env_observation_space(env), *a = mt_env_action_space(env);
    if (o->parts) return MT_FAIL(UNSUPPORTED, "%s: an observation of %d parts; MlpPolicy takes one", mt_env_id(env), o->part_count);
    int64_t floats = o->kind == MANTA_SPACE_BOX ? o->count : o->logits;
    if (floats > MT_LAYER_MAX_SIZE)
        return MT_FAIL(UNSUPPORTED, "%s: an observation of %lld floats; at most %d are supported", mt_env_id(env),
            (long long)floats, MT_LAYER_MAX_SIZE);
    if (a->kind == MANTA_SPACE_BOX && a->dtype != MANTA_F32)
        return MT_FAIL(UNSUPPORTED, "%s: a box action must be MANTA_F32; use a discrete kind for integers", mt_env_id(env));
    if (a->count > MT_POLICY_MAX_COMPONENTS || a->logits > MT_LAYER_MAX_UNITS)
        return MT_FAIL(UNSUPPORTED, "%s: an action of %lld components; at most %d are supported", mt_env_id(env),
            (long long)a->count, MT_POLICY_MAX_COMPONENTS);
    *codec = (mt_codec){.observation = o, .action = a, .obs = (int)floats, .action_count = (int)a->count,
        .logits = (int)a->logits, .obs_is_plain = o->kind == MANTA_SPACE_BOX && o->dtype == MANTA_F32};
    return MT_OK;
}

static void one_hot(const mt_space *o, int64_t rows, const int32_t *raw, float *out) {
    memset(out, 0, sizeof *out * (size_t)(rows * o->logits));
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < o->count; c++) {
            out[raw[r * o->count + c]] = 1;   // in range: mt_env checks what it passes on
            out += o->nvec[c];
        }
}

void mt_codec_encode(const mt_codec *codec, int64_t rows, const void *raw, float *out) {
    const mt_space *o = codec->observation;
    int64_t count = rows * o->count;
    if (o->kind != MANTA_SPACE_BOX) one_hot(o, rows, raw, out);
    else if (o->dtype == MANTA_F32) memcpy(out, raw, sizeof *out * (size_t)count);
    else if (o->dtype == MANTA_U8)
        for (int64_t i = 0; i < count; i++) out[i] = ((const uint8_t *)raw)[i];
    else
        for (int64_t i = 0; i < count; i++) out[i] = (float)((const int32_t *)raw)[i];
}

void mt_codec_clip(const mt_codec *codec, int64_t rows, const float *action, float *out) {
    const float *low = codec->action->low, *high = codec->action->high;
    for (int64_t r = 0; r < rows; r++)
        for (int a = 0; a < codec->action_count; a++) {
            float x = action[r * codec->action_count + a];
            x = x < low[a] ? low[a] : x;
            out[r * codec->action_count + a] = x > high[a] ? high[a] : x;
        }
}

mt_status mt_codec_describe(const mt_codec *codec, int use_sde, mt_policy_desc *desc) {
    desc->obs = codec->obs;
    desc->action = codec->action_count;
    if (codec->logits) {
        if (use_sde) return MT_FAIL(CONFIG, "use_sde needs a box action space; this environment's is discrete: leave it out");
        desc->distribution = MT_DIST_CATEGORICAL;
        for (int a = 0; a < desc->action; a++) desc->nvec[a] = (int32_t)codec->action->nvec[a];
    } else {
        desc->distribution = use_sde ? MT_DIST_GSDE : MT_DIST_GAUSSIAN;
    }
    return MT_OK;
}
