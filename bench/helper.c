/* SPDX-License-Identifier: MIT */
/* Helpers: forked processes, each with a socket to its parent. */
#include "helper.h"

#include "crew.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

pid_t helper_fork(struct helper *helper, int cpu) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    helper->pid = crew_fork(cpu);
    helper->fd = fds[helper->pid == 0];
    close(fds[helper->pid != 0]);
    return helper->pid;
}

bool helper_answer(const struct helper *helper, int r) {
    return write(helper->fd, &r, sizeof(r)) == sizeof(r);
}

char helper_next(const struct helper *helper) {
    char letter = 0;
    return read(helper->fd, &letter, 1) == 1 ? letter : 0;
}

int helper_await(const struct helper *helper) {
    int r = 0;
    return read(helper->fd, &r, sizeof(r)) == sizeof(r) ? r : -ECHILD;
}

int helper_ask(const struct helper *helper, char letter) {
    return write(helper->fd, &letter, 1) == 1 ? helper_await(helper) : -ECHILD;
}

void helper_end(struct helper *helper) {
    if (helper->pid <= 0)
        return;
    crew_kill(helper->pid);
    close(helper->fd);
    helper->pid = -1;
}
