/* SPDX-License-Identifier: MIT */
/* Rotation. See rotation.h. */
#include "memory/rotation.h"

#include "sys/wait.h"

void rotation_init(struct rotation *rotation, const struct pool_policy *policy) {
    *rotation = (struct rotation){.policy = *policy, .generation = 1};
}

void rotation_begin(struct rotation *rotation, uint64_t allocated) {
    rotation->generation++;
    rotation->first_byte = rotation->seen = allocated;
    rotation->began_at = 0;
}

void rotation_note_arena(struct rotation *rotation) {
    if (!rotation->began_at)
        rotation->began_at = rotation->taken_at = wait_now();
}

bool rotation_is_full(const struct rotation *rotation, uint64_t allocated) {
    return rotation->policy.bytes && allocated - rotation->first_byte >= rotation->policy.bytes;
}

static bool is_due(uint64_t after, uint64_t since, uint64_t now) {
    return after && now >= since && now - since >= after;
}

/* Was a block taken from this generation, before the last check? */
static bool is_used(const struct rotation *rotation) {
    return rotation->seen != rotation->first_byte;
}

enum rotation_wish rotation_check(struct rotation *rotation, uint64_t allocated, uint64_t now) {
    const struct pool_policy *policy = &rotation->policy;
    if (allocated != rotation->seen) {
        rotation->seen = allocated;
        rotation->taken_at = now;
    }
    bool is_over = is_due(policy->age, rotation->began_at, now) || is_due(policy->idle, rotation->taken_at, now);
    if (rotation_is_full(rotation, allocated) || (is_over && is_used(rotation)))
        return ROTATION_ROTATE;
    return is_due(policy->keep, rotation->taken_at, now) ? ROTATION_TRIM : ROTATION_NOTHING;
}

static uint64_t sooner(uint64_t first, uint64_t after, uint64_t since) {
    return after && since + after < first ? since + after : first;
}

uint64_t rotation_deadline(const struct rotation *rotation, bool has_arenas, bool has_free_ones) {
    const struct pool_policy *policy = &rotation->policy;
    uint64_t first = WAIT_FOREVER;
    if (has_arenas && is_used(rotation)) {
        first = sooner(first, policy->age, rotation->began_at);
        first = sooner(first, policy->idle, rotation->taken_at);
    }
    return has_free_ones ? sooner(first, policy->keep, rotation->taken_at) : first;
}
