/* SPDX-License-Identifier: MIT */
/*
 * Fault injection: asks a test's hook before each system call.
 *
 * This file does not know the calls; the callers in transport/sys stay responsible for handling the failure as if the
 * kernel had answered so. There is no hook in production.
 *
 * Threads: a hook is called on the thread that makes the call, on the reaper's threads too, and on several threads at a
 * time. Setting it is relaxed: a test installs its hook while no other thread of the library runs, and keeps the hook's
 * counts in atomics.
 */
#include "sys/inject.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

static _Atomic(inject_hook *) current_hook;

static const char *const names[] = {
    [INJECT_ALLOC] = "alloc",
    [INJECT_MEMFD_CREATE] = "memfd_create",
    [INJECT_FTRUNCATE] = "ftruncate",
    [INJECT_FALLOCATE] = "fallocate",
    [INJECT_ADD_SEALS] = "add_seals",
    [INJECT_GET_SEALS] = "get_seals",
    [INJECT_OPEN] = "open",
    [INJECT_FCHMOD] = "fchmod",
    [INJECT_FCHOWN] = "fchownat",
    [INJECT_FSTAT] = "fstat",
    [INJECT_FSTATFS] = "fstatfs",
    [INJECT_MMAP] = "mmap",
    [INJECT_MADVISE] = "madvise",
    [INJECT_DONTDUMP] = "dontdump",
    [INJECT_MLOCK] = "mlock2",
    [INJECT_MINCORE] = "mincore",
    [INJECT_MBIND] = "mbind",
    [INJECT_SYSINFO] = "sysinfo",
    [INJECT_PREAD] = "pread",
    [INJECT_PWRITE] = "pwrite",
    [INJECT_COPY_FILE_RANGE] = "copy_file_range",
    [INJECT_SENDFILE] = "sendfile",
    [INJECT_SPLICE] = "splice",
    [INJECT_SOCKET] = "socket",
    [INJECT_BIND] = "bind",
    [INJECT_LISTEN] = "listen",
    [INJECT_ACCEPT] = "accept",
    [INJECT_CONNECT] = "connect",
    [INJECT_GETSOCKOPT] = "getsockopt",
    [INJECT_SETSOCKOPT] = "setsockopt",
    [INJECT_SENDMSG] = "sendmsg",
    [INJECT_RECVMSG] = "recvmsg",
    [INJECT_POLL] = "poll",
    [INJECT_EPOLL_CREATE] = "epoll_create",
    [INJECT_EPOLL_CTL] = "epoll_ctl",
    [INJECT_EPOLL_WAIT] = "epoll_wait",
    [INJECT_EVENTFD] = "eventfd",
    [INJECT_FLOCK] = "flock",
    [INJECT_MKDIR] = "mkdir",
    [INJECT_UNLINK] = "unlink",
    [INJECT_DUP] = "dup",
    [INJECT_SET_FLAGS] = "set_flags",
    [INJECT_FACCESSAT] = "faccessat",
    [INJECT_SCHED_GET] = "sched_get",
    [INJECT_PTHREAD_CREATE] = "pthread_create",
};
static_assert(sizeof names / sizeof *names == INJECT_KINDS, "every kind has a name");

void inject_set_hook(inject_hook *hook) {
    atomic_store_explicit(&current_hook, hook, memory_order_relaxed);
}

bool inject_fails(enum inject_kind kind) {
    inject_hook *hook = atomic_load_explicit(&current_hook, memory_order_relaxed);
    if (hook == NULL)
        return false;

    int error = hook(kind);
    if (error == 0)
        return false;
    errno = error;
    return true;
}

const char *inject_name(enum inject_kind kind) {
    if ((size_t) kind >= INJECT_KINDS)
        return "unknown";
    return names[kind];
}
