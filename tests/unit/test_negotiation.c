/* SPDX-License-Identifier: MIT */
/* lane/negotiation: which options are usable, what a side offers, and the agreement of two offers. */
#include "support/suite.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lane/negotiation.h"
#include "unit/room_ctx.h"

static const uint32_t INLINE_DEFAULT = 1u << 16;

static void handler(sea_msg *msg, void *user) {
    (void) msg;
    (void) user;
}

/* --- options --- */

static bool are_good(const sea_options *options) {
    const char *why = NULL;
    int r = negotiation_check_options(options, &why);
    ck_assert_msg(r == 0 ? why == NULL : r == -EINVAL, "%d: %s", r, why);
    return r == 0;
}

/* The reason begins with the field's name. */
static void assert_named(const sea_options *options, const char *field) {
    const char *why = NULL;
    ck_assert_int_eq(negotiation_check_options(options, &why), -EINVAL);
    ck_assert_ptr_nonnull(why);
    ck_assert_msg(!strncmp(why, field, strlen(field)) && why[strlen(field)] == ':', "%s: %s", field, why);
}

START_TEST(test_no_options_are_good_options) {
    const sea_options options = {0};
    ck_assert(are_good(&options));
}
END_TEST

static const char name_of_63[] = "1234567890123456789012345678901234567890123456789012345678901-3";
static const char name_of_64[] = "1234567890123456789012345678901234567890123456789012345678901--4";

START_TEST(test_the_largest_options_are_good) {
    const sea_method methods[] = {{.number = 0, .name = NULL, .handler = handler},
                                  {.number = SEA_METHOD_RESERVED - 1, .name = "last", .handler = handler}};
    const sea_options options = {
        SEA_METHODS(methods),          .service = name_of_63,
        .accept = SEA_ANY_CLASS,       .accept_hugetlb = true,
        .socket_mode = 0777,           .inline_max = WIRE_INLINE_CEILING,
        .block_max = UINT64_MAX,       .calls_max = 65536,
        .blocks_max = UINT32_MAX,      .bytes_max = UINT64_MAX,
        .connections_max = UINT32_MAX, .waiting = SEA_WAIT_SLEEP,
        .ring_size = 1048576,          .handshake_ms = INT_MAX,
    };
    ck_assert_uint_eq(strlen(name_of_63), 63);
    ck_assert(are_good(&options));
}
END_TEST

static const struct {
    const char *field;
    sea_options options;
} bad_options[] = {
    {"accept", {.accept = SEA_ANY_CLASS + 1}},
    {"accept", {.accept = 8}},
    {"accept", {.accept = UINT32_MAX}},
    {"inline_max", {.inline_max = WIRE_INLINE_CEILING + 1}},
    {"inline_max", {.inline_max = UINT32_MAX}},
    {"calls_max", {.calls_max = 65537}},
    {"handshake_ms", {.handshake_ms = -1}},
    {"handshake_ms", {.handshake_ms = INT_MIN}},
    {"socket_mode", {.socket_mode = 01000}},
    {"socket_mode", {.socket_mode = 04600}},
    {"waiting", {.waiting = -1}},
    {"waiting", {.waiting = SEA_WAIT_SLEEP + 1}},
    {"ring_size", {.ring_size = 2048}},
    {"ring_size", {.ring_size = 4097}},
    {"ring_size", {.ring_size = 1u << 21}},
    {"idle_ms", {.idle_ms = -1}},
};

START_TEST(test_options_out_of_range) {
    assert_named(&bad_options[_i].options, bad_options[_i].field);
}
END_TEST

START_TEST(test_service_names) {
    static const char *const good[] = {"", "a", "imaging.v2", "~!", "a:b", "@x", name_of_63};
    static const char *const bad[] = {name_of_64, "two words", "a/b",         "/", "tab\t",
                                      "line\n",   "\x7f",      "caf\xc3\xa9", " "};
    ck_assert_uint_eq(strlen(name_of_64), 64);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const sea_options options = {.service = good[i]};
        ck_assert_msg(are_good(&options), "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const sea_options options = {.service = bad[i]};
        assert_named(&options, "service");
    }
}
END_TEST

START_TEST(test_methods) {
    static const sea_method bad[][2] = {
        {{.number = 5, .name = "a", .handler = handler}, {.number = 5, .name = "b", .handler = handler}}, /* twice */
        {{.number = 5, .name = "a", .handler = handler},
         {.number = SEA_METHOD_RESERVED, .name = "b", .handler = handler}}, /* reserved for the library */
        {{.number = 5, .flags = 1, .handler = handler}, {.number = 6, .handler = handler}}, /* unknown flags */
        {{.number = UINT32_MAX - 1, .name = "a", .handler = handler},
         {.number = 5, .name = "b", .handler = handler}}, /* reserved for the library */
        {{.number = 5, .name = "a", .handler = NULL},
         {.number = 6, .name = "b", .handler = handler}}, /* this table serves no method */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const sea_options options = {SEA_METHODS(bad[i])};
        assert_named(&options, "methods");
    }
    const sea_options first_alone = {.methods = bad[0], .methods_count = 1};
    ck_assert(are_good(&first_alone));
}
END_TEST

/* --- the offer --- */

static const sea_ctx_options limits = {.peer_bytes = 1000000, .peer_blocks = 300, .peer_fds = 200};

START_TEST(test_the_default_offer) {
    const sea_options options = {0};
    ctx_anew(&limits);
    struct wire_hello hello = negotiation_offer(ctx, &options);
    ck_assert_uint_eq(hello.magic, WIRE_MAGIC);
    ck_assert_uint_eq(hello.version_min, WIRE_VERSION);
    ck_assert_uint_eq(hello.version_max, WIRE_VERSION);
    ck_assert_uint_eq(hello.features, WIRE_FEATURE_OUTBOX);
    ck_assert_uint_eq(hello.accept, SEA_ANY_CLASS);
    ck_assert_uint_eq(hello.inline_max, INLINE_DEFAULT);
    ck_assert_uint_eq(hello.block_max, 1000000);
    ck_assert_uint_eq(hello.bytes_max, 1000000);
    ck_assert_uint_eq(hello.blocks_max, 200);
    ck_assert_uint_eq(hello.calls_max, 256);
    ck_assert_uint_eq(hello.fds_max, 1);
    ck_assert_uint_eq(hello.service_size, 0);
}
END_TEST

/* Copies of pooled payloads are made, and each is freed at once. */
START_TEST(test_a_block_of_which_copies_are_made) {
    const sea_ctx_options large = {.peer_bytes = UINT64_C(1) << 30, .peer_blocks = 100, .peer_fds = 100};
    const sea_options stable = {.accept = SEA_STABLE_ONLY}, any = {.accept = SEA_ANY_CLASS},
                      asked = {.accept = SEA_STABLE_ONLY, .block_max = UINT64_C(100) << 20},
                      socket = {.accept = SEA_STABLE_ONLY, .socket_only = true};
    sea_ctx *other = NULL;
    ck_assert_int_eq(sea_ctx_new(&other, &large), 0);
    ck_assert_uint_eq(negotiation_offer(other, &stable).block_max, UINT64_C(64) << 20);
    ck_assert_uint_eq(negotiation_offer(other, &any).block_max, UINT64_C(1) << 30);
    ck_assert_uint_eq(negotiation_offer(other, &asked).block_max, UINT64_C(100) << 20);
    ck_assert_uint_eq(negotiation_offer(other, &socket).block_max, UINT64_C(1) << 30);
    sea_ctx_unref(other);
}
END_TEST

START_TEST(test_an_offer_follows_the_options) {
    const sea_options options = {.service = "imaging",
                                 .accept = SEA_STABLE_ONLY,
                                 .accept_hugetlb = true,
                                 .inline_max = 100,
                                 .block_max = 5000,
                                 .calls_max = 7,
                                 .blocks_max = 9,
                                 .bytes_max = 11000};
    struct wire_hello hello = negotiation_offer(ctx, &options);
    ck_assert_uint_eq(hello.features, WIRE_FEATURE_HUGETLB | WIRE_FEATURE_OUTBOX | WIRE_FEATURE_SNAPSHOT);
    ck_assert_uint_eq(hello.accept, SEA_ANY_CLASS);
    ck_assert_uint_eq(hello.inline_max, 100);
    ck_assert_uint_eq(hello.block_max, 5000);
    ck_assert_uint_eq(hello.bytes_max, 11000);
    ck_assert_uint_eq(hello.blocks_max, 9);
    ck_assert_uint_eq(hello.calls_max, 7);
    ck_assert_uint_eq(hello.service_size, 7);
    ck_assert_ptr_eq(hello.service, options.service);
}
END_TEST

/* The default of blocks_max is 1024, but no default offers more than the peer's quota has. */
START_TEST(test_blocks_are_no_more_than_the_quota) {
    static const struct {
        uint32_t asked, blocks, fds, offered;
    } cases[] = {{0, 5000, 5000, 1024}, {0, 300, 5000, 300},      {0, 5000, 300, 300},
                 {400, 300, 5000, 300}, {UINT32_MAX, 50, 60, 50}, {4000, 5000, 6000, 4000}};
    const sea_ctx_options quota = {.peer_bytes = 1, .peer_blocks = cases[_i].blocks, .peer_fds = cases[_i].fds};
    const sea_options options = {.blocks_max = cases[_i].asked};
    ctx_anew(&quota);
    ck_assert_uint_eq(negotiation_offer(ctx, &options).blocks_max, cases[_i].offered);
}
END_TEST

START_TEST(test_a_block_is_no_larger_than_all_of_them) {
    ctx_anew(&limits);
    const sea_options larger = {.block_max = 2000000}, smaller = {.block_max = 10}, bytes = {.bytes_max = 10};
    ck_assert_uint_eq(negotiation_offer(ctx, &larger).block_max, 1000000);
    ck_assert_uint_eq(negotiation_offer(ctx, &smaller).block_max, 10);
    ck_assert_uint_eq(negotiation_offer(ctx, &bytes).block_max, 10);
}
END_TEST

/*
 * The offer for each choice of classes: pooled payloads need outboxes, and a side that takes both stable classes also
 * takes pooled payloads, to copy them. A side that takes one of them alone gets that one.
 */
static const struct {
    uint32_t asked;
    bool socket_only;
    uint32_t accept;
    uint64_t features;
    uint32_t inline_max;
} choices[] = {
    {0, false, SEA_ANY_CLASS, WIRE_FEATURE_OUTBOX, 100},
    {SEA_ANY_CLASS, false, SEA_ANY_CLASS, WIRE_FEATURE_OUTBOX, 100},
    {SEA_STABLE_ONLY, false, SEA_ANY_CLASS, WIRE_FEATURE_OUTBOX | WIRE_FEATURE_SNAPSHOT, 100},
    {SEA_INLINE, false, SEA_INLINE, WIRE_FEATURE_OUTBOX, 100},
    {SEA_SEALED, false, SEA_SEALED, WIRE_FEATURE_OUTBOX, 0},
    {SEA_POOLED, false, SEA_POOLED, WIRE_FEATURE_OUTBOX, 0},
    {SEA_INLINE | SEA_POOLED, false, SEA_INLINE | SEA_POOLED, WIRE_FEATURE_OUTBOX, 100},
    {SEA_SEALED | SEA_POOLED, false, SEA_SEALED | SEA_POOLED, WIRE_FEATURE_OUTBOX, 0},
    {0, true, SEA_STABLE_ONLY, 0, 100},
    {SEA_STABLE_ONLY, true, SEA_STABLE_ONLY, 0, 100},
    {SEA_INLINE, true, SEA_INLINE, 0, 100},
    {SEA_SEALED | SEA_POOLED, true, SEA_SEALED, 0, 0},
    {SEA_POOLED, true, 0, 0, 0},
};
#define CHOICES ((int) (sizeof choices / sizeof *choices))

START_TEST(test_classes_not_accepted_are_not_offered) {
    const sea_options options = {
        .accept = choices[_i].asked, .socket_only = choices[_i].socket_only, .inline_max = 100};
    struct wire_hello hello = negotiation_offer(ctx, &options);
    ck_assert_uint_eq(hello.accept, choices[_i].accept);
    ck_assert_uint_eq(hello.features, choices[_i].features);
    ck_assert_uint_eq(hello.inline_max, choices[_i].inline_max);
}
END_TEST

/* Our own decoder accepts every offer. */
START_TEST(test_every_offer_can_be_decoded) {
    const sea_options cases[] = {{0},
                                 {.accept = SEA_POOLED},
                                 {.accept = SEA_SEALED, .block_max = UINT64_MAX, .bytes_max = UINT64_MAX},
                                 {.inline_max = WIRE_INLINE_CEILING, .service = name_of_63, .accept_hugetlb = true},
                                 {.service = ""}};
    uint8_t buf[WIRE_HELLO_MOST];
    struct wire_frame frame;
    struct wire_hello hello = negotiation_offer(ctx, &cases[_i]);
    ck_assert_ptr_null(wire_decode(buf, wire_encode_hello(buf, &hello), &frame));
    ck_assert_uint_eq(frame.head.type, WIRE_HELLO);
    ck_assert_uint_eq(frame.hello.block_max, hello.block_max);
    ck_assert_uint_eq(frame.hello.service_size, hello.service_size);
}
END_TEST

/* --- agreement --- */

static struct wire_hello hello_of(const char *service) {
    return (struct wire_hello){
        .magic = WIRE_MAGIC,
        .version_min = WIRE_VERSION,
        .version_max = WIRE_VERSION,
        .accept = SEA_STABLE_ONLY,
        .inline_max = 1000,
        .block_max = 2000,
        .bytes_max = 3000,
        .blocks_max = 40,
        .calls_max = 50,
        .fds_max = 1,
        .service_size = (uint8_t) strlen(service),
        .service = service,
    };
}

static const size_t ENOUGH = 200000;

static int agree(const struct wire_hello *own, const struct wire_hello *peer, bool is_server, struct negotiated *ret) {
    const char *why = NULL;
    int r = negotiation_agree(own, peer, is_server, ENOUGH, ret, &why);
    ck_assert_int_eq(r < 0, why != NULL && why[0] != '\0');
    return r;
}

START_TEST(test_the_peers_limits_are_ours_to_keep) {
    struct wire_hello own = hello_of(""), peer = hello_of("imaging");
    struct negotiated negotiated;
    own.inline_max = 1; /* the size that we receive does not limit the size that we may send */
    own.block_max = own.bytes_max = own.blocks_max = own.calls_max = 1;
    own.accept = 0;
    ck_assert_int_eq(agree(&own, &peer, false, &negotiated), 0);
    ck_assert_uint_eq(negotiated.accept, SEA_STABLE_ONLY);
    ck_assert(!negotiated.peer_hugetlb);
    ck_assert_uint_eq(negotiated.inline_max, 1000);
    ck_assert_uint_eq(negotiated.block_max, 2000);
    ck_assert_uint_eq(negotiated.bytes_max, 3000);
    ck_assert_uint_eq(negotiated.blocks_max, 40);
    ck_assert_uint_eq(negotiated.calls_max, 50);
    ck_assert_str_eq(negotiated.service, "imaging");
}
END_TEST

START_TEST(test_versions) {
    static const struct {
        uint16_t own_min, own_max, peer_min, peer_max;
        int result;
    } cases[] = {
        {1, 1, 1, 1, 0},
        {1, 1, 1, 9, 0},
        {1, 1, 0, 1, 0},
        {2, 4, 3, 9, 0},
        {2, 4, 4, 4, 0},
        {1, 1, 2, 9, -EPROTONOSUPPORT},
        {2, 4, 5, 9, -EPROTONOSUPPORT},
        {2, 4, 0, 1, -EPROTONOSUPPORT},
        {1, 1, 0, 0, -EPROTONOSUPPORT},
        {1, 1, UINT16_MAX, UINT16_MAX, -EPROTONOSUPPORT},
    };
    struct wire_hello own = hello_of(""), peer = hello_of("");
    struct negotiated negotiated;
    own.version_min = cases[_i].own_min;
    own.version_max = cases[_i].own_max;
    peer.version_min = cases[_i].peer_min;
    peer.version_max = cases[_i].peer_max;
    ck_assert_int_eq(agree(&own, &peer, _i % 2, &negotiated), cases[_i].result);
}
END_TEST

/* A client that names a service gets this service or an error; a server serves clients that name none. */
START_TEST(test_services) {
    static const struct {
        const char *client, *server;
        int result;
    } cases[] = {
        {"", "", 0},
        {"", "imaging", 0},
        {"imaging", "imaging", 0},
        {"imaging", "", -ENOENT},
        {"imaging", "imagine", -ENOENT},
        {"imaging", "imaging2", -ENOENT},
        {"imaging2", "imaging", -ENOENT},
        {"imaging", "IMAGING", -ENOENT},
    };
    struct wire_hello client = hello_of(cases[_i].client), server = hello_of(cases[_i].server);
    struct negotiated negotiated;
    ck_assert_int_eq(agree(&client, &server, false, &negotiated), cases[_i].result);
    if (cases[_i].result == 0)
        ck_assert_str_eq(negotiated.service, cases[_i].server);
    ck_assert_int_eq(agree(&server, &client, true, &negotiated), cases[_i].result);
    if (cases[_i].result == 0)
        ck_assert_str_eq(negotiated.service, cases[_i].client);
}
END_TEST

START_TEST(test_the_longest_service_name_is_kept) {
    struct wire_hello own = hello_of(""), peer = hello_of(name_of_63);
    struct negotiated negotiated;
    memset(&negotiated, 'x', sizeof negotiated);
    ck_assert_int_eq(agree(&own, &peer, false, &negotiated), 0);
    ck_assert_str_eq(negotiated.service, name_of_63);
}
END_TEST

/* An inline payload travels in one datagram with its head and possibly a text. */
START_TEST(test_inline_payloads_fit_into_the_socket) {
    static const size_t rest = WIRE_MESSAGE_SIZE + WIRE_TEXT_MAX;
    static const struct {
        size_t datagram_max;
        uint32_t inline_max;
    } cases[] = {{0, 0},
                 {rest - 1, 0},
                 {rest, 0},
                 {rest + 1, 1},
                 {rest + 999, 999},
                 {rest + 1000, 1000},
                 {rest + 1001, 1000},
                 {SIZE_MAX, 1000}};
    struct wire_hello own = hello_of(""), peer = hello_of("");
    struct negotiated negotiated;
    const char *why = NULL;
    ck_assert_int_eq(negotiation_agree(&own, &peer, true, cases[_i].datagram_max, &negotiated, &why), 0);
    ck_assert_uint_eq(negotiated.inline_max, cases[_i].inline_max);
}
END_TEST

START_TEST(test_a_peer_that_takes_less) {
    struct wire_hello own = hello_of(""), peer = hello_of("");
    struct negotiated negotiated;
    peer.accept = SEA_SEALED; /* then its inline_max does not count */
    ck_assert_int_eq(agree(&own, &peer, true, &negotiated), 0);
    ck_assert_uint_eq(negotiated.accept, SEA_SEALED);
    ck_assert_uint_eq(negotiated.inline_max, 0);
    peer.accept = SEA_INLINE;
    peer.fds_max = 0;
    ck_assert_int_eq(agree(&own, &peer, true, &negotiated), 0);
    ck_assert_uint_eq(negotiated.accept, SEA_INLINE);
    ck_assert_uint_eq(negotiated.block_max, 0);
    peer.accept = 0;
    ck_assert_int_eq(agree(&own, &peer, true, &negotiated), 0);
    ck_assert_uint_eq(negotiated.accept, 0);
}
END_TEST

/* Classes and features of later versions are ignored. */
START_TEST(test_unknown_features_are_not_agreed) {
    struct wire_hello own = hello_of(""), peer = hello_of("");
    struct negotiated negotiated;
    peer.accept = UINT32_MAX;
    peer.features = ~(uint64_t) WIRE_FEATURE_HUGETLB;
    ck_assert_int_eq(agree(&own, &peer, true, &negotiated), 0);
    ck_assert_uint_eq(negotiated.accept, SEA_STABLE_ONLY);
    ck_assert(!negotiated.peer_hugetlb);
    peer.features = UINT64_MAX;
    ck_assert_int_eq(agree(&own, &peer, true, &negotiated), 0);
    ck_assert(negotiated.peer_hugetlb);
}
END_TEST

/* Pooled payloads go through rings, which need both sides; whether the peer copies the payloads does not matter. */
START_TEST(test_pooled_payloads_need_both_outboxes) {
    struct wire_hello own = hello_of(""), peer = hello_of("");
    struct negotiated negotiated;
    bool own_has = _i & 1, peer_has = _i & 2, snapshots = _i & 4;
    own.features = own_has ? WIRE_FEATURE_OUTBOX : 0;
    peer.features =
        (uint64_t) (peer_has ? WIRE_FEATURE_OUTBOX : 0) | (uint64_t) (snapshots ? WIRE_FEATURE_SNAPSHOT : 0);
    peer.accept = UINT32_MAX;
    ck_assert_int_eq(agree(&own, &peer, false, &negotiated), 0);
    ck_assert(negotiated.has_outboxes == (own_has && peer_has));
    ck_assert_uint_eq(negotiated.accept, own_has && peer_has ? SEA_ANY_CLASS : SEA_STABLE_ONLY);
    ck_assert(negotiated.peer_snapshots == snapshots);
    peer.accept = SEA_POOLED;
    ck_assert_int_eq(agree(&own, &peer, false, &negotiated), 0);
    ck_assert_uint_eq(negotiated.accept, own_has && peer_has ? SEA_POOLED : 0);
    ck_assert_uint_eq(negotiated.inline_max, 0);
}
END_TEST

START_TEST(test_limits_that_make_no_sense) {
    struct wire_hello own = hello_of(""), peer = hello_of("");
    struct negotiated negotiated;
    peer.inline_max = WIRE_INLINE_CEILING;
    peer.calls_max = UINT32_MAX;
    peer.block_max = peer.bytes_max = UINT64_MAX;
    peer.blocks_max = UINT32_MAX;
    ck_assert_int_eq(agree(&own, &peer, true, &negotiated), 0);
    ck_assert_uint_eq(negotiated.inline_max, WIRE_INLINE_CEILING);
    ck_assert_uint_eq(negotiated.calls_max, 65536); /* our table holds no more */
    ck_assert_uint_eq(negotiated.block_max, UINT64_MAX);
    peer.inline_max = WIRE_INLINE_CEILING + 1;
    ck_assert_int_eq(agree(&own, &peer, true, &negotiated), -EPROTO);
}
END_TEST

/* The credit is the amount that the peer takes, but no more than we let it hold. */
START_TEST(test_credit) {
    static const struct {
        uint64_t bytes, quota_bytes, credit_bytes;
        uint32_t blocks, quota_blocks, credit_blocks;
    } cases[] = {
        {10, 20, 10, 3, 2, 2}, {20, 10, 10, 2, 3, 2}, {UINT64_MAX, 5, 5, UINT32_MAX, 6, 6}, {0, 5, 0, 0, 6, 0}};
    struct negotiated negotiated = {
        .accept = SEA_ANY_CLASS, .bytes_max = cases[_i].bytes, .blocks_max = cases[_i].blocks};
    const struct limits quota = {.bytes = cases[_i].quota_bytes, .blocks = cases[_i].quota_blocks, .fds = 1};
    struct credit credit = negotiation_credit(&negotiated, &quota);
    ck_assert_uint_eq(credit.bytes, cases[_i].credit_bytes);
    ck_assert_uint_eq(credit.blocks, cases[_i].credit_blocks);
    negotiated.accept = SEA_STABLE_ONLY; /* each block takes a descriptor */
    credit = negotiation_credit(&negotiated, &quota);
    ck_assert_uint_eq(credit.blocks, cases[_i].credit_blocks ? 1 : 0);
}
END_TEST

START_TEST(test_nothing_is_written_on_failure) {
    struct wire_hello own = hello_of("one"), peer = hello_of("another");
    struct negotiated negotiated, before;
    memset(&negotiated, 0x5a, sizeof negotiated);
    before = negotiated;
    ck_assert_int_eq(agree(&own, &peer, false, &negotiated), -ENOENT);
    ck_assert_mem_eq(&negotiated, &before, sizeof negotiated);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("negotiation");
    suite_fixture(s, ctx_before, ctx_after);
    suite_add(s, test_no_options_are_good_options);
    suite_add(s, test_the_largest_options_are_good);
    suite_add_loop(s, test_options_out_of_range, 0, sizeof bad_options / sizeof *bad_options);
    suite_add(s, test_service_names);
    suite_add(s, test_methods);
    suite_add(s, test_the_default_offer);
    suite_add(s, test_an_offer_follows_the_options);
    suite_add(s, test_a_block_of_which_copies_are_made);
    suite_add_loop(s, test_blocks_are_no_more_than_the_quota, 0, 6);
    suite_add(s, test_a_block_is_no_larger_than_all_of_them);
    suite_add_loop(s, test_classes_not_accepted_are_not_offered, 0, CHOICES);
    suite_add_loop(s, test_every_offer_can_be_decoded, 0, 5);
    suite_add(s, test_the_peers_limits_are_ours_to_keep);
    suite_add_loop(s, test_versions, 0, 10);
    suite_add_loop(s, test_services, 0, 8);
    suite_add(s, test_the_longest_service_name_is_kept);
    suite_add_loop(s, test_inline_payloads_fit_into_the_socket, 0, 8);
    suite_add(s, test_a_peer_that_takes_less);
    suite_add(s, test_unknown_features_are_not_agreed);
    suite_add_loop(s, test_pooled_payloads_need_both_outboxes, 0, 8);
    suite_add(s, test_limits_that_make_no_sense);
    suite_add_loop(s, test_credit, 0, 4);
    suite_add(s, test_nothing_is_written_on_failure);
    return suite_run(s);
}
