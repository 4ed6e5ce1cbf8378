/* SPDX-License-Identifier: MIT */
/*
 * Fault injection: the one place where a test can make a system call fail, or end the process before it.
 *
 * Calls in transport/sys that need a reaction to their failure are written INJECT(KIND, call). Without a hook that
 * costs one relaxed load. The hook gets the kind and returns 0 to let the call happen, or the errno value with which it
 * fails. A hook may also not return (a kill sweep raises SIGKILL in it).
 *
 * Owns: the hook, one for the process; there is none in production. Touches: errno, where a call fails by the hook.
 * Threads: any; a hook is called on the thread that makes the call, on several at a time.
 */
#ifndef SYS_INJECT_H
#define SYS_INJECT_H

#include <stdbool.h>
#include <sys/socket.h>

/* Three of our headers have names of the system's: sys/file.h, sys/socket.h, sys/wait.h. */
#ifndef SOL_SOCKET
#error "<sys/socket.h> found transport/sys/socket.h: give the compiler -iquote transport, not -Itransport"
#endif

enum inject_kind {
    INJECT_ALLOC,
    INJECT_MEMFD_CREATE,
    INJECT_FTRUNCATE,
    INJECT_FALLOCATE,
    INJECT_ADD_SEALS,
    INJECT_GET_SEALS,
    INJECT_OPEN,
    INJECT_FCHMOD,
    INJECT_FCHOWN,
    INJECT_FSTAT,
    INJECT_FSTATFS,
    INJECT_MMAP,
    INJECT_MADVISE,
    INJECT_DONTDUMP,
    INJECT_MLOCK,
    INJECT_MINCORE,
    INJECT_MBIND,
    INJECT_SYSINFO,
    INJECT_PREAD,
    INJECT_PWRITE,
    INJECT_COPY_FILE_RANGE,
    INJECT_SENDFILE,
    INJECT_SPLICE,
    INJECT_SOCKET,
    INJECT_BIND,
    INJECT_LISTEN,
    INJECT_ACCEPT,
    INJECT_CONNECT,
    INJECT_GETSOCKOPT,
    INJECT_SETSOCKOPT,
    INJECT_SENDMSG,
    INJECT_RECVMSG,
    INJECT_POLL,
    INJECT_EPOLL_CREATE,
    INJECT_EPOLL_CTL,
    INJECT_EPOLL_WAIT,
    INJECT_EVENTFD,
    INJECT_FLOCK,
    INJECT_MKDIR,
    INJECT_UNLINK,
    INJECT_DUP,
    INJECT_SET_FLAGS,
    INJECT_FACCESSAT,
    INJECT_SCHED_GET,
    INJECT_PTHREAD_CREATE,
    INJECT_KINDS
};

typedef int inject_hook(enum inject_kind kind);

/* NULL removes it. For tests only. */
void inject_set_hook(inject_hook *hook);

/* Asks the hook; true: errno is set and the call must not happen. */
bool inject_fails(enum inject_kind kind);

/* The kind as text, "memfd_create". Static. */
const char *inject_name(enum inject_kind kind);

#define INJECT(kind, call) (inject_fails(INJECT_##kind) ? -1 : (call))

/* INJECT() for a call that reports its failure by another value: MAP_FAILED, NULL, an error number. */
#define INJECT_OR(kind, failed, call) (inject_fails(INJECT_##kind) ? (failed) : (call))

#endif
