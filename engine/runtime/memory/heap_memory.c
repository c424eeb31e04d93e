// The memory behind a heap: making, offering, opening. At start-up, by the thread that owns the communicator.
#include "engine/runtime/memory/heap_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/base/failpoint.h"

static mt_status fail(int error, uint64_t bytes, const char *what) {
    unsigned long long n = bytes;
    if (error == ENOSPC || error == EFBIG || error == EDQUOT || error == ENOMEM)
        return MT_FAIL(NO_MEMORY,
            "object heap: cannot %s %llu bytes: %s; give the job less --object-memory, allow more (ulimit -v, "
            "/dev/shm's size), or run fewer ranks on this node",
            what, n, strerror(error));
    return MT_FAIL(IO, "object heap: cannot %s %llu bytes: %s", what, n, strerror(error));
}

static int memfd_make(uint64_t bytes) {
    int fd = memfd_create("manta-heap", MFD_CLOEXEC);
    if (fd < 0) return -1;
    if (fchmod(fd, 0600) == 0 && ftruncate(fd, (off_t)bytes) == 0) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int posix_make(char name[48], uint64_t bytes) {
    for (int attempt = 0; attempt < 16; attempt++) {
        uint64_t random = 0;
        if (getrandom(&random, sizeof random, 0) != sizeof random) break;
        snprintf(name, 48, "/manta-%lld-%016llx", (long long)getpid(), (unsigned long long)random);
        int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno == EEXIST) continue;
        if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0) return fd;
        int error = errno;
        if (fd >= 0) {
            shm_unlink(name);
            close(fd);
        }
        errno = error;
        break;
    }
    name[0] = 0;
    return -1;
}

mt_status mt_heap_memory_create(mt_heap_memory *memory, uint64_t bytes, int posix) {
    *memory = (mt_heap_memory){.bytes = bytes, .fd = -1};
    if (bytes == 0 || bytes > MT_HEAP_BYTES_MAX)
        return MT_FAIL(
            INVALID_ARGUMENT, "object heap: %llu bytes are out of range (up to 64 TiB)", (unsigned long long)bytes);
    int error = mt_failpoint("heap.create");
    if (error) return fail(error, bytes, "reserve");
    memory->fd = posix ? posix_make(memory->name, bytes) : memfd_make(bytes);
    if (memory->fd < 0) return fail(errno, bytes, "reserve");
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory->fd, 0);
    if (base == MAP_FAILED) {
        error = errno;
        mt_heap_memory_destroy(memory);
        return fail(error, bytes, "map");
    }
    memory->base = base;
    return MT_OK;
}

mt_status mt_heap_memory_offer(const mt_heap_memory *memory, mt_heap_offer *out) {
    struct stat info;
    if (fstat(memory->fd, &info) != 0) return fail(errno, memory->bytes, "offer");
    *out = (mt_heap_offer){.pid = getpid(),
        .fd = memory->fd,
        .bytes = memory->bytes,
        .device = info.st_dev,
        .inode = info.st_ino,
        .made = 1};
    memcpy(out->name, memory->name, sizeof out->name);
    return MT_OK;
}

mt_status mt_heap_memory_open(mt_heap_memory *memory, const mt_heap_offer *offer) {
    char path[64];
    struct stat info;
    *memory = (mt_heap_memory){.bytes = offer->bytes, .fd = -1};
    if (memchr(offer->name, 0, sizeof offer->name) == NULL || offer->bytes > INT64_MAX)
        return MT_FAIL(CORRUPT, "object heap: another rank's offer is not one");
    snprintf(path, sizeof path, "/proc/%lld/fd/%lld", (long long)offer->pid, (long long)offer->fd);
    int fd = offer->name[0] ? shm_open(offer->name, O_RDONLY | O_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(errno, offer->bytes, "open another rank's");
    // in another pid namespace that number may be somebody else's: it must not become our memory
    int same = fstat(fd, &info) == 0 && info.st_uid == geteuid() && (uint64_t)info.st_size == offer->bytes &&
               (info.st_mode & 07777) == 0600 && info.st_dev == offer->device && info.st_ino == offer->inode;
    void *base = same ? mmap(NULL, offer->bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0) : MAP_FAILED;
    int error = same ? errno : EACCES;
    close(fd);
    if (base == MAP_FAILED) return fail(error, offer->bytes, "map another rank's");
    memory->base = base;
    return MT_OK;
}

void mt_heap_memory_unlink(mt_heap_memory *memory) {
    if (memory->name[0]) shm_unlink(memory->name);
    memory->name[0] = 0;
}

void mt_heap_memory_destroy(mt_heap_memory *memory) {
    mt_heap_memory_unlink(memory);
    if (memory->base) munmap(memory->base, memory->bytes);
    if (memory->fd >= 0) close(memory->fd);
    *memory = (mt_heap_memory){.fd = -1};
}
