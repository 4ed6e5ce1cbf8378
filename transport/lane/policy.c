/* SPDX-License-Identifier: MIT */
/*
 * The policy. The kernel says who the peer was when the socket was connected; what the peer says of itself is never asked.
 */
#include "lane/policy.h"

#include "sys/cred.h"
#include "wire/frame.h"
#include <errno.h>

static bool list_has(const uint32_t *ids, size_t count, uint32_t id) {
    for (size_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

int policy_check(const sea_options *options, const sea_peer *peer) {
    if (peer->uid == cred_own_uid() || peer->uid == 0)
        return 0;
    if (list_has(options->users, options->users_count, peer->uid) ||
        list_has(options->groups, options->groups_count, peer->gid))
        return 0;
    int r = options->allow ? options->allow(peer, options->user) : -EACCES;
    return r <= 0 && r >= WIRE_STATUS_LEAST ? r : -EACCES; /* whatever is no answer is a no */
}
