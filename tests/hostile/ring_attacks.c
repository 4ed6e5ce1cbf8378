/* SPDX-License-Identifier: MIT */
/* Attacks from an outbox: a table, and a small function for each line of the table. See ring_attacks.h. */
#include "hostile/ring_attacks.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hostile/attacks.h"
#include "support/suite.h"
#include "support/trap.h"
#include "wire/handle.h"

#define METHOD 1

static struct draft draft;

/* Gets the words of a correct frame, which the attack then spoils. */
static void sound_call(uint64_t words[LINE_WORDS]) {
    const struct wire_message message = {.method = METHOD, .payload_size = 16, .payload_class = WIRE_CLASS_INLINE};
    line_encode(words, WIRE_CALL, 1, &message);
}

static void say_and_ring(struct ring_speaker *self, const uint64_t words[LINE_WORDS]) {
    ring_say_words(self, words);
    ring_speaker_doorbell(self);
}

/* Writes the correct call, with `value` in the bits of `mask` of word `i`. */
static void say_spoiled(struct ring_speaker *self, int i, uint64_t mask, uint64_t value) {
    uint64_t words[LINE_WORDS];
    sound_call(words);
    words[i] = (words[i] & ~mask) | value;
    say_and_ring(self, words);
}

#define TYPE UINT64_C(0x000000ff00000000)
#define CLASS UINT64_C(0x0000ff0000000000)
#define TEXT_SIZE UINT64_C(0xffff000000000000)
#define SIZE UINT64_C(0xffffffff00000000)

static void say_type(struct ring_speaker *self, uint64_t type) {
    say_spoiled(self, 0, TYPE, type << 32);
}

static void type_zero(struct ring_speaker *self) {
    say_type(self, 0);
}

static void type_hello(struct ring_speaker *self) {
    say_type(self, WIRE_HELLO);
}

static void type_goodbye(struct ring_speaker *self) {
    say_type(self, WIRE_GOODBYE);
}

static void type_release(struct ring_speaker *self) {
    say_type(self, WIRE_RELEASE);
}

static void type_doorbell(struct ring_speaker *self) {
    say_type(self, WIRE_DOORBELL);
}

static void type_arena(struct ring_speaker *self) {
    say_type(self, WIRE_ARENA);
}

static void type_retire(struct ring_speaker *self) {
    say_type(self, WIRE_RETIRE);
}

static void type_unknown(struct ring_speaker *self) {
    say_type(self, 0xff);
}

static void class_sealed(struct ring_speaker *self) {
    say_spoiled(self, 0, CLASS, (uint64_t) WIRE_CLASS_SEALED << 40);
}

static void class_unknown(struct ring_speaker *self) {
    say_spoiled(self, 0, CLASS, UINT64_C(3) << 40);
}

static void class_none(struct ring_speaker *self) {
    say_spoiled(self, 0, CLASS, 0);
}

static void pooled_nowhere(struct ring_speaker *self) {
    const struct wire_message message = {
        .method = METHOD, .handle = UINT64_C(5) << 48 | 1, .payload_size = 100, .payload_class = WIRE_CLASS_POOLED};
    ring_say(self, WIRE_CALL, 1, &message, NULL);
    ring_speaker_doorbell(self);
}

static void pooled_everywhere(struct ring_speaker *self) {
    const struct wire_message message = {
        .method = METHOD, .handle = UINT64_MAX, .payload_size = 100, .payload_class = WIRE_CLASS_POOLED};
    ring_say(self, WIRE_CALL, 1, &message, NULL);
    ring_speaker_doorbell(self);
}

/* The named arena does not matter: no valid handle has generation 0. */
static void pooled_of_generation_0(struct ring_speaker *self) {
    const struct wire_message message = {.method = METHOD,
                                         .handle = UINT64_C(5) << 48 | 1u << 24,
                                         .payload_size = 100,
                                         .payload_class = WIRE_CLASS_POOLED};
    ring_say(self, WIRE_CALL, 1, &message, NULL);
    ring_speaker_doorbell(self);
}

/* A correct payload with a wrong name. */
static void sealed_in_an_arena(struct ring_speaker *self) {
    draft_sealed(&draft, 1, METHOD, UINT64_C(1) << 48 | 1, 4096, trap_memfd(4096, TRAP_ALL_SEALS));
    ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
    close(draft.fds[0]);
}

static void pooled_too_large(struct ring_speaker *self) {
    const struct wire_message message = {.method = METHOD,
                                         .handle = UINT64_C(1) << 48 | 1,
                                         .payload_size = WIRE_BLOCK_CEILING,
                                         .payload_class = WIRE_CLASS_POOLED};
    ring_say(self, WIRE_CALL, 1, &message, NULL);
    ring_speaker_doorbell(self);
}

static void pooled_and_more(struct ring_speaker *self) {
    uint64_t words[LINE_WORDS];
    const struct wire_message message = {
        .method = METHOD, .handle = UINT64_C(1) << 48 | 1, .payload_size = 100, .payload_class = WIRE_CLASS_POOLED};
    line_encode(words, WIRE_CALL, 1, &message);
    words[7] = 1;
    say_and_ring(self, words);
}

/* The frame was never written completely: it is refused before any byte of it is read. */
static void beyond_a_quarter(struct ring_speaker *self) {
    say_spoiled(self, 3, SIZE, (uint64_t) (ring_bytes_max(self->own.lines) + 1) << 32);
}

/* As large as the largest small message, which takes more than half of the ring. */
static void largest_in_a_small_ring(struct ring_speaker *self) {
    say_spoiled(self, 3, SIZE, (uint64_t) LINE_SMALL_BYTES << 32);
}

static void beyond_the_ring(struct ring_speaker *self) {
    say_spoiled(self, 3, SIZE, UINT64_C(64 * 64) << 32);
}

static void beyond_the_inline_limit(struct ring_speaker *self) {
    ring_say_inline(self, 1, METHOD, ATTACKED_INLINE_MAX + 1);
    ring_speaker_doorbell(self);
}

static void beyond_the_protocol(struct ring_speaker *self) {
    say_spoiled(self, 3, SIZE, UINT64_C(0xffffffff) << 32);
}

static void class_without_payload(struct ring_speaker *self) {
    say_spoiled(self, 3, SIZE, 0);
}

static void text_without_error(struct ring_speaker *self) {
    say_spoiled(self, 0, TEXT_SIZE, UINT64_C(1) << 48);
}

static void text_too_long(struct ring_speaker *self) {
    uint64_t words[LINE_WORDS];
    const struct wire_message message = {.status = -EIO, .text_size = 1};
    line_encode(words, WIRE_REPLY, 1, &message);
    words[0] |= UINT64_C(0xffff) << 48;
    say_and_ring(self, words);
}

static void say_text(struct ring_speaker *self, const char *text) {
    const struct wire_message message = {.status = -EIO, .text_size = (uint16_t) strlen(text)};
    ring_say(self, WIRE_REPLY, 1, &message, text);
    ring_speaker_doorbell(self);
}

static void escape_in_text(struct ring_speaker *self) {
    say_text(self, "\033[31mred");
}

static void delete_in_text(struct ring_speaker *self) {
    say_text(self,
             "a text that ends in the third line of its frame, which is no reason not to look at it closely \x7f");
}

static void utf8_control_in_text(struct ring_speaker *self) {
    say_text(self, "\xc2\x9b"
                   "31m");
}

static void reply_with_both(struct ring_speaker *self) {
    uint64_t words[LINE_WORDS];
    sound_call(words);
    words[0] = (words[0] & ~TYPE) | (uint64_t) WIRE_REPLY << 32;
    words[3] = (words[3] & SIZE) | (uint32_t) -EIO;
    say_and_ring(self, words);
}

static void reply_with_a_success_of_1(struct ring_speaker *self) {
    const struct wire_message message = {.status = 1};
    ring_say(self, WIRE_REPLY, 1, &message, NULL);
    ring_speaker_doorbell(self);
}

static void reply_to_nothing(struct ring_speaker *self) {
    ring_say_inline(self, 0xdead, 0, 16);
    ring_speaker_doorbell(self);
}

static void oneway_with_id(struct ring_speaker *self) {
    say_type(self, WIRE_ONEWAY);
}

static void oneway_with_deadline(struct ring_speaker *self) {
    const struct wire_message message = {.method = METHOD, .deadline = 1};
    ring_say(self, WIRE_ONEWAY, 0, &message, NULL);
    ring_speaker_doorbell(self);
}

static void say_plain(struct ring_speaker *self, enum wire_type type, int i, uint64_t value) {
    uint64_t words[LINE_WORDS];
    line_encode(words, type, 1, NULL);
    words[i] |= value;
    say_and_ring(self, words);
}

static void cancel_with_class(struct ring_speaker *self) {
    say_plain(self, WIRE_CANCEL, 0, UINT64_C(1) << 40);
}

static void cancel_with_method(struct ring_speaker *self) {
    say_plain(self, WIRE_CANCEL, 3, 1);
}

static void mark_with_deadline(struct ring_speaker *self) {
    say_plain(self, WIRE_MARK, 2, 1);
}

static void mark_of_nothing(struct ring_speaker *self) {
    ring_say_mark(self, 1);
    ring_speaker_doorbell(self);
}

static void mark_of_the_last(struct ring_speaker *self) {
    ring_say_mark(self, UINT64_MAX);
    ring_speaker_doorbell(self);
}

static void mark_beyond(struct ring_speaker *self) {
    draft_cancel(&draft, 77);
    ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
    ring_say_mark(self, 2);
    ring_speaker_doorbell(self);
}

static void release_and_ring(struct ring_speaker *self, uint64_t handle) {
    release_write(&self->releases_out, handle);
    ring_say(self, WIRE_CANCEL, 77, NULL, NULL);
    ring_speaker_doorbell(self);
}

static void release_of_nothing(struct ring_speaker *self) {
    release_and_ring(self, 12345);
}

static void release_of_none(struct ring_speaker *self) {
    release_and_ring(self, 0);
}

static void release_of_the_last(struct ring_speaker *self) {
    release_and_ring(self, UINT64_MAX);
}

static void release_in_an_arena(struct ring_speaker *self) {
    release_and_ring(self, UINT64_C(1) << 48 | 1);
}

/* Writes all entries of the release ring at once. */
static void releases_everywhere(struct ring_speaker *self) {
    for (uint64_t i = 0; i < self->own.releases; i++)
        release_write(&self->releases_out, i << 24 | i);
    ring_speaker_doorbell(self);
}

static void arena_of(struct ring_speaker *self, uint64_t size, int fd) {
    draft_arena(&draft, &(struct wire_arena){.id = 1, .count = 1, .stride = 4096, .size = size}, fd);
    ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
    close(fd);
    ring_say_mark(self, 1);
}

/* --- with an arena of four blocks --- */

void ring_say_arena(struct ring_speaker *self, uint64_t stride) {
    uint64_t size = ARENA_BLOCKS * stride;
    int fd = trap_memfd(size, TRAP_ALL_SEALS);
    draft_arena(&draft, &(struct wire_arena){.id = ARENA, .count = ARENA_BLOCKS, .stride = stride, .size = size}, fd);
    ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
    close(fd);
    ring_say_mark(self, ++self->marks);
}

void ring_say_pooled(struct ring_speaker *self, uint64_t handle, uint64_t size) {
    const struct wire_message message = {
        .method = KEEPING_METHOD, .handle = handle, .payload_size = size, .payload_class = WIRE_CLASS_POOLED};
    ring_say(self, WIRE_ONEWAY, 0, &message, NULL);
    ring_speaker_doorbell(self);
}

static void pooled_beyond_the_arena(struct ring_speaker *self) {
    ring_say_pooled(self, handle_make(ARENA, 0, 1), 4096);
    ring_say_pooled(self, handle_make(ARENA, ARENA_BLOCKS, 1), 4096);
}

static void pooled_far_beyond_the_arena(struct ring_speaker *self) {
    ring_say_pooled(self, handle_make(ARENA, 0, 1), 4096);
    ring_say_pooled(self, handle_make(ARENA, HANDLE_INDEX_MAX, 1), 4096);
}

static void pooled_beyond_its_block(struct ring_speaker *self) {
    ring_say_pooled(self, handle_make(ARENA, 0, 1), 4096);
    ring_say_pooled(self, handle_make(ARENA, 1, 1), 4097);
}

static void pooled_beyond_block_max(struct ring_speaker *self) {
    ring_say_pooled(self, handle_make(ARENA, 0, 1), ATTACKED_BLOCK_MAX);
    ring_say_pooled(self, handle_make(ARENA, 1, 1), ATTACKED_BLOCK_MAX + 1);
}

static void pooled_without_generation(struct ring_speaker *self) {
    ring_say_pooled(self, handle_make(ARENA, 0, 1), 4096);
    ring_say_pooled(self, handle_make(ARENA, 1, 0), 4096);
}

static void pooled_twice(struct ring_speaker *self) {
    for (int i = 0; i < 2; i++)
        ring_say_pooled(self, handle_make(ARENA, 0, 1), 4096);
}

/* A second name for the block is no lie; the third frame has it again. */
static void pooled_twice_by_its_second_name(struct ring_speaker *self) {
    ring_say_pooled(self, handle_make(ARENA, 0, 1), 4096);
    for (int i = 0; i < 2; i++)
        ring_say_pooled(self, handle_make(ARENA, 0, 2), 4096);
}

/* With a block under each of two names, the one that has the arena's own entry is said again. */
static void pooled_twice_by_its_first_name(struct ring_speaker *self) {
    ring_say_pooled(self, handle_make(ARENA, 0, 1), 4096);
    ring_say_pooled(self, handle_make(ARENA, 0, 2), 4096);
    ring_say_pooled(self, handle_make(ARENA, 0, 1), 4096);
}

static void pooled_blocks_beyond_credit(struct ring_speaker *self) {
    for (uint32_t i = 0; i <= ATTACKED_BLOCKS_MAX; i++)
        ring_say_pooled(self, handle_make(ARENA, i % ARENA_BLOCKS, 1 + i / ARENA_BLOCKS), 16);
}

static void pooled_bytes_beyond_credit(struct ring_speaker *self) {
    for (uint32_t i = 0; i < 2; i++)
        ring_say_pooled(self, handle_make(ARENA, i, 1), ATTACKED_BLOCK_MAX);
    ring_say_pooled(self, handle_make(ARENA, 2, 1), 1);
}

static void pooled_in_a_retired_arena(struct ring_speaker *self) {
    ring_say_pooled(self, handle_make(ARENA, 0, 1), 4096);
    draft_retire(&draft, ARENA);
    ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
    ring_say_mark(self, ++self->marks);
    ring_say_pooled(self, handle_make(ARENA, 1, 1), 4096);
}

static void calls_beyond_credit(struct ring_speaker *self) {
    for (uint64_t id = 1; id <= ATTACKED_CALLS_MAX + 1; id++)
        ring_say_inline(self, id, KEEPING_METHOD, 16);
    ring_speaker_doorbell(self);
}

static void say_pooled_answer(struct ring_speaker *self, uint64_t id, uint64_t handle, uint64_t size) {
    const struct wire_message message = {.handle = handle, .payload_size = size, .payload_class = WIRE_CLASS_POOLED};
    ring_say(self, WIRE_REPLY, id, &message, NULL);
}

static void pooled_reply_to_nothing(struct ring_speaker *self) {
    say_pooled_answer(self, 0xdead, handle_make(ARENA, 0, 1), 16);
    ring_speaker_doorbell(self);
}

const struct lease_attack lease_attacks[] = {
    {"pooled payload behind its arena", 4096, pooled_beyond_the_arena, "pooled"},
    {"pooled payload far behind its arena", 4096, pooled_far_beyond_the_arena, "pooled"},
    {"pooled payload larger than its block", 4096, pooled_beyond_its_block, "pooled"},
    {"pooled payload over block_max", ATTACKED_BLOCK_MAX + 4096, pooled_beyond_block_max, "limit"},
    {"pooled payload without a generation", 4096, pooled_without_generation, "generation"},
    {"pooled payload twice", 4096, pooled_twice, "already on lease"},
    {"pooled payload twice by its second name", 4096, pooled_twice_by_its_second_name, "already on lease"},
    {"pooled payload twice by its first name", 4096, pooled_twice_by_its_first_name, "already on lease"},
    {"more pooled blocks than the credit", 4096, pooled_blocks_beyond_credit, "credit"},
    {"more pooled bytes than the credit", ATTACKED_BLOCK_MAX, pooled_bytes_beyond_credit, "credit"},
    {"more calls than the limit", 4096, calls_beyond_credit, "calls"},
    {"pooled REPLY to nothing", 4096, pooled_reply_to_nothing, "reply"},
    {"pooled payload in a retired arena", 4096, pooled_in_a_retired_arena, "pooled"},
};
const int lease_attacks_count = sizeof lease_attacks / sizeof *lease_attacks;

/* --- answers --- */

/* A correct answer, with `value` in the bits of `mask` of word `i`. */
static void answer_spoiled(struct ring_speaker *self, uint64_t id, int i, uint64_t mask, uint64_t value) {
    uint64_t words[LINE_WORDS];
    const struct wire_message message = {.payload_size = 16, .payload_class = WIRE_CLASS_INLINE};
    line_encode(words, WIRE_REPLY, id, &message);
    words[i] = (words[i] & ~mask) | value;
    say_and_ring(self, words);
}

static void answer_beyond_a_quarter(struct ring_speaker *self, uint64_t id) {
    answer_spoiled(self, id, 3, SIZE, (uint64_t) (ring_bytes_max(self->own.lines) + 1) << 32);
}

static void largest_answer_in_a_small_ring(struct ring_speaker *self, uint64_t id) {
    answer_spoiled(self, id, 3, SIZE, (uint64_t) LINE_SMALL_BYTES << 32);
}

static void answer_beyond_the_protocol(struct ring_speaker *self, uint64_t id) {
    answer_spoiled(self, id, 3, SIZE, UINT64_C(0xffffffff) << 32);
}

static void answer_without_a_class(struct ring_speaker *self, uint64_t id) {
    answer_spoiled(self, id, 0, CLASS, 0);
}

static void answer_without_a_payload(struct ring_speaker *self, uint64_t id) {
    answer_spoiled(self, id, 3, SIZE, 0);
}

static void answer_with_a_success_of_1(struct ring_speaker *self, uint64_t id) {
    answer_spoiled(self, id, 3, 1, 1);
}

static void answer_with_a_deadline(struct ring_speaker *self, uint64_t id) {
    answer_spoiled(self, id, 2, 1, 1);
}

static void answer_with_a_text(struct ring_speaker *self, uint64_t id) {
    answer_spoiled(self, id, 0, TEXT_SIZE, UINT64_C(1) << 48);
}

/* Two answers to one call, and the next call after them. */
static void answer_twice(struct ring_speaker *self, uint64_t id) {
    for (int i = 0; i < 2; i++)
        ring_say_inline(self, id, 0, 16);
}

static void answer_of_an_earlier_call(struct ring_speaker *self, uint64_t id) {
    ring_say_inline(self, id - (UINT64_C(1) << 32), 0, 16);
}

static void pooled_answer_behind_its_arena(struct ring_speaker *self, uint64_t id) {
    say_pooled_answer(self, id, handle_make(ARENA, ARENA_BLOCKS, 1), 16);
}

static void pooled_answer_of_a_kept_block(struct ring_speaker *self, uint64_t id) {
    ring_say_pooled(self, handle_make(ARENA, 0, 1), 4096);
    say_pooled_answer(self, id, handle_make(ARENA, 0, 1), 4096);
}

const struct answer_attack answer_attacks[] = {
    {"an answer larger than a quarter", answer_beyond_a_quarter, "quarter"},
    {"the largest small answer in a ring of 32 lines", largest_answer_in_a_small_ring, "quarter"},
    {"an answer over the protocol's limit", answer_beyond_the_protocol, "inline"},
    {"an answer without a class", answer_without_a_class, "class"},
    {"an empty answer with a class", answer_without_a_payload, "empty payload"},
    {"an answer of status 1", answer_with_a_success_of_1, "status"},
    {"an answer with a deadline", answer_with_a_deadline, "deadline"},
    {"an answer with a text", answer_with_a_text, "text"},
    {"an answer twice", answer_twice, "reply"},
    {"an answer to an earlier call", answer_of_an_earlier_call, "reply"},
    {"a pooled answer behind its arena", pooled_answer_behind_its_arena, "pooled"},
    {"a pooled answer of a block on lease", pooled_answer_of_a_kept_block, "already on lease"},
};
const int answer_attacks_count = sizeof answer_attacks / sizeof *answer_attacks;

static void arena_of_a_pipe(struct ring_speaker *self) {
    arena_of(self, 4096, trap_pipe());
}

static void arena_unsealed(struct ring_speaker *self) {
    arena_of(self, 4096, trap_memfd(4096, 0));
}

static void arena_of_another_size(struct ring_speaker *self) {
    arena_of(self, 8192, trap_memfd(4096, TRAP_ALL_SEALS));
}

static void retire_of_nothing(struct ring_speaker *self) {
    draft_retire(&draft, 9);
    ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
}

/* Announces a ring of `count` entries, with its mark; takes `fd`. */
static void ring_of(struct ring_speaker *self, uint32_t kind, uint32_t count, uint32_t from, int fd) {
    draft_ring(&draft, &(struct wire_ring){.kind = kind, .count = count, .from = from}, fd);
    ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
    close(fd);
    ring_say_mark(self, ++self->marks);
}

/* Returns memory that its owner can still write, and no other process: as a ring must be. */
static int ring_memory(size_t size) {
    return trap_memfd(size, TRAP_ALL_SEALS);
}

static void frame_ring_of_a_pipe(struct ring_speaker *self) {
    ring_of(self, WIRE_RING_FRAMES, 1024, 0, trap_pipe());
}

static void frame_ring_unsealed(struct ring_speaker *self) {
    ring_of(self, WIRE_RING_FRAMES, 1024, 0, trap_memfd(65536, 0));
}

static void frame_ring_with_holes(struct ring_speaker *self) {
    ring_of(self, WIRE_RING_FRAMES, 1024, 0, trap_holes(65536));
}

static void frame_ring_too_small(struct ring_speaker *self) {
    ring_of(self, WIRE_RING_FRAMES, 1024, 0, ring_memory(65536 - 4096));
}

static void frame_ring_too_large(struct ring_speaker *self) {
    ring_of(self, WIRE_RING_FRAMES, 1024, 0, ring_memory(65536 + 4096));
}

static void frame_ring_no_larger(struct ring_speaker *self) {
    ring_of(self, WIRE_RING_FRAMES, 64, 0, ring_memory(4096));
}

static void frame_ring_shrinks(struct ring_speaker *self) {
    ring_of(self, WIRE_RING_FRAMES, 32, 0, ring_memory(4096));
}

static void frame_ring_without_a_mark_twice(struct ring_speaker *self) {
    for (int i = 0; i < 2; i++) {
        int fd = ring_memory(65536);
        draft_ring(&draft, &(struct wire_ring){.kind = WIRE_RING_FRAMES, .count = 1024}, fd);
        ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
        close(fd);
    }
    ring_speaker_doorbell(self);
}

/* The attacker goes on in the old lines, which are no longer read: frames there have no effect, and its second
 * growth is one too many. */
static void frame_ring_twice(struct ring_speaker *self) {
    ring_of(self, WIRE_RING_FRAMES, 1024, 0, ring_memory(65536));
    ring_of(self, WIRE_RING_FRAMES, 2048, 0, ring_memory(131072));
    ring_speaker_doorbell(self);
}

static void mark_of_a_ring_that_never_came(struct ring_speaker *self) {
    ring_of(self, WIRE_RING_RELEASES, 1024, 0, ring_memory(16384));
    ring_say_mark(self, ++self->marks);
    ring_speaker_doorbell(self);
}

static void nonsense_in_the_new_ring(struct ring_speaker *self) {
    int fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const uint64_t word = UINT64_C(0xff) << 32 | 1; /* with the tag of the first lap */
    ck_assert_int_eq(fallocate(fd, 0, 0, 65536), 0);
    for (off_t at = 0; at < 65536; at += 64)
        ck_assert_int_eq(pwrite(fd, &word, 8, at), 8);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, TRAP_ALL_SEALS), 0);
    ring_of(self, WIRE_RING_FRAMES, 1024, 0, fd);
    ring_speaker_doorbell(self);
}

static void release_ring_no_larger(struct ring_speaker *self) {
    ring_of(self, WIRE_RING_RELEASES, 256, 0, ring_memory(4096));
}

static void release_ring_twice(struct ring_speaker *self) {
    ring_of(self, WIRE_RING_RELEASES, 1024, 0, ring_memory(16384));
    ring_of(self, WIRE_RING_RELEASES, 4096, 0, ring_memory(65536));
    ring_speaker_doorbell(self);
}

static void release_ring_from_beyond(struct ring_speaker *self) {
    ring_of(self, WIRE_RING_RELEASES, 1024, 257, ring_memory(16384));
}

static void release_ring_from_before(struct ring_speaker *self) {
    ring_of(self, WIRE_RING_RELEASES, 1024, UINT32_MAX, ring_memory(16384));
}

static void release_ring_of_another_size(struct ring_speaker *self) {
    ring_of(self, WIRE_RING_RELEASES, 65536, 0, ring_memory(16384));
}

static void release_of_nothing_in_the_new_ring(struct ring_speaker *self) {
    int fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const uint64_t entry[2] = {1, 12345};
    ck_assert_int_eq(fallocate(fd, 0, 0, 16384), 0);
    ck_assert_int_eq(pwrite(fd, entry, 16, 0), 16);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, TRAP_ALL_SEALS), 0);
    ring_of(self, WIRE_RING_RELEASES, 1024, 0, fd);
    ring_speaker_doorbell(self);
}

/* The attack comes after many correct frames, without a pause. */
static void late(struct ring_speaker *self) {
    for (int i = 0; i < 60; i++)
        ring_say(self, WIRE_CANCEL, 1000 + (uint64_t) i, NULL, NULL);
    type_unknown(self);
}

#define TYPES "frame type that does not belong in a ring"
#define MARKS "a mark without its datagram"

const struct ring_attack ring_attacks[] = {
    {"type 0", type_zero, TYPES, 0},
    {"HELLO in the ring", type_hello, TYPES, 0},
    {"GOODBYE in the ring", type_goodbye, TYPES, 0},
    {"RELEASE in the ring", type_release, TYPES, 0},
    {"DOORBELL in the ring", type_doorbell, TYPES, 0},
    {"ARENA in the ring", type_arena, TYPES, 0},
    {"RETIRE in the ring", type_retire, TYPES, 0},
    {"type 255", type_unknown, TYPES, 0},
    {"sealed payload in the ring", class_sealed, "sealed", 0},
    {"unknown class", class_unknown, "class", 0},
    {"payload without a class", class_none, "class", 0},
    {"pooled payload in no arena", pooled_nowhere, "pooled", 0},
    {"pooled payload of the last handle", pooled_everywhere, "pooled", 0},
    {"pooled payload of generation 0", pooled_of_generation_0, "generation", 0},
    {"sealed payload in an arena", sealed_in_an_arena, "sealed payload names an arena", 0},
    {"pooled payload of 2^62 bytes", pooled_too_large, "pooled", 0},
    {"pooled payload with reserved words", pooled_and_more, "reserved", 0},
    {"frame larger than a quarter", beyond_a_quarter, "quarter", 0},
    {"largest small message in a ring of 32 lines", largest_in_a_small_ring, "quarter", 32},
    {"frame larger than the ring", beyond_the_ring, "quarter", 0},
    {"payload over the negotiated limit", beyond_the_inline_limit, "inline", 16384},
    {"payload over the protocol's limit", beyond_the_protocol, "inline", 0},
    {"empty payload with a class", class_without_payload, "empty payload", 0},
    {"text without an error", text_without_error, "text", 0},
    {"text too long", text_too_long, "text", 0},
    {"escape in a text", escape_in_text, "control characters", 0},
    {"DEL in a text", delete_in_text, "control characters", 0},
    {"U+009B in a text", utf8_control_in_text, "control characters", 0},
    {"error and payload", reply_with_both, "payload", 0},
    {"status 1", reply_with_a_success_of_1, "status", 0},
    {"REPLY to nothing", reply_to_nothing, "reply", 0},
    {"ONEWAY with an id", oneway_with_id, "id", 0},
    {"ONEWAY with a deadline", oneway_with_deadline, "deadline", 0},
    {"CANCEL with a class", cancel_with_class, "CANCEL", 0},
    {"CANCEL with a method", cancel_with_method, "CANCEL", 0},
    {"MARK with a deadline", mark_with_deadline, "MARK", 0},
    {"mark of nothing", mark_of_nothing, MARKS, 0},
    {"mark of datagram 2^64 - 1", mark_of_the_last, MARKS, 0},
    {"mark of a later datagram", mark_beyond, MARKS, 0},
    {"release of nothing", release_of_nothing, "released", 0},
    {"release of handle 0", release_of_none, "released", 0},
    {"release of the last handle", release_of_the_last, "released", 0},
    {"release of a pooled block", release_in_an_arena, "released", 0},
    {"all releases there can be", releases_everywhere, "released", 0},
    {"arena that is a pipe", arena_of_a_pipe, "memfd", 0},
    {"arena without seals", arena_unsealed, "F_SEAL_", 0},
    {"arena of another size", arena_of_another_size, "size", 0},
    {"RETIRE of nothing", retire_of_nothing, "retired", 0},
    {"frame ring that is a pipe", frame_ring_of_a_pipe, "memfd", 0},
    {"frame ring without seals", frame_ring_unsealed, "F_SEAL_", 0},
    {"frame ring with holes", frame_ring_with_holes, "holes", 0},
    {"frame ring a page too small", frame_ring_too_small, "size", 0},
    {"frame ring a page too large", frame_ring_too_large, "size", 0},
    {"frame ring that does not grow", frame_ring_no_larger, "not larger", 0},
    {"frame ring that shrinks", frame_ring_shrinks, "not larger", 0},
    {"frame ring announced twice, never marked", frame_ring_without_a_mark_twice, "grown already", 0},
    {"frame ring that grows twice", frame_ring_twice, "grown already", 0},
    {"mark of a ring that never came", mark_of_a_ring_that_never_came, MARKS, 0},
    {"nonsense in the new ring", nonsense_in_the_new_ring, TYPES, 0},
    {"release ring that does not grow", release_ring_no_larger, "not larger", 0},
    {"release ring that grows twice", release_ring_twice, "grown already", 0},
    {"release ring from beyond the old one", release_ring_from_beyond, "begins at no release", 0},
    {"release ring from before", release_ring_from_before, "begins at no release", 0},
    {"release ring of another size", release_ring_of_another_size, "size", 0},
    {"release of nothing in the new ring", release_of_nothing_in_the_new_ring, "released", 0},
    {"nonsense after sound frames", late, TYPES, 0},
};
const int ring_attacks_count = sizeof ring_attacks / sizeof *ring_attacks;
