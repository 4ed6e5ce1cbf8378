/* SPDX-License-Identifier: MIT */
/*
 * The library's side of a fuzzed connection: a real server or real clients, and an application that acts as the input
 * says, in its handlers and between turns.
 *
 * A scene is a set of options; its context and its server are made once and used for many inputs, because each input
 * must leave them unchanged: host_end() aborts otherwise. One thread.
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
    bool waits; /* its turns are waits: a client, which then has no descriptor for a loop */
};
extern const struct scene scenes[];
extern const size_t scenes_count;

/* Resources that the application holds while an input runs. */
struct host {
    const struct scene *scene;
    struct input *in; /* borrowed */
    sea_ctx *ctx;
    sea_server *server;          /* NULL: the scene is a client's */
    sea_conn *conns[HOST_CONNS]; /* open ones; of a client, owned, and including ended ones */
    sea_msg *msgs[HOST_KEPT];
    uint64_t sums[HOST_KEPT]; /* checksums of the payloads of stable messages */
    sea_block *blocks[HOST_KEPT];
    sea_pool *pools[HOST_POOLS];
    uint64_t calls[HOST_KEPT]; /* ids of the newest calls */
    unsigned calls_count;
    unsigned opened, closed, begun, ended; /* numbers of connections, and of calls */
    unsigned depth;                        /* handlers on the stack */
    bool is_waiting;                       /* inside a blocking function */
};
extern struct host host;

/* Makes the objects that all scenes need, once. */
void host_make(void);

void host_begin(const struct scene *scene, struct input *in);

/* Returns a socket for the peer: connected to the server, or with a client at its other end, which host_join()
 * makes. Returns -1 if there is none. */
int host_meet(int *ret_other);
void host_join(int other); /* takes it; for a server it is -1 */

/* Gives a turn of the loop. `is_resting`: as a loop does that is about to sleep. */
void host_turn(bool is_resting);

/* Runs a server's own loop, which polls its connections before it sleeps. Inside it only the peers act. */
void host_run(void);

/* Makes one act of the application. */
void host_act(void);

/* The handler of all methods. */
void host_handle(sea_msg *msg, void *user);

/* Releases everything and checks for leaks. The peers have closed their ends. */
void host_end(void);

/* Checks that the descriptors and mappings of the process are those of the first call, as far as possible without
 * waiting. The first call takes the inventory. */
void host_check_holdings(void);

/* Ends a server's run that nothing else would end. Returns false if the scene has no server. */
bool host_give_up(void);

#endif
