// Tables of held references. One thread at a time.
#include "engine/runtime/api/holds.h"

#include <stdlib.h>
#include <string.h>

static uint32_t home_of(manta_ref ref) {
    uint64_t h = (ref.serial ^ ((uint64_t)ref.owner << 32 | ref.slot)) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32);
}

static int same(manta_ref a, manta_ref b) { return a.serial == b.serial && a.slot == b.slot && a.owner == b.owner; }

// where it is, or the free place where it belongs
static mt_hold *find(const mt_holds *holds, manta_ref ref) {
    uint32_t i = home_of(ref);
    while (holds->table[i & holds->mask].ref.serial && !same(holds->table[i & holds->mask].ref, ref)) i++;
    return &holds->table[i & holds->mask];
}

void mt_holds_init(mt_holds *holds) {
    memset(holds, 0, sizeof *holds);
    holds->table = holds->first;
    holds->mask = MT_HOLDS_INLINE - 1;
}

void mt_holds_fini(mt_holds *holds) {
    if (holds->table != holds->first) free(holds->table);
}

static int grow(mt_holds *holds) {
    mt_holds old = *holds;
    const mt_hold *from = old.table == holds->first ? old.first : old.table;
    mt_hold *table = calloc(2 * ((size_t)old.mask + 1), sizeof *table);
    if (!table) return 0;
    holds->table = table;
    holds->mask = 2 * old.mask + 1;
    for (uint32_t i = 0; i <= old.mask; i++)
        if (from[i].ref.serial) *find(holds, from[i].ref) = from[i];
    if (old.table != holds->first) free(old.table);
    return 1;
}

void mt_holds_add(mt_holds *holds, manta_ref ref) {
    mt_hold *hold = find(holds, ref);
    if (hold->ref.serial) {
        hold->count++;
        return;
    }
    if (2 * holds->used > holds->mask) {
        // one place stays free in any case: searches end there
        if (!grow(holds) && holds->used == holds->mask) return;
        hold = find(holds, ref);
    }
    *hold = (mt_hold){.ref = ref, .count = 1};
    holds->used++;
}

int mt_holds_has(const mt_holds *holds, manta_ref ref) { return holds->used && find(holds, ref)->ref.serial != 0; }

int mt_holds_remove(mt_holds *holds, manta_ref ref) {
    mt_hold *hold = find(holds, ref);
    if (!hold->ref.serial) return 0;
    if (--hold->count) return 1;
    // close the gap: what follows moves up unless it stands at home
    uint32_t gap = (uint32_t)(hold - holds->table);
    for (uint32_t i = (gap + 1) & holds->mask; holds->table[i].ref.serial; i = (i + 1) & holds->mask) {
        uint32_t home = home_of(holds->table[i].ref) & holds->mask;
        if (((i - home) & holds->mask) < ((i - gap) & holds->mask)) continue;
        holds->table[gap] = holds->table[i];
        gap = i;
    }
    holds->table[gap].ref.serial = 0;
    holds->used--;
    return 1;
}

void mt_holds_clear(mt_holds *holds, void (*release)(void *context, manta_ref ref), void *context) {
    for (uint32_t i = 0; holds->used && i <= holds->mask; i++) {
        mt_hold *hold = &holds->table[i];
        if (!hold->ref.serial) continue;
        for (; hold->count; hold->count--) release(context, hold->ref);
        hold->ref.serial = 0;
        holds->used--;
    }
    if (holds->table != holds->first && holds->mask > 16 * MT_HOLDS_INLINE) {   // one body held many; the next need not pay for it
        free(holds->table);
        mt_holds_init(holds);
    }
}
