// Every architecture against what PyTorch made of it: the files that parity_torch.py recorded.
#include "parity.h"

#include "engine/base/file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define DATA MANTA_SOURCE_DIR "/tests/policies/data/parity"

// At least so many cases are there: one that went missing would be one that passed
enum { CASES = 40 };

static void check_case(const char *name, mt_isa isa) {
    char path[MT_PATH_BYTES];
    parity p;
    parity_error e;
    const mt_kernels *k = mt_kernels_cpu(isa);
    if (!k) return;
    cr_assert_eq(mt_path_join(path, sizeof path, DATA, name), MT_OK);
    mt_status status = parity_open(path, k, &p);
    cr_assert_eq(status, MT_OK, "%s", mt_last_error());
    parity_run(&p);
    cr_assert_eq(parity_compare(&p, &e), MT_OK, "%s", mt_last_error());
    cr_expect_lt(e.output, 1e-5, "%s, %s: %s differs by %g", name, k->name, e.output_name, e.output);
    cr_expect_lt(e.gradient, 1e-4, "%s, %s: the gradient of %s differs by %g", name, k->name, e.gradient_name, e.gradient);
    parity_close(&p);
}

Test(parity, outputs_and_gradients_are_those_of_pytorch) {
    mt_folder_names names;
    cr_assert_eq(mt_folder_list(DATA, &names), MT_OK, "%s", mt_last_error());
    cr_expect_geq(names.count, CASES);
    for (size_t i = 0; i < names.count; i++)
        for (int isa = 0; isa < MT_ISA_COUNT; isa++) check_case(names.names[i], (mt_isa)isa);
    mt_folder_names_fini(&names);
}

// a comparison that cannot fail would prove nothing
Test(parity, one_changed_weight_is_seen) {
    parity p;
    parity_error e;
    mt_status status = parity_open(DATA "/lstm_each_stacked.safetensors", mt_kernels_cpu(MT_ISA_plain_id), &p);
    cr_assert_eq(status, MT_OK, "%s", mt_last_error());
    p.weights.param[p.policy->vf.layer[2].tensor[3]] += 0.01f;
    parity_run(&p);
    cr_assert_eq(parity_compare(&p, &e), MT_OK);
    cr_expect_gt(e.output, 1e-5);
    cr_expect_gt(e.gradient, 1e-4);
    parity_close(&p);
}
