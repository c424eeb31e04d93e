// The checker: a good environment passes, every broken one fails for its own reason, and the checker survives them all.
#include "fixture.h"
#include "rollout/check.h"
#include "tests/verdicts.h"

static void check(const char *path, verdicts *out) {
    mt_check_options options = {.timeout_ns = INT64_C(1500000000)};
    int failures;
    memset(out, 0, sizeof *out);
    cr_assert(mt_plugin_check(path, &options, verdicts_take, out, &failures) == MT_OK, "%s", mt_last_error());
    cr_expect(failures == out->fails);
}

// the plugin fails, first of all for this reason: the check's name and words of its line
static void fails_for(const char *name, const char *check_name, const char *words) {
    verdicts l;
    const char *path = walk_plugin(name);
    check(path, &l);
    plugin_remove(path);
    expect_fails_for(&l, name, check_name, words);
}

Test(check, good_ones_pass) {
    verdicts l;
    const char *path = walk_plugin("walk");
    check(path, &l);
    cr_expect(l.fails == 0 && l.warns == 0 && l.passes >= 17, "%s", l.all);
    plugin_remove(path);
    path = walk_plugin("camera");
    check(path, &l);
    cr_expect(l.fails == 0 && l.warns == 0 && l.passes >= 17, "%s", l.all);
    cr_expect(strstr(l.all, "Dict(light: Box(1) u8, camera.picture: Box(3, 5, 1) u8, camera.depth: Box(2) f32, camera.focus: Box(1) u8, "
        "mode: Discrete(3)) -> Discrete(3)"), "%s", l.all);
    plugin_remove(path);
    path = plugin_copy(MANTA_BINARY_DIR "/examples/my_env.so");
    check(path, &l);
    cr_expect(l.fails == 0 && l.warns == 0, "%s", l.all);
    plugin_remove(path);
}

Test(check, built_in_ones_pass) {
    for (int k = 0; k < BUILTINS; k++) {
        verdicts l = {0};
        int failures;
        mt_check_options options = {.steps = 1100};
        cr_assert(mt_env_check(builtin(MT_ISA_plain_id, builtin_ids[k]), &options, verdicts_take, &l, &failures) == MT_OK);
        cr_expect(failures == 0 && l.warns == 0, "%s:\n%s", builtin_ids[k], l.all);
        cr_expect(strstr(l.all, "PASS snapshot") && strstr(l.all, "PASS render"));
    }
}

Test(check, what_does_not_load) {
    fails_for("walk_abi", "load", "ABI version 7");
    fails_for("walk_no_symbol", "load", "exports neither manta_env_entry nor manta_policy_entry");
    fails_for("walk_struct_size", "load", "struct_size is 16");
    fails_for("walk_no_step", "load", ".step is NULL");
    fails_for("walk_entry_null", "load", "returned NULL");
    fails_for("walk_entry_crash", "crash", "loading");
}

Test(check, what_cannot_be_made) {
    fails_for("walk_create", "create", "the simulator's licence has expired");
    fails_for("walk_no_space", "spaces", "action space: the function returned NULL");
}

Test(check, dicts_that_are_none) {
    fails_for("camera_dict_empty", "spaces", "observation space, part empty: child_count is 0 and children is NULL; a dict or tuple has 1 to 32");
    fails_for("camera_dict_child", "spaces", "observation space: children[1] is NULL; child_count is 3");
    fails_for("camera_dict_nameless", "spaces", "the name of child 0 is NULL; give it 1 to 31 of the characters");
    fails_for("camera_dict_name", "spaces", "the name of child 0 is not one that is allowed");
    fails_for("camera_dict_twice", "spaces", "two children are called mode");
    fails_for("camera_dict_long_name", "spaces", "camera.picture-of-the-lamp-from-above is longer than 31 characters");
    fails_for("camera_dict_cycle", "spaces", "part 1.1.1.1: more than 4 dicts or tuples inside one another");
    fails_for("camera_dict_many", "spaces", "more than 32 parts");
    fails_for("camera_dict_shape", "spaces", "observation space, part camera.focus: shape[0] is 0");
    fails_for("camera_dict_action", "spaces", "action space: actions of several parts are not supported");
    fails_for("camera_u8_action", "spaces", "action space: a box of actions must be MANTA_F32");
}

Test(check, wrong_values_in_a_part) {
    fails_for("camera_part_nan", "finite", "nan to obs.camera.depth[1] at step 17");
    fails_for("camera_part_bounds", "obs-bounds", "wrote 300 to obs.camera.depth[0] at step 17; observation_space.camera.depth.high[0] is 255");
    fails_for("camera_part_mode", "obs-bounds", "wrote 3 to obs.mode[0] at step 17; observation_space.mode.high[0] is 2");
    fails_for("camera_part_unwritten", "written", "environment 0 left obs.camera.depth[1] unwritten at step 0");
    fails_for("camera_byte_unwritten", "written", "environment 0 never wrote obs.camera.focus[0]");
    fails_for("camera_part_no_final_obs", "final-obs", "left final_obs.camera.depth[0] unwritten");
    fails_for("camera_part_layout", "guard", "past the end of obs");
}

Test(check, wrong_values) {
    fails_for("walk_nan", "finite", "environment 3 wrote");
    fails_for("walk_bounds", "obs-bounds", "widen the space or clip");
    fails_for("walk_flags", "flags", "environment 2 wrote terminated = 255, truncated = 0 at step 17");
    fails_for("walk_unwritten", "written", "environment 0 left truncated unwritten at step 1");
    fails_for("walk_no_final_obs", "final-obs", "left final_obs[0] unwritten");
    fails_for("walk_no_auto_reset", "auto-reset", "begin the next episode in the same step");
    fails_for("walk_long_episodes", "time-limit", "goes on after 20 steps; max_episode_steps is 20");
    fails_for("walk_changes_actions", "action-read-only", "step 17 changed the actions");
    fails_for("walk_step_error", "step", "step 17 failed: the motor has burnt out");
}

Test(check, writes_outside_the_arrays) {
    fails_for("walk_overrun", "guard", "past the end of obs");
    fails_for("walk_far_overrun", "guard", "past the end of obs");
    fails_for("walk_underrun", "guard", "4 bytes before the start of reward were written by step 17");
}

Test(check, crashes_hangs_and_exits_are_verdicts) {
    fails_for("walk_crash", "crash", "step (step 17) died of signal 11");
    fails_for("walk_hang", "hang", "step did not return within 1.5 s (step 17)");
    fails_for("walk_exit", "exit", "step (step 17) ended the process with exit(3)");
}

Test(check, randomness_and_sharing) {
    fails_for("walk_unreproducible", "reproducible", "seeded by config->seeds");
    fails_for("walk_ignores_seeds", "reseed", "start everything random anew from seeds[i]");
    fails_for("walk_ignores_mask", "reset-mask", "environment 0, whose mask is 0");
    fails_for("walk_neighbours", "rows", "differs at step 1 from a single one");
}

Test(check, global_state_is_found) {   // already one batch of rows shares the generator; two instances disturb each other
    verdicts l;
    const char *path = walk_plugin("walk_shared_state");
    check(path, &l);
    plugin_remove(path);
    cr_expect(strstr(l.all, "PASS reproducible"), "%s", l.all);
    cr_expect(strstr(l.all, "FAIL instances: an instance gave another result"), "%s", l.all);
    cr_expect(strstr(l.all, "no static or global ones"));
}

Test(check, printing_is_a_warning) {
    verdicts l;
    const char *path = walk_plugin("walk_prints");
    check(path, &l);
    plugin_remove(path);
    cr_expect(l.fails == 0 && strstr(l.all, "WARN silent: it printed \"step 17"), "%s", l.all);
}

Test(check, a_relative_path_is_resolved) {
    const char *path = walk_plugin("walk_nan");
    char folder[PATH_MAX];
    verdicts l;
    int failures = 7;
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    cr_assert(chdir(folder) == 0);
    check("plugin.so", &l);
    cr_expect(strncmp(l.first_fail, "finite:", 7) == 0, "%s", l.all);
    cr_expect(mt_plugin_check("other.so", NULL, verdicts_take, &l, &failures) == MT_NOT_FOUND && strstr(mt_last_error(), "other.so"), "%s",
        mt_last_error());
    cr_expect_eq(failures, 0);
    plugin_remove(path);
}

Test(check, policies_layers_and_losses_are_checked_too) {
    verdicts l;
    const char *path = plugin_copy(MANTA_BINARY_DIR "/examples/my_loss.so");
    check(path, &l);
    plugin_remove(path);
    cr_expect(l.fails == 0 && l.warns == 0 && strstr(l.all, "PASS gradient: loss spo"), "%s", l.all);
}
