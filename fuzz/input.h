/* SPDX-License-Identifier: MIT */
/*
 * The bytes of one fuzz input, drawn from the front. Past the end every draw is 0: 0 is the plainest choice everywhere,
 * so that a short input still has a meaning. One thread.
 */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct input {
    const uint8_t *at; /* borrowed */
    size_t left;
};

static inline uint8_t draw(struct input *in) {
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

/* Draws a number from 0 to n - 1. */
static inline uint8_t draw_below(struct input *in, uint32_t n) {
    return (uint8_t) (draw(in) % n);
}

static inline uint16_t draw_u16(struct input *in) {
    uint16_t low = draw(in);
    return (uint16_t) (low | draw(in) << 8);
}

static inline uint32_t draw_u32(struct input *in) {
    uint32_t low = draw_u16(in);
    return low | (uint32_t) draw_u16(in) << 16;
}

static inline uint64_t draw_u64(struct input *in) {
    uint64_t low = draw_u32(in);
    return low | (uint64_t) draw_u32(in) << 32;
}

/* Draws one of the items of an array. */
#define draw_of(in, items) ((items)[draw_below((in), sizeof(items) / sizeof(*(items)))])

#endif
