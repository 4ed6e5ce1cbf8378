/* SPDX-License-Identifier: MIT */
/*
 * Hostile servers against a real client: every attack of attacks.c, as the answer to a call or to the greeting.
 *
 * The real client (the customer) is a thread with the blocking functions. It records their results, how often each
 * callback ran, and the texts; the test judges these when the thread has ended. A second connection of the context, to
 * an honest server, must work before and after. All run in one process, so the harness finds every resource that is
 * left.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sealane/sealane.h>
#include <sys/socket.h>

#include "hostile/attacks.h"
#include "support/raw.h"
#include "support/service.h"
#include "support/speaker.h"
#include "support/suite.h"

#define SIZE ((size_t) 8192)
#define PATIENCE_MS 5000
#define CALL_MS 1500 /* twice this is less than PATIENCE_MS */

struct customer {
    char address[80], honest_address[80];
    pthread_t thread;
    sea_options options;
    bool sends_sealed; /* the call carries a sealed block instead of a few inline bytes */
    _Atomic bool naps; /* between the first call and the end it does not drive the connection */
    int connected, called, waited, again, honest_before, honest_after;
    char text[256]; /* sea_conn_text() after the call; after a failed connect the context's text */
    int opened, closed;
    struct ending ending;
    struct figures before_free, after;
    uint64_t closed_blocks, free_ns;
    uint32_t closed_calls;
};

static struct customer customer;
static struct attempt attempt;

static uint64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t) at.tv_sec * 1000000000u + (uint64_t) at.tv_nsec;
}

static void on_open(sea_conn *conn, void *user) {
    (void) conn;
    ((struct customer *) user)->opened++;
}

static void on_close(sea_conn *conn, const sea_close_event *event, void *user) {
    struct customer *self = user;
    (void) conn;
    self->closed++;
    self->ending.reason = event->reason;
    self->closed_blocks = event->reclaimed_blocks;
    self->closed_calls = event->ended_calls;
    snprintf(self->ending.text, sizeof self->ending.text, "%s", event->text);
}

static int call_echo(sea_conn *conn, bool sealed) {
    sea_block *block = NULL;
    sea_msg *reply = NULL;
    int r = sealed ? sea_block_new_sealed(&block, sea_conn_ctx(conn), SIZE, 0) : sea_block_new(&block, conn, 64);
    if (r == 0)
        r = sea_call(conn, SERVICE_ECHO, block, test_timeout_ms(CALL_MS), &reply);
    sea_msg_release(reply);
    return r;
}

static int call_honest(struct customer *self, sea_ctx *ctx) {
    sea_conn *conn = NULL;
    const sea_options options = {.service = service_name};
    int r = sea_connect(&conn, ctx, self->honest_address, &options);
    if (r == 0)
        r = call_echo(conn, true);
    sea_conn_free(conn);
    return r;
}

static void visit(struct customer *self, sea_ctx *ctx) {
    sea_conn *conn = NULL;
    self->connected = sea_connect(&conn, ctx, self->address, &self->options);
    if (self->connected < 0) {
        sea_refusal refusal;
        sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
        snprintf(self->text, sizeof self->text, "%s", refusal.advice);
        return;
    }
    self->called = call_echo(conn, self->sends_sealed);
    snprintf(self->text, sizeof self->text, "%s", sea_conn_text(conn));
    if (self->naps) {
        nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    } else {
        self->waited = sea_conn_wait(conn, 1);
        self->again = call_echo(conn, self->sends_sealed);
    }
    sea_ctx_figures(ctx, self->before_free.of, SEA_FIGURES);
    uint64_t begun = now_ns();
    sea_conn_free(conn);
    self->free_ns = now_ns() - begun;
}

static void *customer_run(void *arg) {
    struct customer *self = arg;
    sea_ctx *ctx = NULL;
    if (sea_ctx_new(&ctx, NULL) < 0)
        return NULL;
    self->honest_before = call_honest(self, ctx);
    visit(self, ctx);
    self->honest_after = call_honest(self, ctx);
    sea_ctx_figures(ctx, self->after.of, SEA_FIGURES);
    sea_ctx_unref(ctx);
    return NULL;
}

/* The scene of every test: the honest server, the hostile server's listening socket, and the customer, which is
 * connecting. */
static struct {
    struct service *service;
    int listener;
} scene;

static void scene_set(bool sends_sealed) {
    customer = (struct customer){0};
    snprintf(customer.honest_address, sizeof customer.honest_address, "unix:%s", raw_name());
    snprintf(customer.address, sizeof customer.address, "unix:%s", raw_name());
    customer.honest_before = customer.honest_after = customer.connected = 1; /* not known yet */
    customer.sends_sealed = sends_sealed;
    customer.options = (sea_options){
        .user = &customer,
        .on_open = on_open,
        .on_close = on_close,
        .inline_max = ATTACKED_INLINE_MAX,
        .block_max = ATTACKED_BLOCK_MAX,
        .blocks_max = ATTACKED_BLOCKS_MAX,
        .bytes_max = ATTACKED_BYTES_MAX,
        .calls_max = ATTACKED_CALLS_MAX,
        .handshake_ms = test_timeout_ms(ATTACKED_HANDSHAKE_MS),
    };
    scene.service = service_start(customer.honest_address, NULL, NULL);
    scene.listener = raw_listen(customer.address + strlen("unix:"));
    ck_assert_int_eq(pthread_create(&customer.thread, NULL, customer_run, &customer), 0);
}

/* Accepts the customer's connection, before either side has sent a frame. */
static struct speaker *scene_accept(void) {
    struct speaker *speaker = speaker_new(raw_accept(scene.listener, PATIENCE_MS));
    speaker_expect(speaker, WIRE_HELLO);
    return speaker;
}

static struct speaker *scene_accept_greeted(void) {
    struct speaker *speaker = scene_accept();
    const struct wire_hello hello = hello_sound();
    draft_hello(&attempt.draft, &hello);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    return speaker;
}

static void scene_end(void) {
    pthread_join(customer.thread, NULL);
    close(scene.listener);
    ck_assert_int_eq(customer.honest_before, 0);
    ck_assert_int_eq(customer.honest_after, 0);
    ck_assert_uint_eq(customer.after.of[SEA_FIGURE_BLOCKS], 0);
    ck_assert_uint_eq(customer.after.of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ck_assert_uint_eq(customer.after.of[SEA_FIGURE_IMPORTED_BLOCKS], 0);
    ck_assert_uint_eq(customer.after.of[SEA_FIGURE_OUTGOING_CALLS], 0);
    ck_assert_uint_eq(customer.after.of[SEA_FIGURE_CONNECTIONS], 0);
    ck_assert_int_eq(service_stop(scene.service), 0);
}

/* Checks that the connection ended once, and that both sides got a text that contains `word`. */
static void assert_refused(struct speaker *speaker, const char *what, int reason, const char *word) {
    struct farewell farewell = speaker_farewell(speaker);
    speaker_free(speaker);
    scene_end();
    ck_assert_msg(farewell.is_spoken && farewell.reason == reason && text_names(farewell.text, word),
                  "%s: goodbye %d (%s), without \"%s\"", what, farewell.reason, farewell.text, word);
    ck_assert_msg(customer.closed == 1 && customer.ending.reason == reason && text_names(customer.ending.text, word),
                  "%s: on_close %d times, %d (%s), without \"%s\"", what, customer.closed, customer.ending.reason,
                  customer.ending.text, word);
    ck_assert_msg(text_names(customer.text, word), "%s: the caller reads \"%s\"", what, customer.text);
}

static void assert_call_refused(struct speaker *speaker, const char *what, const char *word) {
    assert_refused(speaker, what, -EPROTO, word);
    ck_assert_msg(customer.connected == 0 && customer.called == -EPROTO && customer.again == -EPROTO,
                  "%s: connect %d, call %d, the next %d", what, customer.connected, customer.called, customer.again);
    ck_assert_int_eq(customer.waited, -EPROTO);
    ck_assert_int_eq(customer.opened, 1);
    ck_assert_uint_eq(customer.before_free.of[SEA_FIGURE_FAULTS], 1);
}

static uint64_t hear_call(struct speaker *speaker) {
    uint64_t id = speaker_expect(speaker, WIRE_CALL)->head.id;
    raw_close_fds(&speaker->in);
    return id;
}

static void attack_call(const struct attack *attack) {
    scene_set(true);
    struct speaker *speaker = scene_accept_greeted();
    if (!attempt_compose(&attempt, attack, hear_call(speaker), 0))
        ck_abort_msg("%s: %s", attack->name, attempt.why_not);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    attempt_let_go(&attempt);
    assert_call_refused(speaker, attack->name, attack->word);
}

static void attack_greeting(const struct attack *attack) {
    scene_set(false);
    struct speaker *speaker = scene_accept();
    if (!attempt_compose(&attempt, attack, 1, SERVICE_ECHO))
        ck_abort_msg("%s: %s", attack->name, attempt.why_not);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    attempt_let_go(&attempt);
    assert_refused(speaker, attack->name, attack->reason, attack->word);
    ck_assert_msg(customer.connected == attack->reason, "%s: connect %d", attack->name, customer.connected);
    ck_assert_int_eq(customer.opened, 0);
}

/* Whether the attack is possible here is decided before the scene begins. */
START_TEST(test_attack) {
    const struct attack *attack = &attacks[_i];
    bool is_possible = attempt_compose(&attempt, attack, 1, 0);
    char why[sizeof attempt.why_not];
    memcpy(why, attempt.why_not, sizeof why);
    attempt_deinit(&attempt);
    if (!is_possible)
        test_skip("%s: %s", attack->name, why);
    if (attack->before_hello)
        attack_greeting(attack);
    else
        attack_call(attack);
    attempt_deinit(&attempt);
}
END_TEST

/* Answers correctly; the attack is wrong only because of the frames before it. */

static void answer_inline(struct speaker *speaker, uint64_t id) {
    draft_inline(&attempt.draft, id, 0, 64);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
}

START_TEST(test_same_reply_twice) {
    scene_set(true);
    struct speaker *speaker = scene_accept_greeted();
    uint64_t id = hear_call(speaker);
    answer_inline(speaker, id);
    answer_inline(speaker, id);
    struct farewell farewell = speaker_farewell(speaker);
    speaker_free(speaker);
    scene_end();
    ck_assert_msg(farewell.reason == -EPROTO && text_names(farewell.text, "reply"), "%d (%s)", farewell.reason,
                  farewell.text);
    ck_assert(customer.called == 0 || customer.called == -EPROTO);
    ck_assert_int_eq(customer.again, -EPROTO);
    ck_assert_int_eq(customer.closed, 1);
}
END_TEST

/* Calls to a client that serves no method: the client does not answer them, and must notice that there are too many. */
START_TEST(test_server_calls) {
    scene_set(false);
    struct speaker *speaker = scene_accept_greeted();
    uint64_t id = hear_call(speaker);
    draft_inline(&attempt.draft, 77, SERVICE_ECHO, 64);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    const struct wire_frame *reply = speaker_expect(speaker, WIRE_REPLY);
    ck_assert_uint_eq(reply->head.id, 77);
    ck_assert_int_eq(reply->message.status, -ENOSYS);
    answer_inline(speaker, id);
    answer_inline(speaker, hear_call(speaker));
    speaker_farewell(speaker);
    speaker_free(speaker);
    scene_end();
    ck_assert_int_eq(customer.called, 0);
    ck_assert_int_eq(customer.again, 0);
}
END_TEST

/* One-way messages with sealed blocks that no handler takes: they are accepted, and given back. */
START_TEST(test_server_sends_blocks) {
    scene_set(false);
    struct speaker *speaker = scene_accept_greeted();
    uint64_t id = hear_call(speaker);
    for (uint64_t handle = 1; handle <= 3 * ATTACKED_BLOCKS_MAX; handle++) {
        int fd = trap_memfd(SIZE, TRAP_ALL_SEALS);
        draft_sealed(&attempt.draft, 0, 0x99, handle, SIZE, fd);
        ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
        close(fd);
        const struct wire_frame *release = speaker_expect(speaker, WIRE_RELEASE);
        ck_assert_uint_eq(release->release.count, 1);
        ck_assert_uint_eq(release->release.handles[0], handle);
    }
    answer_inline(speaker, id);
    answer_inline(speaker, hear_call(speaker));
    speaker_farewell(speaker);
    speaker_free(speaker);
    scene_end();
    ck_assert_int_eq(customer.called, 0);
    ck_assert_int_eq(customer.again, 0);
}
END_TEST

/* The server keeps the block that the call brought: the client gets the reason of the end, and reclaims the block
 * with the connection. */
START_TEST(test_server_keeps_block_and_dies) {
    scene_set(true);
    struct speaker *speaker = scene_accept_greeted();
    hear_call(speaker);
    speaker_free(speaker);
    scene_end();
    ck_assert_int_eq(customer.called, -EPIPE);
    ck_assert_int_eq(customer.again, -EPIPE);
    ck_assert_int_eq(customer.closed, 1);
    ck_assert_int_eq(customer.ending.reason, -EPIPE);
    ck_assert_uint_eq(customer.closed_blocks, 1);
    ck_assert_uint_eq(customer.closed_calls, 1);
}
END_TEST

/* The server releases the block of the call before it answers, which it may, and then once more, which it may not. */
START_TEST(test_server_releases_twice) {
    scene_set(true);
    struct speaker *speaker = scene_accept_greeted();
    const struct wire_frame *call = speaker_expect(speaker, WIRE_CALL);
    uint64_t handle = call->message.handle;
    ck_assert_uint_eq(call->message.payload_class, WIRE_CLASS_SEALED);
    raw_close_fds(&speaker->in);
    draft_release(&attempt.draft, &handle, 1);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    assert_call_refused(speaker, "release twice", "released");
}
END_TEST

/* The client refuses impossible errno values and texts, and hands on the possible ones. */
START_TEST(test_server_answers_errors) {
    scene_set(false);
    struct speaker *speaker = scene_accept_greeted();
    static const char text[] = "the reef is closed";
    const struct wire_message error = {.status = -EXDEV, .text_size = sizeof text - 1};
    draft_message(&attempt.draft, WIRE_REPLY, hear_call(speaker), &error, NULL);
    memcpy(attempt.draft.data + attempt.draft.size, text, sizeof text - 1);
    attempt.draft.size += sizeof text - 1;
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    draft_put(&attempt.draft, 8, 8, hear_call(speaker));
    draft_put(&attempt.draft, 20, 4, (uint32_t) -5000);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    struct farewell farewell = speaker_farewell(speaker);
    speaker_free(speaker);
    scene_end();
    ck_assert_int_eq(customer.called, -EXDEV);
    ck_assert_str_eq(customer.text, text);
    ck_assert_int_eq(customer.again, -EPROTO);
    ck_assert_msg(text_names(farewell.text, "status"), "%s", farewell.text);
}
END_TEST

/* Descriptors that the client has not received yet when it frees the connection: closing each takes two seconds on
 * the wrong thread. */
START_TEST(test_traps_behind_the_reply) {
    enum { TRAPS = 3 };
    struct trap traps[TRAPS];
    scene_set(false);
    struct speaker *speaker = scene_accept_greeted();
    uint64_t id = hear_call(speaker);
    customer.naps = true;
    for (int i = 0; i < TRAPS; i++)
        trap_lingering(&traps[i]);
    answer_inline(speaker, id);
    /* it has its reply, and does not drive the connection any more */
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    for (int i = 0; i < TRAPS; i++) {
        draft_sealed(&attempt.draft, 0, 0x99, 1, SIZE, traps[i].fd);
        ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
        close(traps[i].fd); /* not the last reference: this returns at once */
        traps[i].fd = -1;
    }
    speaker_farewell(speaker);
    speaker_free(speaker);
    scene_end();
    ck_assert_int_eq(customer.called, 0);
    ck_assert_msg(customer.free_ns < (uint64_t) test_timeout_ms(1000) * 1000000, "freeing took %.1f s",
                  (double) customer.free_ns / 1e9);
    for (int i = 0; i < TRAPS; i++)
        trap_free(&traps[i]);
}
END_TEST

/* Silence. */

START_TEST(test_silence_instead_of_hello) {
    scene_set(false);
    struct speaker *speaker = scene_accept();
    assert_refused(speaker, "silence", -ETIMEDOUT, "time");
    ck_assert_int_eq(customer.connected, -ETIMEDOUT);
}
END_TEST

START_TEST(test_silence_instead_of_accept) {
    scene_set(false);
    struct speaker *speaker;
    pthread_join(customer.thread, NULL);
    customer.thread = pthread_self();
    ck_assert_int_eq(customer.connected, -ETIMEDOUT);
    speaker = scene_accept();
    speaker_farewell(speaker);
    speaker_free(speaker);
    close(scene.listener);
    ck_assert_int_eq(customer.closed, 1);
    ck_assert_int_eq(customer.honest_after, 0);
    ck_assert_int_eq(service_stop(scene.service), 0);
}
END_TEST

START_TEST(test_silence_instead_of_reply) {
    scene_set(true);
    struct speaker *speaker = scene_accept_greeted();
    uint64_t id = hear_call(speaker);
    ck_assert_uint_eq(speaker_expect(speaker, WIRE_CANCEL)->head.id, id);
    uint64_t second = hear_call(speaker);
    answer_inline(speaker, id); /* a late reply is no fault: the call's slot becomes free only now */
    answer_inline(speaker, second);
    speaker_farewell(speaker);
    speaker_free(speaker);
    scene_end();
    ck_assert_int_eq(customer.called, -ETIMEDOUT);
    ck_assert_int_eq(customer.again, 0);
}
END_TEST

/* Absurd limits of a server harm the server only, but must not harm the client. */

static struct speaker *scene_accept_with(const struct wire_hello *hello) {
    struct speaker *speaker = scene_accept();
    draft_hello(&attempt.draft, hello);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    return speaker;
}

START_TEST(test_server_that_takes_nothing) {
    scene_set(true);
    struct wire_hello hello = hello_sound();
    hello.accept = 0;
    hello.inline_max = 0;
    hello.block_max = hello.bytes_max = 0;
    hello.blocks_max = 0;
    struct speaker *speaker = scene_accept_with(&hello);
    speaker_farewell(speaker);
    speaker_free(speaker);
    scene_end();
    ck_assert_msg(customer.connected == 0 ? customer.called == -EMSGSIZE : customer.connected == -EPROTO,
                  "connect %d, call %d", customer.connected, customer.called);
}
END_TEST

START_TEST(test_server_that_takes_no_calls) {
    scene_set(false);
    struct wire_hello hello = hello_sound();
    hello.calls_max = 0;
    struct speaker *speaker = scene_accept_with(&hello);
    speaker_farewell(speaker);
    speaker_free(speaker);
    scene_end();
    ck_assert_msg(customer.connected == 0 ? customer.called == -EDQUOT : customer.connected == -EPROTO,
                  "connect %d, call %d", customer.connected, customer.called);
}
END_TEST

START_TEST(test_goodbye_instead_of_hello) {
    scene_set(false);
    struct speaker *speaker = scene_accept();
    draft_goodbye(&attempt.draft, _i ? -EUSERS : 0, _i ? "the harbour is full" : "");
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    speaker_farewell(speaker);
    speaker_free(speaker);
    scene_end();
    ck_assert_int_eq(customer.connected, _i ? -EUSERS : -EPIPE);
    ck_assert_int_eq(customer.opened, 0);
    ck_assert_int_eq(customer.closed, 1);
    if (_i)
        ck_assert_msg(text_names(customer.text, "the harbour is full"), "%s", customer.text);
}
END_TEST

START_TEST(test_hang_up_instead_of_hello) {
    scene_set(false);
    speaker_free(scene_accept());
    scene_end();
    ck_assert_int_eq(customer.connected, -EPIPE);
    ck_assert_int_eq(customer.closed, 1);
}
END_TEST

/* More one-way messages than a reply at a time, as fast as possible, and finally the reply. */
START_TEST(test_flood_of_one_ways) {
    enum { MANY = 20000 };
    scene_set(false);
    struct speaker *speaker = scene_accept_greeted();
    uint64_t id = hear_call(speaker);
    draft_inline(&attempt.draft, 0, 0x99, 64);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    answer_inline(speaker, id);
    answer_inline(speaker, hear_call(speaker));
    speaker_farewell(speaker);
    speaker_free(speaker);
    scene_end();
    ck_assert_int_eq(customer.called, 0);
    ck_assert_int_eq(customer.again, 0);
}
END_TEST

int main(void) {
    struct suite *suite = suite_new("hostile_client");
    suite_guard(suite, 300);
    suite_settle(suite, 5000); /* a lingering close takes two seconds */
    suite_add_loop(suite, test_attack, 0, attacks_on_client_count);
    suite_add(suite, test_same_reply_twice);
    suite_add(suite, test_server_calls);
    suite_add(suite, test_server_sends_blocks);
    suite_add(suite, test_server_keeps_block_and_dies);
    suite_add(suite, test_server_releases_twice);
    suite_add(suite, test_server_answers_errors);
    suite_add(suite, test_traps_behind_the_reply);
    suite_add(suite, test_silence_instead_of_hello);
    suite_add(suite, test_silence_instead_of_accept);
    suite_add(suite, test_silence_instead_of_reply);
    suite_add(suite, test_server_that_takes_nothing);
    suite_add(suite, test_server_that_takes_no_calls);
    suite_add_loop(suite, test_goodbye_instead_of_hello, 0, 2);
    suite_add(suite, test_hang_up_instead_of_hello);
    suite_add(suite, test_flood_of_one_ways);
    return suite_run(suite);
}
