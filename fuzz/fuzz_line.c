/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes wire/line.h: a decoded first line keeps every promise of that header, and is encoded to the words that it came
 * from. Build with -fsanitize=fuzzer,address,undefined. Seeds: fuzz/corpus/line, made by fuzz/seeds.py from
 * doc/PROTOCOL.md.
 */
#include "support/line_oracle.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds) {
    if (!holds)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t words[LINE_WORDS] = {0}, again[LINE_WORDS];
    struct wire_frame frame;
    uint32_t bytes = 0xa5a5a5a5;

    memcpy(words, data, size < sizeof(words) ? size : sizeof(words));
    memset(&frame, 0xa5, sizeof(frame)); /* a field that the decoder forgets to set is wrong, not zero */
    memset(again, 0xa5, sizeof(again));
    const char *wrong = line_decode(words, &frame, &bytes);
    demand(!line_is_small(words) || line_oracle_is_small(words, &frame, wrong, bytes));
    demand(!line_is_pooled(words) || line_oracle_is_pooled(words, &frame, wrong, bytes));
    if (wrong)
        return 0;
    demand(!line_oracle_violation(&frame, bytes));
    line_encode(again, (enum wire_type) frame.head.type, frame.head.id, &frame.message);
    demand(line_oracle_is_same(words, again, &frame));
    return 0;
}
