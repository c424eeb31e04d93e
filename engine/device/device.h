// Devices: where tensors live. One table of functions per kind; the arithmetic is floor 2's (kernels/kernels.h).
//
// An opened mt_device is immutable and may be shared; its functions may be called by any thread.
#ifndef MANTA_ENGINE_DEVICE_DEVICE_H
#define MANTA_ENGINE_DEVICE_DEVICE_H

#include <stddef.h>
#include <stdint.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mt_device_kind { MT_DEVICE_CPU, MT_DEVICE_CUDA } mt_device_kind;

enum { MT_DEVICE_NAME_BYTES = 128, MT_DEVICE_PLACE_BYTES = 24 };

typedef struct mt_device mt_device;

typedef struct mt_device_ops {
    const char *kind_name;   // "cpu", "cuda"
    mt_device_kind kind;
    // fills kind-specific fields of *device (name, memory_bytes, state); ordinal from "cuda:1"
    mt_status (*open)(mt_device *device, int ordinal);
    void (*close)(mt_device *device);
    // 64-byte aligned, zeroed; 0 bytes gives NULL; MT_NO_MEMORY says how many bytes were asked for and, on a GPU, are free
    mt_status (*alloc)(const mt_device *device, size_t bytes, void **out);
    void (*free)(const mt_device *device, void *memory);   // Nullable: memory
    // between any two of device and host memory; ordered after earlier copies and fills, complete after sync.
    // Overlapping arrays on the cpu alone.
    mt_status (*copy)(const mt_device *device, void *to, const void *from, size_t bytes);
    mt_status (*fill)(const mt_device *device, void *memory, unsigned char byte, size_t bytes);
    mt_status (*sync)(const mt_device *device);            // waits until everything asked for is done
    // free memory now, bytes; 0 when unknown
    mt_status (*memory_free)(const mt_device *device, uint64_t *bytes);
} mt_device_ops;

struct mt_device {
    const mt_device_ops *ops;           // borrowed
    mt_device_kind kind;
    int ordinal;                        // among its kind; 0 for cpu
    char name[MT_DEVICE_NAME_BYTES];    // "AMD EPYC 9654"
    char place[MT_DEVICE_PLACE_BYTES];  // "0000:3b:00": of a GPU in its machine, the same in every process; "" for cpu
    uint64_t memory_bytes;              // in all, or what this process may use of it
    int sharers;                        // ranks of this machine that compute on it, this one included, as far as known
    void *state;                        // owned by the kind; NULL for cpu
};

// spec: "cpu", "cuda", "cuda:1", or "auto": the first GPU, and where there is none the CPU after one line that says why
// (a build without CUDA has nothing to say).
// MT_UNSUPPORTED for a cuda device that is not there or not in this build, with the reason and what to do; MT_CONFIG for a
// word that is none of these (did you mean).
mt_status mt_device_open(const char *spec, mt_device **out);

// The same for rank `local_rank` of the `local_ranks` on this machine: "cuda" and "auto" then mean the rank's own of the GPUs that
// the process sees (CUDA_VISIBLE_DEVICES counts). Whether others compute on it, too, is found when they meet: mt_gpu_meet
// (engine/collective/gpus.h).
mt_status mt_device_open_for_rank(const char *spec, int local_rank, int local_ranks, mt_device **out);

// Which of `devices` >= 1: the first of the rank's own as the runtime deals them out; with more ranks than devices neighbours
// share.
int mt_device_ordinal_of(int local_rank, int local_ranks, int devices);

void mt_device_close(mt_device *device);   // Nullable

// The same through the table, checked: NULL device is a programmer error.
mt_status mt_device_alloc(const mt_device *device, size_t bytes, void **out);
void mt_device_free(const mt_device *device, void *memory);
mt_status mt_device_copy(const mt_device *device, void *to, const void *from, size_t bytes);
mt_status mt_device_fill(const mt_device *device, void *memory, unsigned char byte, size_t bytes);
mt_status mt_device_sync(const mt_device *device);

extern const mt_device_ops mt_device_cpu;

#ifdef __cplusplus
}
#endif
#endif
