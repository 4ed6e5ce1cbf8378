/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes wire/frame.h: a decoded frame keeps every promise of that header and is encoded to the bytes that it came
 * from; and any string can be cleaned into a text that is decoded. Build with -fsanitize=fuzzer,address,undefined.
 * Seeds: fuzz/corpus/frame, made by fuzz/seeds.py from doc/PROTOCOL.md.
 */
#include "support/frame_oracle.h"
#include "wire/frame.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds) {
    if (!holds)
        __builtin_trap();
}

static void fuzz_decode(const uint8_t *data, size_t size) {
    static uint8_t again[FRAME_MAX];
    struct wire_frame frame;

    memset(&frame, 0xa5, sizeof(frame)); /* a field that the decoder forgets to set is wrong, not zero */
    if (wire_decode(data, size, &frame))
        return;
    demand(!oracle_violation(data, size, &frame));
    memset(again, 0xa5, size);
    demand(frame_encode_again(&frame, again) == size && memcmp(again, data, size) == 0);
}

/* Decodes as fuzz_decode() does, but with the right size field, which random bytes seldom have. */
static void fuzz_decode_sized(const uint8_t *data, size_t size) {
    if (size < WIRE_HEAD_SIZE || size > UINT16_MAX)
        return;
    uint8_t *copy = malloc(size);
    if (!copy)
        return;
    memcpy(copy, data, size);
    copy[4] = (uint8_t) (size & 0xff);
    copy[5] = (uint8_t) (size >> 8);
    copy[6] = copy[7] = 0;
    fuzz_decode(copy, size);
    free(copy);
}

static void fuzz_text(const uint8_t *data, size_t size) {
    uint8_t goodbye[WIRE_GOODBYE_SIZE + WIRE_TEXT_MAX];
    char text[2 * WIRE_TEXT_MAX];
    char clean[WIRE_TEXT_MAX];
    struct wire_frame frame;

    size = size < sizeof(text) ? size : sizeof(text) - 1;
    memcpy(text, data, size);
    text[size] = '\0';
    size_t clean_size = wire_text_clean(clean, text);
    demand(clean_size <= strlen(text) && oracle_text_is_plain(clean, clean_size));
    size_t goodbye_size = wire_encode_goodbye(goodbye, -1, text);
    demand(!wire_decode(goodbye, goodbye_size, &frame) && frame.goodbye.text_size == clean_size);
    demand(memcmp(frame.goodbye.text, clean, clean_size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_decode(data, size);
    fuzz_decode_sized(data, size);
    if (size > 0)
        fuzz_text(data, size);
    return 0;
}
