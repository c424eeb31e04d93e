// A step of N environments of classic control, one after the other (kernels/classic/row.h): for a device that is the CPU, and what the
// GPU's is compared with. Rollouts on the CPU step vectors of environments with the same arithmetic (rollout/envs). Beside it rows that
// are put down one behind the other, rows[*time] = row: bytes read and written once.
#define MT_VEC_ONE_LANE
#include "kernels/classic/row.h"

#include "engine/base/rng.h"
#include "kernels/cpu/ops.h"

void MT_ISA_NAME(mt_classic_step)(const mt_classic_step *s) {
    mt_classic_kind kind = s->of.kind;
    for (int64_t i = 0; i < s->envs; i++) {
        if (!classic_row_step(kind, s, i)) continue;
        const mt_classic_record *record = classic_record_at(kind, s, i);
        uint32_t word[4];
        mt_rng_block(record->seed, mt_rng_stream(MT_RNG_ENV, 0), record->episode, word);
        classic_row_anew(kind, s, i, word);
    }
}

void MT_ISA_NAME(mt_append_row)(int64_t bytes, const void *row, void *rows, int64_t *time, uint64_t *step) {
    memcpy((char *)rows + *time * bytes, row, (size_t)bytes);
    ++*time, ++*step;
}
