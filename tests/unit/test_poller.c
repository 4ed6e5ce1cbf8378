/* SPDX-License-Identifier: MIT */
/* rpc/poller: watches, and the set of them on epoll. Any watch may be changed and removed from inside `ready`. */
#include "support/suite.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "rpc/poller.h"
#include "sys/heap.h"
#include "unit/fail.h"

enum { SIDES = 8 };

/* One end of a pair of sockets and its watch. */
struct side {
    struct watch watch;
    int other;
    int calls;
    short revents;                  /* of the last call */
    void (*act)(struct side *self); /* runs inside ready */
};

static struct poller *poller;
static struct side sides[SIDES];
static int order[64], ordered; /* the sides in the order of their calls */

static void ready(struct watch *watch, short revents) {
    struct side *side = (struct side *) (void *) ((char *) watch - offsetof(struct side, watch));
    side->calls++;
    side->revents = revents;
    if (ordered < 64)
        order[ordered++] = (int) (side - sides);
    if (side->act)
        side->act(side);
}

static void make_set(void) {
    fail_off();
    memset(sides, 0, sizeof sides);
    ordered = 0;
    for (int i = 0; i < SIDES; i++) {
        int pair[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        sides[i].watch = (struct watch){.fd = pair[0], .events = POLLIN, .deadline = WAIT_FOREVER, .ready = ready};
        sides[i].other = pair[1];
    }
    ck_assert_int_eq(poller_set_new(&poller), 0);
}

static void drop_set(void) {
    fail_off();
    for (int i = 0; i < SIDES; i++) {
        watch_remove(&sides[i].watch);
        ck_assert_ptr_null(sides[i].watch.poller);
        fd_close(sides[i].watch.fd);
        fd_close(sides[i].other);
    }
    ck_assert_uint_eq(poller_set_deadline(poller), WAIT_FOREVER);
    poller->ops->free(poller);
}

static void add(int i) {
    ck_assert_int_eq(watch_add(&sides[i].watch, poller), 0);
    ck_assert_ptr_eq(sides[i].watch.poller, poller);
}

static void add_all(void) {
    for (int i = 0; i < SIDES; i++)
        add(i);
}

static void speak(int i) {
    ck_assert_int_eq(write(sides[i].other, "x", 1), 1);
}

static void turn(void) {
    ck_assert_int_eq(poller_set_turn(poller, 0), 0);
}

static int calls_of_all(void) {
    int sum = 0;
    for (int i = 0; i < SIDES; i++)
        sum += sides[i].calls;
    return sum;
}

static uint64_t past(void) {
    return wait_now() - 1;
}

static uint64_t far(void) {
    return wait_now() + UINT64_C(3600) * 1000000000;
}

/* --- events --- */

START_TEST(test_an_empty_set) {
    ck_assert_uint_eq(poller_set_deadline(poller), WAIT_FOREVER);
    ck_assert_int_ge(poller_set_fd(poller), 0);
    turn();
    ck_assert_int_eq(poller_set_turn(poller, past()), 0);
}
END_TEST

START_TEST(test_a_ready_watch_is_called) {
    add_all();
    turn();
    ck_assert_int_eq(calls_of_all(), 0);
    speak(2);
    speak(5);
    turn();
    ck_assert_int_eq(calls_of_all(), 2);
    ck_assert_int_eq(sides[2].revents, POLLIN);
    ck_assert_int_eq(sides[5].revents, POLLIN);
    turn(); /* the byte is still unread, so the event comes again */
    ck_assert_int_eq(sides[2].calls, 2);
}
END_TEST

/* The set's own descriptor reports when a turn is worth it, for foreign loops. */
START_TEST(test_the_sets_descriptor) {
    struct pollfd item = {.fd = poller_set_fd(poller), .events = POLLIN};
    add(0);
    ck_assert_int_eq(poll(&item, 1, 0), 0);
    speak(0);
    ck_assert_int_eq(poll(&item, 1, 0), 1);
    turn();
    ck_assert_int_eq(sides[0].calls, 1);
}
END_TEST

START_TEST(test_a_turn_waits_for_an_event) {
    add(0);
    speak(0);
    ck_assert_int_eq(poller_set_turn(poller, WAIT_FOREVER), 0);
    ck_assert_int_eq(sides[0].calls, 1);
}
END_TEST

START_TEST(test_room_to_write) {
    sides[0].watch.events = POLLIN | POLLOUT;
    sides[1].watch.events = POLLOUT;
    add(0);
    add(1);
    speak(0);
    speak(1);
    turn();
    ck_assert_int_eq(sides[0].revents, POLLIN | POLLOUT);
    ck_assert_int_eq(sides[1].revents, POLLOUT);
}
END_TEST

START_TEST(test_the_end_is_told_unasked) {
    sides[0].watch.events = 0;
    add(0);
    speak(0);
    turn();
    ck_assert_int_eq(sides[0].calls, 0);
    sides[0].other = fd_close(sides[0].other);
    turn();
    ck_assert_int_eq(sides[0].calls, 1);
    ck_assert_int_eq(sides[0].revents & POLLHUP, POLLHUP);
}
END_TEST

START_TEST(test_events_may_change) {
    struct watch *watch = &sides[0].watch;
    add(0);
    speak(0);
    watch_update(watch, 0, WAIT_FOREVER);
    turn();
    ck_assert_int_eq(sides[0].calls, 0);
    watch_update(watch, POLLIN, WAIT_FOREVER);
    turn();
    ck_assert_int_eq(sides[0].revents, POLLIN);
    watch_update(watch, POLLOUT, WAIT_FOREVER);
    turn();
    ck_assert_int_eq(sides[0].revents, POLLOUT);
    ck_assert_int_eq(sides[0].calls, 2);
}
END_TEST

START_TEST(test_the_kernel_hears_only_news) {
    add(0);
    fail_call(INJECT_EPOLL_CTL, 0, 0, 0);
    watch_update(&sides[0].watch, POLLIN, WAIT_FOREVER);
    watch_update(&sides[0].watch, POLLIN, far());
    ck_assert_int_eq(fail_calls(INJECT_EPOLL_CTL), 0);
    watch_update(&sides[0].watch, POLLOUT, WAIT_FOREVER);
    watch_update(&sides[0].watch, POLLOUT, WAIT_FOREVER);
    ck_assert_int_eq(fail_calls(INJECT_EPOLL_CTL), 1);
}
END_TEST

START_TEST(test_a_change_that_failed_is_tried_again) {
    add(0);
    speak(0);
    fail_once(INJECT_EPOLL_CTL, ENOMEM);
    watch_update(&sides[0].watch, POLLOUT, WAIT_FOREVER);
    turn();
    ck_assert_int_eq(sides[0].revents, POLLIN); /* still the events of the earlier call */
    watch_update(&sides[0].watch, POLLOUT, WAIT_FOREVER);
    turn();
    ck_assert_int_eq(sides[0].revents, POLLOUT);
}
END_TEST

static void turn_inside(struct side *side) {
    (void) side;
    ck_assert_int_eq(poller_set_turn(poller, 0), -EDEADLK);
}

START_TEST(test_no_turn_inside_a_turn) {
    add(0);
    speak(0);
    sides[0].act = turn_inside;
    turn();
    ck_assert_int_eq(sides[0].calls, 1);
    sides[0].act = NULL;
    turn();
    ck_assert_int_eq(sides[0].calls, 2);
}
END_TEST

/* Not even a hang-up, which epoll reports without being asked. */
START_TEST(test_a_watch_without_events_gets_none) {
    add(0);
    watch_update(&sides[0].watch, 0, WAIT_FOREVER);
    shutdown(sides[0].other, SHUT_RDWR);
    turn();
    ck_assert_int_eq(sides[0].calls, 0);
    watch_update(&sides[0].watch, POLLIN, WAIT_FOREVER);
    turn();
    ck_assert_int_eq(sides[0].calls, 1);
}
END_TEST

START_TEST(test_a_watch_that_is_never_polled) {
    watch_update(&sides[0].watch, POLLOUT, 5);
    ck_assert_int_eq(sides[0].watch.events, POLLOUT);
    ck_assert_uint_eq(sides[0].watch.deadline, 5);
    watch_remove(&sides[0].watch);
    watch_remove(&sides[0].watch);
    ck_assert_ptr_null(sides[0].watch.poller);
    add(0); /* back to the first state */
    turn();
    ck_assert_int_eq(sides[0].revents, 0);
    ck_assert_int_eq(sides[0].calls, 2); /* for the event and for the deadline */
}
END_TEST

START_TEST(test_removed_and_added_again) {
    sides[0].watch.deadline = past();
    add(0);
    speak(0);
    watch_remove(&sides[0].watch);
    turn();
    ck_assert_int_eq(sides[0].calls, 0);
    watch_update(&sides[0].watch, POLLIN, WAIT_FOREVER);
    add(0);
    turn();
    ck_assert_int_eq(sides[0].calls, 1);
    ck_assert_int_eq(sides[0].revents, POLLIN);
}
END_TEST

/* More events than one turn handles: each watch gets its own all the same. */
START_TEST(test_a_crowd_takes_turns) {
    enum { CROWD = 200 };
    struct side *crowd = calloc(CROWD, sizeof *crowd);
    ck_assert_ptr_nonnull(crowd);
    for (int i = 0; i < CROWD; i++) {
        crowd[i].watch =
            (struct watch){.fd = dup(sides[0].watch.fd), .events = POLLIN, .deadline = WAIT_FOREVER, .ready = ready};
        ck_assert_int_eq(watch_add(&crowd[i].watch, poller), 0);
    }
    speak(0);
    for (int i = 0; i < 1 + CROWD / 64; i++)
        turn();
    int silent = 0;
    for (int i = 0; i < CROWD; i++) {
        silent += crowd[i].calls == 0;
        watch_remove(&crowd[i].watch);
        fd_close(crowd[i].watch.fd);
    }
    free(crowd);
    ck_assert_int_eq(silent, 0);
}
END_TEST

/* --- deadlines --- */

START_TEST(test_a_deadline_is_told_as_no_event) {
    add(0);
    add(1);
    watch_update(&sides[0].watch, POLLIN, past());
    turn();
    ck_assert_int_eq(sides[0].calls, 1);
    ck_assert_int_eq(sides[0].revents, 0);
    ck_assert_int_eq(sides[1].calls, 0);
    turn(); /* again and again until the owner sets another deadline */
    ck_assert_int_eq(sides[0].calls, 2);
    watch_update(&sides[0].watch, POLLIN, WAIT_FOREVER);
    turn();
    ck_assert_int_eq(sides[0].calls, 2);
}
END_TEST

START_TEST(test_a_deadline_to_come) {
    sides[0].watch.deadline = far();
    add(0);
    ck_assert_uint_eq(poller_set_deadline(poller), sides[0].watch.deadline);
    turn();
    ck_assert_int_eq(sides[0].calls, 0);
    speak(0);
    turn();
    ck_assert_int_eq(sides[0].calls, 1);
    ck_assert_int_eq(sides[0].revents, POLLIN);
}
END_TEST

START_TEST(test_a_turn_ends_at_the_nearest_deadline) {
    sides[0].watch.deadline = wait_now() + 20 * 1000000;
    sides[1].watch.deadline = far();
    add(0);
    add(1);
    while (sides[0].calls == 0)
        ck_assert_int_eq(poller_set_turn(poller, WAIT_FOREVER), 0);
    ck_assert_uint_ge(wait_now(), sides[0].watch.deadline); /* never early */
    ck_assert_int_eq(sides[1].calls, 0);
}
END_TEST

START_TEST(test_a_turn_ends_at_its_own_deadline) {
    sides[0].watch.deadline = far();
    add(0);
    ck_assert_int_eq(poller_set_turn(poller, wait_now() + 5 * 1000000), 0);
    ck_assert_int_eq(calls_of_all(), 0);
}
END_TEST

START_TEST(test_the_nearest_of_several) {
    add_all();
    uint64_t at = far();
    for (int i = 0; i < SIDES; i++)
        watch_update(&sides[i].watch, POLLIN, at + (uint64_t) (i * 5 % SIDES));
    ck_assert_uint_eq(poller_set_deadline(poller), at);
    watch_update(&sides[0].watch, POLLIN, WAIT_FOREVER); /* its deadline was the nearest */
    ck_assert_uint_eq(poller_set_deadline(poller), at + 1);
    watch_remove(&sides[5].watch); /* its deadline was the nearest */
    ck_assert_uint_eq(poller_set_deadline(poller), at + 2);
    watch_update(&sides[2].watch, POLLIN, at + 100);
    ck_assert_uint_eq(poller_set_deadline(poller), at + 3);
    watch_update(&sides[4].watch, POLLIN, at - 1);
    ck_assert_uint_eq(poller_set_deadline(poller), at - 1);
}
END_TEST

START_TEST(test_both_an_event_and_a_deadline) {
    sides[0].watch.deadline = past();
    add(0);
    speak(0);
    turn();
    ck_assert_int_eq(sides[0].calls, 2);
    ck_assert_int_eq(sides[0].revents, 0);
}
END_TEST

static void disarm(struct side *self) {
    watch_update(&self->watch, POLLIN, WAIT_FOREVER);
}

/* As in connections: the event postpones the deadline, so that the deadline does not pass in the same turn. */
START_TEST(test_an_event_puts_the_deadline_off) {
    sides[0].watch.deadline = past();
    sides[0].act = disarm;
    add(0);
    speak(0);
    turn();
    ck_assert_int_eq(sides[0].calls, 1);
    ck_assert_int_eq(sides[0].revents, POLLIN);
}
END_TEST

/* --- from inside ready --- */

static void remove_itself(struct side *self) {
    watch_remove(&self->watch);
}

START_TEST(test_removing_itself) {
    add_all();
    for (int i = 0; i < SIDES; i++) {
        sides[i].act = remove_itself;
        if (_i == 0)
            speak(i);
        else
            watch_update(&sides[i].watch, POLLIN, past());
    }
    turn();
    turn();
    for (int i = 0; i < SIDES; i++)
        ck_assert_int_eq(sides[i].calls, 1);
    ck_assert_uint_eq(poller_set_deadline(poller), WAIT_FOREVER);
}
END_TEST

static void remove_others(struct side *self) {
    for (int i = 0; i < SIDES; i++)
        if (&sides[i] != self)
            watch_remove(&sides[i].watch);
}

static void remove_all(struct side *self) {
    remove_others(self);
    watch_remove(&self->watch);
}

/* The first side that is called removes all others that were to be called next: for events, for deadlines, and for
 * both. */
START_TEST(test_removing_others) {
    add_all();
    for (int i = 0; i < SIDES; i++) {
        sides[i].act = _i < 3 ? remove_others : remove_all;
        if (_i % 3 != 1)
            speak(i);
        if (_i % 3 != 0)
            watch_update(&sides[i].watch, POLLIN, past());
    }
    turn();
    int first = order[0], expected = _i == 2 ? 2 : 1; /* only this side was called, once for each reason */
    ck_assert_int_eq(sides[first].calls, expected);
    ck_assert_int_eq(calls_of_all(), expected);
    turn();
    ck_assert_int_eq(calls_of_all(), _i < 3 ? 2 * expected : expected);
}
END_TEST

static void remove_next(struct side *self) {
    watch_remove(&sides[(self - sides + 1) % SIDES].watch);
}

static void remove_previous(struct side *self) {
    watch_remove(&sides[(self - sides + SIDES - 1) % SIDES].watch);
}

/* Each side removes its neighbour, the one just called or the one to be called next. A removed watch is never
 * called. */
START_TEST(test_removing_neighbours) {
    add_all();
    for (int i = 0; i < SIDES; i++) {
        sides[i].act = _i % 2 ? remove_next : remove_previous;
        if (_i < 2)
            speak(i);
        else
            watch_update(&sides[i].watch, POLLIN, past());
    }
    turn();
    bool is_gone[SIDES] = {false};
    for (int i = 0; i < ordered; i++) {
        ck_assert(!is_gone[order[i]]);
        is_gone[(order[i] + (_i % 2 ? 1 : SIDES - 1)) % SIDES] = true;
    }
    for (int i = 0; i < SIDES; i++)
        ck_assert(sides[i].calls == 1 || (is_gone[i] && sides[i].calls == 0));
}
END_TEST

static void disarm_others(struct side *self) {
    for (int i = 0; i < SIDES; i++)
        if (&sides[i] != self)
            watch_update(&sides[i].watch, POLLIN, WAIT_FOREVER);
}

START_TEST(test_disarming_others) {
    add_all();
    for (int i = 0; i < SIDES; i++) {
        sides[i].act = disarm_others;
        watch_update(&sides[i].watch, POLLIN, past());
    }
    turn();
    ck_assert_int_eq(calls_of_all(), 1);
}
END_TEST

static void rearm_itself(struct side *self) {
    watch_update(&self->watch, POLLIN, WAIT_FOREVER);
    watch_update(&self->watch, POLLIN, past());
}

/* However often a watch sets its deadline anew, a turn ends. */
START_TEST(test_rearming_itself) {
    add_all();
    for (int i = 0; i < SIDES; i++) {
        sides[i].act = rearm_itself;
        watch_update(&sides[i].watch, POLLIN, past());
    }
    turn();
    for (int i = 0; i < SIDES; i++)
        ck_assert_int_eq(sides[i].calls, 1);
}
END_TEST

static void add_others(struct side *self) {
    for (int i = 0; i < SIDES; i++)
        if (&sides[i] != self && !sides[i].watch.poller)
            add(i);
}

START_TEST(test_adding_inside_ready) {
    sides[3].act = add_others;
    add(3);
    for (int i = 0; i < SIDES; i++)
        speak(i);
    if (_i == 1)
        watch_update(&sides[3].watch, 0, past());
    turn();
    ck_assert_int_eq(sides[3].calls, 1);
    turn();
    for (int i = 0; i < SIDES; i++)
        ck_assert_int_eq(sides[i].calls, i == 3 ? 2 : 1);
}
END_TEST

static void add_next(struct side *self) {
    ptrdiff_t next = self - sides + 1;
    disarm(self);
    if (next < SIDES) {
        sides[next].watch.deadline = past();
        add((int) next);
    }
}

/* Each deadline that passes sets another one that has passed, too. */
START_TEST(test_a_chain_of_deadlines) {
    for (int i = 0; i < SIDES; i++)
        sides[i].act = add_next;
    sides[0].watch.deadline = past();
    add(0);
    for (int i = 0; i < SIDES; i++)
        turn();
    for (int i = 0; i < SIDES; i++)
        ck_assert_int_eq(sides[i].calls, 1);
    ck_assert_uint_eq(poller_set_deadline(poller), WAIT_FOREVER);
}
END_TEST

static void replace_others(struct side *self) {
    for (int i = 0; i < SIDES; i++)
        if (&sides[i] != self) {
            watch_remove(&sides[i].watch);
            add(i);
        }
}

/* Another watch lies at the address of a removed one: events that were fetched for the removed one do not go to it. */
START_TEST(test_a_former_watchs_events) {
    add_all();
    for (int i = 0; i < SIDES; i++) {
        sides[i].act = replace_others;
        speak(i);
    }
    turn();
    ck_assert_int_eq(calls_of_all(), 1);
    turn();
    ck_assert_int_eq(calls_of_all(), 2);
}
END_TEST

/* --- failures --- */

START_TEST(test_a_set_that_cannot_be_made) {
    fail_once(INJECT_ALLOC, ENOMEM);
    struct poller *none = NULL;
    ck_assert_int_eq(poller_set_new(&none), -ENOMEM);
    fail_off();
    fail_once(INJECT_EPOLL_CREATE, EMFILE);
    ck_assert_int_eq(poller_set_new(&none), -EMFILE);
    fail_off();
    fail_once(INJECT_EPOLL_CTL, ENOSPC);
    ck_assert_int_eq(poller_set_new(&none), -ENOSPC);
    ck_assert_ptr_null(none);
}
END_TEST

START_TEST(test_a_watch_that_cannot_be_added) {
    sides[0].watch.deadline = past();
    fail_once(INJECT_EPOLL_CTL, ENOSPC);
    ck_assert_int_eq(watch_add(&sides[0].watch, poller), -ENOSPC);
    ck_assert_ptr_null(sides[0].watch.poller);
    ck_assert_uint_eq(poller_set_deadline(poller), WAIT_FOREVER);
    struct watch nothing = {.fd = -1, .events = POLLIN, .deadline = WAIT_FOREVER, .ready = ready};
    ck_assert_int_eq(watch_add(&nothing, poller), -EBADF);
    watch_remove(&nothing);
    turn();
    ck_assert_int_eq(calls_of_all(), 0);
}
END_TEST

START_TEST(test_a_poll_that_fails) {
    add(0);
    speak(0);
    fail_once(INJECT_EPOLL_WAIT, EBADF);
    ck_assert_int_eq(poller_set_turn(poller, 0), -EBADF);
    ck_assert_int_eq(calls_of_all(), 0);
    fail_once(INJECT_EPOLL_WAIT, EINTR); /* a signal ends a turn early and without an error */
    ck_assert_int_eq(poller_set_turn(poller, WAIT_FOREVER), 0);
    ck_assert_int_eq(calls_of_all(), 0);
    turn();
    ck_assert_int_eq(calls_of_all(), 1);
}
END_TEST

static void leave(struct side *self) {
    self->act = NULL;
    pthread_exit(NULL); /* unwinds the stack, as an exception does */
}

static void *turn_that_is_left(void *unused) {
    poller_set_turn(poller, 0);
    return unused;
}

/* A watch that is called for its deadline never returns. The other watches, which were to be called next, are called
 * in the next turn. */
START_TEST(test_a_deadline_whose_turn_was_left) {
    pthread_t thread;
    for (int i = 0; i < SIDES; i++) {
        sides[i].watch.deadline = past();
        sides[i].act = i == _i ? leave : NULL;
    }
    add_all();
    ck_assert_int_eq(pthread_create(&thread, NULL, turn_that_is_left, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(sides[_i].calls, 1);
    for (int i = 0; i < SIDES; i++)
        sides[i].calls = 0;
    turn();
    for (int i = 0; i < SIDES; i++)
        ck_assert_int_eq(sides[i].calls, 1);
}
END_TEST

/* Many deadlines, set, changed and removed in any order: each watch is called at its turn, and the nearest deadline
 * is known. */
START_TEST(test_a_heap_of_deadlines) {
    enum { MANY = 300 };
    static struct {
        struct watch watch;
        bool was_called;
    } crowd[MANY];
    unsigned seed = (unsigned) _i;
    memset(crowd, 0, sizeof crowd);
    for (int i = 0; i < MANY; i++) {
        crowd[i].watch = (struct watch){.fd = dup(sides[0].watch.fd), .deadline = WAIT_FOREVER, .ready = ready};
        ck_assert_int_eq(watch_add(&crowd[i].watch, poller), 0);
    }
    for (int turn = 0; turn < 3000; turn++) {
        struct watch *watch = &crowd[rand_r(&seed) % MANY].watch;
        uint64_t far = wait_now() + (uint64_t) 3600 * 1000000000, nearest = WAIT_FOREVER;
        watch_update(watch, 0, rand_r(&seed) % 3 ? far + (uint64_t) rand_r(&seed) : WAIT_FOREVER);
        for (int i = 0; i < MANY; i++)
            if (crowd[i].watch.deadline < nearest)
                nearest = crowd[i].watch.deadline;
        if (poller_set_deadline(poller) != nearest)
            ck_abort_msg("turn %d: another one is nearer", turn);
        if (turn % 100 == 0) {
            watch_remove(watch);
            ck_assert_int_eq(watch_add(watch, poller), 0);
        }
    }
    for (int i = 0; i < MANY; i++) {
        watch_remove(&crowd[i].watch);
        fd_close(crowd[i].watch.fd);
    }
    ck_assert_uint_eq(poller_set_deadline(poller), WAIT_FOREVER);
}
END_TEST

static void *wake_often(void *watch) {
    for (int i = 0; i < 200; i++) {
        watch_wake(watch);
        sched_yield();
    }
    return NULL;
}

/* Another thread wakes the set while no other event comes: the callback runs, at least once after the last wake-up. */
START_TEST(test_woken_from_elsewhere) {
    pthread_t thread;
    struct watch *watch = &sides[0].watch;
    ck_assert_int_eq(watch_add(watch, poller), 0);
    for (int round = 0; round < 20; round++) {
        int before = sides[0].calls;
        ck_assert_int_eq(pthread_create(&thread, NULL, wake_often, watch), 0);
        while (sides[0].calls == before)
            ck_assert_int_eq(poller_set_turn(poller, WAIT_FOREVER), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert_int_eq(sides[0].revents, 0);
        before = sides[0].calls;
        watch_wake(watch);
        watch_wake(watch);
        ck_assert_int_eq(poller_set_turn(poller, WAIT_FOREVER), 0);
        ck_assert_int_eq(sides[0].calls, before + 1);
    }
    watch_wake(watch);
    watch_remove(watch); /* and forgotten */
    int before = sides[0].calls;
    ck_assert_int_eq(poller_set_turn(poller, 0), 0);
    ck_assert_int_eq(sides[0].calls, before);
}
END_TEST

/* Finds a frame each time, and takes long for it. */
static enum watch_state look_slowly(struct watch *watch, unsigned looks) {
    (void) looks;
    const struct timespec longer_than_looking_alone = {.tv_nsec = 2000000};
    nanosleep(&longer_than_looking_alone, NULL);
    watch->poller->work += 64;
    return WATCH_READY;
}

/* Handling a frame may take long: the loop reads the clock after some frames, and not only after that many rounds of
 * polling. */
START_TEST(test_slow_frames_leave_the_others_their_turns) {
    sides[0].watch.check = look_slowly;
    add_all();
    speak(0);
    turn();
    speak(1);
    ck_assert_int_eq(poller_set_turn(poller, WAIT_FOREVER), 0);
    ck_assert_int_eq(sides[1].calls, 1);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("poller");
    suite_fixture(s, make_set, drop_set);
    suite_add(s, test_an_empty_set);
    suite_add(s, test_a_ready_watch_is_called);
    suite_add(s, test_the_sets_descriptor);
    suite_add(s, test_a_turn_waits_for_an_event);
    suite_add(s, test_room_to_write);
    suite_add(s, test_the_end_is_told_unasked);
    suite_add(s, test_events_may_change);
    suite_add(s, test_the_kernel_hears_only_news);
    suite_add(s, test_no_turn_inside_a_turn);
    suite_add(s, test_a_watch_without_events_gets_none);
    suite_add(s, test_a_change_that_failed_is_tried_again);
    suite_add(s, test_a_watch_that_is_never_polled);
    suite_add(s, test_removed_and_added_again);
    suite_add(s, test_a_crowd_takes_turns);
    suite_add(s, test_a_deadline_is_told_as_no_event);
    suite_add(s, test_a_deadline_to_come);
    suite_add(s, test_a_turn_ends_at_the_nearest_deadline);
    suite_add(s, test_a_turn_ends_at_its_own_deadline);
    suite_add(s, test_the_nearest_of_several);
    suite_add(s, test_both_an_event_and_a_deadline);
    suite_add(s, test_an_event_puts_the_deadline_off);
    suite_add_loop(s, test_removing_itself, 0, 2);
    suite_add_loop(s, test_removing_others, 0, 6);
    suite_add_loop(s, test_removing_neighbours, 0, 4);
    suite_add(s, test_disarming_others);
    suite_add(s, test_rearming_itself);
    suite_add_loop(s, test_adding_inside_ready, 0, 2);
    suite_add(s, test_a_chain_of_deadlines);
    suite_add_loop(s, test_a_deadline_whose_turn_was_left, 0, SIDES);
    suite_add_loop(s, test_a_heap_of_deadlines, 0, 3);
    suite_add(s, test_woken_from_elsewhere);
    suite_add(s, test_a_former_watchs_events);
    suite_add(s, test_a_set_that_cannot_be_made);
    suite_add(s, test_a_watch_that_cannot_be_added);
    suite_add(s, test_a_poll_that_fails);
    suite_add(s, test_slow_frames_leave_the_others_their_turns);
    return suite_run(s);
}
