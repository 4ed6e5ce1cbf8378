/* SPDX-License-Identifier: MIT */
/*
 * The seam: asks a test's hook before each system call.
 *
 * Nothing here knows what the calls do; the callers in transport/sys stay responsible for handling the failure as
 * if the kernel had answered so. There is no hook in production.
 *
 * Threads: a hook is called on whatever thread makes the call, the reaper's included, and at the same time on
 * several. Setting it is relaxed: a test installs its hook while no other thread of the library runs, and keeps what
 * the hook counts in atomics.
 */
#include "sys/seam.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

static _Atomic(seam_hook *) current_hook;

static const char *const names[] = {
    [SEAM_ALLOC] = "alloc",
    [SEAM_MEMFD_CREATE] = "memfd_create",
    [SEAM_FTRUNCATE] = "ftruncate",
    [SEAM_FALLOCATE] = "fallocate",
    [SEAM_ADD_SEALS] = "add_seals",
    [SEAM_GET_SEALS] = "get_seals",
    [SEAM_OPEN] = "open",
    [SEAM_FCHMOD] = "fchmod",
    [SEAM_FCHOWN] = "fchownat",
    [SEAM_FSTAT] = "fstat",
    [SEAM_FSTATFS] = "fstatfs",
    [SEAM_MMAP] = "mmap",
    [SEAM_MADVISE] = "madvise",
    [SEAM_DONTDUMP] = "dontdump",
    [SEAM_MLOCK] = "mlock2",
    [SEAM_MINCORE] = "mincore",
    [SEAM_MBIND] = "mbind",
    [SEAM_SYSINFO] = "sysinfo",
    [SEAM_PREAD] = "pread",
    [SEAM_PWRITE] = "pwrite",
    [SEAM_COPY_FILE_RANGE] = "copy_file_range",
    [SEAM_SENDFILE] = "sendfile",
    [SEAM_SPLICE] = "splice",
    [SEAM_SOCKET] = "socket",
    [SEAM_BIND] = "bind",
    [SEAM_LISTEN] = "listen",
    [SEAM_ACCEPT] = "accept",
    [SEAM_CONNECT] = "connect",
    [SEAM_GETSOCKOPT] = "getsockopt",
    [SEAM_SETSOCKOPT] = "setsockopt",
    [SEAM_SENDMSG] = "sendmsg",
    [SEAM_RECVMSG] = "recvmsg",
    [SEAM_POLL] = "poll",
    [SEAM_EPOLL_CREATE] = "epoll_create",
    [SEAM_EPOLL_CTL] = "epoll_ctl",
    [SEAM_EPOLL_WAIT] = "epoll_wait",
    [SEAM_EVENTFD] = "eventfd",
    [SEAM_FLOCK] = "flock",
    [SEAM_MKDIR] = "mkdir",
    [SEAM_UNLINK] = "unlink",
    [SEAM_DUP] = "dup",
    [SEAM_SET_FLAGS] = "set_flags",
    [SEAM_FACCESSAT] = "faccessat",
    [SEAM_SCHED_GET] = "sched_get",
    [SEAM_PTHREAD_CREATE] = "pthread_create",
};
static_assert(sizeof names / sizeof *names == SEAM_KINDS, "every kind has a name");

void seam_set_hook(seam_hook *hook) {
    atomic_store_explicit(&current_hook, hook, memory_order_relaxed);
}

bool seam_fails(enum seam_kind kind) {
    seam_hook *hook = atomic_load_explicit(&current_hook, memory_order_relaxed);
    if (hook == NULL)
        return false;

    int error = hook(kind);
    if (error == 0)
        return false;
    errno = error;
    return true;
}

const char *seam_name(enum seam_kind kind) {
    if ((size_t) kind >= SEAM_KINDS)
        return "unknown";
    return names[kind];
}
