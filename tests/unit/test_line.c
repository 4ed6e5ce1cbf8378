/* SPDX-License-Identifier: MIT */
/*
 * wire/line: the layout does not drift (golden lines, which doc/PROTOCOL.md shows, too), every written line is read
 * back, and no other words are accepted. test_ring checks the places of tags and bytes.
 */
#include "wire/line.h"

#include "support/document.h"
#include "support/line_oracle.h"
#include "support/random.h"
#include "support/suite.h"
#include "unit/line_samples.h"

#define COUNT(array) (int) (sizeof(array) / sizeof((array)[0]))

/* Returns the sample's first line. */
static void sample_words(const struct line_sample *sample, uint64_t ret_words[LINE_WORDS]) {
    uint8_t bytes[256];
    ck_assert_uint_ge(hex_read(sample->hex, bytes, sizeof(bytes)), LINE_SIZE);
    memcpy(ret_words, bytes, LINE_SIZE);
}

static const struct line_sample *sample_find(const char *name) {
    for (int i = 0; i < LINE_SAMPLES; i++)
        if (strcmp(line_samples[i].name, name) == 0)
            return &line_samples[i];
    ck_abort_msg("no sample \"%s\"", name);
    return NULL;
}

/* Checks that an accepted line keeps the promises of wire/line.h, and encodes to the words that it came from.
 * Returns whether the line was accepted. */
static bool is_accepted_soundly(const uint64_t words[LINE_WORDS]) {
    uint64_t again[LINE_WORDS];
    struct wire_frame frame;
    uint32_t bytes = 0xa5a5a5a5;
    memset(&frame, 0xa5, sizeof(frame));
    memset(again, 0xa5, sizeof(again));
    const char *wrong = line_decode(words, &frame, &bytes);
    if (line_is_small(words) && !line_oracle_is_small(words, &frame, wrong, bytes))
        ck_abort_msg("small, but: %s", wrong ? wrong : "another frame");
    if (line_is_pooled(words) && !line_oracle_is_pooled(words, &frame, wrong, bytes))
        ck_abort_msg("pooled, but: %s", wrong ? wrong : "another frame");
    if (wrong)
        return false;
    const char *broken = line_oracle_violation(&frame, bytes);
    if (broken)
        ck_abort_msg("accepted, but: %s", broken);
    line_encode(again, (enum wire_type) frame.head.type, frame.head.id, &frame.message);
    if (!line_oracle_is_same(words, again, &frame))
        ck_abort_msg("type %d: not the same words again", frame.head.type);
    return true;
}

START_TEST(test_encode_golden) {
    const struct line_sample *sample = &line_samples[_i];
    uint64_t wanted[LINE_WORDS], words[LINE_WORDS];
    sample_words(sample, wanted);
    wanted[0] &= ~(uint64_t) UINT32_MAX; /* the ring writes these bits */
    for (int i = LINE_FIRST_WORD; i < LINE_WORDS && sample->bytes; i++)
        wanted[i] = 0;
    for (int litter = 0; litter <= 0xff; litter += 0xff) {
        memset(words, litter, sizeof(words));
        line_encode(words, sample->type, sample->id, &sample->message);
        ck_assert_mem_eq(words, wanted, sizeof(words));
    }
}
END_TEST

START_TEST(test_decode_golden) {
    const struct line_sample *sample = &line_samples[_i];
    const struct wire_message *message = &sample->message;
    uint64_t words[LINE_WORDS];
    struct wire_frame frame;
    uint32_t bytes;
    sample_words(sample, words);
    ck_assert_ptr_null(line_decode(words, &frame, &bytes));
    ck_assert_int_eq(frame.head.type, sample->type);
    ck_assert_uint_eq(frame.head.id, sample->id);
    ck_assert_uint_eq(bytes, sample->bytes ? strlen(sample->bytes) : 0);
    ck_assert(is_accepted_soundly(words));
    if (sample->type == WIRE_CANCEL || sample->type == WIRE_MARK)
        return;
    ck_assert_uint_eq(frame.message.method, message->method);
    ck_assert_int_eq(frame.message.status, message->status);
    ck_assert_uint_eq(frame.message.deadline, message->deadline);
    ck_assert_uint_eq(frame.message.handle, message->handle);
    ck_assert_uint_eq(frame.message.payload_class, message->payload_class);
    ck_assert_uint_eq(frame.message.payload_size, message->payload_size);
    ck_assert_uint_eq(frame.message.text_size, message->text_size);
}
END_TEST

/* Every field has its largest value, so that a field that overlaps its neighbour shows. */
START_TEST(test_largest_fields) {
    const struct wire_message call = {.method = UINT32_MAX,
                                      .deadline = UINT64_MAX,
                                      .payload_class = WIRE_CLASS_INLINE,
                                      .payload_size = WIRE_INLINE_CEILING};
    const struct wire_message error = {.status = WIRE_STATUS_LEAST, .text_size = WIRE_TEXT_MAX};
    const struct wire_message pooled = {
        .handle = UINT64_MAX, .payload_class = WIRE_CLASS_POOLED, .payload_size = WIRE_BLOCK_CEILING};
    uint64_t words[LINE_WORDS];
    struct wire_frame frame;
    uint32_t bytes;

    line_encode(words, WIRE_CALL, UINT64_MAX, &call);
    ck_assert_ptr_null(line_decode(words, &frame, &bytes));
    ck_assert_uint_eq(frame.head.id, UINT64_MAX);
    ck_assert_uint_eq(frame.message.method, UINT32_MAX);
    ck_assert_uint_eq(frame.message.deadline, UINT64_MAX);
    ck_assert_uint_eq(frame.message.payload_size, WIRE_INLINE_CEILING);
    ck_assert_uint_eq(bytes, WIRE_INLINE_CEILING);

    line_encode(words, WIRE_REPLY, 0, &error);
    ck_assert_ptr_null(line_decode(words, &frame, &bytes));
    ck_assert_int_eq(frame.message.status, WIRE_STATUS_LEAST);
    ck_assert_uint_eq(bytes, WIRE_TEXT_MAX);

    line_encode(words, WIRE_REPLY, 0, &pooled);
    ck_assert_ptr_null(line_decode(words, &frame, &bytes));
    ck_assert_uint_eq(frame.message.handle, UINT64_MAX);
    ck_assert_uint_eq(frame.message.payload_size, WIRE_BLOCK_CEILING);
    ck_assert_uint_eq(bytes, 0);
}
END_TEST

/* The tag belongs to the ring: no field of a frame depends on it, and the encoder leaves it out. */
START_TEST(test_the_tag_is_not_looked_at) {
    static const uint32_t tags[] = {0, 1, 0x80000000, UINT32_MAX};
    for (int i = 0; i < COUNT(tags); i++) {
        uint64_t words[LINE_WORDS];
        sample_words(&line_samples[_i], words);
        words[0] = (words[0] & ~(uint64_t) UINT32_MAX) | tags[i];
        ck_assert(is_accepted_soundly(words));
    }
}
END_TEST

/* Frames that go the short way: calls, one-way messages and good replies of at most LINE_SMALL_LINES lines, with any
 * other content. */
START_TEST(test_small_lines) {
    static const bool is_small[] = {true, true, false, true, false, false, false}; /* for each of the samples */
    uint64_t words[LINE_WORDS];
    sample_words(&line_samples[_i], words);
    ck_assert_int_eq(line_is_small(words), is_small[_i]);
    for (uint32_t size = 0; size <= LINE_SMALL_BYTES + 60; size++) {
        const uint8_t class = size ? WIRE_CLASS_INLINE : 0;
        const struct wire_message call = {
            .method = UINT32_MAX, .deadline = UINT64_MAX, .payload_size = size, .payload_class = class};
        const struct wire_message oneway = {.method = UINT32_MAX, .payload_size = size, .payload_class = class};
        const struct wire_message reply = {.payload_size = size, .payload_class = class};
        line_encode(words, WIRE_CALL, UINT64_MAX, &call);
        ck_assert_int_eq(line_is_small(words), size <= LINE_SMALL_BYTES);
        ck_assert(is_accepted_soundly(words));
        line_encode(words, WIRE_ONEWAY, 0, &oneway);
        ck_assert_int_eq(line_is_small(words), size <= LINE_SMALL_BYTES);
        ck_assert(is_accepted_soundly(words));
        line_encode(words, WIRE_REPLY, 0, &reply);
        ck_assert_int_eq(line_is_small(words), size <= LINE_SMALL_BYTES);
        ck_assert(is_accepted_soundly(words));
    }
}
END_TEST

/* Frames with a pooled payload that go the short way. */
START_TEST(test_pooled_lines) {
    const struct wire_message call = {.method = UINT32_MAX,
                                      .deadline = UINT64_MAX,
                                      .handle = UINT64_MAX,
                                      .payload_size = WIRE_BLOCK_CEILING,
                                      .payload_class = WIRE_CLASS_POOLED};
    const struct wire_message oneway = {
        .method = 1, .handle = 1, .payload_size = 1, .payload_class = WIRE_CLASS_POOLED};
    const struct wire_message reply = {.handle = 1, .payload_size = 1, .payload_class = WIRE_CLASS_POOLED};
    uint64_t good[3][LINE_WORDS], words[LINE_WORDS];
    line_encode(good[0], WIRE_CALL, UINT64_MAX, &call);
    line_encode(good[1], WIRE_ONEWAY, 0, &oneway);
    line_encode(good[2], WIRE_REPLY, 0, &reply);
    for (int i = 0; i < COUNT(good); i++) {
        ck_assert(line_is_pooled(good[i]));
        ck_assert(is_accepted_soundly(good[i]));
        for (int bit = 32; bit < 64 * LINE_WORDS; bit++) {
            memcpy(words, good[i], sizeof(words));
            words[bit / 64] ^= UINT64_C(1) << bit % 64;
            is_accepted_soundly(words);
        }
    }
    memcpy(words, good[0], sizeof(words));
    words[5] = WIRE_BLOCK_CEILING + UINT64_C(1);
    ck_assert(!line_is_pooled(words));
    words[5] = 0;
    ck_assert(!line_is_pooled(words));
}
END_TEST

START_TEST(test_line_count) {
    static const uint64_t counts[][2] = {{0, 1},   {1, 1},   {32, 1},  {33, 2},  {88, 2},
                                         {89, 3},  {144, 3}, {145, 4}, {200, 4}, {201, 5},
                                         {256, 5}, {257, 5}, {288, 5}, {289, 6}, {1 << 17, 2049}};
    for (int i = 0; i < COUNT(counts); i++)
        ck_assert_uint_eq(line_count(counts[i][0]), counts[i][1]);
    for (uint64_t bytes = 0; bytes < 10000; bytes++) {
        uint64_t lines = line_count(bytes);
        uint64_t later = bytes <= LINE_SHORT_MOST ? LINE_SHORT_BYTES : LINE_MORE_BYTES;
        if (LINE_FIRST_BYTES + (lines - 1) * later < bytes ||
            (lines > 1 && LINE_FIRST_BYTES + (lines - 2) * later >= bytes))
            ck_abort_msg("%u lines for %u bytes", (unsigned) lines, (unsigned) bytes);
    }
}
END_TEST

/* --- refused lines --- */

/* A sample with `hex` written over it at `offset`. */
static const struct corruption {
    const char *sample, *hex;
    size_t offset;
    const char *wrong;
} corruptions[] = {
    {"line-call", "00", 4, "a frame type that does not belong in a ring"},
    {"line-call", "01", 4, "a frame type that does not belong in a ring"}, /* HELLO */
    {"line-call", "02", 4, "a frame type that does not belong in a ring"}, /* GOODBYE */
    {"line-call", "06", 4, "a frame type that does not belong in a ring"}, /* RELEASE */
    {"line-call", "08", 4, "a frame type that does not belong in a ring"}, /* DOORBELL */
    {"line-call", "0a", 4, "a frame type that does not belong in a ring"}, /* ARENA */
    {"line-call", "0b", 4, "a frame type that does not belong in a ring"}, /* RETIRE */
    {"line-call", "ff", 4, "a frame type that does not belong in a ring"},
    {"line-oneway", "01", 8, "an id where there is no call"},
    {"line-oneway", "80", 15, "an id where there is no call"},
    {"line-call", "04", 5, "a sealed payload in a ring"},
    {"line-reply", "04", 5, "a sealed payload in a ring"},
    {"line-call", "03", 5, "unknown payload class"},
    {"line-call", "08", 5, "unknown payload class"},
    {"line-call", "ff", 5, "unknown payload class"},
    {"line-call", "00", 5, "a payload without a class"},
    {"line-call", "00", 28, "an empty payload with a class"},
    {"line-oneway", "01", 5, "an empty payload with a class"},
    {"line-call", "01 00 02", 28, "an inline payload above the protocol's limit"},
    {"line-call", "ff ff ff ff", 28, "an inline payload above the protocol's limit"},
    {"line-reply", "01", 16, "a deadline where nobody waits"},
    {"line-oneway", "01", 23, "a deadline where nobody waits"},
    {"line-reply-error", "01 00 00 00", 24, "REPLY with a status that is no errno value"},
    {"line-reply-error", "00 f0 ff ff", 24, "REPLY with a status that is no errno value"},
    {"line-reply-error", "00 00 00 80", 24, "REPLY with a status that is no errno value"},
    {"line-reply-error", "00 00 00 00", 24, "a text without an error"},
    {"line-call", "01", 6, "a text without an error"},
    {"line-oneway", "ff", 7, "a text without an error"},
    {"line-reply", "da ff ff ff", 24, "REPLY with both an error and a payload"},
    {"line-reply-error", "00 01", 6, "a text that is too long"},
    {"line-reply-error", "ff ff", 6, "a text that is too long"},
    {"line-oneway-pooled", "00 00 00 00 00 00 00 00", 32, "a block without a handle"},
    {"line-oneway-pooled", "00 00 00", 40, "an empty payload with a class"},
    {"line-oneway-pooled", "01 00 00 00 00 00 00 40", 40, "a block above the protocol's limit"},
    {"line-oneway-pooled", "01", 28, "a pooled payload with an inline size"},
    {"line-oneway-pooled", "01", 48, "reserved words of a pooled payload are not zero"},
    {"line-oneway-pooled", "80", 63, "reserved words of a pooled payload are not zero"},
    {"line-cancel", "01", 5, "a CANCEL or MARK with more than an id"},
    {"line-cancel", "80", 7, "a CANCEL or MARK with more than an id"},
    {"line-cancel", "01", 16, "a CANCEL or MARK with more than an id"},
    {"line-mark", "01", 6, "a CANCEL or MARK with more than an id"},
    {"line-mark", "80", 23, "a CANCEL or MARK with more than an id"},
    {"line-mark", "01", 24, "a CANCEL or MARK with more than an id"},
    {"line-mark", "80", 31, "a CANCEL or MARK with more than an id"},
};

START_TEST(test_decode_corrupted) {
    const struct corruption *c = &corruptions[_i];
    uint64_t words[LINE_WORDS];
    struct wire_frame frame;
    uint32_t bytes;
    sample_words(sample_find(c->sample), words);
    ck_assert_uint_gt(hex_read(c->hex, (uint8_t *) words + c->offset, 8), 0);
    const char *wrong = line_decode(words, &frame, &bytes);
    ck_assert_msg(wrong, "%s with %s at %zu was accepted", c->sample, c->hex, c->offset);
    ck_assert_str_eq(wrong, c->wrong);
}
END_TEST

/* Each byte of each sample takes each value: the result is refused, or another sound frame. */
START_TEST(test_decode_any_byte) {
    uint64_t words[LINE_WORDS];
    uint8_t *bytes = (uint8_t *) words;
    sample_words(&line_samples[_i], words);
    for (size_t at = 0; at < LINE_SIZE; at++) {
        uint8_t right = bytes[at];
        for (unsigned value = 0; value <= 0xff; value++) {
            bytes[at] = (uint8_t) value;
            if (!is_accepted_soundly(words) && value == right)
                ck_abort_msg("byte %zu: refused unharmed", at);
        }
        bytes[at] = right;
    }
}
END_TEST

/* Samples with a few bits flipped, and random words. */
START_TEST(test_decode_mutated) {
    uint64_t state = UINT64_C(0xd1b54a32d192ed03) + (uint64_t) _i;
    int accepted = 0;
    for (int round = 0; round < 20000; round++) {
        uint64_t words[LINE_WORDS];
        sample_words(&line_samples[random_below(&state, LINE_SAMPLES)], words);
        for (uint32_t changes = 1 + random_below(&state, 3); changes > 0; changes--)
            words[random_below(&state, LINE_WORDS)] ^= UINT64_C(1) << random_below(&state, 64);
        accepted += is_accepted_soundly(words);
        for (int i = 0; i < LINE_WORDS; i++)
            words[i] = random_next(&state);
        is_accepted_soundly(words);
    }
    ck_assert_int_gt(accepted, 1000);
    ck_assert_int_lt(accepted, 19000);
}
END_TEST

START_TEST(test_document) {
    char line[256], name[64];
    uint8_t wanted[256];
    bool is_shown[LINE_SAMPLES] = {false};
    FILE *file = document_open();
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "```line %63s", name) != 1)
            continue;
        const struct line_sample *sample = sample_find(name);
        document_check_block(file, name, wanted, hex_read(sample->hex, wanted, sizeof(wanted)));
        is_shown[sample - line_samples] = true;
    }
    for (int i = 0; i < LINE_SAMPLES; i++)
        ck_assert_msg(is_shown[i], "doc/PROTOCOL.md does not show \"%s\"", line_samples[i].name);
    fclose(file);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("line");
    suite_add_loop(s, test_encode_golden, 0, LINE_SAMPLES);
    suite_add_loop(s, test_decode_golden, 0, LINE_SAMPLES);
    suite_add(s, test_largest_fields);
    suite_add_loop(s, test_the_tag_is_not_looked_at, 0, LINE_SAMPLES);
    suite_add_loop(s, test_small_lines, 0, LINE_SAMPLES);
    suite_add(s, test_pooled_lines);
    suite_add(s, test_line_count);
    suite_add_loop(s, test_decode_corrupted, 0, COUNT(corruptions));
    suite_add_loop(s, test_decode_any_byte, 0, LINE_SAMPLES);
    suite_add_loop(s, test_decode_mutated, 0, 4);
    suite_add(s, test_document);
    return suite_run(s);
}
