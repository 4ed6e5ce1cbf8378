/* SPDX-License-Identifier: MIT */
/*
 * A reaper (sys/reaper.h) that makes no progress: all its threads hang in close() for as long as the test wants, and
 * more descriptors wait behind them.
 */
#ifndef TESTS_UNIT_REAPER_JAM_H
#define TESTS_UNIT_REAPER_JAM_H

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/suite.h"
#include "support/trap.h"
#include "sys/reaper.h"
#include "unit/valgrind.h"

#define JAM_THREADS 4          /* number of the reaper's threads */
#define JAM_DESCRIPTORS 16400u /* somewhat more than the reaper's queue takes */

struct jam {
    struct trap traps[JAM_THREADS];
};

/* Adds descriptors as long as `goes_on` returns true. Returns false if this process may not have enough of them, or
 * if its threads can only hang together. */
static inline bool jam_begin(struct jam *jam, bool (*goes_on)(void)) {
    const struct linger forever = {.l_onoff = 1, .l_linger = 3600};
    struct rlimit limit;
    if (is_under_valgrind()) /* valgrind runs no other thread while one hangs in close() */
        return false;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < JAM_DESCRIPTORS + 200)
        limit.rlim_max = JAM_DESCRIPTORS + 200;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return false;
    for (int i = 0; i < JAM_THREADS; i++) {
        trap_lingering(&jam->traps[i]);
        ck_assert_int_eq(setsockopt(jam->traps[i].fd, SOL_SOCKET, SO_LINGER, &forever, sizeof forever), 0);
        reaper_take(&jam->traps[i].fd, 1);
        jam->traps[i].fd = -1;
    }
    int one = trap_eventfd();
    while (goes_on()) {
        int copy = fcntl(one, F_DUPFD_CLOEXEC, 0);
        ck_assert_int_ge(copy, 0);
        reaper_take(&copy, 1);
    }
    close(one);
    return true;
}

/* Lets the reaper go on; waits until its queue is empty. */
static inline void jam_end(struct jam *jam) {
    for (int i = 0; i < JAM_THREADS; i++)
        trap_free(&jam->traps[i]);
    while (reaper_pending() > 0)
        usleep(1000);
}

#endif
