/* SPDX-License-Identifier: MIT */
/*
 * Disposal gives large memory back to the kernel, on threads of its own. The kernel takes about 0.2 ms for each MiB of
 * base pages: 0.07 to unmap what was touched, 0.15 to free the pages with the last reference. No peer may make a turn
 * of the library that long. Memory below DISPOSAL_LEAST is given back at once, by the caller's thread.
 *
 * Owns: the memory and the descriptors that it takes, its queue and its threads: one disposal for the process. Touches:
 * no account: its owner settles that. Threads: any, not from signal handlers. disposal_await() and
 * disposal_await_room() wait for the threads; no other function does.
 */
#ifndef SYS_DISPOSAL_H
#define SYS_DISPOSAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Some 5 ms. Payloads of 16 MiB are common: where both CPUs are busy a thread for each of them takes CPU time from the
 * owner (the sealed round trip: 0.9 ms, and 1.5 ms with a thread). */
#define DISPOSAL_LEAST ((size_t) 24 << 20)

/* The time-out of disposal_await_room(): so many milliseconds, and as many again for each 256 MiB in the disposal. It
 * is four times the time that two threads need. */
#define DISPOSAL_AWAIT_MS 100

/* Takes a mapping of `size` bytes (NULL: none) and the descriptor of its memfd (-1: none), and ends both. */
void disposal_take_mapping(const void *data, size_t size, int fd);

/* Takes memory of `size` bytes that came from the heap. */
void disposal_take_heap(void *data, size_t size);

/* Is the queue below its bound, so that peers may bring more? Memory that a thread is freeing is no longer in the
 * queue. */
bool disposal_has_room(void);

/* The number of items that wait or are being freed. */
size_t disposal_pending(void);

/* Waits until all items that were taken before this call are freed, at most `most_ms` (-1: without limit). False: there
 * were none, or some are left. */
bool disposal_await(int most_ms);

/* Waits like disposal_await(), for callers that found no memory, no address or no mapping. The time-out,
 * disposal_room_ms(), grows with the memory that waits. */
bool disposal_await_room(void);
int disposal_room_ms(void);

/* Unmaps at once. A mapping of hugetlb pages reaches to the end of its last page. Accepts NULL. */
void disposal_unmap(const void *data, size_t size);

#endif
