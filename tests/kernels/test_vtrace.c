// V-trace against eq. 1 of the paper as it stands there, a sum over products, in double; against GAE and n-step returns where the
// policy that acted is the one that learns; poisoned final values where they may not be read; an environment knows of no other.
#include "fixture.h"

static mt_vtrace make(int64_t steps, int64_t envs) {
    int64_t count = steps * envs;
    uint8_t *terminated = fenced(count), *truncated = fenced(count);
    float *final_value = floats(count);
    for (int64_t i = 0; i < count; i++) {
        terminated[i] = random_u32() % 7 == 0 ? (uint8_t)(1 + random_u32() % 200) : 0;
        truncated[i] = random_u32() % 7 == 0;
        final_value[i] = truncated[i] && !terminated[i] ? (float)normal() : NAN;
    }
    return (mt_vtrace){.steps = steps,
        .envs = envs,
        .reward = normals_of(count, 1),
        .value = normals_of(count + envs, 1),
        .behaviour_log_prob = normals_of(count, 0.7),
        .target_log_prob = normals_of(count, 0.7),
        .terminated = terminated,
        .truncated = truncated,
        .final_value = final_value,
        .gamma = 0.99f,
        .lambda = 0.9f,
        .rho_bar = 1.2f,
        .c_bar = 0.8f,
        .vs = floats(count),
        .advantage = floats(count)};
}

// ---- the paper

static double ratio(const mt_vtrace *a, int64_t i) { return exp((double)a->target_log_prob[i] - a->behaviour_log_prob[i]); }
static int done(const mt_vtrace *a, int64_t i) { return a->terminated[i] || a->truncated[i]; }

// V(x_{t+1}): of the step's own episode
static double value_after(const mt_vtrace *a, int64_t i) {
    return a->terminated[i] ? 0 : a->truncated[i] ? a->final_value[i] : a->value[i + a->envs];
}

// v_s = V(x_s) + Σ_{t = s}^{s+n-1} γ^{t-s} (Π_{i = s}^{t-1} c_i) ρ_t (r_t + γ V(x_{t+1}) - V(x_t)), the sum up to the episode's end
static double target_of(const mt_vtrace *a, int64_t s, int64_t n) {
    double sum = a->value[s * a->envs + n];
    for (int64_t t = s; t < a->steps; t++) {
        double weight = 1;
        for (int64_t i = s; i < t; i++) weight *= (double)a->gamma * a->lambda * fmin(a->c_bar, ratio(a, i * a->envs + n));
        int64_t at = t * a->envs + n;
        sum += weight * fmin(a->rho_bar, ratio(a, at)) * (a->reward[at] + a->gamma * value_after(a, at) - a->value[at]);
        if (done(a, at)) break;
    }
    return sum;
}

// ρ_s (r_s + γ v_{s+1} - V(x_s))
static double advantage_of(const mt_vtrace *a, int64_t s, int64_t n) {
    int64_t at = s * a->envs + n;
    double after = done(a, at) || s + 1 == a->steps ? value_after(a, at) : target_of(a, s + 1, n);
    return fmin(a->rho_bar, ratio(a, at)) * (a->reward[at] + a->gamma * after - a->value[at]);
}

static void against_the_paper(const mt_kernels *k, mt_vtrace *a) {
    k->vtrace(a);
    for (int64_t t = 0; t < a->steps; t++)
        for (int64_t n = 0; n < a->envs; n++) {
            int64_t i = t * a->envs + n;
            near(a->vs[i], target_of(a, t, n), 1e-5, "target (%ld, %ld) of %ld envs", (long)t, (long)n, (long)a->envs);
            near(a->advantage[i], advantage_of(a, t, n), 1e-5, "advantage (%ld, %ld) of %ld envs", (long)t, (long)n, (long)a->envs);
        }
}

static void parity(const mt_kernels *k) {
    static const float bars[][2] = {{1, 1}, {1.2f, 0.8f}, {0.5f, 3}, {INFINITY, 1}};
    for (int64_t steps = 1; steps <= 40; steps += 13)
        for (int c = 0; c <= row_count_count; c++) {
            mt_vtrace a = make(steps, c < row_count_count ? row_counts[c] : 133);
            a.rho_bar = bars[c % 4][0], a.c_bar = bars[c % 4][1], a.lambda = c % 2 ? 1.0f : 0.9f;
            against_the_paper(k, &a);
            unfence();
        }
    mt_vtrace wide = make(3, 1024 + 17); // more than are worked through together
    against_the_paper(k, &wide);
    unfence();
}
Test(vtrace, follows_the_paper) { each_isa(parity); }

// ---- on-policy

static mt_gae gae_of(const mt_vtrace *a) {
    return (mt_gae){.steps = a->steps,
        .envs = a->envs,
        .reward = a->reward,
        .value = a->value,
        .terminated = a->terminated,
        .truncated = a->truncated,
        .final_value = a->final_value,
        .gamma = a->gamma,
        .lambda = a->lambda,
        .advantage = floats(a->steps * a->envs),
        .returns = floats(a->steps * a->envs)};
}

static void on_policy(const mt_kernels *k) {
    for (int run = 0; run < 2; run++) {
        mt_vtrace a = make(27, 37);
        a.behaviour_log_prob = a.target_log_prob;
        a.rho_bar = 1, a.c_bar = run ? 5 : 1, a.lambda = run ? 0.9f : 1;
        mt_gae g = gae_of(&a);
        k->vtrace(&a);
        k->gae(&g);
        for (int64_t i = 0; i < a.steps * a.envs; i++) {
            near(a.vs[i], g.returns[i], 2e-6, "%ld: GAE's return", (long)i);
            if (a.lambda == 1) near(a.advantage[i], g.advantage[i], 2e-6, "%ld: GAE's advantage", (long)i);
        }
        unfence();
    }
}
Test(vtrace, is_gae_where_the_policy_is_its_own) { each_isa(on_policy); }

// λ = 1 and nothing ends: the discounted sum of rewards and of the last value
static void n_step(const mt_kernels *k) {
    mt_vtrace a = make(20, 9);
    memset((uint8_t *)(uintptr_t)a.terminated, 0, 20 * 9), memset((uint8_t *)(uintptr_t)a.truncated, 0, 20 * 9);
    a.behaviour_log_prob = a.target_log_prob, a.lambda = a.rho_bar = a.c_bar = 1;
    k->vtrace(&a);
    for (int64_t n = 0; n < a.envs; n++) {
        double sum = a.value[20 * a.envs + n];
        for (int64_t t = 20; t-- > 0;) {
            sum = a.reward[t * a.envs + n] + (double)a.gamma * sum;
            near(a.vs[t * a.envs + n], sum, 1e-5, "return (%ld, %ld)", (long)t, (long)n);
        }
    }
    unfence();
}
Test(vtrace, is_the_n_step_return_where_the_policy_is_its_own) { each_isa(n_step); }

// ---- lanes

static void independent(const mt_kernels *k) {
    for (int64_t envs = 37; envs < 1100; envs += 1000) {
        mt_vtrace all = make(33, envs), one = make(33, 1);
        float *reward = (float *)(uintptr_t)one.reward, *value = (float *)(uintptr_t)one.value,
              *final_value = (float *)(uintptr_t)one.final_value, *behaviour = (float *)(uintptr_t)one.behaviour_log_prob,
              *target = (float *)(uintptr_t)one.target_log_prob;
        uint8_t *terminated = (uint8_t *)(uintptr_t)one.terminated, *truncated = (uint8_t *)(uintptr_t)one.truncated;
        k->vtrace(&all);
        for (int64_t n = 0; n < envs; n++) {
            for (int64_t t = 0; t <= 33; t++) {
                int64_t i = t * envs + n;
                value[t] = all.value[i];
                if (t == 33) break;
                reward[t] = all.reward[i], final_value[t] = all.final_value[i];
                behaviour[t] = all.behaviour_log_prob[i], target[t] = all.target_log_prob[i];
                terminated[t] = all.terminated[i], truncated[t] = all.truncated[i];
            }
            k->vtrace(&one);
            for (int64_t t = 0; t < 33; t++) {
                check_eq(one.vs[t], all.vs[t * envs + n], "%s: vs of environment %ld", k->name, (long)n);
                check_eq(one.advantage[t], all.advantage[t * envs + n], "%s: advantage of environment %ld", k->name, (long)n);
            }
        }
        unfence();
    }
}
Test(vtrace, an_environment_knows_of_no_other) { each_isa(independent); }
