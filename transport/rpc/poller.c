/* SPDX-License-Identifier: MIT */
/* Watches, and the set on epoll. See poller.h. */
#include "rpc/poller.h"

#include "sys/heap.h"
#include "sys/shared_word.h"
#include <errno.h>
#include <poll.h>
#include <stddef.h>

enum { EVENTS_PER_TURN = 64, MAILS_PER_TURN = 256 };

/* For how long turns are made by looking alone: new connections, hang-ups and deadlines must not wait for ever. The
 * clock, which costs as much as a small turn, is asked only now and then: after so many turns and frames, which may be
 * slow ones. */
static const uint64_t LOOKS_NS = 1000 * 1000;
static const uint32_t WORK_PER_CLOCK = 16;

struct poller_set {
    struct poller poller;
    int fd;      /* owned */
    int wake_fd; /* owned; watched by `ringing` */
    struct watch ringing;
    struct watch **alarms;                  /* owned; those with a deadline, the nearest first */
    uint32_t alarms_count, alarms_capacity; /* capacity >= watches */
    uint32_t watches;
    struct watch *due;                         /* those that are still to be called in this turn */
    struct wait_event events[EVENTS_PER_TURN]; /* of this turn; data NULL: removed meanwhile */
    int events_count;
    uint32_t turn;      /* its number */
    uint64_t polled_at; /* when the descriptors were last looked at */
    bool is_in_turn;
};

static struct poller_set *set_of(const struct poller *poller) {
    return (struct poller_set *) (uintptr_t) poller; /* its first member */
}

int watch_add(struct watch *watch, struct poller *poller) {
    watch->poller = poller;
    int r = poller->ops->add(poller, watch);
    if (r < 0)
        watch->poller = NULL;
    return r;
}

void watch_update(struct watch *watch, short events, uint64_t deadline) {
    watch->events = events;
    watch->deadline = deadline;
    if (watch->poller)
        watch->poller->ops->update(watch->poller, watch);
}

static void watch_cool(struct watch *watch) {
    if (!LIST_HAS(watch, hot))
        return;
    if (watch->poller->hot_cursor == watch)
        watch->poller->hot_cursor = watch->hot.next;
    LIST_REMOVE(watch, hot);
}

static void watch_heat(struct watch *watch) {
    struct poller *poller = watch->poller;
    if (watch->check && !LIST_HAS(watch, hot))
        LIST_PUSH(&poller->hot, watch, hot);
}

void watch_call(struct watch *watch, short revents) {
    watch_heat(watch); /* before, because it may be gone afterwards */
    watch->ready(watch, revents);
}

enum watch_state poller_check_hot(struct poller *poller, bool is_patient) {
    bool was_ready = false, wants_poll = false, is_alone = poller->hot && !poller->hot->hot.next;
    unsigned tries = !is_patient ? 0 : is_alone ? POLLER_LOOKS : 1;
    poller->hot_cursor = poller->hot;
    while (poller->hot_cursor) {
        struct watch *watch = poller->hot_cursor;
        poller->hot_cursor = watch->hot.next;
        enum watch_state state = watch->check(watch, tries); /* after which one that does not rest may be gone */
        was_ready |= state == WATCH_READY;
        wants_poll |= state == WATCH_POLL;
        if (state == WATCH_RESTS)
            watch_cool(watch);
    }
    return was_ready ? WATCH_READY : !poller->hot ? WATCH_RESTS : wants_poll ? WATCH_POLL : WATCH_HOT;
}

void poller_enter(struct poller *poller) {
    if (atomic_load_explicit(&poller->thread, memory_order_relaxed) == thread_id())
        return;
    atomic_store_explicit(&poller->thread, thread_id(), memory_order_relaxed);
    if (poller->moved)
        poller->moved(poller->mover);
}

void poller_note_taken(struct poller *poller) {
    if (atomic_load_explicit(&poller->thread, memory_order_relaxed) != thread_id())
        atomic_store_explicit(&poller->thread, 0, memory_order_relaxed);
}

void watch_wake(struct watch *watch) {
    struct poller *poller = watch->poller;
    if (atomic_exchange_explicit(&watch->is_woken, true,
                                 memory_order_acq_rel)) /* [WOK2], partner in poller_call_woken() */
        return;
    watch->woken_next = atomic_load_explicit(&poller->woken, memory_order_relaxed);
    /* Release [WOK1] pairs with the acquire in poller_take_woken(): the thread that takes the list sees `woken_next`,
     * and the reason for waking the watch. */
    while (!atomic_compare_exchange_weak_explicit(&poller->woken, &watch->woken_next, watch, memory_order_release,
                                                  memory_order_relaxed))
        ;
    poller->ops->ring(poller);
}

/* Moves all that were woken to the poller's own list. */
static void poller_take_woken(struct poller *poller) {
    /* Acquire [WOK1], partner in watch_wake(). Weaker: links that are not there yet. */
    struct watch *watch = atomic_exchange_explicit(&poller->woken, NULL, memory_order_acquire);
    while (watch) {
        struct watch *next = watch->woken_next;
        watch->woken_next = poller->waking;
        poller->waking = watch;
        watch = next;
    }
}

static bool has_mail(const struct poller *poller) {
    return poller->box && mailbox_has_mail(poller->box);
}

static void run_mails(struct poller *poller) {
    mailbox_adopt(poller->box);
    mailbox_run(poller->box, MAILS_PER_TURN);
}

/* Some are left if an exception left one of them, or if there were many mails. */
static void poller_wake_others(struct poller **poller) {
    if ((*poller)->waking || has_mail(*poller))
        (*poller)->ops->ring(*poller);
}

/* A watch that is woken from now on is called once more. */
void poller_call_woken(struct poller *poller) {
    CLEANUP(poller_wake_others) struct poller *woken = poller;
    struct watch *watch;
    poller_take_woken(woken);
    while ((watch = poller->waking)) {
        poller->waking = watch->woken_next;
        /* Acquire and release [WOK2] pair with each other's halves in watch_wake(): a thread that finds the watch woken
         * has written its reason before this call. */
        atomic_exchange_explicit(&watch->is_woken, false, memory_order_acq_rel);
        watch_call(watch, 0);
    }
    if (has_mail(poller))
        run_mails(poller);
}

/* No thread wakes this watch any more. */
static void watch_forget_woken(struct watch *watch) {
    if (!atomic_load_explicit(&watch->is_woken, memory_order_relaxed))
        return;
    poller_take_woken(watch->poller);
    CHAIN_REMOVE(&watch->poller->waking, watch, woken_next);
    atomic_store_explicit(&watch->is_woken, false, memory_order_relaxed);
}

void watch_remove(struct watch *watch) {
    watch_cool(watch);
    if (watch->poller)
        watch_forget_woken(watch);
    if (watch->poller)
        watch->poller->ops->remove(watch->poller, watch);
    watch->poller = NULL;
}

/* --- the heap of deadlines: none is later than those at twice its place, counted from 1 --- */

static void alarm_place(struct poller_set *set, uint32_t place, struct watch *watch) {
    set->alarms[place - 1] = watch;
    watch->alarm = place;
}

static struct watch *alarm_at(const struct poller_set *set, uint32_t place) {
    return place <= set->alarms_count ? set->alarms[place - 1] : NULL;
}

static bool is_sooner(const struct watch *a, const struct watch *b) {
    return a && (!b || a->deadline < b->deadline);
}

/* Puts it where it belongs, at `place`, above or below. */
static void alarm_sift(struct poller_set *set, uint32_t place, struct watch *watch) {
    while (place > 1 && is_sooner(watch, alarm_at(set, place / 2))) {
        alarm_place(set, place, alarm_at(set, place / 2));
        place /= 2;
    }
    for (;;) {
        uint32_t child = 2 * place + (is_sooner(alarm_at(set, 2 * place + 1), alarm_at(set, 2 * place)) ? 1 : 0);
        if (!is_sooner(alarm_at(set, child), watch))
            break;
        alarm_place(set, place, alarm_at(set, child));
        place = child;
    }
    alarm_place(set, place, watch);
}

static void alarm_remove(struct poller_set *set, struct watch *watch) {
    uint32_t place = watch->alarm;
    struct watch *last = set->alarms[--set->alarms_count];
    watch->alarm = 0;
    if (last != watch)
        alarm_sift(set, place, last);
}

/* There is room: set_add() has made it. */
static void set_arm(struct poller_set *set, struct watch *watch) {
    if (watch->deadline == WAIT_FOREVER && watch->alarm)
        alarm_remove(set, watch);
    else if (watch->deadline != WAIT_FOREVER)
        alarm_sift(set, watch->alarm ? watch->alarm : ++set->alarms_count, watch);
}

static int set_reserve_alarm(struct poller_set *set) {
    if (set->watches < set->alarms_capacity)
        return 0;
    uint32_t capacity = set->alarms_capacity * 2 + 8;
    struct watch **alarms = heap_resize(set->alarms, capacity, sizeof(*alarms));
    if (!alarms)
        return -ENOMEM;
    set->alarms = alarms;
    set->alarms_capacity = capacity;
    return 0;
}

static void due_remove(struct watch *watch) {
    if (LIST_HAS(watch, due))
        LIST_REMOVE(watch, due);
}

/* It may be on the list already: an exception that left a watch has ended the turn before the others were called. */
static void due_add(struct poller_set *set, struct watch *watch) {
    due_remove(watch);
    LIST_PUSH(&set->due, watch, due);
}

/* `impl` keeps the events that epoll has, so that only a change takes a system call; NULL: the watch is not in the
 * set. */
static int set_add(struct poller *poller, struct watch *watch) {
    struct poller_set *set = set_of(poller);
    int r = set_reserve_alarm(set);
    if (r == 0)
        r = wait_set_add(set->fd, watch->fd, watch->events, watch);
    if (r < 0)
        return r;
    set->watches++;
    watch->impl = (void *) (uintptr_t) watch->events;
    watch->alarm = 0;
    watch->due.at = NULL;
    set_arm(set, watch);
    return 0;
}

/* A watch that waits for no event is taken out of the set: epoll reports a hang-up without end, for any set of events.
 */
static int set_tell(const struct poller_set *set, struct watch *watch) {
    if (!watch->events) {
        wait_set_remove(set->fd, watch->fd);
        return 0;
    }
    return watch->impl ? wait_set_change(set->fd, watch->fd, watch->events, watch)
                       : wait_set_add(set->fd, watch->fd, watch->events, watch);
}

static void set_update(struct poller *poller, struct watch *watch) {
    void *events = (void *) (uintptr_t) watch->events;
    if (watch->impl != events && set_tell(set_of(poller), watch) == 0)
        watch->impl = events;
    set_arm(set_of(poller), watch);
}

static void set_remove(struct poller *poller, struct watch *watch) {
    struct poller_set *set = set_of(poller);
    wait_set_remove(set->fd, watch->fd);
    set->watches--;
    if (watch->alarm)
        alarm_remove(set, watch);
    due_remove(watch);
    for (int i = 0; i < set->events_count; i++)
        if (set->events[i].data == watch)
            set->events[i].data = NULL;
}

static void set_free(struct poller *poller) {
    heap_free(set_of(poller)->alarms);
    fd_close(set_of(poller)->wake_fd);
    fd_close(set_of(poller)->fd);
    heap_free(poller);
}

void poller_set_ring(struct poller *poller) {
    wait_bell_ring(set_of(poller)->wake_fd);
}

static const struct poller_ops SET_OPS = {
    .add = set_add, .update = set_update, .remove = set_remove, .ring = poller_set_ring, .free = set_free};

static void on_ringing(struct watch *watch, short revents) {
    (void) revents;
    wait_bell_clear(watch->fd);
    poller_call_woken(watch->poller);
}

static int set_init(struct poller_set *set) {
    int r = wait_set_new(&set->fd);
    if (r == 0)
        r = wait_bell_new(&set->wake_fd);
    set->ringing = (struct watch){.fd = set->wake_fd, .events = POLLIN, .deadline = WAIT_FOREVER, .ready = on_ringing};
    return r < 0 ? r : watch_add(&set->ringing, &set->poller);
}

int poller_set_new(struct poller **ret_poller) {
    struct poller_set *set = heap_new(1, sizeof(*set));
    if (!set)
        return -ENOMEM;
    set->poller.ops = &SET_OPS;
    set->fd = set->wake_fd = -1;
    int r = set_init(set);
    if (r < 0)
        set_free(&set->poller);
    else
        *ret_poller = &set->poller;
    return r;
}

int poller_set_fd(const struct poller *poller) {
    return set_of(poller)->fd;
}

bool poller_set_is_in_turn(const struct poller *poller) {
    return set_of(poller)->is_in_turn;
}

uint64_t poller_set_deadline(const struct poller *poller) {
    const struct watch *first = alarm_at(set_of(poller), 1);
    return first ? first->deadline : WAIT_FOREVER;
}

static void set_call_events(struct poller_set *set) {
    for (int i = 0; i < set->events_count; i++) {
        struct watch *watch = set->events[i].data;
        if (watch) {
            watch->turn = set->turn;
            watch_call(watch, set->events[i].revents);
        }
    }
    set->events_count = 0;
}

/* A turn of the set is one turn of a watch with `is_single`: the watch is still due in the next turn. */
static bool has_had_turn(const struct poller_set *set, const struct watch *watch) {
    return watch->is_single && watch->turn == set->turn;
}

/* Each once, whatever deadline it asks for then. */
static void set_call_deadlines(struct poller_set *set) {
    struct watch *watch;
    if (set->alarms_count == 0)
        return;
    uint64_t now = wait_now();
    while ((watch = alarm_at(set, 1)) && watch->deadline <= now) {
        alarm_remove(set, watch);
        due_add(set, watch);
    }
    for (watch = set->due; watch; watch = watch->due.next)
        set_arm(set, watch);
    while ((watch = set->due)) {
        due_remove(watch);
        if (watch->deadline <= now && !has_had_turn(set, watch)) /* still */
            watch_call(watch, 0);
    }
}

static void set_turn_begin(struct poller_set *set) {
    set->is_in_turn = true;
    poller_enter(&set->poller);
    poller_note_running(&set->poller, true);
}

static void set_turn_end(struct poller_set **set) {
    poller_note_running(&(*set)->poller, false);
    (*set)->is_in_turn = false;
}

/* A turn, too: those that are asked may call handlers. */
uint64_t poller_set_prepare_sleep(struct poller *poller) {
    struct poller_set *set = set_of(poller);
    enum watch_state state = WATCH_RESTS;
    if (set->is_in_turn)
        return 0;
    CLEANUP(set_turn_end) struct poller_set *turn = set;
    set_turn_begin(turn);
    while (poller->hot && state != WATCH_READY)
        state = poller_check_hot(poller, false);
    return state == WATCH_READY ? 0 : poller_set_deadline(poller);
}

/* Asks those that are hot until one was ready or the descriptors are to be looked at. true: the turn is over. */
static bool set_check_hot(struct poller_set *set, bool is_patient) {
    enum watch_state state = poller_check_hot(&set->poller, is_patient);
    while (state == WATCH_HOT) {
        shared_pause();
        state = poller_check_hot(&set->poller, is_patient);
    }
    if (state != WATCH_READY || ++set->poller.work < WORK_PER_CLOCK)
        return state == WATCH_READY;
    set->poller.work = 0;
    return wait_now() - set->polled_at < LOOKS_NS;
}

static int set_turn(struct poller_set *set, uint64_t deadline) {
    struct poller *poller = &set->poller;
    if (has_mail(poller)) /* also where hot watches keep it from its descriptors */
        run_mails(poller);
    if (poller->hot && set_check_hot(set, deadline != 0) && deadline != 0)
        return 0;
    uint64_t nearest = poller->hot ? 0 : poller_set_deadline(poller);
    int n = wait_set_poll(set->fd, set->events, EVENTS_PER_TURN, nearest < deadline ? nearest : deadline);
    if (n < 0)
        return n;
    set->polled_at = wait_now();
    set->events_count = n;
    set_call_events(set);
    set_call_deadlines(set);
    return 0;
}

/* The lists of a turn bear no other turn inside. */
int poller_set_turn(struct poller *poller, uint64_t deadline) {
    struct poller_set *set = set_of(poller);
    if (set->is_in_turn)
        return -EDEADLK;
    CLEANUP(set_turn_end) struct poller_set *turn = set;
    set_turn_begin(turn);
    set->turn++;
    return set_turn(set, deadline);
}
