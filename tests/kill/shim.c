/* Stands before the C library's file calls (LD_PRELOAD) and meddles with those on files below SHIM_BELOW.
 *
 * SHIM_LOG      every operation is appended to this file, see disk.py for its form; with SHIM_DATA=1 with all
 *               that a model of the disk needs (data, new files, links).
 * SHIM_FAIL     the number of the operation that fails, from 1; those are write, sync, truncate and rename.
 * SHIM_ERRNO    what it fails with.
 * SHIM_STAY=1   those after it fail too, as on a full disk; and a write is cut in half before the first fails.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char below[PATH_MAX];
static size_t below_length;
static int log_fd = -1, data, stay, failing_errno;
static long fail_at, number;

/* When the library is loaded, or later: a fork of a process that has it gets its environment after that. */
__attribute__((constructor)) void shim_begin(void) {
    const char *folder = getenv("SHIM_BELOW"), *path = getenv("SHIM_LOG"), *text;
    if (!folder || !path) return;
    snprintf(below, sizeof below, "%s/", folder);
    below_length = strlen(below);
    log_fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    fail_at = (text = getenv("SHIM_FAIL")) ? atol(text) : 0;
    failing_errno = (text = getenv("SHIM_ERRNO")) ? atoi(text) : EIO;
    stay = (text = getenv("SHIM_STAY")) && *text == '1';
    data = (text = getenv("SHIM_DATA")) && *text == '1';
}

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name); real; })

static int ours(const char *path) { return log_fd >= 0 && strncmp(path, below, below_length) == 0; }

/* The path of an open file; false when it is none of ours. */
static int named(int fd, char *path) {
    char link[64];
    struct stat st;
    if (log_fd < 0 || fd == log_fd) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    if (n > 10 && !strcmp(path + n - 10, " (deleted)")) return 0;  /* nobody will find it again */
    if (!ours(path)) {  /* the folder itself, for its sync */
        if (strncmp(path, below, below_length - 1) || path[below_length - 1]) return 0;
    }
    return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

/* An absolute path, its folder resolved; false when it is none of ours. */
static int absolute(int at, const char *given, char *path) {
    char folder[PATH_MAX], copy[PATH_MAX];
    if (log_fd < 0 || !given) return 0;
    if (at != AT_FDCWD && given[0] != '/') {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t n = readlink(link, folder, PATH_MAX - 1);
        if (n <= 0) return 0;
        folder[n] = 0;
        snprintf(path, PATH_MAX, "%.2000s/%.2000s", folder, given);
        return ours(path);
    }
    snprintf(copy, sizeof copy, "%s", given);
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    if (slash) *slash = 0;
    if (!realpath(slash ? (*copy ? copy : "/") : ".", folder)) return 0;
    snprintf(path, PATH_MAX, "%.2000s/%.2000s", folder, name);
    return ours(path);
}

static unsigned long inode(const char *path) {
    struct stat st;
    return fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) ? 0 : (unsigned long)st.st_ino;
}

static unsigned long inode_of(int fd) {
    struct stat st;
    return fstat(fd, &st) ? 0 : (unsigned long)st.st_ino;
}

/* One record: a line "what number inode offset length path\n", then `length` bytes and "\n". */
static void record(char what, unsigned long ino, long long offset, const char *path, const void *bytes, size_t length) {
    char head[PATH_MAX + 128];
    if (!data) length = 0;
    int n = snprintf(head, sizeof head, "%c %ld %lu %lld %zu %s\n", what, number, ino, offset, length, path);
    struct iovec parts[3] = {{head, n}, {(void *)bytes, length}, {"\n", 1}};
    syscall(SYS_writev, log_fd, parts, 3);
}

/* Count one operation: -1 it must fail, 1 it is to be cut in half, 0 it goes on. The lock is held. */
static int fate(char what, const char *path) {
    number++;
    if (!fail_at || number < fail_at) return 0;
    if (number == fail_at && stay && what == 'W') return 1;
    if (number > fail_at && !stay) return 0;
    record('!', 0, what, path, "", 0);
    errno = failing_errno;
    return -1;
}

static long long length_of(int fd) {
    struct stat st;
    return fstat(fd, &st) ? 0 : (long long)st.st_size;
}

static ssize_t put(int fd, const void *bytes, size_t size, long long offset, const char *path) {
    ssize_t done = -1;
    pthread_mutex_lock(&lock);
    int fated = fate('W', path);
    if (fated >= 0) {
        if (fated == 1 && size > 1) size /= 2;
        long long at = offset;
        if (at < 0) at = fcntl(fd, F_GETFL) & O_APPEND ? length_of(fd) : lseek(fd, 0, SEEK_CUR);
        done = offset < 0 ? syscall(SYS_write, fd, bytes, size) : syscall(SYS_pwrite64, fd, bytes, size, offset);
        if (done > 0) record('W', inode_of(fd), at, path, bytes, done);
    }
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

ssize_t write(int fd, const void *bytes, size_t size) {
    char path[PATH_MAX];
    return named(fd, path) ? put(fd, bytes, size, -1, path) : REAL(write)(fd, bytes, size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
    char path[PATH_MAX];
    return named(fd, path) ? put(fd, bytes, size, offset, path) : REAL(pwrite)(fd, bytes, size, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) {
    char path[PATH_MAX];
    return named(fd, path) ? put(fd, bytes, size, offset, path) : REAL(pwrite64)(fd, bytes, size, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    if (!named(fd, path)) return REAL(writev)(fd, parts, count);
    return count ? put(fd, parts[0].iov_base, parts[0].iov_len, -1, path) : 0; /* a short write is a legal one */
}

static int sync_of(int fd, int call) {
    char path[PATH_MAX];
    if (!named(fd, path)) return syscall(call, fd);
    pthread_mutex_lock(&lock);
    int done = fate('S', path);
    if (!done) done = data ? 0 : syscall(call, fd); /* the model of the disk needs no real one */
    if (!done) record('S', inode_of(fd), 0, path, "", 0);
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

int fsync(int fd) { return sync_of(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_of(fd, SYS_fdatasync); }

static int cut(int fd, off64_t size) {
    char path[PATH_MAX];
    if (!named(fd, path)) return syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&lock);
    int done = fate('T', path);
    if (!done) done = syscall(SYS_ftruncate, fd, size);
    if (!done) record('T', inode_of(fd), size, path, "", 0);
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off64_t size) { return cut(fd, size); }

static int moved(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char old[PATH_MAX], new[PATH_MAX];
    if (!absolute(from_at, from, old) || !absolute(to_at, to, new))
        return syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    pthread_mutex_lock(&lock);
    int done = fate('R', new);
    unsigned long ino = inode(old);
    if (!done) done = syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    if (!done) record('R', ino, 0, old, "", 0), record('N', ino, 0, new, "", 0);
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

int rename(const char *from, const char *to) { return moved(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return moved(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return moved(a, from, b, to, flags); }

static int removed(int at, const char *given, int flags) {
    char path[PATH_MAX];
    if (!absolute(at, given, path) || flags) return syscall(SYS_unlinkat, at, given, flags);
    pthread_mutex_lock(&lock);
    unsigned long ino = inode(path);
    int done = syscall(SYS_unlinkat, at, given, flags);
    if (!done) record('U', ino, 0, path, "", 0);
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return removed(at, path, flags); }

int symlink(const char *target, const char *given) {
    char path[PATH_MAX];
    if (!absolute(AT_FDCWD, given, path)) return syscall(SYS_symlinkat, target, AT_FDCWD, given);
    pthread_mutex_lock(&lock);
    int done = syscall(SYS_symlinkat, target, AT_FDCWD, given);
    if (!done) record('L', inode(path), 0, path, target, strlen(target));
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

static int opened(int at, const char *given, int flags, mode_t mode) {
    char path[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE || !absolute(at, given, path))
        return syscall(SYS_openat, at, given, flags, mode);
    pthread_mutex_lock(&lock);
    int there = faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    int fd = syscall(SYS_openat, at, given, flags, mode);
    if (fd >= 0 && !there) record('C', inode_of(fd), 0, path, "", 0);
    else if (fd >= 0 && (flags & O_TRUNC)) record('T', inode_of(fd), 0, path, "", 0);
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags | O_LARGEFILE, mode); }

/* What the model does not know says so, so that no loss goes unseen. */
ssize_t copy_file_range(int in, off64_t *a, int out, off64_t *b, size_t size, unsigned flags) {
    char path[PATH_MAX];
    if (named(out, path)) record('?', 0, 0, path, "", 0);
    return REAL(copy_file_range)(in, a, out, b, size, flags);
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t size) {
    char path[PATH_MAX];
    if (named(out, path)) record('?', 0, 0, path, "", 0);
    return syscall(SYS_sendfile, out, in, offset, size);
}

ssize_t sendfile(int out, int in, off_t *offset, size_t size) { return sendfile64(out, in, (off64_t *)offset, size); }
