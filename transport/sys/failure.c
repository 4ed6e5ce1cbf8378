/* SPDX-License-Identifier: MIT */
/* Failures: numbers that hold a call and its errno. See failure.h. */
#include "sys/failure.h"

#include <errno.h>
#include <stddef.h>

#define ERRNO_BITS 12

/* Names of calls that differ from the names of their kinds. */
static const char *const NAMES[INJECT_KINDS] = {
    [INJECT_ALLOC] = "malloc",
    [INJECT_ADD_SEALS] = "fcntl(F_ADD_SEALS)",
    [INJECT_GET_SEALS] = "fcntl(F_GET_SEALS)",
    [INJECT_DUP] = "fcntl(F_DUPFD_CLOEXEC)",
    [INJECT_FCHOWN] = "fchownat",
    [INJECT_DONTDUMP] = "madvise(MADV_DONTDUMP)",
    [INJECT_SET_FLAGS] = "fcntl(F_SETFL)",
    [INJECT_SCHED_GET] = "sched_getscheduler",
    [INJECT_ACCEPT] = "accept4",
    [INJECT_POLL] = "ppoll",
    [INJECT_EPOLL_CREATE] = "epoll_create1",
};

static bool is_plain(int error) {
    switch (error) {
    case ENOMEM:
    case ENOSPC:
    case EMFILE:
    case ENFILE:
    case EFBIG:
    case EBADF:
    case EINVAL:
    case EBUSY:
    case EAGAIN:
    case EINTR:
    case EOPNOTSUPP:
    case ENOBUFS:
    case EPIPE:
    case ENOTCONN:
    case ECONNRESET:
    case ECONNREFUSED:
    case ECONNABORTED:
    case ETOOMANYREFS:
    case EMSGSIZE:
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case EROFS:
    case EADDRINUSE:
    case EPROTOTYPE:
    case ENOTSOCK:
        return true;
    default:
        return false;
    }
}

int failure_name(enum inject_kind kind, int error) {
    return -(FAILURE_BASE | (int) kind << ERRNO_BITS | error);
}

int failure_of(enum inject_kind kind, int error) {
    return is_plain(error) ? -error : failure_name(kind, error);
}

static bool is_failure(int r) {
    return r <= -FAILURE_BASE;
}

int failure_error(int r) {
    return is_failure(r) ? -(-r & ((1 << ERRNO_BITS) - 1)) : r;
}

const char *failure_call(int r) {
    return is_failure(r) ? failure_call_name((enum inject_kind)((-r & (FAILURE_BASE - 1)) >> ERRNO_BITS)) : NULL;
}

bool failure_is_forbidden(int r) {
    int error = failure_error(r);
    return error == -EPERM || error == -EACCES || error == -ENOSYS;
}

const char *failure_call_name(enum inject_kind kind) {
    const char *name = (unsigned) kind < INJECT_KINDS ? NAMES[kind] : NULL;
    return name ? name : inject_name(kind);
}
