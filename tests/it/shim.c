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
 * Or one whose power fails: what was made safe on disk below the first folder, and nothing else, is
 * kept in another one, whatever is written later.
 *
 *   SHIM_KEEP   that folder, which lies elsewhere. `INODE` has what a file held when it was last
 *               synced, `INODE.names` what a folder did: a line for each entry, with its inode, `d`
 *               for a folder and `f` for a file, and its name. What is there at the start is safe.
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
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum how { FULL, BROKEN, KILL, TORN };

static const char *dir, *gate, *count_file, *far, *far_gate;
static size_t dir_length, far_length;
static long fail_at, calls;
static enum how how;

/* What the disk has, while nobody changes it. */
static const char *kept;
static pthread_mutex_t disk = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void keep_all(const char *folder);

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
    kept = getenv("SHIM_KEEP");
    if (kept && dir) {
        struct rlimit files;
        if (!getrlimit(RLIMIT_NOFILE, &files)) {
            files.rlim_cur = files.rlim_max;
            setrlimit(RLIMIT_NOFILE, &files);
        }
        keep_all(dir);
    }
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

/* A file or folder that the disk knows. As long as it is held no other one gets its inode, even if
 * it is deleted; and to close what it was read by would give up the locks that SQLite has on it. */
struct held {
    ino_t inode;
    int by_path, by_text;
};

static struct held *hold(int folder, const char *path, int flags) {
    static struct held all[16384];
    static size_t n;
    struct stat meta;
    int fd = REAL(openat)(folder, path, O_PATH | O_CLOEXEC | flags);
    if (fd < 0) return NULL;
    if (fstat(fd, &meta) || n == sizeof all / sizeof *all) _exit(98);
    for (size_t at = 0; at < n; at++) {
        if (all[at].inode == meta.st_ino) {
            close(fd);
            return &all[at];
        }
    }
    all[n] = (struct held){meta.st_ino, fd, -1};
    return &all[n++];
}

/* Opens what the disk is to know of an inode; `settle` puts it in the place of what it knew. */
static FILE *begin(ino_t inode, const char *what, char path[PATH_MAX]) {
    snprintf(path, PATH_MAX - 8, "%s/%lu%s", kept, (unsigned long)inode, what);
    strcat(path, ".new");
    FILE *to = fopen(path, "w");
    if (!to) _exit(98);
    return to;
}

static void settle(FILE *to, const char *path) {
    char last[PATH_MAX];
    snprintf(last, sizeof last, "%.*s", (int)strlen(path) - 4, path);
    if (fclose(to) || REAL(rename)(path, last)) _exit(98);
}

static void keep_text(struct held *file) {
    char path[PATH_MAX], bytes[65536];
    if (file->by_text < 0) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", file->by_path);
        file->by_text = REAL(open)(path, O_RDONLY | O_CLOEXEC);
    }
    FILE *to = begin(file->inode, "", path);
    ssize_t n;
    for (off_t at = 0; (n = pread(file->by_text, bytes, sizeof bytes, at)) > 0; at += n)
        fwrite(bytes, 1, (size_t)n, to);
    if (n < 0) _exit(98);
    settle(to, path);
}

static void keep_names(struct held *folder) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "/proc/self/fd/%d", folder->by_path);
    DIR *names = REAL(opendir)(path);
    if (!names) _exit(98);
    FILE *to = begin(folder->inode, ".names", path);
    for (struct dirent *one; (one = readdir(names));) {
        if (!strcmp(one->d_name, ".") || !strcmp(one->d_name, "..")) continue;
        struct held *held = hold(dirfd(names), one->d_name, O_NOFOLLOW);
        /* It went meanwhile. */
        if (!held) continue;
        int is_folder = one->d_type == DT_DIR;
        fprintf(to, "%lu %c %s\n", (unsigned long)held->inode, is_folder ? 'd' : 'f', one->d_name);
    }
    closedir(names);
    settle(to, path);
}

static void keep(int folder, const char *path) {
    struct stat meta;
    struct held *held = hold(folder, path, 0);
    if (!held || fstat(held->by_path, &meta)) return;
    if (S_ISDIR(meta.st_mode)) keep_names(held);
    else if (S_ISREG(meta.st_mode)) keep_text(held);
}

/* What lies there at the start. */
static void keep_all(const char *folder) {
    DIR *names = REAL(opendir)(folder);
    if (!names) return;
    keep(AT_FDCWD, folder);
    for (struct dirent *one; (one = readdir(names));) {
        char path[PATH_MAX];
        if (!strcmp(one->d_name, ".") || !strcmp(one->d_name, "..")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, one->d_name);
        if (one->d_type == DT_DIR) keep_all(path);
        else keep(AT_FDCWD, path);
    }
    closedir(names);
}

/* It was made safe. */
static int synced(int fd, int done) {
    char path[64];
    if (done || !kept || !is_below(fd)) return done;
    int was = errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    pthread_mutex_lock(&disk);
    keep(AT_FDCWD, path);
    pthread_mutex_unlock(&disk);
    errno = was;
    return done;
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
    if (how == KILL) {
        pthread_mutex_lock(&disk);
        _exit(137);
    }
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
    return synced(fd, REAL(fsync)(fd));
}

int fdatasync(int fd) {
    if (is_below(fd) && refused()) return -1;
    return synced(fd, REAL(fdatasync)(fd));
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
