/* SPDX-License-Identifier: MIT */
/* The pipe that the signal handler writes to; see stop.h. It lives as long as the process. */
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static int stop_pipe[2] = {-1, -1};
static volatile sig_atomic_t is_asked;

static void on_signal(int number) {
    int saved = errno;
    (void) number;
    is_asked = 1;
    if (write(stop_pipe[1], "", 1) < 0) { /* the pipe is full, so it is readable already */
    }
    errno = saved;
}

int stop_begin(void) {
    /* Without SA_RESTART, because the signal must interrupt a waiting system call. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int) SA_RESETHAND};
    if (pipe2(stop_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGINT, &action, NULL) < 0 || sigaction(SIGTERM, &action, NULL) < 0)
        return -errno;
    return stop_pipe[0];
}

bool stop_is_asked(void) {
    return is_asked != 0;
}
