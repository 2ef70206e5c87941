/* Lets fsync and fdatasync of files whose path ends in FAILING_FILE fail with EIO for as long as the file FAILING_SYNC
 * exists, and leaves the file SYNCED_AGAIN when anything is synced after that. Loaded with LD_PRELOAD by
 * tests/server/test_disk.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int failed;

static int ends_in(int fd, const char *end) {
    char link[64], path[PATH_MAX + 1];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX);
    return size >= (ssize_t)strlen(end) && strncmp(path + size - strlen(end), end, strlen(end)) == 0;
}

static int synced(const char *name, int fd) {
    if (failed)
        close(open(getenv("SYNCED_AGAIN"), O_CREAT | O_WRONLY, 0600));
    if (access(getenv("FAILING_SYNC"), F_OK) == 0 && ends_in(fd, getenv("FAILING_FILE"))) {
        failed = 1;
        errno = EIO;
        return -1;
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
