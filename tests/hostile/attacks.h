/* SPDX-License-Identifier: MIT */
/*
 * Datagrams that break the protocol, for both directions: what they are, and how their refusal must read.
 *
 * Each is composed for a connection that has greeted, unless it says otherwise; sent once, it must end that
 * connection. Towards a server a message is a CALL of `method`, towards a client the REPLY to its call.
 */
#ifndef TESTS_HOSTILE_ATTACKS_H
#define TESTS_HOSTILE_ATTACKS_H

#include <stdbool.h>

#include "support/speaker.h"
#include "support/trap.h"

/* The limits that the attacked side sets, so that small attacks exceed them. */
#define ATTACKED_INLINE_MAX 4096
#define ATTACKED_BLOCK_MAX ((uint64_t) 1 << 20)
#define ATTACKED_BLOCKS_MAX 4
#define ATTACKED_BYTES_MAX ((uint64_t) 2 << 20)
#define ATTACKED_CALLS_MAX 4
#define ATTACKED_HANDSHAKE_MS 300

/* What is under way: the datagram, and what has to be put away after it. */
struct attempt {
    struct draft draft; /* its descriptors are owned here: each is closed once */
    uint64_t id;        /* of the call to make, or to answer */
    uint32_t method;    /* 0: towards a client */
    struct trap trap;   /* of the attacks that need one */
    char why_not[128];  /* it cannot be tried here, and why */
};

struct attack {
    const char *name;
    void (*compose)(struct attempt *attempt);
    const char *word; /* must be in the text that tells the refusal, in any case */
    int reason;
    bool before_hello;
};

extern const struct attack attacks[];
extern const int attacks_count;
extern const int attacks_on_client_count; /* the first so many make sense towards a client too */

/* Composes into `attempt`, which is made anew. False: impossible here, attempt->why_not says why. */
bool attempt_compose(struct attempt *attempt, const struct attack *attack, uint64_t id, uint32_t method);

/* Closes what was sent: the receiver has the only reference now. */
void attempt_let_go(struct attempt *attempt);

/* Puts everything away. */
void attempt_deinit(struct attempt *attempt);

/* Is `word` in `text`, in any case? */
bool text_names(const char *text, const char *word);

#endif
