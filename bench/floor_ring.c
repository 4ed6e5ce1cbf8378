/* SPDX-License-Identifier: MIT */
/*
 * A bare ring of frames: one producer, one consumer, both spinning. Each side keeps the last value that it read of the
 * other side's cursor, and reads the cursor again only when that value is used up; one release store publishes a
 * message.
 */
#include "floors.h"

#include <errno.h>

enum { RING_BYTES = 1 << 16, LEAST_SLOTS = 8 };

struct ring {
    _Alignas(64) _Atomic uint64_t head; /* messages published; written by the producer */
    _Alignas(64) _Atomic uint64_t tail; /* messages read; written by the consumer */
    _Alignas(64) char slots[];
};

/* Returns the number of slots, a power of two. */
static uint64_t slots_of(const struct cell *cell) {
    uint64_t slots = LEAST_SLOTS;
    while (slots * 2 * cell->size <= RING_BYTES)
        slots *= 2;
    return slots;
}

static size_t shared(const struct cell *cell) {
    return sizeof(struct ring) + slots_of(cell) * cell->size;
}

static int serve(struct cell *cell) {
    struct ring *ring = cell->shared;
    uint64_t mask = slots_of(cell) - 1, tail = 0;
    cell_ready(cell);
    while (tail < UINT64_MAX) {
        uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (head == tail)
            continue;
        for (; tail < head; tail++) {
            cell_read(cell, ring->slots + (tail & mask) * cell->size, cell->size);
            cell_arrived(cell);
        }
        atomic_store_explicit(&ring->tail, tail, memory_order_release);
    }
    return -EOVERFLOW;
}

static int measure(struct cell *cell) {
    struct ring *ring = cell->shared;
    uint64_t slots = slots_of(cell), tail = 0;
    for (uint64_t head = 0; cell_next(cell); head++) {
        while (head - tail >= slots)
            tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        cell_write(cell, ring->slots + (head & (slots - 1)) * cell->size, cell->size);
        atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    }
    return 0;
}

const struct adapter floor_ring = {
    .system = "ring", .cases = WORK_ONEWAY, .modes = WORK_SPIN, .serve = serve, .measure = measure, .shared = shared};
