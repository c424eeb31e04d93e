// Work captured from a stream as a graph. One thread captures on a stream; any launches.
#include "engine/device/cuda_graph.h"

#include <cuda_runtime_api.h>
#include <stdlib.h>

struct mt_cuda_graph {
    const mt_device *device;  // borrowed
    cudaGraph_t captured;     // owned
    cudaGraphExec_t runnable; // owned
    size_t nodes;
};

static mt_status capture(mt_cuda_graph *graph, mt_stream stream, mt_status (*record)(void *context), void *context) {
    MT_TRY(mt_cuda_use(graph->device));
    // of this thread alone: an allocation elsewhere in the process must not spoil it
    MT_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    mt_status status = record(context);
    cudaError_t code = cudaStreamEndCapture(stream, &graph->captured); // also after a failure: the stream must be usable again
    if (status != MT_OK) {
        cudaGetLastError();
        return status;
    }
    MT_CUDA(code);
    MT_CUDA(cudaGraphGetNodes(graph->captured, NULL, &graph->nodes));
    MT_CUDA(cudaGraphInstantiate(&graph->runnable, graph->captured, 0));
    return MT_OK;
}

mt_status mt_cuda_graph_capture(const mt_device *device, mt_stream stream, mt_status (*record)(void *context), void *context,
    mt_cuda_graph **out) {
    *out = NULL;
    mt_cuda_graph *graph = calloc(1, sizeof *graph);
    if (!graph) return MT_FAIL(NO_MEMORY, "out of memory for a graph of GPU work");
    graph->device = device;
    mt_status status = capture(graph, stream, record, context);
    if (status != MT_OK) {
        mt_cuda_graph_destroy(graph);
        return status;
    }
    *out = graph;
    return MT_OK;
}

int64_t mt_cuda_graph_nodes(const mt_cuda_graph *graph) { return (int64_t)graph->nodes; }

mt_status mt_cuda_graph_launch(const mt_cuda_graph *graph, mt_stream stream) {
    MT_TRY(mt_cuda_use(graph->device));
    MT_CUDA(cudaGraphLaunch(graph->runnable, stream));
    return MT_OK;
}

void mt_cuda_graph_destroy(mt_cuda_graph *graph) {
    if (!graph) return;
    if (graph->runnable) cudaGraphExecDestroy(graph->runnable);
    if (graph->captured) cudaGraphDestroy(graph->captured);
    free(graph);
}
