// NCCL of the host implementation: ranks as threads of one process and as processes; what goes wrong, and how it is told.
#include <nccl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include "tests/cuda_host/check.h"

enum { RANKS = 2, MANY = 100003 };

static void check_nccl(ncclResult_t code, const char *call, int line) {
    if (code == ncclSuccess) return;
    fprintf(stderr, "test_nccl.c:%d: %s: %s (%s)\n", line, call, ncclGetErrorString(code), ncclGetLastError(NULL));
    exit(3);
}
#define OK(call) check_nccl((call), #call, __LINE__)

// ---- a rank

typedef struct rank {
    int number, device, blocking;
    ncclUniqueId id;
    ncclComm_t comm;
    cudaStream_t stream;
} rank;

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL); }

static ncclResult_t settle(const rank *r, ncclResult_t code) {
    while (code == ncclInProgress) {
        OK(ncclCommGetAsyncError(r->comm, &code));
        if (code == ncclInProgress) nap();
    }
    return code;
}
static ncclResult_t come(rank *r) {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = r->blocking;
    CHECK_CUDA(cudaSetDevice(r->device));
    CHECK_CUDA(cudaStreamCreateWithFlags(&r->stream, cudaStreamNonBlocking));
    return settle(r, ncclCommInitRankConfig(&r->comm, RANKS, r->id, r->number, &config));
}
static void go(rank *r) {
    if (settle(r, ncclCommFinalize(r->comm)) == ncclSuccess) OK(ncclCommDestroy(r->comm));
    CHECK_CUDA(cudaStreamDestroy(r->stream));
}
static float *on_device(int count, float value) {
    float *p, *host = malloc(sizeof *host * (size_t)count);
    for (int i = 0; i < count; i++) host[i] = value + (float)(i % 7);
    CHECK_CUDA(cudaMalloc((void **)&p, sizeof *p * (size_t)count));
    CHECK_CUDA(cudaMemcpy(p, host, sizeof *p * (size_t)count, cudaMemcpyDefault));
    CHECK_CUDA(cudaDeviceSynchronize());
    free(host);
    return p;
}
static float at(const rank *r, const float *p, int i) {
    float x;
    CHECK_CUDA(cudaMemcpyAsync(&x, p + i, sizeof x, cudaMemcpyDefault, r->stream));
    return x;
}

// ---- everything at once

static void all_operations(rank *r) {
    OK(come(r));
    float *x = on_device(MANY, 1.0f + (float)r->number), *y = on_device(MANY, 0), mine = (float)r->number;
    // a sum out of place, and its largest in place
    OK(settle(r, ncclAllReduce(x, y, MANY, ncclFloat32, ncclSum, r->comm, r->stream)));
    CHECK(at(r, y, 0) == 3 && at(r, y, MANY - 1) == 3 + 2 * (float)((MANY - 1) % 7) && at(r, x, 0) == 1 + mine);
    OK(settle(r, ncclAllReduce(x, x, MANY, ncclFloat32, ncclMax, r->comm, r->stream)));
    CHECK(at(r, x, 0) == 2);
    // from the last rank to all
    CHECK_CUDA(cudaMemsetAsync(y, r->number ? 0x40 : 0, 4 * MANY, r->stream));
    OK(settle(r, ncclBroadcast(y, y, 4 * MANY, ncclUint8, 1, r->comm, r->stream)));
    CHECK(at(r, y, MANY - 1) > 3 && at(r, y, MANY - 1) < 3.01f);
    // both ways at once, twice
    for (int twice = 0; twice < 2; twice++) {
        float *from = on_device(MANY, 10 + mine);
        OK(ncclGroupStart());
        OK(settle(r, ncclSend(from, 4 * MANY, ncclUint8, !r->number, r->comm, r->stream)));
        OK(settle(r, ncclRecv(x, 4 * MANY, ncclUint8, !r->number, r->comm, r->stream)));
        OK(settle(r, ncclGroupEnd()));
        CHECK(at(r, x, 7) == 11 - mine && at(r, x, MANY - 1) == 11 - mine + (float)((MANY - 1) % 7));
        CHECK_CUDA(cudaFree(from));
    }
    // in a graph, run twice
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CHECK_CUDA(cudaMemsetAsync(x, 0, 4 * MANY, r->stream));
    CHECK_CUDA(cudaStreamSynchronize(r->stream));
    CHECK_CUDA(cudaStreamBeginCapture(r->stream, cudaStreamCaptureModeThreadLocal));
    OK(settle(r, ncclAllReduce(y, y, 1, ncclFloat32, ncclSum, r->comm, r->stream)));
    CHECK_CUDA(cudaStreamEndCapture(r->stream, &graph));
    CHECK_CUDA(cudaGraphInstantiate(&exec, graph, 0));
    for (int twice = 0; twice < 2; twice++) CHECK_CUDA(cudaGraphLaunch(exec, r->stream));
    CHECK(at(r, y, 0) == 4 * at(r, y, 1));
    CHECK_CUDA(cudaGraphExecDestroy(exec)), CHECK_CUDA(cudaGraphDestroy(graph));
    CHECK_CUDA(cudaFree(x)), CHECK_CUDA(cudaFree(y));
    go(r);
}

// ---- ranks as threads

static rank ranks[RANKS];
static void (*body)(rank *);
static void *thread(void *r) {
    body(r);
    return NULL;
}
static void as_threads(void (*run)(rank *), int blocking, int one_device) {
    pthread_t threads[RANKS];
    body = run;
    OK(ncclGetUniqueId(&ranks[0].id));
    for (int i = 0; i < RANKS; i++) {
        ranks[i].id = ranks[0].id;
        ranks[i].number = i, ranks[i].device = one_device ? 0 : i, ranks[i].blocking = blocking;
        if (pthread_create(&threads[i], NULL, thread, &ranks[i]) != 0) exit(3);
    }
    for (int i = 0; i < RANKS; i++) pthread_join(threads[i], NULL);
}
static void threads(void) { as_threads(all_operations, 0, 0); }
static void threads_blocking(void) { as_threads(all_operations, 1, 0); }

// ---- ranks as processes

static _Atomic int *queued; // seen by both

static void as_processes(void (*run)(rank *)) {
    ncclUniqueId *id = mmap(NULL, 2 * sizeof *id, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child[RANKS];
    int status, bad = 0;
    OK(ncclGetUniqueId(id));
    queued = (_Atomic int *)(void *)(id + 1);
    for (int i = 0; i < RANKS; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            rank r = {.number = i, .device = i, .id = *id};
            run(&r);
            exit(0);
        }
    }
    for (int i = 0; i < RANKS; i++) {
        waitpid(child[i], &status, 0);
        bad |= status != 0;
    }
    CHECK(!bad);
}
static void processes(void) { as_processes(all_operations); }

// ---- mistakes

static void same_device(rank *r) {
    CHECK(come(r) == ncclInvalidUsage && strstr(ncclGetLastError(r->comm), "Duplicate GPU"));
    OK(ncclCommAbort(r->comm));
    CHECK_CUDA(cudaStreamDestroy(r->stream));
}
static void one_device(void) { as_threads(same_device, 0, 1); }

static void other_count(rank *r) {
    OK(come(r));
    float *x = on_device(20, 0);
    OK(settle(r, ncclAllReduce(x, x, (size_t)(10 + r->number), ncclFloat32, ncclSum, r->comm, r->stream)));
    CHECK_CUDA(cudaStreamSynchronize(r->stream));
}
static void other_counts(void) { as_threads(other_count, 0, 0); }

static void other_length(rank *r) {
    OK(come(r));
    float *x = on_device(20, 0);
    if (r->number)
        OK(settle(r, ncclSend(x, 20, ncclUint8, 0, r->comm, r->stream)));
    else
        OK(settle(r, ncclRecv(x, 24, ncclUint8, 1, r->comm, r->stream)));
    CHECK_CUDA(cudaStreamSynchronize(r->stream));
}
static void other_lengths(void) { as_threads(other_length, 0, 0); }

static void too_short(rank *r) {
    OK(come(r));
    float *x = on_device(20, 0);
    OK(settle(r, ncclAllReduce(x, x, 21, ncclFloat32, ncclSum, r->comm, r->stream)));
    CHECK_CUDA(cudaStreamSynchronize(r->stream));
}
static void too_shorts(void) { as_threads(too_short, 0, 0); }

// an operation that is in progress bars the next, and is in no stream before somebody asked
static void unasked(rank *r) {
    ncclResult_t code = ncclSuccess;
    float *x = NULL;
    OK(come(r));
    x = on_device(20, 1);
    for (int i = 0; i < 100 && code != ncclInProgress; i++)
        code = ncclAllReduce(x, x, 1, ncclFloat32, ncclSum, r->comm, r->stream);
    CHECK(code == ncclInProgress);
    CHECK(ncclAllReduce(x, x, 1, ncclFloat32, ncclSum, r->comm, r->stream) == ncclInvalidUsage);
    CHECK(strstr(ncclGetLastError(r->comm), "in progress"));
    OK(ncclCommAbort(r->comm)); // the other rank may be elsewhere
    CHECK_CUDA(cudaStreamSynchronize(r->stream));
    CHECK_CUDA(cudaStreamDestroy(r->stream)), CHECK_CUDA(cudaFree(x));
}
static void unaskeds(void) { as_threads(unasked, 0, 0); }

static void forgets(rank *r) { OK(come(r)); }
static void forgotten(void) { as_processes(forgets); }

// ---- a rank that is gone: an error, or nothing; an abort ends the wait either way

static void loses(rank *r) {
    ncclResult_t code = ncclSuccess;
    OK(come(r));
    while (r->number) {
        if (*queued) _exit(0);
        nap();
    }
    float *x = on_device(20, 1), first;
    OK(settle(r, ncclAllReduce(x, x, 20, ncclFloat32, ncclSum, r->comm, r->stream)));
    *queued = 1;
    for (int i = 0; i < 200 && code == ncclSuccess; i++) {
        CHECK(cudaStreamQuery(r->stream) == cudaErrorNotReady);
        OK(ncclCommGetAsyncError(r->comm, &code));
        nap();
    }
    CHECK(code == ncclSuccess || code == ncclRemoteError);
    if (code == ncclRemoteError) fprintf(stderr, "told\n");
    OK(ncclCommAbort(r->comm));
    CHECK_CUDA(cudaStreamSynchronize(r->stream));
    first = at(r, x, 0);
    CHECK(first != first); // anything; here NaN
    CHECK_CUDA(cudaStreamDestroy(r->stream)), CHECK_CUDA(cudaFree(x));
}
static void lost(void) { as_processes(loses); }
static void lost_by_seed(void) {
    enum { SEEDS = 8 };
    int told = check_seeds(lost, SEEDS, "told"), bad = check_seeds(lost, SEEDS, "not so");
    printf("    a rank that is gone is told by %d of %d seeds\n", told, SEEDS);
    CHECK(bad == 0 && told > 0 && told < SEEDS);
}

static void fails(rank *r) {
    OK(come(r));
    float *x = on_device(20, 1);
    CHECK(ncclAllReduce(x, x, 20, ncclFloat32, ncclSum, r->comm, r->stream) == ncclSystemError);
    CHECK_CUDA(cudaFree(x));
    go(r);
}
static void failed(void) { as_processes(fails); }

int main(int argc, char **argv) {
    static const check_case cases[] = {
        {"threads", threads, NULL, NULL, 0},
        {"threads, another seed", threads, NULL, "MANTA_CUDA_HOST_SEED=7", 0},
        {"threads that block", threads_blocking, NULL, NULL, 0},
        {"processes", processes, NULL, NULL, 0},
        {"two ranks on one device", one_device, NULL, NULL, 0},
        {"other counts", other_counts, "they have to be the same", NULL, 0},
        {"other lengths", other_lengths, "receives 24 bytes from rank 1, which sends 20", NULL, 0},
        {"past the end", too_shorts, "4 bytes past allocation", NULL, 0},
        {"not asked", unaskeds, NULL, NULL, 0},
        {"forgotten", forgotten, "1 communicators are never destroyed", NULL, 3},
        {"a rank is gone", lost_by_seed, NULL, NULL, 0},
        {"fails", failed, NULL, "MANTA_CUDA_HOST_FAIL=ncclAllReduce:1=2", 0},
    };
    return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
