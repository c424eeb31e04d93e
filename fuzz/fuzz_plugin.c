// What an environment plugin hands over: its table, its descriptors, its spaces. The input decides every number and
// which pointers are NULL; arrays are as long as their counts say, because inside a process nothing else can be
// checked.
// A descriptor that passes is used: create, spaces, options, destroy.
#include "kernels/kernels.h"
#include "fuzz/fuzz.h"
#include "rollout/env.h"
#include "rollout/env_plugin.h"

enum { DESCS = 4, ARRAY_MAX = 4096, OWNED_MAX = 512, SPACES_MAX = 40, CHILDREN_MAX = 40 };

// one input's objects; libFuzzer runs inputs one after another in one thread
static void *owned[OWNED_MAX];
static size_t owned_count;
static manta_space spaces[SPACES_MAX];   // the observation's, the action's, children
static uint32_t space_count;
static int create_result;

static void *own(size_t bytes) {
    void *block = calloc(1, bytes ? bytes : 1);
    FUZZ_CHECK(block && owned_count < OWNED_MAX);
    return owned[owned_count++] = block;
}

static void free_owned(void) {
    while (owned_count) free(owned[--owned_count]);
}

// NULL, or a text of at most 15 letters
static const char *take_text(fuzz_bytes *f) {
    uint8_t length = fuzz_u8(f);
    if (length & 0x80) return NULL;
    char *text = own((length & 15) + 1u);
    fuzz_take(f, text, length & 15);
    return text;
}

// ---- functions a descriptor may have ----

static char the_env;

static int make(const manta_env_config *config, manta_env **out, char *error) {
    (void)config;
    if (error) memset(error, 'x', MANTA_ERROR_BYTES);   // without the zero that the contract asks for
    *out = (manta_env *)&the_env;
    return create_result;
}
static void destroy(manta_env *env) { (void)env; }
static const manta_space *observation_space(const manta_env *env) { return (void)env, &spaces[0]; }
static const manta_space *action_space(const manta_env *env) { return (void)env, &spaces[1]; }
static int reset(
    manta_env *env, const manta_env_batch *batch, const uint64_t *seeds, const uint8_t *mask, char *error) {
    return (void)env, (void)batch, (void)seeds, (void)mask, (void)error, 0;
}
static int step(manta_env *env, const manta_env_batch *batch, char *error) {
    return (void)env, (void)batch, (void)error, 0;
}

// ---- objects out of bytes ----

// Elements of a space when its shape is small enough for arrays to be made, else -1.
static int64_t small_count(const manta_space *space) {
    int64_t count = 1;
    for (uint32_t d = 0; d < space->ndim && d < MANTA_SPACE_MAX_DIMS; d++) {
        if (space->shape[d] < 0 || space->shape[d] > ARRAY_MAX) return -1;
        count *= space->shape[d];
        if (count > ARRAY_MAX) return -1;
    }
    return space->kind == MANTA_SPACE_DISCRETE ? 1 : count;
}

static void take_space(fuzz_bytes *f, manta_space *space);

// New spaces, NULL, and those that there are already: parents too, so that some lists bite their own tails.
static void take_children(fuzz_bytes *f, manta_space *space) {
    uint8_t odd = fuzz_u8(f), given = fuzz_u8(f) % CHILDREN_MAX;
    const manta_space **children = own(given * sizeof *children);
    space->child_count = odd & 1 ? fuzz_u32(f) : given;
    if (space->child_count > given && space->child_count <= MANTA_SPACE_MAX_PARTS) space->child_count = given;
    for (uint8_t i = 0; i < given && f->left; i++) {
        uint8_t which = fuzz_u8(f);
        if (which & 0x80) children[i] = which & 0x40 ? NULL : &spaces[which % space_count];
        else if (space_count < SPACES_MAX) {
            manta_space *child = &spaces[space_count++];
            take_space(f, child);
            children[i] = child;
        }
    }
    space->children = odd & 2 ? NULL : children;
    static const char *const names[] = {"a", "b", "image", "no good", "a-name_that_is_longer_than_31_bytes", "", "z"};
    space->name = odd & 4 ? names[odd / 8 % 7] : take_text(f);
}

static void take_space(fuzz_bytes *f, manta_space *space) {
    *space = (manta_space){0};
    uint8_t shift = fuzz_u8(f);
    int edge = space < spaces + 2 ? 16 : 4;   // of many parts each is smaller
    space->struct_size = shift & 1 ? fuzz_u32(f) : sizeof *space;
    space->kind = fuzz_u8(f) % 8;
    space->dtype = fuzz_u8(f) % 5;
    space->ndim = shift & 2 ? fuzz_u32(f) : fuzz_u8(f) % 8;
    for (int d = 0; d < MANTA_SPACE_MAX_DIMS; d++) {
        if (shift & 4) {
            fuzz_take(f, &space->shape[d], sizeof space->shape[d]);
            // what is possible stays small: the bounds of 2^28 values take half a minute under the sanitizers
            if (space->shape[d] > 0 && space->shape[d] <= MT_SPACE_MAX_ELEMENTS) space->shape[d] %= edge;
        } else space->shape[d] = fuzz_u8(f) % edge;
    }
    space->child_count = shift & 8;
    if (space->kind >= MANTA_SPACE_DICT || space >= spaces + 2) take_children(f, space);
    int64_t count = small_count(space);
    if (count < 0) return;
    float *low = own((size_t)count * sizeof *low), *high = own((size_t)count * sizeof *high);
    int64_t *nvec = own((size_t)count * sizeof *nvec);
    for (int64_t i = 0; i < count && f->left; i++) {
        fuzz_take(f, &low[i], sizeof *low);
        fuzz_take(f, &high[i], sizeof *high);
        if (shift & 16) fuzz_take(f, &nvec[i], sizeof *nvec);
        else nvec[i] = fuzz_u8(f);
    }
    space->low = shift & 32 ? NULL : low;
    space->high = shift & 64 ? NULL : high;
    space->nvec = shift & 128 ? NULL : nvec;
}

static manta_env_desc *take_desc(fuzz_bytes *f) {
    manta_env_desc *desc = own(sizeof *desc);
    uint8_t odd = fuzz_u8(f), missing = fuzz_u8(f);
    desc->struct_size = odd & 1 ? fuzz_u32(f) : sizeof *desc;
    desc->abi_version = odd & 2 ? fuzz_u32(f) : MANTA_ENV_ABI_VERSION;
    desc->id = take_text(f);
    desc->summary = take_text(f);
    desc->capabilities = odd & 4 ? fuzz_u32(f) : fuzz_u8(f) & 3;
    fuzz_take(f, &desc->reward_threshold, sizeof desc->reward_threshold);
    desc->option_count = odd & 8 ? fuzz_u32(f) : fuzz_u8(f) % 4;
    uint32_t given = desc->option_count < ARRAY_MAX ? desc->option_count : ARRAY_MAX;
    manta_env_option_desc *options = own(given * sizeof *options);
    for (uint32_t i = 0; i < given && i < 4; i++)
        options[i] = (manta_env_option_desc){take_text(f), take_text(f), take_text(f)};
    desc->options = odd & 16 ? NULL : options;
    desc->create = missing & 1 ? NULL : make;
    desc->destroy = missing & 2 ? NULL : destroy;
    desc->observation_space = missing & 4 ? NULL : observation_space;
    desc->action_space = missing & 8 ? NULL : action_space;
    desc->reset = missing & 16 ? NULL : reset;
    desc->step = missing & 32 ? NULL : step;
    return desc;
}

static manta_env_plugin *take_table(fuzz_bytes *f) {
    manta_env_plugin *table = own(sizeof *table);
    const manta_env_desc *descs[DESCS] = {0};
    uint8_t odd = fuzz_u8(f);
    table->struct_size = odd & 1 ? fuzz_u32(f) : sizeof *table;
    table->abi_version = odd & 2 ? fuzz_u32(f) : MANTA_ENV_ABI_VERSION;
    table->name = take_text(f);
    table->version = take_text(f);
    table->env_count = odd & 4 ? fuzz_u32(f) : fuzz_u8(f) % (DESCS + 1);
    for (int i = 0; i < DESCS; i++) descs[i] = f->left && !(fuzz_u8(f) & 0x80) ? take_desc(f) : NULL;
    // a count beyond what is possible must be refused before the array is looked at
    uint32_t given = table->env_count < ARRAY_MAX ? table->env_count : ARRAY_MAX;
    const manta_env_desc **envs = own(given * sizeof *envs);
    for (uint32_t i = 0; i < given; i++) envs[i] = descs[i % DESCS];
    table->envs = odd & 8 ? NULL : envs;
    return table;
}

// ---- using them ----

// Parts lie one behind the other, each where its type may, and fill the element but for the padding.
static void check_parts(const mt_space *space) {
    size_t end = 0;
    int64_t count = 0;
    FUZZ_CHECK(mt_space_parts(space) >= 1 && mt_space_parts(space) <= MANTA_SPACE_MAX_PARTS);
    for (int p = 0; p < mt_space_parts(space); p++) {
        const mt_space *part = mt_space_part(space, p);
        FUZZ_CHECK(!part->parts || part == space);
        FUZZ_CHECK(part->count >= 1 && part->offset >= end && part->offset - end <= 8);
        FUZZ_CHECK(part->offset % mt_space_dtype_bytes(part->dtype) == 0);
        FUZZ_CHECK(strnlen(part->name, sizeof part->name) < sizeof part->name);
        end = part->offset + part->bytes;
        count += part->count;
    }
    FUZZ_CHECK(count == space->count && end <= space->bytes && space->bytes - end <= 8);
}

static void use_desc(const manta_env_desc *desc) {
    uint64_t seeds[2] = {1, 2};
    manta_env_config config = {.struct_size = sizeof config, .num_envs = 2, .seeds = seeds};
    manta_env_option option = {desc->option_count ? desc->options[0].key : "gravity", "1"};
    config.options = &option;
    config.option_count = 1;
    mt_env *env = NULL;
    if (mt_env_create(desc, &config, &env) == MT_OK) {
        char text[256];
        check_parts(mt_env_observation_space(env));
        check_parts(mt_env_action_space(env));
        FUZZ_CHECK(!mt_env_action_space(env)->parts);
        mt_space_format(mt_env_observation_space(env), text, sizeof text);
        mt_space_format(mt_env_action_space(env), text, sizeof text);
        mt_env_destroy(env);
    } else FUZZ_CHECK(env == NULL);
}

// A block of exactly `available` bytes: no field beyond them may be read.
static void validate_cut(const void *object, size_t bytes, uint8_t cut, int is_table) {
    size_t available = bytes * cut / 256;
    void *copy = fuzz_copy(object, available);
    mt_status status =
        is_table ? mt_env_plugin_validate(copy, available, "fuzz.so") : mt_env_validate_desc(copy, available);
    FUZZ_CHECK(status == MT_PLUGIN);
    free(copy);
}

// The scan for NaN is all that env.c asks of the kernels; the real ones take minutes to build with sanitizers.
static int64_t count_nonfinite(int64_t count, const float *x) {
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++) found += !(x[i] - x[i] == 0);
    return found;
}

mt_status mt_kernels_choose(const mt_kernels **out) {
    static const mt_kernels scan = {.name = "scan", .count_nonfinite = count_nonfinite};
    *out = &scan;
    return MT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz_bytes f = {data, bytes};
    uint8_t cut = fuzz_u8(&f);
    create_result = cut == 7;
    space_count = 2;
    take_space(&f, &spaces[0]);
    take_space(&f, &spaces[1]);
    manta_env_plugin *table = take_table(&f);
    validate_cut(table, sizeof *table, cut, 1);
    mt_status status = mt_env_plugin_validate(table, SIZE_MAX, "fuzz.so");
    FUZZ_CHECK(status == MT_OK || status == MT_PLUGIN);
    if (status == MT_OK) {
        validate_cut(table->envs[0], sizeof *table->envs[0], cut, 0);
        for (uint32_t i = 0; i < table->env_count; i++) use_desc(table->envs[i]);
    }
    free_owned();
    return 0;
}
