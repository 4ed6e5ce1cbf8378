/* SPDX-License-Identifier: MIT */
/*
 * The policy: which peers a connection accepts.
 *
 * Owns: nothing. Touches: reads our own ids; policy_check() calls the application's `allow`. Threads: any; `allow` runs
 * on the caller's, which is the connection's.
 */
#ifndef LANE_POLICY_H
#define LANE_POLICY_H

#include <sealane/conn.h>

/* Is it our own user, or root? */
bool policy_is_own(const sea_peer *peer);

/* Does the answer depend on the peer's supplementary groups? */
bool policy_asks_groups(const sea_options *options);

/* The users that must be able to open a server's socket file. */
struct policy_file {
    unsigned mode;
    uint32_t group;      /* SOCKET_GROUP_NONE: as it comes */
    unsigned other_mode; /* where the file may not be given to that group; 0: that is an error */
};

struct policy_file policy_file(const sea_options *options);

/* 0, or the negative errno value with which `peer` is refused. By default our own user and root are let in. */
int policy_check(const sea_options *options, const sea_peer *peer);

/* As much as a refusal keeps of it. */
#define POLICY_TEXT_SIZE 160

/* Why a server (a client) refuses `peer`. The server's text goes to both applications: it names the peer and
 * the option that would let the peer in, and no other peer. */
void policy_refusal(const sea_options *options, const sea_peer *peer, bool is_server, char ret_text[POLICY_TEXT_SIZE]);

#endif
