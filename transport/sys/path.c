/* SPDX-License-Identifier: MIT */
/*
 * Names in the file system: the places of sockets, and the lock file that distinguishes a live server's socket from a
 * dead one's.
 *
 * The environment is trusted, since it is our own user's; files that other users may have put into directories are not.
 * Symbolic links in the last component are never followed.
 */
#include "sys/path.h"

#include "sys/heap.h"
#include "sys/idmap.h"
#include "sys/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each further try means that a holder unlinked the file between our open() and flock(). */
#define LOCK_TRIES 16

static int runtime_dir_name(char *buf, size_t size) {
    const char *base = secure_getenv("XDG_RUNTIME_DIR");
    if (base == NULL || base[0] != '/') { /* the specification has relative ones ignored */
        if (geteuid() != 0)
            return -ENOENT;
        base = "/run";
    }
    int length = snprintf(buf, size, "%s/sealane", base);
    if (length < 0 || (size_t) length >= size)
        return -ENAMETOOLONG;
    return 0;
}

static int check_dir(const char *dir) {
    struct stat status;
    if (INJECT(FSTAT, lstat(dir, &status)) < 0)
        return -errno;
    if (!S_ISDIR(status.st_mode))
        return -ENOTDIR;
    if (status.st_uid != geteuid() || !idmap_names_user(status.st_uid) || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return -EACCES;
    return 0;
}

int path_runtime_dir(bool make, char *buf, size_t size) {
    char dir[4096];
    int r = runtime_dir_name(dir, sizeof dir);
    if (r < 0)
        return r;
    if (make && INJECT(MKDIR, mkdir(dir, 0700)) < 0 && errno != EEXIST)
        return -errno;
    r = check_dir(dir);
    if (r < 0)
        return r;
    size_t length = strlen(dir) + 1;
    if (length > size)
        return -ENAMETOOLONG;
    memcpy(buf, dir, length);
    return 0;
}

int path_user_config(const char *name, char *buf, size_t size) {
    const char *config = secure_getenv("XDG_CONFIG_HOME"), *home = secure_getenv("HOME");
    bool has_config = config && config[0] == '/'; /* the specification has relative ones ignored */
    if (!has_config && (!home || home[0] != '/'))
        return -ENOENT;
    int length = snprintf(buf, size, "%s%s/sealane/%s", has_config ? config : home, has_config ? "" : "/.config", name);
    return length < 0 || (size_t) length >= size ? -ENAMETOOLONG : 0;
}

/* Does the name still name the file that we locked? Otherwise another process may lock the name's new file. */
static int check_same_file(int fd, const char *path, bool *ret_same) {
    struct stat locked, named;
    if (INJECT(FSTAT, fstat(fd, &locked)) < 0)
        return -errno;
    if (INJECT(FSTAT, lstat(path, &named)) < 0) {
        if (errno != ENOENT)
            return -errno;
        *ret_same = false;
        return 0;
    }
    *ret_same = locked.st_dev == named.st_dev && locked.st_ino == named.st_ino;
    return 0;
}

static int try_lock(const char *path, bool *ret_same, int *ret_fd) {
    CLEANUP_FD int fd = -1;
    do {
        fd = INJECT(OPEN, open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 01600));
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -errno;

    int r;
    do {
        r = INJECT(FLOCK, flock(fd, LOCK_EX | LOCK_NB));
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return errno == EWOULDBLOCK ? -EADDRINUSE : -errno; /* the file stays, also if we made it: see path.h */

    bool is_same;
    r = check_same_file(fd, path, &is_same);
    if (r < 0)
        return r;
    *ret_same = is_same;
    *ret_fd = fd_steal(&fd);
    return 0;
}

int path_lock(const char *path, int *ret_fd) {
    for (int i = 0; i < LOCK_TRIES; i++) {
        bool is_same = false;
        int fd = -1;
        int r = try_lock(path, &is_same, &fd);
        if (r < 0)
            return r;
        if (is_same) {
            *ret_fd = fd;
            return 0;
        }
        fd_close(fd);
    }
    return -EADDRINUSE;
}

static struct path_id id_of(const struct stat *status) {
    return (struct path_id){.device = status->st_dev, .inode = status->st_ino};
}

int path_identify(const char *path, struct path_id *ret_id) {
    struct stat status;
    if (INJECT(FSTAT, lstat(path, &status)) < 0)
        return -errno;
    *ret_id = id_of(&status);
    return 0;
}

int path_identify_fd(int fd, struct path_id *ret_id) {
    struct stat status;
    if (INJECT(FSTAT, fstat(fd, &status)) < 0)
        return -errno;
    *ret_id = id_of(&status);
    return 0;
}

bool path_names(const char *path, const struct path_id *id) {
    struct path_id named;
    return path_identify(path, &named) == 0 && named.device == id->device && named.inode == id->inode;
}

int path_unlink_own(const char *path, const struct path_id *id) {
    return path_names(path, id) ? path_unlink(path) : -ESTALE;
}

/* Opens the directory of `path`, locked. The lock orders the processes that take locks over, and no others. */
static int lock_dir_of(const char *path, int *ret_fd) {
    char dir[4096];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t) (slash - path) : 0;
    if (length >= sizeof dir)
        return -ENAMETOOLONG;
    memcpy(dir, path, length);
    dir[length] = '\0';
    CLEANUP_FD int fd = INJECT(OPEN, open(length ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd < 0)
        return -errno;
    if (INJECT(FLOCK, flock(fd, LOCK_EX | LOCK_NB)) < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    *ret_fd = fd_steal(&fd);
    return 0;
}

/* The later bind() fails if the socket could not be unlinked. */
int path_take_lock(const struct path_tenancy *judged, int *ret_fd) {
    CLEANUP_FD int dir = -1;
    int r = lock_dir_of(judged->lock, &dir);
    if (r < 0)
        return r;
    r = path_lock(judged->lock, ret_fd);
    if (r != -EADDRINUSE || !path_names(judged->lock, &judged->lock_id) ||
        !path_names(judged->socket, &judged->socket_id))
        return r;
    r = path_unlink(judged->lock);
    if (r == 0)
        r = path_lock(judged->lock, ret_fd);
    if (r == 0)
        (void) path_unlink_socket(judged->socket);
    return r;
}

int path_unlink(const char *path) {
    if (INJECT(UNLINK, unlink(path)) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}

int path_unlink_socket(const char *path) {
    struct stat status;
    if (INJECT(FSTAT, lstat(path, &status)) < 0)
        return errno == ENOENT ? 0 : -errno;
    return S_ISSOCK(status.st_mode) ? path_unlink(path) : -ENOTSOCK;
}

int path_inspect(const char *path, struct path_state *ret_look) {
    struct stat status;
    if (INJECT(FSTAT, stat(path, &status)) < 0)
        return -errno;
    *ret_look = (struct path_state){.mode = status.st_mode & 07777,
                                    .owner = status.st_uid,
                                    .group = status.st_gid,
                                    .is_dir = S_ISDIR(status.st_mode),
                                    .is_socket = S_ISSOCK(status.st_mode),
                                    .is_writable = INJECT(FACCESSAT, faccessat(AT_FDCWD, path, W_OK, AT_EACCESS)) == 0};
    return 0;
}

const char *path_runtime_base(void) {
    const char *base = secure_getenv("XDG_RUNTIME_DIR");
    return base != NULL && base[0] == '/' ? base : NULL;
}
