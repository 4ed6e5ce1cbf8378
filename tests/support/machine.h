/* SPDX-License-Identifier: MIT */
/*
 * Settings of the whole machine that a test changes while it runs: how huge pages are granted to memfds, and the pool
 * of 2 MiB pages.
 *
 * Each change is made by a keeper, a process in a session of its own. It puts the setting back at machine_restore(),
 * and also when the test has failed, was killed, or hangs and was killed for it: it waits for the end of a socket whose
 * other end is the test's. Meanwhile it holds a lock on the setting's file, so that test programs that run at the same
 * time take turns.
 *
 * machine_restore() belongs into the fixture, before and after each test.
 */
#ifndef TESTS_SUPPORT_MACHINE_H
#define TESTS_SUPPORT_MACHINE_H

#include <stdbool.h>

/* Transparent huge pages for those memfds that ask for them. False: this machine does not let us. */
bool machine_grant_huge(void);

/* What transparent_hugepage/shmem_enabled says: "always", "deny", .... False: likewise. */
bool machine_choose_huge(const char *word);

/* What hugepages-64kB/shmem_enabled says there, if this kernel has sizes between. False: likewise. */
bool machine_choose_folios(const char *word);

/* So many more 2 MiB pages. False: likewise, or there are not so many. */
bool machine_add_hugetlb(long pages);

/* Puts back whatever was changed, and waits until it is. */
void machine_restore(void);

#endif
