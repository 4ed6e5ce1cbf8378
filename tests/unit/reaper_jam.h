/* SPDX-License-Identifier: MIT */
/*
 * A reaper (sys/reaper.h) that does not get on: all its threads hang in close(), for as long as the test wants,
 * and more waits behind them.
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

#define JAM_THREADS 4          /* as many as the reaper has */
#define JAM_DESCRIPTORS 16400u /* and somewhat more than it lets wait */

struct jam {
    struct trap traps[JAM_THREADS];
};

/* Adds descriptors for as long as `goes_on` says so. False: this process may not have so many, or
 * its threads hang together. */
static inline bool jam_begin(struct jam *jam, bool (*goes_on)(void)) {
    const struct linger forever = {.l_onoff = 1, .l_linger = 3600};
    struct rlimit limit;
    if (is_under_valgrind()) /* it runs no other thread while one hangs in close() */
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

/* It gets on again; waits until nothing is left. */
static inline void jam_end(struct jam *jam) {
    for (int i = 0; i < JAM_THREADS; i++)
        trap_free(&jam->traps[i]);
    while (reaper_pending() > 0)
        usleep(1000);
}

#endif
