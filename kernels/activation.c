// Activation functions by name. Pure; any thread.
#include "kernels/kernels.h"

static const char *const activation_names[MT_ACT_COUNT] = {
#define MT_X(name) #name,
    MT_ACTIVATION_LIST(MT_X)
#undef MT_X
};

const char *mt_activation_name(mt_activation a) { return (unsigned)a < MT_ACT_COUNT ? activation_names[a] : "?"; }
