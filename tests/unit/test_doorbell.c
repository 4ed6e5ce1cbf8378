/* SPDX-License-Identifier: MIT */
/*
 * lane/doorbell: when the waker must send a doorbell, and that it sends one for each sleep. Two doorbell words face
 * each other, on one thread, at each step of the protocol. test_ring_threads tests threads and a real socket;
 * tests/model checks every order of the steps.
 */
#include "lane/doorbell.h"

#include "support/random.h"
#include "support/suite.h"

static shared32 words[2];
static struct doorbell sleeper, waker;

static void face(void) {
    shared32_store(&words[0], 0);
    shared32_store(&words[1], 0);
    doorbell_init(&sleeper, &words[0], &words[1]);
    doorbell_init(&waker, &words[1], &words[0]);
}

/* Returns whether the waker sends a doorbell after it has published `due`. */
static bool rings_for(uint32_t due) {
    waker.due |= due;
    bool is_wanted = doorbell_is_wanted(&waker);
    if (is_wanted)
        doorbell_note_rung(&waker);
    return is_wanted;
}

START_TEST(test_neither_side_sleeps) {
    for (uint32_t due = 0; due < 8; due++)
        ck_assert(!rings_for(due));
    ck_assert(!sleeper.is_armed);
    ck_assert_uint_eq(shared32_load(&words[0]), 0);
}
END_TEST

/* Published frames wake every sleeper; other events wake only a sleeper that wants them. */
START_TEST(test_what_wakes) {
    for (uint32_t wants = 0; wants <= (DOORBELL_ROOM | DOORBELL_RELEASES); wants += 2)
        for (uint32_t due = 0; due < 8; due++) {
            face();
            doorbell_arm(&sleeper, wants);
            ck_assert(sleeper.is_armed);
            bool is_wanted = due & DOORBELL_FRAMES || due & wants;
            ck_assert_int_eq(rings_for(due), is_wanted);
        }
}
END_TEST

/* The bits of wanted events equal the bits of due events; the bit of sleep itself is the bit of frames. */
START_TEST(test_the_word) {
    doorbell_arm(&sleeper, DOORBELL_ROOM);
    uint32_t word = shared32_load(&words[0]);
    ck_assert_uint_eq(word & 7, 1 | DOORBELL_ROOM);
    ck_assert_uint_gt(word >> 3, 0);
    doorbell_disarm(&sleeper);
    ck_assert_uint_eq(shared32_load(&words[0]) & 7, 0);
    ck_assert(!sleeper.is_armed);
}
END_TEST

START_TEST(test_once_an_episode) {
    for (int episode = 0; episode < 1000; episode++) {
        doorbell_arm(&sleeper, DOORBELL_ROOM | DOORBELL_RELEASES);
        ck_assert(rings_for(1u << episode % 3));
        for (uint32_t due = 0; due < 8; due++)
            ck_assert(!rings_for(due));
        doorbell_disarm(&sleeper);
        ck_assert(!rings_for(7));
    }
}
END_TEST

/* Sleeping on for another event begins an episode of its own: the earlier doorbell was for other events. */
START_TEST(test_to_want_more_is_another_episode) {
    doorbell_arm(&sleeper, 0);
    ck_assert(!rings_for(DOORBELL_ROOM));
    ck_assert(rings_for(DOORBELL_FRAMES));
    doorbell_arm(&sleeper, DOORBELL_ROOM);
    ck_assert(rings_for(DOORBELL_ROOM));
    ck_assert(!rings_for(DOORBELL_ROOM));
}
END_TEST

/* Events that were due while the peer was awake are not reported to a later sleep: the peer looked after it had
 * announced its sleep. */
START_TEST(test_old_due_events_are_forgotten) {
    ck_assert(!rings_for(DOORBELL_FRAMES));
    ck_assert_uint_eq(waker.due, 0);
    doorbell_arm(&sleeper, 0);
    ck_assert(!doorbell_is_wanted(&waker));
}
END_TEST

/* A doorbell that could not be sent stays due. */
START_TEST(test_an_unsent_doorbell_stays_due) {
    doorbell_arm(&sleeper, 0);
    waker.due = DOORBELL_FRAMES;
    for (int i = 0; i < 3; i++)
        ck_assert(doorbell_is_wanted(&waker));
    doorbell_note_rung(&waker);
    ck_assert(!doorbell_is_wanted(&waker));
}
END_TEST

/* The peer wakes and sleeps again while a doorbell is on its way: the next frame sends a doorbell for the new
 * episode. */
START_TEST(test_an_episode_between_looking_and_ringing) {
    doorbell_arm(&sleeper, 0);
    waker.due = DOORBELL_FRAMES;
    ck_assert(doorbell_is_wanted(&waker));
    doorbell_disarm(&sleeper);
    doorbell_arm(&sleeper, 0);
    doorbell_note_rung(&waker);
    ck_assert(rings_for(DOORBELL_FRAMES));
    ck_assert(!rings_for(DOORBELL_FRAMES));
}
END_TEST

START_TEST(test_both_sleep) {
    doorbell_arm(&sleeper, 0);
    doorbell_arm(&waker, 0);
    waker.due = sleeper.due = DOORBELL_FRAMES;
    ck_assert(doorbell_is_wanted(&waker));
    ck_assert(doorbell_is_wanted(&sleeper));
}
END_TEST

START_TEST(test_episodes_wrap) {
    sleeper.episode = UINT32_MAX - 8 * 5 + 1;
    waker.rung = (UINT32_MAX - 8 * 5 + 1) | 1;
    for (int i = 0; i < 10; i++) {
        doorbell_arm(&sleeper, DOORBELL_ROOM);
        ck_assert_uint_eq(shared32_load(&words[0]) & 7, 3);
        ck_assert(rings_for(DOORBELL_FRAMES));
        ck_assert(!rings_for(DOORBELL_FRAMES));
    }
}
END_TEST

/* Whatever a hostile peer writes into its word: each event of ours sends at most one doorbell, and a word gets no
 * second one. */
START_TEST(test_nonsense) {
    uint64_t state = 31;
    uint32_t last = 0;
    for (int i = 0; i < 100000; i++) {
        uint32_t word = random_below(&state, 2) ? (uint32_t) random_next(&state) : last;
        uint32_t due = random_below(&state, 8), before = waker.rung;
        shared32_store(&words[0], word);
        bool did_ring = rings_for(due);
        bool is_wanted = (word & 1) && word != before && ((due & DOORBELL_FRAMES) || (due & word & 6));
        if (did_ring != is_wanted)
            ck_abort_msg("word %#x, %#x due, rung for %#x", word, due, before);
        if (rings_for(due))
            ck_abort_msg("word %#x: twice", word);
        last = word;
    }
    ck_assert_uint_eq(shared32_load(&words[1]), 0); /* the waker writes nothing */
}
END_TEST

int main(void) {
    struct suite *s = suite_new("doorbell");
    suite_fixture(s, face, NULL);
    suite_add(s, test_neither_side_sleeps);
    suite_add(s, test_what_wakes);
    suite_add(s, test_the_word);
    suite_add(s, test_once_an_episode);
    suite_add(s, test_to_want_more_is_another_episode);
    suite_add(s, test_old_due_events_are_forgotten);
    suite_add(s, test_an_unsent_doorbell_stays_due);
    suite_add(s, test_an_episode_between_looking_and_ringing);
    suite_add(s, test_both_sleep);
    suite_add(s, test_episodes_wrap);
    suite_add(s, test_nonsense);
    return suite_run(s);
}
