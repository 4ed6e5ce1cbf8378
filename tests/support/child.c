/* SPDX-License-Identifier: MIT */
/* Child processes of tests. See child.h for the descriptors that a child keeps. */
#include "support/child.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "support/suite.h"

#define TEXT_MAX 1024

/* Judges by the text in /proc, because any system call on a hostile descriptor may block. */
static bool is_for_parent_alone(int dir, const char *name) {
    char target[64];
    ssize_t size = readlinkat(dir, name, target, sizeof target - 1);
    if (size < 0)
        return false;
    target[size] = 0;
    return !strncmp(target, "socket:", 7) || !strncmp(target, "pipe:", 5) || !strncmp(target, "/memfd:", 7) ||
           !strncmp(target, "anon_inode:", 11);
}

void child_close_others(int line) {
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        _exit(97);
    for (struct dirent *entry; (entry = readdir(dir));) {
        int fd = atoi(entry->d_name);
        if (fd > STDERR_FILENO && fd != line && fd != dirfd(dir) && is_for_parent_alone(dirfd(dir), entry->d_name))
            close(fd);
    }
    closedir(dir);
}

void child_start(struct child *ret, child_run *run, void *arg) {
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    fflush(NULL); /* otherwise the child's exit() would write the buffers a second time */
    pid_t parent = getpid(), pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(97);
        child_close_others(pair[1]);
        exit(run(pair[1], arg));
    }
    close(pair[1]);
    *ret = (struct child){.pid = pid, .line = pair[0]};
}

static bool line_send(int line, const void *data, size_t size) {
    return send(line, data, size, MSG_NOSIGNAL) == (ssize_t) size;
}

static bool line_is_ready(int line, int ms) {
    struct pollfd poll_fd = {.fd = line, .events = POLLIN};
    return poll(&poll_fd, 1, ms < 0 ? ms : test_timeout_ms(ms)) == 1;
}

bool line_tell(int line, uint64_t word) {
    return line_send(line, &word, sizeof word);
}

bool line_hear(int line, int ms, uint64_t *ret_word) {
    return line_is_ready(line, ms) && recv(line, ret_word, sizeof *ret_word, 0) == (ssize_t) sizeof *ret_word;
}

bool line_tell_text(int line, const char *text) {
    char buf[TEXT_MAX];
    snprintf(buf, sizeof buf, "%s", text);
    return line_send(line, buf, strlen(buf) + 1);
}

bool line_hear_text(int line, int ms, char *ret_text, size_t size) {
    if (!line_is_ready(line, ms))
        return false;
    ssize_t got = recv(line, ret_text, size, 0);
    if (got <= 0)
        return false;
    ret_text[(size_t) got < size ? (size_t) got : size - 1] = 0;
    return true;
}

/* Room for one descriptor and the padding that could admit a second. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(2 * sizeof(int))];
};

bool line_tell_fd(int line, int fd) {
    union control control = {0};
    struct iovec iov = {.iov_base = &(char){0}, .iov_len = 1};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE(sizeof fd)};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
    return sendmsg(line, &msg, MSG_NOSIGNAL) == 1;
}

bool line_hear_fd(int line, int ms, int *ret_fd) {
    union control control;
    struct iovec iov = {.iov_base = &(char){0}, .iov_len = 1};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    if (!line_is_ready(line, ms) || recvmsg(line, &msg, MSG_CMSG_CLOEXEC) != 1)
        return false;
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS || cmsg->cmsg_len != CMSG_LEN(sizeof *ret_fd))
        return false;
    memcpy(ret_fd, CMSG_DATA(cmsg), sizeof *ret_fd);
    return true;
}

int child_wait(struct child *child, int ms) {
    int status, patience = test_timeout_ms(ms);
    for (int waited = 0; waitpid(child->pid, &status, WNOHANG) == 0; waited++) {
        if (waited >= patience) {
            child_kill(child);
            ck_abort_msg("a child did not end within %d ms", patience);
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    child->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int child_end(struct child *child, int ms) {
    close(child->line);
    child->line = -1;
    return child_wait(child, ms);
}

void child_kill(struct child *child) {
    kill(child->pid, SIGKILL);
    waitpid(child->pid, NULL, 0);
    if (child->line >= 0)
        close(child->line);
    *child = (struct child){.line = -1};
}
