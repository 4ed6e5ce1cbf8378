/* SPDX-License-Identifier: MIT */
/* The kernel's contract on clocks: the clocks that differ between time namespaces, and how two processes can find
 * the difference (sys/clock). */
#include "contract/kernel.h"

#include <sched.h>
#include <stdio.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

#define DAY 86400

static long seconds_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (long) now.tv_sec;
}

static ino_t space_number(void) {
    struct stat status;
    return stat("/proc/self/ns/time", &status) == 0 ? status.st_ino : 0;
}

struct clocks {
    long monotonic, real;
    ino_t space;
};

/* Runs in the namespace that its parent made. */
static int look(void *arg) {
    const struct clocks *before = arg;
    if (seconds_of(CLOCK_MONOTONIC) - before->monotonic < DAY)
        return 1;
    if (seconds_of(CLOCK_REALTIME) - before->real > DAY / 2)
        return 2;
    return space_number() == before->space ? 3 : 0;
}

static bool make_namespace(void) {
    static const char ahead[] = "monotonic 86400 0\n";
    if (unshare(CLONE_NEWTIME) < 0)
        return false;
    int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    bool is_made = fd >= 0 && write(fd, ahead, sizeof ahead - 1) == sizeof ahead - 1;
    close(fd);
    return is_made;
}

/* The monotonic clock is moved, the time of day is not, and the namespace has a number of its own. */
START_TEST(test_time_namespaces_move_the_monotonic_clock_alone) {
    struct clocks before = {seconds_of(CLOCK_MONOTONIC), seconds_of(CLOCK_REALTIME), space_number()};
    if (before.space == 0)
        test_skip("there are no time namespaces");
    if (!make_namespace())
        test_skip("no right to make a time namespace: %s", strerror(errno));
    ck_assert(kernel_child(look, &before));
}
END_TEST

int main(void) {
    struct suite *s = suite_new("contract_clock");
    suite_add(s, test_time_namespaces_move_the_monotonic_clock_alone);
    return suite_run(s);
}
