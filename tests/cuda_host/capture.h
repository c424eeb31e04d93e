// CUDA graphs: capturing streams into one, and launching it. A graph is a list of operations and what each of them follows; a
// launch runs them in an order from the seed that respects that and nothing else.
//
// All functions: with the device's lock held.
#ifndef MANTA_TESTS_CUDA_HOST_CAPTURE_H
#define MANTA_TESTS_CUDA_HOST_CAPTURE_H

#include "tests/cuda_host/work.h"

typedef struct mt_host_node {
    mt_host_operation *operation;   // a reference
    int *after;                     // owned: earlier nodes
    int after_count;
} mt_host_node;

typedef struct mt_host_graph {
    mt_host_node *nodes;            // owned
    int count, capacity, references;
} mt_host_graph;

// One capture, from its begin to its end; events recorded in it keep it.
typedef struct mt_host_capture {
    mt_host_graph *graph;           // a reference
    mt_host_stream *origin;
    enum cudaStreamCaptureMode mode;
    pthread_t thread;
    cudaError_t broken;             // the first thing that was not allowed
    int ended, references;
    struct mt_host_capture *next;   // of those that go on
} mt_host_capture;

void mt_host_capture_release(mt_host_capture *capture);            // Nullable
cudaError_t mt_host_capture_add(mt_host_stream *stream, mt_host_operation *operation);   // takes it over
// a call that no capture allows (an allocation, a synchronous copy): an error, and the capture is broken
cudaError_t mt_host_capture_forbids(void);
cudaError_t mt_host_capture_forbids_null(int device);              // the default stream, beside a blocking one that is captured
cudaError_t mt_host_capture_forbids_wait(int device);              // waiting for a device that has a captured stream
cudaError_t mt_host_capture_refuse(mt_host_capture *capture, cudaError_t code);   // breaks it
// the stream follows these nodes of a capture, too, and joins it
cudaError_t mt_host_capture_join(mt_host_stream *stream, mt_host_capture *capture, const int *nodes, int count);

#endif
