/* SPDX-License-Identifier: MIT */
/*
 * Connection slots: who has how many of a server's connections, and whether somebody may have one more.
 *
 * Holders are users and processes, told apart by their names. All whom our user namespace does not map are one user, for nobody can tell
 * them apart: were each of their processes a user, one that forks would have a share for each, and leave nothing to others. Only connections that were let in count, so that those which are
 * refused take no place from others.
 *
 * The shares, where the application gives no numbers: one more is allowed while afterwards a user has no more than are left
 * for others, and a process no more than three times as many. So of `most` slots a user who is alone gets a half, the next one a
 * quarter, and a process three quarters, then three sixteenths. The first connection of a holder is allowed while any
 * slot is left.
 *
 * Invariant: a holder is in the table while its count is not 0. One thread at a time: the server's.
 */
#ifndef RPC_SLOTS_H
#define RPC_SLOTS_H

#include <sealane/conn.h>

enum { SLOTS_CHAINS = 256 };

struct slot_holder {
    struct slot_holder *next; /* in its chain */
    uint64_t name;
    uint32_t count; /* connections */
};

struct slots {
    struct slot_holder *chains[SLOTS_CHAINS]; /* owned */
    uint32_t taken;
};

/* What one connection holds; both NULL: nothing. */
struct slot {
    struct slot_holder *user, *process; /* borrowed from the table */
};

/* What is to be shared, and with whom. */
struct slots_claim {
    uint32_t most;        /* slots in all */
    uint32_t per_user;    /* 0: a share; SLOTS_ANY: as many as there are */
    uint32_t per_process; /* likewise */
    uint64_t user, process;
    bool is_user_unknown; /* `user` is all those who have the overflow id */
};

#define SLOTS_ANY UINT32_MAX

/* Room for the text that says why there is none. */
#define SLOTS_WHY_SIZE 160

/* Takes a slot. -EUSERS: there is none for this one, and `why` says whose limit that is. -ENOMEM. */
int slots_take(struct slots *slots, const struct slots_claim *claim, struct slot *ret_slot, char why[SLOTS_WHY_SIZE]);

/* Gives it back. Accepts an empty one, and leaves one. */
void slots_return(struct slots *slots, struct slot *slot);

#endif
