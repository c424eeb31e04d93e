// GAE against the recursion in double; poisoned final values where they may not be read; an environment knows of no
// other.
#include "fixture.h"

typedef struct segment {
    int64_t steps, envs;
    float *reward, *value, *final_value, *advantage, *returns;
    uint8_t *terminated, *truncated;
} segment;

static segment make(int64_t steps, int64_t envs) {
    segment s = {steps, envs, normals_of(steps * envs, 1), normals_of((steps + 1) * envs, 1), floats(steps * envs),
        floats(steps * envs), floats(steps * envs), fenced(steps * envs), fenced(steps * envs)};
    for (int64_t i = 0; i < steps * envs; i++) {
        s.terminated[i] = random_u32() % 7 == 0 ? (uint8_t)(1 + random_u32() % 200) : 0;
        s.truncated[i] = random_u32() % 7 == 0;
        s.final_value[i] = s.truncated[i] && !s.terminated[i] ? (float)normal() : NAN;
    }
    return s;
}
static void run(const mt_kernels *k, const segment *s) {
    k->gae(&(mt_gae){.steps = s->steps,
        .envs = s->envs,
        .reward = s->reward,
        .value = s->value,
        .terminated = s->terminated,
        .truncated = s->truncated,
        .final_value = s->final_value,
        .gamma = 0.99f,
        .lambda = 0.95f,
        .advantage = s->advantage,
        .returns = s->returns});
}

static void parity(const mt_kernels *k) {
    for (int64_t steps = 1; steps <= 40; steps += 13)
        for (int c = 0; c <= row_count_count; c++) {
            segment s = make(steps, c < row_count_count ? row_counts[c] : 133);
            run(k, &s);
            for (int64_t n = 0; n < s.envs; n++) {
                double next = 0;
                for (int64_t t = steps - 1; t >= 0; t--) {
                    int64_t i = t * s.envs + n;
                    double v_next = s.terminated[i] ? 0 : s.truncated[i] ? s.final_value[i] : s.value[i + s.envs];
                    double keep = s.terminated[i] || s.truncated[i] ? 0 : (double)0.99f * 0.95f;
                    next = s.reward[i] + (double)0.99f * v_next - s.value[i] + keep * next;
                    near(
                        s.advantage[i], next, 1e-5, "advantage (%ld, %ld) of %ld envs", (long)t, (long)n, (long)s.envs);
                    near(s.returns[i], next + s.value[i], 1e-5, "return (%ld, %ld)", (long)t, (long)n);
                }
            }
            unfence();
        }
}
Test(gae, follows_the_recursion) { each_isa(parity); }

static void independent(const mt_kernels *k) {
    for (int64_t envs = 37; envs < 300; envs += 140) {
        segment all = make(33, envs), one = make(33, 1);
        run(k, &all);
        for (int64_t n = 0; n < all.envs; n++) {
            for (int64_t t = 0; t <= all.steps; t++) {
                int64_t i = t * all.envs + n;
                one.value[t] = all.value[i];
                if (t == all.steps) break;
                one.reward[t] = all.reward[i], one.final_value[t] = all.final_value[i];
                one.terminated[t] = all.terminated[i], one.truncated[t] = all.truncated[i];
            }
            run(k, &one);
            for (int64_t t = 0; t < all.steps; t++)
                check_eq(one.advantage[t], all.advantage[t * all.envs + n], "%s", k->name);
        }
        unfence();
    }
}
Test(gae, an_environment_knows_of_no_other) { each_isa(independent); }
