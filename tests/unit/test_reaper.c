/* SPDX-License-Identifier: MIT */
/*
 * sys/reaper: closes descriptors that may not be closed in place.
 *
 * To make close() hang for any time, the tests use a TCP socket with SO_LINGER and a peer that reads nothing. Closing
 * the peer resets the connection, and ends the hang.
 */
#include "support/suite.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sys/fdpass.h"
#include "sys/heap.h"
#include "sys/reaper.h"
#include "unit/fail.h"
#include "unit/fork_asking.h"
#include "unit/valgrind.h"

#define HANGERS 4 /* equals the number of the reaper's threads */

static void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* A bounded wait, so that a missing event is a failure and not a hang of the test. */
static bool wait_until(bool (*holds)(void)) {
    for (int i = 0; i < test_timeout_ms(10000); i++) {
        if (holds())
            return true;
        nap();
    }
    return holds();
}

static bool is_drained(void) {
    return reaper_pending() == 0;
}

static bool is_one_pending(void) {
    return reaper_pending() == 1;
}

static int count_threads(void) {
    int count = 0;
    DIR *dir = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static int threads_before;

static bool are_threads_gone(void) {
    return count_threads() <= threads_before;
}

static void *do_nothing(void *arg) {
    return arg;
}

/* ThreadSanitizer starts a thread of its own with the first of ours; a thread that was joined may be visible for a
 * while. */
static void before(void) {
    fail_off();
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, do_nothing, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    threads_before = count_threads();
    for (int i = 0; i < 10; i++) {
        nap();
        int now = count_threads();
        threads_before = now < threads_before ? now : threads_before;
    }
}

/* Waits until the reaper has closed all its descriptors and its threads have ended. */
static void after(void) {
    fail_off();
    ck_assert(wait_until(is_drained));
    ck_assert(wait_until(are_threads_gone));
}

/* A pipe: its reader sees the end when all copies of `writer` are closed. */
struct witness {
    int reader, writer;
};

static struct witness new_witness(void) {
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    return (struct witness){.reader = ends[0], .writer = ends[1]};
}

static bool has_ended(struct witness witness, int ms) {
    struct pollfd item = {.fd = witness.reader, .events = POLLIN};
    return poll(&item, 1, ms) == 1 && (item.revents & POLLHUP) != 0;
}

/* `hanging` hangs in close() until `peer` is closed. */
struct hanger {
    int hanging, peer;
};

static bool make_hanger(struct hanger *ret) {
    if (is_under_valgrind())
        test_skip("valgrind runs no other thread while one hangs in close()");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    CLEANUP_FD int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CLEANUP_FD int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *) &address, sizeof address) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *) &address, &size) < 0 ||
        connect(client, (struct sockaddr *) &address, size) < 0)
        return false;
    CLEANUP_FD int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (peer < 0)
        return false;

    static const char zeros[65536];
    while (send(client, zeros, sizeof zeros, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        continue;
    struct linger linger = {.l_onoff = 1, .l_linger = 3600};
    if (setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) < 0)
        return false;
    *ret = (struct hanger){.hanging = fd_steal(&client), .peer = fd_steal(&peer)};
    return true;
}

static void make_hangers(struct hanger hangers[HANGERS]) {
    for (int i = 0; i < HANGERS; i++)
        if (!make_hanger(&hangers[i])) {
            while (i-- > 0) {
                fd_close(hangers[i].peer); /* closes the peer first: then the socket does not hang */
                fd_close(hangers[i].hanging);
            }
            test_skip("no TCP over loopback here");
        }
}

static void take_hangers(struct hanger hangers[HANGERS]) {
    for (int i = 0; i < HANGERS; i++)
        reaper_take(&hangers[i].hanging, 1);
}

static void release_hangers(struct hanger hangers[HANGERS]) {
    for (int i = 0; i < HANGERS; i++)
        fd_close(hangers[i].peer);
}

static const struct hanger *awaited;

/* close() first removes the number from the table. */
static bool are_hangers_in_close(void) {
    for (int i = 0; i < HANGERS; i++)
        if (fcntl(awaited[i].hanging, F_GETFD) >= 0)
            return false;
    return true;
}

START_TEST(test_taken_descriptors_are_closed) {
    struct witness witness = new_witness();
    reaper_take(&witness.writer, 1);
    ck_assert(has_ended(witness, test_timeout_ms(10000)));
    fd_close(witness.reader);
}
END_TEST

START_TEST(test_many) {
    enum { TAKES = 20, EACH = 30 };
    struct witness witness = new_witness();
    for (int i = 0; i < TAKES; i++) {
        int fds[EACH];
        for (int j = 0; j < EACH; j++)
            ck_assert_int_ge(fds[j] = fcntl(witness.writer, F_DUPFD_CLOEXEC, 0), 0);
        reaper_take(fds, EACH);
    }
    fd_close(witness.writer);
    ck_assert(has_ended(witness, test_timeout_ms(10000)));
    fd_close(witness.reader);
}
END_TEST

START_TEST(test_nothing) {
    reaper_take(NULL, 0);
    ck_assert_uint_eq(reaper_pending(), 0);
    ck_assert(reaper_has_room());
    ck_assert(are_threads_gone());
}
END_TEST

static void *take_some(void *arg) {
    for (int i = 0; i < 50; i++) {
        int fds[3];
        for (int j = 0; j < 3; j++)
            fds[j] = fcntl(*(int *) arg, F_DUPFD_CLOEXEC, 0);
        reaper_take(fds, 3);
        reaper_pending();
        reaper_has_room();
    }
    return NULL;
}

START_TEST(test_from_several_threads) {
    struct witness witness = new_witness();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_some, &witness.writer), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    fd_close(witness.writer);
    ck_assert(has_ended(witness, test_timeout_ms(10000)));
    fd_close(witness.reader);
}
END_TEST

/* A close() that hangs delays no other descriptor. */
START_TEST(test_a_hanging_close_delays_no_other) {
    struct hanger hanger;
    if (!make_hanger(&hanger))
        test_skip("no TCP over loopback here");
    struct witness witness = new_witness();
    int both[] = {hanger.hanging, witness.writer};
    reaper_take(both, 2);
    ck_assert(has_ended(witness, test_timeout_ms(10000)));
    ck_assert(wait_until(is_one_pending));
    ck_assert(reaper_has_room());

    struct witness later = new_witness();
    reaper_take(&later.writer, 1);
    ck_assert(has_ended(later, test_timeout_ms(10000)));
    ck_assert(wait_until(is_one_pending));
    fd_close(hanger.peer);
    fd_close(witness.reader);
    fd_close(later.reader);
}
END_TEST

/* Returns the number behind a field of /proc/self/task/TID/status, which is hexadecimal. */
static unsigned long long blocked_signals_of(const char *task) {
    char path[64], line[256];
    unsigned long long mask = 0;
    snprintf(path, sizeof path, "/proc/self/task/%.20s/status", task);
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "SigBlk:", 7) == 0)
            mask = strtoull(line + 7, NULL, 16);
    fclose(file);
    return mask;
}

/* The reaper's threads must not take the application's signals. */
START_TEST(test_its_threads_block_all_signals) {
    struct hanger hanger;
    if (!make_hanger(&hanger))
        test_skip("no TCP over loopback here");
    sigset_t mask_before, mask_after;
    pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
    reaper_take(&hanger.hanging, 1);
    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    for (int i = 1; i < 32; i++)
        ck_assert_int_eq(sigismember(&mask_before, i), sigismember(&mask_after, i));

    int others = 0;
    DIR *dir = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != getpid()) {
            static const int signals[] = {SIGTERM, SIGINT, SIGCHLD, SIGUSR1, SIGALRM, SIGPROF};
            unsigned long long mask = blocked_signals_of(entry->d_name);
            for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
                ck_assert((mask >> (signals[i] - 1) & 1) == 1);
            others++;
        }
    closedir(dir);
    ck_assert_int_ge(others, 1);
    fd_close(hanger.peer);
}
END_TEST

/* More than the reaper's queue holds. */
#define MANY 19000

/* Raises this process's limit to that many descriptors. Returns the old limit. */
static struct rlimit allow_many(void) {
    struct rlimit before_limit, limit;
    getrlimit(RLIMIT_NOFILE, &before_limit);
    limit = before_limit;
    limit.rlim_cur = MANY + 100;
    if (limit.rlim_max < limit.rlim_cur)
        limit.rlim_max = limit.rlim_cur; /* root may raise it */
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        test_skip("needs RLIMIT_NOFILE %d; the hard limit is %lu", MANY + 100, (unsigned long) before_limit.rlim_max);
    return before_limit;
}

/* While all its threads hang the reaper still takes descriptors, until it reports that it has no room. */
START_TEST(test_room_ends_and_comes_back) {
    struct rlimit limit = allow_many();
    struct hanger hangers[HANGERS];
    make_hangers(hangers);
    take_hangers(hangers);

    struct witness witness = new_witness();
    size_t taken = 0, calm_until = 0;
    ck_assert(reaper_is_calm());
    while (reaper_has_room() && taken < MANY) {
        if (reaper_is_calm())
            calm_until = taken;
        int fd = fcntl(witness.writer, F_DUPFD_CLOEXEC, 0);
        ck_assert_int_ge(fd, 0);
        reaper_take(&fd, 1);
        taken++;
    }
    ck_assert(!reaper_has_room());
    ck_assert(!reaper_is_calm());
    ck_assert_uint_ge(taken, calm_until + 2 * FDPASS_MAX); /* it reports this early */
    ck_assert_uint_ge(calm_until, FDPASS_MAX);             /* but not because of a single peer */
    for (int i = 0; i < 2000; i++, taken++) {              /* a caller that does not ask is not delayed either */
        int fd = fcntl(witness.writer, F_DUPFD_CLOEXEC, 0);
        ck_assert_int_ge(fd, 0);
        reaper_take(&fd, 1);
    }
    ck_assert_uint_eq(reaper_pending(), taken + HANGERS);
    release_hangers(hangers);
    fd_close(witness.writer);
    ck_assert(has_ended(witness, test_timeout_ms(10000)));
    ck_assert(wait_until(is_drained));
    ck_assert(reaper_has_room());
    ck_assert(reaper_is_calm());
    setrlimit(RLIMIT_NOFILE, &limit);
    fd_close(witness.reader);
}
END_TEST

/* Where close() could hang, no descriptor is closed. */
START_TEST(test_descriptors_without_room_stay_open) {
    struct rlimit limit = allow_many();
    struct hanger hangers[HANGERS];
    make_hangers(hangers);
    take_hangers(hangers);

    struct witness witness = new_witness();
    static int fds[MANY];
    for (int i = 0; i < MANY; i++)
        ck_assert_int_ge(fds[i] = fcntl(witness.writer, F_DUPFD_CLOEXEC, 0), 0);
    reaper_take(fds, MANY);
    size_t taken = reaper_pending() - HANGERS;
    ck_assert_uint_lt(taken, MANY);
    for (size_t i = 0; i < MANY; i++)
        ck_assert_int_ge(fcntl(fds[i], F_GETFD), 0);
    release_hangers(hangers);
    fd_close(witness.writer);
    ck_assert(wait_until(is_drained));
    ck_assert(!has_ended(witness, 0));
    for (size_t i = taken; i < MANY; i++)
        fd_close(fds[i]);
    ck_assert(has_ended(witness, test_timeout_ms(10000)));
    setrlimit(RLIMIT_NOFILE, &limit);
    fd_close(witness.reader);
}
END_TEST

START_TEST(test_without_threads_it_closes_in_place) {
    struct witness witness = new_witness();
    int fds[3] = {witness.writer};
    for (int i = 1; i < 3; i++)
        fds[i] = fcntl(witness.writer, F_DUPFD_CLOEXEC, 0);
    fail_always(INJECT_PTHREAD_CREATE, EAGAIN);
    reaper_take(fds, 3);
    ck_assert(has_ended(witness, 0));
    ck_assert_uint_eq(reaper_pending(), 0);
    ck_assert(are_threads_gone());
    fd_close(witness.reader);
}
END_TEST

START_TEST(test_one_thread_is_enough) {
    struct witness witness = new_witness();
    int fds[3] = {witness.writer};
    for (int i = 1; i < 3; i++)
        fds[i] = fcntl(witness.writer, F_DUPFD_CLOEXEC, 0);
    fail_call(INJECT_PTHREAD_CREATE, 2, FAIL_ALWAYS, EAGAIN);
    reaper_take(fds, 3);
    ck_assert(has_ended(witness, test_timeout_ms(10000)));
    fd_close(witness.reader);
}
END_TEST

#if defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_TSAN 1
#endif
#endif
#ifndef HAS_TSAN
#define HAS_TSAN 0
#endif

/* Runs in the child: its copies of the waiting descriptors may by then be any files. The child must not close them. */
static int drain_in_child(const int *fds, size_t waiting) {
    if (reaper_pending() != 0 || count_threads() > threads_before)
        return 1;
    struct witness own = new_witness();
    reaper_take(&own.writer, 1);
    if (!has_ended(own, test_timeout_ms(10000)) || !wait_until(is_drained))
        return 2;
    for (size_t i = 0; i < waiting; i++)
        if (fcntl(fds[i], F_GETFD) < 0)
            return 3;
    return 0;
}

START_TEST(test_a_child_starts_anew) {
    if (HAS_TSAN)
        test_skip("ThreadSanitizer ends a child of threads that starts one");
    enum { WAITING = 10 };
    static struct hanger hangers[HANGERS];
    make_hangers(hangers);
    struct witness witness = new_witness();
    int fds[WAITING];
    for (int i = 0; i < WAITING; i++)
        fds[i] = fcntl(witness.writer, F_DUPFD_CLOEXEC, 0);
    take_hangers(hangers);
    awaited = hangers;
    ck_assert(wait_until(are_hangers_in_close)); /* so the others are waiting */
    reaper_take(fds, WAITING);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        release_hangers(hangers); /* the child's copies */
        _exit(drain_in_child(fds, WAITING));
    }
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(reaper_pending(), WAITING + HANGERS); /* our own descriptors wait as before */
    release_hangers(hangers);
    fd_close(witness.writer);
    ck_assert(has_ended(witness, test_timeout_ms(10000)));
    fd_close(witness.reader);
}
END_TEST

static bool is_free_in_child(void) {
    return reaper_has_room() && reaper_pending() == 0;
}

/* A thread asks for room while its process forks. The child must not find a lock that this thread held, also if no
 * descriptor was ever taken. */
START_TEST(test_fork_while_another_thread_asks) {
    fork_while_asking(reaper_has_room, is_free_in_child);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("reaper");
    suite_fixture(s, before, after);
    suite_add(s, test_taken_descriptors_are_closed);
    suite_add(s, test_many);
    suite_add(s, test_nothing);
    suite_add(s, test_from_several_threads);
    suite_add(s, test_a_hanging_close_delays_no_other);
    suite_add(s, test_its_threads_block_all_signals);
    suite_add(s, test_room_ends_and_comes_back);
    suite_add(s, test_descriptors_without_room_stay_open);
    suite_add(s, test_without_threads_it_closes_in_place);
    suite_add(s, test_one_thread_is_enough);
    suite_add(s, test_a_child_starts_anew);
    suite_add(s, test_fork_while_another_thread_asks);
    return suite_run(s);
}
