/* SPDX-License-Identifier: MIT */
/*
 * Helpers that the contract tests share. Contract tests ask the kernel itself; they never call the library. Each test
 * states a fact that the library relies on; a kernel where the fact does not hold fails the test, whatever its version.
 * A fact about a feature that a kernel may lack is skipped there.
 */
#ifndef TESTS_CONTRACT_KERNEL_H
#define TESTS_CONTRACT_KERNEL_H

#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE ((size_t) 4096)
#define MIB ((size_t) 1 << 20)
#define FDS_MAX 253

/* The seals of a block. */
#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* The seals, without F_SEAL_EXEC, which memfds have from Linux 6.3 on. */
#define SEALS_OF(fd) (fcntl((fd), F_GET_SEALS) & ~0x20)

static inline int kernel_memfd(size_t size) {
    int fd = memfd_create("contract", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t) size), 0);
    return fd;
}

static inline void kernel_seal(int fd, int seals) {
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
}

static inline struct stat kernel_stat(int fd) {
    struct stat status;
    ck_assert_int_eq(fstat(fd, &status), 0);
    return status;
}

/* Returns the bytes of real pages. */
static inline size_t kernel_allocated(int fd) {
    return (size_t) kernel_stat(fd).st_blocks * 512;
}

static inline void *kernel_map(int fd, size_t size, int prot) {
    void *data = mmap(NULL, size, prot, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(data, MAP_FAILED);
    return data;
}

static inline void kernel_pair(int type, int ret_ends[2]) {
    ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_ends), 0);
}

static inline void kernel_close_all(const int *fds, size_t count) {
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

/* Sends `text` with descriptors by sendmsg(). Returns 0, or a negative errno value. */
static inline int kernel_send(int socket, const char *text, const int *fds, size_t count) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * (FDS_MAX + 1))] = {0};
    struct iovec piece = {.iov_base = (void *) (uintptr_t) text, .iov_len = strlen(text)};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (count > 0) {
        struct cmsghdr head = {
            .cmsg_len = CMSG_LEN(sizeof(int) * count), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(control, &head, sizeof head);
        memcpy(CMSG_DATA((struct cmsghdr *) control), fds, sizeof(int) * count);
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    }
    return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

struct kernel_received {
    ssize_t size; /* size, or a negative errno value */
    char text[32];
    int flags;
    size_t control_size;
    int items; /* number of SCM_RIGHTS items */
    size_t fds_count;
    int fds[FDS_MAX];
};

/* Receives by recvmsg() with `control_size` bytes for control data. */
static inline struct kernel_received kernel_receive(int socket, size_t control_size, int flags) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * FDS_MAX)];
    struct kernel_received got = {0};
    struct iovec piece = {.iov_base = got.text, .iov_len = sizeof got.text - 1};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control_size > 0 ? control : NULL,
                             .msg_controllen = control_size};
    ck_assert_uint_le(control_size, sizeof control);
    got.size = recvmsg(socket, &message, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got.size < 0) {
        got.size = -errno;
        return got;
    }
    got.flags = message.msg_flags;
    got.control_size = message.msg_controllen;
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); item != NULL; item = CMSG_NXTHDR(&message, item)) {
        if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(got.fds + got.fds_count, CMSG_DATA(item), count * sizeof(int));
        got.fds_count += count;
        got.items++;
    }
    return got;
}

#define ROOM CMSG_SPACE(sizeof(int) * FDS_MAX)

static inline void kernel_nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Runs `body` in a child that exits with its result. Returns true if that was 0. */
static inline bool kernel_child(int (*body)(void *), void *arg) {
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(body(arg));
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status == 0;
}

/* Makes this process, a child, a user without rights. Returns false if it cannot. */
static inline bool kernel_become_nobody(void) {
    return geteuid() != 0 || (setgid(12345) == 0 && setuid(12345) == 0);
}

/*
 * A system call on a thread, to show that it hangs. A call that has not returned yet after a while may still be slow
 * only, but a call that hangs is never reported as returned. kernel_call_end() waits for it.
 */
struct kernel_call {
    pthread_t thread;
    long (*call)(int fd);
    int fd;
    atomic_bool has_begun, has_ended;
    long result;
};

static inline void *kernel_call_run(void *arg) {
    struct kernel_call *call = arg;
    atomic_store(&call->has_begun, true);
    call->result = call->call(call->fd);
    atomic_store(&call->has_ended, true);
    return NULL;
}

static inline void kernel_call_begin(struct kernel_call *call, long (*body)(int fd), int fd) {
    *call = (struct kernel_call){.call = body, .fd = fd};
    ck_assert_int_eq(pthread_create(&call->thread, NULL, kernel_call_run, call), 0);
    while (!atomic_load(&call->has_begun))
        kernel_nap();
}

static inline bool kernel_call_hangs(struct kernel_call *call) {
    for (int i = 0; i < 50; i++)
        kernel_nap();
    return !atomic_load(&call->has_ended);
}

static inline long kernel_call_end(struct kernel_call *call) {
    ck_assert_int_eq(pthread_join(call->thread, NULL), 0);
    return call->result;
}

#endif
