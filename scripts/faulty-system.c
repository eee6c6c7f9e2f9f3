// A wall clock that is wrong and a disk that is slow, for `scripts/torture`: LD_PRELOAD=faulty-system.so FAULTY_SYSTEM=FILE program
//
// FILE contains two signed 64-bit numbers of this machine, which may change at any time: the error of the clock in seconds, and by how
// many milliseconds each sync of a file is late. The monotonic clock is right. (libfaketime does the first, and hangs at the start of a
// program that uses jemalloc.)
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// The error of the clock in seconds, then the delay of a sync in milliseconds.
static const volatile int64_t *faults;

__attribute__((constructor)) static void open_file(void) {
    const char *file = getenv("FAULTY_SYSTEM");
    int opened = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    if (opened < 0) return;
    void *mapped = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, opened, 0);
    if (mapped != MAP_FAILED) faults = mapped;
    close(opened);
}

int clock_gettime(clockid_t clock, struct timespec *to) {
    int result = (int)syscall(SYS_clock_gettime, clock, to);
    int is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    if (result == 0 && is_wall && faults) to->tv_sec += faults[0];
    return result;
}

int gettimeofday(struct timeval *restrict to, void *restrict zone) {
    (void)zone;
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    to->tv_sec = now.tv_sec;
    to->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}

// The kernel waits until a time of the right clock. Conditions with another clock than the wall clock are not expected: Rust uses none.
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    static int (*wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!wait) *(void **)&wait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    struct timespec right = *until;
    if (faults) right.tv_sec -= faults[0];
    return wait(condition, mutex, &right);
}

static int sync_late(const char *name, int file) {
    int (*sync)(int);
    *(void **)&sync = dlsym(RTLD_NEXT, name);
    int64_t late = faults ? faults[1] : 0;
    if (late > 0) {
        struct timespec delay = {late / 1000, late % 1000 * 1000000};
        nanosleep(&delay, NULL);
    }
    return sync(file);
}

int fsync(int file) { return sync_late("fsync", file); }

int fdatasync(int file) { return sync_late("fdatasync", file); }
