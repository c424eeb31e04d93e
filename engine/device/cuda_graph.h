// Work captured from a stream as a graph, and launched again and again as one: a few microseconds for hundreds of kernels.
//
// What is captured are kernels with their arguments: arrays must stay where they are, and what changes from launch to launch stands
// in device memory (kernels/cuda/cuda.h: scalars). Libraries choose their algorithms and make their plans when they first see a
// shape, and may allocate then: run the work once before it is captured.
#ifndef MANTA_ENGINE_DEVICE_CUDA_GRAPH_H
#define MANTA_ENGINE_DEVICE_CUDA_GRAPH_H

#include "engine/device/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_cuda_graph mt_cuda_graph;

// Captures what record(context) queues on `stream`, and on streams that wait for it and that it waits for, without running it.
// Other threads go on as they are. On failure nothing stays captured; record's own failure is returned as it is.
mt_status mt_cuda_graph_capture(const mt_device *device, mt_stream stream, mt_status (*record)(void *context), void *context,
    mt_cuda_graph **out);

int64_t mt_cuda_graph_nodes(const mt_cuda_graph *graph);   // kernels, copies and fills in it

mt_status mt_cuda_graph_launch(const mt_cuda_graph *graph, mt_stream stream);   // in the order of the stream

void mt_cuda_graph_destroy(mt_cuda_graph *graph);   // Nullable; after the stream has got through it

#ifdef __cplusplus
}
#endif
#endif
