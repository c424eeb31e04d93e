// manta_env_parity FILE.traj...: replays recorded trajectories through the built-in environments, for every instruction
// set of this machine, and prints the worst differences. Exit status 1 when one is above 1e-6.
#include <stdio.h>
#include <string.h>

#include "rollout/envs/builtin.h"
#include "trajectory.h"

static const manta_env_desc *find(mt_isa isa, const char *id) {
    size_t count;
    const manta_env_desc *const *descs = mt_env_builtins(isa, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(descs[i]->id, id) == 0) return descs[i];
    return NULL;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"plain", "avx2", "avx512"};
    int failed = argc < 2;
    for (int i = 1; i < argc; i++) {
        trajectory t;
        if (trajectory_read(argv[i], &t)) return 1;
        for (int isa = 0; isa < MT_ISA_COUNT; isa++) {
            const manta_env_desc *desc = find((mt_isa)isa, t.id);
            parity result;
            if (!desc) continue;
            if (trajectory_compare(&t, desc, 1e-6, &result)) return 1;
            printf("%-24s %-6s %u episodes %llu steps: worst obs %.2g reward %.2g, %u episodes off%s%s\n", t.id, names[isa],
                t.episode_count, (unsigned long long)result.steps, result.worst_obs, result.worst_reward, result.episodes_off,
                result.first[0] ? ": " : "", result.first);
            failed |= result.episodes_off != 0;
        }
        trajectory_free(&t);
    }
    return failed;
}
