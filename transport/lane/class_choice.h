/* SPDX-License-Identifier: MIT */
/*
 * In which class a payload goes: what the peer takes, by what the calibration says is cheapest. Made once, when a
 * connection opens, and kept in the lane. Owns: nothing. Touches: nothing: pure functions. Threads: any.
 */
#ifndef LANE_CLASS_CHOICE_H
#define LANE_CLASS_CHOICE_H

#include "lane/negotiation.h"
#include "memory/calibration.h"

/* Up to which size, in bytes, a class is the cheapest. */
struct class_choice {
    uint64_t bytes_most;  /* plain bytes, as a frame of the ring; 0: never */
    uint64_t inline_most; /* inline, where there is a choice */
    uint64_t pooled_most; /* pooled, where the peer would take it sealed too */
};

/* `ring_bytes` is what a frame of our ring carries; 0: there is no ring. */
struct class_choice class_choice_make(const struct calibration *calibration, const struct negotiated *negotiated,
                                      uint32_t ring_bytes);

/* The class for a payload of `size` bytes that may become anything. 0: the peer takes it in none. */
int class_choice_for(const struct class_choice *choice, const struct negotiated *negotiated, size_t size);

#endif
