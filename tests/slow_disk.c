/* A library that is preloaded: what opens, renames or syncs a file below $SLOW_FOLDER waits as many seconds as the file
   $SLOW_SECONDS says. For tests: a shared folder whose server is slow. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int real_open(const char *path, int flags, mode_t mode) {
    static int (*next)(const char *, int, ...);
    if (!next) next = dlsym(RTLD_NEXT, "open64");
    return next(path, flags, mode);
}

static void wait_for(const char *path) {
    const char *folder = getenv("SLOW_FOLDER"), *file = getenv("SLOW_SECONDS");
    char text[32];
    if (!folder || !file || !path || strncmp(path, folder, strlen(folder))) return;
    int fd = real_open(file, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0) return;
    text[size] = 0;
    double seconds = atof(text);
    if (seconds > 0) usleep((useconds_t)(seconds * 1e6));
}

int open64(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
    va_end(list);
    wait_for(path);
    return real_open(path, flags, mode);
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));

int rename(const char *from, const char *to) {
    static int (*next)(const char *, const char *);
    if (!next) next = dlsym(RTLD_NEXT, "rename");
    wait_for(to);
    return next(from, to);
}

int fsync(int fd) {
    static int (*next)(int);
    char name[64], path[PATH_MAX];
    if (!next) next = dlsym(RTLD_NEXT, "fsync");
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, path, sizeof path - 1);
    if (size > 0) {
        path[size] = 0;
        wait_for(path);
    }
    return next(fd);
}
