/* SPDX-License-Identifier: MIT */
/* The speed of one process at writing, reading and copying memory. A lap is one pass. */
#include "floors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const VARIANTS[] = {"copy", "fill", "read", NULL};

static int measure(struct cell *cell) {
    char what = cell->variant[0];
    char *data = aligned_alloc(64, (cell->size + 63) / 64 * 64), *copy = aligned_alloc(64, (cell->size + 63) / 64 * 64);
    if (!data || !copy)
        return -ENOMEM;
    payload_fill(data, cell->size, 1);
    while (cell_next(cell)) {
        if (what == 'f')
            cell_write(cell, data, cell->size);
        else if (what == 'r')
            cell_read(cell, data, cell->size);
        else
            memcpy(copy, data, cell->size);
        __asm__ volatile("" : : "r"(copy) : "memory");
    }
    free(data), free(copy);
    return 0;
}

const struct adapter floor_memory = {
    .system = "memory", .cases = WORK_ROUNDTRIP, .modes = WORK_ANY, .variants = VARIANTS, .measure = measure};
