// Spaces as a network sees them: one-hot components, integers as floats, clipped actions, a policy's description.
#include "rollout/codec.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- an environment of the spaces that a test wants; it is made and not stepped

struct manta_env {
    int unused;
};
static manta_space observation, action;   // Criterion runs each test in its own process

static int toy_create(const manta_env_config *config, manta_env **out, char *error) {
    (void)config, (void)error;
    return *out = calloc(1, sizeof **out), *out == NULL;
}
static void toy_destroy(manta_env *env) { free(env); }
static const manta_space *toy_observation(const manta_env *env) { return (void)env, &observation; }
static const manta_space *toy_action(const manta_env *env) { return (void)env, &action; }
static int toy_reset(manta_env *env, const manta_env_batch *batch, const uint64_t *seeds, const uint8_t *mask, char *error) {
    return (void)env, (void)batch, (void)seeds, (void)mask, (void)error, 0;
}
static int toy_step(manta_env *env, const manta_env_batch *batch, char *error) { return (void)env, (void)batch, (void)error, 0; }
static const manta_env_desc toy = {.struct_size = sizeof(manta_env_desc), .abi_version = MANTA_ENV_ABI_VERSION, .id = "Toy-v0",
    .summary = "", .create = toy_create, .destroy = toy_destroy, .observation_space = toy_observation, .action_space = toy_action,
    .reset = toy_reset, .step = toy_step};

static manta_space box(manta_dtype dtype, int64_t count) {
    return (manta_space){.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_BOX, .dtype = dtype, .ndim = 1, .shape = {count}};
}
static manta_space discrete(const int64_t *n) {
    return (manta_space){.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_DISCRETE, .dtype = MANTA_I32, .nvec = n};
}
static manta_space multi(const int64_t *nvec, int64_t count) {
    return (manta_space){.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_MULTI_DISCRETE, .dtype = MANTA_I32, .ndim = 1,
        .shape = {count}, .nvec = nvec};
}
static manta_space binary(int64_t count) {
    return (manta_space){.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_MULTI_BINARY, .dtype = MANTA_I32, .ndim = 1,
        .shape = {count}};
}

static mt_env *make(manta_space o, manta_space a) {
    observation = o, action = a;
    mt_env *env;
    cr_assert_eq(mt_env_create(&toy, &(manta_env_config){.struct_size = sizeof(manta_env_config), .num_envs = 1,
        .seeds = (const uint64_t[]){1}}, &env), MT_OK, "%s", mt_last_error());
    return env;
}

static const int64_t four[] = {4}, two_three[] = {2, 3};

static void encodes(manta_space o, int64_t rows, const void *raw, int width, int plain, const float *expected) {
    mt_env *env = make(o, discrete(four));
    mt_codec codec;
    float out[64];
    cr_assert_eq(mt_codec_init(&codec, env, 0), MT_OK, "%s", mt_last_error());
    cr_assert_eq(codec.obs, width);
    cr_expect_eq(codec.obs_is_plain, plain);
    for (int i = 0; i < 64; i++) out[i] = -7;
    mt_codec_encode(&codec, rows, raw, out);
    for (int64_t i = 0; i < rows * width; i++) cr_expect_eq(out[i], expected[i], "%d: %g, not %g", (int)i, (double)out[i], (double)expected[i]);
    for (int64_t i = rows * width; i < 64; i++) cr_assert_eq(out[i], -7, "written behind the rows");
    mt_env_destroy(env);
}

Test(codec, discrete_is_one_hot) {
    encodes(discrete(four), 3, (const int32_t[]){2, 0, 3}, 4, 0, (const float[]){0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1});
}

Test(codec, discrete_is_an_index_where_the_policy_has_a_table) {
    mt_env *env = make(discrete(four), discrete(four));
    mt_codec codec;
    mt_policy_desc desc = {.action = 1, .embedding = 3, .memory_depth = 1};
    mt_policy *policy;
    float out[4] = {-7, -7, -7, -7};
    cr_assert_eq(mt_codec_init(&codec, env, 1), MT_OK, "%s", mt_last_error());
    mt_codec_encode(&codec, 3, (const int32_t[]){2, 0, 3}, out);
    cr_expect(out[0] == 2 && out[1] == 0 && out[2] == 3 && out[3] == -7);
    cr_assert_eq(mt_codec_describe(&codec, 0, &desc), MT_OK);
    cr_expect(desc.obs == 1 && desc.inputs[0].kind == MT_INPUT_INDEX && desc.inputs[0].entries == 4);
    cr_assert_eq(mt_policy_create(&desc, &policy), MT_OK, "%s", mt_last_error());
    cr_expect_eq(mt_network_out(&policy->trunk), 3);   // policy and value look into the same table
    cr_expect_eq(mt_policy_parameter_count(policy), 4 * 3 + (3 * 4 + 4) + (3 + 1));
    mt_policy_destroy(policy);
    mt_env_destroy(env);
}

Test(codec, multi_discrete_is_one_hot_by_component) {
    encodes(multi(two_three, 2), 2, (const int32_t[]){1, 0, 0, 2}, 5, 0, (const float[]){0, 1, 1, 0, 0, 1, 0, 0, 0, 1});
}

Test(codec, multi_binary_is_one_hot_by_component) {
    encodes(binary(2), 2, (const int32_t[]){1, 0, 0, 0}, 4, 0, (const float[]){0, 1, 1, 0, 1, 0, 1, 0});
}

Test(codec, boxes_become_floats) {
    encodes(box(MANTA_F32, 2), 2, (const float[]){1.5f, -2, 0.25f, 1e30f}, 2, 1, (const float[]){1.5f, -2, 0.25f, 1e30f});
    encodes(box(MANTA_U8, 3), 2, (const uint8_t[]){0, 1, 255, 128, 7, 9}, 3, 0, (const float[]){0, 1, 255, 128, 7, 9});
    encodes(box(MANTA_I32, 2), 2, (const int32_t[]){-5, 3, 1 << 24, INT32_MIN}, 2, 0, (const float[]){-5, 3, 16777216, -2147483648.0f});
}

// ---- images and parts

static manta_space image(manta_dtype dtype, int64_t a, int64_t b, int64_t c) {
    return (manta_space){.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_BOX, .dtype = dtype, .ndim = 3, .shape = {a, b, c}};
}

static void is_input(const mt_codec *codec, int i, mt_input expected) {
    const mt_input *in = &codec->inputs[i];
    cr_expect_str_eq(in->name, expected.name);
    cr_expect(in->kind == expected.kind && in->offset == expected.offset && in->width == expected.width, "input %d: kind %d, %d at %d", i,
        (int)in->kind, in->width, in->offset);
    cr_expect(in->height == expected.height && in->width_px == expected.width_px && in->channels == expected.channels,
        "input %d: %d x %d x %d", i, in->height, in->width_px, in->channels);
}

Test(codec, bytes_of_images_are_divided_by_255) {
    encodes(image(MANTA_U8, 1, 3, 2), 1, (const uint8_t[]){0, 51, 255, 7, 1, 128}, 6, 0,
        (const float[]){0, 0.2f, 1, 7 / 255.0f, 1 / 255.0f, 128 / 255.0f});
    const float zeros[6] = {0}, tens[6] = {10, 10, 10, 10, 10, 10}, full[6] = {255, 255, 255, 255, 255, 255};
    manta_space o = image(MANTA_U8, 3, 2, 1);
    o.low = zeros, o.high = tens;   // numbers of things, not brightness
    encodes(o, 1, (const uint8_t[]){0, 1, 2, 3, 9, 10}, 6, 0, (const float[]){0, 1, 2, 3, 9, 10});
    o.high = full;
    encodes(o, 1, (const uint8_t[]){0, 51, 0, 0, 0, 255}, 6, 0, (const float[]){0, 0.2f, 0, 0, 0, 1});
}

Test(codec, channels_first_is_turned_round) {
    // (2, 2, 3): planes of two rows and three columns
    const float planes[24] = {0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 24, 25, 30, 31, 32, 33, 34, 35};
    const float pixels[24] = {0, 10, 1, 11, 2, 12, 3, 13, 4, 14, 5, 15, 20, 30, 21, 31, 22, 32, 23, 33, 24, 34, 25, 35};
    encodes(image(MANTA_F32, 2, 2, 3), 2, planes, 12, 0, pixels);
    encodes(image(MANTA_F32, 1, 2, 3), 2, planes, 6, 1, planes);   // one plane is one channel
    encodes(image(MANTA_F32, 3, 4, 2), 1, planes, 24, 1, planes);  // the last is the smallest: as it is
    encodes(image(MANTA_F32, 4, 2, 3), 1, planes, 24, 1, planes);  // so is the middle one: SB3 warns and takes the last for channels
    const int32_t whole[12] = {0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15};
    encodes(image(MANTA_I32, 2, 2, 3), 1, whole, 12, 0, pixels);
}

// against a plain loop, at sizes of more than a block and with more planes than go at once
static void planes_of(int64_t channels, int64_t height, int64_t width) {
    mt_env *env = make(image(MANTA_U8, channels, height, width), discrete(four));
    mt_codec codec;
    int64_t count = channels * height * width, wrong = 0;
    uint8_t *raw = malloc((size_t)(2 * count));
    float *out = malloc(sizeof *out * (size_t)(2 * count));
    cr_assert_eq(mt_codec_init(&codec, env, 0), MT_OK, "%s", mt_last_error());
    for (int64_t i = 0; i < 2 * count; i++) raw[i] = (uint8_t)(i * 31 + i / 256);
    mt_codec_encode(&codec, 2, raw, out);
    for (int64_t r = 0; r < 2; r++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t p = 0; p < height * width; p++)
                wrong += out[r * count + p * channels + c] != (float)raw[r * count + c * height * width + p] / 255.0f;
    cr_expect_eq(wrong, 0, "%d x %d x %d: %d wrong", (int)channels, (int)height, (int)width, (int)wrong);
    is_input(&codec, 0, (mt_input){.kind = MT_INPUT_IMAGE, .width = (int)count, .height = (int)height, .width_px = (int)width, .channels = (int)channels});
    free(raw), free(out);
    mt_env_destroy(env);
}

Test(codec, planes_of_many_sizes) {
    planes_of(4, 84, 84), planes_of(3, 17, 23), planes_of(4, 5, 7), planes_of(5, 12, 11), planes_of(9, 16, 16), planes_of(2, 300, 2);
}

Test(codec, a_dict_is_a_list_of_inputs) {
    struct element {
        uint8_t image[2][3][1];
        float goal[2];
        int32_t mode;
        uint8_t grid[2][2];
    } raw[2] = {{{{{0}, {51}, {255}}, {{1}, {2}, {3}}}, {0.5f, -2}, 3, {{7, 8}, {9, 10}}},
        {{{{255}, {0}, {0}}, {{0}, {0}, {51}}}, {1, 2}, 0, {{1, 2}, {3, 4}}}};
    manta_space children[4] = {image(MANTA_U8, 2, 3, 1), box(MANTA_F32, 2), discrete(four), box(MANTA_U8, 2)};
    children[3].ndim = 2, children[3].shape[1] = 2;   // two dimensions: a vector
    const char *const names[4] = {"image", "goal", "mode", "grid"};
    const manta_space *list[4];
    for (int i = 0; i < 4; i++) children[i].name = names[i], list[i] = &children[i];
    manta_space o = {.struct_size = sizeof o, .kind = MANTA_SPACE_DICT, .child_count = 4, .children = list};
    const float u = 1 / 255.0f;
    encodes(o, 2, raw, 16, 0, (const float[]){0, 0.2f, 1, u, 2 / 255.0f, 3 / 255.0f, 0.5f, -2, 0, 0, 0, 1, 7, 8, 9, 10,
        1, 0, 0, 0, 0, 0.2f, 1, 2, 1, 0, 0, 0, 1, 2, 3, 4});
    mt_env *env = make(o, discrete(four));
    mt_codec codec;
    mt_policy_desc d = {0};
    cr_assert_eq(mt_codec_init(&codec, env, 0), MT_OK, "%s", mt_last_error());
    cr_assert_eq(codec.input_count, 4);
    is_input(&codec, 0, (mt_input){.name = "image", .kind = MT_INPUT_IMAGE, .width = 6, .height = 2, .width_px = 3, .channels = 1});
    is_input(&codec, 1, (mt_input){.name = "goal", .kind = MT_INPUT_VECTOR, .offset = 6, .width = 2});
    is_input(&codec, 2, (mt_input){.name = "mode", .kind = MT_INPUT_VECTOR, .offset = 8, .width = 4});
    is_input(&codec, 3, (mt_input){.name = "grid", .kind = MT_INPUT_VECTOR, .offset = 12, .width = 4});
    cr_assert_eq(mt_codec_describe(&codec, 0, &d), MT_OK);
    cr_expect(d.obs == 16 && d.input_count == 4 && memcmp(d.inputs, codec.inputs, 4 * sizeof *d.inputs) == 0);
    mt_env_destroy(env);
}

Test(codec, a_dict_of_floats_is_a_copy) {
    manta_space children[2] = {box(MANTA_F32, 2), box(MANTA_F32, 1)};
    const manta_space *list[2] = {&children[0], &children[1]};
    manta_space o = {.struct_size = sizeof o, .kind = MANTA_SPACE_TUPLE, .child_count = 2, .children = list};
    encodes(o, 2, (const float[]){1, 2, 3, 4, 5, 6}, 3, 1, (const float[]){1, 2, 3, 4, 5, 6});
}

Test(codec, actions_are_clipped_to_the_bounds) {
    manta_space a = box(MANTA_F32, 3);
    a.low = (const float[]){-1, -2, -INFINITY}, a.high = (const float[]){1, 0.5f, INFINITY};
    mt_env *env = make(box(MANTA_F32, 1), a);
    mt_codec codec;
    const float in[] = {-3, 3, 1e9f, 0.5f, -1, -1e9f, 1, 0.5f, 0, -1.0001f, -2.5f, 4};
    const float expected[] = {-1, 0.5f, 1e9f, 0.5f, -1, -1e9f, 1, 0.5f, 0, -1, -2, 4};
    float out[12];
    cr_assert_eq(mt_codec_init(&codec, env, 0), MT_OK, "%s", mt_last_error());
    mt_codec_clip(&codec, 4, in, out);
    for (int i = 0; i < 12; i++) cr_expect_eq(out[i], expected[i], "%d: %g", i, (double)out[i]);
    mt_env_destroy(env);
}

Test(codec, unbounded_actions_are_left_alone) {
    mt_env *env = make(box(MANTA_F32, 1), box(MANTA_F32, 2));
    mt_codec codec;
    const float in[] = {-1e30f, 1e30f};
    float out[2];
    cr_assert_eq(mt_codec_init(&codec, env, 0), MT_OK, "%s", mt_last_error());
    mt_codec_clip(&codec, 1, in, out);
    cr_expect_arr_eq(out, in, sizeof in);
    mt_env_destroy(env);
}

static void says(mt_status status, mt_status expected, const char *words) {
    cr_expect_eq(status, expected, "got %s: %s", mt_status_name(status), mt_last_error());
    cr_expect(strstr(mt_last_error(), words), "'%s' is not in: %s", words, mt_last_error());
}

Test(codec, describes_the_policy) {
    mt_codec codec;
    mt_policy_desc d = {0};
    mt_env *env = make(discrete(four), multi(two_three, 2));
    cr_assert_eq(mt_codec_init(&codec, env, 0), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_codec_describe(&codec, 0, &d), MT_OK);
    cr_expect(d.obs == 4 && d.input_count == 1);
    is_input(&codec, 0, (mt_input){.kind = MT_INPUT_VECTOR, .width = 4});
    cr_expect(d.distribution == MT_DIST_CATEGORICAL && d.action == 2 && d.nvec[0] == 2 && d.nvec[1] == 3);
    cr_expect_eq(codec.logits, 5);
    says(mt_codec_describe(&codec, 1, &d), MT_CONFIG, "use_sde needs a box action space");
    mt_env_destroy(env);

    env = make(box(MANTA_F32, 3), binary(3));
    cr_assert_eq(mt_codec_init(&codec, env, 0), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_codec_describe(&codec, 0, &d), MT_OK);
    cr_expect(d.obs == 3 && d.distribution == MT_DIST_CATEGORICAL && d.action == 3 && d.nvec[0] == 2 && d.nvec[2] == 2);
    mt_env_destroy(env);

    env = make(box(MANTA_U8, 6), box(MANTA_F32, 2));
    cr_assert_eq(mt_codec_init(&codec, env, 0), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_codec_describe(&codec, 0, &d), MT_OK);
    cr_expect(d.obs == 6 && d.distribution == MT_DIST_GAUSSIAN && d.action == 2 && codec.logits == 0);
    cr_assert_eq(mt_codec_describe(&codec, 1, &d), MT_OK);
    cr_expect_eq(d.distribution, MT_DIST_GSDE);
    mt_env_destroy(env);
}

static void refused(manta_space o, manta_space a, const char *words) {
    mt_codec codec;
    mt_env *env = make(o, a);
    says(mt_codec_init(&codec, env, 0), MT_UNSUPPORTED, words);
    mt_env_destroy(env);
}

Test(codec, what_no_policy_takes_is_refused) {
    static int64_t many[MT_POLICY_MAX_COMPONENTS + 1];
    for (size_t i = 0; i < sizeof many / sizeof *many; i++) many[i] = 2;
    refused(box(MANTA_F32, 2), multi(many, MT_POLICY_MAX_COMPONENTS + 1), "257 components");
    refused(box(MANTA_F32, MT_LAYER_MAX_SIZE + 1), discrete(four), "at most");
    const manta_space one = box(MANTA_F32, 1), big = box(MANTA_U8, MT_LAYER_MAX_SIZE), *list[MT_MAX_INPUTS + 1];
    for (int i = 0; i <= MT_MAX_INPUTS; i++) list[i] = &one;
    manta_space o = {.struct_size = sizeof o, .kind = MANTA_SPACE_TUPLE, .child_count = MT_MAX_INPUTS + 1, .children = list};
    refused(o, discrete(four), "an observation of 9 parts; policies take at most 8");
    o.child_count = 2, list[1] = &big;
    refused(o, discrete(four), "an observation of 4194305 floats");
}
