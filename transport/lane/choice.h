/* SPDX-License-Identifier: MIT */
/*
 * In which class a payload goes: what the peer takes, by what the calibration says is cheapest. Made once, when a connection opens.
 * Pure functions.
 */
#ifndef LANE_CHOICE_H
#define LANE_CHOICE_H

#include "lane/terms.h"
#include "memory/calibration.h"

/* Up to which size, in bytes, a class is the cheapest. */
struct choice {
    uint64_t bytes_most;  /* plain bytes, as a frame of the ring; 0: never */
    uint64_t inline_most; /* inline, where there is a choice */
    uint64_t pooled_most; /* pooled, where the peer would take it sealed too */
};

/* `ring_bytes` is what a frame of our ring carries; 0: there is no ring. */
struct choice choice_make(const struct calibration *calibration, const struct terms *terms, uint32_t ring_bytes);

/* The class for a payload of `size` bytes that may become anything. 0: the peer takes it in none. */
int choice_class(const struct choice *choice, const struct terms *terms, size_t size);

#endif
