/* SPDX-License-Identifier: MIT */
/* A process that sleeps. See speaker.h. One thread. */
#include "speaker.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

/* No other descriptor of the fuzzer has a larger number. */
enum { LAST_FD = 1000 };

static pid_t speaker; /* 0: there is none */

static pid_t spawn(void) {
    static char name[] = "sleep", seconds[] = "60";
    char *const arguments[] = {name, seconds, NULL};
    pid_t pid;
    return posix_spawnp(&pid, name, NULL, NULL, arguments, environ) == 0 ? pid : 0;
}

/*
 * The new process closes our descriptors, which are close-on-exec, in the order of their numbers, and some time after
 * posix_spawn() has returned. Until then it would keep connections open that are closed here. So this function waits
 * for the end of a pipe that has the last number.
 */
static pid_t spawn_alone(void) {
    char byte;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return 0;
    int last = fcntl(ends[1], F_DUPFD_CLOEXEC, LAST_FD);
    close(ends[1]);
    pid_t pid = last < 0 ? 0 : spawn();
    if (last >= 0)
        close(last);
    while (pid && read(ends[0], &byte, 1) > 0)
        ;
    close(ends[0]);
    return pid;
}

/* The number of a process that ended by itself is not used again before it was waited for. */
pid_t speaker_begin(void) {
    if (speaker && waitpid(speaker, NULL, WNOHANG) == speaker)
        speaker = 0;
    if (!speaker)
        speaker = spawn_alone();
    return speaker;
}

void speaker_end(void) {
    if (!speaker)
        return;
    kill(speaker, SIGKILL);
    waitpid(speaker, NULL, 0);
    speaker = 0;
}
