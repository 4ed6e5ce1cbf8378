/* SPDX-License-Identifier: MIT */
/*
 * Hostile clients against a real server: every attack of attacks.c, and the attacks that need more than one datagram.
 *
 * For each attack the tests check: it is refused with a text that names the violation, which both the attacker and the
 * application get; an honest client that calls all the time is served, and none of its calls takes longer than the
 * guard; and the server holds no resource afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/socket.h>

#include "hostile/attacks.h"
#include "hostile/scene.h"
#include "support/raw.h"
#include "support/suite.h"
#include "sys/reaper.h"

#define SIZE ((size_t) 8192)
#define PATIENCE_MS SCENE_PATIENCE_MS

static struct attempt attempt;

static struct speaker *speaker_open(void) {
    return speaker_new(scene_connect());
}

static struct speaker *speaker_open_greeted(void) {
    struct speaker *speaker = speaker_open();
    speaker_greet(speaker, NULL);
    return speaker;
}

static void attack_with(const struct attack *attack, struct attempt *composed) {
    struct speaker *speaker = attack->before_hello ? speaker_open() : speaker_open_greeted();
    ck_assert_int_eq(speaker_send(speaker, &composed->draft), 0);
    attempt_let_go(composed);
    scene_assert_told(speaker, attack->name, attack->reason, attack->word);
    ck_assert_msg(bystander_sees(scene.bystander, 8, PATIENCE_MS), "%s: the honest client waits", attack->name);
}

START_TEST(test_attack) {
    const struct attack *attack = &attacks[_i];
    if (!attempt_compose(&attempt, attack, 1, SERVICE_ECHO))
        test_skip("%s: %s", attack->name, attempt.why_not);
    scene_set();
    attack_with(attack, &attempt);
    trap_disarm(&attempt.trap);
    scene_end();
    attempt_deinit(&attempt);
}
END_TEST

/* All attacks, one after the other, on one server. */
START_TEST(test_siege) {
    scene_set();
    for (int i = 0; i < attacks_count; i++) {
        if (attempt_compose(&attempt, &attacks[i], 1, SERVICE_ECHO))
            attack_with(&attacks[i], &attempt);
        attempt_deinit(&attempt);
    }
    scene_end();
}
END_TEST

/* Many attackers at a time, each with another attack; none waits for its answer. */
START_TEST(test_siege_at_once) {
    scene_set();
    int *fds = calloc((size_t) attacks_count, sizeof *fds);
    static struct draft hello;
    const struct wire_hello sound = hello_sound();
    draft_hello(&hello, &sound);
    for (int i = 0; i < attacks_count; i++) {
        fds[i] = scene_connect();
        if (!attacks[i].before_hello)
            raw_send(fds[i], hello.data, hello.size, NULL, 0);
        if (attempt_compose(&attempt, &attacks[i], 1, SERVICE_ECHO))
            raw_send(fds[i], attempt.draft.data, attempt.draft.size, attempt.draft.fds, attempt.draft.fds_count);
        attempt_deinit(&attempt);
    }
    ck_assert(bystander_sees(scene.bystander, 16, PATIENCE_MS));
    for (int i = 0; i < attacks_count; i++)
        close(fds[i]);
    free(fds);
    scene_end();
}
END_TEST

/* Limits: messages that are too much only because of the messages before them. */

static void send_call(struct speaker *speaker, uint64_t id, uint32_t method) {
    draft_inline(&attempt.draft, id, method, 64);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
}

static void send_sealed(struct speaker *speaker, uint64_t id, uint32_t method, uint64_t handle, size_t size) {
    int fd = trap_memfd(size, TRAP_ALL_SEALS);
    draft_sealed(&attempt.draft, id, method, handle, size, fd);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    close(fd);
}

START_TEST(test_calls_beyond_limit) {
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    for (unsigned i = 0; i <= ATTACKED_CALLS_MAX; i++)
        send_call(speaker, 1 + i, SERVICE_KEEP);
    scene_assert_told(speaker, "calls beyond the limit", -EPROTO, "calls");
    service_drop(scene.service);
    scene_end();
}
END_TEST

START_TEST(test_blocks_beyond_limit) {
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    for (unsigned i = 0; i <= ATTACKED_BLOCKS_MAX; i++)
        send_sealed(speaker, 0, SERVICE_KEEP, 100 + i, SIZE);
    scene_assert_told(speaker, "blocks beyond the limit", -EPROTO, "blocks");
    service_drop(scene.service);
    scene_end();
}
END_TEST

START_TEST(test_bytes_beyond_limit) {
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    for (unsigned i = 0; i < ATTACKED_BYTES_MAX / ATTACKED_BLOCK_MAX + 1; i++)
        send_sealed(speaker, 0, SERVICE_KEEP, 100 + i, ATTACKED_BLOCK_MAX);
    scene_assert_told(speaker, "bytes beyond the limit", -EPROTO, "bytes");
    service_drop(scene.service);
    scene_end();
}
END_TEST

START_TEST(test_same_handle_twice) {
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    send_sealed(speaker, 0, SERVICE_KEEP, 42, SIZE);
    send_sealed(speaker, 0, SERVICE_KEEP, 42, SIZE);
    scene_assert_told(speaker, "the same handle twice", -EPROTO, "handle");
    service_drop(scene.service);
    scene_end();
}
END_TEST

/* A block of the server that is released twice. */
START_TEST(test_same_release_twice) {
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    send_sealed(speaker, 1, SERVICE_ANSWER, 42, SIZE);
    const struct wire_frame *reply = speaker_expect(speaker, WIRE_REPLY);
    ck_assert_uint_eq(reply->message.payload_class, WIRE_CLASS_SEALED);
    ck_assert_uint_eq(speaker->in.fds_count, 1);
    const uint64_t twice[2] = {reply->message.handle, reply->message.handle};
    draft_release(&attempt.draft, twice, 2);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    scene_assert_told(speaker, "the same release twice", -EPROTO, "released");
    scene_end();
}
END_TEST

/* A client must not release another client's lease. */
START_TEST(test_release_of_anothers) {
    scene_set();
    struct speaker *victim = speaker_open_greeted(), *thief = speaker_open_greeted();
    send_sealed(victim, 1, SERVICE_ANSWER, 42, SIZE);
    uint64_t handle = speaker_expect(victim, WIRE_REPLY)->message.handle;
    draft_release(&attempt.draft, &handle, 1);
    ck_assert_int_eq(speaker_send(thief, &attempt.draft), 0);
    scene_assert_told(thief, "release of another's lease", -EPROTO, "released");
    ck_assert_int_eq(speaker_send(victim, &attempt.draft), 0);
    send_call(victim, 2, SERVICE_ECHO);
    speaker_expect(victim, WIRE_REPLY);
    speaker_free(victim);
    scene_end();
}
END_TEST

/* After odd content that cannot hurt us the connection must go on: checks that it answers a call. */

static void assert_answers(struct speaker *speaker, uint64_t id) {
    send_call(speaker, id, SERVICE_ECHO);
    const struct wire_frame *reply = speaker_expect(speaker, WIRE_REPLY);
    ck_assert_uint_eq(reply->head.id, id);
    ck_assert_int_eq(reply->message.status, 0);
}

/* The CANCEL may have crossed the reply. */
START_TEST(test_cancel_of_nothing) {
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    for (uint64_t id = 1; id < 50; id++) {
        draft_cancel(&attempt.draft, id);
        ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    }
    assert_answers(speaker, 7);
    speaker_free(speaker);
    scene_end();
}
END_TEST

/* Ids belong to the caller: a caller that uses one twice gets two answers with it. */
START_TEST(test_same_call_twice) {
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    send_call(speaker, 5, SERVICE_KEEP);
    send_call(speaker, 5, SERVICE_KEEP);
    assert_answers(speaker, 6); /* both have arrived */
    service_drop(scene.service);
    for (int i = 0; i < 2; i++) {
        const struct wire_frame *reply = speaker_expect(speaker, WIRE_REPLY);
        ck_assert_uint_eq(reply->head.id, 5);
        ck_assert_int_eq(reply->message.status, -ECANCELED);
    }
    assert_answers(speaker, 5);
    speaker_free(speaker);
    scene_end();
}
END_TEST

START_TEST(test_unknown_method) {
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    send_call(speaker, 3, 0x7777);
    ck_assert_int_eq(speaker_expect(speaker, WIRE_REPLY)->message.status, -ENOSYS);
    send_sealed(speaker, 0, 0x7777, 9, SIZE);
    assert_answers(speaker, 4);
    speaker_free(speaker);
    scene_end();
}
END_TEST

/* Blocks are charged in full, whatever st_blocks says; at worst the missing pages read as zeros. */
START_TEST(test_hole_in_disguise) {
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    int fd = trap_disguised_hole(4 * SIZE);
    draft_sealed(&attempt.draft, 1, SERVICE_ANSWER, 3, 4 * SIZE, fd);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    close(fd);
    struct farewell farewell;
    struct ending ending;
    shutdown(speaker->fd, SHUT_WR);
    farewell = speaker_farewell(speaker);
    ck_assert(!farewell.is_spoken || farewell.reason == 0 || text_names(farewell.text, "holes"));
    ck_assert(service_next_ending(scene.service, PATIENCE_MS, &ending));
    speaker_free(speaker);
    scene_end();
}
END_TEST

/* Silent clients, and clients that leave without a GOODBYE. */

START_TEST(test_silence) {
    scene_set();
    scene_assert_told(speaker_open(), "silence", -ETIMEDOUT, "time");
    scene_end();
}
END_TEST

START_TEST(test_many_silent) {
    enum { MANY = 64 };
    scene_set();
    int fds[MANY];
    for (int i = 0; i < MANY; i++)
        fds[i] = scene_connect();
    struct ending ending;
    for (int i = 0; i < MANY; i++) {
        ck_assert_msg(service_next_ending(scene.service, PATIENCE_MS, &ending), "%d of %d were dropped", i, MANY);
        ck_assert_int_eq(ending.reason, -ETIMEDOUT);
    }
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    scene_end();
}
END_TEST

static void assert_gone(struct speaker *speaker, const char *what) {
    struct ending ending;
    speaker_free(speaker);
    ck_assert_msg(service_next_ending(scene.service, PATIENCE_MS, &ending), "%s: no on_close", what);
    ck_assert_msg(ending.reason == -EPIPE, "%s: on_close %d (%s)", what, ending.reason, ending.text);
}

START_TEST(test_hang_up_before_hello) {
    scene_set();
    assert_gone(speaker_open(), "hang-up before HELLO");
    scene_end();
}
END_TEST

START_TEST(test_hang_up_with_all_it_holds) {
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    send_sealed(speaker, 1, SERVICE_ANSWER, 1, SIZE);
    speaker_expect(speaker, WIRE_REPLY);
    send_sealed(speaker, 2, SERVICE_KEEP, 2, SIZE);
    send_call(speaker, 3, SERVICE_KEEP);
    send_call(speaker, 4, SERVICE_ECHO);
    assert_gone(speaker, "hang-up in mid-call");
    service_drop(scene.service);
    scene_end();
}
END_TEST

START_TEST(test_goodbye_first) {
    scene_set();
    struct speaker *speaker = speaker_open();
    struct ending ending;
    draft_goodbye(&attempt.draft, 0, "");
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    speaker_farewell(speaker);
    ck_assert(service_next_ending(scene.service, PATIENCE_MS, &ending));
    ck_assert(!service_next_ending(scene.service, 0, &ending));
    speaker_free(speaker);
    scene_end();
}
END_TEST

/* The datagram looks like the end; its descriptors must not leak. */
START_TEST(test_datagram_without_bytes) {
    scene_set();
    struct speaker *speaker = _i < 2 ? speaker_open_greeted() : speaker_open();
    struct ending ending;
    int fd = trap_memfd(SIZE, TRAP_ALL_SEALS);
    int fds[RAW_FDS_MAX];
    for (size_t i = 0; i < RAW_FDS_MAX; i++)
        fds[i] = fd;
    ck_assert_int_eq(raw_send(speaker->fd, "", 0, fds, _i % 2 ? RAW_FDS_MAX : 0), 0);
    close(fd);
    speaker_farewell(speaker);
    ck_assert(service_next_ending(scene.service, PATIENCE_MS, &ending));
    ck_assert_msg(ending.reason == -EPIPE || ending.reason == -EPROTO, "%d (%s)", ending.reason, ending.text);
    speaker_free(speaker);
    scene_end();
}
END_TEST

/* The client can receive no further frame: the server does not keep it. */
START_TEST(test_stops_reading) {
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    struct ending ending;
    ck_assert_int_eq(shutdown(speaker->fd, SHUT_RD), 0);
    send_call(speaker, 1, SERVICE_ECHO);
    ck_assert_msg(service_next_ending(scene.service, PATIENCE_MS, &ending), "it is kept, and gets no answer");
    ck_assert_msg(ending.reason == -EPIPE, "%d (%s)", ending.reason, ending.text);
    speaker_free(speaker);
    scene_end();
}
END_TEST

/* No further frame will come from the client. */
START_TEST(test_stops_writing) {
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    struct ending ending;
    send_call(speaker, 1, SERVICE_KEEP);
    ck_assert_int_eq(shutdown(speaker->fd, SHUT_WR), 0);
    ck_assert(service_next_ending(scene.service, PATIENCE_MS, &ending));
    ck_assert_msg(ending.reason == -EPIPE, "%d (%s)", ending.reason, ending.text);
    speaker_free(speaker);
    service_drop(scene.service);
    scene_end();
}
END_TEST

/* Floods. */

/* Sends the draft until the connection is ended, at most `times` times. Returns how often it was sent. */
static int flood(struct speaker *speaker, int times) {
    int sent = 0;
    while (sent < times && raw_send(speaker->fd, attempt.draft.data, attempt.draft.size, NULL, 0) == 0)
        sent++;
    return sent;
}

START_TEST(test_flood_of_releases) {
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    draft_release(&attempt.draft, &(uint64_t){1234567}, 1);
    flood(speaker, 100000);
    scene_assert_told(speaker, "flood of RELEASE", -EPROTO, "released");
    scene_end();
}
END_TEST

/* The flood lasts longer than the guard, so there is always another frame to receive. */
START_TEST(test_flood_of_cancels) {
    enum { MANY = 1000, SECONDS = 2 };
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    draft_cancel(&attempt.draft, 1);
    for (time_t until = time(NULL) + SECONDS; time(NULL) <= until;)
        ck_assert_int_eq(flood(speaker, MANY), MANY);
    ck_assert(bystander_sees(scene.bystander, 8, PATIENCE_MS));
    assert_answers(speaker, 1);
    speaker_free(speaker);
    scene_end();
}
END_TEST

START_TEST(test_flood_of_one_ways) {
    enum { MANY = 20000 };
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    draft_inline(&attempt.draft, 0, SERVICE_SINK, ATTACKED_INLINE_MAX);
    ck_assert_int_eq(flood(speaker, MANY), MANY);
    ck_assert(bystander_sees(scene.bystander, 8, PATIENCE_MS));
    speaker_free(speaker);
    scene_end();
}
END_TEST

START_TEST(test_flood_of_connections) {
    enum { MANY = 2000 };
    scene_set();
    for (int i = 0; i < MANY; i++)
        close(scene_connect());
    ck_assert(bystander_sees(scene.bystander, 8, PATIENCE_MS));
    scene_end();
}
END_TEST

/*
 * The client calls, and never reads an answer: it is charged for the waiting answers, and a call counts until its
 * answer is written. So its connection ends at the limit that comes first; and no other client notices.
 */
START_TEST(test_never_reads) {
    enum { MANY = 20000 };
    const sea_ctx_options small = {.peer_bytes = 8 << 20};
    scene_set_with(&small);
    struct speaker *speaker = speaker_open_greeted();
    struct ending ending;
    int r = 0;
    for (int i = 0; i < MANY && r == 0; i++) {
        draft_inline(&attempt.draft, 1 + (uint64_t) i, SERVICE_ECHO, ATTACKED_INLINE_MAX);
        r = raw_send(speaker->fd, attempt.draft.data, attempt.draft.size, NULL, 0);
    }
    ck_assert_msg(r == -EPIPE || r == -ECONNRESET, "it was not ended: %d", r);
    ck_assert(service_next_ending(scene.service, PATIENCE_MS, &ending));
    bool is_over_quota = ending.reason == -EDQUOT && text_names(ending.text, "read");
    bool is_over_calls = ending.reason == -EPROTO && text_names(ending.text, "more calls were in flight");
    ck_assert_msg(is_over_quota || is_over_calls, "%d (%s)", ending.reason, ending.text);
    speaker_free(speaker);
    scene_end();
}
END_TEST

/* Descriptors. */

/* Our end of the connection, sent over itself: the kernel must collect it (tests/contract/test_receive.c). */
START_TEST(test_socket_over_itself) {
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    draft_sealed(&attempt.draft, 1, SERVICE_ECHO, 1, SIZE, speaker->fd);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    scene_assert_told(speaker, "the socket itself", -EPROTO, "not a memfd");
    scene_end();
}
END_TEST

/*
 * When the server closes the connection, the kernel closes descriptors that were not received yet, in the thread that
 * closes the socket: two seconds for each of these. All of them arrive before the server's turn.
 */
START_TEST(test_traps_behind_a_fault) {
    enum { TRAPS = 4 };
    struct trap traps[TRAPS];
    scene_set();
    struct speaker *speaker = speaker_open_greeted(), *other = speaker_open_greeted();
    for (int i = 0; i < TRAPS; i++)
        trap_lingering(&traps[i]);
    send_call(other, 1, SERVICE_NAP);
    nanosleep(&(struct timespec){.tv_nsec = SERVICE_NAP_MS * 1000000L / 4}, NULL);
    draft_release(&attempt.draft, &(uint64_t){1}, 1);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    for (int i = 0; i < TRAPS; i++) {
        draft_sealed(&attempt.draft, 1, SERVICE_ECHO, 1, SIZE, traps[i].fd);
        ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
        close(traps[i].fd); /* not the last reference: this returns at once */
        traps[i].fd = -1;
    }
    speaker_expect(other, WIRE_REPLY);
    scene_assert_told(speaker, "a fault before traps", -EPROTO, "released");
    speaker_free(other);
    scene_end();
    for (int i = 0; i < TRAPS; i++)
        trap_free(&traps[i]);
}
END_TEST

/* Many descriptors whose close() hangs: all closing threads are stuck, but the loop must not be. Every connection
 * sends `fds` of them with one frame; with `at_once` all connect before the first one sends. Afterwards, new clients
 * are served again. */
static void attack_with_hung(int connections, size_t fds, bool at_once) {
    struct trap trap;
    char why[128];
    if (!trap_hung(&trap, why, sizeof why))
        test_skip("%s", why);
    scene_set();
    int *sockets = calloc((size_t) connections, sizeof *sockets);
    for (int i = 0; at_once && i < connections; i++)
        sockets[i] = scene_connect();
    bool goes_on = true;
    int done = 0;
    for (; done < connections && goes_on; done++) {
        if (!at_once)
            sockets[done] = scene_connect();
        draft_sealed(&attempt.draft, 1, SERVICE_ECHO, 1, SIZE, trap.fd);
        while (attempt.draft.fds_count < fds)
            draft_add_fd(&attempt.draft, trap.fd);
        /* otherwise the server refused it */
        raw_send(sockets[done], attempt.draft.data, attempt.draft.size, attempt.draft.fds, fds);
        goes_on = bystander_sees(scene.bystander, 8, PATIENCE_MS);
    }
    for (int i = 0; i < (at_once ? connections : done); i++)
        close(sockets[i]);
    free(sockets);
    trap_disarm(&trap); /* otherwise no thread of this process could ever end */
    ck_assert_msg(goes_on, "connection %d, %zu descriptors each: the honest client waits", done, fds);
    for (int waited = 0; reaper_pending() > 0 && waited < PATIENCE_MS; waited++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    struct speaker *speaker = speaker_open_greeted();
    assert_answers(speaker, 1);
    speaker_free(speaker);
    scene_end();
    trap_free(&trap);
}

START_TEST(test_many_hung) {
    attack_with_hung(16, 1, false);
}
END_TEST

START_TEST(test_very_many_hung) {
    attack_with_hung(32, RAW_FDS_MAX, false);
}
END_TEST

START_TEST(test_very_many_hung_at_once) {
    attack_with_hung(32, RAW_FDS_MAX, true);
}
END_TEST

/* Returns the lowest free number, once the service has stopped closing its clients' descriptors. */
static int lowest_free(int fd) {
    int lowest = INT_MAX;
    for (int calm = 0; calm < 100; calm++) {
        int next = dup(fd);
        close(next);
        if (next < lowest)
            calm = 0;
        lowest = next < lowest ? next : lowest;
        usleep(1000);
    }
    return lowest;
}

/* Our table has no room: this is our limit, and no reason to end the connection; the block is refused, and the next
 * one accepted. */
START_TEST(test_no_room_for_descriptors) {
    scene_set();
    struct speaker *speaker = speaker_open_greeted();
    int block = trap_memfd(SIZE, TRAP_ALL_SEALS);
    ck_assert_msg(bystander_stop(scene.bystander).failures == 0, "the honest client failed");
    struct rlimit before, none;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int first_free = lowest_free(block);
    none = before;
    none.rlim_cur = (rlim_t) first_free;
    draft_sealed(&attempt.draft, 1, SERVICE_ECHO, 1, SIZE, block);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    const struct wire_frame *reply = speaker_expect(speaker, WIRE_REPLY);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_int_eq(reply->message.status, -EMFILE);
    assert_answers(speaker, 2);
    send_sealed(speaker, 3, SERVICE_ECHO, 1, SIZE);
    const struct wire_frame *next = speaker_expect(speaker, WIRE_REPLY);
    ck_assert_int_eq(next->message.status, 0);
    ck_assert_uint_eq(next->message.payload_size, SIZE);
    close(block);
    speaker_free(speaker);
    scene.bystander = bystander_start(scene.address);
    scene_end();
}
END_TEST

static void on_own_loop(void) {
    service_use_uv(false);
}

static void on_libuv(void) {
    service_use_uv(true);
}

static void add_all(struct suite *suite) {
    suite_add_loop(suite, test_attack, 0, attacks_count);
    suite_add(suite, test_siege);
    suite_add(suite, test_siege_at_once);
    suite_add(suite, test_calls_beyond_limit);
    suite_add(suite, test_same_call_twice);
    suite_add(suite, test_blocks_beyond_limit);
    suite_add(suite, test_bytes_beyond_limit);
    suite_add(suite, test_same_handle_twice);
    suite_add(suite, test_same_release_twice);
    suite_add(suite, test_release_of_anothers);
    suite_add(suite, test_cancel_of_nothing);
    suite_add(suite, test_unknown_method);
    suite_add(suite, test_hole_in_disguise);
    suite_add(suite, test_silence);
    suite_add(suite, test_many_silent);
    suite_add(suite, test_hang_up_before_hello);
    suite_add(suite, test_hang_up_with_all_it_holds);
    suite_add(suite, test_goodbye_first);
    suite_add_loop(suite, test_datagram_without_bytes, 0, 4);
    suite_add(suite, test_stops_reading);
    suite_add(suite, test_stops_writing);
    suite_add(suite, test_flood_of_releases);
    suite_add(suite, test_flood_of_cancels);
    suite_add(suite, test_flood_of_one_ways);
    suite_add(suite, test_flood_of_connections);
    suite_add(suite, test_never_reads);
    suite_add(suite, test_socket_over_itself);
    suite_add(suite, test_many_hung);
    suite_add(suite, test_very_many_hung);
    suite_add(suite, test_very_many_hung_at_once);
    suite_add(suite, test_traps_behind_a_fault);
    suite_add(suite, test_no_room_for_descriptors);
}

int main(void) {
    struct suite *suite = suite_new("hostile_server");
    suite_guard(suite, 300);
    suite_settle(suite, 5000); /* a lingering close takes two seconds */
    suite_fixture(suite, on_own_loop, NULL);
    add_all(suite);
    service_prepare_uv();
    suite_fixture(suite, on_libuv, NULL);
    add_all(suite);
    return suite_run(suite);
}
