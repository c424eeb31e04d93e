// Process: is another process of this machine still there? By a descriptor of the process itself (pidfd) where the system
// has them, otherwise by its number together with its time of start, since numbers are used again.
#ifndef MANTA_ENGINE_RUNTIME_PROCESS_H
#define MANTA_ENGINE_RUNTIME_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

typedef struct mt_process_id {
    int64_t pid;    // 0: nobody knows
    uint64_t start; // in the kernel's ticks since it started; 0: not known
} mt_process_id;

typedef struct mt_process_watch {
    mt_process_id id;
    int pidfd; // owned; -1: none
} mt_process_watch;

mt_process_id mt_process_self(void);
void mt_process_watch_open(mt_process_watch *watch, mt_process_id id);
int mt_process_watch_alive(const mt_process_watch *watch); // 0: it has ended; 1 when nobody knows. Any thread.
void mt_process_watch_close(mt_process_watch *watch);

#endif
