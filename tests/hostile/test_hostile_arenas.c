/* SPDX-License-Identifier: MIT */
/*
 * Hostile arenas against a real server: descriptors of every kind, announcements that do not match them, frames that
 * name missing arenas and blocks, releases of leases that were never granted, bytes that change while they are read.
 *
 * As in test_hostile_server.c: a violation of the protocol ends that connection with a text; a payload over a limit of
 * ours is refused and the connection goes on; an honest client is served all the time, and no resource is left.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hostile/attacks.h"
#include "hostile/scene.h"
#include "memory/arena.h"
#include "support/raw.h"
#include "support/ring_speaker.h"
#include "support/suite.h"
#include "support/trap.h"
#include "wire/handle.h"

#define SIZE ((size_t) 8192) /* size of the sealed payloads of attacks.c */
#define STRIDE ((size_t) 4096)
#define COUNT 8u

static struct attempt attempt;

/* An attacker that has greeted with an outbox, and an arena that it can write. */
static struct {
    struct ring_speaker *rings;
    struct arena arena;
} attacker;

static void attacker_open(void) {
    static struct draft greeting; /* separate, because an attempt may be composed already */
    attacker.arena = ARENA_EMPTY;
    attacker.rings = ring_speaker_new(scene_connect(), 256, 1024);
    struct wire_hello hello = hello_sound();
    hello.features = WIRE_FEATURE_OUTBOX;
    hello.accept = WIRE_CLASS_ANY;
    draft_hello(&greeting, &hello);
    draft_add_fd(&greeting, attacker.rings->own.fd);
    ck_assert_int_eq(speaker_send(attacker.rings->speaker, &greeting), 0);
    ring_speaker_open(attacker.rings);
}

/* The attacker sends no further frame, and waits for the GOODBYE. */
static void attacker_close(void) {
    arena_deinit(&attacker.arena);
    attacker.arena = ARENA_EMPTY;
    attacker.rings = ring_speaker_free(attacker.rings);
}

static void begin(void) {
    scene_set();
    attacker_open();
}

static void end(void) {
    attacker_close();
    service_drop(scene.service);
    scene_end();
}

/* Checks that both sides got the text, and ends the attacker. */
static void end_told(const char *what, const char *word) {
    scene_assert_told(attacker.rings->speaker, what, -EPROTO, word);
    attacker.rings->speaker = NULL; /* the call above has freed it */
    end();
}

/* Sends a numbered datagram, with its mark. */
static void send_marked(void) {
    ck_assert_int_eq(speaker_send(attacker.rings->speaker, &attempt.draft), 0);
    ring_say_mark(attacker.rings, ++attacker.rings->marks);
    ring_speaker_doorbell(attacker.rings);
}

static void announce(uint32_t id, uint32_t count, uint64_t stride, uint64_t size, int fd) {
    const struct wire_arena arena = {.id = id, .count = count, .stride = stride, .size = size};
    draft_arena(&attempt.draft, &arena, fd);
    send_marked();
}

static void make_arena(size_t stride, uint32_t count) {
    ck_assert_int_eq(arena_init(&attacker.arena, stride, count, NULL), 0);
}

/* Announces an arena as an honest peer does. */
static void announce_honestly(uint32_t id) {
    if (!attacker.arena.data)
        make_arena(STRIDE, COUNT);
    announce(id, attacker.arena.count, attacker.arena.stride, attacker.arena.size, attacker.arena.fd);
}

static void retire(uint32_t id) {
    draft_retire(&attempt.draft, id);
    send_marked();
}

static void say_pooled(uint64_t id, uint32_t method, uint64_t handle, uint64_t size) {
    const struct wire_message message = {
        .method = method, .handle = handle, .payload_size = size, .payload_class = WIRE_CLASS_POOLED};
    ring_say(attacker.rings, id ? WIRE_CALL : WIRE_ONEWAY, id, &message, NULL);
    ring_speaker_doorbell(attacker.rings);
}

static struct wire_message expect_reply(uint64_t id) {
    char bytes[8];
    struct wire_frame frame;
    do {
        frame = ring_expect(attacker.rings, WIRE_REPLY, bytes, sizeof bytes);
    } while (frame.head.id != id); /* kept calls are answered when the connection releases them */
    return frame.message;
}

/* Checks that the server still serves this connection. */
static void assert_answers(void) {
    ring_say_inline(attacker.rings, 777, SERVICE_ECHO, 20);
    ring_speaker_doorbell(attacker.rings);
    ck_assert_int_eq(expect_reply(777).status, 0);
}

/* Checks that the payload's lease came back by the release ring. */
static void assert_given_back(uint64_t handle) {
    uint64_t back = 0;
    for (int waited = 0; waited < SCENE_PATIENCE_MS && back != handle; waited++)
        if (!release_read(&attacker.rings->releases_in, &back))
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ck_assert_uint_eq(back, handle);
}

/* --- descriptors --- */

/* Attacks of attacks.c whose descriptor is sent as an arena of SIZE bytes, and the text of the refusal. */
static const struct {
    const char *name, *word;
} kinds[] = {
    {"unsealed memfd", "F_SEAL_"},
    {"memfd that cannot be sealed", "F_SEAL_"},
    {"memfd without F_SEAL_WRITE", "F_SEAL_"}, /* F_SEAL_FUTURE_WRITE is missing as well */
    {"shrinkable memfd", "F_SEAL_"},
    {"growable memfd", "F_SEAL_"},
    {"memfd without F_SEAL_SEAL", "F_SEAL_"},
    {"/dev/zero", "not a memfd"},
    {"pipe", "not a memfd"},
    {"socket", "not a memfd"},
    {"directory", "not a memfd"},
    {"O_PATH", "not a memfd"},
    {"eventfd", "not a memfd"},
    {"epoll", "not a memfd"},
    {"file on /dev/shm", "F_SEAL_"},
    {"lingering TCP socket", "not a memfd"},
    {"FUSE file that hangs", "not a memfd"},
    {"hugetlb memfd, undeclared", "hugetlb"},
    {"memfd smaller than declared", "size"},
    {"memfd larger than declared", "size"},
    {"memfd a byte off", "size"},
    {"empty memfd", "size"},
    {"sparse giant, declared small", "size"},
    {"memfd without pages", "holes"},
    {"two descriptors for one", "more descriptors"},
    {"253 descriptors for one", "more descriptors"},
    {"the same descriptor twice", "more descriptors"},
    {"too few descriptors", "fewer descriptors"},
};
#define KINDS ((int) (sizeof kinds / sizeof *kinds))

static const struct attack *attack_named(const char *name) {
    for (int i = 0; i < attacks_count; i++)
        if (!strcmp(attacks[i].name, name))
            return &attacks[i];
    ck_abort_msg("no attack is called \"%s\"", name);
    return NULL;
}

/* Keeps the descriptors of the draft, and puts an ARENA frame around them. */
static void make_it_an_arena(void) {
    uint8_t frame[WIRE_ARENA_SIZE];
    const struct wire_arena arena = {.id = 3, .count = 2, .stride = SIZE / 2, .size = SIZE};
    attempt.draft.size = wire_encode_arena(frame, &arena);
    memcpy(attempt.draft.data, frame, sizeof frame);
}

START_TEST(test_descriptors) {
    if (!attempt_compose(&attempt, attack_named(kinds[_i].name), 1, SERVICE_ECHO))
        test_skip("%s: %s", kinds[_i].name, attempt.why_not);
    begin();
    make_it_an_arena();
    send_marked();
    attempt_let_go(&attempt);
    scene_assert_told(attacker.rings->speaker, kinds[_i].name, -EPROTO, kinds[_i].word);
    attacker.rings->speaker = NULL;
    ck_assert_msg(bystander_sees(scene.bystander, 8, SCENE_PATIENCE_MS), "%s: the honest client waits", kinds[_i].name);
    trap_disarm(&attempt.trap);
    end();
    attempt_deinit(&attempt);
}
END_TEST

/* The arena is charged in full, whatever st_blocks says; at worst the missing page reads as zeros. */
START_TEST(test_a_hole_in_disguise) {
    begin();
    int fd = trap_disguised_hole(4 * SIZE);
    announce(3, 1, 4 * SIZE, 4 * SIZE, fd);
    close(fd);
    say_pooled(1, SERVICE_ECHO, handle_make(3, 0, 1), 4 * SIZE);
    ck_assert_int_eq(expect_reply(1).status, 0);
    assert_given_back(handle_make(3, 0, 1));
    end();
}
END_TEST

/* --- announcements --- */

/* Announcements of an arena of COUNT blocks of STRIDE bytes. */
static const struct {
    const char *name;
    uint32_t id, count;
    uint64_t stride, size;
    const char *word;
} shapes[] = {
    {"arena 0", 0, COUNT, STRIDE, COUNT *STRIDE, "arena"},
    {"arena 65536", 65536, COUNT, STRIDE, COUNT *STRIDE, "arena"},
    {"arena 2^32 - 1", UINT32_MAX, COUNT, STRIDE, COUNT *STRIDE, "arena"},
    {"no blocks", 3, 0, STRIDE, COUNT *STRIDE, "count"},
    {"too many blocks", 3, (1u << 24) + 1, STRIDE, COUNT *STRIDE, "count"},
    {"a block more than fits", 3, COUNT + 1, STRIDE, COUNT *STRIDE, "stride"},
    {"a stride of 0", 3, COUNT, 0, COUNT *STRIDE, "stride"},
    {"a stride of 100", 3, COUNT, 100, COUNT *STRIDE, "stride"},
    {"a stride of 2^63", 3, 2, (uint64_t) 1 << 63, COUNT *STRIDE, "stride"},
    {"blocks of 2^64 in all", 3, 1u << 24, (uint64_t) 1 << 40, COUNT *STRIDE, "stride"},
    {"a size of 0", 3, COUNT, STRIDE, 0, "stride"},
    {"a size of 2^64 - 1", 3, COUNT, STRIDE, UINT64_MAX, "limit"},
    {"more than the memfd has", 3, COUNT, STRIDE, (COUNT + 1) * STRIDE, "size"},
    {"less than the memfd has", 3, COUNT - 1, STRIDE, (COUNT - 1) * STRIDE, "size"},
};
#define SHAPES ((int) (sizeof shapes / sizeof *shapes))

START_TEST(test_shapes) {
    begin();
    make_arena(STRIDE, COUNT);
    announce(shapes[_i].id, shapes[_i].count, shapes[_i].stride, shapes[_i].size, attacker.arena.fd);
    end_told(shapes[_i].name, shapes[_i].word);
}
END_TEST

START_TEST(test_announced_twice) {
    begin();
    announce_honestly(3);
    announce_honestly(3);
    end_told("announced twice", "twice");
}
END_TEST

/* A client without an outbox cannot have agreed to pooled payloads. */
START_TEST(test_an_arena_without_rings) {
    scene_set();
    struct speaker *speaker = speaker_new(scene_connect());
    speaker_greet(speaker, NULL);
    make_arena(STRIDE, COUNT);
    const struct wire_arena arena = {.id = 3, .count = COUNT, .stride = STRIDE, .size = COUNT * STRIDE};
    draft_arena(&attempt.draft, &arena, attacker.arena.fd);
    if (_i == 1)
        draft_retire(&attempt.draft, 3);
    ck_assert_int_eq(speaker_send(speaker, &attempt.draft), 0);
    scene_assert_told(speaker, "an arena without rings", -EPROTO, "not negotiated");
    end();
}
END_TEST

START_TEST(test_retired_without_being_there) {
    begin();
    if (_i == 1)
        announce_honestly(3);
    if (_i == 2) {
        announce_honestly(3);
        retire(3);
    }
    retire(_i == 1 ? 4 : 3);
    end_told("retired, and not there", "retired");
}
END_TEST

/* Leased blocks of a retired arena stay readable, no further blocks of it may be named, and its number may be used
 * again. */
START_TEST(test_retired_while_on_lease) {
    begin();
    announce_honestly(3);
    say_pooled(1, SERVICE_KEEP, handle_make(3, 0, 1), STRIDE);
    retire(3);
    assert_answers();
    announce_honestly(3);
    say_pooled(2, SERVICE_ECHO, handle_make(3, 0, 2), 1);
    ck_assert_int_eq(expect_reply(2).status, 0);
    service_drop(scene.service);
    assert_answers();
    assert_given_back(handle_make(3, 0, 1));
    if (_i == 1) {
        end();
        return;
    }
    retire(3);
    say_pooled(3, SERVICE_ECHO, handle_make(3, 0, 3), 1);
    end_told("named after it was retired", "no announced arena");
}
END_TEST

/* A client that announces many arenas gets as many blocks and bytes as its quota has: further arenas are refused,
 * and no other client notices. */
START_TEST(test_a_flood_of_arenas) {
    enum { MANY = 3000, BLOCKS = 64 };
    const sea_ctx_options few = {.peer_blocks = BLOCKS};
    scene_set_with(&few);
    attacker_open();
    make_arena(64, 1);
    for (uint32_t id = 1; id <= MANY; id++) {
        announce_honestly(id);
        if (id % 50 == 0)
            assert_answers(); /* there is room in the socket and in the ring again */
    }
    retire(1); /* a block takes a part of the quota, too */
    say_pooled(1, SERVICE_ECHO, handle_make(BLOCKS / 2, 0, 1), 1);
    ck_assert_int_eq(expect_reply(1).status, 0);
    say_pooled(2, SERVICE_ECHO, handle_make(MANY, 0, 2), 1);
    ck_assert_int_eq(expect_reply(2).status, -EDQUOT);
    end();
}
END_TEST

/* --- frames --- */

static const struct {
    const char *name;
    uint64_t handle, size;
    const char *word;
} places[] = {
    {"no handle", 0, 1, "handle"},
    {"an unknown arena", (uint64_t) 4 << 48 | 1, 1, "no announced arena"},
    {"no arena", 1, 1, "no announced arena"},
    {"the last arena", UINT64_MAX, 1, "no announced arena"},
    {"an index beyond the last", (uint64_t) 3 << 48 | (uint64_t) COUNT << 24 | 1, 1, "no announced arena"},
    {"the largest index", (uint64_t) 3 << 48 | (uint64_t) 0xffffff << 24 | 1, 1, "no announced arena"},
    {"more than a block", (uint64_t) 3 << 48 | 1, STRIDE + 1, "no announced arena"},
    {"more than the limit", (uint64_t) 3 << 48 | 1, ATTACKED_BLOCK_MAX + 1, "limit"},
    {"2^62", (uint64_t) 3 << 48 | 1, (uint64_t) 1 << 62, "limit"},
    {"2^64 - 1", (uint64_t) 3 << 48 | 1, UINT64_MAX, "limit"},
    {"nothing", (uint64_t) 3 << 48 | 1, 0, "empty payload"},
};
#define PLACES ((int) (sizeof places / sizeof *places))

START_TEST(test_places) {
    begin();
    announce_honestly(3);
    say_pooled(1, SERVICE_ECHO, places[_i].handle, places[_i].size);
    end_told(places[_i].name, places[_i].word);
}
END_TEST

START_TEST(test_named_in_a_datagram) {
    const struct wire_message message = {
        .method = SERVICE_ECHO, .handle = handle_make(3, 0, 1), .payload_size = 1, .payload_class = WIRE_CLASS_POOLED};
    begin();
    announce_honestly(3);
    draft_message(&attempt.draft, WIRE_CALL, 1, &message, NULL);
    send_marked();
    end_told("named in a datagram", "outside the ring");
}
END_TEST

START_TEST(test_the_same_handle_twice) {
    begin();
    announce_honestly(3);
    for (uint64_t id = 1; id <= 2; id++)
        say_pooled(id, SERVICE_KEEP, handle_make(3, 0, 1), 1);
    end_told("the same handle twice", "already on lease");
}
END_TEST

/* One block under two names harms the sender only: it overwrites its own data. */
START_TEST(test_a_block_of_two_names) {
    begin();
    announce_honestly(3);
    for (uint32_t i = 1; i <= 2; i++)
        say_pooled(i, SERVICE_KEEP, handle_make(3, 0, i), STRIDE);
    assert_answers();
    service_drop(scene.service);
    assert_answers();
    end();
}
END_TEST

START_TEST(test_beyond_the_credit_in_blocks) {
    begin();
    announce_honestly(3);
    for (uint32_t i = 0; i <= ATTACKED_BLOCKS_MAX; i++)
        say_pooled(0, SERVICE_KEEP, handle_make(3, i, 1), 1);
    end_told("beyond the credit", "blocks");
}
END_TEST

START_TEST(test_beyond_the_credit_in_bytes) {
    begin();
    make_arena(ATTACKED_BLOCK_MAX, 3);
    announce_honestly(3);
    for (uint32_t i = 0; i < 3; i++)
        say_pooled(0, SERVICE_KEEP, handle_make(3, i, 1), ATTACKED_BLOCK_MAX);
    end_told("beyond the credit", "bytes");
}
END_TEST

/* --- quotas --- */

static void begin_with_small_quota(void) {
    const sea_ctx_options small = {.peer_bytes = 1 << 20}; /* enough for the honest client */
    scene_set_with(&small);
    attacker_open();
    make_arena(1 << 20, 2);
    announce_honestly(3);
}

/* This is a limit of ours and no lie: the caller gets an error, its lease is back, and the next arena is accepted. */
START_TEST(test_an_arena_over_the_quota) {
    begin_with_small_quota();
    for (uint32_t i = 1; i <= 3; i++) {
        say_pooled(i, SERVICE_ECHO, handle_make(3, 0, i), 1);
        ck_assert_int_eq(expect_reply(i).status, -EDQUOT);
        assert_given_back(handle_make(3, 0, i));
    }
    arena_deinit(&attacker.arena);
    attacker.arena = ARENA_EMPTY;
    make_arena(STRIDE, 1);
    announce_honestly(4);
    say_pooled(4, SERVICE_ECHO, handle_make(4, 0, 1), 1);
    ck_assert_int_eq(expect_reply(4).status, 0);
    end();
}
END_TEST

START_TEST(test_a_one_way_message_over_the_quota) {
    begin_with_small_quota();
    say_pooled(0, SERVICE_SINK, handle_make(3, 0, 1), 1);
    scene_assert_told(attacker.rings->speaker, "one-way, over the quota", -EDQUOT, "limit of the receiver");
    attacker.rings->speaker = NULL;
    end();
}
END_TEST

/* --- leases that the server grants --- */

/* Gets a pooled reply of the server, of 5000 bytes; returns its handle. */
static uint64_t get_lease(void) {
    make_arena(8192, COUNT);
    announce_honestly(3);
    say_pooled(1, SERVICE_ECHO, handle_make(3, 0, 1), 5000);
    struct wire_message reply = expect_reply(1);
    ck_assert_uint_eq(reply.payload_class, WIRE_CLASS_POOLED);
    ck_assert_uint_eq(reply.payload_size, 5000);
    return reply.handle;
}

static void release_raw(uint64_t handle) {
    release_write(&attacker.rings->releases_out, handle);
    ring_speaker_doorbell(attacker.rings);
}

START_TEST(test_releases_of_blocks_not_on_lease) {
    begin();
    uint64_t handle = get_lease();
    uint32_t arena = handle_arena(handle), index = handle_index(handle), generation = handle_generation(handle);
    const uint64_t wrong[] = {
        handle_make(arena, index, generation + 1),
        handle_make(arena, index + 1, generation),
        handle_make(arena, HANDLE_INDEX_MAX, generation),
        handle_make(arena + 1, index, generation),
        handle_make(HANDLE_ARENA_MAX, index, generation),
        handle_make(0, index, generation),
        handle,
    };
    if (wrong[_i] == handle)
        release_raw(handle); /* twice */
    release_raw(wrong[_i]);
    end_told("a release of nothing", "not on lease");
}
END_TEST

/* A release by datagram counts as a release in the ring does: once. */
START_TEST(test_a_release_through_the_socket) {
    begin();
    uint64_t handle = get_lease();
    draft_release(&attempt.draft, (const uint64_t[]){handle, handle}, 2);
    send_marked();
    end_told("a release through the socket", "not on lease");
}
END_TEST

START_TEST(test_it_goes_with_all_it_holds) {
    begin();
    get_lease();
    say_pooled(2, SERVICE_KEEP, handle_make(3, 1, 1), 5000);
    assert_answers();
    attacker_close();
    scene_assert_noted("hang-up with leases", -EPIPE, "");
    service_drop(scene.service);
    scene_end();
}
END_TEST

/* --- bytes that change --- */

static _Atomic bool is_scribbling;

static void *scribble(void *arg) {
    volatile unsigned char *bytes = arg;
    for (unsigned char i = 0; atomic_load_explicit(&is_scribbling, memory_order_relaxed); i++) {
        bytes[0] = i;
        bytes[STRIDE - 1] = i;
    }
    return NULL;
}

/* A side that takes stable payloads only sees one state of the bytes; any other side sees the bytes that the sender
 * writes, and sea_msg_is_stable() says so. */
START_TEST(test_bytes_that_change) {
    bool is_stable_only = _i == 1;
    sea_options options = scene_attacked;
    pthread_t thread;
    char stays = 77;
    options.accept = is_stable_only ? SEA_STABLE_ONLY : SEA_ANY_CLASS;
    snprintf(scene.address, sizeof scene.address, "unix:%s", raw_name());
    scene.service = service_start(scene.address, NULL, &options);
    scene.bystander = bystander_start(scene.address);
    attacker_open();
    announce_honestly(3);
    atomic_store(&is_scribbling, true);
    ck_assert_int_eq(pthread_create(&thread, NULL, scribble, arena_at(&attacker.arena, 0)), 0);
    for (uint32_t i = 1; i <= 3; i++) {
        say_pooled(i, SERVICE_WATCH, handle_make(3, 0, i), STRIDE);
        struct wire_frame reply = ring_expect(attacker.rings, WIRE_REPLY, &stays, 1);
        ck_assert_int_eq(reply.message.status, 0);
        ck_assert_int_eq(stays, is_stable_only);
        assert_given_back(handle_make(3, 0, i));
    }
    atomic_store(&is_scribbling, false);
    pthread_join(thread, NULL);
    end();
}
END_TEST

static void on_own_loop(void) {
    service_use_uv(false);
}

static void on_libuv(void) {
    service_use_uv(true);
}

static void add_all(struct suite *suite) {
    suite_add_loop(suite, test_descriptors, 0, KINDS);
    suite_add(suite, test_a_hole_in_disguise);
    suite_add_loop(suite, test_shapes, 0, SHAPES);
    suite_add(suite, test_announced_twice);
    suite_add_loop(suite, test_an_arena_without_rings, 0, 2);
    suite_add_loop(suite, test_retired_without_being_there, 0, 3);
    suite_add_loop(suite, test_retired_while_on_lease, 0, 2);
    suite_add(suite, test_a_flood_of_arenas);
    suite_add_loop(suite, test_places, 0, PLACES);
    suite_add(suite, test_named_in_a_datagram);
    suite_add(suite, test_the_same_handle_twice);
    suite_add(suite, test_a_block_of_two_names);
    suite_add(suite, test_beyond_the_credit_in_blocks);
    suite_add(suite, test_beyond_the_credit_in_bytes);
    suite_add(suite, test_an_arena_over_the_quota);
    suite_add(suite, test_a_one_way_message_over_the_quota);
    suite_add_loop(suite, test_releases_of_blocks_not_on_lease, 0, 7);
    suite_add(suite, test_a_release_through_the_socket);
    suite_add(suite, test_it_goes_with_all_it_holds);
    suite_add_loop(suite, test_bytes_that_change, 0, 2);
}

int main(void) {
    struct suite *suite = suite_new("hostile_arenas");
    suite_guard(suite, 300);
    suite_settle(suite, 5000); /* a lingering close takes two seconds */
    suite_fixture(suite, on_own_loop, NULL);
    add_all(suite);
    service_prepare_uv();
    suite_fixture(suite, on_libuv, NULL);
    add_all(suite);
    return suite_run(suite);
}
