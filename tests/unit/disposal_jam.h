/* SPDX-License-Identifier: MIT */
/* A disposal (sys/disposal.h) that makes no progress: its threads hang in close() for as long as the test wants. */
#ifndef TESTS_UNIT_DISPOSAL_JAM_H
#define TESTS_UNIT_DISPOSAL_JAM_H

#include <sys/socket.h>

#include "support/suite.h"
#include "support/trap.h"
#include "sys/disposal.h"
#include "unit/valgrind.h"

#define JAM_DISPOSERS 2 /* number of the disposal's threads */

struct disposal_jam {
    struct trap traps[JAM_DISPOSERS];
};

/* Returns false if the threads of this process can only hang together. */
static inline bool disposal_jam_begin(struct disposal_jam *jam) {
    const struct linger forever = {.l_onoff = 1, .l_linger = 3600};
    if (is_under_valgrind()) /* valgrind runs no other thread while one hangs in close() */
        return false;
    for (int i = 0; i < JAM_DISPOSERS; i++) {
        trap_lingering(&jam->traps[i]);
        ck_assert_int_eq(setsockopt(jam->traps[i].fd, SOL_SOCKET, SO_LINGER, &forever, sizeof forever), 0);
        disposal_take_mapping(NULL, DISPOSAL_LEAST, jam->traps[i].fd);
        jam->traps[i].fd = -1;
    }
    ck_assert_uint_eq(disposal_pending(), JAM_DISPOSERS);
    return true;
}

/* Lets the disposal go on; waits until its queue is empty. */
static inline void disposal_jam_end(struct disposal_jam *jam) {
    for (int i = 0; i < JAM_DISPOSERS; i++)
        trap_free(&jam->traps[i]);
    disposal_await(-1);
    ck_assert_uint_eq(disposal_pending(), 0);
}

#endif
