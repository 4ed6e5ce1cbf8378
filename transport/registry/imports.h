/* SPDX-License-Identifier: MIT */
/*
 * Imports: what a block holds of a peer, and what the peer's account is charged with for it.
 *
 *     of a lease       the peer's sealed or pooled block: entered under its handle, unless the view of its arena
 *                      knows of the lease (registry/views.h); its end gives the lease back
 *     of a copy        private memory of ours that a payload of the peer's takes up: no handle, no lease
 *
 * An import is embedded in its block. imports_end() ends an import of any kind; no other function gives a lease back.
 *
 * Owns: the chains, and for each import a reference of the account. Touches: the account (charges, counts, references),
 * the context's counters; the end of a lease calls on_release, which is the lane's, while the connection lives.
 *
 * Threads: the connection's; after the connection's end the thread that has entered the account's mailbox.
 */
#ifndef REGISTRY_IMPORTS_H
#define REGISTRY_IMPORTS_H

#include "registry/account.h"

struct import {
    /* Owned reference; borrowed from the view by a pooled import on no chain. NULL: the block is not an import */
    struct account *account;
    uint64_t handle;
    struct import *next;
    struct mail mail; /* of a block that loses its last reference on a thread which does not own the account */
    bool is_pooled;   /* its bytes are charged with its arena, and it has no descriptor */
    bool is_chained;  /* entered under its handle */
    bool is_copy;     /* private memory of ours: no lease */
    bool is_inline;   /* a copy of an inline payload: charged in bytes alone, since it takes no mapping */
    bool is_free;     /* a copy of an inline payload within ACCOUNT_INLINE_FREE: not charged */
};

/* Number of chains: of the first table, and of the largest, in which imports are entered anew within a millisecond. */
enum { IMPORTS_FIRST = 256, IMPORTS_MAX = 1 << 15 };

/* Is an import entered under that handle? */
bool imports_have(const struct account *account, uint64_t handle);

/* Charges an import to the peer and its user, and enters it. -EDQUOT, -ENOMEM. */
int imports_add(struct account *account, struct import *import, uint64_t handle, uint64_t size, bool is_pooled);

/* The same for a pooled import that a view knows of, without entering it. `import` is zeroed, or has ended. -EDQUOT. */
int imports_add_pooled(struct account *account, struct import *import, uint64_t handle, uint64_t size);

/* The same for the short way: false, and not noted, instead of -EDQUOT. */
bool imports_try_pooled(struct account *account, struct import *import, uint64_t handle, uint64_t size);

/* Ends an import that is pooled and on no chain; the caller gives the lease back. Returns its handle. */
uint64_t imports_return_pooled(struct import *import, uint64_t size);

/* Charges the peer with a copy of its payload. -EDQUOT. */
int imports_add_copy(struct account *account, struct import *import, uint64_t size);

/* The same for the short way: false, and not noted, instead of -EDQUOT. `import` is zeroed, or has ended. */
bool imports_try_copy(struct account *account, struct import *import, uint64_t size);

/* Ends the import of such a copy of `size` bytes, while the connection lives. */
void imports_return_copy(struct import *import, uint64_t size);

/* Charges the peer with an inline payload beyond the first ACCOUNT_INLINE_FREE bytes that there are at a time. -EDQUOT.
 */
int imports_add_inline(struct account *account, struct import *import, uint64_t size);

/* Ends an import of `size` bytes, and gives its lease back while the connection lives. `excess` are the bytes of pages
 * that the kernel added (account_charge()). `import` is not of any account then. */
void imports_end(struct import *import, uint64_t size, uint64_t excess);

/* Takes an import back because its block could not be made; the lease is not given back. */
void imports_cancel(struct import *import, uint64_t size);

/* Gives the table back if it is empty. */
void imports_trim(struct account *account);

#endif
