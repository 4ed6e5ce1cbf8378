/* SPDX-License-Identifier: MIT */
/* The processes of a cell. */
#include "crew.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const int PATIENCE_MS = 500;

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t) cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0) {
        perror("bench: sched_setaffinity");
        _exit(1);
    }
}

pid_t crew_fork(int cpu) {
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        if (cpu >= 0)
            pin(cpu);
    }
    return pid;
}

pid_t crew_keep_awake(int cpu) {
    pid_t pid = crew_fork(cpu);
    if (pid != 0)
        return pid;
    if (sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0}) < 0)
        pause();
    for (;;)
        atomic_signal_fence(memory_order_seq_cst);
}

static int status_of(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int crew_wait(pid_t pid) {
    int status = 0;
    return waitpid(pid, &status, 0) == pid ? status_of(status) : 1;
}

void crew_kill(pid_t pid) {
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

void crew_end(pid_t pid) {
    static const struct timespec moment = {.tv_nsec = 1000000};
    if (pid <= 0)
        return;
    kill(pid, SIGTERM);
    for (int ms = 0; ms < PATIENCE_MS; ms++) {
        if (waitpid(pid, NULL, WNOHANG) != 0)
            return;
        nanosleep(&moment, NULL);
    }
    crew_kill(pid);
}

/* --- counting system calls --- */

enum { TRACE_OPTIONS = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE };

enum { SYSCALL_STOP = SIGTRAP | 0x80 };

void crew_be_traced(void) {
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
}

/* Returns whether the thread is stopped at the beginning of a system call, not at its end. C libraries give the
 * struct different names; its first byte is the answer. */
static bool is_entry(pid_t tid) {
    unsigned char info[256] = {0};
    long size = ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), info);
    return size > 0 && info[0] == PTRACE_SYSCALL_INFO_ENTRY;
}

/* Lets a stopped thread run to its next system call. Stops that tracing causes are not passed on as signals. */
static void go_on(pid_t tid, int status) {
    int stop = WSTOPSIG(status);
    bool is_ours = stop == SYSCALL_STOP || stop == SIGSTOP || stop == SIGTRAP;
    ptrace(PTRACE_SETOPTIONS, tid, NULL, TRACE_OPTIONS);
    ptrace(PTRACE_SYSCALL, tid, NULL, is_ours ? 0 : stop);
}

pid_t crew_wait_any(bool traced, bool (*counts)(void *user), void *user, uint64_t *ret_syscalls, int *ret_status) {
    int status = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &status, traced ? __WALL : 0)) > 0) {
        if (WIFSTOPPED(status)) {
            if (WSTOPSIG(status) == SYSCALL_STOP && is_entry(pid) && counts(user))
                ++*ret_syscalls;
            go_on(pid, status);
        } else {
            *ret_status = status_of(status);
            return pid;
        }
    }
    return -1;
}

/* --- counting wake-ups --- */

static uint64_t sleeps_of(const char *path) {
    unsigned long long sleeps = 0;
    char line[256];
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file) && sscanf(line, "voluntary_ctxt_switches: %llu", &sleeps) != 1)
        ;
    if (file)
        fclose(file);
    return sleeps;
}

uint64_t crew_sleeps(pid_t pid) {
    char path[320];
    uint64_t sleeps = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", (int) pid);
    DIR *tasks = opendir(path);
    for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
        snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int) pid, entry->d_name);
        if (entry->d_name[0] != '.')
            sleeps += sleeps_of(path);
    }
    if (tasks)
        closedir(tasks);
    return sleeps;
}
