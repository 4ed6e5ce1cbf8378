/* SPDX-License-Identifier: MIT */
/*
 * A fair share of the budget, for clients that come and go and may hold their memory for ever. Pure functions: they
 * own, read and charge nothing; registry/pool_budget.c gives the amounts. Threads: any.
 *
 * The number of clients is unknown, and memory that a client holds cannot be taken back. So the amount that one client
 * may have shrinks with the amount that is left, like buffers in a switch that many ports share (A. K. Choudhury and E.
 * L. Hahne, Dynamic queue length thresholds for shared-memory packet switches, 1998). There the threshold is the amount
 * that is left itself, since queues become empty. Hoarders keep what they have: each would leave a fixed part to the
 * next, and this part vanishes after a few hoarders. With the square of the amount that is left the n-th client still
 * finds some 1 / n^2, and no rule can give more:
 *
 *     allowed  <=>  peer <= part * part / (part + user),     part = left * left / budget
 *
 * All three are the amounts after the grant: `peer` the memory made for the connection, `user` the memory of all
 * connections of its user, `left` the rest of the budget. A connection that is alone gets 0.30 of the budget. If 2, 10
 * or 100 connections of one user take all they may at the same time, each gets 0.19, 0.055, 0.0072, and one more finds
 * half to nine tenths of that; the first connection of another user finds 0.14, 0.083, 0.036. If 2, 10 or 100 users
 * have one connection each, each gets 0.21, 0.067, 0.0088. Some memory is always left.
 */
#ifndef MEMORY_FAIR_SHARE_H
#define MEMORY_FAIR_SHARE_H

#include <stdbool.h>
#include <stdint.h>

/* Current amounts, in bytes. */
struct fair_share {
    uint64_t budget, left, user, peer;
};

/* May `size` more bytes, at least 1, be made? */
bool fair_share_allows(const struct fair_share *share, uint64_t size);

/* The largest size that may be made; 0: none. */
uint64_t fair_share_room(const struct fair_share *share);

#endif
