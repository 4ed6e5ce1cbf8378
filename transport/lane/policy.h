/* SPDX-License-Identifier: MIT */
/* Who may be at the other end of a connection. */
#ifndef LANE_POLICY_H
#define LANE_POLICY_H

#include <sealane/conn.h>

/* 0, or the negative errno value with which `peer` is refused. By default our own user and root are let in. */
int policy_check(const sea_options *options, const sea_peer *peer);

/* Why a server (a client) refuses `peer`, as the peer (the application) is told. Static. */
const char *policy_refusal(const sea_peer *peer, bool is_server);

#endif
