/* A file system that fails: loaded before the C library (LD_PRELOAD), it counts the calls that
 * write below one folder, and from a chosen one on lets them fail, or ends the process there. So
 * every step of a commit is a failure point, without a hook in the program.
 *
 *   SHIM_DIR    the folder; calls elsewhere pass
 *   SHIM_FAIL   the number of the first call that fails, from 1; 0 or none: the calls are counted
 *   SHIM_HOW    `full` (ENOSPC), `broken` (EIO), `kill` (the process ends before the call),
 *               `torn` (it ends after half of what was to be written)
 *   SHIM_WHILE  a file: calls fail only while it is there, and are not counted otherwise
 *   SHIM_COUNT  a file that gets the number of calls at the end of the process
 *
 * What goes to the kernel past the C library (renames of `rustix`, written pages of mapped files)
 * is not seen; the calls before and after it are.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum how { FULL, BROKEN, KILL, TORN };

static const char *dir, *gate, *count_file;
static size_t dir_length;
static long fail_at, calls;
static enum how how;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void) {
    const char *at = getenv("SHIM_FAIL"), *kind = getenv("SHIM_HOW");
    dir = getenv("SHIM_DIR");
    gate = getenv("SHIM_WHILE");
    count_file = getenv("SHIM_COUNT");
    dir_length = dir ? strlen(dir) : 0;
    fail_at = at ? atol(at) : 0;
    how = !kind || !strcmp(kind, "full") ? FULL
          : !strcmp(kind, "broken")      ? BROKEN
          : !strcmp(kind, "torn")        ? TORN
                                         : KILL;
    /* Programs that this one starts are none of ours. */
    unsetenv("LD_PRELOAD");
}

__attribute__((destructor)) static void end(void) {
    if (count_file) {
        char text[32];
        int n = snprintf(text, sizeof text, "%ld\n", calls);
        int fd = REAL(open)(count_file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (fd >= 0) {
            if (REAL(write)(fd, text, (size_t)n) != n) _exit(99);
            close(fd);
        }
    }
}

static int below(const char *path) {
    return dir_length && !strncmp(path, dir, dir_length) &&
           (path[dir_length] == '/' || path[dir_length] == 0);
}

static int is_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return below(path);
}

/* Whether the call at hand fails; with `KILL` there is no return. `TORN` is the caller's. */
static int fails(void) {
    int kept = errno;
    if (gate && access(gate, F_OK)) {
        errno = kept;
        return 0;
    }
    errno = kept;
    long at = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    if (!fail_at || at < fail_at) return 0;
    if (how == KILL) _exit(137);
    errno = how == BROKEN ? EIO : ENOSPC;
    return 1;
}

/* A failing call that writes no bytes: a torn one ends the process here. */
static int refused(void) {
    if (!fails()) return 0;
    if (how == TORN) _exit(137);
    return 1;
}

ssize_t write(int fd, const void *bytes, size_t n) {
    if (is_below(fd) && fails()) {
        if (how != TORN) return -1;
        if (REAL(write)(fd, bytes, n / 2) >= 0) _exit(137);
        _exit(137);
    }
    return REAL(write)(fd, bytes, n);
}

ssize_t writev(int fd, const struct iovec *parts, int n) {
    if (is_below(fd) && refused()) return -1;
    return REAL(writev)(fd, parts, n);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) {
    if (is_below(fd) && fails()) {
        if (how != TORN) return -1;
        if (REAL(pwrite)(fd, bytes, n / 2, at) >= 0) _exit(137);
        _exit(137);
    }
    return REAL(pwrite)(fd, bytes, n, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) {
    if (is_below(fd) && fails()) {
        if (how != TORN) return -1;
        if (REAL(pwrite64)(fd, bytes, n / 2, at) >= 0) _exit(137);
        _exit(137);
    }
    return REAL(pwrite64)(fd, bytes, n, at);
}

int fsync(int fd) {
    if (is_below(fd) && refused()) return -1;
    return REAL(fsync)(fd);
}

int fdatasync(int fd) {
    if (is_below(fd) && refused()) return -1;
    return REAL(fdatasync)(fd);
}

int ftruncate(int fd, off_t length) {
    if (is_below(fd) && refused()) return -1;
    return REAL(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    if (is_below(fd) && refused()) return -1;
    return REAL(ftruncate64)(fd, length);
}

int rename(const char *from, const char *to) {
    if ((below(from) || below(to)) && refused()) return -1;
    return REAL(rename)(from, to);
}

int unlink(const char *path) {
    /* A full disk lets files go; what ends the process may end it here too. */
    if (below(path) && how != FULL && refused()) return -1;
    return REAL(unlink)(path);
}

/* Making a file takes room; opening one that is there does not. */
static int makes(const char *path, int flags) {
    return (flags & O_CREAT) && below(path) && access(path, F_OK) != 0;
}

#define OPEN(name)                                            \
    int name(const char *path, int flags, ...) {              \
        va_list rest;                                         \
        va_start(rest, flags);                                \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                         \
        if (makes(path, flags) && refused()) return -1;       \
        return REAL(name)(path, flags, mode);                 \
    }

OPEN(open)
OPEN(open64)
