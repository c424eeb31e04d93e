// manta export as a user runs it: files for other programs, and what it refuses. What a model computes, export_runs.py asks
// onnxruntime.
#include "tests/apps/run.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SHORT "--seed 5 --verbose 0 --n-timesteps 256 -params n_envs:4 n_steps:32 batch_size:64 n_epochs:1"

static run_result r;

static const char *trained(const char *arguments) {
    const char *folder = run_folder();
    run(&r, folder, 120, "$MANTA train --run-folder run %s", arguments);
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    return folder;
}

static void expect(const char *folder, const char *arguments, int exit_code, const char *words) {
    run(&r, folder, 60, "$MANTA export %s", arguments);
    cr_expect_eq(r.exit_code, exit_code, "export %s: exit %d\n%s", arguments, r.exit_code, r.output);
    cr_expect_not_null(strstr(r.output, words), "export %s:\n%s", arguments, r.output);
}

Test(export, a_model_and_a_state_dict_are_written_where_one_says) {
    const char *folder = trained("--env CartPole-v1 " SHORT " normalize:true");
    char text[64];
    expect(folder, "onnx run", 0, "policy.onnx\n");
    expect(folder, "onnx run -o here.onnx", 0, "here.onnx\n");
    expect(folder, "safetensors run", 0, "obs_rms.mean");   // which are not in it
    run(&r, folder, 10, "cmp policy.onnx here.onnx && grep -c CartPole-v1 policy.onnx && ! grep obs_rms state_dict.safetensors");
    cr_expect_eq(r.exit_code, 0, "%s", r.output);
    run_read(folder, "policy.onnx", text, sizeof text);
    cr_expect_eq(memcmp(text, "\x08\x08\x12\x05manta", 9), 0);
}

Test(export, a_state_dict_plays_as_the_run_does) {
    const char *folder = trained("--env Catch-v0 --policy ImpalaCnnPolicy --features-dim 8 " SHORT);
    static run_result again;
    expect(folder, "safetensors run -o run/state_dict.safetensors", 0, "run/state_dict.safetensors");
    run(&r, folder, 60, "grep -q pi_features_extractor.network.5.bias run/state_dict.safetensors && $MANTA eval run");
    run(&again, folder, 60, "$MANTA eval run/state_dict.safetensors");
    cr_expect_eq(r.exit_code, 0, "%s", r.output);
    cr_expect_str_eq(r.output, again.output);
}

Test(export, the_runs_own_weights_are_not_overwritten) {
    const char *folder = trained("--env CartPole-v1 " SHORT);
    expect(folder, "safetensors run -o run/policy.safetensors", 2, "another file");
    expect(folder, "onnx run -o ./run/../run/policy.safetensors", 2, "another file");
    run(&r, folder, 60, "$MANTA eval run --n-episodes 1");
    cr_expect_eq(r.exit_code, 0, "%s", r.output);
}

Test(export, what_is_wrong_is_said) {
    const char *folder = trained("--env CartPole-v1 " SHORT);
    expect(folder, "", 2, "which format, and which run?");
    expect(folder, "onnx", 2, "which format, and which run?");
    expect(folder, "onx run", 2, "did you mean \"onnx\"?");
    expect(folder, "run onnx", 2, "comes first");
    expect(folder, "onnx nowhere", 3, "nowhere");
    expect(folder, "onnx run --best", 3, "best_policy.safetensors");
    expect(folder, "onnx run -o no/such/folder/x.onnx", 3, "no/such/folder");
    expect(folder, "--help", 0, "load_state_dict");
}

Test(export, what_a_plugin_computes_has_no_model_but_weights) {
    const char *folder = run_folder();
    run(&r, folder, 120, "cp " MANTA_BINARY_DIR "/examples/my_policy.so " MANTA_BINARY_DIR "/examples/my_layer.so ."
        " && chmod 755 . *.so && $MANTA train --run-folder own --env CartPole-v1 --plugin my_policy.so --policy my_net " SHORT " &&"
        " $MANTA train --run-folder layer --env CartPole-v1 --plugin my_layer.so --layers 'swiglu 8' " SHORT);
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    expect(folder, "onnx own", 13, "my_net");
    expect(folder, "onnx layer", 13, "swiglu");
    expect(folder, "safetensors own", 0, "state_dict.safetensors");
    expect(folder, "safetensors layer -o layer.safetensors", 0, "layer.safetensors");
    run(&r, folder, 10, "test ! -e policy.onnx");
    cr_expect_eq(r.exit_code, 0, "a refused model left a file");
}
