/* SPDX-License-Identifier: MIT */
/*
 * Datagrams that break the protocol, for both directions, and the words that their refusal must contain.
 *
 * Each datagram is composed for a connection after the greeting, unless it says otherwise; sent once, it must end that
 * connection. Towards a server a message is a CALL of `method`, towards a client the REPLY to its call.
 */
#ifndef TESTS_HOSTILE_ATTACKS_H
#define TESTS_HOSTILE_ATTACKS_H

#include <stdbool.h>

#include "support/speaker.h"
#include "support/trap.h"

/* Limits of the attacked side, so that small attacks exceed them. */
#define ATTACKED_INLINE_MAX 4096
#define ATTACKED_BLOCK_MAX ((uint64_t) 1 << 20)
#define ATTACKED_BLOCKS_MAX 4
#define ATTACKED_BYTES_MAX ((uint64_t) 2 << 20)
#define ATTACKED_CALLS_MAX 4
#define ATTACKED_HANDSHAKE_MS 300

/* One attempt: the datagram, and the resources to free after it. */
struct attempt {
    struct draft draft; /* it owns its descriptors: each is closed once */
    uint64_t id;        /* id of the call to make, or to answer */
    uint32_t method;    /* 0: the attack goes to a client */
    struct trap trap;   /* for the attacks that need one */
    char why_not[128];  /* the reason if the attack cannot be tried here */
};

struct attack {
    const char *name;
    void (*compose)(struct attempt *attempt);
    const char *word; /* must occur in the text of the refusal, in upper or lower case */
    int reason;
    bool before_hello;
};

extern const struct attack attacks[];
extern const int attacks_count;
extern const int attacks_on_client_count; /* the first ones of the table: these also apply to a client */

/* Composes the attack into `attempt`, which is initialised first. Returns false if that is impossible here;
 * attempt->why_not gives the reason. */
bool attempt_compose(struct attempt *attempt, const struct attack *attack, uint64_t id, uint32_t method);

/* Closes the descriptors that were sent: the receiver has the only references now. */
void attempt_let_go(struct attempt *attempt);

/* Frees all resources of the attempt. */
void attempt_deinit(struct attempt *attempt);

/* Returns whether `text` contains `word`, in upper or lower case. */
bool text_names(const char *text, const char *word);

#endif
