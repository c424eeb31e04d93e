// Race test of the runtime's memory, for ThreadSanitizer: threads that allocate under a lock, write, read back and free
// without it, over pages that they share at the edges, and spill. Exits 0 when every byte was right.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/runtime/memory/heap.h"

enum { THREADS = 4, ROUNDS = 300, MOST = 70000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static mt_heap *heap;
static mt_spill *spill;

static void *work(void *argument) {
    long wrong = 0, id = (long)(intptr_t)argument;
    uint64_t state = (uint64_t)id + 1;
    char *data = malloc(MOST), *back = malloc(MOST);
    for (int round = 0; round < ROUNDS; round++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t bytes = (state >> 33) % MOST, spilled;
        memset(data, (int)(id * 50 + round), bytes);
        pthread_mutex_lock(&lock);
        uint64_t at = mt_heap_alloc(heap, bytes);
        pthread_mutex_unlock(&lock);
        if (at == MT_HEAP_NO_OFFSET) return (void *)1;
        if (round % 3 == 0) wrong += mt_heap_prepare(heap, at, bytes) != MT_OK;
        if (round % 3 == 1)
            memcpy(mt_heap_at(heap, at), data, bytes);
        else
            wrong += mt_heap_write(heap, at, data, bytes) != MT_OK;
        wrong += memcmp(mt_heap_view(heap, 0, at, bytes), data, bytes) != 0;
        if (round % 4 == 0) {
            wrong += mt_spill_write(spill, mt_heap_at(heap, at), bytes, &spilled) != MT_OK;
            wrong += mt_spill_read(spill, spilled, back, bytes) != MT_OK || memcmp(back, data, bytes) != 0;
            mt_spill_drop(spill, spilled);
        }
        pthread_mutex_lock(&lock);
        mt_heap_free(heap, at);
        pthread_mutex_unlock(&lock);
    }
    free(back);
    free(data);
    return (void *)(intptr_t)wrong;
}

int main(void) {
    pthread_t threads[THREADS];
    long wrong = 0;
    if (mt_heap_local_create(1, 8 << 20, &heap) != MT_OK || mt_spill_open(NULL, 0, &spill) != MT_OK) {
        printf("race_heap: %s\n", mt_last_error());
        return 2;
    }
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i) != 0) return 2;
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        wrong += (long)(intptr_t)result;
    }
    wrong += mt_spill_bytes(spill) != 0 || mt_heap_stats_get(heap).blocks != 0;
    mt_spill_close(spill);
    mt_heap_destroy(heap);
    printf("race_heap: %s\n", wrong ? "wrong" : "all bytes right");
    return wrong != 0;
}
