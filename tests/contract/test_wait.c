/* SPDX-License-Identifier: MIT */
/* The kernel's contract on time and on waiting: facts that sys/wait, lane and rpc/poller rely on. */
#include "contract/kernel.h"

#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

static uint64_t now(void) {
    struct timespec time;
    ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &time), 0);
    return (uint64_t) time.tv_sec * 1000000000u + (uint64_t) time.tv_nsec;
}

static short events_of(int fd, short events) {
    struct pollfd item = {.fd = fd, .events = events};
    ck_assert_int_ge(poll(&item, 1, 0), 0);
    return item.revents;
}

static int tell_time(void *arg) {
    uint64_t time = now();
    return write(*(int *) arg, &time, sizeof time) == sizeof time ? 0 : 1;
}

/* So a deadline means one instant on both sides of a connection. */
START_TEST(test_two_processes_have_one_clock) {
    int ends[2];
    uint64_t theirs = 0;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    uint64_t before = now();
    ck_assert(kernel_child(tell_time, &ends[1]));
    uint64_t after = now();
    ck_assert_int_eq(read(ends[0], &theirs, sizeof theirs), sizeof theirs);
    kernel_close_all(ends, 2);
    ck_assert_uint_ge(theirs, before);
    ck_assert_uint_le(theirs, after);
}
END_TEST

/* A peer's end wakes a process that waits for input, and a process that waits for no event. The messages that the
 * peer sent can still be read. */
START_TEST(test_the_end_wakes) {
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    ck_assert_int_eq(events_of(pair[1], POLLIN), 0);
    ck_assert_int_eq(kernel_send(pair[0], "last", NULL, 0), 0);
    ck_assert_int_eq(events_of(pair[1], POLLIN), POLLIN);
    close(pair[0]);
    ck_assert_int_eq(events_of(pair[1], POLLIN), POLLIN | POLLHUP);
    ck_assert_int_eq(events_of(pair[1], 0), POLLHUP);
    ck_assert_str_eq(kernel_receive(pair[1], ROOM, 0).text, "last");
    ck_assert_int_eq(events_of(pair[1], POLLIN), POLLIN | POLLHUP); /* the end can be read */
    ck_assert_int_eq(kernel_receive(pair[1], ROOM, 0).size, 0);
    close(pair[1]);
}
END_TEST

/* POLLOUT reports room after a shortage. */
START_TEST(test_room_wakes) {
    int pair[2], r;
    kernel_pair(SOCK_SEQPACKET, pair);
    do {
        r = kernel_send(pair[0], "x", NULL, 0);
    } while (r == 0);
    ck_assert_int_eq(r, -EAGAIN);
    ck_assert_int_eq(events_of(pair[0], POLLOUT), 0);
    while (kernel_receive(pair[1], ROOM, 0).size == 1)
        continue;
    ck_assert_int_eq(events_of(pair[0], POLLOUT), POLLOUT);
    ck_assert_int_eq(kernel_send(pair[0], "x", NULL, 0), 0);
    kernel_close_all(pair, 2);
}
END_TEST

/*
 * POLLOUT does not mean that there is room: it goes away when a quarter is used, and comes back late, though sending
 * succeeds meanwhile. So the library sends first, and waits only after EAGAIN.
 */
START_TEST(test_room_is_told_late) {
    int pair[2], sent = 0, sent_after = 0, taken = 0;
    kernel_pair(SOCK_SEQPACKET, pair);
    while (kernel_send(pair[0], "x", NULL, 0) == 0) {
        sent++;
        sent_after += events_of(pair[0], POLLOUT) == 0;
    }
    ck_assert_int_gt(sent_after, 1);
    ck_assert_int_eq(kernel_receive(pair[1], ROOM, 0).size, 1);
    ck_assert_int_eq(events_of(pair[0], POLLOUT), 0);
    ck_assert_int_eq(kernel_send(pair[0], "x", NULL, 0), 0);
    while (events_of(pair[0], POLLOUT) == 0 && kernel_receive(pair[1], ROOM, 0).size == 1)
        taken++;
    ck_assert_int_eq(events_of(pair[0], POLLOUT), POLLOUT);
    ck_assert_int_lt(taken, sent); /* and before everything was taken */
    kernel_close_all(pair, 2);
}
END_TEST

/* A process that waits for room is woken when its peer is gone. */
START_TEST(test_the_end_wakes_a_waiter_for_room) {
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    while (kernel_send(pair[0], "x", NULL, 0) == 0)
        continue;
    ck_assert_int_eq(events_of(pair[0], POLLOUT), 0);
    close(pair[1]);
    ck_assert_int_ne(events_of(pair[0], POLLOUT) & POLLHUP, 0);
    ck_assert_int_ne(kernel_send(pair[0], "x", NULL, 0), -EAGAIN);
    close(pair[0]);
}
END_TEST

/* Without EPOLLET, epoll reports an event as long as its condition holds; and a set can itself be polled. */
START_TEST(test_epoll_tells_levels) {
    int pair[2], set = epoll_create1(EPOLL_CLOEXEC);
    kernel_pair(SOCK_SEQPACKET, pair);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 42};
    ck_assert_int_eq(epoll_ctl(set, EPOLL_CTL_ADD, pair[1], &event), 0);
    ck_assert_int_eq(events_of(set, POLLIN), 0);
    ck_assert_int_eq(kernel_send(pair[0], "x", NULL, 0), 0);
    for (int i = 0; i < 3; i++) {
        event = (struct epoll_event){0};
        ck_assert_int_eq(events_of(set, POLLIN), POLLIN);
        ck_assert_int_eq(epoll_wait(set, &event, 1, 0), 1);
        ck_assert_uint_eq(event.events, EPOLLIN);
        ck_assert_uint_eq(event.data.u64, 42);
    }
    ck_assert_int_eq(kernel_receive(pair[1], ROOM, 0).size, 1);
    ck_assert_int_eq(epoll_wait(set, &event, 1, 0), 0);

    event.events = 0; /* the end is also reported to entries that wait for no event */
    ck_assert_int_eq(epoll_ctl(set, EPOLL_CTL_MOD, pair[1], &event), 0);
    close(pair[0]);
    ck_assert_int_eq(epoll_wait(set, &event, 1, 0), 1);
    ck_assert_uint_eq(event.events, EPOLLHUP);
    close(pair[1]);
    ck_assert_int_eq(epoll_wait(set, &event, 1, 0), 0); /* a closed descriptor leaves the set */
    close(set);
}
END_TEST

/* When a call asks for fewer events than there are, all get their turn. */
START_TEST(test_epoll_starves_no_descriptor) {
    enum { MANY = 20 };
    int bells[MANY], seen[MANY] = {0}, set = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < MANY; i++) {
        bells[i] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = i};
        ck_assert_int_eq(epoll_ctl(set, EPOLL_CTL_ADD, bells[i], &event), 0);
    }
    for (int turn = 0; turn < MANY; turn++) {
        struct epoll_event events[3];
        int n = epoll_wait(set, events, 3, 0);
        ck_assert_int_eq(n, 3);
        for (int i = 0; i < n; i++)
            seen[events[i].data.fd]++;
    }
    for (int i = 0; i < MANY; i++)
        ck_assert_int_gt(seen[i], 0);
    kernel_close_all(bells, MANY);
    close(set);
}
END_TEST

START_TEST(test_a_bell_keeps_its_rings) {
    int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint64_t count = 0;
    ck_assert_int_eq(read(wake_fd, &count, sizeof count), -1);
    ck_assert_int_eq(errno, EAGAIN);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(write(wake_fd, &(uint64_t){1}, sizeof count), sizeof count);
    ck_assert_int_eq(events_of(wake_fd, POLLIN), POLLIN);
    ck_assert_int_eq(read(wake_fd, &count, sizeof count), sizeof count);
    ck_assert_uint_eq(count, 3);
    ck_assert_int_eq(events_of(wake_fd, POLLIN), 0);
    close(wake_fd);
}
END_TEST

static int handlers_bell;

static void ring(int signal) {
    (void) signal;
    ssize_t r = write(handlers_bell, &(uint64_t){1}, sizeof(uint64_t));
    (void) r;
}

static long wait_for_bell(int fd) {
    struct pollfd item = {.fd = fd, .events = POLLIN};
    return poll(&item, 1, test_timeout_ms(20000));
}

/* An eventfd wakes a waiting thread, whichever thread runs the signal handler; a thread that waits later finds the
 * event. */
START_TEST(test_a_signal_handler_can_ring) {
    struct sigaction action = {.sa_handler = ring}, before;
    sigset_t usr1, mask;
    handlers_bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ck_assert_int_eq(sigaction(SIGUSR1, &action, &before), 0);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr1, &mask); /* the waiting thread is not the thread that is interrupted */
    struct kernel_call call;
    kernel_call_begin(&call, wait_for_bell, handlers_bell);
    bool has_waited = kernel_call_hangs(&call);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    raise(SIGUSR1);
    long woken = kernel_call_end(&call);
    short afterwards = events_of(handlers_bell, POLLIN);
    sigaction(SIGUSR1, &before, NULL);
    close(handlers_bell);
    ck_assert(has_waited);
    ck_assert_int_eq(woken, 1);
    ck_assert_int_eq(afterwards, POLLIN);
}
END_TEST

static long futex(const void *word, int operation, uint32_t value) {
    struct timespec most = {.tv_sec = 20};
    return syscall(SYS_futex, word, operation, value, operation == FUTEX_WAIT ? &most : NULL, NULL, 0);
}

static const uint32_t *shared_word;

static long wait_for_word(int fd) {
    (void) fd;
    return futex(shared_word, FUTEX_WAIT, 7);
}

/* Readers can wait on memory that they cannot write; they can wake waiters, too. */
START_TEST(test_a_futex_may_be_read_only) {
    int fd = kernel_memfd(PAGE);
    ck_assert_int_eq(pwrite(fd, &(uint32_t){7}, sizeof(uint32_t), 0), sizeof(uint32_t));
    void *one = kernel_map(fd, PAGE, PROT_READ), *other = kernel_map(fd, PAGE, PROT_READ);
    ck_assert_int_eq(futex(one, FUTEX_WAIT, 8), -1);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(futex(other, FUTEX_WAKE, 1), 0);

    struct kernel_call call;
    shared_word = one;
    kernel_call_begin(&call, wait_for_word, -1);
    long woken = 0;
    for (int i = 0; i < test_timeout_ms(10000) && woken == 0; i++) {
        woken = futex(other, FUTEX_WAKE, INT32_MAX);
        kernel_nap();
    }
    ck_assert_int_eq(woken, 1);
    ck_assert_int_eq(kernel_call_end(&call), 0);
    munmap(one, PAGE);
    munmap(other, PAGE);
    close(fd);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("contract_wait");
    suite_add(s, test_two_processes_have_one_clock);
    suite_add(s, test_the_end_wakes);
    suite_add(s, test_room_wakes);
    suite_add(s, test_room_is_told_late);
    suite_add(s, test_the_end_wakes_a_waiter_for_room);
    suite_add(s, test_epoll_tells_levels);
    suite_add(s, test_epoll_starves_no_descriptor);
    suite_add(s, test_a_bell_keeps_its_rings);
    suite_add(s, test_a_signal_handler_can_ring);
    suite_add(s, test_a_futex_may_be_read_only);
    return suite_run(s);
}
