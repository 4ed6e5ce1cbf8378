/* SPDX-License-Identifier: MIT */
/*
 * Copies between private memory and many words that two processes share (sys/shared_word.h). A frame of a ring is
 * little more than a copy of words, so these functions are inline, and take few instructions.
 *
 * Up to a line, 64 bytes, a word at a time: wider loads of what narrower stores have just written wait until the stores
 * have left the store buffer (doc/measurements.md). Of more bytes in pairs of words.
 *
 * Owns: nothing. Threads: as sys/shared_word.h. No order and no unity is promised: a word that publishes the others
 * comes behind them, or before them for the reader, with an order of its own.
 */
#ifndef SYS_SHARED_WORDS_H
#define SYS_SHARED_WORDS_H

#include "sys/shared_word.h"
#include <stddef.h>
#include <string.h>

/* Two words, to and from private memory at any address: volatile, so that the compiler makes each access once. The
 * thread sanitizer, which knows no pairs, sees two words. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
typedef uint64_t shared_pair __attribute__((vector_size(16), aligned(8), may_alias));
typedef uint64_t private_pair __attribute__((vector_size(16), aligned(1), may_alias));

static inline void pair_put(shared64 words[2], const void *from) {
    *(volatile shared_pair *) (void *) words = *(const private_pair *) from;
}

static inline void pair_get(const shared64 words[2], void *to) {
    *(private_pair *) to = *(const volatile shared_pair *) (const void *) words;
}
#else
static inline void pair_put(shared64 words[2], const void *from) {
    uint64_t pair[2];
    memcpy(pair, from, sizeof(pair));
    shared64_store(&words[0], pair[0]);
    shared64_store(&words[1], pair[1]);
}

static inline void pair_get(const shared64 words[2], void *to) {
    const uint64_t pair[2] = {shared64_load(&words[0]), shared64_load(&words[1])};
    memcpy(to, pair, sizeof(pair));
}
#endif

static inline void word_put(shared64 *word, const char *from) {
    uint64_t value;
    memcpy(&value, from, sizeof(value));
    shared64_store(word, value);
}

static inline void word_get(const shared64 *word, char *to) {
    uint64_t value = shared64_load(word);
    memcpy(to, &value, sizeof(value));
}

/* The bytes behind the last whole word, 1 to 7 of `size` in all, which end at `end`. */
static inline uint64_t word_of_rest(const char *end, size_t size) {
    size_t count = size % 8;
    uint64_t word = 0;
    if (size >= 8) {
        memcpy(&word, end - 8, sizeof(word));
        return word >> (8 - count) * 8;
    }
    for (size_t i = 0; i < count; i++)
        word |= (uint64_t) (unsigned char) end[(ptrdiff_t) i - (ptrdiff_t) count] << i * 8;
    return word;
}

/* `count` words, at most 8, each written out: counting words took as long as copying them. */
static inline void words_put_few(shared64 *words, const char *from, size_t count) {
    switch (count) {
    case 8:
        word_put(&words[7], from + 56); /* fall through */
    case 7:
        word_put(&words[6], from + 48); /* fall through */
    case 6:
        word_put(&words[5], from + 40); /* fall through */
    case 5:
        word_put(&words[4], from + 32); /* fall through */
    case 4:
        word_put(&words[3], from + 24); /* fall through */
    case 3:
        word_put(&words[2], from + 16); /* fall through */
    case 2:
        word_put(&words[1], from + 8); /* fall through */
    case 1:
        word_put(&words[0], from); /* fall through */
    default:
        break;
    }
}

static inline void words_get_few(const shared64 *words, char *to, size_t count) {
    switch (count) {
    case 8:
        word_get(&words[7], to + 56); /* fall through */
    case 7:
        word_get(&words[6], to + 48); /* fall through */
    case 6:
        word_get(&words[5], to + 40); /* fall through */
    case 5:
        word_get(&words[4], to + 32); /* fall through */
    case 4:
        word_get(&words[3], to + 24); /* fall through */
    case 3:
        word_get(&words[2], to + 16); /* fall through */
    case 2:
        word_get(&words[1], to + 8); /* fall through */
    case 1:
        word_get(&words[0], to); /* fall through */
    default:
        break;
    }
}

/* Copies at most a line, 64 bytes, to words; behind the last byte, the last word is filled up with zeroes. */
static inline void words_put_line(shared64 *words, const char *from, size_t size) {
    if (size % 8)
        shared64_store(&words[size / 8], word_of_rest(from + size, size));
    words_put_few(words, from, size / 8);
}

/* The same for any size. */
static inline void words_put(shared64 *words, const char *from, size_t size) {
    for (; size > 64; words += 8, from += 64, size -= 64) {
        pair_put(&words[0], from);
        pair_put(&words[2], from + 16);
        pair_put(&words[4], from + 32);
        pair_put(&words[6], from + 48);
    }
    words_put_line(words, from, size);
}

/*
 * Copies words to private memory. Whole words: up to seven bytes behind `size` are written too. From the last word to
 * the first: a prefetcher that follows the reader forwards takes the lines behind the last word away from the writer
 * that is about to fill them (doc/measurements.md).
 */
static inline void words_get(const shared64 *words, char *to, size_t size) {
    size_t whole = size ? (size - 1) / 64 * 64 : 0; /* bytes of the lines before the last */
    words_get_few(words + whole / 8, to + whole, (size - whole + 7) / 8);
    while (whole > 0) {
        whole -= 64;
        pair_get(&words[whole / 8 + 6], to + whole + 48);
        pair_get(&words[whole / 8 + 4], to + whole + 32);
        pair_get(&words[whole / 8 + 2], to + whole + 16);
        pair_get(&words[whole / 8], to + whole);
    }
}

#endif
