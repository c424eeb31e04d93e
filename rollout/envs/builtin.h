// The environments that come with manta. Those with physics are compiled once per instruction set; every set gives the same bits.
#ifndef MANTA_ROLLOUT_ENVS_BUILTIN_H
#define MANTA_ROLLOUT_ENVS_BUILTIN_H

#include "kernels/kernels.h"
#include "rollout/manta_env.h"

// X(name): mt_env_NAME_{plain,avx2,avx512}, at the end of NAME.c
#define MT_ENV_BUILTIN_LIST(X)                                                                                          \
    X(cartpole) X(mountain_car) X(mountain_car_continuous) X(pendulum) X(acrobot) X(cartpole_no_vel)

#define MT_X(name)                                                                                                     \
    extern const manta_env_desc mt_env_##name##_plain, mt_env_##name##_avx2, mt_env_##name##_avx512;
MT_ENV_BUILTIN_LIST(MT_X)
#undef MT_X

// X(name): mt_env_NAME, at the end of NAME.c; the same for every instruction set
#define MT_ENV_PUZZLE_LIST(X) X(memory_chain) X(catch) X(catch_or_dodge)

#define MT_X(name) extern const manta_env_desc mt_env_##name;
MT_ENV_PUZZLE_LIST(MT_X)
#undef MT_X

// "manta.classic": of environments whose dynamics stand in kernels/classic.
#define MT_EXT_CLASSIC "manta.classic"
typedef struct mt_env_classic_form {
    uint32_t struct_size;
    // What the kernel classic_step steps: all but the bounds of actions. 1, and why, where it does not step these.
    int (*describe)(const manta_env *env, mt_classic *out, char *why);
} mt_env_classic_form;

// The descriptors for one instruction set; *count says how many. NULL when this build or machine lacks the set.
const manta_env_desc *const *mt_env_builtins(mt_isa isa, size_t *count);

// Those for the best set this machine has, or the one MANTA_ISA names; MT_UNSUPPORTED / MT_CONFIG as mt_kernels_choose.
mt_status mt_env_builtins_choose(const manta_env_desc *const **out, size_t *count);

#endif
