// What the cuda device offers beyond the table of device.h: streams, events, pinned host memory, other devices of the node, and the
// one way from a runtime's code to an mt_status (codes of the vendor's other libraries: cuda_library.h). Compiled only into builds
// with a CUDA toolkit (cmake --preset cuda).
//
// Nothing here includes a vendor's header: a stream is the vendor's own type under its own tag, so that a wrong argument
// does not compile. Any thread; each call makes its device the calling thread's current one.
#ifndef MANTA_ENGINE_DEVICE_CUDA_H
#define MANTA_ENGINE_DEVICE_CUDA_H

#include "engine/base/pulse.h"
#include "engine/device/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CUstream_st *mt_stream;   // cudaStream_t
typedef struct CUevent_st *mt_event;     // cudaEvent_t

extern const mt_device_ops mt_device_cuda;

// A cudaError_t as a status; the message says what was called, what the vendor says and what the user can do.
mt_status mt_cuda_check(int code, const char *call, const char *file, int line);
#define MT_CUDA(call) MT_TRY(mt_cuda_check((int)(call), #call, __FILE__, __LINE__))

mt_status mt_cuda_use(const mt_device *device);                    // makes it the calling thread's device

int mt_cuda_device_count(void);                                    // that this process sees; 0 where there is no driver

// Lets `device` read and write the memory of the node's GPU `other` without a way through the host. *direct: 0 where the machine
// has no such way, which is no error: copies take the other one. More than once is fine.
mt_status mt_cuda_peer_open(const mt_device *device, const mt_device *other, int *direct);

// Work of one stream runs in order; streams of this kind wait for no other, the default stream included.
mt_status mt_cuda_stream_open(const mt_device *device, mt_stream *out);
mt_status mt_cuda_stream_sync(const mt_device *device, mt_stream stream);
mt_status mt_cuda_stream_wait(const mt_device *device, mt_stream stream, mt_progress *progress);   // likewise, and beats. Nullable: progress
mt_status mt_cuda_stream_done(const mt_device *device, mt_stream stream, int *done);   // without waiting
void mt_cuda_stream_close(const mt_device *device, mt_stream stream);   // Nullable: stream

// copy in the order of a stream; asynchronous when the host's side is pinned
mt_status mt_cuda_stream_copy(const mt_device *device, mt_stream stream, void *to, const void *from, size_t bytes);

// A place in a stream that another can wait for, and the time between two.
mt_status mt_cuda_event_open(const mt_device *device, mt_event *out);
mt_status mt_cuda_event_record(const mt_device *device, mt_event event, mt_stream stream);
mt_status mt_cuda_event_wait(const mt_device *device, mt_stream stream, mt_event event);
mt_status mt_cuda_event_elapsed_s(const mt_device *device, mt_event from, mt_event to, double *seconds);   // waits for `to`
void mt_cuda_event_close(const mt_device *device, mt_event event);   // Nullable: event

// Host memory that the GPU reads and writes by itself while the CPU does something else; zeroed.
mt_status mt_cuda_pinned_alloc(const mt_device *device, size_t bytes, void **out);
void mt_cuda_pinned_free(const mt_device *device, void *memory);     // Nullable: memory

#ifdef __cplusplus
}
#endif
#endif
