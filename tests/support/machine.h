/* SPDX-License-Identifier: MIT */
/*
 * Settings of the whole machine that a test changes while it runs: the policy by which memfds get huge pages, and the
 * pool of 2 MiB pages.
 *
 * A keeper, a process in a session of its own, makes each change. It restores the setting at machine_restore(), and
 * also when the test has failed, was killed, or was killed because it hung: the keeper waits for the end of a socket
 * whose other end the test holds. Meanwhile the keeper holds a lock on the setting's file, so that test programs that
 * run at the same time take turns.
 *
 * Call machine_restore() in the fixture, before and after each test.
 */
#ifndef TESTS_SUPPORT_MACHINE_H
#define TESTS_SUPPORT_MACHINE_H

#include <stdbool.h>

/* Grants transparent huge pages to memfds that ask for them. Returns false if this machine does not let us. */
bool machine_grant_huge(void);

/* Sets transparent_hugepage/shmem_enabled to `word`: "always", "deny", .... Returns false if this machine does not
 * let us. */
bool machine_choose_huge(const char *word);

/* Sets hugepages-64kB/shmem_enabled to `word`. Returns false if this kernel has no intermediate sizes, or if this
 * machine does not let us. */
bool machine_choose_folios(const char *word);

/* Adds `pages` 2 MiB pages to the pool. Returns false if this machine does not let us, or has fewer. */
bool machine_add_hugetlb(long pages);

/* Restores every setting that was changed, and waits until that is done. */
void machine_restore(void);

#endif
