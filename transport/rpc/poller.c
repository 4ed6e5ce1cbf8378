/* SPDX-License-Identifier: MIT */
/* Watches, and the set on epoll. See poller.h. */
#include "rpc/poller.h"

#include "sys/heap.h"
#include <stddef.h>

enum { EVENTS_PER_TURN = 64 };

struct poller_set {
    struct poller poller;
    int fd;                                    /* owned */
    struct watch *armed;                       /* those with a deadline */
    struct wait_event events[EVENTS_PER_TURN]; /* of this turn; data NULL: removed meanwhile */
    int events_count;
    struct watch *cursor; /* the next armed watch of this turn */
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

void watch_remove(struct watch *watch) {
    if (watch->poller)
        watch->poller->ops->remove(watch->poller, watch);
    watch->poller = NULL;
}

static void set_disarm(struct poller_set *set, struct watch *watch) {
    if (!watch->link)
        return;
    if (set->cursor == watch)
        set->cursor = watch->next;
    *watch->link = watch->next;
    if (watch->next)
        watch->next->link = watch->link;
    watch->link = NULL;
}

static void set_arm(struct poller_set *set, struct watch *watch) {
    if (watch->deadline == WAIT_FOREVER) {
        set_disarm(set, watch);
    } else if (!watch->link) {
        watch->next = set->armed;
        watch->link = &set->armed;
        if (watch->next)
            watch->next->link = &watch->next;
        set->armed = watch;
    }
}

/* What the kernel was last told is kept in `impl`, so that it is told only what is new. */
static int set_add(struct poller *poller, struct watch *watch) {
    int r = wait_set_add(set_of(poller)->fd, watch->fd, watch->events, watch);
    if (r < 0)
        return r;
    watch->impl = (void *) (uintptr_t) watch->events;
    watch->link = NULL;
    set_arm(set_of(poller), watch);
    return 0;
}

static void set_update(struct poller *poller, struct watch *watch) {
    void *events = (void *) (uintptr_t) watch->events;
    if (watch->impl != events && wait_set_change(set_of(poller)->fd, watch->fd, watch->events, watch) == 0)
        watch->impl = events;
    set_arm(set_of(poller), watch);
}

static void set_remove(struct poller *poller, struct watch *watch) {
    struct poller_set *set = set_of(poller);
    wait_set_remove(set->fd, watch->fd);
    set_disarm(set, watch);
    for (int i = 0; i < set->events_count; i++)
        if (set->events[i].data == watch)
            set->events[i].data = NULL;
}

static void set_free(struct poller *poller) {
    fd_close(set_of(poller)->fd);
    heap_free(poller);
}

static const struct poller_ops SET_OPS = {.add = set_add, .update = set_update, .remove = set_remove, .free = set_free};

struct poller *poller_set_new(void) {
    struct poller_set *set = heap_new(1, sizeof(*set));
    if (!set || wait_set_new(&set->fd) < 0)
        return heap_free(set);
    set->poller.ops = &SET_OPS;
    return &set->poller;
}

int poller_set_fd(const struct poller *poller) {
    return set_of(poller)->fd;
}

uint64_t poller_set_deadline(const struct poller *poller) {
    uint64_t deadline = WAIT_FOREVER;
    for (const struct watch *w = set_of(poller)->armed; w; w = w->next)
        if (w->deadline < deadline)
            deadline = w->deadline;
    return deadline;
}

static void set_call_events(struct poller_set *set) {
    for (int i = 0; i < set->events_count; i++) {
        struct watch *watch = set->events[i].data;
        if (watch)
            watch->ready(watch, set->events[i].revents);
    }
    set->events_count = 0;
}

static void set_call_deadlines(struct poller_set *set) {
    uint64_t now = wait_now();
    set->cursor = set->armed;
    while (set->cursor) {
        struct watch *watch = set->cursor;
        set->cursor = watch->next;
        if (watch->deadline <= now)
            watch->ready(watch, 0);
    }
}

int poller_set_turn(struct poller *poller, uint64_t deadline) {
    struct poller_set *set = set_of(poller);
    uint64_t nearest = poller_set_deadline(poller);
    int n = wait_set_poll(set->fd, set->events, EVENTS_PER_TURN, nearest < deadline ? nearest : deadline);
    if (n < 0)
        return n;
    set->events_count = n;
    set_call_events(set);
    set_call_deadlines(set);
    return 0;
}
