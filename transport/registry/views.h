/* SPDX-License-Identifier: MIT */
/*
 * Views of the peer's arenas, and the blocks that lie in them.
 *
 * An arena is charged to the peer when it is announced, with its size and as a block, because it takes a mapping. Then
 * memory/view.h verifies and maps it. The table holds a view until the arena is retired or the connection ends; each
 * block that the application holds has another reference, and so has a copy that is under way.
 *
 * Threads: the connection's.
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
 * The peer announces an arena. Takes `fd` (-1: lost on the way). Errors: -EPROTO (it lies, as *ret_why says) · -ENOMEM.
 * What a limit of ours refuses is no error, but noted: its blocks are refused one by one.
 */
int views_open(struct views *views, const struct wire_arena *arena, int fd, const char **ret_why);

/* The peer retires an arena. -EPROTO: it has no such arena. */
int views_retire(struct views *views, uint32_t id);

/* Why a payload is refused that lies in an arena which a limit of ours refused: a static text; NULL of any other. */
const char *views_why(const struct views *views, uint64_t handle);

/* Where a payload of the peer's lies. -EPROTO: nowhere in its arenas · -EDQUOT, -EMFILE, -ENOMEM: in one that a limit
 * of ours refused: a quota, descriptors, mappings. */
int views_find(const struct views *views, uint64_t handle, uint64_t size, const void **ret_data);

/* A reference of the view in which views_find() found that payload; views_drop() drops it. */
struct arena_view *views_hold(const struct views *views, uint64_t handle);
void views_drop(struct arena_view *view);

/* A block for the payload, charged to the peer. The end of the block gives the lease back. Errors: as views_find();
 * -EDQUOT, -ENOMEM. */
int views_receive(sea_block **ret_block, struct views *views, uint64_t handle, uint64_t size);

/* Before views_end(): as much of that as the account's work allows. true: little is left. */
bool views_end_some(struct views *views);

/* The connection has ended: drops all views and the table. */
void views_end(struct views *views);

/* Gives the table back if it is empty. */
void views_trim(struct views *views);

#endif
