/* SPDX-License-Identifier: MIT */
/*
 * The seam: the one place where a test can make a system call fail, or end the process before it.
 *
 * Calls in transport/sys after whose failure something is to be done are written SEAM(KIND, call). Without a hook that costs one relaxed load.
 * The hook sees the kind and returns 0 to let the call happen, or the errno value with which
 * it is to fail. A hook may also not return (a kill sweep raises SIGKILL in it).
 */
#ifndef SYS_SEAM_H
#define SYS_SEAM_H

#include <stdbool.h>
#include <sys/socket.h>

/* Three of our headers are named like the system's: sys/file.h, sys/socket.h, sys/wait.h. */
#ifndef SOL_SOCKET
#error "<sys/socket.h> found transport/sys/socket.h: give the compiler -iquote transport, not -Itransport"
#endif

enum seam_kind {
    SEAM_ALLOC,
    SEAM_MEMFD_CREATE,
    SEAM_FTRUNCATE,
    SEAM_FALLOCATE,
    SEAM_ADD_SEALS,
    SEAM_GET_SEALS,
    SEAM_OPEN,
    SEAM_FCHMOD,
    SEAM_FCHOWN,
    SEAM_FSTAT,
    SEAM_FSTATFS,
    SEAM_MMAP,
    SEAM_MADVISE,
    SEAM_DONTDUMP,
    SEAM_MLOCK,
    SEAM_MINCORE,
    SEAM_MBIND,
    SEAM_SYSINFO,
    SEAM_PREAD,
    SEAM_PWRITE,
    SEAM_COPY_FILE_RANGE,
    SEAM_SENDFILE,
    SEAM_SPLICE,
    SEAM_SOCKET,
    SEAM_BIND,
    SEAM_LISTEN,
    SEAM_ACCEPT,
    SEAM_CONNECT,
    SEAM_GETSOCKOPT,
    SEAM_SETSOCKOPT,
    SEAM_SENDMSG,
    SEAM_RECVMSG,
    SEAM_POLL,
    SEAM_EPOLL_CREATE,
    SEAM_EPOLL_CTL,
    SEAM_EPOLL_WAIT,
    SEAM_EVENTFD,
    SEAM_FLOCK,
    SEAM_MKDIR,
    SEAM_UNLINK,
    SEAM_DUP,
    SEAM_SET_FLAGS,
    SEAM_FACCESSAT,
    SEAM_SCHED_GET,
    SEAM_PTHREAD_CREATE,
    SEAM_KINDS
};

typedef int seam_hook(enum seam_kind kind);

/* NULL removes it. For tests only. */
void seam_set_hook(seam_hook *hook);

/* Asks the hook; true: errno is set and the call must not happen. */
bool seam_fails(enum seam_kind kind);

/* The kind as text, "memfd_create". Static. */
const char *seam_name(enum seam_kind kind);

#define SEAM(kind, call) (seam_fails(SEAM_##kind) ? -1 : (call))

/* The same for a call that tells of its failure by another value: MAP_FAILED, NULL, an error number. */
#define SEAM_OR(kind, failed, call) (seam_fails(SEAM_##kind) ? (failed) : (call))

#endif
