// Where arithmetic runs: a device, an order of work on it, and the table of kernels whose calls join that order. A learner or an
// actor that computes on a device asks it of one of these and names no vendor.
//
//     mt_compute *c;
//     MT_TRY(mt_compute_open(&(mt_compute_desc){.device = device, .cpu = kernels}, &c));
//     mt_compute_begin(c);                         // this thread's calls through c->kernels are c's from here on
//     mt_policy_forward(policy, c->kernels, …);    // on memory of the device
//     MT_TRY(mt_compute_end(c));                   // the first failure among them
//     MT_TRY(mt_compute_wait(c));                  // they have run
//
// On the cpu a call has run when it returns and everything here is trivial, so that what is written for a device is tested without
// one. On a GPU calls are queued on a stream of the compute's own: arrays must stay until it has got there.
//
// Thread: one at a time, any. Several computes of a device work side by side.
#ifndef MANTA_KERNELS_COMPUTE_H
#define MANTA_KERNELS_COMPUTE_H

#include <stddef.h>
#include "engine/base/pulse.h"
#include "engine/collective/collective.h"
#include "engine/device/device.h"
#include "kernels/kernels.h"

// What a GPU multiplies in: fp32; TF32, 10 bits of mantissa where it can; bf16, 7 bits, of weights, too. Sums, weights as they are
// trained, and what stands between layers are fp32 in all three. With bf16 convolutions and recurrent layers multiply in TF32. The cpu
// knows fp32 alone.
typedef enum mt_precision { MT_PRECISION_FP32, MT_PRECISION_TF32, MT_PRECISION_BF16 } mt_precision;

typedef struct mt_compute_desc {
    mt_device *device;       // borrowed
    const mt_kernels *cpu;   // borrowed: the table on the cpu device
    mt_precision precision;
    size_t scratch_bytes;    // of kernels on a GPU; 0: the usual
    int64_t largest_array;   // of parameters, in floats: scratch is enough for it, too
} mt_compute_desc;

typedef struct mt_compute {
    const struct mt_compute_ops *ops;
    const mt_kernels *kernels;
    mt_device *device;       // borrowed
} mt_compute;

typedef struct mt_graph mt_graph;   // work captured once, launched again and again as one

// One table a kind of device.
typedef struct mt_compute_ops {
    void (*close)(mt_compute *c);
    void (*begin)(mt_compute *c);
    mt_status (*end)(mt_compute *c);
    mt_status (*copy)(mt_compute *c, void *to, const void *from, size_t bytes);
    mt_status (*wait)(mt_compute *c);
    void (*watch)(mt_compute *c, const mt_progress *progress);
    mt_status (*pinned_alloc)(const mt_compute *c, size_t bytes, void **out);
    void (*pinned_free)(const mt_compute *c, void *memory);
    mt_status (*join)(mt_compute *c, mt_comm *comm, size_t most_bytes);
    mt_status (*allreduce)(mt_compute *c, void *data, size_t count, mt_dtype dtype);
    mt_status (*reduce)(mt_compute *c, float *data, size_t count, float *inbox);
    mt_status (*broadcast)(mt_compute *c, void *data, size_t bytes);
    int (*capturable)(const mt_compute *c);
    mt_status (*capture)(mt_compute *c, mt_status (*record)(void *context), void *context, mt_graph **out);
    mt_status (*launch)(mt_compute *c, const mt_graph *graph);
    void (*graph_destroy)(mt_graph *graph);
} mt_compute_ops;

// MT_UNSUPPORTED, MT_NO_MEMORY: with what to do.
mt_status mt_compute_open(const mt_compute_desc *desc, mt_compute **out);
void mt_compute_close(mt_compute *compute);   // Nullable; waits

// Between them, calls through the table on this thread. Not nested.
void mt_compute_begin(mt_compute *compute);
mt_status mt_compute_end(mt_compute *compute);

// Between any two of device and host memory, in order with everything else; the host's side is pinned, or the call waits for it.
mt_status mt_compute_copy(mt_compute *compute, void *to, const void *from, size_t bytes);

// Until all that was asked for is done. MT_COMM where a rank that it works with is gone.
mt_status mt_compute_wait(mt_compute *compute);

// From now on a wait looks whether progress is made: it beats, and the deadline of work with other ranks begins anew.
void mt_compute_watch(mt_compute *compute, const mt_progress *progress);

// Host memory that a device reads and writes by itself; zeroed, 64-byte aligned.
mt_status mt_compute_pinned_alloc(const mt_compute *compute, size_t bytes, void **out);   // 0 bytes: NULL
void mt_compute_pinned_free(const mt_compute *compute, void *memory);                     // Nullable: memory

// From now on allreduce, reduce and broadcast are over the ranks of comm (borrowed). Collective. most_bytes: of one sum, usually. Before the device's
// memory is shared out: how many ranks compute on it is found out here.
mt_status mt_compute_join(mt_compute *compute, mt_comm *comm, size_t most_bytes);
// In place, of device memory; MT_F32 and MT_F64. Without a join there is nothing to add. On the cpu and through main memory it adds
// in the order of the ranks.
mt_status mt_compute_allreduce(mt_compute *compute, void *data, size_t count, mt_dtype dtype);
// Of device memory, between the first of the ranks and the others, which all make the same calls: what each has goes to it and is
// added there in the order of the ranks, whatever the machine; what it has goes to all. inbox (count): memory of the first rank's, of
// the others NULL. Theirs is undefined after a reduce.
mt_status mt_compute_reduce(mt_compute *compute, float *data, size_t count, float *inbox);
mt_status mt_compute_broadcast(mt_compute *compute, void *data, size_t bytes);

// Whether what is asked for between begin and end, copies and sums over ranks can be captured here.
int mt_compute_capturable(const mt_compute *compute);
// Captures what record(context) asks of this compute without running it. Arrays stay where they are from launch to launch; what
// changes stands in memory of the device. Run the same once before: algorithms are chosen and memory is taken then.
mt_status mt_compute_capture(mt_compute *compute, mt_status (*record)(void *context), void *context, mt_graph **out);
mt_status mt_compute_launch(mt_compute *compute, const mt_graph *graph);
void mt_compute_graph_destroy(const mt_compute *compute, mt_graph *graph);   // Nullable: graph. Once it has run

#endif
