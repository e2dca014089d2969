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
 * Or one whose server is gone: calls that look up or open something below another folder do not
 * return.
 *
 *   SHIM_HANG        that folder
 *   SHIM_HANG_WHILE  a file: they hang as long as it is there, looked at each 10 ms
 *
 * What goes to the kernel past the C library (renames, opening below a folder and the state of file
 * systems by `rustix`, written pages of mapped files) is not seen; the calls before and after it
 * are.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum how { FULL, BROKEN, KILL, TORN };

static const char *dir, *gate, *count_file, *far, *far_gate;
static size_t dir_length, far_length;
static long fail_at, calls;
static enum how how;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void) {
    const char *at = getenv("SHIM_FAIL"), *kind = getenv("SHIM_HOW");
    dir = getenv("SHIM_DIR");
    gate = getenv("SHIM_WHILE");
    count_file = getenv("SHIM_COUNT");
    dir_length = dir ? strlen(dir) : 0;
    far = getenv("SHIM_HANG");
    far_gate = getenv("SHIM_HANG_WHILE");
    far_length = far && far_gate ? strlen(far) : 0;
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

static int within(const char *path, const char *folder, size_t length) {
    return length && !strncmp(path, folder, length) && (path[length] == '/' || path[length] == 0);
}

static int below(const char *path) {
    return within(path, dir, dir_length);
}

/* Where an open file lies; false if that cannot be told. */
static int place(int fd, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return 1;
}

static int is_below(int fd) {
    char path[PATH_MAX];
    return place(fd, path) && below(path);
}

/* Waits as long as the file system of a path hangs. */
static void reach(const char *path) {
    if (!path || !within(path, far, far_length)) return;
    int kept = errno;
    while (!access(far_gate, F_OK)) usleep(10000);
    errno = kept;
}

/* The same of a path that begins at an open folder. */
static void reach_at(int fd, const char *path) {
    char folder[PATH_MAX];
    if (!far_length || !path) return;
    if (*path == '/' || fd == AT_FDCWD) return reach(path);
    int kept = errno;
    int known = place(fd, folder);
    errno = kept;
    if (known) reach(folder);
}

int statx(int fd, const char *restrict path, int flags, unsigned mask, struct statx *restrict to) {
    reach_at(fd, path);
    return REAL(statx)(fd, path, flags, mask, to);
}

DIR *opendir(const char *path) {
    reach(path);
    return REAL(opendir)(path);
}

char *realpath(const char *restrict path, char *restrict to) {
    reach(path);
    /* The first of its versions, which may be the one that is found, wants room from its caller. */
    return to ? REAL(realpath)(path, to) : canonicalize_file_name(path);
}

int inotify_add_watch(int fd, const char *path, uint32_t mask) {
    reach(path);
    return REAL(inotify_add_watch)(fd, path, mask);
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
        reach(path);                                          \
        if (makes(path, flags) && refused()) return -1;       \
        return REAL(name)(path, flags, mode);                 \
    }

OPEN(open)
OPEN(open64)
