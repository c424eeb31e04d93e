// Chooses among the instruction sets of the cpu back end at run time. Pure; any thread.
#include "kernels/kernels.h"

#include <stdlib.h>
#include <string.h>

// each is the descriptor at the end of kernels/cpu/table.c, compiled for its set
extern const mt_kernels mt_kernels_plain;
#if defined(__x86_64__)
extern const mt_kernels mt_kernels_avx2;
extern const mt_kernels mt_kernels_avx512;
#endif

#if defined(__x86_64__)
// the psABI's levels, by what they add: clang 14 does not know them by name
static int has_v3(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"); }
static int has_v4(void) {
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

const mt_kernels *mt_kernels_cpu(mt_isa isa) {
#if defined(__x86_64__)
    if (isa == MT_ISA_avx512_id && has_v4()) return &mt_kernels_avx512;
    if (isa == MT_ISA_avx2_id && has_v3()) return &mt_kernels_avx2;
#endif
    return isa == MT_ISA_plain_id ? &mt_kernels_plain : NULL;
}

mt_status mt_kernels_choose(const mt_kernels **out) {
    static const char *const names[MT_ISA_COUNT] = {"plain", "avx2", "avx512"};
    const char *wanted = getenv("MANTA_ISA");
    *out = NULL;
    if (!wanted || !*wanted) {
        for (int isa = MT_ISA_COUNT - 1; !*out; isa--) *out = mt_kernels_cpu((mt_isa)isa);
        return MT_OK;
    }
    for (int isa = 0; isa < MT_ISA_COUNT; isa++)
        if (strcmp(wanted, names[isa]) == 0) {
            *out = mt_kernels_cpu((mt_isa)isa);
            return *out ? MT_OK
                        : MT_FAIL(UNSUPPORTED, "MANTA_ISA=%s: this machine or build has no %s; unset it to choose the best",
                              wanted, wanted);
        }
    return MT_FAIL(CONFIG, "MANTA_ISA=%s: not an instruction set; use plain, avx2 or avx512, or unset it", wanted);
}
