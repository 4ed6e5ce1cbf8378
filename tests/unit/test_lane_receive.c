/* SPDX-License-Identifier: MIT */
/*
 * lane/receive: messages that come in. Every fault ends the connection with a text that names it. A limit of ours that
 * keeps a payload out ends the call and gives the lease back, but not the connection (unless the message expects no
 * answer).
 *
 * The peer is a speaker, which sends frames by hand. tests/hostile attacks a whole server.
 */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/machine.h"
#include "support/trap.h"
#include "sys/memfd.h"
#include "unit/disposal_jam.h"
#include "unit/fail.h"
#include "unit/lane_pair.h"
#include "unit/reaper_jam.h"
#include "unit/valgrind.h"

#define SIZE ((size_t) 8192)

static struct draft draft;

/* Descriptors that went into the draft; this process closes them once they were sent. */
static int mine[4], mine_count;

static int owned(int fd) {
    ck_assert_int_ge(fd, 0);
    return mine[mine_count++] = fd;
}

static void let_go(void) {
    while (mine_count > 0)
        close(mine[--mine_count]);
}

static int good_memfd(void) {
    return owned(trap_memfd(SIZE, TRAP_ALL_SEALS));
}

static void speak(struct speaker *speaker) {
    ck_assert_int_eq(speaker_send(speaker, &draft), 0);
    let_go();
}

/* faults: each function composes the datagram that must end the connection; the datagrams before it were sound */

static void any_call(void) {
    draft_inline(&draft, 1, 7, 8);
}

static void any_hello(void) {
    struct wire_hello hello = hello_sound();
    draft_hello(&draft, &hello);
}

static void empty_datagram_with_fd(void) {
    draft.size = 0;
    draft.fds_count = 0;
    draft_add_fd(&draft, owned(trap_pipe()));
}

static void unknown_type(void) {
    any_call();
    draft_put(&draft, 0, 1, 99);
}

static void too_large(void) {
    any_call();
    draft.size = LANE_SCRATCH_SIZE + 1;
}

static void hello_with_fd(void) {
    any_hello();
    draft_add_fd(&draft, owned(trap_pipe()));
}

static void mark(void) {
    draft_cancel(&draft, 1);
    draft_put(&draft, 0, 1, WIRE_MARK);
}

static void doorbell(void) {
    draft_doorbell(&draft);
}

static void hello_without_its_fd(void) {
    struct wire_hello hello = hello_sound();
    hello.features = WIRE_FEATURE_OUTBOX;
    draft_hello(&draft, &hello);
}

static void arena(void) {
    draft_arena(&draft, &(struct wire_arena){.id = 1, .count = 1, .stride = SIZE, .size = SIZE}, good_memfd());
}

static void retire(void) {
    draft_retire(&draft, 1);
}

static void release_of_nothing(void) {
    draft_release(&draft, (const uint64_t[]){12345}, 1);
}

static void inline_too_large(void) {
    draft_inline(&draft, 1, 7, 101);
}

static void pooled(void) {
    const struct wire_message message = {.method = 7, .handle = 1, .payload_size = 10, .payload_class = 2};
    draft_message(&draft, WIRE_CALL, 1, &message, NULL);
}

static void sealed_with(int fd) {
    draft_sealed(&draft, 1, 7, 1, SIZE, fd);
}

static void sealed(void) {
    sealed_with(good_memfd());
}

static void sealed_too_large(void) {
    draft_sealed(&draft, 1, 7, 1, 20001, good_memfd());
}

static void hugetlb_not_agreed(void) {
    sealed();
    draft_put(&draft, 49, 1, 1);
}

/* As large as a huge page, for any payload. */
static void padded(void) {
    sealed_with(owned(trap_memfd(MEMFD_HUGE_SIZE, TRAP_ALL_SEALS)));
    draft_put(&draft, 49, 1, 2);
}

static void padded_feigned(void) {
    sealed();
    draft_put(&draft, 49, 1, 2);
}

static void pages_unknown(void) {
    sealed();
    draft_put(&draft, 49, 1, 3);
}

static void handle_again(void) {
    draft_sealed(&draft, 1, 7, 100, SIZE, good_memfd());
}

static void fd_missing(void) {
    sealed();
    draft.fds_count = 0;
}

static void fd_too_many(void) {
    sealed();
    draft_add_fd(&draft, owned(trap_pipe()));
}

static void fd_undeclared(void) {
    any_call();
    draft_add_fd(&draft, owned(trap_pipe()));
}

static void not_a_memfd(void) {
    sealed_with(owned(trap_pipe()));
}

static void seal_missing(void) {
    sealed_with(owned(trap_memfd(SIZE, TRAP_ALL_SEALS & ~F_SEAL_WRITE)));
}

static void other_size(void) {
    draft_sealed(&draft, 1, 7, 1, SIZE - 1, good_memfd());
}

static void with_holes(void) {
    draft_sealed(&draft, 1, 7, 1, 3 * 4096, owned(trap_holes((size_t) 3 * 4096)));
}

static const struct fault {
    const char *text; /* a part of the text that reports the fault */
    void (*compose)(void);
    bool before_hello;
    sea_options options;
    unsigned sound; /* sealed messages before the fault, of SIZE bytes each, with handles from 100 on */
} faults[] = {
    {.text = "a frame came before the handshake", .compose = any_call, .before_hello = true},
    {.text = "a frame came before the handshake", .compose = release_of_nothing, .before_hello = true},
    {.text = "more descriptors came than were declared", .compose = hello_with_fd, .before_hello = true},
    {.text = "a frame came before the handshake", .compose = doorbell, .before_hello = true},
    {.text = "a frame came before the handshake", .compose = arena, .before_hello = true},
    {.text = "fewer descriptors came than were declared", .compose = hello_without_its_fd, .before_hello = true},
    {.text = "a second handshake", .compose = any_hello},
    {.text = "unknown frame type", .compose = mark},
    {.text = "a doorbell without outboxes", .compose = doorbell},
    {.text = "an arena that was not negotiated", .compose = arena},
    {.text = "an arena that was not negotiated", .compose = retire},
    {.text = "shorter than a frame's head", .compose = empty_datagram_with_fd},
    {.text = "unknown frame type", .compose = unknown_type},
    {.text = "a datagram is larger than any frame", .compose = too_large},
    {.text = "a handle was released that is not on lease to this peer", .compose = release_of_nothing},
    {.text = "an inline payload is over the negotiated limit", .compose = inline_too_large, .options.inline_max = 100},
    {.text = "an inline payload is over the negotiated limit", .compose = any_call, .options.accept = SEA_SEALED},
    {.text = "a pooled payload was sent, which was not negotiated", .compose = pooled},
    {.text = "a sealed payload was sent, which was not negotiated", .compose = sealed, .options.accept = SEA_INLINE},
    {.text = "a sealed payload is over the negotiated limit", .compose = sealed_too_large, .options.block_max = 20000},
    {.text = "a hugetlb payload was sent, which was not negotiated", .compose = hugetlb_not_agreed},
    {.text = "unknown pages", .compose = pages_unknown},
    {.text = "more blocks or bytes were sent than the negotiated credit",
     .compose = padded,
     .options.bytes_max = MEMFD_HUGE_SIZE - 1},
    {.text = "the memfd is not of the declared size", .compose = padded_feigned},
    {.text = "a handle was announced that is already on lease", .compose = handle_again, .sound = 1},
    {.text = "more blocks or bytes were sent than the negotiated credit",
     .compose = sealed,
     .options.blocks_max = 2,
     .sound = 2},
    {.text = "more blocks or bytes were sent than the negotiated credit",
     .compose = sealed,
     .options.bytes_max = 2 * SIZE + 1,
     .sound = 2},
    {.text = "fewer descriptors came than were declared", .compose = fd_missing},
    {.text = "more descriptors came than were declared", .compose = fd_too_many},
    {.text = "more descriptors came than were declared", .compose = fd_undeclared},
    {.text = "the descriptor is not a memfd", .compose = not_a_memfd},
    {.text = "the memfd lacks some of", .compose = seal_missing},
    {.text = "the memfd was declared to be of hugetlb pages, but is not",
     .compose = hugetlb_not_agreed,
     .options.accept_hugetlb = true},
    {.text = "the memfd is not of the declared size", .compose = other_size},
    {.text = "the memfd has holes", .compose = with_holes},
};
#define FAULTS ((int) (sizeof faults / sizeof *faults))

static struct speaker *faulty_scene(const struct fault *fault, struct side *server) {
    server->options = fault->options;
    if (fault->options.accept == SEA_INLINE)
        /* otherwise the kernel itself refuses the descriptor, since Linux 6.16 */
        fail_always(INJECT_SETSOCKOPT, ENOPROTOOPT);
    struct speaker *speaker =
        fault->before_hello ? side_face_speaker(server, true) : side_greet_speaker(server, true, NULL);
    for (unsigned i = 0; i < fault->sound; i++) {
        draft_sealed(&draft, i, 7, 100 + i, SIZE, good_memfd());
        speak(speaker);
    }
    side_settle(server);
    ck_assert_uint_eq(server->arrived_count, fault->sound);
    return speaker;
}

START_TEST(test_a_fault_ends_the_connection_in_words) {
    const struct fault *fault = &faults[_i];
    struct side server = {0};
    struct speaker *speaker = faulty_scene(fault, &server);
    fault->compose();
    speak(speaker);
    draft_inline(&draft, 0, 7, 0); /* not read any more */
    speak(speaker);
    side_settle(&server);
    ck_assert_uint_eq(server.closed, 1);
    ck_assert_int_eq(server.end.reason, -EPROTO);
    ck_assert_msg(strstr(server.end_text, fault->text), "told: %s", server.end_text);
    ck_assert_uint_eq(server.arrived_count, fault->sound);
    ck_assert_uint_eq(side_figures(&server).of[SEA_FIGURE_FAULTS], 1);
    struct farewell farewell = speaker_farewell(speaker);
    ck_assert_int_eq(farewell.reason, -EPROTO);
    ck_assert_str_eq(farewell.text, server.end_text);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

/* A hugetlb memfd that is declared as an ordinary one, for a receiver that would take hugetlb. */
START_TEST(test_hugetlb_must_be_declared) {
    int fd = -1;
    bool is_made = machine_add_hugetlb(1) && memfd_new(MEMFD_HUGE_SIZE, true, &fd) == 0;
    if (!is_made || memfd_reserve(owned(fd), 0, MEMFD_HUGE_SIZE) < 0) {
        let_go();
        test_skip("no page of 2 MiB is to be had");
    }
    ck_assert_int_eq(memfd_seal(fd), 0);
    struct side server = {.options.accept_hugetlb = true};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    draft_sealed(&draft, 1, 7, 1, MEMFD_HUGE_SIZE, fd);
    speak(speaker);
    side_settle(&server);
    ck_assert_int_eq(server.end.reason, -EPROTO);
    ck_assert_ptr_nonnull(strstr(server.end_text, "of hugetlb pages, which was not declared"));
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_the_owner_may_find_a_fault) {
    struct side server = {.verdict = "a reply came to no call of ours"};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    any_call();
    speak(speaker);
    speak(speaker);
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 1);
    ck_assert_int_eq(server.end.reason, -EPROTO);
    ck_assert_str_eq(server.end_text, server.verdict);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

/* A peer that lied holds no lease any more. */
START_TEST(test_a_fault_drops_the_leases) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    ck_assert_int_eq(side_send(&server, WIRE_ONEWAY, 0, new_sealed(&server, 50000, 1), false), 0);
    any_hello();
    speak(speaker);
    side_settle(&server);
    ck_assert_uint_eq(server.end.reclaimed_blocks, 1);
    ck_assert_uint_eq(server.end.reclaimed_bytes, 50000);
    ck_assert_uint_eq(side_figures(&server).of[SEA_FIGURE_RECLAIMED_BLOCKS], 1);
    ck_assert_uint_eq(side_figures(&server).of[SEA_FIGURE_BLOCKS], 0);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_a_socket_that_fails) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    any_call();
    speak(speaker);
    fail_always(INJECT_RECVMSG, EIO);
    side_settle(&server);
    ck_assert_int_eq(server.end.reason, -EIO);
    ck_assert_str_eq(server.end_text, "recvmsg failed");
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

/* sound frames */

START_TEST(test_a_sealed_payload_is_read_where_it_lies) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    draft_sealed(&draft, 1, 7, 55, SIZE, good_memfd());
    speak(speaker);
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 1);
    sea_block *block = server.arrived[0].block;
    ck_assert_int_eq(sea_block_class(block), SEA_SEALED);
    ck_assert(sea_block_is_sealed(block));
    ck_assert_ptr_null(sea_block_data(block));
    ck_assert_int_eq(memcmp(sea_block_view(block), "trap", 4), 0);
    struct figures figures = side_figures(&server);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_IMPORTED_BLOCKS], 1);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_IMPORTED_BYTES], SIZE);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_RECEIVED_SEALED_MESSAGES], 1);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_RECEIVED_BYTES], SIZE);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_COPIED_BYTES], 0);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

/* Values exactly at the negotiated limits. */
START_TEST(test_limits_are_reached_without_fault) {
    struct side server = {.options = {.inline_max = 100, .block_max = SIZE, .blocks_max = 2, .bytes_max = 2 * SIZE}};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    draft_inline(&draft, 1, 7, 100);
    speak(speaker);
    for (uint64_t handle = 1; handle <= 2; handle++) {
        draft_sealed(&draft, 1, 7, handle, SIZE, good_memfd());
        speak(speaker);
    }
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 3);
    ck_assert_int_eq(server.lane.state, LANE_OPEN);
    side_drop(&server);
    draft_sealed(&draft, 1, 7, 1, SIZE, good_memfd()); /* given back: the handle may be used again */
    speak(speaker);
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 1);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_releases_end_leases) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    uint64_t handles[3];
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(side_send(&server, WIRE_ONEWAY, 0, new_sealed(&server, 1000, 1), false), 0);
        handles[i] = speaker_expect(speaker, WIRE_ONEWAY)->message.handle;
        ck_assert_uint_ne(handles[i], 0);
        ck_assert(i == 0 || handles[i] != handles[i - 1]);
    }
    ck_assert_uint_eq(side_figures(&server).of[SEA_FIGURE_LEASED_BLOCKS], 3);
    draft_release(&draft, handles, 2);
    speak(speaker);
    side_settle(&server);
    ck_assert_uint_eq(side_figures(&server).of[SEA_FIGURE_LEASED_BLOCKS], 1);
    ck_assert_uint_eq(side_figures(&server).of[SEA_FIGURE_BLOCKS], 1);
    draft_release(&draft, &handles[1], 1); /* released once too often */
    speak(speaker);
    side_settle(&server);
    ck_assert_int_eq(server.end.reason, -EPROTO);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

/* A service, a text, and limits that only later versions know: the receiver passes over unknown features. */
START_TEST(test_unknown_features_are_ignored) {
    struct side server = {0};
    struct wire_hello hello = hello_sound();
    hello.features = ~(uint64_t) (WIRE_FEATURE_HUGETLB | WIRE_FEATURE_OUTBOX);
    hello.accept = 0xffffffff;
    hello.inline_max = WIRE_INLINE_CEILING;
    struct speaker *speaker = side_greet_speaker(&server, true, &hello);
    ck_assert(!server.lane.negotiated.peer_hugetlb);
    ck_assert_uint_eq(server.lane.negotiated.accept & SEA_ANY_CLASS, SEA_STABLE_ONLY);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

/* refusals */

enum refused { REFUSED_CALL, REFUSED_ONEWAY, REFUSED_REPLY, REFUSED_KINDS };

static void sealed_message(int kind, uint64_t handle) {
    static const uint64_t ids[] = {31, 0, 31};
    static const uint32_t methods[] = {7, 7, 0};
    draft_sealed(&draft, ids[kind], methods[kind], handle, SIZE, good_memfd());
}

/* Expects that a caller gets an error and the connection goes on. A one-way message that is lost ends the
 * connection, with a text. */
static void expect_refusal(struct side *server, struct speaker *speaker, int kind, uint64_t handle, int error) {
    side_settle(server);
    ck_assert_int_eq(server->end.reason, kind == REFUSED_ONEWAY ? error : 0);
    ck_assert_uint_eq(server->closed, kind == REFUSED_ONEWAY);
    if (kind == REFUSED_CALL) {
        const struct wire_frame *frame = speaker_expect(speaker, WIRE_REPLY);
        ck_assert_uint_eq(frame->head.id, 31);
        ck_assert_int_eq(frame->message.status, error);
        ck_assert_uint_gt(frame->message.text_size, 0);
    }
    const struct wire_release *release = &speaker_expect(speaker, WIRE_RELEASE)->release;
    ck_assert_uint_eq(release->count, 1);
    ck_assert_uint_eq(release->handles[0], handle);
    ck_assert_uint_eq(server->arrived_count, kind == REFUSED_REPLY);
    if (kind == REFUSED_REPLY) {
        ck_assert_uint_eq(server->arrived[0].id, 31);
        ck_assert_int_eq(server->arrived[0].status, error);
        ck_assert_ptr_null(server->arrived[0].block);
    }
    if (kind == REFUSED_ONEWAY)
        ck_assert_int_eq(speaker_farewell(speaker).reason, error);
    ck_assert_uint_eq(side_figures(server).of[SEA_FIGURE_IMPORTED_BLOCKS], 0);
    ck_assert_uint_eq(side_figures(server).of[SEA_FIGURE_RECEIVED_SEALED_MESSAGES], 0);
    ck_assert_uint_eq(side_figures(server).of[SEA_FIGURE_FAULTS], 0);
}

START_TEST(test_a_quota_refuses) {
    struct side server = {.ctx_options.user_bytes = SIZE - 1};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    sealed_message(_i, 9);
    speak(speaker);
    expect_refusal(&server, speaker, _i, 9, -EDQUOT);
    ck_assert_uint_ge(side_figures(&server).of[SEA_FIGURE_REFUSALS], 1);
    sea_refusal refusal;
    sea_ctx_refusal(server.ctx, &refusal, sizeof(refusal));
    ck_assert_str_eq(refusal.limit, "user quota (bytes)");
    ck_assert_uint_eq(refusal.needed, SIZE);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

/* The owner is asked about a refused reply all the same: the reply may answer no call. */
START_TEST(test_a_refused_reply_may_be_a_fault) {
    struct side server = {.ctx_options.user_bytes = SIZE - 1, .verdict = "a reply came to no call of ours"};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    sealed_message(REFUSED_REPLY, 9);
    speak(speaker);
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 1);
    ck_assert_int_eq(server.end.reason, -EPROTO);
    ck_assert_str_eq(server.end_text, server.verdict);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

/* Our table has room for one descriptor too few: the kernel drops it. That is not the peer's lie. */
START_TEST(test_a_full_table_of_descriptors_refuses) {
    if (is_under_valgrind())
        test_skip("valgrind keeps a limit of its own, of which the kernel knows nothing");
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    struct rlimit before, limit;
    sealed_message(_i, 9);
    speak(speaker);
    int next = dup(speaker->fd);
    close(next);
    getrlimit(RLIMIT_NOFILE, &before);
    limit = before;
    limit.rlim_cur = (rlim_t) next;
    setrlimit(RLIMIT_NOFILE, &limit);
    side_settle(&server);
    setrlimit(RLIMIT_NOFILE, &before);
    expect_refusal(&server, speaker, _i, 9, -EMFILE);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_a_payload_that_cannot_be_mapped_is_refused) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    sealed_message(_i, 9);
    speak(speaker);
    fail_always(INJECT_MMAP, ENOMEM);
    side_settle(&server);
    fail_off();
    expect_refusal(&server, speaker, _i, 9, -ENOMEM);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_no_memory_for_an_inline_payload) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    any_call();
    speak(speaker);
    fail_once(INJECT_ALLOC, ENOMEM);
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 0);
    const struct wire_frame *frame = speaker_expect(speaker, WIRE_REPLY);
    ck_assert_uint_eq(frame->head.id, 1);
    ck_assert_int_eq(frame->message.status, -ENOMEM);
    ck_assert_int_eq(server.lane.state, LANE_OPEN);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

/* Received inline payloads lie in our memory: the budget bounds them. */
START_TEST(test_the_budget_refuses_inline_payloads) {
    struct side server = {.ctx_options.budget_bytes = 7};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    any_call();
    speak(speaker);
    side_settle(&server);
    ck_assert_int_eq(speaker_expect(speaker, WIRE_REPLY)->message.status, -EDQUOT);
    ck_assert_uint_eq(side_figures(&server).of[SEA_FIGURE_REFUSALS], 1);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

/* A lease that could not be given back later must not be taken. */
START_TEST(test_no_memory_for_a_handle) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    sealed();
    speak(speaker);
    fail_once(INJECT_ALLOC, ENOMEM);
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 0);
    ck_assert_int_eq(server.end.reason, -ENOMEM);
    ck_assert_str_eq(server.end_text, "out of memory for a handle");
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

/* While the reaper is full, no datagram is received, and no loop spins: a timer brings the next look. */
/* This holds also for a peer to which nothing can be sent any more, but which may have sent messages before. */
START_TEST(test_a_full_reaper_stops_receipts) {
    struct side server = {0};
    struct jam jam;
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    any_call();
    speak(speaker);
    if (!jam_begin(&jam, reaper_has_room)) {
        side_deinit(&server);
        speaker_free(speaker);
        test_skip("valgrind, or RLIMIT_NOFILE is too low to fill the reaper");
    }
    lane_dispatch(&server.lane, POLLIN);
    ck_assert_uint_eq(server.arrived_count, 0);
    ck_assert_int_eq(lane_events(&server.lane), 0);
    if (_i == 1) {
        fail_once(INJECT_SENDMSG, EPIPE);
        ck_assert_int_eq(side_send(&server, WIRE_REPLY, 1, NULL, true), -EPIPE);
        fail_off();
    }
    ck_assert_uint_gt(lane_deadline(&server.lane), 0);
    jam_end(&jam);
    side_turn_at_deadline(&server);
    if (_i == 0)
        ck_assert_int_eq(lane_events(&server.lane), POLLIN);
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 1);
    ck_assert_uint_eq(server.closed, (unsigned) _i);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

/* While much large memory waits to be given back, no datagram is received that may bring large memory. */
START_TEST(test_a_full_disposal_stops_receipts) {
    struct side server = {0};
    struct disposal_jam jam;
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    any_call();
    speak(speaker);
    if (!disposal_jam_begin(&jam)) {
        side_deinit(&server);
        speaker_free(speaker);
        test_skip("threads hang together here");
    }
    while (disposal_has_room())
        disposal_take_mapping(NULL, (size_t) 1 << 28, -1);
    lane_dispatch(&server.lane, POLLIN);
    ck_assert_uint_eq(server.arrived_count, 0);
    ck_assert_int_eq(lane_events(&server.lane), 0);
    ck_assert_uint_gt(lane_deadline(&server.lane), 0);
    disposal_jam_end(&jam);
    side_turn_at_deadline(&server);
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 1);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

/* And no frame is received the short way. */
START_TEST(test_a_full_reaper_closes_the_short_way) {
    struct pair pair = {0};
    struct jam jam;
    pair_open_in(&pair, 1);
    struct lane *lane = &pair.server.lane;
    ck_assert_uint_gt(lane->small_end, 0);
    if (!jam_begin(&jam, reaper_has_room)) {
        pair_deinit(&pair);
        test_skip("valgrind, or RLIMIT_NOFILE is too low to fill the reaper");
    }
    lane_dispatch(lane, POLLIN);
    ck_assert_uint_eq(lane->small_end, 0);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, NULL, false), 0);
    side_check_small(&pair.server);
    jam_end(&jam);
    ck_assert_uint_eq(pair.server.arrived_count, 0);
    side_turn_at_deadline(&pair.server);
    ck_assert_uint_gt(lane->small_end, 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 1);
    pair_deinit(&pair);
}
END_TEST

static void clean(void) {
    fail_off();
    machine_restore();
}

int main(void) {
    struct suite *s = suite_new("lane_receive");
    suite_fixture(s, clean, clean);
    suite_add_loop(s, test_a_fault_ends_the_connection_in_words, 0, FAULTS);
    suite_add(s, test_hugetlb_must_be_declared);
    suite_add(s, test_the_owner_may_find_a_fault);
    suite_add(s, test_a_fault_drops_the_leases);
    suite_add(s, test_a_socket_that_fails);
    suite_add(s, test_a_sealed_payload_is_read_where_it_lies);
    suite_add(s, test_limits_are_reached_without_fault);
    suite_add(s, test_releases_end_leases);
    suite_add(s, test_unknown_features_are_ignored);
    suite_add_loop(s, test_a_quota_refuses, 0, REFUSED_KINDS);
    suite_add(s, test_a_refused_reply_may_be_a_fault);
    suite_add_loop(s, test_a_full_table_of_descriptors_refuses, 0, REFUSED_KINDS);
    suite_add_loop(s, test_a_payload_that_cannot_be_mapped_is_refused, 0, REFUSED_KINDS);
    suite_add(s, test_no_memory_for_an_inline_payload);
    suite_add(s, test_the_budget_refuses_inline_payloads);
    suite_add(s, test_no_memory_for_a_handle);
    suite_add_loop(s, test_a_full_reaper_stops_receipts, 0, 2);
    suite_add(s, test_a_full_reaper_closes_the_short_way);
    suite_add(s, test_a_full_disposal_stops_receipts);
    return suite_run(s);
}
