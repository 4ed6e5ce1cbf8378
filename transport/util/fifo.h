/* SPDX-License-Identifier: MIT */
/*
 * Places in a bounded queue that lies in an array of `capacity` items. The user has the array.
 *
 *     the items are array[(first + i) % capacity],  0 <= i < count <= capacity
 *
 * Owns: nothing; it moves no item. Threads: the caller's lock, or one thread.
 */
#ifndef UTIL_FIFO_H
#define UTIL_FIFO_H

#include <stddef.h>

/* Zeroed: empty. */
struct fifo {
    size_t first, count;
};

/* Adds a place at the end and returns its index. count < capacity. */
static inline size_t fifo_push(struct fifo *fifo, size_t capacity) {
    return (fifo->first + fifo->count++) % capacity;
}

/* Removes the first place and returns its index. 0 < count. */
static inline size_t fifo_pop(struct fifo *fifo, size_t capacity) {
    size_t place = fifo->first;
    fifo->first = (place + 1) % capacity;
    fifo->count--;
    return place;
}

#endif
