/* Counts what a process changes in a folder, and kills it at one of these events.

   Loaded by LD_PRELOAD. It sleeps until the environment names the folder, so a process may load it
   long before, fork, and wake it in one fork by setting the environment there:

     WBC_FAULTS_ROOT   the folder; an event is a change below it (not in .git and __pycache__)
     WBC_FAULTS_COUNT  a file of 8 bytes, the number of events so far, shared by all processes
     WBC_FAULTS_LOG    if set: a file that gets a line for each event
     WBC_FAULTS_KILL   if set: the event, from 1, at which SIGKILL comes: before it is done or, where
                       bytes are written, when half of them are. Every other process that shares the
                       counter dies before its next event, so the disk stays as it was then.
     WBC_FAULTS_ALONE  if set: the others live on

   It does not see what is written through memory maps. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *root;
static size_t root_length;
static uint64_t *count;
static uint64_t kill_at;
static int alone, log_file = -1;
static __thread int inside; /* what this file itself opens and writes is no event */

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int armed(void) {
    if (count) return 1;
    const char *folder = getenv("WBC_FAULTS_ROOT"), *counter = getenv("WBC_FAULTS_COUNT");
    if (!folder || !counter) return 0;
    int file = syscall(SYS_openat, AT_FDCWD, counter, O_RDWR | O_CLOEXEC);
    if (file < 0) return 0;
    void *page = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (page == MAP_FAILED) return 0;
    root = strdup(folder);
    root_length = strlen(root);
    const char *number = getenv("WBC_FAULTS_KILL"), *log = getenv("WBC_FAULTS_LOG");
    kill_at = number ? strtoull(number, NULL, 10) : 0;
    alone = getenv("WBC_FAULTS_ALONE") != NULL;
    if (log) {
        int low = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CLOEXEC);
        log_file = fcntl(low, F_DUPFD_CLOEXEC, 900); /* out of the way of programs that count */
        syscall(SYS_close, low);
    }
    count = page;
    return 1;
}

static int watched(const char *path) {
    return !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]) &&
           !strstr(path, "/__pycache__") && !strstr(path + root_length, "/.git/");
}

/* The absolute path of a file, or "". */
static const char *path_at(int folder, const char *path, char *out) {
    out[0] = 0;
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
        return out;
    }
    char link[64], base[PATH_MAX];
    snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, base, sizeof base - 1);
    if (length < 0) return out;
    base[length] = 0;
    if (snprintf(out, PATH_MAX, *path ? "%s/%s" : "%s", base, path) >= PATH_MAX) out[0] = 0;
    return out;
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* Count an event; returns 1 where the process must die of it, after half of the writing. */
static int event(const char *name, const char *path, int tearable) {
    if (!watched(path)) return 0;
    uint64_t number = __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
    if (log_file >= 0) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%s %s\n", name, path + root_length);
        syscall(SYS_write, log_file, line, (size_t)length);
    }
    if (!kill_at || number < kill_at || (alone && number > kill_at)) return 0;
    if (number == kill_at && tearable) return 1;
    die();
    return 0;
}

static int event_at(const char *name, int folder, const char *path) {
    int before = errno;
    char whole[PATH_MAX];
    if (!inside && path && armed()) {
        inside = 1;
        event(name, path_at(folder, path, whole), 0);
        inside = 0;
    }
    errno = before;
    return 0;
}

static int event_of(const char *name, int file, int tearable) {
    int before = errno, torn = 0;
    char whole[PATH_MAX];
    struct stat facts;
    if (!inside && armed() && file != log_file && !fstat(file, &facts) && S_ISREG(facts.st_mode)) {
        inside = 1;
        torn = event(name, path_at(file, "", whole), tearable);
        inside = 0;
    }
    errno = before;
    return torn;
}

#define OPEN(name, parameters, folder, arguments)                                                  \
    int name parameters {                                                                          \
        mode_t mode = 0;                                                                           \
        if (flags & (O_CREAT | __O_TMPFILE)) {                                                     \
            va_list rest;                                                                          \
            va_start(rest, flags);                                                                 \
            mode = va_arg(rest, mode_t);                                                           \
            va_end(rest);                                                                          \
        }                                                                                          \
        if ((flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT) event_at("open", folder, path);    \
        return REAL(name) arguments;                                                               \
    }
OPEN(open, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPEN(openat, (int folder, const char *path, int flags, ...), folder, (folder, path, flags, mode))
OPEN(openat64, (int folder, const char *path, int flags, ...), folder, (folder, path, flags, mode))

#define FOPEN(name)                                                                                \
    FILE *name(const char *path, const char *mode) {                                               \
        if (strpbrk(mode, "wa+")) event_at("open", AT_FDCWD, path);                                \
        return REAL(name)(path, mode);                                                             \
    }
FOPEN(fopen)
FOPEN(fopen64)

int creat(const char *path, mode_t mode) {
    event_at("open", AT_FDCWD, path);
    return REAL(creat)(path, mode);
}

ssize_t write(int file, const void *bytes, size_t size) {
    if (event_of("write", file, 1)) {
        REAL(write)(file, bytes, size / 2);
        die();
    }
    return REAL(write)(file, bytes, size);
}

#define PWRITE(name, offset_t)                                                                     \
    ssize_t name(int file, const void *bytes, size_t size, offset_t offset) {                      \
        if (event_of("write", file, 1)) {                                                          \
            REAL(name)(file, bytes, size / 2, offset);                                             \
            die();                                                                                 \
        }                                                                                          \
        return REAL(name)(file, bytes, size, offset);                                              \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int file, const struct iovec *parts, int number) {
    event_of("write", file, 0);
    return REAL(writev)(file, parts, number);
}

#define COPY(name, parameters, to, arguments)                                                      \
    ssize_t name parameters {                                                                      \
        event_of("write", to, 0);                                                                  \
        return REAL(name) arguments;                                                               \
    }
COPY(sendfile, (int to, int from, off_t *at, size_t size), to, (to, from, at, size))
COPY(sendfile64, (int to, int from, off64_t *at, size_t size), to, (to, from, at, size))
COPY(copy_file_range,
     (int from, off64_t *at, int to, off64_t *there, size_t size, unsigned flags), to,
     (from, at, to, there, size, flags))

#define ON_FILE(name, parameters, arguments)                                                       \
    int name parameters {                                                                          \
        event_of(#name, file, 0);                                                                  \
        return REAL(name) arguments;                                                               \
    }
ON_FILE(fsync, (int file), (file))
ON_FILE(fdatasync, (int file), (file))
ON_FILE(ftruncate, (int file, off_t size), (file, size))
ON_FILE(ftruncate64, (int file, off64_t size), (file, size))
ON_FILE(posix_fallocate, (int file, off_t at, off_t size), (file, at, size))
ON_FILE(posix_fallocate64, (int file, off64_t at, off64_t size), (file, at, size))

#define ON_PATH(name, parameters, folder, path, arguments)                                         \
    int name parameters {                                                                          \
        event_at(#name, folder, path);                                                             \
        return REAL(name) arguments;                                                               \
    }
ON_PATH(rename, (const char *from, const char *to), AT_FDCWD, to, (from, to))
ON_PATH(renameat, (int a, const char *from, int b, const char *to), b, to, (a, from, b, to))
ON_PATH(renameat2, (int a, const char *from, int b, const char *to, unsigned flags), b, to,
        (a, from, b, to, flags))
ON_PATH(unlink, (const char *path), AT_FDCWD, path, (path))
ON_PATH(unlinkat, (int folder, const char *path, int flags), folder, path, (folder, path, flags))
ON_PATH(rmdir, (const char *path), AT_FDCWD, path, (path))
ON_PATH(mkdir, (const char *path, mode_t mode), AT_FDCWD, path, (path, mode))
ON_PATH(mkdirat, (int folder, const char *path, mode_t mode), folder, path, (folder, path, mode))
ON_PATH(link, (const char *from, const char *to), AT_FDCWD, to, (from, to))
ON_PATH(linkat, (int a, const char *from, int b, const char *to, int flags), b, to,
        (a, from, b, to, flags))
ON_PATH(symlink, (const char *from, const char *to), AT_FDCWD, to, (from, to))
ON_PATH(symlinkat, (const char *from, int folder, const char *to), folder, to, (from, folder, to))
ON_PATH(truncate, (const char *path, off_t size), AT_FDCWD, path, (path, size))
