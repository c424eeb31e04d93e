// References that somebody holds, each with how often: a table by hash with linear probing, the first entries in place. Whoever has
// the table counts; the core is told by its owner.
#ifndef MANTA_ENGINE_RUNTIME_HOLDS_H
#define MANTA_ENGINE_RUNTIME_HOLDS_H

#include "engine/runtime/manta_runtime.h"

enum { MT_HOLDS_INLINE = 32 };   // a power of two

typedef struct mt_hold {
    manta_ref ref;    // serial 0: free
    uint32_t count;
} mt_hold;

typedef struct mt_holds {
    mt_hold *table;        // (mask + 1): `first` or owned
    uint32_t mask, used;   // used is at most half, but when memory ran out
    mt_hold first[MT_HOLDS_INLINE];
} mt_holds;

void mt_holds_init(mt_holds *holds);
void mt_holds_fini(mt_holds *holds);
// Without memory to grow nothing is added: the hold is nobody's, and its object lives until the job ends.
void mt_holds_add(mt_holds *holds, manta_ref ref);
int mt_holds_has(const mt_holds *holds, manta_ref ref);
int mt_holds_remove(mt_holds *holds, manta_ref ref);   // one of its counts; 0: it has none
// Calls release for every count; the table is empty then, and small again.
void mt_holds_clear(mt_holds *holds, void (*release)(void *context, manta_ref ref), void *context);

#endif
