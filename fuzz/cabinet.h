/* SPDX-License-Identifier: MIT */
/*
 * A cabinet of descriptors that a peer may send: correctly sealed memfds, memfds with a fault, and files of every other
 * kind. All are made once, before the first input; they belong to the cabinet, and a peer sends duplicates of them.
 * Descriptors that this kernel cannot make are missing. One thread.
 */
#ifndef FUZZ_CABINET_H
#define FUZZ_CABINET_H

#include <stddef.h>
#include <stdint.h>

struct item {
    int fd;        /* owned by the cabinet */
    uint64_t size; /* bytes of the payload, or of the arena */
    uint8_t pages; /* WIRE_PAGES_... */
    uint8_t *data; /* of an arena: a writable mapping; otherwise NULL */
};

struct shelf {
    struct item items[24];
    size_t count;
};

struct cabinet {
    struct shelf sealed;  /* good sealed payloads */
    struct shelf arenas;  /* good arenas */
    struct shelf spoiled; /* memfds with a fault */
    struct shelf others;  /* other files than memfds */
};

extern struct cabinet cabinet;
void cabinet_fill(void); /* aborts on failure */

/* Makes a memfd with one writer, as outboxes and arenas are: mapped writable at *ret_data, then sealed. */
int cabinet_shared_memfd(size_t size, uint8_t **ret_data);

#endif
