/* SPDX-License-Identifier: MIT */
/*
 * The resources that this process holds at one moment: its descriptors, its mappings of memfds, and its children that
 * nothing has waited for. Two inventories are compared by identity, so that the difference can be described in words.
 *
 * The functions read /proc and call waitid() only, so a hostile descriptor cannot block them.
 */
#ifndef TESTS_SUPPORT_HOLDINGS_H
#define TESTS_SUPPORT_HOLDINGS_H

#include <stdbool.h>
#include <stddef.h>

struct holdings;

/* Takes the inventory. First opens and closes a pair of sockets, which makes the kernel collect sockets that were
 * sent over themselves. The caller frees it. Aborts when memory is short. */
struct holdings *holdings_new(void);
struct holdings *holdings_free(struct holdings *holdings);

/* Returns whether `after` differs from `before`; then `text` names the resources that were left and lost, in
 * printable ASCII. */
bool holdings_differ(const struct holdings *before, const struct holdings *after, char *text, size_t size);

size_t holdings_fds(const struct holdings *holdings);      /* open descriptors */
size_t holdings_mappings(const struct holdings *holdings); /* mappings of memfds */

#endif
