/* SPDX-License-Identifier: MIT */
/*
 * Work: how much one turn of a connection may still do. No peer, whatever it sends, keeps a thread from its other
 * connections.
 *
 * The unit is one byte copied. Other work is weighed: it counts as many bytes as could be copied in the same time. A
 * step that was begun is finished, whatever it takes; when no work is left the turn ends, and the next turn goes on.
 * Frames are bounded besides (LANE_FRAMES_PER_TURN), since most of them cost next to nothing here.
 *
 * Owns: nothing; a struct work is a part of an account (registry/account.h). Threads: the account's.
 */
#ifndef MEMORY_WORK_H
#define MEMORY_WORK_H

#include <stdbool.h>
#include <stdint.h>

/* Some 0.3 ms (doc/measurements.md): a thousand connections that all do their worst still have three turns a second
 * each. */
#define WORK_PER_TURN (UINT64_C(1) << 20)

/* The weights of other work. Freeing memory takes about as long as copying as many bytes, and some system calls for
 * each memfd. A lease of a pooled block, or a message that waited, is an entry in a table. */
#define WORK_PER_MEMFD (UINT64_C(16) << 10)
#define WORK_PER_ENTRY UINT64_C(256)
#define WORK_PER_LOOK UINT64_C(64) /* at an entry of a list, which is not in the caches */

struct work {
    uint64_t left; /* bytes; WORK_PER_TURN at the begin of a turn. 0: the turn ends */
};

static inline void work_take(struct work *work, uint64_t bytes) {
    work->left -= bytes < work->left ? bytes : work->left;
}

#endif
