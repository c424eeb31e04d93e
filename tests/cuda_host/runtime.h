// What every function of the CUDA runtime here begins and ends with: the lock, the devices, errors that stay.
#ifndef MANTA_TESTS_CUDA_HOST_RUNTIME_H
#define MANTA_TESTS_CUDA_HOST_RUNTIME_H

#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdint.h>
#include "tests/cuda_host/settings.h"

typedef struct mt_host_stream mt_host_stream;

typedef struct mt_host_device {
    mt_host_stream *null_stream;             // owned; made with the device's first stream
    int peers[MT_HOST_DEVICES_MOST];         // whose memory its kernels may touch
} mt_host_device;

extern pthread_mutex_t mt_host_lock;         // of all that the devices have and do
extern pthread_cond_t mt_host_news;          // something was done, or came from another process
extern uint64_t mt_host_chance;              // random numbers for the order of work
extern mt_host_device mt_host_devices[MT_HOST_DEVICES_MOST];

int mt_host_device_current(void);            // of the calling thread
int mt_host_device_reaches(int device, int peer);

void mt_host_begin(void);                    // once, before anything else: settings, and what is looked at when the process ends

// the lock, then cudaSuccess; or an error without the lock: a failure asked for by the settings, or one that stays
cudaError_t mt_host_enter(const char *function);
cudaError_t mt_host_leave(cudaError_t code);             // unlocks; keeps the error for cudaGetLastError
// a whole function: MT_HOST_CALL(what it does, with the lock held)
#define MT_HOST_CALL(...)                                                                                              \
    cudaError_t code_ = mt_host_enter(__func__);                                                                       \
    if (code_ != cudaSuccess) return code_;                                                                            \
    return mt_host_leave(__VA_ARGS__)

void mt_host_break(cudaError_t code);                    // the device failed: this is what everybody hears from now on
cudaError_t mt_host_broken(void);

#endif
