// Work of the devices: queued, and done late. Nothing runs when it is asked for; it runs when somebody waits for something, in
// the thread that waits, in an order that only streams, events and the default stream's rules constrain: the seed chooses among
// what could run. A wait runs what it needs and nothing else, or everything as it comes, or all that it does not need first:
// chance again. So a missing dependency shows for some seed, whichever way the wrong order goes.
//
// Work that other ranks take part in (nccl.c) may be unable to go on; then others' turn comes, and where there is none the
// waiting thread sleeps.
//
// All functions: with the device's lock held; waiting ones let go of it meanwhile.
#ifndef MANTA_TESTS_CUDA_HOST_WORK_H
#define MANTA_TESTS_CUDA_HOST_WORK_H

#include <cuda_runtime_api.h>
#include <stdint.h>
#include "tests/cuda_host/runtime.h"

typedef enum mt_host_step { MT_HOST_DONE, MT_HOST_AGAIN, MT_HOST_BLOCKED } mt_host_step;

// What is to be done: made once, run once in a stream or any number of times in a graph.
typedef struct mt_host_operation mt_host_operation;
struct mt_host_operation {
    const char *name;
    int device;
    // *state: of one run, NULL when it begins and to be NULL again when it is done
    mt_host_step (*run)(mt_host_operation *operation, void **state);
    void (*fini)(mt_host_operation *operation);          // what it holds; NULL: nothing
    int references;
    int meets;                                           // other ranks, who may wait for it
};
mt_host_operation *mt_host_operation_create(size_t bytes, const char *name, int device,
    mt_host_step (*run)(mt_host_operation *, void **), void (*fini)(mt_host_operation *)); // bytes: of the struct around it; zeroed
void mt_host_operation_release(mt_host_operation *operation); // Nullable
mt_host_step mt_host_operation_run(mt_host_operation *operation, void **state);

typedef struct mt_host_work mt_host_work;
struct mt_host_work {
    mt_host_operation *operation;  // a reference
    void *state;
    mt_host_stream *stream;        // NULL once it is done
    mt_host_work *next;            // in the stream
    mt_host_work **after;          // owned, references: they must be done before
    int after_count, references, done, blocked;
    uint64_t needed;               // in which search
    int64_t done_ns;
};

struct mt_host_stream {
    int device, blocking, dying;   // blocking: waits for the default stream, and it for this one
    mt_host_work *first, *last;    // a reference each
    struct mt_host_capture *capture; // it is being captured into a graph; NULL: no
    int *nodes, node_count;        // owned: of that graph, which the next one follows
    mt_host_stream *next;
};
extern mt_host_stream *mt_host_streams;                  // all there are

// the stream behind a handle, of the default one's: of the calling thread's device. Ends the process when there is none
mt_host_stream *mt_host_stream_of(cudaStream_t handle);

// Queues it, or adds it to the graph that the stream is captured into. Takes the operation over. `after`: what must be done
// before besides the stream's own; out: Nullable; a reference, NULL when captured.
cudaError_t mt_host_submit(mt_host_stream *stream, mt_host_operation *operation, mt_host_work **after, int after_count,
    mt_host_work **out);

void mt_host_work_release(mt_host_work *work);           // Nullable
cudaError_t mt_host_work_wait(mt_host_work *work);       // Nullable
cudaError_t mt_host_work_wait_stream(mt_host_stream *stream);
cudaError_t mt_host_work_wait_device(int device);
int mt_host_work_poll(mt_host_work *work);               // done? Something may get done on the way. Nullable
void mt_host_work_rest(void);                            // lets go of the lock for a moment, or until something was done
void mt_host_work_end(void);                             // at exit: what is queued will never run

// From now on a thread of its own does what other ranks may wait for, and what comes before that, when nobody else has done
// anything for a while.
void mt_host_work_in_background(void);

// ---- things that have to be destroyed: how many there are of each kind
typedef enum mt_host_object {
    MT_HOST_STREAM,
    MT_HOST_EVENT,
    MT_HOST_GRAPH,
    MT_HOST_GRAPH_EXEC,
    MT_HOST_LIBRARY_HANDLE,
    MT_HOST_DESCRIPTOR,
    MT_HOST_COMMUNICATOR,
    MT_HOST_OBJECTS
} mt_host_object;
void mt_host_object_count(mt_host_object kind, int by);
void mt_host_objects_check(void);                        // ends the process with status 1 when any is left

#endif
