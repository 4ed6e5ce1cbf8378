/* SPDX-License-Identifier: MIT */
/* registry/mailbox: its states, the wake-up, its end, and threads that race with both. */
#include "support/suite.h"

#include "registry/mailbox.h"
#include <pthread.h>

struct note {
    struct mail mail; /* the first member */
    struct mailbox *box;
    unsigned number;
    bool was_mine;
};

static unsigned seen[16], seen_count, woken;

static void note_run(struct mail *mail) {
    struct note *note = (struct note *) (void *) mail;
    note->was_mine = mailbox_is_mine(note->box);
    seen[seen_count++] = note->number;
}

static void note_wake(void *user) {
    ck_assert_ptr_eq(user, &woken);
    woken++;
}

static struct note note_of(struct mailbox *box, unsigned number) {
    return (struct note){.mail = {.run = note_run}, .box = box, .number = number};
}

static struct mailbox *begin(void) {
    struct mailbox *box = mailbox_new();
    ck_assert_ptr_nonnull(box);
    seen_count = woken = 0;
    mailbox_set_wake(box, note_wake, &woken);
    return box;
}

START_TEST(test_the_oldest_runs_first) {
    struct mailbox *box = begin();
    struct note notes[4];
    for (unsigned i = 0; i < 4; i++) {
        notes[i] = note_of(box, i);
        ck_assert(mailbox_put(box, &notes[i].mail));
    }
    ck_assert(mailbox_has_mail(box));
    mailbox_run(box, 3);
    ck_assert_uint_eq(seen_count, 3);
    ck_assert(mailbox_has_mail(box));
    mailbox_run(box, 3);
    ck_assert_uint_eq(seen_count, 4);
    ck_assert(!mailbox_has_mail(box));
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(seen[i], i);
    mailbox_unref(box);
}
END_TEST

START_TEST(test_only_the_first_mail_wakes) {
    struct mailbox *box = begin();
    struct note notes[3] = {note_of(box, 0), note_of(box, 1), note_of(box, 2)};
    mailbox_put(box, &notes[0].mail);
    mailbox_put(box, &notes[1].mail);
    ck_assert_uint_eq(woken, 1);
    mailbox_run(box, 9);
    mailbox_put(box, &notes[2].mail);
    ck_assert_uint_eq(woken, 2);
    mailbox_run(box, 9);
    mailbox_unref(box);
}
END_TEST

static void *deliver(void *arg) {
    struct note *note = arg;
    ck_assert(!mailbox_is_mine(note->box));
    mailbox_deliver(note->box, &note->mail);
    return NULL;
}

static void deliver_elsewhere(struct note *note) {
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, deliver, note), 0);
    pthread_join(thread, NULL);
}

START_TEST(test_the_owner_runs_what_another_thread_delivers) {
    struct mailbox *box = begin();
    struct note own = note_of(box, 7), other = note_of(box, 8);
    mailbox_deliver(box, &own.mail);
    ck_assert_uint_eq(seen_count, 1);
    ck_assert_uint_eq(woken, 0);
    deliver_elsewhere(&other);
    ck_assert_uint_eq(seen_count, 1);
    ck_assert_uint_eq(woken, 1);
    mailbox_run(box, 9);
    ck_assert_uint_eq(seen_count, 2);
    ck_assert(other.was_mine);
    mailbox_unref(box);
}
END_TEST

static void enter_run(struct mail *mail) {
    struct note *note = (struct note *) (void *) mail;
    CLEANUP_VISIT struct mailbox_visit visit = mailbox_enter(note->box), inner = mailbox_enter(note->box);
    ck_assert(mailbox_is_mine(note->box));
    ck_assert_ptr_eq(visit.box, note->box);
    ck_assert_ptr_null(inner.box);
    note_run(mail);
}

START_TEST(test_a_closed_one_runs_its_mail_and_takes_no_more) {
    struct mailbox *box = begin();
    struct note before = note_of(box, 1), after = note_of(box, 2), elsewhere = note_of(box, 3);
    mailbox_put(box, &before.mail);
    mailbox_close(box);
    ck_assert_uint_eq(seen_count, 1);
    ck_assert(before.was_mine);
    ck_assert(mailbox_is_closed(box));
    ck_assert(!mailbox_is_mine(box));
    ck_assert(!mailbox_put(box, &after.mail));
    after.mail.run = elsewhere.mail.run = enter_run;
    mailbox_deliver(box, &after.mail);
    deliver_elsewhere(&elsewhere);
    ck_assert_uint_eq(seen_count, 3);
    ck_assert(after.was_mine && elsewhere.was_mine);
    ck_assert(!mailbox_is_mine(box));
    mailbox_close(box);
    mailbox_adopt(box);
    ck_assert(!mailbox_is_mine(box));
    mailbox_unref(box);
}
END_TEST

static void *adopt(void *arg) {
    mailbox_adopt(arg);
    ck_assert(mailbox_is_mine(arg));
    return NULL;
}

START_TEST(test_it_moves_to_another_thread) {
    struct mailbox *box = begin();
    pthread_t thread;
    ck_assert(mailbox_is_mine(box));
    ck_assert_int_eq(pthread_create(&thread, NULL, adopt, box), 0);
    pthread_join(thread, NULL);
    mailbox_adopt(box);
    ck_assert(mailbox_is_mine(box));
    mailbox_unref(box);
}
END_TEST

static void *is_others(void *arg) {
    ck_assert(!mailbox_is_mine(arg));
    return NULL;
}

/* The C library gives the stack of the thread that has ended, and with it the address, to the next one. */
START_TEST(test_a_new_thread_is_not_one_that_has_ended) {
    struct mailbox *box = begin();
    pthread_t thread, next;
    ck_assert_int_eq(pthread_create(&thread, NULL, adopt, box), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(pthread_create(&next, NULL, is_others, box), 0);
    ck_assert(pthread_equal(thread, next)); /* else this test shows nothing */
    pthread_join(next, NULL);
    mailbox_unref(box);
}
END_TEST

/* A thread without a number owns nothing, also no mailbox that is closed. */
START_TEST(test_a_closed_one_is_no_new_threads) {
    struct mailbox *box = begin();
    pthread_t thread;
    mailbox_close(box);
    ck_assert_int_eq(pthread_create(&thread, NULL, is_others, box), 0);
    pthread_join(thread, NULL);
    mailbox_unref(box);
}
END_TEST

/* Threads deliver, and count without atomics: under the owner's rights there is one at a time. */
enum { THREADS = 4, NOTES = 2000 };

static unsigned counted;
static atomic_uint delivered;

static void count_run(struct mail *mail) {
    const struct note *note = (const struct note *) (const void *) mail;
    CLEANUP_VISIT struct mailbox_visit visit = mailbox_enter(note->box);
    counted++;
}

struct sender {
    struct mailbox *box;
    struct note notes[NOTES];
};

static void *send_all(void *arg) {
    struct sender *sender = arg;
    for (unsigned i = 0; i < NOTES; i++) {
        sender->notes[i] = (struct note){.mail = {.run = count_run}, .box = sender->box};
        mailbox_deliver(sender->box, &sender->notes[i].mail);
        atomic_fetch_add(&delivered, 1);
    }
    return NULL;
}

/* _i * 1000: how many are delivered before it is closed. */
START_TEST(test_every_mail_runs_once_across_the_end) {
    static struct sender senders[THREADS];
    struct mailbox *box = mailbox_new();
    pthread_t threads[THREADS];
    counted = 0;
    atomic_store(&delivered, 0);
    for (int i = 0; i < THREADS; i++) {
        senders[i].box = box;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    while (atomic_load(&delivered) < (unsigned) _i * 1000)
        mailbox_run(box, 5);
    mailbox_close(box);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(counted, THREADS * NOTES);
    mailbox_unref(box);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("mailbox");
    suite_add(s, test_the_oldest_runs_first);
    suite_add(s, test_only_the_first_mail_wakes);
    suite_add(s, test_the_owner_runs_what_another_thread_delivers);
    suite_add(s, test_a_closed_one_runs_its_mail_and_takes_no_more);
    suite_add(s, test_it_moves_to_another_thread);
    suite_add(s, test_a_new_thread_is_not_one_that_has_ended);
    suite_add(s, test_a_closed_one_is_no_new_threads);
    suite_add_loop(s, test_every_mail_runs_once_across_the_end, 0, 3);
    return suite_run(s);
}
