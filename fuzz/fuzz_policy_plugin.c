// What a plugin hands over for policies, layers and losses: its table, its descriptors, the plans that it answers with. The input
// decides every number and which pointers are NULL; arrays are as long as their counts say, because inside a process nothing else
// can be checked. What passes is used: a policy is made of it, and a network with its layers is compiled; every tensor must
// then lie inside the slab.
#include "fuzz/fuzz.h"
#include "policies/network_text.h"
#include "policies/plugin_loss.h"
#include "policies/plugin_policy.h"
#include "policies/policy_plugin.h"

#include <stdio.h>

enum { DESCS = 3, ARRAY_MAX = 4096, OWNED_MAX = 512, TENSORS = 10 };

// one input's objects; libFuzzer runs inputs one after another in one thread
static void *owned[OWNED_MAX];
static size_t owned_count;
static manta_policy_plan policy_plan;
static const manta_policy_plan *given_plan;
static manta_layer_plan layer_plan;   // its second half is what a layer answers
static int result;

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

static double take_number(fuzz_bytes *f) {
    double number;
    if (fuzz_u8(f) & 1) return fuzz_u8(f);
    fuzz_take(f, &number, sizeof number);
    return number;
}

static int64_t take_size(fuzz_bytes *f) {
    int64_t size;
    uint8_t odd = fuzz_u8(f);
    if (odd & 1) return fuzz_u8(f);
    fuzz_take(f, &size, sizeof size);
    return odd & 2 ? size >> 34 : size;
}

// ---- functions a descriptor may have ----

static char the_object;
static int fail(char *error) {
    memset(error, 'x', MANTA_ERROR_BYTES);   // without the zero that the contract asks for
    return result;
}
static int policy_create(const manta_policy_config *c, manta_policy **out, char *error) {
    FUZZ_CHECK(c->obs == 5 && c->action->components == 2);
    *out = result == 2 ? NULL : (manta_policy *)&the_object;
    return result == 1 ? fail(error) : 0;
}
static void policy_destroy(manta_policy *p) { FUZZ_CHECK(!p || p == (manta_policy *)&the_object); }
static const manta_policy_plan *get_plan(const manta_policy *p) { return (void)p, given_plan; }
static int policy_init(const manta_policy *p, uint64_t seed, float *const *param, char *error) {
    return (void)p, (void)seed, (void)param, (void)error, 0;
}
static void policy_forward(const manta_policy *p, const manta_pass *pass, const manta_policy_output *out) { (void)p, (void)pass, (void)out; }
static void policy_backward(const manta_policy *p, const manta_pass *pass, const manta_policy_gradient *d, float *const *grad) {
    (void)p, (void)pass, (void)d, (void)grad;
}
static int make_plan(manta_layer_plan *p, char *error) {
    manta_layer_plan asked = *p;
    *p = layer_plan;   // the first half, too, which is the host's
    if (asked.in_channels & 1) p->out_channels = asked.in_channels;
    return result == 1 ? fail(error) : 0;
}
static int layer_init(const manta_layer_plan *p, uint64_t seed, float *const *param, char *error) {
    return (void)p, (void)seed, (void)param, (void)error, 0;
}
static void layer_forward(const manta_layer_plan *p, const manta_pass *pass, float *y) { (void)p, (void)pass, (void)y; }
static void layer_backward(const manta_layer_plan *p, const manta_pass *pass, const float *y, const float *dy, float *dx, float *const *grad) {
    (void)p, (void)pass, (void)y, (void)dy, (void)dx, (void)grad;
}
static int loss_create(const manta_loss_config *c, manta_loss **out, char *error) {
    (void)c;
    *out = result == 2 ? NULL : (manta_loss *)&the_object;
    return result == 1 ? fail(error) : 0;
}
static void loss_destroy(manta_loss *l) { FUZZ_CHECK(!l || l == (manta_loss *)&the_object); }
static void loss_gradient(const manta_loss *l, const manta_loss_batch *b) { (void)l, (void)b; }

// ---- objects out of bytes ----

static manta_parameter take_parameter(fuzz_bytes *f) {
    manta_parameter p = {.name = take_text(f)};
    uint8_t odd = fuzz_u8(f);
    p.ndim = odd & 1 ? fuzz_u32(f) : odd % 5;
    for (int d = 0; d < MANTA_PARAMETER_MAX_DIMS; d++) p.shape[d] = odd & 2 ? take_size(f) : fuzz_u8(f) % 8;
    return p;
}

static void take_plans(fuzz_bytes *f) {
    uint8_t odd = fuzz_u8(f);
    manta_parameter *parameters = own(ARRAY_MAX * sizeof *parameters);
    for (int i = 0; i < TENSORS && f->left; i++) parameters[i] = take_parameter(f);
    policy_plan = (manta_policy_plan){.struct_size = odd & 1 ? fuzz_u32(f) : sizeof policy_plan, .parameters = odd & 2 ? NULL : parameters};
    policy_plan.parameter_count = odd & 4 ? fuzz_u32(f) : fuzz_u8(f) % TENSORS;
    policy_plan.row_floats = take_size(f), policy_plan.scratch_floats = take_size(f), policy_plan.state_floats = take_size(f);
    given_plan = odd & 8 ? NULL : &policy_plan;
    layer_plan = (manta_layer_plan){.struct_size = fuzz_u32(f)};
    layer_plan.in_height = take_size(f), layer_plan.out_height = take_size(f), layer_plan.out_width = take_size(f);
    layer_plan.out_channels = take_size(f), layer_plan.row_floats = take_size(f), layer_plan.scratch_floats = take_size(f);
    layer_plan.state_floats = take_size(f);
    layer_plan.parameter_count = odd & 16 ? fuzz_u32(f) : fuzz_u8(f) % (MANTA_LAYER_MAX_PARAMETERS + 1);
    for (int i = 0; i < MANTA_LAYER_MAX_PARAMETERS; i++) layer_plan.parameters[i] = parameters[i];
}

static const manta_policy_option_desc *take_options(fuzz_bytes *f, uint32_t *count, int odd) {
    *count = odd ? fuzz_u32(f) : fuzz_u8(f) % 4;
    uint32_t given = *count < ARRAY_MAX ? *count : ARRAY_MAX;
    manta_policy_option_desc *options = own(given * sizeof *options);
    for (uint32_t i = 0; i < given && i < 4; i++) options[i] = (manta_policy_option_desc){take_text(f), take_text(f), take_text(f)};
    return fuzz_u8(f) & 1 ? options : NULL;
}

static const manta_policy_desc *take_policy(fuzz_bytes *f) {
    manta_policy_desc *d = own(sizeof *d);
    uint8_t odd = fuzz_u8(f), missing = fuzz_u8(f);
    d->struct_size = odd & 1 ? fuzz_u32(f) : sizeof *d;
    d->abi_version = odd & 2 ? fuzz_u32(f) : MANTA_POLICY_ABI_VERSION;
    d->name = take_text(f), d->summary = take_text(f);
    d->capabilities = odd & 4 ? fuzz_u32(f) : fuzz_u8(f) & 3;
    d->options = take_options(f, &d->option_count, odd & 8);
    d->create = missing & 1 ? NULL : policy_create, d->destroy = missing & 2 ? NULL : policy_destroy;
    d->plan = missing & 4 ? NULL : get_plan, d->init = missing & 8 ? NULL : policy_init;
    d->forward = missing & 16 ? NULL : policy_forward, d->backward = missing & 32 ? NULL : policy_backward;
    return d;
}

static const manta_layer_desc *take_layer(fuzz_bytes *f) {
    manta_layer_desc *d = own(sizeof *d);
    uint8_t odd = fuzz_u8(f), missing = fuzz_u8(f);
    d->struct_size = odd & 1 ? fuzz_u32(f) : sizeof *d;
    d->abi_version = odd & 2 ? fuzz_u32(f) : MANTA_POLICY_ABI_VERSION;
    d->name = take_text(f), d->summary = take_text(f);
    d->capabilities = odd & 4 ? fuzz_u32(f) : fuzz_u8(f) & 1;
    d->number_count = odd & 8 ? fuzz_u32(f) : fuzz_u8(f) % (MANTA_LAYER_MAX_NUMBERS + 1);
    uint32_t given = d->number_count < ARRAY_MAX ? d->number_count : ARRAY_MAX;
    manta_layer_number *numbers = own(given * sizeof *numbers);
    for (uint32_t i = 0; i < given && i < MANTA_LAYER_MAX_NUMBERS; i++) numbers[i] = (manta_layer_number){take_text(f), take_number(f), take_text(f)};
    d->numbers = odd & 16 ? NULL : numbers;
    d->plan = missing & 1 ? NULL : make_plan, d->init = missing & 2 ? NULL : layer_init;
    d->forward = missing & 4 ? NULL : layer_forward, d->backward = missing & 8 ? NULL : layer_backward;
    return d;
}

static const manta_loss_desc *take_loss(fuzz_bytes *f) {
    manta_loss_desc *d = own(sizeof *d);
    uint8_t odd = fuzz_u8(f), missing = fuzz_u8(f);
    d->struct_size = odd & 1 ? fuzz_u32(f) : sizeof *d;
    d->abi_version = odd & 2 ? fuzz_u32(f) : MANTA_POLICY_ABI_VERSION;
    d->name = take_text(f), d->summary = take_text(f);
    d->capabilities = odd & 4 ? fuzz_u32(f) : fuzz_u8(f) & 1;
    d->options = take_options(f, &d->option_count, odd & 8);
    d->create = missing & 1 ? NULL : loss_create, d->destroy = missing & 2 ? NULL : loss_destroy;
    d->gradient = missing & 4 ? NULL : loss_gradient;
    return d;
}

// A list of descriptors: a count beyond what is possible must be refused before the array is looked at.
static const void **take_list(fuzz_bytes *f, uint32_t *count, int odd, const void *(*take)(fuzz_bytes *)) {
    const void *descs[DESCS] = {0};
    *count = odd ? fuzz_u32(f) : fuzz_u8(f) % (DESCS + 1);
    for (int i = 0; i < DESCS; i++) descs[i] = f->left && !(fuzz_u8(f) & 0x80) ? take(f) : NULL;
    uint32_t given = *count < ARRAY_MAX ? *count : ARRAY_MAX;
    const void **list = own(given * sizeof *list);
    for (uint32_t i = 0; i < given; i++) list[i] = descs[i % DESCS];
    return fuzz_u8(f) & 1 ? list : NULL;
}
static const void *any_policy(fuzz_bytes *f) { return take_policy(f); }
static const void *any_layer(fuzz_bytes *f) { return take_layer(f); }
static const void *any_loss(fuzz_bytes *f) { return take_loss(f); }

static manta_policy_plugin *take_table(fuzz_bytes *f) {
    manta_policy_plugin *t = own(sizeof *t);
    uint8_t odd = fuzz_u8(f);
    t->struct_size = odd & 1 ? fuzz_u32(f) : sizeof *t;
    t->abi_version = odd & 2 ? fuzz_u32(f) : MANTA_POLICY_ABI_VERSION;
    t->name = take_text(f), t->version = take_text(f);
    t->policies = (const manta_policy_desc *const *)take_list(f, &t->policy_count, odd & 4, any_policy);
    t->layers = (const manta_layer_desc *const *)take_list(f, &t->layer_count, odd & 8, any_layer);
    t->losses = (const manta_loss_desc *const *)take_list(f, &t->loss_count, odd & 16, any_loss);
    return t;
}

// ---- using them ----

typedef struct tensors {
    int64_t floats, seen, end;   // of the slab; of the tensors so far; where the last one ends
} tensors;

static const uintptr_t slab = 4096;   // an address alone: no such slab is made

static mt_status check_tensor(void *context, const char *name, const mt_tensor *tensor) {
    tensors *t = context;
    int64_t first = (const float *)tensor->data - (const float *)slab, count = mt_tensor_count(tensor);
    FUZZ_CHECK(*name && strlen(name) < MT_TENSOR_NAME_BYTES);
    FUZZ_CHECK(count > 0 && first % 16 == 0 && first >= t->end && first + count <= t->floats);
    t->seen += count, t->end = first + count;
    return MT_OK;
}

static void use_policy(const manta_policy_desc *desc, int option) {
    manta_policy_option options[] = {{desc->option_count ? desc->options[0].key : "hidden", "1"}};
    mt_policy_desc d = {.obs = 5, .action = 2, .nvec = {2, 3}, .plugin = desc, .options = options, .option_count = option};
    mt_slab_sizes sizes = {0};
    mt_plugin_policy *p;
    mt_status status = mt_plugin_policy_create(&d, 5, &sizes, &p);
    FUZZ_CHECK(status == MT_OK || ((status == MT_PLUGIN || status == MT_CONFIG) && !p));
    if (status != MT_OK) return;
    tensors t = {.floats = sizes.params};
    FUZZ_CHECK(mt_plugin_policy_visit(p, (float *)slab, check_tensor, &t) == MT_OK);
    FUZZ_CHECK(t.seen == mt_plugin_policy_parameter_count(p) && sizes.row_floats >= 0 && sizes.state >= 0);
    mt_plugin_policy_destroy(p);
}

static void use_layer(const manta_layer_desc *desc, double number) {
    static mt_network_desc d;   // large; one input at a time
    static mt_network net;
    char text[256];
    mt_policy_entry entry = {.name = desc->name, .origin = "fuzz.so", .desc = desc};
    mt_policy_registry registry = {0};
    mt_slab_sizes sizes = {0};
    if (mt_network_text_knows(desc->name)) return;   // the registry would have refused it
    registry.of[MT_PLUGIN_LAYER].entries = &entry, registry.of[MT_PLUGIN_LAYER].count = 1;
    memset(&d, 0, sizeof d);
    snprintf(text, sizeof text, "a = %s\ndense 3 relu\nb = %s %.6f\nconcat from a, b\n%s", desc->name, desc->name, number, desc->name);
    mt_status status = mt_network_text_add(&d, &(mt_network_text){.layers = text}, NULL, 0, 5, "f.", &registry);
    if (status == MT_OK) status = mt_network_compile(&net, &d, 5, &sizes);
    FUZZ_CHECK(status == MT_OK || status == MT_PLUGIN || status == MT_CONFIG);
    if (status != MT_OK) return;
    tensors t = {.floats = sizes.params};
    FUZZ_CHECK(mt_network_visit(&net, (float *)slab, check_tensor, &t) == MT_OK && t.seen == mt_network_parameter_count(&net));
    for (int i = 0; i < net.count; i++) FUZZ_CHECK(net.layer[i].size > 0 && net.layer[i].kept < sizes.row_floats && net.layer[i].state < sizes.state);
}

static void use_loss(const manta_loss_desc *desc, int option) {
    manta_policy_option options[] = {{desc->option_count ? desc->options[0].key : "strength", "1"}};
    static mt_policy policy;
    policy.desc = (mt_policy_desc){.action = 2, .nvec = {2, 3}}, policy.head = 5;
    mt_plugin_loss *l;
    mt_status status = mt_plugin_loss_create(desc, &policy, options, option, &l);
    FUZZ_CHECK(status == MT_OK || ((status == MT_PLUGIN || status == MT_CONFIG) && !l));
    mt_plugin_loss_destroy(l);
}

// A block of exactly `available` bytes: no field beyond them may be read.
static void validate_cut(const void *object, size_t bytes, uint8_t cut, int kind) {
    size_t available = bytes * cut / 256;
    void *copy = fuzz_copy(object, available);
    mt_status status = kind == 0 ? mt_policy_plugin_validate(copy, available, "fuzz.so")
        : kind == 1 ? mt_policy_validate_desc(copy, available)
        : kind == 2 ? mt_layer_validate_desc(copy, available)
        : mt_loss_validate_desc(copy, available);
    FUZZ_CHECK(status == MT_PLUGIN);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz_bytes f = {data, bytes};
    uint8_t cut = fuzz_u8(&f), how = fuzz_u8(&f);
    result = how % 8;
    double number = take_number(&f);
    take_plans(&f);
    manta_policy_plugin *t = take_table(&f);
    validate_cut(t, sizeof *t, cut, 0);
    mt_status status = mt_policy_plugin_validate(t, SIZE_MAX, "fuzz.so");
    FUZZ_CHECK(status == MT_OK || status == MT_PLUGIN);
    for (uint32_t i = 0; status == MT_OK && i < t->policy_count; i++) {
        validate_cut(t->policies[i], sizeof **t->policies, cut, 1);
        use_policy(t->policies[i], how >> 3 & 1);
    }
    for (uint32_t i = 0; status == MT_OK && i < t->layer_count; i++) {
        validate_cut(t->layers[i], sizeof **t->layers, cut, 2);
        use_layer(t->layers[i], number);
    }
    for (uint32_t i = 0; status == MT_OK && i < t->loss_count; i++) {
        validate_cut(t->losses[i], sizeof **t->losses, cut, 3);
        use_loss(t->losses[i], how >> 4 & 1);
    }
    free_owned();
    return 0;
}
