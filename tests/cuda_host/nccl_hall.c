// The place where ranks meet: see nccl_hall.h.
#include "tests/cuda_host/nccl_hall.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

void mt_host_hall_name(char name[MT_HOST_HALL_NAME]) {
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number) number = (uint64_t)getpid();
    snprintf(name, MT_HOST_HALL_NAME, "/manta-cuda-host-%d-%016llx", (int)getpid(), (unsigned long long)number);
}

// all zeros at first: whoever comes first makes it, and it is as large from then on
static mt_host_hall *open_hall(const char *name) {
    int fd = shm_open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return NULL;
    mt_host_hall *hall = MAP_FAILED;
    if (ftruncate(fd, sizeof *hall) == 0) hall = mmap(NULL, sizeof *hall, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return hall == MAP_FAILED ? NULL : hall;
}

mt_host_hall *mt_host_hall_enter(const char *name, int ranks, int rank, int gpu) {
    mt_host_hall *hall = open_hall(name);
    int nobody = MT_HOST_SEAT_EMPTY, unknown = 0;
    if (!hall) return NULL;
    mt_host_seat *seat = &hall->seats[rank];
    int same = atomic_compare_exchange_strong(&hall->ranks, &unknown, ranks) || unknown == ranks;
    atomic_store(&seat->gpu, gpu);
    atomic_store(&seat->process, (int)getpid());
    if (!same || !atomic_compare_exchange_strong(&seat->state, &nobody, MT_HOST_SEAT_TAKEN)) {
        munmap(hall, sizeof *hall);
        return NULL;
    }
    if (atomic_fetch_add(&hall->seated, 1) + 1 == ranks) shm_unlink(name);
    return hall;
}

void mt_host_hall_leave(mt_host_hall *hall) { munmap(hall, sizeof *hall); }

void mt_host_hall_forget(const char *name) { shm_unlink(name); }

int mt_host_hall_complete(const mt_host_hall *hall) { return atomic_load(&hall->seated) == atomic_load(&hall->ranks); }

// gone, or nothing but an entry that its parent has not read yet
int mt_host_hall_gone(const mt_host_hall *hall, int rank) {
    int process = atomic_load(&hall->seats[rank].process);
    char path[64], text[512] = "";
    if (kill((pid_t)process, 0) != 0 && errno == ESRCH) return 1;
    snprintf(path, sizeof path, "/proc/%d/stat", process);
    FILE *file = fopen(path, "re");
    if (!file) return 1;
    if (!fgets(text, sizeof text, file)) *text = 0;
    fclose(file);
    const char *state = strrchr(text, ')');
    return state && state[1] == ' ' && state[2] == 'Z';
}
