/* SPDX-License-Identifier: MIT */
/*
 * Hostile outboxes against a real server, and some against a lane that is a client: any word that a peer writes into
 * its own memory, any descriptor that it hands out as its outbox, any use of its doorbell.
 *
 * A lie ends that connection, with a text that names the lie, and only that connection: an honest client is served
 * meanwhile (hostile/scene.h). Odd content that is no lie ends nothing. No access may touch the pages around the
 * server's view of each outbox.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hostile/attacks.h"
#include "hostile/ring_attacks.h"
#include "hostile/scene.h"
#include "rpc/conn.h"
#include "support/random.h"
#include "support/ring_speaker.h"
#include "support/scale.h"
#include "support/suite.h"
#include "unit/lane_pair.h"
#include "wire/handle.h"

#define PATIENCE_MS SCENE_PATIENCE_MS
#define LINES 64
#define RELEASES 256

static struct attempt attempt;
static struct draft draft;

static struct ring_speaker *speaker_open_with(uint32_t lines) {
    struct ring_speaker *self = ring_speaker_new(scene_connect(), lines, RELEASES);
    ring_speaker_hello(self, 0);
    ring_speaker_open(self);
    return self;
}

static struct ring_speaker *speaker_open(void) {
    return speaker_open_with(LINES);
}

/* Checks that both sides got the text. Frees the speaker. */
static void assert_told(struct ring_speaker *self, const char *what, const char *word) {
    scene_assert_told(self->speaker, what, -EPROTO, word);
    self->speaker = NULL;
    ring_speaker_free(self);
}

/* Waits for room, as an honest writer would. */
static void await_room(struct ring_speaker *self, uint64_t lines) {
    for (int waited = 0; ring_has_room(&self->out, lines) != 1; waited++) {
        ck_assert_int_lt(waited, test_timeout_ms(PATIENCE_MS) * 10);
        if (waited % 16 == 15)
            ring_speaker_doorbell(self);
        usleep(100);
    }
}

static void assert_answers(struct ring_speaker *self, uint64_t id) {
    char bytes[64];
    await_room(self, 2);
    ring_say_inline(self, id, SERVICE_ECHO, 48);
    ring_speaker_doorbell(self);
    struct wire_frame frame;
    do {
        frame = ring_expect(self, WIRE_REPLY, bytes, sizeof bytes);
    } while (frame.head.id != id);
    ck_assert_int_eq(frame.message.status, 0);
    ck_assert_uint_eq(frame.message.payload_size, 48);
}

/* The attacker leaves without a GOODBYE. Checks that its connection has ended, in any way, once. */
static void leave(struct ring_speaker *self) {
    struct ending ending;
    ring_speaker_free(self);
    ck_assert(service_next_ending(scene.service, PATIENCE_MS, &ending));
    ck_assert_msg(ending.reason == -EPIPE || (ending.reason == -EPROTO && ending.text[0] != '\0'), "%d (%s)",
                  ending.reason, ending.text);
    ck_assert(!service_next_ending(scene.service, 0, &ending));
}

/* --- lies in the ring --- */

START_TEST(test_attack) {
    const struct ring_attack *attack = &ring_attacks[_i];
    scene_set();
    struct ring_speaker *self = speaker_open_with(attack->lines ? attack->lines : LINES);
    attack->act(self);
    assert_told(self, attack->name, attack->word);
    scene_end();
}
END_TEST

START_TEST(test_siege) {
    scene_set();
    for (int i = 0; i < ring_attacks_count; i++) {
        struct ring_speaker *self = speaker_open_with(ring_attacks[i].lines ? ring_attacks[i].lines : LINES);
        ring_attacks[i].act(self);
        assert_told(self, ring_attacks[i].name, ring_attacks[i].word);
    }
    scene_end();
}
END_TEST

/* The attacks on a client. */
START_TEST(test_attack_on_client) {
    const struct ring_attack *attack = &ring_attacks[_i];
    struct side client = {.has_outbox = true, .options = scene_attacked};
    int fds[2];
    lane_socketpair(fds);
    side_init(&client, fds[0], false);
    struct ring_speaker *self = ring_speaker_new(fds[1], attack->lines ? attack->lines : LINES, RELEASES);
    ring_speaker_open(self);
    ring_speaker_hello(self, 0);
    side_settle(&client);
    ck_assert_int_eq(client.lane.state, LANE_OPEN);
    client.verdict = "a reply came to no call of ours"; /* the text of an owner that has made no call */
    attack->act(self);
    side_settle(&client);
    ck_assert_msg(client.end.reason == -EPROTO && text_names(client.end_text, attack->word), "%s: %d (%s)",
                  attack->name, client.end.reason, client.end_text);
    side_deinit(&client);
    ring_speaker_free(self);
}
END_TEST

/* The attacks that need blocks on lease. */
START_TEST(test_lease_attack) {
    const struct lease_attack *attack = &lease_attacks[_i];
    scene_set();
    struct ring_speaker *self = speaker_open();
    ring_say_arena(self, attack->stride);
    attack->act(self);
    assert_told(self, attack->name, attack->word);
    service_drop(scene.service);
    scene_end();
}
END_TEST

enum { CALLS_BEFORE = 300 };

/* The answer lies in the ring before the call is made, so that the client never waits. */
static int answered_call(sea_conn *conn, struct ring_speaker *self, uint64_t number) {
    sea_msg *reply = NULL;
    char bytes[64];
    ring_say_inline(self, number << 32 | 1, 0, 8);
    int r = sea_call_bytes(conn, SERVICE_ECHO, "x", 1, -1, &reply);
    if (r == 0)
        ring_expect(self, WIRE_CALL, bytes, sizeof bytes);
    sea_msg_release(reply);
    return r;
}

/* A server sends a GOODBYE, or closes its socket, and still goes on answering. */
START_TEST(test_answers_after_the_end) {
    const sea_options options = {.ring_size = 4096, .handshake_ms = 60000};
    char address[32];
    int fds[2], r = 0;
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    lane_socketpair(fds);
    struct ring_speaker *self = ring_speaker_new(fds[1], LINES, RELEASES);
    ring_speaker_hello(self, 0);
    snprintf(address, sizeof address, "fd:%d", fds[0]);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(sea_connect(&conn, ctx, address, &options), 0);
    ring_speaker_open(self);
    uint64_t number = 0;
    for (; number < CALLS_BEFORE; number++)
        ck_assert_int_eq(answered_call(conn, self, number), 0);
    draft_goodbye(&draft, 0, "over");
    if (_i == 0)
        ck_assert_int_eq(shutdown(self->speaker->fd, SHUT_RDWR), 0);
    else
        ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
    for (uint64_t end = wait_deadline(test_timeout_ms(PATIENCE_MS)); r == 0 && wait_now() < end; number++)
        r = answered_call(conn, self, number);
    ck_assert_int_eq(r, -EPIPE);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    ring_speaker_free(self);
}
END_TEST

/* --- lies on the short way: a client that spins, and for which all lies in the ring before it looks --- */

static struct target {
    sea_ctx *ctx;
    sea_conn *conn;
    struct ring_speaker *attacker;
    sea_msg *kept[16];
    unsigned kept_count;
    uint64_t calls;
} target;

static void target_answers(sea_msg *msg, void *user) {
    (void) user;
    sea_reply_bytes(msg, sea_msg_data(msg), sea_msg_size(msg));
}

static void target_keeps(sea_msg *msg, void *user) {
    (void) user;
    ck_assert_uint_lt(target.kept_count, 16);
    target.kept[target.kept_count++] = msg;
}

static void target_releases(void) {
    while (target.kept_count > 0)
        sea_msg_release(target.kept[--target.kept_count]);
}

static const sea_method target_methods[] = {
    {.number = 0, .name = "zero", .handler = target_keeps},
    {.number = SERVICE_ECHO, .name = "echo", .handler = target_answers},
    {.number = KEEPING_METHOD, .name = "keep", .handler = target_keeps},
};

enum { TARGET_SPARES = 5 };

/* Some calls come first: then there are spare messages, without which nothing goes the short way. */
static void target_open(uint32_t lines, uint32_t inline_max) {
    sea_options options = scene_attacked;
    options.inline_max = inline_max;
    char address[32];
    int fds[2];
    options.methods = target_methods;
    options.methods_count = sizeof target_methods / sizeof *target_methods;
    options.method_size = sizeof *target_methods;
    options.waiting = SEA_WAIT_SPIN;
    lane_socketpair(fds);
    target = (struct target){.attacker = ring_speaker_new(fds[1], lines, RELEASES)};
    ring_speaker_hello(target.attacker, 0);
    snprintf(address, sizeof address, "fd:%d", fds[0]);
    ck_assert_int_eq(sea_ctx_new(&target.ctx, NULL), 0);
    ck_assert_int_eq(sea_connect(&target.conn, target.ctx, address, &options), 0);
    ring_speaker_open(target.attacker);
    for (; target.calls < TARGET_SPARES; target.calls++) {
        ring_say_inline(target.attacker, target.calls << 32 | 1, 0, 8);
        ck_assert_int_eq(sea_call_bytes(target.conn, SERVICE_ECHO, "x", 1, -1, &target.kept[target.calls]), 0);
    }
    target.kept_count = TARGET_SPARES;
    target_releases();
}

static void target_ends(void) {
    sea_conn_free(target.conn);
    sea_ctx_unref(target.ctx);
    ring_speaker_free(target.attacker);
}

/* Checks that the connection has ended with a text that contains `word`, and that nothing is left. */
static void target_close(const char *what, int r, const char *word) {
    ck_assert_msg(r == -EPROTO && text_names(sea_conn_text(target.conn), word), "%s: %d (%s)", what, r,
                  sea_conn_text(target.conn));
    target_releases();
    target_ends();
}

static int target_waits(void) {
    int r = 1;
    while (r > 0)
        r = sea_conn_wait(target.conn, test_timeout_ms(PATIENCE_MS));
    return r;
}

START_TEST(test_attack_on_the_short_way) {
    const struct ring_attack *attack = &ring_attacks[_i];
    target_open(attack->lines ? attack->lines : 2 * LINES, ATTACKED_INLINE_MAX); /* of which some were used */
    attack->act(target.attacker);
    target_close(attack->name, target_waits(), attack->word);
}
END_TEST

static void target_turns(void) {
    while (ring_has_frame(&target.conn->lane.in))
        ck_assert_int_ge(sea_conn_wait(target.conn, 0), 0);
}

/* The arena's mark goes the long way, and so would all that the same turn finds behind it. Some blocks come and go:
 * then there are spare objects for views. */
static void target_takes_arena(uint64_t stride) {
    uint64_t handle;
    ring_say_arena(target.attacker, stride);
    for (uint32_t i = 0; i < ARENA_BLOCKS; i++)
        ring_say_pooled(target.attacker, handle_make(ARENA, i, 9), 16);
    target_turns();
    target_releases();
    for (uint32_t i = 0; i < ARENA_BLOCKS; i++)
        ck_assert(release_read(&target.attacker->releases_in, &handle));
    ck_assert_ptr_nonnull(target.conn->lane.remote->account->view_spares);
}

static void target_releases_one(unsigned number, uint64_t handle) {
    uint64_t returned = 0;
    target.kept[number] = sea_msg_release(target.kept[number]);
    ck_assert(release_read(&target.attacker->releases_in, &returned));
    ck_assert_uint_eq(returned, handle);
}

/* A block under two names comes back under both, in either order; then both are free. */
START_TEST(test_two_names_on_the_short_way) {
    const uint64_t names[] = {handle_make(ARENA, 0, 1), handle_make(ARENA, 0, 2)};
    target_open(2 * LINES, ATTACKED_INLINE_MAX);
    target_takes_arena(4096);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2; i++)
            ring_say_pooled(target.attacker, names[i], 4096);
        target_turns();
        ck_assert_uint_eq(target.kept_count, 2);
        target_releases_one((unsigned) _i, names[_i]);
        target_releases_one(!_i, names[!_i]);
        target.kept_count = 0;
    }
    ck_assert_uint_eq(target.conn->lane.remote->account->imported_blocks, 0);
    target_ends();
}
END_TEST

/* When the first name has gone back, the second is a lie all the same while its lease is out. */
START_TEST(test_the_second_name_again_on_the_short_way) {
    target_open(2 * LINES, ATTACKED_INLINE_MAX);
    target_takes_arena(4096);
    for (uint32_t i = 0; i < 2; i++)
        ring_say_pooled(target.attacker, handle_make(ARENA, 0, 1 + i), 4096);
    target_turns();
    target_releases_one(0, handle_make(ARENA, 0, 1));
    ring_say_pooled(target.attacker, handle_make(ARENA, 0, 2), 4096);
    target_close("the second name again", target_waits(), "already on lease");
}
END_TEST

static void target_frees(sea_msg *call, void *user) {
    (void) user;
    sea_conn_free(sea_msg_conn(call));
}

/* A client sleeps, and is woken by a datagram that is no doorbell, and whose callback frees the connection. */
START_TEST(test_a_cancel_wakes_and_frees) {
    target_open(2 * LINES, ATTACKED_INLINE_MAX);
    target.conn->options.on_cancel = target_frees;
    target.conn->lane.spin.waiting = SEA_WAIT_SLEEP;
    ring_say_inline(target.attacker, 7, KEEPING_METHOD, 16);
    target_turns();
    ck_assert_uint_eq(target.kept_count, 1);
    draft_cancel(&draft, 7);
    ck_assert_int_eq(speaker_send(target.attacker->speaker, &draft), 0);
    ck_assert_int_lt(target_waits(), 0);
    target_releases();
    sea_ctx_unref(target.ctx);
    ring_speaker_free(target.attacker);
}
END_TEST

/* The arena is retired while a block of it is held: the last block takes the view with it, and its lease comes back. */
START_TEST(test_a_retired_arena_on_the_short_way) {
    target_open(2 * LINES, ATTACKED_INLINE_MAX);
    target_takes_arena(4096);
    for (uint32_t i = 0; i < 2; i++)
        ring_say_pooled(target.attacker, handle_make(ARENA, i, 1), 4096);
    target_turns();
    draft_retire(&draft, ARENA);
    ck_assert_int_eq(speaker_send(target.attacker->speaker, &draft), 0);
    ring_say_mark(target.attacker, ++target.attacker->marks);
    target_turns();
    for (unsigned i = 0; i < 2; i++)
        target_releases_one(i, handle_make(ARENA, i, 1));
    target.kept_count = 0;
    ck_assert_uint_eq(target.conn->lane.remote->account->mapped_bytes, 0);
    target_ends();
}
END_TEST

START_TEST(test_lease_attack_on_the_short_way) {
    const struct lease_attack *attack = &lease_attacks[_i];
    target_open(2 * LINES, ATTACKED_INLINE_MAX);
    target_takes_arena(attack->stride);
    attack->act(target.attacker);
    target_close(attack->name, target_waits(), attack->word);
}
END_TEST

/* Fewer bytes than a small message may have, and more than were granted: in a request, and in an answer. */
START_TEST(test_inline_limit_on_the_short_way) {
    const uint32_t limit = 100;
    sea_msg *reply = NULL;
    target_open(LINES, limit);
    if (_i == 0) {
        ring_say_inline(target.attacker, 0, SERVICE_ECHO, limit);
        ring_say_inline(target.attacker, 0, SERVICE_ECHO, limit + 1);
        target_close("a request over the limit", target_waits(), "inline");
    } else {
        ring_say_inline(target.attacker, target.calls << 32 | 1, 0, limit + 1);
        int r = sea_call_bytes(target.conn, SERVICE_ECHO, "x", 1, test_timeout_ms(PATIENCE_MS), &reply);
        target_close("an answer over the limit", r, "inline");
    }
}
END_TEST

/* Answers some milliseconds later, and rings. */
static void *answer_late(void *arg) {
    const struct answer_attack *attack = arg;
    usleep(20000);
    attack->act(target.attacker, target.calls << 32 | 1);
    ring_speaker_doorbell(target.attacker);
    return NULL;
}

/* The second call finds what the first one has left. The answer is there before the call; or the caller sleeps. */
START_TEST(test_answer_attack) {
    struct answer_attack made = answer_attacks[_i / 2], *attack = &made;
    bool is_late = _i % 2;
    pthread_t thread;
    int r = 0;
    target_open(32, ATTACKED_INLINE_MAX);
    target_takes_arena(4096);
    if (is_late) {
        target.conn->lane.spin.waiting = SEA_WAIT_SLEEP;
        ck_assert_int_eq(pthread_create(&thread, NULL, answer_late, attack), 0);
    } else {
        attack->act(target.attacker, target.calls << 32 | 1);
    }
    for (int i = 0; r == 0 && i < 2; i++) {
        sea_msg *reply = NULL;
        r = sea_call_bytes(target.conn, SERVICE_ECHO, "x", 1, test_timeout_ms(PATIENCE_MS), &reply);
        sea_msg_release(reply);
    }
    if (is_late)
        pthread_join(thread, NULL);
    target_close(attack->name, r, attack->word);
}
END_TEST

/* Lies in datagrams are refused between sides with outboxes, too. */
START_TEST(test_datagram) {
    const struct attack *attack = &attacks[_i];
    if (attack->before_hello)
        return; /* there are no outboxes yet */
    if (!attempt_compose(&attempt, attack, 1, SERVICE_ECHO))
        test_skip("%s: %s", attack->name, attempt.why_not);
    scene_set();
    struct ring_speaker *self = speaker_open();
    ck_assert_int_eq(speaker_send(self->speaker, &attempt.draft), 0);
    attempt_let_go(&attempt);
    assert_told(self, attack->name, attack->word);
    trap_disarm(&attempt.trap);
    scene_end();
    attempt_deinit(&attempt);
}
END_TEST

/* --- descriptors that are handed out as an outbox --- */

/* The descriptors of the other attacks, sent in a HELLO. */
START_TEST(test_hello) {
    const struct attack *attack = &attacks[_i];
    struct wire_hello hello = hello_sound();
    if (!attempt_compose(&attempt, attack, 1, SERVICE_ECHO))
        test_skip("%s: %s", attack->name, attempt.why_not);
    size_t fds_count = attempt.draft.fds_count;
    hello.features = WIRE_FEATURE_OUTBOX;
    draft_hello(&attempt.draft, &hello);
    attempt.draft.fds_count = fds_count;
    scene_set();
    struct speaker *speaker = speaker_new(scene_connect());
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    attempt_let_go(&attempt);
    scene_assert_told(speaker, attack->name, -EPROTO,
                      fds_count == 0  ? "fewer descriptors"
                      : fds_count > 1 ? "more descriptors"
                                      : "the outbox");
    trap_disarm(&attempt.trap);
    scene_end();
    attempt_deinit(&attempt);
}
END_TEST

/* An outbox that was correct, and whose owner changes its first words before the server reads them. */
static const struct {
    size_t offset;
    uint32_t value;
    const char *word;
} shapes[] = {{0, 0, "magic"},
              {0, 0xffffffff, "magic"},
              {4, 0, "rings of a size"},
              {4, 128, "not as large"},
              {4, 65, "rings of a size"},
              {4, 0xffffffff, "rings of a size"},
              {4, 16384, "not as large"},
              {8, 0, "rings of a size"},
              {8, 512, "not as large"},
              {8, 257, "rings of a size"},
              {8, 0x80000000, "rings of a size"},
              {8, 65536, "not as large"}};

START_TEST(test_shape) {
    scene_set();
    struct ring_speaker *self = ring_speaker_new(scene_connect(), LINES, RELEASES);
    shared32_store(ring_speaker_word(self, shapes[_i].offset), shapes[_i].value);
    ring_speaker_hello(self, 0);
    assert_told(self, "an outbox of another shape", shapes[_i].word);
    scene_end();
}
END_TEST

/* Another connection's outbox, so that two connections share one. Its frames are for both, and both answer. */
START_TEST(test_anothers_outbox) {
    struct wire_hello hello = hello_sound();
    scene_set();
    struct ring_speaker *first = speaker_open();
    struct speaker *second = speaker_new(scene_connect());
    hello.features = WIRE_FEATURE_OUTBOX;
    hello.blocks_max = RELEASES;
    draft_hello(&draft, &hello);
    draft_add_fd(&draft, first->own.fd);
    ck_assert_int_eq(speaker_send(second, &draft), 0);
    speaker_expect(second, WIRE_HELLO);
    assert_answers(first, 1);
    struct ending ending;
    speaker_free(second);
    ck_assert(service_next_ending(scene.service, PATIENCE_MS, &ending));
    assert_answers(first, 2);
    leave(first);
    scene_end();
}
END_TEST

/* --- cursors --- */

/* Calls without reading any answer, until the server's ring is full: then the server reads our cursor, and sends a
 * GOODBYE. */
static void call_until_told(struct ring_speaker *self) {
    struct pollfd item = {.fd = self->speaker->fd, .events = POLLIN};
    for (uint64_t id = 1; poll(&item, 1, 0) == 0; id++) {
        ck_assert_uint_lt(id, 1000000);
        if (ring_has_room(&self->out, 1) == 1)
            ring_say_inline(self, id, SERVICE_ECHO, 0);
        ring_speaker_doorbell(self);
    }
}

static const uint32_t cursors[] = {0x7fffffff, 0x80000000, 0xffffffff, 0xffffff00, 0x00010000, 257 + 64};
#define CURSORS ((int) (sizeof cursors / sizeof *cursors))

START_TEST(test_absurd_cursor) {
    scene_set();
    struct ring_speaker *self = speaker_open();
    shared32_store(outbox_consumed(&self->own), cursors[_i]);
    call_until_told(self);
    assert_told(self, "a cursor without sense", "cursor");
    scene_end();
}
END_TEST

/* The cursor goes forward, and then back. */
START_TEST(test_cursor_backwards) {
    scene_set();
    struct ring_speaker *self = speaker_open();
    for (uint64_t id = 1; id <= 300; id++) /* correct calls, past the first lap */
        assert_answers(self, id);
    shared32_store(outbox_consumed(&self->own), 20);
    call_until_told(self);
    assert_told(self, "a cursor that went backwards", "cursor");
    scene_end();
}
END_TEST

/* --- attacks of more than one step --- */

START_TEST(test_calls_beyond_limit) {
    scene_set();
    struct ring_speaker *self = speaker_open();
    for (unsigned i = 0; i <= ATTACKED_CALLS_MAX; i++)
        ring_say_inline(self, 1 + i, SERVICE_KEEP, 8);
    ring_speaker_doorbell(self);
    assert_told(self, "calls beyond the limit", "calls");
    service_drop(scene.service);
    scene_end();
}
END_TEST

static uint64_t lease_of_ours(struct ring_speaker *self) {
    int fd = trap_memfd(8192, TRAP_ALL_SEALS);
    draft_sealed(&draft, 1, SERVICE_ANSWER, 42, 8192, fd);
    ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
    close(fd);
    ring_say_mark(self, 1);
    const struct wire_frame *reply = speaker_expect(self->speaker, WIRE_REPLY);
    ck_assert_uint_ne(reply->message.handle, 0);
    return reply->message.handle;
}

START_TEST(test_same_release_twice) {
    scene_set();
    struct ring_speaker *self = speaker_open();
    uint64_t handle = lease_of_ours(self);
    release_write(&self->releases_out, handle);
    ring_speaker_doorbell(self);
    assert_answers(self, 2);
    release_write(&self->releases_out, handle);
    ring_speaker_doorbell(self);
    assert_told(self, "the same release twice", "released");
    scene_end();
}
END_TEST

START_TEST(test_release_of_anothers) {
    scene_set();
    struct ring_speaker *victim = speaker_open(), *thief = speaker_open();
    uint64_t handle = lease_of_ours(victim);
    release_write(&thief->releases_out, handle);
    ring_speaker_doorbell(thief);
    assert_told(thief, "release of another's lease", "released");
    release_write(&victim->releases_out, handle);
    ring_speaker_doorbell(victim);
    assert_answers(victim, 2);
    leave(victim);
    scene_end();
}
END_TEST

/* A release by a datagram and one by the ring name one lease: the second is a lie. */
START_TEST(test_release_both_ways) {
    scene_set();
    struct ring_speaker *self = speaker_open();
    uint64_t handle = lease_of_ours(self);
    draft_release(&draft, &handle, 1);
    ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
    release_write(&self->releases_out, handle);
    ring_speaker_doorbell(self);
    assert_told(self, "a release both ways", "released");
    scene_end();
}
END_TEST

/* The attacker reads no answer: its ring fills, then its quota. */
START_TEST(test_never_reads) {
    const sea_ctx_options small = {.peer_bytes = 1 << 20};
    scene_set_with(&small);
    struct ring_speaker *self = speaker_open_with(1024);
    struct pollfd item = {.fd = self->speaker->fd}; /* waits for the end: a larger ring may come before it */
    for (uint64_t id = 1; poll(&item, 1, 0) == 0; id++) {
        ck_assert_uint_lt(id, 100000);
        if (ring_has_room(&self->out, 64) == 1)
            ring_say_inline(self, id, SERVICE_ECHO, 3000);
        ring_speaker_doorbell(self);
    }
    /* the calls wait for the attacker to read */
    scene_assert_told(self->speaker, "never reads", -EPROTO, "more calls");
    self->speaker = NULL;
    ring_speaker_free(self);
    scene_end();
}
END_TEST

/* --- odd, but no lie: the connection is served --- */

/* The later lines of the frame were never written: the payload is old data, which harms only the writer. */
START_TEST(test_torn_frame) {
    scene_set();
    struct ring_speaker *self = speaker_open();
    const struct wire_message message = {
        .method = SERVICE_SINK, .payload_size = 800, .payload_class = WIRE_CLASS_INLINE};
    uint64_t words[LINE_WORDS];
    line_encode(words, WIRE_ONEWAY, 0, &message);
    ring_say_words(self, words);
    ring_out_seek(&self->out, self->out.tail + line_count(800) - 1);
    ring_speaker_doorbell(self);
    assert_answers(self, 1);
    leave(self);
    scene_end();
}
END_TEST

/* Lines of earlier laps, written again, or with any tag other than the awaited one. */
START_TEST(test_replayed_lines) {
    scene_set();
    struct ring_speaker *self = speaker_open();
    struct line *frames = outbox_frames(&self->own);
    struct line kept[LINES];
    for (uint64_t id = 1; id <= 200; id++) {
        assert_answers(self, id);
        memcpy(kept, frames, sizeof kept);
        uint32_t tag = (uint32_t) (self->out.tail >> 6) + 1;
        for (uint64_t at = self->out.tail + 1; at < self->out.tail + 20; at++) {
            struct line *line = &frames[(uint32_t) at & self->out.mask];
            shared64_store(&line->words[0], UINT64_C(0x0103) << 32 | (uint32_t) (tag + id % 3 + 1));
        }
        struct line *next = &frames[(uint32_t) self->out.tail & self->out.mask];
        shared64_store(&next->words[0], UINT64_C(0xff) << 32 | (uint32_t) (tag - 1 - id % 2));
        ring_speaker_doorbell(self);
        usleep(10);
        memcpy(frames, kept, sizeof kept);
    }
    leave(self);
    scene_end();
}
END_TEST

/* Datagrams without marks are handled when the ring is empty; marks of datagrams that were handled already are
 * passed over. */
START_TEST(test_datagrams_and_old_marks) {
    scene_set();
    struct ring_speaker *self = speaker_open();
    for (uint64_t id = 1; id < 50; id++) {
        draft_inline(&draft, id, SERVICE_ECHO, 64);
        ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
        char bytes[64];
        ck_assert_uint_eq(ring_expect(self, WIRE_REPLY, bytes, sizeof bytes).head.id, id);
        if (id % 3 == 0)
            ring_say_mark(self, id);
        assert_answers(self, 1000 + id);
    }
    leave(self);
    scene_end();
}
END_TEST

START_TEST(test_cancels_of_nothing) {
    scene_set();
    struct ring_speaker *self = speaker_open();
    for (uint64_t id = 0; id < 5000; id++) {
        await_room(self, 1);
        ring_say(self, WIRE_CANCEL, id * 7, NULL, NULL);
    }
    assert_answers(self, 5);
    leave(self);
    scene_end();
}
END_TEST

/* --- doorbells --- */

START_TEST(test_flood_of_doorbells) {
    scene_set();
    struct ring_speaker *self = speaker_open();
    draft_doorbell(&draft);
    for (uint64_t i = scaled(50000); i > 0; i--)
        ck_assert(raw_send(self->speaker->fd, draft.data, draft.size, NULL, 0) == 0 || i == 0);
    ck_assert(bystander_sees(scene.bystander, 8, PATIENCE_MS));
    assert_answers(self, 1);
    leave(self);
    scene_end();
}
END_TEST

/* A thread that sends the draft until it is stopped, or until the connection is ended. */
static struct flooder {
    int fd;
    pthread_t thread;
    _Atomic bool must_stop;
} flooder;

static void *flood(void *arg) {
    struct flooder *self = arg;
    while (!self->must_stop && raw_send(self->fd, draft.data, draft.size, NULL, 0) == 0)
        continue;
    return NULL;
}

static void flood_begin(struct ring_speaker *self) {
    flooder = (struct flooder){.fd = self->speaker->fd};
    ck_assert_int_eq(pthread_create(&flooder.thread, NULL, flood, &flooder), 0);
}

static void flood_end(void) {
    flooder.must_stop = true;
    shutdown(flooder.fd, SHUT_RDWR); /* the thread may be waiting for room */
    pthread_join(flooder.thread, NULL);
}

/* The datagram of a mark never comes, while other datagrams come without end: the server does not wait for those. */
START_TEST(test_mark_in_a_flood) {
    scene_set();
    struct ring_speaker *self = speaker_open();
    if (_i == 0)
        draft_cancel(&draft, 77);
    else
        draft_doorbell(&draft);
    flood_begin(self);
    usleep(10000);
    ring_say_mark(self, _i == 0 ? UINT64_MAX : 1);
    bool is_served = bystander_sees(scene.bystander, 64, PATIENCE_MS);
    flood_end();
    ck_assert_msg(is_served, "the honest client waits");
    leave(self);
    scene_end();
}
END_TEST

/* The attacker has sent a GOODBYE, or closed its socket, and goes on writing frames: its connection ends all the
 * same. */
START_TEST(test_frames_after_the_end) {
    scene_set();
    struct ring_speaker *self = speaker_open();
    struct ending ending;
    bool is_ended = false;
    ring_say_inline(self, 1, SERVICE_ECHO, 8);
    draft_goodbye(&draft, 0, "");
    if (_i == 0)
        ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
    else
        shutdown(self->speaker->fd, SHUT_RDWR);
    for (uint64_t i = scaled(2000000); i > 0 && !is_ended; i--) {
        if (ring_has_room(&self->out, 1) == 1)
            ring_say(self, WIRE_CANCEL, i, NULL, NULL);
        if (i % 1024 == 0)
            is_ended = service_next_ending(scene.service, 0, &ending);
    }
    ck_assert_msg(is_ended || service_next_ending(scene.service, PATIENCE_MS, &ending), "its connection never ends");
    ck_assert_int_eq(ending.reason, _i == 0 ? 0 : -EPIPE);
    ring_speaker_free(self);
    scene_end();
}
END_TEST

/* Announces another episode of sleep after each look, and never reads a doorbell: the socket fills, and nothing else
 * happens. */
static struct flipper {
    struct ring_speaker *speaker;
    pthread_t thread;
    _Atomic bool must_stop;
} flipper;

static void *flip_sleep(void *arg) {
    struct flipper *self = arg;
    for (uint32_t word = 1; !self->must_stop; word += 2)
        shared32_store(outbox_asleep(&self->speaker->own), word | (word >> 3 & 6));
    return NULL;
}

START_TEST(test_sleep_without_sense) {
    scene_set();
    flipper = (struct flipper){.speaker = speaker_open()};
    ck_assert_int_eq(pthread_create(&flipper.thread, NULL, flip_sleep, &flipper), 0);
    for (uint64_t id = 1; id <= scaled(3000) + 300; id++)
        assert_answers(flipper.speaker, id);
    flipper.must_stop = true;
    pthread_join(flipper.thread, NULL);
    ck_assert(bystander_sees(scene.bystander, 8, PATIENCE_MS));
    assert_answers(flipper.speaker, 1);
    leave(flipper.speaker);
    scene_end();
}
END_TEST

/* --- any word anywhere --- */

/* Pages right before and behind the server's view of an outbox, so that an access beyond it is caught. */
struct guards {
    void *pages[2];
};

static struct guards guards_set(const struct ring_speaker *self) {
    struct guards guards = {{NULL, NULL}};
    struct stat stat;
    char line[512];
    ck_assert_int_eq(fstat(self->own.fd, &stat), 0);
    FILE *maps = fopen("/proc/self/maps", "re");
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof line, maps)) {
        uintptr_t from, to;
        unsigned long inode;
        if (sscanf(line, "%lx-%lx r--%*c %*x %*s %lu", &from, &to, &inode) != 3 || inode != stat.st_ino)
            continue;
        const uintptr_t at[2] = {from - 4096, to};
        for (int i = 0; i < 2; i++) {
            void *page =
                mmap((void *) at[i], 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
            guards.pages[i] = page == MAP_FAILED ? NULL : page; /* that address is in use already */
        }
    }
    fclose(maps);
    return guards;
}

static void guards_free(struct guards *guards) {
    for (int i = 0; i < 2; i++)
        if (guards->pages[i])
            munmap(guards->pages[i], 4096);
}

static const uint32_t interesting[] = {
    0, 1, 2, 3, 7, 64, 0xff, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe, 0x00010000, 0x424c4553, 0x01030001};
#define INTERESTING ((int) (sizeof interesting / sizeof *interesting))

/* Each word of the first lines takes each interesting value while the connection lives: a value that is no lie is
 * passed over. */
START_TEST(test_any_word_of_the_page) {
    scene_set();
    struct ring_speaker *self = speaker_open();
    struct guards guards = guards_set(self);
    uint64_t id = 1;
    for (size_t offset = 0; offset < 256; offset += 4) {
        uint32_t right = shared32_load(ring_speaker_word(self, offset));
        bool is_cursor = ring_speaker_word(self, offset) == outbox_consumed(&self->own);
        for (int i = 0; i < INTERESTING && !is_cursor; i++) {
            shared32_store(ring_speaker_word(self, offset), interesting[i]);
            assert_answers(self, id++);
        }
        if (!is_cursor)
            shared32_store(ring_speaker_word(self, offset), right);
    }
    guards_free(&guards);
    leave(self);
    scene_end();
}
END_TEST

/* A frame with each half of each word set to each interesting value: a lie, or another frame. */
START_TEST(test_any_word_of_a_frame) {
    static const uint8_t types[] = {WIRE_CALL, WIRE_ONEWAY, WIRE_REPLY, WIRE_CANCEL, WIRE_MARK};
    scene_set();
    for (int half = 1; half < 2 * LINE_WORDS; half++) /* not the tag, which makes the line a frame */
        for (int i = 0; i < INTERESTING; i += is_under_valgrind() ? 5 : 1) {
            struct ring_speaker *self = speaker_open();
            struct guards guards = guards_set(self);
            uint64_t words[LINE_WORDS];
            const struct wire_message message = {
                .method = SERVICE_ECHO, .payload_size = 24, .payload_class = WIRE_CLASS_INLINE};
            line_encode(words, (enum wire_type) types[(half + i) % 5], 0, &message);
            uint64_t mask = half % 2 ? UINT64_C(0xffffffff) << 32 : UINT64_C(0xffffffff);
            words[half / 2] = (words[half / 2] & ~mask) | (mask & (uint64_t) interesting[i] * UINT64_C(0x100000001));
            ring_say_words(self, words);
            ring_speaker_doorbell(self);
            leave(self);
            guards_free(&guards);
        }
    scene_end();
}
END_TEST

/* Another thread changes words everywhere, all the time: frames change while they are read. */
static void *flip_all(void *arg) {
    struct flipper *self = arg;
    uint64_t state = 42;
    while (!self->must_stop) {
        size_t offset = random_below(&state, (uint32_t) self->speaker->own.size / 4) * (size_t) 4;
        if (random_below(&state, 2)) /* more often where it matters */
            offset = 4096 + random_below(&state, LINES) * (size_t) LINE_SIZE + random_below(&state, 8) * (size_t) 4;
        uint32_t lap = random_below(&state, 4);
        shared32_store(ring_speaker_word(self->speaker, offset),
                       random_below(&state, 3) ? lap : interesting[random_below(&state, INTERESTING)]);
    }
    return NULL;
}

START_TEST(test_words_that_change) {
    scene_set();
    for (uint64_t round = scaled(300) + 5; round > 0; round--) {
        flipper = (struct flipper){.speaker = speaker_open_with(LINES)};
        struct guards guards = guards_set(flipper.speaker);
        ck_assert_int_eq(pthread_create(&flipper.thread, NULL, flip_all, &flipper), 0);
        for (int i = 0; i < 20; i++) {
            ring_speaker_doorbell(flipper.speaker);
            usleep(50);
        }
        flipper.must_stop = true;
        pthread_join(flipper.thread, NULL);
        leave(flipper.speaker);
        guards_free(&guards);
    }
    scene_end();
}
END_TEST

int main(void) {
    struct suite *suite = suite_new("hostile_outbox");
    suite_guard(suite, 300);
    suite_settle(suite, 5000); /* a lingering close takes two seconds */
    suite_add_loop(suite, test_attack, 0, ring_attacks_count);
    suite_add(suite, test_siege);
    suite_add_loop(suite, test_attack_on_client, 0, ring_attacks_count);
    suite_add_loop(suite, test_lease_attack, 0, lease_attacks_count);
    suite_add_loop(suite, test_attack_on_the_short_way, 0, ring_attacks_count);
    suite_add_loop(suite, test_lease_attack_on_the_short_way, 0, lease_attacks_count);
    suite_add_loop(suite, test_two_names_on_the_short_way, 0, 2);
    suite_add(suite, test_the_second_name_again_on_the_short_way);
    suite_add(suite, test_a_retired_arena_on_the_short_way);
    suite_add(suite, test_a_cancel_wakes_and_frees);
    suite_add_loop(suite, test_inline_limit_on_the_short_way, 0, 2);
    suite_add_loop(suite, test_answer_attack, 0, 2 * answer_attacks_count);
    suite_add_loop(suite, test_answers_after_the_end, 0, 2);
    suite_add_loop(suite, test_datagram, 0, attacks_count);
    suite_add_loop(suite, test_hello, 0, attacks_count);
    suite_add_loop(suite, test_shape, 0, (int) (sizeof shapes / sizeof *shapes));
    suite_add(suite, test_anothers_outbox);
    suite_add_loop(suite, test_absurd_cursor, 0, CURSORS);
    suite_add(suite, test_cursor_backwards);
    suite_add(suite, test_calls_beyond_limit);
    suite_add(suite, test_same_release_twice);
    suite_add(suite, test_release_of_anothers);
    suite_add(suite, test_release_both_ways);
    suite_add(suite, test_never_reads);
    suite_add(suite, test_torn_frame);
    suite_add(suite, test_replayed_lines);
    suite_add(suite, test_datagrams_and_old_marks);
    suite_add(suite, test_cancels_of_nothing);
    suite_add(suite, test_flood_of_doorbells);
    suite_add_loop(suite, test_mark_in_a_flood, 0, 2);
    suite_add_loop(suite, test_frames_after_the_end, 0, 2);
    suite_add(suite, test_sleep_without_sense);
    suite_add(suite, test_any_word_of_the_page);
    suite_add(suite, test_any_word_of_a_frame);
    suite_add(suite, test_words_that_change);
    return suite_run(suite);
}
