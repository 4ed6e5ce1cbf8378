/* SPDX-License-Identifier: MIT */
/*
 * Views of the peer's arenas, and the blocks that lie in them.
 *
 * An arena is charged to the peer when it is announced, with its size and as a block, because it takes a mapping. Then
 * memory/view.h verifies and maps it. An arena that we cannot take has a mark in the place of its view.
 *
 * A view knows under which generation each of its blocks is on lease to us, so that no table is searched for a handle.
 * The peer pays for that knowledge where the arena has many blocks: with its quota, and with work when the view goes.
 *
 * Owns: a reference of each view in the table, until the arena is retired or the connection ends; each block that the
 * application holds has another reference, and so has a copy that is under way. Each view has a reference of the
 * account. Touches: the account: quota, mapped_bytes, spares, imports, and work when views go; the context's admission,
 * counters and refusals. Takes descriptors: the view closes them, or the reaper.
 *
 * Threads: the connection's; after the connection's end the thread that has entered its mailbox (registry/mailbox.h):
 * blocks still end then, and drop their views.
 */
#ifndef REGISTRY_VIEWS_H
#define REGISTRY_VIEWS_H

#include "memory/view.h"
#include "registry/block.h"
#include "registry/view_table.h"
#include "wire/frame.h"

/* Zeroed but for the account: no arena. */
struct views {
    struct account *account; /* borrowed */
    struct view_table table;
    uint64_t charged; /* to the account for the table, bytes */
};

/*
 * The peer announces an arena. Takes `fd` (-1: lost on the way). Errors: -EPROTO (it lies, as *ret_why says) · -ENOMEM
 * (no private memory for the table or the view). An arena that a limit of ours, or a failed call, keeps from us is no
 * error, but noted: its blocks are refused one by one.
 */
int views_open(struct views *views, const struct wire_arena *arena, int fd, const char **ret_why);

/* The peer retires an arena. -EPROTO: it has no such arena. */
int views_retire(struct views *views, uint32_t id);

/* Why a payload is refused that lies in an arena which we could not take: a static text; NULL of any other. */
const char *views_why(const struct views *views, uint64_t handle);

/* Has the peer lent us a block of an arena under that handle? Not of an arena that it has retired. */
bool views_have(const struct views *views, uint64_t handle);

/* Where a payload of the peer's lies. -EPROTO: nowhere in its arenas. Others: in an arena which we could not take, for
 * want of quota (-EDQUOT), of descriptors (-EMFILE), of mappings or addresses (-ENOMEM), because a call is forbidden
 * (-EPERM) or failed (-EIO). */
int views_find(const struct views *views, uint64_t handle, uint64_t size, const void **ret_data);

/* Where a payload lies that is not on lease to us, and within the credit that we granted, for the short way. NULL:
 * something is unusual, or wrong. */
const void *views_look(const struct views *views, uint64_t handle, uint64_t size);

/* A reference of the view in which views_find() found that payload; views_drop() drops it. */
struct arena_view *views_hold(const struct views *views, uint64_t handle);
void views_drop(struct arena_view *view);

/* A block for the payload, charged to the peer. The end of the block gives the lease back. Errors: as views_find();
 * -EDQUOT, -ENOMEM. */
int views_receive(sea_block **ret_block, struct views *views, uint64_t handle, uint64_t size);

/* The same for the short way, and within the credit that we granted: in a spare object of the account. NULL: nothing
 * has happened, since something is unusual, or wrong. */
sea_block *views_take(const struct views *views, uint64_t handle, uint64_t size);

/* Ends such a block, of which the caller has a reference, while the connection lives; the caller gives the lease back.
 * false: nothing has happened, since something is unusual. */
bool views_return(const struct views *views, sea_block *block, uint64_t *ret_handle);

/* Before views_end(): as much of that as the account's work allows. true: little is left. */
bool views_end_some(struct views *views);

/* The connection has ended: drops all views and the table. */
void views_end(struct views *views);

/* Gives the table back if it is empty. */
void views_trim(struct views *views);

#endif
