// Training on a GPU as a user runs it: what it says where there is none; and in the preset cuda-host, where the host acts as one,
// that it agrees with the CPU, repeats and resumes to the bit, learns over two ranks, and says what happens when memory, a kernel or a
// rank is gone.
#include "policies/safetensors.h"
#include "tests/apps/run.h"

#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static run_result r;

static void expect(int code, const char *word) {
    cr_expect_eq(r.exit_code, code, "exit %d instead of %d:\n%s", r.exit_code, code, r.output);
    cr_expect(strstr(r.output, word), "no \"%s\" in:\n%s", word, r.output);
}

#define manta(...) run(&r, run_folder(), 120, "$MANTA " __VA_ARGS__)

// ---- any build

Test(gpu, words_that_name_no_device_are_refused) {
    manta("train --env CartPole-v1 -n 100 --device coda");
    expect(2, "did you mean \"cuda\"?");
    manta("train --env CartPole-v1 -n 100 --rollout-device coda");
    expect(2, "did you mean \"cuda\"?");
    manta("train --env CartPole-v1 -n 100 --precision fp16");
    expect(2, "fp32");
}

Test(gpu, a_small_network_stays_on_the_cpu_by_itself) {
    manta("train --env CartPole-v1 -n 1000 --run-folder small");
    expect(0, "trained");
    cr_expect_null(strstr(r.output, "learners"), "%s", r.output);
}

#if !MANTA_CUDA_HOST

// a build without CUDA, or a machine without a GPU; where there is one, this says so
Test(gpu, a_missing_gpu_is_told_with_what_to_do) {
    manta("doctor");
    if (strstr(r.output, "ok   cuda:0")) {
        printf("skipped: there is a GPU\n");
        return;
    }
    cr_expect(strstr(r.output, "note cuda"), "%s", r.output);
    manta("train --env CartPole-v1 -n 100 --device cuda");
    expect(13, "--device cpu");
    manta("train --env CartPole-v1 -n 100 --rollout-device cuda");
    expect(13, "--device cpu");
    // auto computes on the CPU, however large the network is
    manta("train --env CartPole-v1 -n 64 --run-folder large -params n_envs:2 n_steps:32 batch_size:64 n_epochs:1 'net_arch:[512, 512]'");
    expect(0, "trained");
}

#else

#define COMMON "--env CartPole-v1 --seed 5 --verbose 0 --n-workers 2 --save-interval 0"
#define SMALL " -params n_envs:8 n_steps:32 batch_size:64 n_epochs:2 learning_rate:0.001 clip_range:0.2"

static void train(int ranks, const char *name, const char *arguments) {
    run(&r, run_folder(), 300, "$MPIRUN -n %d $MANTA train --run-folder %s %s", ranks, name, arguments);
    cr_assert_eq(r.exit_code, 0, "%d ranks, %s: exit %d\n%s", ranks, arguments, r.exit_code, r.output);
}

static void load(const char *name, mt_safetensors *file) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s/policy.safetensors", run_folder(), name);
    cr_assert_eq(mt_safetensors_load(path, file), MT_OK, "%s", mt_last_error());
}

// the largest difference between two runs' parameters
static double apart(const char *a, const char *b) {
    mt_safetensors x, y;
    double worst = 0;
    int compared = 0;
    load(a, &x), load(b, &y);
    for (size_t i = 0; i < x.count; i++) {
        const mt_tensor *t = &x.tensors[i].tensor, *u = mt_safetensors_find(&y, x.tensors[i].name);
        cr_assert_not_null(u);
        if (t->dtype != MT_F32) continue;
        for (int64_t k = 0; k < mt_tensor_count(t); k++)
            worst = fmax(worst, fabs((double)((const float *)t->data)[k] - (double)((const float *)u->data)[k]));
        compared++;
    }
    cr_expect_gt(compared, 5);
    mt_safetensors_fini(&x), mt_safetensors_fini(&y);
    return worst;
}

static void digest(const char *name, char out[32]) {
    char path[256], text[4096];
    snprintf(path, sizeof path, "%s/run.json", name);
    run_read(run_folder(), path, text, sizeof text);
    const char *at = strstr(text, "\"weights_xxh3\": \"");
    cr_assert_not_null(at, "%s", text);
    snprintf(out, 32, "%.16s", at + strlen("\"weights_xxh3\": \""));
}

static void expect_equal_digests(const char *a, const char *b) {
    char x[32], y[32];
    digest(a, x), digest(b, y);
    cr_expect_str_eq(x, y, "%s and %s differ", a, b);
}

// ---- the CPU's parameters after an update, to tolerance

Test(gpu, an_update_has_the_cpus_parameters) {
    static const char *const policies[] = {
        "", "--policy MlpLstmPolicy --lstm-hidden-size 8", "--policy MlpGruPolicy --gru-hidden-size 8",
    };
    char name[64], arguments[512];
    for (int p = 0; p < 3; p++)
        for (int ranks = 1; ranks <= 2; ranks++) {
            char cpu[64];
            snprintf(cpu, sizeof cpu, "cpu%d%d", p, ranks), snprintf(name, sizeof name, "gpu%d%d", p, ranks);
            // one iteration: what was acted is the same
            snprintf(arguments, sizeof arguments, "-n 256 %s --device cpu --rollout-device cpu " COMMON SMALL, policies[p]);
            train(ranks, cpu, arguments);
            snprintf(arguments, sizeof arguments, "-n 256 %s --device cuda --rollout-device cpu " COMMON SMALL, policies[p]);
            train(ranks, name, arguments);
            double worst = apart(cpu, name);
            cr_expect_lt(worst, 2e-6, "%s, %d ranks: %g apart", policies[p], ranks, worst);
        }
    // and a seed of its own would be seen
    train(1, "other", "-n 256 --device cuda --rollout-device cpu --env CartPole-v1 --seed 6 --verbose 0 --n-workers 2 --save-interval 0" SMALL);
    cr_expect_gt(apart("cpu01", "other"), 1e-3);
}

// What a GPU multiplies in reaches the layers: the CPU's parameters to a tolerance of its own, and not fp32's bits.
Test(gpu, precision_reaches_dense_and_recurrent_layers) {
    static const struct {
        const char *name;
        double tolerance;
    } precisions[] = {{"fp32", 2e-6}, {"tf32", 5e-4}, {"bf16", 2e-3}};
    static const char *const policies[] = {"", "--policy MlpLstmPolicy --lstm-hidden-size 8"};
    char arguments[512], name[64], cpu[64], exact[64];
    for (int p = 0; p < 2; p++)
        for (int i = -1; i < 3; i++) {
            snprintf(cpu, sizeof cpu, "precision_cpu%d", p), snprintf(exact, sizeof exact, "precision%d0", p);
            if (i < 0) snprintf(name, sizeof name, "%s", cpu);
            else snprintf(name, sizeof name, "precision%d%d", p, i);
            snprintf(arguments, sizeof arguments, "-n 256 %s --device %s --precision %s --rollout-device cpu " COMMON SMALL, policies[p],
                i < 0 ? "cpu" : "cuda", i < 0 ? "fp32" : precisions[i].name);
            train(1, name, arguments);
            if (i < 0) continue;
            double worst = apart(cpu, name);
            printf("%s %s: %g apart\n", policies[p], precisions[i].name, worst);
            cr_expect_lt(worst, precisions[i].tolerance, "%s in %s: %g apart", policies[p], precisions[i].name, worst);
            if (i) cr_expect_gt(apart(exact, name), 0, "%s in %s multiplies in fp32", policies[p], precisions[i].name);
        }
}

// ---- bits

Test(gpu, runs_repeat_and_resume_to_the_bit) {
    static const char *const ways[] = {"--device cuda --rollout-device cpu", "--device cuda --rollout-device cuda", "--device cpu --rollout-device cuda"};
    char arguments[512];
    for (int w = 0; w < 3; w++)
        for (int ranks = 1; ranks <= 2; ranks++) {
            char a[32], b[32], c[32];
            snprintf(a, sizeof a, "a%d%d", w, ranks), snprintf(b, sizeof b, "b%d%d", w, ranks), snprintf(c, sizeof c, "c%d%d", w, ranks);
            snprintf(arguments, sizeof arguments, "-n 1536 %s " COMMON SMALL, ways[w]);
            train(ranks, a, arguments);
            train(ranks, b, arguments);
            expect_equal_digests(a, b);
            snprintf(arguments, sizeof arguments, "-n 768 %s " COMMON SMALL, ways[w]);
            train(ranks, c, arguments);
            run(&r, run_folder(), 300, "$MPIRUN -n %d $MANTA train --resume %s -n 1536", ranks, c);
            expect(0, "");
            expect_equal_digests(a, c);
        }
}

// ---- two ranks

Test(gpu, cartpole_is_solved_over_two_ranks, .timeout = 800) {
    run(&r, run_folder(), 780, "$MPIRUN -n 2 $MANTA train --env CartPole-v1 -n 200000 --device cuda --run-folder solved --seed 1 --n-workers 2 "
        "--stop-reward 475 -params n_envs:16 n_steps:64 batch_size:256 n_epochs:10 learning_rate:0.003 gamma:0.98 gae_lambda:0.8 ent_coef:0");
    expect(0, "trained");
    const char *at = strstr(r.output, "trained");
    const char *mean = at ? strstr(at, "ep_rew_mean ") : NULL;
    cr_assert_not_null(mean, "%s", r.output);
    cr_expect_geq(atof(mean + strlen("ep_rew_mean ")), 475, "%s", at);
    cr_expect(strstr(r.output, "learning on host CPU as CUDA device 0"), "no memory budget:\n%.2000s", r.output);
    cr_expect_null(strstr(r.output, "not captured"), "%s", r.output);
    manta("eval solved --n-episodes 20");
    expect(0, "20 episodes");
}

Test(gpu, two_ranks_on_one_gpu_go_through_main_memory) {
    train(2, "apart", "-n 512 --device cuda " COMMON SMALL);
    cr_expect_null(strstr(r.output, "main memory"), "%s", r.output);
    train(2, "together", "-n 512 --device cuda:0 " COMMON SMALL);
    expect(0, "ranks 0 and 1 share the host CPU as CUDA device 0");
    expect(0, "one of 2 processes on it");
    train(2, "again", "-n 512 --device cuda:0 " COMMON SMALL);
    expect_equal_digests("together", "again");
    cr_expect_lt(apart("apart", "together"), 1e-4);
}

// ---- three ranks: a parameter server, and runners apart from learners

#define THREE "--seed 5 --verbose 1 --n-workers 6 --save-interval 0 --env CartPole-v1"
#define THREE_SMALL " -params n_envs:12 n_steps:32 batch_size:96 n_epochs:2 learning_rate:0.001 clip_range:0.2"

static void train_on(int devices, int ranks, const char *name, const char *arguments) {
    run(&r, run_folder(), 300, "MANTA_CUDA_HOST_DEVICES=%d $MPIRUN -n %d $MANTA train --run-folder %s --device cuda -n 1152 " THREE
        " %s" THREE_SMALL, devices, ranks, name, arguments);
    cr_assert_eq(r.exit_code, 0, "%d ranks, %s: exit %d\n%s", ranks, arguments, r.exit_code, r.output);
}

// Gradients are added in the order of the ranks: the same bits by messages between GPUs and through main memory.
Test(gpu, a_parameter_server_gives_what_the_all_reduce_gives, .timeout = 400) {
    static const char *const watched[] = {"", "--target-kl 0.02"};
    char name[64], arguments[256];
    for (int ranks = 2; ranks <= 3; ranks++)
        for (int w = 0; w < 2; w++) {
            char all[64], shared[64];
            snprintf(all, sizeof all, "all%d%d", ranks, w), snprintf(name, sizeof name, "server%d%d", ranks, w);
            snprintf(shared, sizeof shared, "shared%d%d", ranks, w);
            snprintf(arguments, sizeof arguments, "--rollout-device cpu %s", watched[w]);
            train_on(3, ranks, all, arguments);
            snprintf(arguments, sizeof arguments, "--rollout-device cpu --gradients parameter_server %s", watched[w]);
            train_on(3, ranks, name, arguments);
            cr_expect_null(strstr(r.output, "not captured"), "%s", r.output);
            cr_expect_lt(apart(all, name), 1e-5, "%d ranks", ranks);
            train_on(1, ranks, shared, arguments);
            cr_expect(strstr(r.output, "through main memory and MPI"), "%s", r.output);
            expect_equal_digests(name, shared);
        }
    // Adam's moments stand on the server alone, and a checkpoint has them
    run(&r, run_folder(), 120, "MANTA_CUDA_HOST_DEVICES=3 $MPIRUN -n 3 $MANTA train --resume server30 -n 2304");
    expect(0, "");
    train_on(3, 3, "whole", "--rollout-device cpu --gradients parameter_server -n 2304");
    expect_equal_digests("server30", "whole");
}

Test(gpu, a_parameter_server_wants_gpus) {
    manta("train --env CartPole-v1 -n 100 --device cpu --gradients parameter_server --run-folder server");
    expect(2, "--gradients all_reduce");
    manta("train --env CartPole-v1 -n 100 --gradients parameter_serve");
    expect(2, "did you mean");
}

Test(gpu, weights_go_from_gpu_to_gpu_where_runners_stand_apart, .timeout = 400) {
    const char *apart_from = "--rollout-device cuda --num-learners 1 --num-env-runners 2";
    train_on(3, 1, "one", "--rollout-device cuda");
    cr_expect_null(strstr(r.output, "weights go"), "%s", r.output);
    train_on(3, 3, "linked", apart_from);
    expect(0, "weights go from learner 0's GPU to those of 2 environment runners");
    cr_expect_null(strstr(r.output, "main memory"), "%s", r.output);
    expect_equal_digests("one", "linked");
    train_on(1, 3, "staged", apart_from);
    expect(0, "through main memory and MPI");
    expect_equal_digests("one", "staged");
    train_on(3, 3, "together", "--rollout-device cuda");
    expect(0, "weights go to environment runners through main memory");
    // a resumed learner publishes what it has loaded
    run(&r, run_folder(), 120, "MANTA_CUDA_HOST_DEVICES=3 $MPIRUN -n 3 $MANTA train --resume linked -n 2304");
    expect(0, "weights go from learner 0's GPU");
    train_on(3, 1, "longer", "--rollout-device cuda -n 2304");
    expect_equal_digests("linked", "longer");
}

// bf16's copies of such layers are more than the usual scratch space of kernels holds
Test(gpu, wide_layers_fit_in_bf16) {
    manta("train --env CartPole-v1 -n 8 --run-folder wide --device cuda --rollout-device cuda --precision bf16 -params n_envs:1 n_steps:8 "
        "batch_size:8 n_epochs:1 'net_arch:[2100, 2100]'");
    expect(0, "trained");
}

// ---- auto

Test(gpu, a_large_network_is_worth_the_gpu_by_itself) {
    manta("train --env CartPole-v1 -n 64 --run-folder large -params n_envs:2 n_steps:32 batch_size:64 n_epochs:1 'net_arch:[512, 512]'");
    expect(0, "learners");
    manta("train --env CartPole-v1 -n 64 --run-folder large2 --device cpu -params n_envs:2 n_steps:32 batch_size:64 n_epochs:1 'net_arch:[512, 512]'");
    expect(0, "trained");
    cr_expect_null(strstr(r.output, "learners"), "%s", r.output);
    run(&r, run_folder(), 60, "CUDA_VISIBLE_DEVICES= $MANTA train --env CartPole-v1 -n 64 --run-folder large3 "
        "-params n_envs:2 n_steps:32 batch_size:64 n_epochs:1 'net_arch:[512, 512]'");
    expect(0, "computing on the CPU: device cuda: the driver shows no GPU");
    run(&r, run_folder(), 60, "CUDA_VISIBLE_DEVICES= $MANTA train --env CartPole-v1 -n 64 --run-folder none --device cuda");
    expect(13, "CUDA_VISIBLE_DEVICES");
    manta("train --env CartPole-v1 -n 64 --run-folder none --device cuda:7");
    expect(13, "cuda:7");
}

Test(gpu, the_doctor_names_them) {
    manta("doctor");
    expect(0, "ok   cuda:1");
    cr_expect(strstr(r.output, "GiB free"), "%s", r.output);
}

// ---- what goes wrong

Test(gpu, too_little_memory_is_told_in_numbers) {
    run(&r, run_folder(), 60, "MANTA_CUDA_HOST_MEMORY=16M $MANTA train --device cuda --run-folder little " COMMON SMALL);
    expect(7, "cannot allocate");
    cr_expect(strstr(r.output, "free"), "%s", r.output);
    run(&r, run_folder(), 60, "MANTA_CUDA_HOST_MEMORY=33M $MANTA train --device cuda --run-folder less " COMMON " -params n_envs:64 n_steps:512 batch_size:64");
    expect(7, "does not fit");
    cr_expect(strstr(r.output, "segments"), "%s", r.output);
    // one rank of two: all end, and say so
    run(&r, run_folder(), 60, "$MPIRUN -n 2 bash -c '[ $OMPI_COMM_WORLD_RANK = 1 ] && export MANTA_CUDA_HOST_MEMORY=16M; exec $MANTA train --device cuda "
        "--run-folder one " COMMON SMALL "'");
    cr_expect_neq(r.exit_code, 0);
    cr_expect(strstr(r.output, "cannot allocate"), "%s", r.output);
}

Test(gpu, a_kernel_that_fails_ends_the_run_with_its_state_saved) {
    run(&r, run_folder(), 120, "MANTA_CUDA_HOST_FAIL=kernel:2000 $MANTA train -n 100000 --device cuda --run-folder broken --save-freq 256 " COMMON SMALL);
    cr_expect_neq(r.exit_code, 0);
    cr_expect(strstr(r.output, "CUDA: "), "%s", r.output);
    run(&r, run_folder(), 120, "$MANTA train --resume broken -n 2048");
    expect(0, "");
}

// what one rank cannot capture none does: sums in a graph and sums outside never meet
Test(gpu, a_graph_is_all_ranks_or_nobodys) {
    train(2, "graph", "-n 1024 --device cuda " COMMON SMALL);
    cr_expect_null(strstr(r.output, "not captured"), "%s", r.output);
    run(&r, run_folder(), 120, "$MPIRUN -n 2 bash -c '[ $OMPI_COMM_WORLD_RANK = 1 ] && export MANTA_CUDA_HOST_FAIL=cudaGraphInstantiate:1; "
        "exec $MANTA train -n 1024 --device cuda --rollout-device cpu --run-folder none " COMMON SMALL "'");
    expect(0, "rank 1: ");
    expect(0, "not captured as a graph");
    expect_equal_digests("graph", "none");
}

// The rank whose peer is gone says so and ends by itself, in the middle of a reduction: the job is over within seconds.
static void lose(int ranks, const char *name, const char *arguments) {
    pid_t group = run_start(run_folder(), "MANTA_CUDA_HOST_DEVICES=3 $MPIRUN -n %d bash -c 'echo $$ >%s.$OMPI_COMM_WORLD_RANK; exec $MANTA "
        "train -n 1e9 --device cuda --run-folder %s --log-interval 1 %s' >%s.log 2>&1", ranks, name, name, arguments, name);
    run(&r, run_folder(), 60, "until [ \"$(cat %s/progress.csv 2>/dev/null | wc -l)\" -gt 4 ]; do sleep 0.05; done; kill -9 $(cat %s.1)", name, name);
    expect(0, "");
    int code = run_wait(group, 8);   // the rank has 5 s; then mpirun ends
    char log[64];
    snprintf(log, sizeof log, "%s.log", name);
    run_read(run_folder(), log, r.output, sizeof r.output);
    cr_expect_neq(code, 0, "%s", r.output);
    cr_expect_neq(code, 124, "it did not end:\n%s", r.output);
}

Test(gpu, a_lost_peer_ends_the_run) {
    lose(2, "lost", COMMON SMALL);
    cr_expect(strstr(r.output, "the process of rank 1 of 2 has ended"), "who is gone is not said:\n%s", r.output);
}

Test(gpu, a_lost_worker_of_a_parameter_server_ends_the_run) {
    lose(3, "worker", "--gradients parameter_server --rollout-device cpu " THREE THREE_SMALL);
    cr_expect(strstr(r.output, "its own output says why"), "that one is gone is not said:\n%s", r.output);
}

// learner 0 cannot open what publishes; the runners do not wait for it
Test(gpu, a_link_that_one_cannot_make_ends_the_run) {
    run(&r, run_folder(), 30, "MANTA_CUDA_HOST_DEVICES=3 $MPIRUN -n 3 bash -c '[ $OMPI_COMM_WORLD_RANK = 0 ] && export MANTA_CUDA_HOST_FAIL=cublasLtCreate:2; "
        "exec $MANTA train -n 1152 --run-folder link --device cuda --rollout-device cuda --num-learners 1 --num-env-runners 2 " THREE THREE_SMALL "'");
    cr_expect_neq(r.exit_code, 0, "%s", r.output);
    cr_expect(strstr(r.output, "EnvRunner.link: rank 0: cuBLASLt"), "%s", r.output);
}

Test(gpu, a_lost_runner_ends_the_run) {
    lose(3, "runner", "--rollout-device cuda --num-learners 1 --num-env-runners 2 " THREE THREE_SMALL);
    // between updates a runner misses it in the broadcast, in an update learner 0 its segments
    cr_expect(strstr(r.output, "manta: environment runner ") || strstr(r.output, "was on rank 1"), "that one is gone is not said:\n%s", r.output);
}

// refused where rollouts would begin; the host's runtime tells of device memory that is left behind, and exits with 1
Test(gpu, a_layer_for_the_cpu_alone_is_refused_and_leaves_nothing_behind) {
    run(&r, run_folder(), 60, "cp " MANTA_BINARY_DIR "/examples/my_layer.so . && chmod 755 . my_layer.so && "
        "$MANTA train -n 100 " COMMON " --plugin my_layer.so --layers 'swiglu 8' --device cpu --rollout-device cuda" SMALL);
    expect(13, "layer swiglu works on the CPU alone");
    cr_expect_null(strstr(r.output, "never freed"), "%s", r.output);
}

#endif
