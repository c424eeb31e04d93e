// The simulator's agenda: what happens when, in virtual nanoseconds. Things that happen at the same moment happen in the order
// in which they were noted, so that a seed gives one run and no other.
#ifndef MANTA_TESTS_SIMULATOR_QUEUE_H
#define MANTA_TESTS_SIMULATOR_QUEUE_H

#include <stddef.h>
#include <stdint.h>

typedef enum mt_event_kind {
    MT_EVENT_MESSAGE,    // data: mt_packet
    MT_EVENT_SERVED,     // a rank has time for the next message that waits for it
    MT_EVENT_TICK,
    MT_EVENT_START,      // data: mt_run that an executor takes up
    MT_EVENT_STEP,       // data: mt_body
    MT_EVENT_WAKE,       // data: mt_body, number: which wait
    MT_EVENT_DEADLINE,   // data: mt_body, number: which wait
    MT_EVENT_SPILLED,    // data: mt_disk_job
    MT_EVENT_RESTORED,   // data: mt_disk_job
    MT_EVENT_DESTROY,    // data: mt_instance of an actor
    MT_EVENT_NAMED,      // data: mt_answer
    MT_EVENT_MET,        // data: mt_answer
    MT_EVENT_FENCED,     // this rank was told to end
    MT_EVENT_GONE,       // number: the rank whose process this one saw end
    MT_EVENT_DEATH,      // the rank's process ends
    MT_EVENT_PARTITION,  // number: how many ranks are cut off
    MT_EVENT_STALL,      // the rank's process is stopped, and goes on later
} mt_event_kind;

typedef struct mt_event {
    int64_t at_ns;
    uint64_t order;
    int32_t kind;      // mt_event_kind
    int32_t rank;
    int32_t idle;      // 1: heartbeats and the like, which go on for ever
    uint64_t number;
    void *data;
} mt_event;

typedef struct mt_queue {
    mt_event *heap;    // owned (capacity), four children to a node
    size_t count, capacity;
    size_t busy;       // events in it that are not idle
    uint64_t order;
} mt_queue;

void mt_queue_push(mt_queue *queue, mt_event event);   // `order` is the queue's to set
int mt_queue_peek(const mt_queue *queue, mt_event *out);   // 0: empty
int mt_queue_pop(mt_queue *queue, mt_event *out);      // 0: empty
void mt_queue_fini(mt_queue *queue);                   // what events point at is the caller's

#endif
