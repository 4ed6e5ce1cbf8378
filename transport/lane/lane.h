/* SPDX-License-Identifier: MIT */
/*
 * A lane: one connection over its socket. Handshake, frames in and out, credits, leases, and the end.
 *
 * States, and the only functions that move between them:
 *
 *     GREETING  --HELLO received-->  OPEN  --lane_close()-->  CLOSED
 *         '------------------lane_close()-----------------------^
 *
 * The lane calls its owner through lane_ops: `changed` at any time, `trim` whenever it maintains the pools, all others
 * only from lane_dispatch() and lane_close(). It never waits: the owner polls `fd` for lane_events() until
 * lane_deadline(), then dispatches.
 *
 * Owns: the socket and the pidfd of the peer's process; `remote` with the account; both outboxes and the rings that
 * they grew to; queued frames with their references; the held message and the snapshot; handles that wait to be given
 * back. Borrows: the options and the scratch buffer, from its owner.
 *
 * Touches: the context (its budget, admission, census, tallies and refusals).
 *
 * Threads: the connection's, one at a time (registry/mailbox.h). `negotiated` no longer changes once messages come: any
 * thread that has one reads it. lane_close() ends the socket, the queue and the outboxes. What is left, `remote` above
 * all, belongs to the thread that holds the mailbox's lock, until the last reference of the connection frees it.
 *
 * Two sides that both have outboxes exchange their frames there. What has a descriptor, or is too large for a frame,
 * goes through the socket as a numbered datagram, and a MARK in the ring has its place: the order of all is kept.
 * Others use the socket for all.
 *
 * Modules: lane.c life and dispatch · send.c what goes out · receive.c what comes in · small.h the short way of small
 * messages, both ways · pooled.h that of pooled messages · snapshot.c copies of what comes in · rings.c outboxes, sleep
 * and wake-up · ring_growth.c larger rings.
 */
#ifndef LANE_LANE_H
#define LANE_LANE_H

#include "lane/class_choice.h"
#include "lane/distance.h"
#include "lane/doorbell.h"
#include "lane/naps.h"
#include "lane/negotiation.h"
#include "lane/outbox.h"
#include "lane/ring_growth.h"
#include "lane/spin_policy.h"
#include "registry/block.h"
#include "registry/peer.h"
#include "util/arith.h"
#include "wire/frame.h"

/* Where a datagram is received: one for all lanes that one thread drives. */
#define LANE_SCRATCH_SIZE (WIRE_MESSAGE_SIZE + WIRE_INLINE_CEILING + WIRE_TEXT_MAX + 1)

/* Frames handled in one turn, so that a peer that floods leaves the others their turns. */
enum { LANE_FRAMES_PER_TURN = 64 };

/* For how long the pools of a busy connection want maintenance before they get it, nanoseconds. A connection without
 * work does it at once. */
enum { LANE_MAINTENANCE_NS = 1000 * 1000 };

enum lane_state { LANE_GREETING, LANE_OPEN, LANE_CLOSED };

/* A CALL, ONEWAY or REPLY, in either direction. */
struct lane_message {
    enum wire_type type;
    uint64_t id;
    uint32_t method;
    int status;
    uint64_t deadline;
    const char *text;  /* of an error, at most WIRE_TEXT_MAX bytes, or NULL; borrowed for the call */
    sea_block *block;  /* NULL: the payload is `bytes` */
    const void *bytes; /* borrowed for the call; no other process can change them */
    size_t bytes_size; /* 0: no payload */
    /* Of a message that arrives: the size that its frame says, also when its payload was not fetched. */
    uint64_t payload_size;
    bool is_refused; /* a reply that arrived: a limit of ours kept its payload out, and its status is ours */
};

/* Arriving payloads up to this size come as bytes, without a block. */
#define LANE_BYTES_MAX LINE_SMALL_BYTES

struct lane_ops {
    void (*opened)(void *owner);
    /* The payload of a message is about to be copied, or was refused. *ret_is_wanted: will a handler or a caller look
     * at it? Returns NULL, or a static text that says how the peer broke the protocol. */
    const char *(*coming)(void *owner, const struct lane_message *message, bool *ret_is_wanted);
    /* Takes message->block. Returns NULL, or a static text that says how the peer broke the protocol. */
    const char *(*arrived)(void *owner, const struct lane_message *message);
    uint32_t (*cancelled)(void *owner, uint64_t id);           /* returns how many calls it had to look at */
    void (*room)(void *owner);                                 /* after an -EAGAIN of lane_send() */
    void (*changed)(void *owner);                              /* lane_events() or lane_deadline() may have changed */
    void (*trim)(void *owner);                                 /* sea_ctx_trim(): memory that is kept for later goes */
    void (*closed)(void *owner, const sea_close_event *event); /* the socket is still open; last call of all */
};

/* A frame that waits for the socket, or for credit. */
struct lane_queued {
    struct lane_queued *next;
    struct lane_message message; /* owns a reference of its block; has no bytes */
    int payload_class;           /* as payload_choose() said */
    uint64_t charged;            /* to the peer's account, bytes */
    char text[];                 /* the message's */
};

/* A pooled payload that is copied for a side which takes stable ones only. In steps: a large one takes several turns.
 */
struct snapshot {
    struct lane_message in;  /* the message; owns its block, the copy. NULL: the copy is not wanted */
    uint64_t handle;         /* the peer's lease, which goes back when the copy is whole */
    uint64_t size, done;     /* bytes of the payload; of these so many are copied */
    const char *data;        /* the payload, in the view */
    struct arena_view *view; /* owned reference */
};

/* What the newest message that found no room waits for. The texts are static; `limit` is NULL while all found room. */
struct lane_shortage {
    const char *limit, *advice;
    uint64_t needed, available; /* both 0: not known */
    uint64_t credit;            /* bytes that a lease has to find; 0: it waits for something else */
};

struct lane {
    int fd; /* owned */
    enum lane_state state;
    bool is_server;
    sea_ctx *ctx; /* owned reference */
    struct tally tally;
    const sea_options *options;
    const struct lane_ops *ops;
    void *owner;
    uint8_t *scratch;        /* borrowed, LANE_SCRATCH_SIZE; NULL: the context lends one for each datagram */
    sea_peer peer;           /* its pidfd is owned */
    bool has_speaker;        /* `peer` is the process that sent the HELLO, and its end is the connection's */
    struct peer *remote;     /* owned; NULL before lane_init() succeeded */
    struct wire_hello hello; /* ours */
    struct negotiated negotiated;
    struct class_choice choice; /* zero before OPEN */

    struct lane_queued *queue_head, **queue_tail;
    uint32_t replies_queued; /* of those; each holds one of the calls that the peer may have in flight */
    uint64_t *releases;      /* handles for datagrams; capacity >= releases_count + imports, but with a ring for all */
    uint32_t releases_count, releases_capacity;
    bool is_socket_full, is_ring_full, wants_room;
    uint64_t room_credit; /* with wants_room: the least credit that a waiting message needs */
    bool wants_blocks;    /* the sender waits for a block that comes back */
    bool is_readable;     /* the socket has, or may have, something */
    bool is_hung_up;      /* and then its end */
    uint32_t corks;       /* while not 0 no doorbell is rung */
    uint32_t batches;     /* of these, the application's; the others are turns */
    int handled;          /* frames, in this turn */
    int taken;            /* of those that the next turn may take: already taken the short way */
    bool is_broken;       /* sending has failed: the peer is gone, but its earlier frames are still read */
    bool is_choked;       /* nothing is received before retry_at: the reaper is full */
    bool is_copying;      /* `snapshot` is under way, and nothing else is received before it is whole */
    uint64_t retry_at;    /* WAIT_FOREVER: nothing to try again */
    uint64_t greeting_deadline;
    bool is_orphan; /* the process that listened here has ended */
    /* Payloads of fewer bytes go the short way (small.h). 0: nothing goes or comes so, because the lane is not open,
     * has failed, has no rings, is choked or copies, or because messages wait. lane_set_small() */
    uint32_t small_end;
    uint32_t small_in_most; /* the most bytes of a payload that comes the short way */

    struct outbox own, theirs;
    struct growth growth;
    bool has_rings; /* both are there; then these are in use */
    struct ring_out out;
    struct ring_in in;
    struct release_out releases_out;
    struct release_in releases_in;
    struct doorbell doorbell;
    struct distance distance;
    struct naps naps;
    struct spin_policy spin;
    uint64_t datagrams_out, datagrams_in; /* numbered ones, sent and received */
    bool is_in_order;                     /* no frame is left before the datagram that is received now */
    bool has_held, has_more;              /* has_more: a turn ended before all was handled */
    bool has_worked_enough;               /* the turn ended because of the work that it took */
    struct lane_message held; /* it came before its mark, and waits for the frames before it. Owns its block */
    char held_text[WIRE_TEXT_MAX + 1];
    bool is_leaving;    /* the peer's last word was heard; the frames before it are handled first */
    bool is_parting;    /* the peer's end was seen: its ring is read for one lap more, from `parted_at` on */
    uint64_t parted_at; /* position in the ring */
    struct snapshot snapshot;

    unsigned generation; /* of the process that made it (sys/fork_guard.h) */
    bool is_ending;      /* doomed, and told so: what the peer held is dropped, step by step; then it is closed */
    bool has_failed;     /* lane_fail() was called; `reason` and `text` say why */
    int reason;
    char text[WIRE_TEXT_MAX + 1];
    struct lane_shortage shortage;
    /* Of ours: the outbox, and the rings that it grew to. Here, away from what each message touches. */
    struct census_entry own_counted, frames_counted, releases_counted;
};

/*
 * Takes `fd`, a connected socket, also on failure. Reads the identity of the peer; a client then checks it and greets
 * at once. For a peer that the policy refuses the lane fails: the next dispatch tells the peer and the owner. Errors:
 * -ENOMEM, -EMFILE, or an error of the socket.
 */
int lane_init(struct lane *lane, sea_ctx *ctx, int fd, bool is_server, const sea_options *options, uint8_t *scratch,
              const struct lane_ops *ops, void *owner);

/* Frees everything; no callback. The lane may be in any state. */
void lane_deinit(struct lane *lane);

/* The options' handshake time, or its default, in milliseconds. */
int lane_handshake_ms(const sea_options *options);

/* What to poll for, and until when (an instant of CLOCK_MONOTONIC, or WAIT_FOREVER). */
short lane_events(const struct lane *lane);
uint64_t lane_deadline(const struct lane *lane);

/*
 * The pidfd (borrowed) of the process that speaks on the other side, -1 where it is not known: a driver that waits for
 * the socket waits for this too. When it is readable: lane_part_with_speaker(), and then a turn. A process that was
 * killed leaves its end of the socket to a child that it had forked: the socket itself says nothing then.
 */
static inline int lane_speaker(const struct lane *lane) {
    return lane->has_speaker ? lane->peer.pidfd : -1;
}
void lane_part_with_speaker(struct lane *lane);

/* For a client that has connected: if the process that called listen() has ended, another process answers soon, or none
 * ever will. */
void lane_hurry_orphan(struct lane *lane);

/* Does what poll() and the clock ask for. Returns how many frames were handled. */
int lane_dispatch(struct lane *lane, short revents);

/* May what the short way does not do wait? false: dispatch. */
static inline bool lane_is_calm(const struct lane *lane) {
    bool is_unusual = lane->is_broken | lane->doorbell.is_armed | lane->wants_room | lane->has_held;
    return lane->small_end && !lane->doorbell.due && !is_unusual;
}

/* Ends it now, with one `closed` callback; `reason` is 0 or a negative errno value. In CLOSED: nothing. */
void lane_close(struct lane *lane, int reason, const char *text);

/* Ends it at the next dispatch. The first reason stays. */
void lane_fail(struct lane *lane, int reason, const char *text);

/* Fails the lane because a call on the socket failed with `r`: a negative errno value or a failure (sys/failure.h).
 * Returns the errno value. */
int lane_fail_socket(struct lane *lane, int r);

/*
 * Sends a message; its block is borrowed, and sealed by this. With `may_queue` it is queued when there is no room.
 * Errors: -EAGAIN (no room; ops->room follows) · -EPIPE · -EMSGSIZE · -EDQUOT · -EBUSY, -ENOMEM, -EMFILE and other
 * errors of the kernel (of sealing or copying the block) · an error of sendmsg(), with which the lane has failed.
 */
int lane_send(struct lane *lane, const struct lane_message *message, bool may_queue);

/* A pooled block from one of this peer's pools. Releases that have come are taken first, always. Errors: -EPIPE; as
 * pools_new_block(); but of -EDQUOT nothing is noted where the peer takes a sealed one instead. */
int lane_block_new(struct lane *lane, sea_pool *pool, size_t size, sea_block **ret_block);

/* The pools may have something to do before we sleep: asks for a turn then. */
static inline void lane_request_maintenance(const struct lane *lane) {
    if (lane->remote->pools.needs_maintenance)
        lane->ops->changed(lane->owner);
}

/* Takes what the peer has given back, as much as its work allows: then has_more says so. Outside of a turn that is a
 * turn's. */
int lane_take_releases(struct lane *lane); /* 0, -ESTALE: the peer lied */

/* Takes one release, outside of a turn, for a sender that looks for a block. false: there is none, or there is more to
 * do than that: lane_take_releases(). */
bool lane_take_release(struct lane *lane);

/* Has them do it now. */
void lane_maintain_pools_now(struct lane *lane);

/* Is it due? `now` is wait_now_coarse(). */
static inline bool lane_pools_are_due_at(const struct lane *lane, uint64_t now) {
    const struct pools *pools = &lane->remote->pools;
    if (atomic_load_explicit(&pools->account->member.trim, memory_order_relaxed))
        return true;
    return now >= pools->deadline || (pools->needs_maintenance && now >= pools->maintained_at + LANE_MAINTENANCE_NS);
}

/* Has the pools do their maintenance if it is due: for an application that sends on and on, and never comes to a turn.
 */
void lane_maintain_pools_when_due(struct lane *lane);

/* When the pools or the stock want a turn, if nothing else does: WAIT_FOREVER, or an instant of CLOCK_MONOTONIC. */
uint64_t lane_pools_deadline(const struct lane *lane);

/* Can a payload of so many bytes be sent as message.bytes, and is that the cheapest way? */
static inline bool lane_takes_bytes(const struct lane *lane, size_t size) {
    return size <= lane->choice.bytes_most;
}

/* The state, the terms, the frame ring or the queue has changed: what goes the short way may be another. */
static inline void lane_set_small(struct lane *lane) {
    bool is_open = lane->state == LANE_OPEN && !lane->has_failed && lane->has_rings && !lane->queue_head &&
                   !lane->is_choked && !lane->is_copying;
    uint64_t most = min_u64(lane->choice.bytes_most, min_u64(LANE_BYTES_MAX, lane->out.bytes_max));
    lane->small_end = is_open ? (uint32_t) most + 1 : 0;
    lane->small_in_most = (uint32_t) min_u64(lane->hello.inline_max, min_u64(LANE_BYTES_MAX, lane->in.bytes_max));
}

/* Sends or queues a CANCEL. */
int lane_send_cancel(struct lane *lane, uint64_t id);

/* Keeps in the context's refusals why the last message got -EAGAIN. Returns `error`. */
int lane_explain(const struct lane *lane, int error);

/* Keeps that the peer takes no payload of this size in any class, and which of its limits says so. Returns -EMSGSIZE.
 */
int lane_explain_size(const struct lane *lane, size_t size);

/* Asks for ops->room as soon as rings and socket have room and, unless it is 0, a lease of `credit` bytes would be
 * granted. */
void lane_want_room(struct lane *lane, uint64_t credit);

/* Is there something to do that the socket does not tell of? Cheap, and often false. */
bool lane_has_work(struct lane *lane);

/* Passes over a frame of so many lines. A writer that waits for room hears of it with the next doorbell. */
static inline void lane_pass(struct lane *lane, uint64_t lines) {
    if (ring_advance(&lane->in, lines))
        lane->doorbell.due |= DOORBELL_ROOM;
}

/* lane_spin_for_frame() with the time of each look, for the distance. */
bool lane_spin_timed(struct lane *lane, unsigned tries);

/* Looks at the frame ring alone, up to `tries` times, where `tries` is not 0. */
static inline bool lane_spin_for_frame(struct lane *lane, unsigned tries) {
    if (!lane->has_rings || lane->is_choked || lane->is_copying || lane->has_failed)
        return false;
    if (distance_is_due(&lane->distance))
        return lane_spin_timed(lane, tries);
    while (!ring_has_frame(&lane->in)) {
        if (--tries == 0)
            return false;
        shared_pause();
    }
    return true;
}

/* The same on the short way: small_end is not 0. */
static inline bool lane_spin_for_small(const struct lane *lane, unsigned tries) {
    while (!ring_has_frame(&lane->in)) {
        if (--tries == 0)
            return false;
        shared_pause();
    }
    return true;
}

/*
 * The wait for the socket has ended, and the socket is readable; or this is the wait (`waits`, see fdpass_wait()).
 * Receives one datagram, which is most often the doorbell of this sleep. true: it is, and the ring comes next.
 * Otherwise a dispatch follows, for whatever else there is. The caller is in a turn, and doorbell.is_armed is true.
 */
bool lane_hear_bell(struct lane *lane, bool waits);

/* We are about to wait for the socket. false: not now, there is something to do. The next dispatch ends it. */
bool lane_prepare_sleep(struct lane *lane);

/* Between these, no doorbell is rung: once at the end. They nest. */
void lane_cork(struct lane *lane);
void lane_uncork(struct lane *lane);

/* Wakes the peer if it sleeps and a frame, a release or room is due to it, corked or not. */
void lane_ring_bell(struct lane *lane);

/* The same in few instructions, where the peer is awake. */
static inline void lane_ring_bell_if_heard(struct lane *lane) {
    if (lane->is_socket_full || (lane->doorbell.due && doorbell_is_heard(&lane->doorbell)))
        lane_ring_bell(lane);
}

/* Gives a lease back, now or with the others at the end of the dispatch. */
void lane_release(void *owner, uint64_t handle);

/* --- between the modules of the lane: no other module calls these --- */

/* lane.c */
void lane_do_without_outboxes(struct lane *lane); /* GREETING only */
bool lane_wants_socket(const struct lane *lane);  /* is there anything that a full socket keeps waiting? */

/* send.c */
int lane_note_sent(struct lane *lane, int r); /* what `r` of a datagram means: 0, -EAGAIN, or the end */
int lane_write(struct lane *lane, const void *data, size_t size); /* a datagram without a mark; as lane_note_sent() */
int lane_send_hello(struct lane *lane);
void lane_send_goodbye(struct lane *lane, int reason, const char *text);
int lane_write_retired(struct lane *lane);   /* 0, -EAGAIN, -EPIPE, or the end */
int lane_reserve_release(struct lane *lane); /* before a lease is taken: room for its handle. 0, -ENOMEM */
void lane_flush(struct lane *lane);
void lane_clear_queue(struct lane *lane);
bool lane_clear_some(struct lane *lane); /* as much as its work allows. true: it is empty */

/* receive.c */
void lane_part(struct lane *lane);   /* the peer's end was seen */
int lane_receive(struct lane *lane); /* one frame or datagram: 1, 0 (nothing there, or the end), never negative */
bool lane_receive_bell(struct lane *lane, bool waits); /* one datagram: it was the doorbell */

/* snapshot.c. `in` is without block and text. Errors: as views_find(), peer_new_copy(); -EPROTO with *ret_why: the
 * message may not come. */
int snapshot_begin(struct lane *lane, const struct wire_message *message, const struct lane_message *in,
                   const char **ret_why);
bool snapshot_go_on(struct lane *lane); /* true: snapshot.in is to be handed over */
void snapshot_drop(struct lane *lane);

/* rings.c; ring_growth.c has a header of its own */
int lane_make_outbox(struct lane *lane);
int lane_open_outboxes(struct lane *lane, int fd, const char **ret_why); /* takes `fd` */
void lane_close_outboxes(struct lane *lane);
void lane_uncharge_outbox(struct lane *lane, size_t size);
int lane_ring_room(struct lane *lane, uint64_t lines); /* 0, -EAGAIN, -EPIPE (the peer lied) */
void lane_maintain_pools(struct lane *lane);           /* what the pools and the stock have to do, and to tell */
void lane_tell_pools(struct lane *lane);               /* what they hold, to the figures */
void lane_choose_footprint(struct lane *lane);         /* how much memory their blocks cycle over */
bool lane_pools_are_due(const struct lane *lane);
void lane_rearm(struct lane *lane); /* what we sleep for has changed */

#endif
