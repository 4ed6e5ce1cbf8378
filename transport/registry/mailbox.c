/* SPDX-License-Identifier: MIT */
/* Mailboxes. See mailbox.h. */
#include "registry/mailbox.h"

#include <stddef.h>

static struct mail closed_mark;
#define CLOSED (&closed_mark)

/* Mails that are run before a mailbox is closed; without a limit a thread that goes on putting mails would keep it
 * open. */
static const uint32_t MAILS_AT_THE_END = 1024;

struct mailbox *mailbox_new(void) {
    struct mailbox *box = heap_new(1, sizeof(*box));
    if (!box)
        return NULL;
    pthread_mutex_init(&box->lock, NULL);
    atomic_init(&box->refs, 1);
    atomic_init(&box->thread, thread_id());
    return box;
}

static struct mailbox *mailbox_ref(struct mailbox *box) {
    atomic_fetch_add_explicit(&box->refs, 1, memory_order_relaxed);
    return box;
}

struct mailbox *mailbox_unref(struct mailbox *box) {
    /* Release [MAIL3] by each holder pairs with the acquire by the last one. With a weaker order the lock would be
     * destroyed while another CPU still has its last store to it under way. */
    if (!box || atomic_fetch_sub_explicit(&box->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    pthread_mutex_destroy(&box->lock);
    return heap_free(box);
}

static void mailbox_unrefp(struct mailbox **box) {
    mailbox_unref(*box);
}
#define CLEANUP_MAILBOX CLEANUP(mailbox_unrefp)

void mailbox_adopt(struct mailbox *box) {
    if (!mailbox_is_closed(box))
        atomic_store_explicit(&box->thread, thread_id(), memory_order_relaxed);
}

void mailbox_set_wake(struct mailbox *box, void (*wake)(void *user), void *user) {
    pthread_mutex_lock(&box->lock);
    box->wake = wake;
    box->waker = user;
    pthread_mutex_unlock(&box->lock);
}

static void mailbox_wake(struct mailbox *box) {
    pthread_mutex_lock(&box->lock);
    if (box->wake)
        box->wake(box->waker);
    pthread_mutex_unlock(&box->lock);
}

bool mailbox_is_closed(const struct mailbox *box) {
    /* Acquire [MAIL2], here and in mailbox_put(), partner in mailbox_close(). */
    return atomic_load_explicit(&box->head, memory_order_acquire) == CLOSED;
}

bool mailbox_put(struct mailbox *box, struct mail *mail) {
    CLEANUP_MAILBOX struct mailbox *held = mailbox_ref(box);
    struct mail *head = atomic_load_explicit(&box->head, memory_order_acquire);
    do {
        if (head == CLOSED)
            return false;
        mail->next = head;
        /* Release [MAIL1], partner in mailbox_take(). Afterwards the mail is the owner's. */
    } while (
        !atomic_compare_exchange_weak_explicit(&box->head, &head, mail, memory_order_release, memory_order_acquire));
    if (!head)
        mailbox_wake(held);
    return true;
}

void mailbox_deliver(struct mailbox *box, struct mail *mail) {
    if (mailbox_is_mine(box) || !mailbox_put(box, mail))
        mail->run(mail);
}

/* Moves a list with the newest mail first behind the mails that were taken before. */
static void mailbox_append(struct mailbox *box, struct mail *newest) {
    struct mail *oldest = NULL, **end = &box->taken;
    while (newest) {
        struct mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (*end)
        end = &(*end)->next;
    *end = oldest;
}

static bool mailbox_take(struct mailbox *box) {
    if (!box->taken && atomic_load_explicit(&box->head, memory_order_relaxed)) {
        /* Acquire [MAIL1] pairs with the release in mailbox_put(): the owner sees the writes of the other thread to
         * the mail, and to the object of the mail. Weaker: a link, or an answer, that is not there yet. */
        mailbox_append(box, atomic_exchange_explicit(&box->head, NULL, memory_order_acquire));
    }
    return box->taken;
}

static void mailbox_run_first(struct mailbox *box) {
    struct mail *mail = box->taken;
    box->taken = mail->next;
    mail->run(mail);
}

void mailbox_run(struct mailbox *box, uint32_t most) {
    CLEANUP_MAILBOX struct mailbox *held = mailbox_ref(box);
    while (most-- > 0 && !mailbox_is_closed(held) && mailbox_take(held))
        mailbox_run_first(held);
}

/* The rest is run also when an exception leaves one of them. */
static void run_others(struct mail **mails) {
    while (*mails) {
        struct mail *mail = *mails;
        *mails = mail->next;
        mail->run(mail);
    }
}

static void run_all(struct mail *mails) {
    CLEANUP(run_others) struct mail *rest = mails;
    run_others(&rest);
}

/* Mails that come between the last mailbox_run() and the closed mark are run after the unlock, with the owner's rights
 * by mailbox_enter() like all later ones. */
static void mailbox_shut(struct mailbox **closing) {
    struct mailbox *box = *closing;
    if (mailbox_is_closed(box)) /* by a mail that has ended the connection */
        return;
    pthread_mutex_lock(&box->lock);
    /* Release [MAIL2] pairs with the acquire in mailbox_is_closed() and mailbox_put(): a thread that finds the mark
     * sees how the connection has ended. And acquire [MAIL1], as in mailbox_take(). */
    mailbox_append(box, atomic_exchange_explicit(&box->head, CLOSED, memory_order_acq_rel));
    struct mail *rest = box->taken;
    box->taken = NULL;
    box->wake = NULL;
    atomic_store_explicit(&box->thread, THREAD_ID_NONE, memory_order_relaxed);
    pthread_mutex_unlock(&box->lock);
    run_all(rest);
}

/* It is closed also when an exception leaves a mail: no thread would run what comes later. */
void mailbox_close(struct mailbox *box) {
    if (mailbox_is_closed(box))
        return;
    CLEANUP_MAILBOX struct mailbox *held = mailbox_ref(box);
    CLEANUP(mailbox_shut) struct mailbox *closing = held;
    mailbox_run(closing, MAILS_AT_THE_END);
}

struct mailbox_visit mailbox_enter(struct mailbox *box) {
    if (mailbox_is_mine(box))
        return (struct mailbox_visit){NULL};
    struct mailbox_visit visit = {mailbox_ref(box)};
    pthread_mutex_lock(&box->lock);
    atomic_store_explicit(&box->thread, thread_id(), memory_order_relaxed);
    return visit;
}

void mailbox_leave(const struct mailbox_visit *visit) {
    if (!visit->box)
        return;
    atomic_store_explicit(&visit->box->thread, THREAD_ID_NONE, memory_order_relaxed);
    pthread_mutex_unlock(&visit->box->lock);
    mailbox_unref(visit->box);
}
