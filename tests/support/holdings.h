/* SPDX-License-Identifier: MIT */
/*
 * What this process holds at an instant: its descriptors, its mappings of memfds, its children that were not
 * waited for. Compared by identity, so that the difference can be told in words.
 *
 * Only /proc and waitid() are asked: nothing here can block on a hostile descriptor.
 */
#ifndef TESTS_SUPPORT_HOLDINGS_H
#define TESTS_SUPPORT_HOLDINGS_H

#include <stdbool.h>
#include <stddef.h>

struct holdings;

/* Takes the inventory; first it opens and closes a pair of sockets, for the kernel to collect sockets that were sent
 * over themselves. The caller frees it. Aborts when memory is short. */
struct holdings *holdings_new(void);
struct holdings *holdings_free(struct holdings *holdings);

/* Whether `after` is not `before`; then `text` tells what was left and what was lost, in printable ASCII. */
bool holdings_differ(const struct holdings *before, const struct holdings *after, char *text, size_t size);

size_t holdings_fds(const struct holdings *holdings);      /* open descriptors */
size_t holdings_mappings(const struct holdings *holdings); /* of memfds */

#endif
