// The checker of policies, layers and losses: good ones pass, every broken one fails for its own reason, and the checker survives them all.
#include "policies/policy_check.h"
#include "policies/policy_plugin.h"
#include "tests/verdicts.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// from a copy in a folder that only we can write to (the build folder's mode depends on the umask)
static void check(const char *from, verdicts *out) {
    char folder[] = "/tmp/manta-test-XXXXXX", path[64], command[2 * PATH_MAX];
    int failures;
    memset(out, 0, sizeof *out);
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/plugin.so", folder);
    snprintf(command, sizeof command, "cp '%s' '%s' && chmod 755 '%s'", from, path, path);
    cr_assert_eq(system(command), 0, "cannot copy %s", from);
    cr_assert_eq(mt_policy_plugin_check(path, INT64_C(4000000000), verdicts_take, out, &failures), MT_OK, "%s", mt_last_error());
    cr_expect_eq(failures, out->fails);
    unlink(path);
    rmdir(folder);
}

static void passes(const char *from, int at_least) {
    verdicts l;
    check(from, &l);
    cr_expect(l.fails == 0 && l.passes >= at_least, "%s", l.all);
}

// the plugin fails, first of all for this reason: the check's name and words of its line
static void fails_for(const char *fault, const char *check_name, const char *words) {
    verdicts l;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/faulty_%s.so", FAULTY_PLUGINS, fault);
    check(path, &l);
    expect_fails_for(&l, fault, check_name, words);
}

Test(policy_check, good_ones_pass) {
    passes(MANTA_BINARY_DIR "/examples/my_policy.so", 12);
    passes(MANTA_BINARY_DIR "/examples/my_layer.so", 12);
    passes(MANTA_BINARY_DIR "/examples/my_loss.so", 8);
    passes(FAULTY_PLUGINS "/plain.so", 54);
    verdicts l;
    check(FAULTY_PLUGINS "/faulty.so", &l);
    cr_expect(l.fails == 0 && l.warns == 0 && l.passes >= 30 && strstr(l.all, "PASS steps: layer faulty"), "%s", l.all);
}

Test(policy_check, what_does_not_load) {
    fails_for("abi", "load", "made for policy ABI version 7, this manta speaks version 1");
    fails_for("struct_size", "load", "a policy's struct_size is 16");
    fails_for("no_backward", "load", "policy faulty: .backward is NULL");
    fails_for("entry_null", "load", "returned NULL");
    fails_for("no_symbol", "load", "exports no manta_policy_entry");
}

Test(policy_check, what_cannot_be_made) {
    fails_for("refuses", "create", "policy faulty, it refuses everything that it was tried with");
    fails_for("huge", "plan", "row_floats is 1099511627776");
    fails_for("names", "plan", "two parameters are called pi0.weight");
    fails_for("random_init", "init", "the same seed gave other first parameters");
    fails_for("shape", "plan", "layer faulty, a vector of 5: its output is 1 x 1 x 0");
    fails_for("own_name", "name", "layer dense, which manta itself has: --plugin refuses it");
    fails_for("numbers", "plan", "it changed the first half of the plan");
}

Test(policy_check, wrong_gradients) {
    fails_for("gradient", "gradient", "policy faulty, 3 actions: backward says that the loss changes by 0 with pi1.bias[1], finite differences");
    fails_for("factor", "gradient", "vf0.weight");
    fails_for("overwrites", "adds", "the gradient of vf0.weight[0]");
    fails_for("dx", "gradient", "layer faulty, a vector of 5: backward says");
    fails_for("sign", "gradient", "loss faulty, 3 actions: d_head says");
    fails_for("inv_rows", "rows", "d_value of a row alone has other bits");
    fails_for("log_std", "gradient", "loss faulty, a box of 2: d_log_std says that the loss changes by 0 with log_std");
}

Test(policy_check, wrong_values) {
    fails_for("nan", "finite", "forward wrote");
    fails_for("unwritten", "written", "forward left value unwritten at row 6, value 0");
    fails_for("changes_parameters", "read-only", "forward changed pi0.bias");
    fails_for("neighbours", "rows", "value of row 1 of 4 has other bits than of the same numbers alone");
    fails_for("static", "reproducible", "other bits in value");
    fails_for("wants_all", "outputs", "the value has other bits when the head is not wanted");
    fails_for("threads", "threads", "two threads that compute with the same instance disturb each other");
    fails_for("sums", "written", "sums must hold MANTA_LOSS_SUMS finite numbers");
    fails_for("mean", "rows", "does not add up");
}

// what every output of a loss is compared by
Test(policy_check, a_losss_outputs) {
    static const char row[] = "of a row alone has other bits", sum[] = "of rows one by one does not add up", again[] = "the second time";
    static const struct {
        const char *fault, *check, *of, *words;
    } cases[] = {{"head_rows", "rows", "d_head", row}, {"log_std_rows", "rows", "d_log_std", row}, {"log_std_mean", "rows", "d_log_std", sum},
        {"clipped_mean", "rows", "sums[MANTA_LOSS_CLIPPED]", sum}, {"loss_static_head", "reproducible", "bits in d_head", again},
        {"loss_static_value", "reproducible", "bits in d_value", again}, {"loss_static_log_std", "reproducible", "bits in d_log_std", again},
        {"loss_static_sums", "reproducible", "bits in sums", again}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char words[128];
        snprintf(words, sizeof words, "%s %s", cases[i].of, cases[i].words);
        fails_for(cases[i].fault, cases[i].check, words);
    }
}

Test(policy_check, states) {
    fails_for("start", "start", "`start` 1 means that the state is zero");
    fails_for("state", "steps", "y of step 1 has other bits when the steps are run one by one");
}

Test(policy_check, writes_outside_the_arrays) {
    fails_for("overrun", "guard", "the byte 0 past the end of value was written (7 rows)");
    fails_for("far_overrun", "guard", "past the end of value; it ends after the last row");
    fails_for("underrun", "guard", "the byte 4 before the start of head");
}

Test(policy_check, crashes_hangs_and_exits_are_verdicts) {
    fails_for("crash", "crash", "forward (call 1) died of signal 11");
    fails_for("hang", "hang", "forward did not return within 4 s (call 1)");
    fails_for("exit", "exit", "forward (call 1) ended the process with exit(3)");
}

Test(policy_check, printing_is_a_warning) {
    verdicts l;
    check(FAULTY_PLUGINS "/faulty_prints.so", &l);
    cr_expect(l.fails == 0 && strstr(l.all, "it printed \"forward"), "%s", l.all);
}
