/* SPDX-License-Identifier: MIT */
/* Settings of the whole machine, and the processes that keep them; see machine.h. */
#include "support/machine.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "memory/sealed.h"
#include "support/child.h"

struct setting {
    const char *path;
    /* Computes from the setting's text the text that it must have now, and the text that it must have afterwards
     * (`now` is the text at that time). */
    void (*change)(const char *before, char *ret_text, size_t size);
    bool (*is_done)(const char *before, const char *after);
    void (*undo)(const char *before, const char *after, const char *now, char *ret_text, size_t size);
};

static struct keeper {
    pid_t pid; /* 0: none */
    int line;
} keepers[3];

static bool setting_read(int fd, char *text, size_t size) {
    ssize_t n = pread(fd, text, size - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Runs in the keeper. Sends one byte when the setting has its new value; ends when the other end of the line closes. */
static void keep(const struct setting *setting, int line) {
    char before[128], after[128], now[128], text[128];
    int fd = open(setting->path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0 || !setting_read(fd, before, sizeof before))
        return;
    setting->change(before, text, sizeof text);
    bool is_changed = pwrite(fd, text, strlen(text), 0) > 0 && setting_read(fd, after, sizeof after);
    if (is_changed && setting->is_done(before, after) && send(line, "!", 1, MSG_NOSIGNAL) == 1)
        (void) !read(line, text, 1);
    if (is_changed && setting_read(fd, now, sizeof now)) {
        setting->undo(before, after, now, text, sizeof text);
        (void) !pwrite(fd, text, strlen(text), 0);
    }
    close(fd);
}

static bool setting_change(struct keeper *keeper, const struct setting *setting) {
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
        setsid(); /* Check kills the process group of a test that hangs */
        /* otherwise a peer of the test would not see the test's end of a connection close */
        child_close_others(pair[1]);
        keep(setting, pair[1]);
        _exit(0);
    }
    close(pair[1]);
    keeper->line = pair[0];
    return read(pair[0], &byte, 1) == 1;
}

/* Waits until no cached answer from before the change is used any more: see sealed_huge_policy(). */
static void forget_old_answers(void) {
    const struct timespec age = {.tv_nsec = SEALED_POLICY_AGE + SEALED_POLICY_AGE / 4};
    nanosleep(&age, NULL);
}

void machine_restore(void) {
    bool was_granted = keepers[0].pid != 0 || keepers[2].pid != 0;
    for (int i = 0; i < 3; i++) {
        struct keeper *keeper = &keepers[i];
        if (keeper->pid == 0)
            continue;
        close(keeper->line);
        waitpid(keeper->pid, NULL, 0);
        keeper->pid = 0;
    }
    if (was_granted)
        forget_old_answers();
}

/* Copies the word in brackets of "always within_size [advise] never". */
static void choice_in_brackets(const char *text, char *ret_word, size_t size) {
    const char *begin = strchr(text, '[');
    snprintf(ret_word, size, "%.*s", begin ? (int) strcspn(begin + 1, "]") : 0, begin ? begin + 1 : "");
}

static const char *choice_wish;

static void choose(const char *before, char *ret_text, size_t size) {
    (void) before;
    snprintf(ret_text, size, "%s", choice_wish);
}

static bool is_chosen(const char *before, const char *after) {
    char word[32];
    (void) before;
    choice_in_brackets(after, word, sizeof word);
    return strcmp(word, choice_wish) == 0;
}

static void choose_no_more(const char *before, const char *after, const char *now, char *ret_text, size_t size) {
    (void) after;
    (void) now;
    choice_in_brackets(before, ret_text, size);
}

#define HUGE_DIR "/sys/kernel/mm/transparent_hugepage/"

bool machine_choose_huge(const char *word) {
    static const struct setting setting = {
        .path = HUGE_DIR "shmem_enabled", .change = choose, .is_done = is_chosen, .undo = choose_no_more};
    choice_wish = word;
    bool is_granted = setting_change(&keepers[0], &setting);
    forget_old_answers();
    return is_granted;
}

bool machine_grant_huge(void) {
    return machine_choose_huge("advise");
}

bool machine_choose_folios(const char *word) {
    static const struct setting setting = {.path = HUGE_DIR "hugepages-64kB/shmem_enabled",
                                           .change = choose,
                                           .is_done = is_chosen,
                                           .undo = choose_no_more};
    choice_wish = word;
    bool is_granted = setting_change(&keepers[2], &setting);
    forget_old_answers();
    return is_granted;
}

static long pool_wish;

static void pool_grow(const char *before, char *ret_text, size_t size) {
    snprintf(ret_text, size, "%ld\n", strtol(before, NULL, 10) + pool_wish);
}

static bool is_pool_grown(const char *before, const char *after) {
    return strtol(after, NULL, 10) == strtol(before, NULL, 10) + pool_wish;
}

/* Removes only the pages that this process has added, because others may have changed the pool meanwhile. */
static void pool_shrink(const char *before, const char *after, const char *now, char *ret_text, size_t size) {
    long added = strtol(after, NULL, 10) - strtol(before, NULL, 10);
    snprintf(ret_text, size, "%ld\n", strtol(now, NULL, 10) - added);
}

bool machine_add_hugetlb(long pages) {
    static const struct setting setting = {
        .path = "/proc/sys/vm/nr_hugepages", .change = pool_grow, .is_done = is_pool_grown, .undo = pool_shrink};
    pool_wish = pages;
    return setting_change(&keepers[1], &setting);
}
