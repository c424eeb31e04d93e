// Where the ranks of an NCCL communicator meet: a file in shared memory, whether they are threads of one process or processes of
// one machine. Its name is in the communicator's unique id; the last rank to come in takes the name away again.
//
// Protocol. A collective goes in parts. Part t (counted over the communicator's whole life) may be put into a rank's own place once
// every rank has taken part t - 1 out; it may be read once every rank has put it in. `put` and `taken` of a seat are written by its
// rank alone, with release order, and read by all with acquire order. Between two ranks there is a box for each direction, with the
// same two counters: one writer, one reader.
#ifndef MANTA_TESTS_CUDA_HOST_NCCL_HALL_H
#define MANTA_TESTS_CUDA_HOST_NCCL_HALL_H

#include <stddef.h>
#include <stdint.h>

enum { MT_HOST_RANKS_MOST = 16, MT_HOST_PART_BYTES = 64 << 10, MT_HOST_BOX_BYTES = 16 << 10 };

typedef enum mt_host_seat_state {
    MT_HOST_SEAT_EMPTY,
    MT_HOST_SEAT_TAKEN,
    MT_HOST_SEAT_FINISHED,
    MT_HOST_SEAT_ABORTED
} mt_host_seat_state;

// what a rank believes the collective to be that it puts a part of
typedef struct mt_host_meeting {
    int32_t what, type, op, root;
    int32_t captured;                // launched in a graph: all ranks or none
    uint64_t count;
} mt_host_meeting;

typedef struct mt_host_seat {
    _Atomic int state, process, gpu; // gpu: of the machine
    _Atomic uint64_t put, taken;
    mt_host_meeting meeting;         // of the part that is put; written before `put`
} mt_host_seat;

typedef struct mt_host_box {
    _Atomic uint64_t put, taken;
    uint64_t bytes;                  // of the whole message; written before `put`
    char data[MT_HOST_BOX_BYTES];
} mt_host_box;

typedef struct mt_host_hall {
    _Atomic int ranks, seated;
    mt_host_seat seats[MT_HOST_RANKS_MOST];
    char parts[MT_HOST_RANKS_MOST][MT_HOST_PART_BYTES];
    mt_host_box boxes[MT_HOST_RANKS_MOST][MT_HOST_RANKS_MOST]; // from, to
} mt_host_hall;

enum { MT_HOST_HALL_NAME = 64 };
void mt_host_hall_name(char name[MT_HOST_HALL_NAME]);            // a new one
mt_host_hall *mt_host_hall_enter(const char *name, int ranks, int rank, int gpu);   // NULL: no shared memory, or the seat is taken
void mt_host_hall_leave(mt_host_hall *hall);                     // its seat keeps its state
void mt_host_hall_forget(const char *name);                      // not all came: nobody will
int mt_host_hall_complete(const mt_host_hall *hall);             // every rank is there
int mt_host_hall_gone(const mt_host_hall *hall, int rank);       // its process has ended

#endif
