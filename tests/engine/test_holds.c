// holds.h: counts in a table that grows, shrinks and closes its gaps.
#include <criterion/criterion.h>
#include <string.h>
#include "engine/runtime/api/holds.h"

static manta_ref ref_of(int i) { return (manta_ref){.owner = (uint32_t)i % 3, .slot = (uint32_t)(i * 7), .serial = (uint64_t)i + 1}; }

Test(holds, against_plain_counts) {
    enum { REFS = 500, STEPS = 200000 };
    static int counts[REFS];
    mt_holds holds;
    mt_holds_init(&holds);
    uint64_t x = 88172645463325252u;
    for (int step = 0; step < STEPS; step++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        int i = (int)(x % REFS), phase = step / 20000 % 2;
        if ((x >> 32) % 8 < (phase ? 3u : 5u)) {
            mt_holds_add(&holds, ref_of(i));
            counts[i]++;
        } else {
            cr_assert_eq(mt_holds_remove(&holds, ref_of(i)), counts[i] > 0);
            if (counts[i]) counts[i]--;
        }
        if (step % 1000) continue;
        uint32_t used = 0;
        for (int k = 0; k < REFS; k++) {
            used += counts[k] > 0;
            cr_assert_eq(mt_holds_has(&holds, ref_of(k)), counts[k] > 0);
        }
        cr_assert_eq(holds.used, used);
    }
    mt_holds_fini(&holds);
}

static void count(void *context, manta_ref ref) { ((int *)context)[ref.serial - 1]++; }

Test(holds, clear_gives_every_count_back) {
    static int given[2000];
    mt_holds holds;
    mt_holds_init(&holds);
    for (int i = 0; i < 2000; i++)
        for (int k = 0; k <= i % 3; k++) mt_holds_add(&holds, ref_of(i));
    mt_holds_clear(&holds, count, given);
    for (int i = 0; i < 2000; i++) cr_assert_eq(given[i], i % 3 + 1);
    cr_assert_eq(holds.used, 0);
    cr_assert_eq(holds.table, holds.first, "small again");
    cr_assert(!mt_holds_remove(&holds, ref_of(3)));
    mt_holds_add(&holds, ref_of(3));
    cr_assert(mt_holds_has(&holds, ref_of(3)));
    mt_holds_fini(&holds);
}
