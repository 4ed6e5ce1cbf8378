/* SPDX-License-Identifier: MIT */
/*
 * A mailbox: work that any thread leaves for the thread of a connection.
 *
 * One thread owns what belongs to a connection: the connection, its account, its messages, and the blocks of its peer.
 * Another thread puts a mail into the mailbox, without a lock. If the mailbox was empty, the thread then wakes the
 * owner, under a lock. The owner runs the mail in its next turn. On the owner's thread nothing is put: one comparison
 * tells.
 *
 * States of `head`, and the functions that move between them:
 *
 *     NULL   --mailbox_put()-->    mails, newest first  --mailbox_run()-->  NULL
 *     both   --mailbox_close()-->  CLOSED, for good
 *
 * The mailbox is closed when its connection has ended. From then on no thread drives the connection, and a lock stands
 * in for the owner's thread: the thread that holds the lock is the owner.
 *
 *     open     thread == the thread that drives the connection, by mailbox_adopt()
 *     closed   thread == the thread between mailbox_enter() and mailbox_leave(), or THREAD_ID_NONE
 *
 * A thread that ends leaves its number with the mailboxes that it owned. No later thread has that number, so that a
 * mailbox has no owner then: what threads leave there waits for the next one that adopts it.
 *
 * Owns: the lock and the list; a mail belongs to the object in which it is embedded. Touches: the waker, under the
 * lock, and all that a mail's `run` does. Memory: by reference. The account has one reference; a thread that puts a
 * mail has another while it does so, because the owner may run the mail, and end the account, before that thread has
 * woken it.
 *
 * Threads: any may put, enter, leave, and ask for mailbox_is_mine(). All else belongs to the owner.
 */
#ifndef REGISTRY_MAILBOX_H
#define REGISTRY_MAILBOX_H

#include "sys/heap.h"
#include "sys/thread_id.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Embedded in the object that the mail is about, which stays until the mail has been run. */
struct mail {
    struct mail *next;
    /* Runs on the owner's thread, or, once the mailbox is closed, on any thread: a function that needs the owner's
     * rights calls mailbox_enter(). `mail` may be gone when it returns. */
    void (*run)(struct mail *mail);
};

struct mailbox {
    _Atomic uintptr_t thread; /* thread_id() of the owner; never 0 */
    _Atomic(struct mail *) head;
    struct mail *taken; /* of the owner: mails that are still to be run, oldest first */
    _Atomic uint32_t refs;
    pthread_mutex_t lock;     /* of `wake` and `waker`, and the owner's rights once the mailbox is closed */
    void (*wake)(void *user); /* NULL: the owner looks by itself */
    void *waker;
};

/* Belongs to the calling thread. The caller owns one reference. NULL: out of memory. */
struct mailbox *mailbox_new(void);
struct mailbox *mailbox_unref(struct mailbox *box);

/* Is the calling thread the owner? No order is needed: a thread finds its own number only where it stored it. A thread
 * without a number has stored none. */
static inline bool mailbox_is_mine(const struct mailbox *box) {
    return atomic_load_explicit(&box->thread, memory_order_relaxed) == thread_id_known();
}

/* The calling thread drives the connection from now on. Nothing happens to a closed mailbox. */
void mailbox_adopt(struct mailbox *box);

/* Sets how the owner is woken; NULL: not at all. When it returns, no thread is inside the former function. */
void mailbox_set_wake(struct mailbox *box, void (*wake)(void *user), void *user);

/* From any thread: leaves a mail, and wakes the owner if there was none. false: the mailbox is closed, and the mail
 * still belongs to the caller. */
bool mailbox_put(struct mailbox *box, struct mail *mail);

/* From any thread: runs the mail at once if the caller is the owner or the mailbox is closed, and else puts it. */
void mailbox_deliver(struct mailbox *box, struct mail *mail);

/* Is there a mail? Also true of a closed mailbox. */
static inline bool mailbox_has_mail(const struct mailbox *box) {
    return atomic_load_explicit(&box->head, memory_order_relaxed) || box->taken;
}

/* From any thread. What the owner wrote before it closed the mailbox is seen by a caller that finds it closed. */
bool mailbox_is_closed(const struct mailbox *box);

/* Runs at most `most` mails. An exception that leaves a mail leaves the others for the next call. */
void mailbox_run(struct mailbox *box, uint32_t most);

/* Runs what is there, and closes the mailbox; it may be closed already. A mail that comes meanwhile is run too. An
 * exception that leaves a mail leaves the mailbox closed. */
void mailbox_close(struct mailbox *box);

/* The owner's rights for the time between mailbox_enter() and mailbox_leave(), in which the account may end. */
struct mailbox_visit {
    struct mailbox *box; /* owned reference; NULL: the thread had the rights before */
};

/* Waits for the owner's rights. The mailbox is closed, or open and the calling thread's own: a thread that has the
 * rights already keeps them when it leaves. Visits nest. */
struct mailbox_visit mailbox_enter(struct mailbox *box);
void mailbox_leave(const struct mailbox_visit *visit);
#define CLEANUP_VISIT CLEANUP(mailbox_leave)

#endif
