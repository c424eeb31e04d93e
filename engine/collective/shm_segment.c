// A node's shared segment. Called at start-up by the thread that owns the communicator; the exchanges are non-blocking
// MPI with the caller's deadline. Ladder: create or open, agree, map, reserve, agree.
#include "engine/collective/shm_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/collective/agree.h"
#include "engine/collective/mpi.h"
#include "engine/collective/mpi_wait.h"

// what rank 0 tells the others
typedef struct offer {
    int64_t pid, fd; // memfd; fd < 0: look at name
    char name[48];   // POSIX object
} offer;

static mt_status no_memory(size_t bytes, int error) {
    if (error == ENOSPC || error == EFBIG || error == EDQUOT)
        return MT_FAIL(NO_MEMORY,
            "shared memory: no room for %zu bytes in /dev/shm: enlarge it (mount -o remount,size=... "
            "/dev/shm, or the container's shm size), or run fewer ranks on this node",
            bytes);
    if (error == ENOMEM)
        return MT_FAIL(NO_MEMORY,
            "shared memory: %zu bytes are more than this node has left: raise its memory limit, close "
            "what else runs, or run fewer ranks on this node",
            bytes);
    return MT_FAIL(IO, "shared memory of %zu bytes: %s", bytes, strerror(error));
}

// A number after `key` ("" for the file's first word) in a small system file; SIZE_MAX when it is not there.
static size_t number_in(const char *path, const char *key) {
    char line[256];
    unsigned long long number, found = SIZE_MAX;
    FILE *file = fopen(path, "re");
    if (!file) return SIZE_MAX;
    while (found == SIZE_MAX && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), "%llu", &number) == 1) found = number;
    fclose(file);
    return (size_t)found;
}

// What this node can give. A memfd knows no limit of its own: reserving beyond this would bring the kernel to kill
// processes. Available memory, and the limit of the control group (version 2) or one of its parents.
static size_t memory_left(void) {
    char group[256] = "", path[512];
    size_t left = number_in("/proc/meminfo", "MemAvailable:");
    left = left > SIZE_MAX / 1024 ? SIZE_MAX : left * 1024;
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file) {
        while (fgets(path, sizeof path, file)) sscanf(path, "0::%255s", group);
        fclose(file);
    }
    for (char *end; group[0] == '/'; *end = 0) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group);
        size_t limit = number_in(path, "");
        if (limit < left) left = limit;
        end = strrchr(group, '/');
    }
    return left;
}

static int memfd_open(size_t bytes) {
    int fd = memfd_create("manta", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return -1;
    // sealed: no peer can cut it short and make the others fault
    if (fchmod(fd, 0600) == 0 && ftruncate(fd, (off_t)bytes) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    close(fd);
    return -1;
}

static int posix_open(offer *o, size_t bytes) {
    for (int attempt = 0; attempt < 16; attempt++) {
        uint64_t random = 0;
        if (getrandom(&random, sizeof random, 0) != sizeof random) return -1;
        snprintf(o->name, sizeof o->name, "/manta-%lld-%016llx", (long long)getpid(), (unsigned long long)random);
        int fd = shm_open(o->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno == EEXIST) continue;
        if (fd >= 0 && ftruncate(fd, (off_t)bytes) != 0) {
            int error = errno;
            shm_unlink(o->name);
            close(fd);
            errno = error;
            fd = -1;
        }
        if (fd < 0) o->name[0] = 0;
        return fd;
    }
    return -1;
}

static int offer_open(const offer *o, size_t bytes) {
    char path[64];
    struct stat info;
    int fd;
    if (o->fd >= 0) {
        snprintf(path, sizeof path, "/proc/%lld/fd/%lld", (long long)o->pid, (long long)o->fd);
        fd = open(path, O_RDWR | O_CLOEXEC);
    } else {
        fd = o->name[0] ? shm_open(o->name, O_RDWR | O_CLOEXEC, 0) : -1;
    }
    // another process of that number would be a surprise, but it must not become our memory
    if (fd >= 0 && (fstat(fd, &info) != 0 || info.st_uid != geteuid() || (size_t)info.st_size != bytes ||
                       (info.st_mode & 07777) != 0600)) {
        close(fd);
        errno = EACCES;
        fd = -1;
    }
    return fd;
}

// rank 0's offer to all; *told stays with MPI when that fails
static mt_status tell(MPI_Comm node, offer *told, int64_t deadline_ns) {
    MPI_Request request;
    mt_mpi_lock();
    mt_status status = MT_MPI(MPI_Ibcast(told, sizeof *told, MPI_BYTE, 0, node, &request));
    mt_mpi_unlock();
    return status == MT_OK ? mt_mpi_wait(&request, deadline_ns) : status;
}

// everybody's fd of one way of sharing, and whether every rank got one. When not, all are closed; *fd < 0: this rank
// got none, and errno says why
static mt_status share(MPI_Comm node, int rank, int posix, size_t bytes, int64_t deadline_ns, int *fd, int *all) {
    offer *o = calloc(1, sizeof *o);
    if (!o) return MT_FAIL(NO_MEMORY, "out of memory");
    *fd = -1;
    *all = 0;
    errno = 0;
    if (rank == 0) *fd = posix ? posix_open(o, bytes) : memfd_open(bytes);
    int error = errno;
    o->pid = getpid();
    o->fd = posix ? -1 : *fd;
    MT_TRY(tell(node, o, deadline_ns));
    if (rank != 0) {
        o->name[sizeof o->name - 1] = 0;
        *fd = offer_open(o, bytes);
        error = errno;
    }
    int64_t ok = *fd >= 0;
    mt_status status = mt_mpi_agree(node, &ok, deadline_ns);
    if (rank == 0 && o->name[0]) shm_unlink(o->name);
    free(o);
    *all = status == MT_OK && ok;
    if (!*all && *fd >= 0) close(*fd);
    errno = error;
    return status;
}

static mt_status map(mt_shm_segment *segment, int fd, int rank, size_t part_bytes) {
    void *base = mmap(NULL, segment->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) return no_memory(segment->bytes, errno);
    segment->base = base;
    int error;
    do error = posix_fallocate(fd, (off_t)(part_bytes * (size_t)rank), (off_t)part_bytes);
    while (error == EINTR);
    return error ? no_memory(part_bytes, error) : MT_OK;
}

mt_status mt_shm_segment_create(mt_shm_segment *segment, MPI_Comm node, size_t part_bytes, int64_t deadline_ns) {
    const char *way = getenv("MANTA_SHM");
    int rank, size, fd = -1, all = 0, posix = way && strcmp(way, "posix") == 0;
    *segment = (mt_shm_segment){0};
    MT_TRY(MT_MPI(MPI_Comm_rank(node, &rank)));
    MT_TRY(MT_MPI(MPI_Comm_size(node, &size)));
    if (part_bytes == 0 || __builtin_mul_overflow(part_bytes, (size_t)size, &segment->bytes) ||
        segment->bytes > INT64_MAX)
        return MT_FAIL(
            INVALID_ARGUMENT, "shared memory: %zu bytes for each of %d ranks is out of range", part_bytes, size);

    int fits = segment->bytes <= memory_left();
    MT_TRY(mt_mpi_agree_status(node, fits ? MT_OK : no_memory(segment->bytes, ENOMEM), deadline_ns));
    if (!posix) MT_TRY(share(node, rank, 0, segment->bytes, deadline_ns, &fd, &all));
    segment->same_pids = all;
    if (!all) MT_TRY(share(node, rank, 1, segment->bytes, deadline_ns, &fd, &all));
    // fd < 0: it is this rank that got none
    if (!all)
        return mt_mpi_agree_status(
            node, fd < 0 ? no_memory(segment->bytes, errno ? errno : EACCES) : MT_OK, deadline_ns);

    mt_status status = map(segment, fd, rank, part_bytes);
    close(fd);
    status = mt_mpi_agree_status(node, status, deadline_ns);
    if (status != MT_OK) mt_shm_segment_destroy(segment);
    return status;
}

void mt_shm_segment_destroy(mt_shm_segment *segment) {
    if (segment->base) munmap(segment->base, segment->bytes);
    *segment = (mt_shm_segment){0};
}
