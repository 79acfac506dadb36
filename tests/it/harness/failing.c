/* Preloaded into herd: has the disk fail, or take its time, as files in a folder say. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether the folder of HERD_TEST_DISK has a file of this name. */
static int has(const char *name)
{
    char path[4096];
    const char *folder = getenv("HERD_TEST_DISK");
    if (!folder)
        return 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static void leave(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("HERD_TEST_DISK"), name);
    close(open(path, O_CREAT | O_WRONLY, 0600));
}

/* Only what is in a folder "data" is on the disk that fails. */
static int is_journal(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strstr(path, "/data/") != NULL;
}

int fdatasync(int fd)
{
    static int (*real)(int);
    if (!real)
        real = dlsym(RTLD_NEXT, "fdatasync");
    if (is_journal(fd)) {
        for (int waited = 0; has("hold") && waited < 4000; waited++) {
            leave("held");
            usleep(5000);
        }
        if (has("fail-sync")) {
            errno = EIO;
            return -1;
        }
    }
    return real(fd);
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    static ssize_t (*real)(int, const void *, size_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "write");
    if (has("fail-write") && is_journal(fd)) {
        errno = EIO;
        return -1;
    }
    return real(fd, bytes, count);
}
