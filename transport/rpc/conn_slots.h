/* SPDX-License-Identifier: MIT */
/*
 * Connection slots: a count of a server's connections for each holder, and the decision about one more.
 *
 * Holders are users and processes, told apart by their names. The users that our user namespace does not map have one
 * id, so they are one user here. Otherwise a process of theirs that forks would get a share for each child. Refused
 * connections do not count.
 *
 * The application may give numbers. Without them a holder's share is: one more connection is allowed while a user then
 * has no more slots than are left for others, and a process no more than three times as many. So of `most` slots the
 * first user gets a half, the next user a quarter; a process gets three quarters, then three sixteenths. A holder's
 * first connection is allowed while any slot is left.
 *
 * Invariant: a holder is in the table while its count is not 0.
 *
 * Owns: the holders in the table; a slot borrows two of them. Touches: nothing else; it ends no connection. Threads:
 * one at a time, the server's.
 */
#ifndef RPC_CONN_SLOTS_H
#define RPC_CONN_SLOTS_H

#include <sealane/conn.h>

enum { CONN_SLOTS_CHAINS = 256 };

struct conn_slot_holder {
    struct conn_slot_holder *next; /* in its chain */
    uint64_t name;
    uint32_t count; /* connections */
};

struct conn_slots {
    struct conn_slot_holder *chains[CONN_SLOTS_CHAINS]; /* owned */
    uint32_t taken;
};

/* What one connection holds; both NULL: nothing. */
struct conn_slot {
    struct conn_slot_holder *user, *process; /* borrowed from the table */
};

/* The limits of a server, and the holders of one more connection. */
struct conn_slots_request {
    uint32_t most;        /* slots in all */
    uint32_t per_user;    /* 0: a share; CONN_SLOTS_ANY: as many as there are */
    uint32_t per_process; /* as per_user */
    uint64_t user, process;
    bool is_user_unknown; /* `user` stands for all users with the overflow id */
};

#define CONN_SLOTS_ANY UINT32_MAX

/* Size of the text that explains a refusal, bytes. */
#define CONN_SLOTS_WHY_SIZE 160

/* Takes a slot. -EUSERS: the holder may have no more slots, and `why` names the limit. -ENOMEM. */
int conn_slots_take(struct conn_slots *slots, const struct conn_slots_request *claim, struct conn_slot *ret_slot,
                    char why[CONN_SLOTS_WHY_SIZE]);

/* Gives it back. Accepts an empty one, and leaves one. */
void conn_slots_return(struct conn_slots *slots, struct conn_slot *slot);

#endif
