/* SPDX-License-Identifier: MIT */
/*
 * A payload in memory that both sides map from the start: one buffer, used again each time, or eight in rotation. The
 * reply stands in the line that announces it.
 *
 * "snapshot" is the rotation with a reader that first copies the payload into private memory: as a receiver does that
 * must not read memory which the sender can change.
 */
#include "floors.h"
#include "line.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFERS = 8, PAGE = 4096 };

struct shared_memory {
    struct line there;
    struct line back;
    _Alignas(64) char reply[256];
    _Alignas(PAGE) char buffers[];
};

static const char *const VARIANTS[] = {"single", "rotating", "snapshot", NULL};

static bool is(const struct cell *cell, const char *variant) {
    return strcmp(cell->variant, variant) == 0;
}

static size_t buffers_of(const struct cell *cell) {
    return is(cell, "single") ? 1 : BUFFERS;
}

static size_t shared(const struct cell *cell) {
    return sizeof(struct shared_memory) + buffers_of(cell) * cell->size;
}

/* Returns the buffer of the lap's payload. */
static char *buffer_of(const struct cell *cell, uint32_t lap) {
    struct shared_memory *memory = cell->shared;
    return memory->buffers + lap % buffers_of(cell) * cell->size;
}

static int serve(struct cell *cell) {
    struct shared_memory *memory = cell->shared;
    char *private = is(cell, "snapshot") ? malloc(cell->size) : NULL;
    bool asleep = cell->mode == WORK_SLEEP;
    cell_ready(cell);
    for (uint32_t lap = 1; lap > 0; lap++) {
        line_await(&memory->there, lap, asleep);
        const char *payload = buffer_of(cell, lap);
        cell_read(cell, private ? memcpy(private, payload, cell->size) : payload, cell->size);
        cell_write(cell, memory->reply, cell->reply);
        line_tell(&memory->back, lap, asleep);
    }
    return -EOVERFLOW;
}

static int measure(struct cell *cell) {
    struct shared_memory *memory = cell->shared;
    bool asleep = cell->mode == WORK_SLEEP;
    if (cell->reply > sizeof(memory->reply))
        return -EMSGSIZE;
    for (uint32_t lap = 1; cell_next(cell); lap++) {
        cell_write(cell, buffer_of(cell, lap), cell->size);
        line_tell(&memory->there, lap, asleep);
        line_await(&memory->back, lap, asleep);
        cell_read(cell, memory->reply, cell->reply);
    }
    return 0;
}

const struct adapter floor_shared = {.system = "shared",
                                     .cases = WORK_ROUNDTRIP,
                                     .modes = WORK_SPIN | WORK_SLEEP,
                                     .variants = VARIANTS,
                                     .serve = serve,
                                     .measure = measure,
                                     .shared = shared};
