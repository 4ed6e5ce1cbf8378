/* SPDX-License-Identifier: MIT */
/*
 * AF_UNIX SOCK_SEQPACKET sockets: making, finding, accepting and adopting them.
 *
 * The layers above decide which names are sensible, whether a stale socket file may be removed, and which clients may
 * connect. The caller owns the sockets that are returned; a failure leaves nothing behind, no file either.
 *
 * Facts relied on (tests/contract/test_send.c): the mode of a socket's descriptor at bind() is the mode of its file,
 * less the umask; SO_SNDBUF less 32 bytes is the largest datagram; a full backlog is EAGAIN.
 */
#include "sys/socket.h"

#include "sys/failure.h"
#include "sys/heap.h"
#include "sys/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h> /* the system's; NOLINT(readability-duplicate-include) */
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* Linux 6.16. The number differs on these two; there we do without. */
#if !defined(SO_PASSRIGHTS) && !defined(__hppa__) && !defined(__sparc__)
#define SO_PASSRIGHTS 83
#endif

/* Linux 6.6; the number is equal on all machines but alpha. */
#define SYS_FCHMODAT2 452

/* The part of SO_SNDBUF that unix_dgram_sendmsg() keeps for itself. */
#define DATAGRAM_OVERHEAD 32

static int make_address(const char *name, struct sockaddr_un *ret_address, socklen_t *ret_size) {
    size_t length = strlen(name);
    if (length == 0)
        return -EINVAL;
    if (length >= sizeof ret_address->sun_path)
        return -ENAMETOOLONG;

    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret_address->sun_path, name, length);
    size_t size = offsetof(struct sockaddr_un, sun_path) + length;
    if (name[0] == '@')
        ret_address->sun_path[0] = '\0'; /* abstract: the length counts, there is no terminator */
    else
        size++;
    *ret_size = (socklen_t) size;
    return 0;
}

static int socket_new(void) {
    int fd = INJECT(SOCKET, socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    return fd < 0 ? failure_of(INJECT_SOCKET, errno) : fd;
}

/* Are we, and root, the only users who can put another file in this place? */
static bool is_place_ours(const char *path) {
    char dir[sizeof(((struct sockaddr_un *) NULL)->sun_path)];
    struct stat status;
    snprintf(dir, sizeof dir, "%s", path);
    strrchr(dir, '/')[1] = '\0';
    bool is_known = INJECT(FSTAT, stat(dir, &status)) == 0 && (status.st_uid == 0 || status.st_uid == geteuid());
    return is_known && ((status.st_mode & (S_IWGRP | S_IWOTH)) == 0 || (status.st_mode & S_ISVTX) != 0);
}

/* fchmod() does not take O_PATH descriptors. Linux 6.6 has a call that does; before, /proc is needed; without it the
 * name has to do. */
static int set_mode(int file, const char *path, mode_t mode) {
    char link[32];
    if (INJECT(FCHMOD, syscall(SYS_FCHMODAT2, file, "", mode, AT_EMPTY_PATH)) == 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (INJECT(FCHMOD, chmod(link, mode)) == 0)
        return 0;
    int error = errno;
    if (is_place_ours(path) && INJECT(FCHMOD, chmod(path, mode)) == 0)
        return 0;
    return failure_name(INJECT_FCHMOD, error);
}

/* Through a descriptor that was seen to be a socket of ours, so that nothing put there in its place is changed. */
static int change_file(int file, const char *path, mode_t mode, uint32_t group) {
    struct stat status;
    if (INJECT(FSTAT, fstat(file, &status)) < 0)
        return failure_of(INJECT_FSTAT, errno);
    if (!S_ISSOCK(status.st_mode) || status.st_uid != geteuid())
        return -EACCES;
    if (group != SOCKET_GROUP_NONE && status.st_gid != group &&
        INJECT(FCHOWN, fchownat(file, "", (uid_t) -1, group, AT_EMPTY_PATH)) < 0)
        return failure_name(INJECT_FCHOWN, errno); /* EPERM: the group is not one of ours */
    if ((status.st_mode & 07777) == mode)
        return 0;

    return set_mode(file, path, mode);
}

/*
 * Gives the socket's file exactly `mode`. The file was bound with that mode less the umask, or with the owner's part of
 * it if the group is still to change: so it grants too little before, if anything. Where the first fchmod() is
 * forbidden the file has another mode for that moment, in which no client can connect: the socket does not listen yet.
 */
static int widen_access(const char *path, mode_t mode, uint32_t group) {
    CLEANUP_FD int file = INJECT(OPEN, open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    return file < 0 ? failure_of(INJECT_OPEN, errno) : change_file(file, path, mode, group);
}

static int bind_path(int fd, const struct sockaddr_un *address, socklen_t size, mode_t mode, uint32_t group) {
    (void) INJECT(FCHMOD, fchmod(fd, group == SOCKET_GROUP_NONE ? mode : mode & S_IRWXU));
    if (INJECT(BIND, bind(fd, (const struct sockaddr *) address, size)) < 0)
        return failure_of(INJECT_BIND, errno);
    int r = widen_access(address->sun_path, mode, group);
    if (r < 0)
        unlink(address->sun_path);
    return r;
}

int socket_listen(const char *name, unsigned mode, int *ret_fd) {
    return socket_listen_for(name, mode, SOCKET_GROUP_NONE, ret_fd);
}

int socket_listen_for(const char *name, unsigned mode, uint32_t group, int *ret_fd) {
    struct sockaddr_un address;
    socklen_t size;
    int r = make_address(name, &address, &size);
    if (r < 0)
        return r;
    CLEANUP_FD int fd = socket_new();
    if (fd < 0)
        return fd;

    bool is_path = address.sun_path[0] != '\0';
    if (is_path)
        r = bind_path(fd, &address, size, (mode_t) mode, group);
    else
        r = INJECT(BIND, bind(fd, (const struct sockaddr *) &address, size)) < 0 ? failure_of(INJECT_BIND, errno) : 0;
    if (r < 0)
        return r;
    if (INJECT(LISTEN, listen(fd, SOMAXCONN)) < 0) {
        r = failure_of(INJECT_LISTEN, errno);
        if (is_path)
            unlink(address.sun_path);
        return r;
    }
    *ret_fd = fd_steal(&fd);
    return 0;
}

void socket_listen_again(int listener) {
    (void) INJECT(LISTEN, listen(listener, SOMAXCONN));
}

int socket_connect(const char *name, int *ret_fd) {
    struct sockaddr_un address;
    socklen_t size;
    int r = make_address(name, &address, &size);
    if (r < 0)
        return r;
    CLEANUP_FD int fd = socket_new();
    if (fd < 0)
        return fd;
    do {
        r = INJECT(CONNECT, connect(fd, (const struct sockaddr *) &address, size));
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return failure_of(INJECT_CONNECT, errno);
    *ret_fd = fd_steal(&fd);
    return 0;
}

int socket_accept(int listener, int *ret_fd) {
    int fd;
    do {
        fd = INJECT(ACCEPT, accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0)
        return failure_of(INJECT_ACCEPT, errno);
    *ret_fd = fd;
    return 0;
}

static int read_option(int fd, int option, int *ret_value) {
    int value;
    socklen_t size = sizeof value;
    if (INJECT(GETSOCKOPT, getsockopt(fd, SOL_SOCKET, option, &value, &size)) < 0)
        return failure_of(INJECT_GETSOCKOPT, errno);
    *ret_value = value;
    return 0;
}

static int check_kind(int fd, bool listening) {
    int domain = 0, type = 0, is_listening = 0, r;
    if ((r = read_option(fd, SO_DOMAIN, &domain)) < 0 || (r = read_option(fd, SO_TYPE, &type)) < 0 ||
        (r = read_option(fd, SO_ACCEPTCONN, &is_listening)) < 0)
        return r;
    if (domain != AF_UNIX || type != SOCK_SEQPACKET)
        return -EPROTOTYPE;
    if ((is_listening != 0) != listening)
        return -EINVAL;

    struct sockaddr_un peer;
    socklen_t size = sizeof peer;
    if (!listening && getpeername(fd, (struct sockaddr *) &peer, &size) < 0)
        return -errno;
    return 0;
}

int socket_adopt(int fd, bool listening) {
    int r = check_kind(fd, listening);
    if (r < 0)
        return r;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || INJECT(SET_FLAGS, fcntl(fd, F_SETFL, flags | O_NONBLOCK)) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return failure_of(INJECT_SET_FLAGS, errno);
    return 0;
}

size_t socket_datagram_max(int fd) {
    int size = 0;
    if (read_option(fd, SO_SNDBUF, &size) < 0 || size <= DATAGRAM_OVERHEAD)
        return 0;
    return (size_t) size - DATAGRAM_OVERHEAD;
}

bool socket_refuse_fds(int fd) {
#ifdef SO_PASSRIGHTS
    int off = 0;
    return INJECT(SETSOCKOPT, setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off)) == 0;
#else
    (void) fd;
    return false;
#endif
}

bool socket_be_patient(int fd, unsigned ms) {
    const struct timeval time = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t) (ms % 1000 * 1000)};
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && INJECT(SETSOCKOPT, setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time)) == 0 &&
           INJECT(SET_FLAGS, fcntl(fd, F_SETFL, flags & ~O_NONBLOCK)) == 0;
}

void socket_shutdown(int fd) {
    shutdown(fd, SHUT_RDWR);
}
