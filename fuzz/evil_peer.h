/* SPDX-License-Identifier: MIT */
/*
 * A peer that speaks the protocol by hand, and lies when the input says so: its socket, its outbox, and the frames that
 * it has read.
 *
 * It writes its outbox word by word and may write anything into it; it has the library's outbox mapped read-only, as
 * any peer would. Frames that it reads must be sound: the program aborts when the library sends a frame that wire/ does
 * not accept.
 *
 * One thread, which is also the library's: the library acts only when it gets a turn. Memory of outboxes is made once
 * and used again.
 */
#ifndef FUZZ_EVIL_PEER_H
#define FUZZ_EVIL_PEER_H

#include "cabinet.h"
#include "input.h"
#include "lane/ring.h"
#include "wire/frame.h"

enum { EVIL_PEERS = 3, EVIL_HEARD = 16, EVIL_DATAGRAM_MAX = 1 << 17 };

/* The newest numbers that were read; 0 for free places. */
struct heard {
    uint64_t numbers[EVIL_HEARD];
    unsigned count;
};

struct evil_outbox {
    int fd;        /* owned; -1 for the library's */
    uint8_t *page; /* owned; NULL: none */
    size_t size;   /* bytes */
    uint32_t lines, releases;
};

/* A ring that follows a ring of an outbox. */
struct evil_ring {
    uint8_t *at; /* owned; NULL: none */
    size_t size; /* bytes */
    int fd;      /* owned; -1 for the library's */
};

struct evil_peer {
    int fd; /* owned; -1: not connected */
    struct evil_outbox own, theirs;
    struct evil_ring own_rings[2], their_rings[2]; /* index: WIRE_RING_... less 1 */
    bool has_grown[2];                             /* its own rings have grown */
    /* numbered datagrams; the number of the one with the mark that ends the library's frame ring, or 0 */
    uint64_t datagrams_in, their_mark;
    uint32_t their_lines, their_entries, their_from;
    struct ring_out out;
    struct ring_in in;
    struct release_out releases_out;
    struct release_in releases_in;
    uint64_t marks;   /* numbered datagrams that were sent */
    uint64_t next_id; /* for its own calls */
    uint64_t next_handle;
    struct heard calls;   /* ids of the library's calls */
    uint64_t answered;    /* the newest of these that was answered */
    struct heard handles; /* handles of the library's payloads */
    struct heard own_ids; /* ids of its own calls */
    uint32_t generation;  /* generation of pooled payloads */
};

/* A datagram under construction. */
struct draft {
    size_t size, fds_count;
    int32_t pid;                     /* of the process that is named as the sender; 0: this one */
    int fds[253];                    /* borrowed */
    uint8_t data[EVIL_DATAGRAM_MAX]; /* only the first `size` bytes count */
};
extern struct draft evil_draft; /* shared by all, because it is large */

void evil_peers_make(void); /* once */
extern struct evil_peer evil_peers[EVIL_PEERS];

void heard_add(struct heard *heard, uint64_t number);
uint64_t heard_draw(const struct heard *heard, struct input *in); /* returns one of them; now and then another number */

/* Takes `fd`, a connected non-blocking socket. */
void evil_begin(struct evil_peer *peer, int fd);

/* Closes the connection, and resets the peer. */
void evil_end(struct evil_peer *peer);

/* Sends the draft; a draft that cannot be sent is lost. A numbered one is counted, and its mark is written if
 * `has_mark`. */
void evil_send(struct evil_peer *peer, const struct draft *draft, bool is_numbered, bool has_mark);

/* Announces a larger ring of its own, WIRE_RING_..., and goes on writing there. Call it once for each kind. */
void evil_grow(struct evil_peer *peer, uint32_t kind);

/* Writes a frame into its ring, if there is room, and sends a doorbell if the library sleeps. `bytes` (borrowed):
 * the bytes in the frame. */
void evil_say(struct evil_peer *peer, const uint64_t words[LINE_WORDS], const void *bytes, uint32_t size);
void evil_say_mark(struct evil_peer *peer, uint64_t number);
void evil_ring_bell(struct evil_peer *peer);
void evil_give_back(struct evil_peer *peer, uint64_t handle);

/* Reads at most `most` datagrams and `most` frames. Stores its cursor in its outbox if `is_honest`. */
void evil_read(struct evil_peer *peer, unsigned most, bool is_honest);

/* Makes one act, chosen by the input. */
void evil_act(struct evil_peer *peer, struct input *in);

/* Sends a HELLO of the kind that the byte chooses; 0 is a sound one. */
void evil_greet(struct evil_peer *peer, uint8_t kind, struct input *in);

#endif
