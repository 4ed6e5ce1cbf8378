/* SPDX-License-Identifier: MIT */
/*
 * Settings of the whole machine that a test changes while it runs: how huge pages are granted to memfds, and the pool
 * of 2 MiB pages.
 *
 * Each change is made by a keeper, a process in a session of its own. It puts the setting back at machine_restore(),
 * and also when the test has failed, was killed, or hangs and was killed for it: it waits for the end of a socket whose
 * other end is the test's. Meanwhile it holds a lock on the setting's file, so that test programs that run at the same
 * time take turns.
 *
 * machine_restore() belongs into the fixture, before and after each test.
 */
#ifndef TESTS_UNIT_MACHINE_H
#define TESTS_UNIT_MACHINE_H

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct machine_setting {
    const char *path;
    /* Of the setting's text: what it must be now; what it must be afterwards, `now` being the text at that time. */
    void (*change)(const char *before, char *ret_text, size_t size);
    bool (*is_done)(const char *before, const char *after);
    void (*undo)(const char *before, const char *after, const char *now, char *ret_text, size_t size);
};

static struct machine_keeper {
    pid_t pid; /* 0: none */
    int line;
} machine_keepers[2];

static inline bool machine_read(int fd, char *text, size_t size) {
    ssize_t n = pread(fd, text, size - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* In the keeper. Tells one byte when the setting is as wished; ends when the other end does. */
static inline void machine_keep(const struct machine_setting *setting, int line) {
    char before[128], after[128], now[128], text[128];
    int fd = open(setting->path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0 || !machine_read(fd, before, sizeof before))
        return;
    setting->change(before, text, sizeof text);
    bool is_done = pwrite(fd, text, strlen(text), 0) > 0 && machine_read(fd, after, sizeof after) &&
                   setting->is_done(before, after);
    if (is_done && send(line, "!", 1, MSG_NOSIGNAL) == 1)
        (void) !read(line, text, 1);
    if (machine_read(fd, now, sizeof now)) {
        setting->undo(before, after, now, text, sizeof text);
        (void) !pwrite(fd, text, strlen(text), 0);
    }
    close(fd);
}

/* False: this machine does not let us. */
static inline bool machine_set(struct machine_keeper *keeper, const struct machine_setting *setting) {
    int pair[2];
    char byte;
    ck_assert_int_eq(keeper->pid, 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    keeper->pid = fork();
    ck_assert_int_ge(keeper->pid, 0);
    if (keeper->pid == 0) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        setsid(); /* Check kills the group of a test that hangs */
        close(pair[0]);
        machine_keep(setting, pair[1]);
        _exit(0);
    }
    close(pair[1]);
    keeper->line = pair[0];
    return read(pair[0], &byte, 1) == 1;
}

static inline void machine_restore(void) {
    for (int i = 0; i < 2; i++) {
        struct machine_keeper *keeper = &machine_keepers[i];
        if (keeper->pid == 0)
            continue;
        close(keeper->line);
        waitpid(keeper->pid, NULL, 0);
        keeper->pid = 0;
    }
}

/* "always within_size [advise] never": the word in brackets. */
static inline void machine_choice(const char *text, char *ret_word, size_t size) {
    const char *begin = strchr(text, '[');
    snprintf(ret_word, size, "%.*s", begin ? (int) strcspn(begin + 1, "]") : 0, begin ? begin + 1 : "");
}

static inline void machine_advise(const char *before, char *ret_text, size_t size) {
    (void) before;
    snprintf(ret_text, size, "advise");
}

static inline bool machine_is_advise(const char *before, const char *after) {
    (void) before;
    return strstr(after, "[advise]") != NULL;
}

static inline void machine_advise_no_more(const char *before, const char *after, const char *now, char *ret_text,
                                          size_t size) {
    (void) after;
    (void) now;
    machine_choice(before, ret_text, size);
}

/* Transparent huge pages for those memfds that ask for them. */
static inline bool machine_grant_huge(void) {
    static const struct machine_setting setting = {.path = "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
                                                   .change = machine_advise,
                                                   .is_done = machine_is_advise,
                                                   .undo = machine_advise_no_more};
    return machine_set(&machine_keepers[0], &setting);
}

static long machine_pool_wish;

static inline void machine_pool_grow(const char *before, char *ret_text, size_t size) {
    snprintf(ret_text, size, "%ld\n", strtol(before, NULL, 10) + machine_pool_wish);
}

static inline bool machine_is_pool_grown(const char *before, const char *after) {
    return strtol(after, NULL, 10) == strtol(before, NULL, 10) + machine_pool_wish;
}

/* Others may have changed the pool meanwhile: only what came by us goes. */
static inline void machine_pool_shrink(const char *before, const char *after, const char *now, char *ret_text,
                                       size_t size) {
    long added = strtol(after, NULL, 10) - strtol(before, NULL, 10);
    snprintf(ret_text, size, "%ld\n", strtol(now, NULL, 10) - added);
}

/* So many more 2 MiB pages. */
static inline bool machine_add_hugetlb(long pages) {
    static const struct machine_setting setting = {.path = "/proc/sys/vm/nr_hugepages",
                                                   .change = machine_pool_grow,
                                                   .is_done = machine_is_pool_grown,
                                                   .undo = machine_pool_shrink};
    machine_pool_wish = pages;
    return machine_set(&machine_keepers[1], &setting);
}

#endif
