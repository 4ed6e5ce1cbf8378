/* SPDX-License-Identifier: MIT */
/*
 * A cabinet of descriptors that a peer may send: memfds sealed as they should be, memfds of which something is wrong,
 * and files of every other kind. All are made once, before the first input; they belong to the cabinet, and whoever
 * sends one sends a duplicate. What the kernel here cannot make is missing from its shelf. One thread.
 */
#ifndef FUZZ_CABINET_H
#define FUZZ_CABINET_H

#include <stddef.h>
#include <stdint.h>

struct item {
    int fd;        /* owned by the cabinet */
    uint64_t size; /* of the payload, or of the arena, bytes */
    uint8_t pages; /* WIRE_PAGES_... */
    uint8_t *data; /* of an arena: where it can be written; else NULL */
};

struct shelf {
    struct item items[24];
    size_t count;
};

struct cabinet {
    struct shelf sealed;  /* good sealed payloads */
    struct shelf arenas;  /* good arenas */
    struct shelf spoiled; /* memfds of which something is wrong */
    struct shelf others;  /* no memfds at all */
};

extern struct cabinet cabinet;
void cabinet_fill(void); /* aborts when it cannot */

/* A memfd of one writer, as outboxes and arenas are: mapped writable at *ret_data, then sealed. */
int cabinet_shared_memfd(size_t size, uint8_t **ret_data);

#endif
