/* SPDX-License-Identifier: MIT */
/*
 * AF_UNIX SOCK_SEQPACKET sockets. All are non-blocking and close-on-exec from birth.
 *
 * Owns: nothing; sockets are the caller's. Touches: the file system: listening makes the file of the socket, and the
 * caller unlinks it. Threads: any.
 */
#ifndef SYS_SOCKET_H
#define SYS_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `name`: a path, or an abstract name with '@' in the place of its first byte. At most 107 bytes; -EINVAL when empty.
 */

/* Binds and listens. A path is made with `mode` from the start, whatever the umask; it must not exist. The caller
 * owns *ret_fd. -EADDRINUSE, -EACCES, -ENOENT, -ENOTDIR, -ENAMETOOLONG. */
int socket_listen(const char *name, unsigned mode, int *ret_fd);

/* Like socket_listen(), but gives the file to `group` before its mode lets that group in, and before a client can
 * connect. -EPERM: neither root, nor a member of that group. */
#define SOCKET_GROUP_NONE UINT32_MAX
int socket_listen_for(const char *name, unsigned mode, uint32_t group, int *ret_fd);

/* Makes this process the one that clients see as listening (SO_PEERCRED). */
void socket_listen_again(int listener);

/* -EAGAIN: the server's backlog is full, try again later · -ENOENT, -ECONNREFUSED, -EACCES, -ENAMETOOLONG, -EPROTOTYPE
 * (another type of socket is there). */
int socket_connect(const char *name, int *ret_fd);

/* -EAGAIN: no client is waiting. */
int socket_accept(int listener, int *ret_fd);

/* Checks an inherited descriptor and makes it non-blocking and close-on-exec: -ENOTSOCK, -EPROTOTYPE
 * (not AF_UNIX SOCK_SEQPACKET), -EINVAL (listening when `listening` is false, or the reverse), -ENOTCONN (neither),
 * -EBADF. Borrows it. */
int socket_adopt(int fd, bool listening);

/* The largest datagram that can be sent, bytes; from SO_SNDBUF. */
size_t socket_datagram_max(int fd);

/* Forbids descriptors on this socket (SO_PASSRIGHTS 0). Optional: false before Linux 6.16. */
bool socket_refuse_fds(int fd);

/* From now on a receiving call that does not say MSG_DONTWAIT waits for so long. false: it cannot be had. */
bool socket_be_patient(int fd, unsigned ms);

/* Ends sending and receiving: the peer sees the end. */
void socket_shutdown(int fd);

#endif
