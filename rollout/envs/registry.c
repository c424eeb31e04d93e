// Lists the built-in environments. Pure; any thread.
#include "rollout/envs/builtin.h"

#include <string.h>

#define MT_PUZZLE(name) &mt_env_##name,
#define MT_X(name) &mt_env_##name##_plain,
static const manta_env_desc *const plain[] = {MT_ENV_BUILTIN_LIST(MT_X) MT_ENV_PUZZLE_LIST(MT_PUZZLE)};
#undef MT_X
#if defined(__x86_64__)
#define MT_X(name) &mt_env_##name##_avx2,
static const manta_env_desc *const avx2[] = {MT_ENV_BUILTIN_LIST(MT_X) MT_ENV_PUZZLE_LIST(MT_PUZZLE)};
#undef MT_X
#define MT_X(name) &mt_env_##name##_avx512,
static const manta_env_desc *const avx512[] = {MT_ENV_BUILTIN_LIST(MT_X) MT_ENV_PUZZLE_LIST(MT_PUZZLE)};
#undef MT_X
#endif
#undef MT_PUZZLE

const manta_env_desc *const *mt_env_builtins(mt_isa isa, size_t *count) {
    *count = 0;
    if (!mt_kernels_cpu(isa)) return NULL;   // it knows what this machine can run
    *count = sizeof plain / sizeof *plain;
#if defined(__x86_64__)
    if (isa == MT_ISA_avx512_id) return avx512;
    if (isa == MT_ISA_avx2_id) return avx2;
#endif
    return plain;
}

mt_status mt_env_builtins_choose(const manta_env_desc *const **out, size_t *count) {
    const mt_kernels *kernels;
    *out = NULL;
    *count = 0;
    MT_TRY(mt_kernels_choose(&kernels));   // the one place that reads MANTA_ISA
    for (int isa = 0; isa < MT_ISA_COUNT; isa++)
        if (mt_kernels_cpu((mt_isa)isa) == kernels) *out = mt_env_builtins((mt_isa)isa, count);
    return *out ? MT_OK : MT_FAIL(INTERNAL, "no built-in environments for %s", kernels->name);
}
