/* SPDX-License-Identifier: MIT */
/*
 * A fair share of the budget, for who may come and go, and hold what it has for ever. Pure functions.
 *
 * Nobody knows how many will come, and nothing can be taken back from those who are there. So what one may have shrinks
 * with what is left, as buffers in a switch that many ports share do (A. K. Choudhury and E. L. Hahne, Dynamic queue
 * length thresholds for shared-memory packet switches, 1998). There the threshold is what is left itself, since queues
 * drain. Hoarders do not, and each would leave to the next a fixed part, which vanishes after a few. With the square of
 * what is left the n-th still finds some 1 / n^2, and more cannot be:
 *
 *     allowed  <=>  peer <= part * part / (part + user),     part = left * left / budget
 *
 * where all three are as they will be then: `peer` what was made for the connection, `user` for all of its user, `left`
 * of the budget. A connection that is alone gets 0.30 of the budget. Of 2, 10, 100 of one user that take all they may
 * at the same time each gets 0.19, 0.055, 0.0072, and one more finds half to nine tenths of that; another user's first
 * one 0.14, 0.083, 0.036. Each of 2, 10, 100 users with one connection gets 0.21, 0.067, 0.0088. There is always
 * something left.
 */
#ifndef MEMORY_FAIR_SHARE_H
#define MEMORY_FAIR_SHARE_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes, now. */
struct fair_share {
    uint64_t budget, left, user, peer;
};

/* May `size` bytes, more than 0, be made? */
bool fair_share_allows(const struct fair_share *share, uint64_t size);

/* The most that may be. */
uint64_t fair_share_room(const struct fair_share *share);

#endif
