// Policies: shapes and names, initialisation, bad descriptions.
#include "policies/policy.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const mt_policy_desc cartpole = {.obs = 4, .distribution = MT_DIST_CATEGORICAL, .action = 1, .nvec = {2}, .pi = {64, 64},
    .vf = {64, 64}, .pi_depth = 2, .vf_depth = 2, .activation = MT_ACT_tanh, .ortho_init = 1};

typedef struct names {
    int count;
    char text[1024];
} names;

static mt_status note(void *context, const char *name, const mt_tensor *tensor) {
    names *n = context;
    char shape[64];
    mt_tensor_format(tensor, shape, sizeof shape);
    n->count++;
    snprintf(n->text + strlen(n->text), sizeof n->text - strlen(n->text), "%s %s\n", name, shape);
    return MT_OK;
}

Test(policy, parameters_have_the_names_and_shapes_of_stable_baselines3) {
    mt_policy *p;
    cr_assert_eq(mt_policy_create(&cartpole, &p), MT_OK);
    cr_expect_eq(mt_policy_parameter_count(p), 2 * (4 * 64 + 64 + 64 * 64 + 64) + 64 * 2 + 2 + 64 + 1);
    names n = {0};
    float *slab = calloc((size_t)p->sizes.params, sizeof *slab);
    mt_policy_visit(p, slab, note, &n);
    cr_expect_str_eq(n.text, "mlp_extractor.policy_net.0.weight F32 (64, 4)\nmlp_extractor.policy_net.0.bias F32 (64)\n"
                             "mlp_extractor.policy_net.2.weight F32 (64, 64)\nmlp_extractor.policy_net.2.bias F32 (64)\n"
                             "action_net.weight F32 (2, 64)\naction_net.bias F32 (2)\n"
                             "mlp_extractor.value_net.0.weight F32 (64, 4)\nmlp_extractor.value_net.0.bias F32 (64)\n"
                             "mlp_extractor.value_net.2.weight F32 (64, 64)\nmlp_extractor.value_net.2.bias F32 (64)\n"
                             "value_net.weight F32 (1, 64)\nvalue_net.bias F32 (1)\n");
    free(slab);
    mt_policy_destroy(p);
}

static void check_orthogonal(const float *w, int rows, int cols, double gain) {
    int small = rows < cols ? rows : cols;
    for (int a = 0; a < small; a++)
        for (int b = 0; b <= a; b++) {
            double dot = 0;
            for (int j = 0; j < (rows < cols ? cols : rows); j++)
                dot += rows < cols ? (double)w[a * cols + j] * w[b * cols + j] : (double)w[j * cols + a] * w[j * cols + b];
            cr_expect_float_eq(dot, a == b ? gain * gain : 0, 1e-5 * gain * gain + 1e-7);
        }
}

Test(policy, orthogonal_initialisation_has_the_gains_of_the_literature) {
    mt_policy *p;
    mt_arena arena = {0};
    mt_weights w;
    cr_assert_eq(mt_policy_create(&cartpole, &p), MT_OK);
    mt_weights_register(&w, p, &arena);
    cr_assert_eq(mt_arena_commit(&arena), MT_OK);
    cr_assert_eq(mt_weights_init(&w, p, mt_kernels_cpu(MT_ISA_plain_id), 1), MT_OK);
    check_orthogonal(w.param + p->pi.layer[1].tensor[0], 64, 4, sqrt(2));
    check_orthogonal(w.param + p->pi.layer[2].tensor[0], 64, 64, sqrt(2));
    check_orthogonal(w.param + p->pi.layer[3].tensor[0], 2, 64, 0.01);
    check_orthogonal(w.param + p->vf.layer[3].tensor[0], 1, 64, 1);
    for (int i = 0; i < 64; i++) cr_expect_eq(w.param[p->pi.layer[1].tensor[1] + i], 0);
    mt_arena_fini(&arena);
    mt_policy_destroy(p);
}

Test(policy, bad_descriptions_are_errors_that_say_what) {
    mt_policy *p;
    mt_policy_desc d = cartpole;
    d.obs = 0;
    cr_expect_eq(mt_policy_create(&d, &p), MT_CONFIG);
    cr_expect_null(p);
    d = cartpole, d.nvec[0] = 0;
    cr_expect_eq(mt_policy_create(&d, &p), MT_CONFIG);
    cr_expect_not_null(strstr(mt_last_error(), "choices"));
    d = cartpole, d.pi[1] = -3;
    cr_expect_eq(mt_policy_create(&d, &p), MT_CONFIG);
    d = cartpole, d.pi_depth = MT_POLICY_MAX_DEPTH + 1;
    cr_expect_eq(mt_policy_create(&d, &p), MT_CONFIG);
    cr_expect_not_null(strstr(mt_last_error(), "net_arch"));
}
