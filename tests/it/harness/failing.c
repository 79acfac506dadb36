/* Preloaded into herd: has the disk fail, or take its time, as files in a folder say, and notes there
   what would outlast a loss of power. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

static int open_note(const char *name, int flags)
{
    static int (*real)(const char *, int, ...);
    char path[4096];
    if (!real)
        real = dlsym(RTLD_NEXT, "open64");
    snprintf(path, sizeof path, "%s/%s", getenv("HERD_TEST_DISK"), name);
    return real(path, O_CREAT | O_WRONLY | flags, 0600);
}

static void leave(const char *name)
{
    close(open_note(name, 0));
}

/* Where a descriptor leads, or an empty text. */
static void path_of(int fd, char *path, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    path[length < 0 ? 0 : length] = 0;
}

/* Only what is in a folder "data" is on the disk that fails. */
static int is_journal(int fd)
{
    char path[4096];
    path_of(fd, path, sizeof path);
    return strstr(path, "/data/") != NULL;
}

static ssize_t really_write(int fd, const void *bytes, size_t count)
{
    static ssize_t (*real)(int, const void *, size_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "write");
    return real(fd, bytes, count);
}

/* Adds "WHAT BYTES PATH" to the notes. */
static void note(const char *what, int fd, long long bytes)
{
    char path[4096], line[4200];
    int saved = errno;
    if (!getenv("HERD_TEST_DISK"))
        return;
    path_of(fd, path, sizeof path);
    int length = snprintf(line, sizeof line, "%s %lld %s\n", what, bytes, path);
    int notes = open_note("notes", O_APPEND);
    if (really_write(notes, line, length) != length)
        abort();
    close(notes);
    errno = saved;
}

int open64(const char *path, int flags, ...)
{
    static int (*real)(const char *, int, ...);
    mode_t mode = 0;
    if (!real)
        real = dlsym(RTLD_NEXT, "open64");
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    int fd = real(path, flags, mode);
    if (fd >= 0 && (flags & O_CREAT) && (flags & O_EXCL) && is_journal(fd))
        note("created", fd, 0);
    return fd;
}

/* What was in the file when its sync began is on the disk when that ends well. */
static int synced(int fd, const char *name)
{
    struct stat found;
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    if (fstat(fd, &found) < 0)
        return -1;
    int done = real(fd);
    if (done == 0 && (S_ISDIR(found.st_mode) || is_journal(fd)))
        note(S_ISDIR(found.st_mode) ? "folder" : "synced", fd, found.st_size);
    return done;
}

int fsync(int fd)
{
    return synced(fd, "fsync");
}

int fdatasync(int fd)
{
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
    return synced(fd, "fdatasync");
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    if (has("fail-write") && is_journal(fd)) {
        errno = EIO;
        return -1;
    }
    if (has("hold-write") && is_journal(fd)) {
        for (int waited = 0; has("hold-write") && waited < 4000; waited++) {
            leave("held-write");
            usleep(5000);
        }
    }
    if (has("slow-write") && is_journal(fd))
        usleep(30000);
    return really_write(fd, bytes, count);
}
