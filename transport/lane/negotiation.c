/* SPDX-License-Identifier: MIT */
/* The terms: defaults, their bounds, and agreement. See negotiation.h. */
#include "lane/negotiation.h"

#include "lane/outbox.h"
#include "registry/options.h"
#include "registry/pools.h"
#include "sys/clock.h"
#include "util/arith.h"
#include <errno.h>
#include <string.h>

/* Up to here a copy through the socket was cheaper than a sealed memfd in every setting: doc/measurements.md. */
static const uint32_t INLINE_DEFAULT = 1u << 16;
static const uint32_t CALLS_DEFAULT = 256;
static const uint32_t CALLS_MOST = 65536;
static const uint32_t BLOCKS_DEFAULT = 1024;
static const uint32_t RING_LEAST = 1u << 12;
static const uint32_t RING_MOST = OUTBOX_LINES_MOST * LINE_SIZE;
static const uint32_t RING_DEFAULT = 1u << 16; /* doc/measurements.md */

/* Of a side that copies pooled payloads: the memory of a copy is freed in one go, in some 5 ms for so many bytes. */
static const uint64_t SNAPSHOT_MAX_DEFAULT = UINT64_C(64) << 20;

/* Room that a datagram needs beside an inline payload. */
static const size_t DATAGRAM_REST = WIRE_MESSAGE_SIZE + WIRE_TEXT_MAX;

static bool is_service_name(const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (name[i] < 0x21 || name[i] > 0x7e || name[i] == '/')
            return false;
    return n <= WIRE_SERVICE_MAX;
}

/* Why the methods are invalid, or NULL. */
static const char *methods_check(const sea_options *options) {
    for (size_t i = 0; i < options->methods_count; i++) {
        const sea_method *method = method_at(options, i);
        if (method->number >= SEA_METHOD_RESERVED && method->number != SEA_METHOD_ANY)
            return "methods: a number is one of the library's own (SEA_METHOD_RESERVED)";
        if (!method->handler)
            return "methods: one has no handler";
        if (method->flags)
            return "methods: one has flags that this library does not know";
        for (size_t k = 0; k < i; k++)
            if (method_at(options, k)->number == method->number)
                return "methods: a number is given twice";
    }
    return NULL;
}

static bool is_ring_size(uint32_t size) {
    return size == 0 || (size >= RING_LEAST && size <= RING_MOST && (size & (size - 1)) == 0);
}

uint32_t negotiation_ring_lines(const sea_options *options) {
    return (options->ring_size ? options->ring_size : RING_DEFAULT) / LINE_SIZE;
}

int negotiation_check_options(const sea_options *options, const char **ret_why) {
    const char *methods_why = methods_check(options);
    int r = pools_check_options(options->pool, ret_why);
    if (r < 0)
        return r;
    const struct {
        bool is_good;
        const char *why;
    } rules[] = {
        {!methods_why, methods_why},
        {!options->service || is_service_name(options->service),
         "service: a name has at most 63 visible ASCII characters, and no '/'"},
        {!(options->accept & ~(uint32_t) SEA_ANY_CLASS), "accept: an unknown class of payload"},
        {options->socket_mode <= 0777, "socket_mode: more than permissions (0777)"},
        {options->inline_max <= WIRE_INLINE_CEILING, "inline_max: more than 131072"},
        {options->calls_max <= CALLS_MOST, "calls_max: more than 65536"},
        {options->waiting >= SEA_WAIT_ADAPTIVE && options->waiting <= SEA_WAIT_SLEEP, "waiting: no SEA_WAIT_..."},
        {is_ring_size(options->ring_size), "ring_size: not a power of two from 4096 to 1048576"},
        {options->handshake_ms >= 0, "handshake_ms: negative"},
        {options->idle_ms >= 0, "idle_ms: negative"},
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
        if (!rules[i].is_good)
            return *ret_why = rules[i].why, -EINVAL;
    return 0;
}

struct wire_hello negotiation_offer(const sea_ctx *ctx, const sea_options *options) {
    const struct limits *quota = &ctx->peer_limits;
    uint32_t accept = options->accept ? options->accept : SEA_ANY_CLASS;
    uint32_t blocks_max = min_u32(options->blocks_max ? options->blocks_max : BLOCKS_DEFAULT, quota->fds);
    uint64_t hugetlb = options->accept_hugetlb ? WIRE_FEATURE_HUGETLB : 0;
    uint64_t outbox = options->socket_only ? 0 : WIRE_FEATURE_OUTBOX;
    uint64_t snapshot = 0;
    blocks_max = min_u32(blocks_max, OUTBOX_RELEASES_MOST);
    if (!outbox) {
        accept &= ~(uint32_t) SEA_POOLED;
    } else if ((accept & SEA_ANY_CLASS) == SEA_STABLE_ONLY) {
        snapshot = WIRE_FEATURE_SNAPSHOT;
        accept |= SEA_POOLED;
    }
    /* A payload with a snapshot is charged twice: with its arena, and as the copy. */
    uint64_t bytes_most = snapshot ? quota->bytes / 2 : quota->bytes;
    uint64_t bytes_max = options->bytes_max ? options->bytes_max : bytes_most;
    uint64_t block_most = snapshot ? SNAPSHOT_MAX_DEFAULT : UINT64_MAX;
    return (struct wire_hello){
        .magic = WIRE_MAGIC,
        .version_min = WIRE_VERSION,
        .version_max = WIRE_VERSION,
        .features = hugetlb | outbox | snapshot,
        .accept = accept,
        .inline_max = accept & SEA_INLINE ? (options->inline_max ? options->inline_max : INLINE_DEFAULT) : 0,
        .block_max = min_u64(options->block_max ? options->block_max : block_most, bytes_max),
        .bytes_max = bytes_max,
        .blocks_max = min_u32(blocks_max, quota->blocks),
        .calls_max = options->calls_max ? options->calls_max : CALLS_DEFAULT,
        .fds_max = 1,
        .service_size = options->service ? (uint8_t) strlen(options->service) : 0,
        .service = options->service,
    };
}

static bool is_same_service(const struct wire_hello *a, const struct wire_hello *b) {
    return a->service_size == b->service_size && memcmp(a->service, b->service, a->service_size) == 0;
}

/* If one side does not name its clock, both are taken to have one clock. */
static int64_t shift_between(const struct wire_hello *own, const struct wire_hello *peer) {
    const struct clock_name ours = {own->clock_space, own->clock_epoch},
                            theirs = {peer->clock_space, peer->clock_epoch};
    return own->features & peer->features & WIRE_FEATURE_CLOCK ? clock_shift(&ours, &theirs) : 0;
}

int negotiation_agree(const struct wire_hello *own, const struct wire_hello *peer, bool is_server, size_t datagram_max,
                      struct negotiated *ret_terms, const char **ret_why) {
    uint16_t version = own->version_max < peer->version_max ? own->version_max : peer->version_max;
    if (version < own->version_min || version < peer->version_min)
        return *ret_why = "no protocol version in common", -EPROTONOSUPPORT;
    const struct wire_hello *demand = is_server ? peer : own;
    if (demand->service_size && !is_same_service(own, peer))
        return *ret_why = "this server is not the service that the client demands", -ENOENT;
    if (peer->inline_max > WIRE_INLINE_CEILING)
        return *ret_why = "inline_max is over the protocol's ceiling", -EPROTO;
    size_t carries = datagram_max > DATAGRAM_REST ? datagram_max - DATAGRAM_REST : 0;
    bool has_outboxes = own->features & peer->features & WIRE_FEATURE_OUTBOX;
    *ret_terms = (struct negotiated){
        .accept = peer->accept &
                  (has_outboxes ? SEA_ANY_CLASS : SEA_STABLE_ONLY), /* classes of later versions we cannot send */
        .has_outboxes = has_outboxes,
        .peer_snapshots = peer->features & WIRE_FEATURE_SNAPSHOT,
        .peer_hugetlb = peer->features & WIRE_FEATURE_HUGETLB,
        .inline_max = peer->accept & SEA_INLINE ? (uint32_t) min_u64(peer->inline_max, carries) : 0,
        .block_max = peer->fds_max && peer->blocks_max ? peer->block_max : 0,
        .bytes_max = peer->bytes_max,
        .blocks_max = peer->blocks_max,
        .calls_max = min_u32(peer->calls_max, CALLS_MOST),
        .clock_shift = shift_between(own, peer),
    };
    memcpy(ret_terms->service, peer->service, peer->service_size);
    return 0;
}

struct grant negotiation_grant(const struct negotiated *negotiated) {
    return (struct grant){.accept = negotiated->accept,
                          .inline_max = negotiated->inline_max,
                          .block_max = negotiated->block_max,
                          .bytes_max = negotiated->bytes_max,
                          .takes_hugetlb = negotiated->peer_hugetlb};
}

bool negotiation_take(const struct negotiated *negotiated, int payload_class, size_t size) {
    const struct grant grant = negotiation_grant(negotiated);
    return grant_takes(&grant, payload_class, size);
}

struct credit negotiation_credit(const struct negotiated *negotiated, const struct limits *quota) {
    /* Sealed ones take a descriptor each, and there are no others where the peer does not take pooled ones. */
    uint32_t blocks = negotiated->accept & SEA_POOLED ? quota->blocks : min_u32(quota->blocks, quota->fds);
    return (struct credit){min_u64(negotiated->bytes_max, quota->bytes), min_u32(negotiated->blocks_max, blocks)};
}
