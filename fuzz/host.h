/* SPDX-License-Identifier: MIT */
/*
 * The library's side of a fuzzed connection: a real server or real clients, and an application that does what the input
 * says: in its handlers, and between turns.
 *
 * A scene is a set of options; its context and its server are made once and used for many inputs, because each input
 * must leave them as it found them: host_end() aborts otherwise. One thread.
 */
#ifndef FUZZ_HOST_H
#define FUZZ_HOST_H

#include <sealane/sealane.h>

#include "input.h"

enum { HOST_CONNS = 4, HOST_KEPT = 8, HOST_POOLS = 3 };

struct scene {
    const char *name;
    bool is_client;
    sea_options options;
    sea_ctx_options ctx_options;
};
extern const struct scene scenes[];
extern const size_t scenes_count;

/* What the application holds while an input runs. */
struct host {
    const struct scene *scene;
    struct input *in; /* borrowed */
    sea_ctx *ctx;
    sea_server *server;          /* NULL: of a client */
    sea_conn *conns[HOST_CONNS]; /* open ones; of a client, owned, also those that have ended */
    sea_msg *msgs[HOST_KEPT];
    uint64_t sums[HOST_KEPT]; /* of the payloads of those messages that are stable */
    sea_block *blocks[HOST_KEPT];
    sea_pool *pools[HOST_POOLS];
    uint64_t calls[HOST_KEPT]; /* ids of the newest calls */
    unsigned calls_count;
    unsigned opened, closed, begun, ended; /* connections, and calls */
    unsigned depth;                        /* handlers on the stack */
    bool is_waiting;                       /* inside a function that blocks */
};
extern struct host host;

/* Makes what all scenes need: once. */
void host_make(void);

void host_begin(const struct scene *scene, struct input *in);

/* A socket for the peer to speak on: connected to the server, or with a client at its other end, which is made by
 * host_join(). -1: none. */
int host_meet(int *ret_other);
void host_join(int other); /* takes it; a server's is -1 */

/* The loop's turn. `is_resting`: as a loop does that goes to sleep. */
void host_turn(bool is_resting);

/* A server's own loop, which looks at its connections before it sleeps. Inside it only the peers act. */
void host_run(void);

/* One thing that the application does. */
void host_act(void);

/* The handler of all methods. */
void host_handle(sea_msg *msg, void *user);

/* Lets go of all and looks whether anything is left. The peers have hung up. */
void host_end(void);

/* The descriptors and mappings of the process are those of the first time, as far as can be told without waiting. The
 * first call takes the inventory. */
void host_check_holdings(void);

/* Ends a server's run that nothing else would. false: it is no server. */
bool host_give_up(void);

#endif
