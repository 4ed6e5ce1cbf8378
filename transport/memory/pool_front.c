/* SPDX-License-Identifier: MIT */
/* The front of a pool. See pool_front.h. */
#include "memory/pool_front.h"

struct pool_slot pool_closed;

void pool_front_close(struct pool_front *front) {
    for (int i = 0; i < POOL_HOT_CLASSES; i++)
        front->hot[i] = &pool_closed;
}

bool pool_front_open(struct pool_front *front) {
    if (front->hot[0] != &pool_closed)
        return false;
    for (int i = 0; i < POOL_HOT_CLASSES; i++)
        front->hot[i] = NULL;
    return true;
}
