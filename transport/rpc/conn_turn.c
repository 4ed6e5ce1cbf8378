/* SPDX-License-Identifier: MIT */
/*
 * A connection's turns, and what its lane tells it. See conn_turn.h.
 */
#include "rpc/conn_turn.h"

#include "rpc/call_end.h"
#include "rpc/msg.h"
#include "sys/failure.h"
#include "sys/misuse.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

/* Turns that read all datagrams that a socket holds: 278, and more where its buffer is larger. As many turns that end
 * because their work quota is spent take some 5 ms; a late call waits no longer for copies and other work. */
static const uint32_t SOCKET_TURNS = 16;

/* Each is an answer or a release, some microseconds: as much as the frames of a turn. */
static const uint32_t MAILS_PER_TURN = 256;

/* How often a connection that is never polled otherwise polls its socket: one system call each 10 ms costs nothing. */
static const uint64_t GLANCE_NS = 10 * 1000 * 1000;

static bool is_call_late(const sea_conn *conn) {
    uint64_t id, deadline;
    return calls_first(&conn->calls, &id, &deadline) && deadline != WAIT_FOREVER && deadline <= wait_now();
}

static void on_speaker_end(struct watch *watch, short revents) {
    sea_conn *conn = (sea_conn *) (void *) ((char *) watch - offsetof(sea_conn, speaker));
    (void) revents;
    watch_remove(watch); /* it stays readable */
    if (conn->lane.is_ending)
        return;
    lane_part_with_speaker(&conn->lane);
    conn_turn(conn, POLLIN | POLLHUP);
}

static void watch_speaker(sea_conn *conn) {
    int pidfd = lane_speaker(&conn->lane);
    conn->speaker = (struct watch){.fd = pidfd, .events = POLLIN, .deadline = WAIT_FOREVER, .ready = on_speaker_end};
    int r = pidfd >= 0 ? watch_add(&conn->speaker, conn->watch.poller) : 0;
    if (failure_call(r))
        lane_fail_socket(&conn->lane, r);
    else if (r < 0)
        lane_fail(&conn->lane, r, "the loop cannot wait for one more descriptor");
}

/* Up to there class_choice_for() says inline or pooled, and nothing else: of a peer that takes both. */
static uint64_t ready_below(const struct class_choice *choice, const struct negotiated *negotiated) {
    uint64_t most = negotiated->block_max < negotiated->bytes_max ? negotiated->block_max : negotiated->bytes_max;
    if (most > choice->pooled_most)
        most = choice->pooled_most;
    bool takes_both = negotiated->accept & SEA_POOLED && negotiated->accept & SEA_INLINE;
    return takes_both && choice->inline_most <= negotiated->inline_max && choice->inline_most < most ? most : 0;
}

/* A number that changes with each message, either way. */
static uint64_t conn_activity(const sea_conn *conn) {
    const struct ctx_counters *counters = &conn->lane.tally.counters;
    const _Atomic uint64_t *messages[] = {&counters->received_inline, &counters->received_pooled,
                                          &counters->received_sealed, &counters->sent_inline,
                                          &counters->sent_pooled,     &counters->sent_sealed};
    uint64_t sum = 0;
    for (int i = 0; i < 6; i++)
        sum += atomic_load_explicit(messages[i], memory_order_relaxed);
    return sum;
}

static bool conn_is_in_use(const sea_conn *conn) {
    const struct account *account = conn->lane.remote->account;
    return conn->calls.in_flight || conn->incoming_count || account->messages > conn->spares.count ||
           account->imported_blocks || atomic_load_explicit(&account->leased_blocks, memory_order_relaxed);
}

static void conn_watch_idle(sea_conn *conn) {
    if (!conn->server || !conn->options.idle_ms)
        return;
    conn->idle_at = wait_deadline(conn->options.idle_ms);
    conn->idle_seen = conn_activity(conn);
}

/* Reads the contents of the socket before it judges that a connection is idle. Messages do not move the idle deadline;
 * when it has passed, this function looks whether there were any. */
static void conn_judge_idle(sea_conn *conn) {
    if (conn->idle_at == WAIT_FOREVER || wait_now() < conn->idle_at)
        return;
    lane_dispatch(&conn->lane, POLLIN);
    if (conn->is_ended)
        return;
    if (conn_activity(conn) == conn->idle_seen && !conn_is_in_use(conn))
        lane_fail(&conn->lane, -ETIMEDOUT, "the connection was idle for longer than the server's idle_ms");
    conn_watch_idle(conn);
}

static void on_opened(void *owner) {
    sea_conn *conn = owner;
    conn->is_open = true;
    if (conn->watch.poller)
        watch_speaker(conn);
    conn_watch_idle(conn);
    conn->ready_below = ready_below(&conn->lane.choice, &conn->lane.negotiated);
    if (conn->options.on_open)
        conn->options.on_open(conn, conn->options.user);
}

static void call_refuse(sea_conn *conn, uint64_t id, int status, const char *text) {
    struct lane_message reply = {.type = WIRE_REPLY, .id = id, .status = status, .text = text};
    lane_send(&conn->lane, &reply, true);
}

static const char *refusal_text(int error) {
    return error == -EDQUOT ? "the receiver keeps as many messages of this peer as its limits allow" : "out of memory";
}

static void refuse_method(sea_conn *conn, const struct lane_message *in, const sea_method *method) {
    char text[WIRE_TEXT_MAX];
    if (!method)
        snprintf(text, sizeof(text), "no such method: %" PRIu32, in->method);
    else
        snprintf(text, sizeof(text), "method %" PRIu32 " takes payloads of at most %" PRIu64 " bytes", in->method,
                 method->payload_max);
    call_refuse(conn, in->id, method ? -EMSGSIZE : -ENOSYS, text);
}

/* Is this message a call beyond those that the peer may have in flight? A call is in flight until its reply is written,
 * so that this limit also bounds the replies that wait for the peer. */
static bool is_call_too_many(const sea_conn *conn, const struct lane_message *in) {
    const struct lane *lane = &conn->lane;
    return in->type == WIRE_CALL && (uint64_t) conn->incoming_count + lane->replies_queued >= lane->hello.calls_max;
}

static const char CALLS_TOO_MANY[] = "more calls were in flight than negotiated";

static const char *request_arrived(sea_conn *conn, const struct lane_message *in) {
    if (is_call_too_many(conn, in)) {
        sea_block_unref(in->block);
        return CALLS_TOO_MANY;
    }
    const sea_method *method = conn_method(conn, in->method);
    if (!method || !method_takes(method, in->payload_size)) {
        sea_block_unref(in->block);
        if (in->type == WIRE_CALL)
            refuse_method(conn, in, method);
        return NULL;
    }
    sea_msg *msg = NULL;
    int r = msg_new(conn, in, &msg);
    if (r == 0)
        method_handle(method, conn, msg);
    else if (in->type == WIRE_CALL)
        call_refuse(conn, in->id, r, refusal_text(r));
    else
        lane_fail(&conn->lane, r, refusal_text(r));
    return NULL;
}

static bool is_shortage(int status) {
    return status == -EDQUOT || status == -EMFILE || status == -ENOMEM;
}

/* A call of ours counts no more, and the application waits for that. */
static void offer_call(sea_conn *conn) {
    lane_want_room(&conn->lane, 0);
    conn->wants_call = false;
}

static const char *reply_arrived(sea_conn *conn, const struct lane_message *in) {
    struct call_waiter waiter;
    int status = in->status;
    int r = calls_finish(&conn->calls, in->id, &waiter);
    if (r == 0 && conn->wants_call)
        offer_call(conn);
    if (r == 0 && status < 0 && is_shortage(status) && !in->is_refused)
        pools_renew(&conn->lane.remote->pools);
    if (r < 0 || !waiter.done) {
        sea_block_unref(in->block);
        return r < 0 ? "a reply came to no call of ours" : NULL;
    }
    sea_msg *reply = NULL;
    r = msg_new(conn, in, &reply);
    if (r < 0)
        status = r;
    if (status < 0)
        conn_say(conn, status, in->text ? in->text : "");
    call_end(conn, waiter, status, reply);
    return NULL;
}

static const char *on_arrived(void *owner, const struct lane_message *in) {
    return in->type == WIRE_REPLY ? reply_arrived(owner, in) : request_arrived(owner, in);
}

static const char *on_coming(void *owner, const struct lane_message *in, bool *ret_is_wanted) {
    const sea_conn *conn = owner;
    bool is_reply = in->type == WIRE_REPLY;
    if (is_reply) {
        *ret_is_wanted = calls_is_pending(&conn->calls, in->id);
    } else {
        const sea_method *method = conn_method(conn, in->method);
        *ret_is_wanted = method && method_takes(method, in->payload_size);
    }
    return is_call_too_many(conn, in) ? CALLS_TOO_MANY : NULL;
}

static uint32_t on_cancelled(void *owner, uint64_t id) {
    return msg_cancel(owner, id);
}

static void on_room(void *owner) {
    sea_conn *conn = owner;
    conn->told++;
    if (conn->options.on_room)
        conn->options.on_room(conn, conn->options.user);
}

static void on_trim(void *owner) {
    sea_conn *conn = owner;
    calls_trim(&conn->calls);
    msg_spares_drop(&conn->spares);
}

struct conn_ending {
    sea_conn *conn;
    sea_close_event event;
};

static void tell_owner(sea_conn **conn) {
    if ((*conn)->ended)
        (*conn)->ended(*conn);
}

static void tell_closed(const struct conn_ending *ending) {
    CLEANUP(tell_owner) sea_conn *conn = ending->conn;
    if (conn->options.on_close && !conn->is_freed)
        conn->options.on_close(conn, &ending->event, conn->options.user);
}

/* The lane has dropped the leases already; our own calls are left. After an exception in one callback the other
 * callbacks are called all the same. */
static void on_closed(void *owner, const sea_close_event *event) {
    sea_conn *conn = owner;
    CLEANUP(tell_closed) struct conn_ending ending = {conn, *event};
    ending.event.ended_calls = conn->calls.in_flight;
    conn->is_open = false;
    conn->ready_below = 0;
    conn->is_ended = true;
    conn->reason = event->reason;
    conn_say(conn, conn_end_reason(conn), event->text);
    mailbox_set_wake(conn->box, NULL, NULL);
    watch_remove(&conn->speaker);
    watch_remove(&conn->watch);
    conn->pair_fd = fd_close(conn->pair_fd);
    msg_cancel_all(conn);
    calls_end(conn, conn->is_freed ? -ECANCELED : event->reason == -EPROTO ? -EPROTO : -EPIPE);
}

/* A callback that frees its connection after any error is called from inside sea_conn_free(), too. */
static bool conn_may_be_freed(const sea_conn *conn) {
    if (conn->server)
        misuse_tell("sea_conn_free() frees a connection of a server, which sea_conn_close() ends");
    else if (conn->is_freed)
        misuse_tell("a connection is freed twice");
    return !conn->server && !conn->is_freed;
}

/* A callback of an end that goes on may free the connection: the calls that are left end here, too. */
sea_conn *sea_conn_free(sea_conn *conn) {
    if (!conn || conn_adopt(conn) < 0 || !conn_may_be_freed(conn))
        return NULL;
    CLEANUP_CONN sea_conn *freed = conn;
    freed->is_freed = true;
    conn_end(conn, 0, "");
    calls_end(conn, -ECANCELED);
    return NULL;
}

const struct lane_ops CONN_LANE_OPS = {
    .opened = on_opened,
    .coming = on_coming,
    .arrived = on_arrived,
    .cancelled = on_cancelled,
    .room = on_room,
    .changed = conn_rearm,
    .trim = on_trim,
    .closed = on_closed,
};

/*
 * A reply that has come, and only was not read yet, is in time. Therefore a deadline is judged after a read of the
 * socket, whether poll() reported it or not, and after all waiting frames were read: one lap of the ring and the
 * contents of the socket, even if the peer adds more. Turns with much work, such as large copies, are limited to
 * SOCKET_TURNS, so that no call waits longer for them. Then all late calls end, except a call with a reply that is
 * being copied: this reply has come, and takes as many turns as it has MiB.
 */
static int calls_judge(sea_conn *conn, short revents) {
    struct lane *lane = &conn->lane;
    int handled = revents & POLLIN || lane->is_ending ? 0 : lane_dispatch(lane, POLLIN);
    uint32_t turns_most = SOCKET_TURNS + (lane->has_rings ? lane->theirs.lines / LANE_FRAMES_PER_TURN : 0);
    conn->late_turns += lane->has_worked_enough ? turns_most / SOCKET_TURNS : 1;
    if (conn->is_ended || (lane->has_more && conn->late_turns < turns_most))
        return handled;
    conn->late_turns = 0;
    calls_expire(conn);
    return handled;
}

/* A connection of the blocking functions never waits while each answer lies in the ring in time. But no frame tells of
 * the peer's farewell or of its death, and another holder of its memory may go on answering. So this function polls the
 * socket now and then. */
static short conn_poll_socket(sea_conn *conn) {
    if (conn->lane.state != LANE_OPEN || wait_now_coarse() - conn->polled_at < GLANCE_NS)
        return 0;
    int revents = conn_poll(conn, -1, 0);
    return revents > 0 ? (short) revents : 0;
}

static void conn_cancel_late(sea_conn *conn) {
    uint64_t now = wait_now();
    if (conn->cancel_at <= now)
        msg_cancel_late(conn, now);
}

static void uncork(struct lane **lane) {
    lane_uncork(*lane);
}

/* What other threads have left. The peer is woken once for all of it. */
static void conn_run_mails(sea_conn *conn) {
    CLEANUP(uncork) struct lane *lane = &conn->lane;
    lane_cork(lane);
    mailbox_run(conn->box, MAILS_PER_TURN);
}

bool conn_hear_bell(sea_conn *conn, bool waits) {
    if (!conn->lane.doorbell.is_armed || !conn->lane.small_end)
        return false;
    CLEANUP(turn_end) sea_conn *turn = conn;
    conn_begin_turn(turn);
    return lane_hear_bell(&turn->lane, waits) && conn->lane.small_end;
}

int conn_turn(sea_conn *conn, short revents) {
    if (conn_adopt(conn) < 0)
        return 0;
    CLEANUP_CONN sea_conn *held = conn_ref(conn);
    return conn_run_turn(held, revents);
}

int conn_run_turn(sea_conn *conn, short revents) {
    CLEANUP(turn_end) sea_conn *turn = conn;
    conn_begin_turn(turn);
    if (mailbox_has_mail(conn->box))
        conn_run_mails(conn);
    if (!revents && !conn->is_looped)
        revents = conn_poll_socket(conn);
    int handled = lane_dispatch(&conn->lane, revents);
    if (mailbox_has_mail(conn->box))
        conn->lane.has_more = true;
    if (conn->cancel_at != WAIT_FOREVER && !conn->is_ended)
        conn_cancel_late(conn);
    if (conn->calls.in_flight && !conn->is_ended && is_call_late(conn))
        handled += calls_judge(conn, revents);
    else
        conn->late_turns = 0; /* the late one was answered: the next one has all its turns */
    if (!conn->is_ended && handled == 0)
        conn_judge_idle(conn);
    return handled;
}
