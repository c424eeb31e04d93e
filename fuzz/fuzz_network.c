// Layers that a user writes down (policies/network_text.h), and the plan compiled from them. What is accepted must hang
// together: every offset inside its slab, every layer read by a later one, shapes that follow from each other.
#include "fuzz/fuzz.h"
#include "policies/network_text.h"

static const mt_input inputs[] = {
    {.name = "board", .kind = MT_INPUT_IMAGE, .width = 36 * 36 * 2, .height = 36, .width_px = 36, .channels = 2},
    {.name = "speed", .kind = MT_INPUT_VECTOR, .offset = 36 * 36 * 2, .width = 5},
    {.name = "place", .kind = MT_INPUT_INDEX, .offset = 36 * 36 * 2 + 5, .width = 1, .entries = 7},
};
enum { OBS = 36 * 36 * 2 + 6 };

typedef struct tensors {
    const float *slab;
    int64_t floats;      // of the slab
    int64_t seen, end;   // floats of the tensors so far; where the last one ends
} tensors;

static mt_status check_tensor(void *context, const char *name, const mt_tensor *tensor) {
    tensors *t = context;
    int64_t first = (const float *)tensor->data - t->slab, count = mt_tensor_count(tensor);
    FUZZ_CHECK(*name && strlen(name) < MT_TENSOR_NAME_BYTES);
    FUZZ_CHECK(count > 0 && first >= t->end && first + count <= t->floats);   // in order, none over another
    t->seen += count, t->end = first + count;
    return MT_OK;
}

static void check_layer(const mt_network *net, int i, const mt_slab_sizes *sizes) {
    const mt_layer *l = &net->layer[i];
    FUZZ_CHECK(l->size > 0 && (int64_t)l->height * l->width * l->channels == l->size);
    FUZZ_CHECK(l->output < 0 ? l->desc.kind == MT_LAYER_INPUT : l->output + l->size <= sizes->row_floats);
    FUZZ_CHECK(l->pre < 0 || l->pre + l->size <= sizes->row_floats);
    FUZZ_CHECK(l->state < 0 || l->state < sizes->state);
    for (int p = 0; p < 2; p++) FUZZ_CHECK(l->packed[p] < sizes->packed || l->packed[p] < 0);
    if (i == net->count - 1) FUZZ_CHECK(l->slot < 0);
    else if (l->desc.kind != MT_LAYER_INPUT) FUZZ_CHECK(l->slot >= 0 && l->slot < net->slots && net->slot[l->slot] + l->size <= net->slot[l->slot + 1]);
    for (int s = 0; s < l->desc.source_count; s++) FUZZ_CHECK(l->desc.source[s] >= 0 && l->desc.source[s] < i);
    FUZZ_CHECK(mt_layer_products(net, i) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static mt_network_desc desc;   // large; one input at a time
    static mt_network net;
    char *text = fuzz_string(data, bytes);
    mt_slab_sizes sizes = {0};
    memset(&desc, 0, sizeof desc);
    int several = bytes == 0 || data[0] % 2;
    mt_status status = mt_network_text_add(&desc, &(mt_network_text){.layers = text}, inputs, several ? 3 : 0, OBS, "features_extractor.", NULL);
    if (status == MT_OK) status = mt_network_compile(&net, &desc, OBS, &sizes);
    FUZZ_CHECK(status == MT_OK || status == MT_CONFIG);
    if (status == MT_OK) {
        // addresses alone: no such slab is made
        tensors t = {.slab = (const float *)(uintptr_t)4096, .floats = sizes.params};
        FUZZ_CHECK(net.end == sizes.params && net.first == 0);
        for (int i = 0; i < net.count; i++) check_layer(&net, i, &sizes);
        FUZZ_CHECK(mt_network_visit(&net, (float *)(uintptr_t)4096, check_tensor, &t) == MT_OK);
        FUZZ_CHECK(t.seen == mt_network_parameter_count(&net));
    }
    free(text);
    return 0;
}
