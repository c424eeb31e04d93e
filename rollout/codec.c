// Codec: see codec.h. Pure functions of their arguments.
#include "rollout/codec.h"

#include <string.h>

#include "rollout/pixels.h"

// ---------------------------------------------------------------- what the parts are

static int is_image(const mt_space *part) { return part->kind == MANTA_SPACE_BOX && part->ndim == 3; }

// SB3's is_image_space_channels_first: of equal dimensions the first counts as the smallest
static int is_channels_first(const mt_space *part) {
    return is_image(part) && part->shape[0] <= part->shape[1] && part->shape[0] <= part->shape[2];
}

// Bytes that mean brightness and not numbers of something: SB3's is_image_space looks at the bounds, too. The first value's speak
// for all: nobody bounds pixels one by one.
static int is_brightness(const mt_space *part) {
    return is_image(part) && part->dtype == MANTA_U8 && part->low[0] <= 0 && part->high[0] >= 255;
}

static mt_input input_of(const mt_space *part, int offset, int by_index) {
    int index = by_index && part->kind == MANTA_SPACE_DISCRETE;
    mt_input in = {.kind = index ? MT_INPUT_INDEX : MT_INPUT_VECTOR, .offset = offset, .entries = index ? (int)part->nvec[0] : 0};
    in.width = (int)(index ? 1 : part->kind == MANTA_SPACE_BOX ? part->count : part->logits);
    _Static_assert(sizeof in.name == sizeof part->name, "a part's name fits an input's");
    memcpy(in.name, part->name, sizeof in.name);
    if (!is_image(part)) return in;
    int first = is_channels_first(part);
    in.kind = MT_INPUT_IMAGE;
    in.height = (int)part->shape[first ? 1 : 0];
    in.width_px = (int)part->shape[first ? 2 : 1];
    in.channels = (int)part->shape[first ? 0 : 2];
    return in;
}

// encoding is a copy
static int is_plain(const mt_space *part) {
    return part->kind == MANTA_SPACE_BOX && part->dtype == MANTA_F32 && (!is_channels_first(part) || part->shape[0] == 1);
}

static mt_status list_inputs(mt_codec *codec, const char *id, int by_index) {
    const mt_space *o = codec->observation;
    int64_t floats = 0;
    if (mt_space_parts(o) > MT_MAX_INPUTS)
        return MT_FAIL(UNSUPPORTED, "%s: an observation of %d parts; policies take at most %d: put vectors together", id,
            mt_space_parts(o), MT_MAX_INPUTS);
    codec->obs_is_plain = 1;
    for (int p = 0; p < mt_space_parts(o); p++) {
        const mt_space *part = mt_space_part(o, p);
        int index = by_index && part->kind == MANTA_SPACE_DISCRETE;
        int64_t width = index ? 1 : part->kind == MANTA_SPACE_BOX ? part->count : part->logits;
        if (index && part->nvec[0] > MT_LAYER_MAX_SIZE)
            return MT_FAIL(UNSUPPORTED, "%s: a discrete observation of %lld values; a table of at most %d can be learned", id,
                (long long)part->nvec[0], MT_LAYER_MAX_SIZE);
        if (width > MT_LAYER_MAX_SIZE - floats)
            return MT_FAIL(UNSUPPORTED, "%s: an observation of %lld floats; at most %d are supported", id, (long long)(floats + width),
                MT_LAYER_MAX_SIZE);
        mt_input *in = &codec->inputs[codec->input_count++];
        *in = input_of(part, (int)floats, by_index);
        codec->obs_is_plain &= is_plain(part);   // floats have no padding between them
        floats += in->width;
    }
    codec->obs = (int)floats;
    return MT_OK;
}

mt_status mt_codec_init(mt_codec *codec, const mt_env *env, int by_index) {
    const mt_space *a = mt_env_action_space(env);
    *codec = (mt_codec){.observation = mt_env_observation_space(env), .action = a};
    MT_TRY(list_inputs(codec, mt_env_id(env), by_index));
    if (a->count > MT_POLICY_MAX_COMPONENTS || a->logits > MT_LAYER_MAX_UNITS)
        return MT_FAIL(UNSUPPORTED, "%s: an action of %lld components; at most %d are supported", mt_env_id(env),
            (long long)a->count, MT_POLICY_MAX_COMPONENTS);
    codec->action_count = (int)a->count;
    codec->logits = (int)a->logits;
    return MT_OK;
}

// ---------------------------------------------------------------- encoding

static void one_hot(const mt_space *part, const int32_t *raw, float *out) {
    memset(out, 0, sizeof *out * (size_t)part->logits);
    for (int64_t c = 0; c < part->count; c++) {
        out[raw[c]] = 1;   // in range: mt_env checks what it passes on
        out += part->nvec[c];
    }
}

static void encode_integers(int64_t count, const int32_t *raw, float *out) {
    for (int64_t i = 0; i < count; i++) out[i] = (float)raw[i];
}

// `count` values of a box, in order
static void encode_values(const mt_space *part, int64_t count, const void *raw, float *out) {
    if (part->dtype == MANTA_F32) memcpy(out, raw, sizeof *out * (size_t)count);
    else if (part->dtype == MANTA_I32) encode_integers(count, raw, out);
    else (is_brightness(part) ? mt_pixels_unit : mt_pixels_plain)(count, raw, out);
}

// Planes, one under the other, into pixels, side by side: four planes at a time, through a block that stays in the cache.
static void encode_planes(const mt_space *part, const char *raw, float *out) {
    enum { LANES = 4, PIXELS = 128 };
    int channels = (int)part->shape[0];
    int64_t pixels = part->shape[1] * part->shape[2], size = (int64_t)mt_space_dtype_bytes(part->dtype);
    float block[LANES][PIXELS];
    for (int64_t first = 0; first < pixels; first += PIXELS)
        for (int c = 0; c < channels; c += LANES) {
            int64_t n = pixels - first < PIXELS ? pixels - first : PIXELS;
            int lanes = channels - c < LANES ? channels - c : LANES;
            for (int l = 0; l < lanes; l++) encode_values(part, n, raw + ((c + l) * pixels + first) * size, block[l]);
            mt_pixels_interleave(lanes, n, block[0], PIXELS, out + first * channels + c, channels);
        }
}

static void encode_part(const mt_space *part, const mt_input *in, const char *raw, float *out) {
    if (in->kind == MT_INPUT_INDEX) encode_integers(1, (const int32_t *)(const void *)raw, out);
    else if (part->kind != MANTA_SPACE_BOX) one_hot(part, (const int32_t *)raw, out);
    else if (is_channels_first(part) && part->shape[0] > 1) encode_planes(part, raw, out);
    else encode_values(part, part->count, raw, out);
}

void mt_codec_encode(const mt_codec *codec, int64_t rows, const void *raw, float *out) {
    const mt_space *o = codec->observation;
    if (codec->obs_is_plain) {
        memcpy(out, raw, o->bytes * (size_t)rows);
        return;
    }
    for (int p = 0; p < codec->input_count; p++) {
        const mt_space *part = mt_space_part(o, p);
        for (int64_t r = 0; r < rows; r++)
            encode_part(part, &codec->inputs[p], (const char *)raw + o->bytes * (size_t)r + part->offset, out + r * codec->obs + codec->inputs[p].offset);
    }
}

// ---------------------------------------------------------------- actions and the policy

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
    desc->input_count = codec->input_count;
    memcpy(desc->inputs, codec->inputs, sizeof codec->inputs);
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
