/* SPDX-License-Identifier: MIT */
/*
 * The distance. See distance.h.
 *
 * Measured where two CPUs are hyperthreads of one core, cores with one L3, and cores without (doc/measurements.md): a
 * line takes up to 12 ns, 20 to 45 ns, and 120 to 190 ns. The ranges lie between, and overlap: what lies in two of them
 * stays what it was.
 */
#include "lane/distance.h"

static const uint32_t NEAR_BEGINS_NS = 15, NEAR_ENDS_NS = 20, FAR_BEGINS_NS = 90, FAR_ENDS_NS = 70;

/* A timed wait costs as much as some tens of looks: one in a thousand is nothing. A sample that does not fit the state
 * asks for the next ones sooner, so that a change is seen within some hundred frames. While no frame comes one wait of
 * four is timed: a side that waits for releases meanwhile looks at them less often then. */
static const uint32_t AGAIN = 3, SOON = 31, LATER = 1023;

/* Where no cache is shared, a payload's lines had better have left the caches of both sides before they are written
 * again. 16 MiB do that; 64 MiB gain no more. */
static const uint64_t FAR_FOOTPRINT = UINT64_C(16) << 20;

static enum distance_state state_for(enum distance_state before, uint32_t ns) {
    if (ns >= (before == DISTANCE_FAR ? FAR_ENDS_NS : FAR_BEGINS_NS))
        return DISTANCE_FAR;
    return ns < (before == DISTANCE_NEAR ? NEAR_ENDS_NS : NEAR_BEGINS_NS) ? DISTANCE_NEAR : DISTANCE_MIDDLE;
}

/* The mean of the second quarter, by size. */
static uint32_t typical(const struct distance *distance) {
    uint16_t sorted[DISTANCE_SAMPLES] = {0};
    uint32_t sum = 0, first = distance->count / 4, end = distance->count / 2;
    for (uint32_t i = 0; i < distance->count; i++) {
        uint32_t at = i;
        for (; at > 0 && sorted[at - 1] > distance->samples[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = distance->samples[i];
    }
    for (uint32_t i = first; i < end; i++)
        sum += sorted[i];
    return sum / (end - first);
}

bool distance_note(struct distance *distance, uint64_t ns) {
    enum distance_state before = distance->state;
    uint16_t sample = ns < UINT16_MAX ? (uint16_t) ns : UINT16_MAX;
    distance->samples[distance->next] = sample;
    distance->next = (distance->next + 1) % DISTANCE_SAMPLES;
    distance->until = 0;
    if (distance->count < DISTANCE_SAMPLES && ++distance->count < DISTANCE_SAMPLES_LEAST)
        return false;
    distance->line_ns = (uint16_t) typical(distance);
    distance->state = state_for(before, distance->line_ns);
    if (distance->count == DISTANCE_SAMPLES)
        distance->until = state_for(distance->state, sample) == distance->state ? LATER : SOON;
    return distance->state != before;
}

void distance_miss(struct distance *distance, bool is_open) {
    distance->until = is_open ? AGAIN : SOON;
}

uint64_t distance_footprint(const struct distance *distance, const struct calibration *calibration) {
    uint64_t usual = calibration->reuse_footprint;
    return distance->state == DISTANCE_FAR && usual && usual < FAR_FOOTPRINT ? FAR_FOOTPRINT : usual;
}
