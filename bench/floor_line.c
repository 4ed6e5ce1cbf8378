/* SPDX-License-Identifier: MIT */
/* The lowest floor: a word there and a word back. There is no payload: the size is ignored. */
#include "floors.h"
#include "line.h"

#include <errno.h>

struct two_lines {
    struct line there, back; /* written by the client, and by the server */
};

static size_t shared(const struct cell *cell) {
    (void) cell;
    return sizeof(struct two_lines);
}

static int serve(struct cell *cell) {
    struct two_lines *lines = cell->shared;
    bool asleep = cell->mode == WORK_SLEEP;
    cell_ready(cell);
    for (uint32_t lap = 1; lap > 0; lap++) {
        line_await(&lines->there, lap, asleep);
        line_tell(&lines->back, lap, asleep);
    }
    return -EOVERFLOW;
}

static int measure(struct cell *cell) {
    struct two_lines *lines = cell->shared;
    bool asleep = cell->mode == WORK_SLEEP;
    for (uint32_t lap = 1; cell_next(cell); lap++) {
        line_tell(&lines->there, lap, asleep);
        line_await(&lines->back, lap, asleep);
    }
    return 0;
}

const struct adapter floor_line = {.system = "line",
                                   .cases = WORK_ROUNDTRIP,
                                   .modes = WORK_SPIN | WORK_SLEEP,
                                   .serve = serve,
                                   .measure = measure,
                                   .shared = shared};
