/* SPDX-License-Identifier: MIT */
/*
 * The terms of a connection: what each side said in its HELLO, and what follows from both.
 *
 * Owns: nothing; the lane keeps the results. Touches: reads the context's limits, which never change, and the options.
 * Pure functions otherwise. Threads: any.
 */
#ifndef LANE_NEGOTIATION_H
#define LANE_NEGOTIATION_H

#include "registry/account.h"
#include "wire/frame.h"
#include <sealane/conn.h>

struct negotiated {
    uint32_t accept;     /* payload classes that the peer takes and that we can send */
    bool has_outboxes;   /* both sides do */
    bool peer_snapshots; /* it takes pooled payloads only to copy them */
    bool peer_hugetlb;   /* it maps hugetlb blocks */
    uint32_t inline_max; /* largest inline payload that we may send, bytes */
    uint64_t block_max;  /* largest sealed or pooled payload that we may send, bytes */
    uint64_t bytes_max;  /* of our blocks, that the peer holds at a time */
    uint32_t blocks_max;
    uint32_t calls_max;  /* calls of ours in flight */
    int64_t clock_shift; /* what the peer's instants lack of ours (sys/clock.h) */
    char service[WIRE_SERVICE_MAX + 1];
};

/* Are these options usable? -EINVAL: not; *ret_why is a static text that begins with the field's name. */
int negotiation_check_options(const sea_options *options, const char **ret_why);

/* Lines of our frame ring, from the options or by default. */
uint32_t negotiation_ring_lines(const sea_options *options);

/* What we say. `service` is borrowed from the options. */
struct wire_hello negotiation_offer(const sea_ctx *ctx, const sea_options *options);

/* May descriptors come to the side that offers this? */
static inline bool negotiation_take_fds(const struct wire_hello *offer) {
    return offer->accept & SEA_SEALED || offer->features & WIRE_FEATURE_OUTBOX;
}

/* Which payloads the peer takes. */
struct grant negotiation_grant(const struct negotiated *negotiated);

/* Does the peer take blocks of this size in that class? */
bool negotiation_take(const struct negotiated *negotiated, int payload_class, size_t size);

/* The blocks of ours that the peer may hold: as many as it takes, but no more than our own quota for it. */
struct credit negotiation_credit(const struct negotiated *negotiated, const struct limits *quota);

/*
 * What follows from our HELLO and the peer's. `datagram_max` is what our socket can carry. On failure *ret_why is
 * a static text for the peer and its user. Errors: -EPROTONOSUPPORT, -ENOENT (it is another service), -EPROTO (limits
 * without sense).
 */
int negotiation_agree(const struct wire_hello *own, const struct wire_hello *peer, bool is_server, size_t datagram_max,
                      struct negotiated *ret_terms, const char **ret_why);

#endif
