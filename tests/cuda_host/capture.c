// CUDA graphs: see capture.h.
#include "tests/cuda_host/capture.h"

#include <stdlib.h>
#include <string.h>
#include "tests/cuda_host/report.h"

static mt_host_capture *captures; // those that go on

// ---- graphs

static void graph_release(mt_host_graph *g) {
    if (!g || --g->references) return;
    for (int i = 0; i < g->count; i++) {
        mt_host_operation_release(g->nodes[i].operation);
        free(g->nodes[i].after);
    }
    free(g->nodes);
    free(g);
}

static int graph_add(mt_host_graph *g, mt_host_operation *operation, const int *after, int after_count) {
    if (g->count == g->capacity) {
        g->capacity = g->capacity ? 2 * g->capacity : 64;
        g->nodes = realloc(g->nodes, (size_t)g->capacity * sizeof *g->nodes);
        if (!g->nodes) mt_host_fatal("out of memory");
    }
    int *copy = malloc((size_t)(after_count + 1) * sizeof *copy);
    if (!copy) mt_host_fatal("out of memory");
    if (after_count) memcpy(copy, after, (size_t)after_count * sizeof *copy);
    g->nodes[g->count] = (mt_host_node){operation, copy, after_count};
    return g->count++;
}

// ---- captures

void mt_host_capture_release(mt_host_capture *c) {
    if (!c || --c->references) return;
    graph_release(c->graph);
    free(c);
}

cudaError_t mt_host_capture_refuse(mt_host_capture *c, cudaError_t code) {
    if (c->broken == cudaSuccess) c->broken = code;
    return code;
}

static int concerns_me(const mt_host_capture *c) {
    return c->mode == cudaStreamCaptureModeGlobal ||
           (c->mode == cudaStreamCaptureModeThreadLocal && pthread_equal(c->thread, pthread_self()));
}
cudaError_t mt_host_capture_forbids(void) {
    cudaError_t code = cudaSuccess;
    for (mt_host_capture *c = captures; c; c = c->next)
        if (concerns_me(c)) code = mt_host_capture_refuse(c, cudaErrorStreamCaptureUnsupported);
    return code;
}
cudaError_t mt_host_capture_forbids_null(int device) {
    for (const mt_host_stream *s = mt_host_streams; s; s = s->next)
        if (s->device == device && s->capture && s->blocking)
            return mt_host_capture_refuse(s->capture, cudaErrorStreamCaptureImplicit);
    return cudaSuccess;
}
cudaError_t mt_host_capture_forbids_wait(int device) {
    for (const mt_host_stream *s = mt_host_streams; s; s = s->next)
        if (s->device == device && s->capture) return mt_host_capture_refuse(s->capture, cudaErrorStreamCaptureUnsupported);
    return cudaSuccess;
}

static void set_nodes(mt_host_stream *s, const int *nodes, int count) {
    int *copy = malloc((size_t)(count + 1) * sizeof *copy);
    if (!copy) mt_host_fatal("out of memory");
    if (count) memcpy(copy, nodes, (size_t)count * sizeof *copy);
    free(s->nodes);
    s->nodes = copy, s->node_count = count;
}

cudaError_t mt_host_capture_add(mt_host_stream *s, mt_host_operation *operation) {
    if (s->capture->broken != cudaSuccess) {
        mt_host_operation_release(operation);
        return cudaErrorStreamCaptureInvalidated;
    }
    int node = graph_add(s->capture->graph, operation, s->nodes, s->node_count);
    set_nodes(s, &node, 1);
    return cudaSuccess;
}

cudaError_t mt_host_capture_join(mt_host_stream *s, mt_host_capture *c, const int *nodes, int count) {
    if (s->capture && s->capture != c)
        return mt_host_capture_refuse(c, mt_host_capture_refuse(s->capture, cudaErrorStreamCaptureMerge));
    if (c->ended) return cudaErrorStreamCaptureMerge;
    if (!s->capture) {
        s->capture = c;
        c->references++;
        set_nodes(s, nodes, count);
        return cudaSuccess;
    }
    int *all = malloc((size_t)(s->node_count + count + 1) * sizeof *all), n = s->node_count;
    if (!all) mt_host_fatal("out of memory");
    memcpy(all, s->nodes, (size_t)n * sizeof *all);
    for (int i = 0; i < count; i++) {
        int there = 0;
        for (int j = 0; j < n; j++) there |= all[j] == nodes[i];
        if (!there) all[n++] = nodes[i];
    }
    free(s->nodes);
    s->nodes = all, s->node_count = n;
    return cudaSuccess;
}

static cudaError_t begin(mt_host_stream *s, enum cudaStreamCaptureMode mode) {
    if (s == mt_host_devices[s->device].null_stream) return cudaErrorStreamCaptureUnsupported;
    if (s->capture) return cudaErrorIllegalState;
    mt_host_capture *c = calloc(1, sizeof *c);
    if (c) c->graph = calloc(1, sizeof *c->graph);
    if (!c || !c->graph) mt_host_fatal("out of memory");
    c->graph->references = 1;
    c->origin = s, c->mode = mode, c->thread = pthread_self();
    c->references = 1;
    c->next = captures;
    captures = s->capture = c;
    set_nodes(s, NULL, 0);
    return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    MT_HOST_CALL(begin(mt_host_stream_of(stream), mode));
}

// does everything that the captured streams did lead to where the origin stands?
static int joined(const mt_host_capture *c) {
    const mt_host_graph *g = c->graph;
    char *reached = calloc((size_t)g->count + 1, 1);
    int whole = 1;
    if (!reached) mt_host_fatal("out of memory");
    for (int i = 0; i < c->origin->node_count; i++) reached[c->origin->nodes[i]] = 1;
    for (int n = g->count - 1; n >= 0; n--) // nodes follow earlier ones
        for (int i = 0; reached[n] && i < g->nodes[n].after_count; i++) reached[g->nodes[n].after[i]] = 1;
    for (const mt_host_stream *s = mt_host_streams; s; s = s->next)
        for (int i = 0; s->capture == c && i < s->node_count; i++) whole &= reached[s->nodes[i]];
    free(reached);
    return whole;
}

static cudaError_t end(mt_host_stream *s, cudaGraph_t *out) {
    mt_host_capture *c = s->capture;
    *out = NULL;
    if (!c) return cudaErrorIllegalState;
    if (c->origin != s) return mt_host_capture_refuse(c, cudaErrorStreamCaptureUnmatched);
    if (c->mode != cudaStreamCaptureModeRelaxed && !pthread_equal(c->thread, pthread_self()))
        return mt_host_capture_refuse(c, cudaErrorStreamCaptureWrongThread);
    if (c->broken == cudaSuccess && !joined(c)) c->broken = cudaErrorStreamCaptureUnjoined;
    cudaError_t code =
        c->broken == cudaSuccess || c->broken == cudaErrorStreamCaptureUnjoined ? c->broken : cudaErrorStreamCaptureInvalidated;
    if (code == cudaSuccess) {
        c->graph->references++;
        *out = (cudaGraph_t)c->graph;
        mt_host_object_count(MT_HOST_GRAPH, 1);
    }
    for (mt_host_capture **at = &captures; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    c->ended = 1;
    c->references++; // while its streams let go of it
    for (mt_host_stream *t = mt_host_streams; t; t = t->next)
        if (t->capture == c) {
            t->capture = NULL;
            mt_host_capture_release(c);
        }
    mt_host_capture_release(c);
    return code;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out) { MT_HOST_CALL(end(mt_host_stream_of(stream), out)); }

static cudaError_t is_capturing(const mt_host_stream *s, enum cudaStreamCaptureStatus *status) {
    *status = !s->capture                         ? cudaStreamCaptureStatusNone
              : s->capture->broken == cudaSuccess ? cudaStreamCaptureStatusActive
                                                  : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
    MT_HOST_CALL(is_capturing(mt_host_stream_of(stream), status));
}

static enum cudaStreamCaptureMode exchange(enum cudaStreamCaptureMode mode) {
    static _Thread_local enum cudaStreamCaptureMode mine = cudaStreamCaptureModeGlobal;
    enum cudaStreamCaptureMode before = mine;
    mine = mode;
    return before;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode) {
    *mode = exchange(*mode);
    return cudaSuccess;
}

// ---- launching

typedef struct executable {
    mt_host_graph *graph; // a reference
    mt_host_work *last;   // launch; the next one follows it. A reference
    int references;
} executable;

typedef struct launch {
    mt_host_operation operation;
    executable *exec; // a reference
} launch;

typedef struct run { // of one launch
    int left;
    char *done;
    void **states; // of nodes that have begun
} run;

static void exec_release(executable *e) {
    if (--e->references) return;
    graph_release(e->graph);
    mt_host_work_release(e->last);
    free(e);
}
static void launch_fini(mt_host_operation *o) { exec_release(((launch *)o)->exec); }

static int ready(const mt_host_graph *g, const run *r, int node) {
    if (r->done[node]) return 0;
    for (int i = 0; i < g->nodes[node].after_count; i++)
        if (!r->done[g->nodes[node].after[i]]) return 0;
    return 1;
}

static run *begin_run(const mt_host_graph *g) {
    run *r = calloc(1, sizeof *r);
    if (r) r->done = calloc((size_t)g->count + 1, 1), r->states = calloc((size_t)g->count + 1, sizeof *r->states);
    if (!r || !r->done || !r->states) mt_host_fatal("out of memory");
    r->left = g->count;
    return r;
}

// one node that could run, by chance
static mt_host_step launch_run(mt_host_operation *o, void **state) {
    const mt_host_graph *g = ((launch *)o)->exec->graph;
    if (!*state) *state = begin_run(g);
    run *r = *state;
    mt_host_step how = MT_HOST_DONE;
    if (r->left) {
        how = MT_HOST_BLOCKED;
        int first = (int)mt_host_random_below(&mt_host_chance, (uint32_t)g->count);
        for (int i = 0; i < g->count && how == MT_HOST_BLOCKED; i++) {
            int node = (first + i) % g->count;
            if (!ready(g, r, node)) continue;
            how = mt_host_operation_run(g->nodes[node].operation, &r->states[node]);
            if (how == MT_HOST_DONE) r->done[node] = 1, r->left--;
        }
        if (how == MT_HOST_DONE && r->left) how = MT_HOST_AGAIN;
    }
    if (how != MT_HOST_DONE) return how;
    free(r->done);
    free(r->states);
    free(r);
    *state = NULL;
    return MT_HOST_DONE;
}

static cudaError_t instantiate(cudaGraphExec_t *out, cudaGraph_t graph) {
    executable *e = calloc(1, sizeof *e);
    if (!e) mt_host_fatal("out of memory");
    e->graph = (mt_host_graph *)graph;
    e->graph->references++;
    e->references = 1;
    *out = (cudaGraphExec_t)e;
    mt_host_object_count(MT_HOST_GRAPH_EXEC, 1);
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags) {
    (void)flags;
    MT_HOST_CALL(instantiate(out, graph));
}

static cudaError_t graph_launch(executable *e, mt_host_stream *s) {
    if (s->capture) return mt_host_capture_refuse(s->capture, cudaErrorStreamCaptureUnsupported);
    mt_host_operation *o = mt_host_operation_create(sizeof(launch), "graph", s->device, launch_run, launch_fini);
    mt_host_work *w;
    ((launch *)o)->exec = e;
    e->references++;
    for (int i = 0; i < e->graph->count; i++) o->meets |= e->graph->nodes[i].operation->meets;
    cudaError_t code = mt_host_submit(s, o, &e->last, e->last != NULL, &w);
    if (code != cudaSuccess) return code;
    mt_host_work_release(e->last);
    e->last = w;
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    MT_HOST_CALL(graph_launch((executable *)exec, mt_host_stream_of(stream)));
}

static cudaError_t upload(const mt_host_stream *s) {
    return s->capture ? mt_host_capture_refuse(s->capture, cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream) {
    (void)exec;
    MT_HOST_CALL(upload(mt_host_stream_of(stream)));
}

static cudaError_t exec_destroy(executable *e) {
    mt_host_object_count(MT_HOST_GRAPH_EXEC, -1);
    mt_host_work *last = e->last; // it holds a launch, which holds this
    e->last = NULL;
    mt_host_work_release(last);
    exec_release(e);
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { MT_HOST_CALL(exec_destroy((executable *)exec)); }

static cudaError_t graph_destroy(mt_host_graph *g) {
    mt_host_object_count(MT_HOST_GRAPH, -1);
    graph_release(g);
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { MT_HOST_CALL(graph_destroy((mt_host_graph *)graph)); }

static cudaError_t get_nodes(const mt_host_graph *g, cudaGraphNode_t *nodes, size_t *count) {
    for (size_t i = 0; nodes && i < *count; i++) nodes[i] = i < (size_t)g->count ? (cudaGraphNode_t)&g->nodes[i] : NULL;
    *count = (size_t)g->count;
    return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
    MT_HOST_CALL(get_nodes((mt_host_graph *)graph, nodes, count));
}
