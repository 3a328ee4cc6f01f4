/* Calls of the system on some files that fail, kill the process, or do nothing; a clock that is
 * wrong.  Built and loaded before the C library by reliability/interposer.py, which calls
 * fault_arm, fault_count and clock_set; until then every call is passed on. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* In the order of interposer.KINDS. */
enum kind { OPEN_READ, OPEN_WRITE, READ, WRITE, RENAME, UNLINK, MKDIR, RMDIR, TRUNCATE, FLOCK,
            SYNC, LIST, STAT, KINDS };

static atomic_int counts[KINDS];
static volatile int armed;
static int armed_kind, nth, with;
static char where[512];
static volatile long long clock_offset;

/* The nth call of a kind (every one from the first on, for 0) on a path that contains a word:
 * error > 0 is its errno, error < 0 kills the process, error 0 does nothing and says it is done.
 * kind -1 only counts. */
void fault_arm(int kind, int n, int error, const char *word) {
    for (int k = 0; k < KINDS; k++) counts[k] = 0;
    armed_kind = kind, nth = n, with = error;
    strncpy(where, word, sizeof where - 1);
    armed = 1;
}
void fault_disarm(void) { armed = 0; }
int fault_count(int kind) { return counts[kind]; }
void clock_set(double seconds) { clock_offset = (long long)(seconds * 1e9); }

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* Whether a call is to be replaced; errno is then set, to 0 if it is to seem done. */
static int struck(int kind, const char *path) {
    if (!armed || !path || !strstr(path, where)) return 0;
    int n = atomic_fetch_add(&counts[kind], 1) + 1;
    if (kind != armed_kind || (nth && n != nth)) return 0;
    if (with < 0) kill(getpid(), -with), pause();
    errno = with;
    return 1;
}

static int struck_at(int kind, int folder, const char *path) {
    if (!armed) return 0;
    if (path && (path[0] == '/' || folder == AT_FDCWD)) return struck(kind, path);
    char link[64], whole[2048];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, whole, sizeof whole - 1);
    if (length < 0) return 0;
    whole[length] = 0;
    if (path) strncat(whole, "/", sizeof whole - length - 1),
              strncat(whole, path, sizeof whole - length - 2);
    return struck(kind, whole);
}
#define STRUCK_FILE(kind, fd) struck_at(kind, fd, NULL)
#define DONE (errno ? -1 : 0)

#define MODE(flags) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); \
    }
#define KIND_OF(flags) ((flags & O_ACCMODE) == O_RDONLY ? OPEN_READ : OPEN_WRITE)
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        MODE(flags) REAL(name); \
        return struck(KIND_OF(flags), path) ? -1 : real(path, flags, mode); \
    }
#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        MODE(flags) REAL(name); \
        return struck_at(KIND_OF(flags), folder, path) ? -1 : real(folder, path, flags, mode); \
    }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)

#define ON_FILE(type, name, kind, parameters, arguments) \
    type name parameters { REAL(name); return STRUCK_FILE(kind, fd) ? DONE : real arguments; }
ON_FILE(ssize_t, read, READ, (int fd, void *to, size_t n), (fd, to, n))
ON_FILE(ssize_t, pread, READ, (int fd, void *to, size_t n, off_t at), (fd, to, n, at))
ON_FILE(ssize_t, pread64, READ, (int fd, void *to, size_t n, off64_t at), (fd, to, n, at))
ON_FILE(ssize_t, pwrite, WRITE, (int fd, const void *of, size_t n, off_t at), (fd, of, n, at))
ON_FILE(ssize_t, pwrite64, WRITE, (int fd, const void *of, size_t n, off64_t at), (fd, of, n, at))
ON_FILE(int, ftruncate, TRUNCATE, (int fd, off_t n), (fd, n))
ON_FILE(int, ftruncate64, TRUNCATE, (int fd, off64_t n), (fd, n))
ON_FILE(int, flock, FLOCK, (int fd, int how), (fd, how))
ON_FILE(int, fsync, SYNC, (int fd), (fd))
ON_FILE(int, fdatasync, SYNC, (int fd), (fd))
/* Half of what is to be written is, before it fails or kills. */
ssize_t write(int fd, const void *of, size_t n) {
    REAL(write);
    if (!armed) return real(fd, of, n);
    if (armed_kind == WRITE && n > 1 && (!nth || counts[WRITE] == nth - 1)) {
        int before = with;
        with = 0;
        int mine = STRUCK_FILE(WRITE, fd);
        with = before;
        if (!mine) return real(fd, of, n);
        real(fd, of, n / 2);
        if (with < 0) kill(getpid(), -with), pause();
        errno = with;
        return with ? -1 : (ssize_t)n;
    }
    return STRUCK_FILE(WRITE, fd) ? DONE : real(fd, of, n);
}

#define ON_PATH(type, name, kind, parameters, named, arguments) \
    type name parameters { REAL(name); return struck(kind, named) ? DONE : real arguments; }
ON_PATH(int, rename, RENAME, (const char *a, const char *b), b, (a, b))
ON_PATH(int, unlink, UNLINK, (const char *a), a, (a))
ON_PATH(int, mkdir, MKDIR, (const char *a, mode_t mode), a, (a, mode))
ON_PATH(int, rmdir, RMDIR, (const char *a), a, (a))
ON_PATH(int, link, RENAME, (const char *a, const char *b), b, (a, b))
ON_PATH(int, stat, STAT, (const char *a, struct stat *s), a, (a, s))
ON_PATH(int, stat64, STAT, (const char *a, struct stat64 *s), a, (a, s))
ON_PATH(int, lstat, STAT, (const char *a, struct stat *s), a, (a, s))
ON_PATH(int, lstat64, STAT, (const char *a, struct stat64 *s), a, (a, s))
int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat);
    int kind = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
    return struck_at(kind, folder, path) ? DONE : real(folder, path, flags);
}
int renameat(int a, const char *from, int b, const char *to) {
    REAL(renameat);
    return struck_at(RENAME, b, to) ? DONE : real(a, from, b, to);
}
DIR *opendir(const char *path) {
    REAL(opendir);
    return struck(LIST, path) ? NULL : real(path);
}
DIR *fdopendir(int fd) {
    REAL(fdopendir);
    return STRUCK_FILE(LIST, fd) ? NULL : real(fd);
}

/* The clock is wrong by what clock_set says, and an hour slow once the file $CLOCK_IS_SET_BY, of
 * processes that nobody calls clock_set in, is there. */
static long long wrong_by(void) {
    static const char *file, *asked;
    if (!asked) asked = "", file = getenv("CLOCK_IS_SET_BY");
    return clock_offset - (file && !access(file, F_OK) ? 3600 * 1000000000LL : 0);
}
int clock_gettime(clockid_t which, struct timespec *now) {
    REAL(clock_gettime);
    int code = real(which, now);
    long long wrong = which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE ? wrong_by() : 0;
    if (!code && wrong) {
        long long all = now->tv_sec * 1000000000LL + now->tv_nsec + wrong;
        now->tv_sec = all / 1000000000LL, now->tv_nsec = all % 1000000000LL;
    }
    return code;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
    now->tv_sec = exact.tv_sec, now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}
