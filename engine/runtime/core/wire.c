// The messages' names and least lengths.
#include "engine/runtime/wire.h"

static const struct { const char *name; size_t bytes; } kinds[MT_WIRE_KINDS] = {
#define MT_X(name, body) [MT_WIRE_##name] = {#name, sizeof(body)},
    MT_WIRE_LIST(MT_X)
#undef MT_X
};

const char *mt_wire_name_of(unsigned kind) { return kind < MT_WIRE_KINDS ? kinds[kind].name : "?"; }

int mt_wire_check(const void *message, size_t bytes) {
    const mt_wire *m = message;
    if (bytes < sizeof *m || m->bytes != bytes || m->kind >= MT_WIRE_KINDS) return 0;
    return bytes >= kinds[m->kind].bytes;
}
