// One environment's step, of whichever kind, in the one-lane words of vec.h: what the operation classic_step does with a row, on the
// CPU and in a GPU's thread. `kind` is a constant where this is inlined in a kernel. Random words are the includer's.
#ifndef MANTA_KERNELS_CLASSIC_ROW_H
#define MANTA_KERNELS_CLASSIC_ROW_H

#include "kernels/classic/acrobot.h"
#include "kernels/classic/cartpole.h"
#include "kernels/classic/mountain_car.h"
#include "kernels/classic/mountain_car_continuous.h"
#include "kernels/classic/pendulum.h"

// ---- what differs from kind to kind

typedef struct classic_sizes {
    int states, obs, is_number;
} classic_sizes;
CLASSIC_FN classic_sizes classic_sizes_of(mt_classic_kind kind) {
    classic_sizes z = {0, 0, 0};
    switch (kind) {
#define MT_X(id, name, states_, obs_, number_)                                                                         \
    case MT_CLASSIC_##id: z.states = states_, z.obs = obs_, z.is_number = number_; break;
        MT_CLASSIC_LIST(MT_X)
#undef MT_X
    }
    return z;
}

CLASSIC_FN void classic_move(mt_classic_kind kind, const double *param, classic_rows *r) {
    switch (kind) {
#define MT_X(id, name, states_, obs_, number_)                                                                           \
    case MT_CLASSIC_##id: name##_move(param, r); return;
        MT_CLASSIC_LIST(MT_X)
#undef MT_X
    }
}

CLASSIC_FN void classic_start(mt_classic_kind kind, const uint32_t *word, double *state) {
    double unit[4];
    for (int k = 0; k < 4; k++) unit[k] = word[k] * 0x1p-32;
    switch (kind) {
#define MT_X(id, name, states_, obs_, number_)                                                                           \
    case MT_CLASSIC_##id: name##_begin(unit, state); return;
        MT_CLASSIC_LIST(MT_X)
#undef MT_X
    }
}

CLASSIC_FN void classic_observe(mt_classic_kind kind, const double *state, float *obs) {
    switch (kind) {
#define MT_X(id, name, states_, obs_, number_)                                                                           \
    case MT_CLASSIC_##id: name##_observe(state, obs); return;
        MT_CLASSIC_LIST(MT_X)
#undef MT_X
    }
}

// ---- a row

// as the space's bounds clip it; NaN passes through
CLASSIC_FN float classic_clip(const mt_classic *of, float x) {
    x = x < of->low ? of->low : x;
    return x > of->high ? of->high : x;
}

CLASSIC_FN mt_classic_record *classic_record_at(mt_classic_kind kind, const mt_classic_step *s, int64_t i) {
    int64_t bytes = (int64_t)sizeof(mt_classic_record) + (int64_t)sizeof(double) * classic_sizes_of(kind).states;
    return (mt_classic_record *)(void *)((char *)s->records + i * bytes);
}
CLASSIC_FN double *classic_state_of(mt_classic_record *record) { return (double *)(void *)(record + 1); }

// The step of row i up to its end. Where it ends (1) classic_row_anew follows.
CLASSIC_FN int classic_row_step(mt_classic_kind kind, const mt_classic_step *s, int64_t i) {
    classic_sizes z = classic_sizes_of(kind);
    mt_classic_record *record = classic_record_at(kind, s, i);
    double *state = classic_state_of(record);
    classic_rows r;
    __builtin_memset(&r, 0, sizeof r);
    for (int k = 0; k < z.states; k++) r.state[k] = state[k];
    r.lanes = 1, r.steps = record->steps;
    if (kind == MT_CLASSIC_PENDULUM) r.cache = pendulum_cache(state);
    if (z.is_number) r.push = classic_clip(&s->of, s->action[i]);
    else r.choice = s->choice[i];
    classic_move(kind, s->of.param, &r);

    int64_t steps = record->steps + 1;
    int terminated = r.terminated != 0, cut = steps >= s->of.max_steps, ended = terminated | cut;
    for (int k = 0; k < z.states; k++) state[k] = r.state[k];
    record->steps = steps;
    float *obs = (ended ? s->final_obs : s->obs) + i * z.obs;
    for (int k = 0; k < z.obs; k++) obs[k] = r.obs[k];
    s->reward[i] = r.reward;
    s->terminated[i] = (uint8_t)terminated, s->truncated[i] = (uint8_t)cut, s->ended[i] = (uint8_t)ended;
    s->bad[i] = (uint8_t)(r.bad != 0);
    return ended;
}

// The next episode of row i, out of the four words that its number gives.
CLASSIC_FN void classic_row_anew(mt_classic_kind kind, const mt_classic_step *s, int64_t i, const uint32_t *word) {
    mt_classic_record *record = classic_record_at(kind, s, i);
    record->steps = 0;
    record->episode++;
    classic_start(kind, word, classic_state_of(record));
    classic_observe(kind, classic_state_of(record), s->obs + i * classic_sizes_of(kind).obs);
}

#endif
