/* SPDX-License-Identifier: MIT */
/*
 * Whether this side sleeps after each few pooled payloads. If it does, its blocks had better not cycle: the wake-ups
 * take much longer than the lines of a block, and whoever else has the CPU meanwhile needs the cache that a cycle
 * would fill. Of many such connections the cycles together are larger than any cache.
 *
 * The caller counts its payloads, and says how many it has sent so far, whenever this side falls asleep, and now and
 * then while it is awake. A sleep without a payload says nothing. A few others in between do not change the answer.
 *
 * Owns: its fields, in the lane. Touches: nothing. Threads: the connection's.
 */
#ifndef LANE_NAPS_H
#define LANE_NAPS_H

#include <stdbool.h>
#include <stdint.h>

/* So many sleeps after few payloads each, and it is usual. */
enum { NAPS_USUAL = 8 };

struct naps {
    uint64_t sent; /* payloads, when they were last looked at */
    uint32_t score;
    bool are_usual;
};

/* Before the first payload: a side that does not look before it sleeps will sleep for each. */
static inline struct naps naps_begin(bool are_usual) {
    return (struct naps){.score = are_usual ? NAPS_USUAL : 0, .are_usual = are_usual};
}

/* Falls asleep, `sent` payloads after the first one. true: `are_usual` has changed. */
bool naps_note_sleep(struct naps *naps, uint64_t sent);

/* Is awake. true: `are_usual` has changed. */
bool naps_note_awake(struct naps *naps, uint64_t sent);

#endif
