/* SPDX-License-Identifier: MIT */
/*
 * The policy. The kernel has the identity of the peer at the time when the socket was connected; the peer itself is
 * never asked.
 */
#include "lane/policy.h"

#include "sys/cred.h"
#include "sys/idmap.h"
#include "sys/socket.h"
#include "wire/frame.h"
#include <errno.h>
#include <stdio.h>

enum { MODE_OWN = 0600, MODE_GROUP = 0660, MODE_OTHERS = 0666, GROUP_BITS = 0070, OTHER_BITS = 0007 };

static bool list_has(const uint32_t *ids, size_t count, uint32_t id) {
    for (size_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

/* An ambiguous id matches nothing, the numbers of our own user and of root neither. */
bool policy_is_own(const sea_peer *peer) {
    return !peer->is_uid_ambiguous && (peer->uid == cred_own_uid() || peer->uid == 0);
}

static bool is_user_allowed(const sea_options *options, const sea_peer *peer) {
    return policy_is_own(peer) ||
           (!peer->is_uid_ambiguous && list_has(options->users, options->users_count, peer->uid));
}

static bool is_group_allowed(const sea_options *options, const sea_peer *peer) {
    if (!peer->is_gid_ambiguous && list_has(options->groups, options->groups_count, peer->gid))
        return true;
    for (size_t i = 0; i < peer->groups_count; i++)
        if (list_has(options->groups, options->groups_count, peer->groups[i]) && idmap_names_group(peer->groups[i]))
            return true;
    return false;
}

bool policy_asks_groups(const sea_options *options) {
    return options->groups_count || options->allow;
}

/* Root needs no permissions. */
static bool has_other_users(const sea_options *options) {
    for (size_t i = 0; i < options->users_count; i++)
        if (options->users[i] != 0 && options->users[i] != cred_own_uid())
            return true;
    return options->allow;
}

static unsigned default_mode(const sea_options *options, bool is_for_one_group) {
    if (has_other_users(options) || (options->groups_count && !is_for_one_group && !options->socket_group))
        return MODE_OTHERS;
    return options->socket_group || is_for_one_group ? MODE_GROUP : MODE_OWN;
}

/* A mode that lets the file's group in, and no others, is meant for the one group that is listed. */
struct policy_file policy_file(const sea_options *options) {
    unsigned mode = options->socket_mode;
    bool is_for_a_group = mode ? mode & GROUP_BITS && !(mode & OTHER_BITS) : !has_other_users(options);
    bool is_for_one_group = is_for_a_group && options->groups_count == 1 && !options->socket_group;
    struct policy_file file = {.mode = mode ? mode : default_mode(options, is_for_one_group),
                               .group = options->socket_group ? options->socket_group : SOCKET_GROUP_NONE};
    if (is_for_one_group) {
        file.group = options->groups[0];
        file.other_mode = mode ? mode : MODE_OTHERS;
    }
    return file;
}

int policy_check(const sea_options *options, const sea_peer *peer) {
    if (is_user_allowed(options, peer) || is_group_allowed(options, peer))
        return 0;
    int r = options->allow ? options->allow(peer, options->user) : -EACCES;
    return r <= 0 && r >= WIRE_STATUS_LEAST ? r : -EACCES; /* whatever is no answer is a no */
}

static void refuse_client(const sea_options *options, const sea_peer *peer, char *ret) {
    if (options->allow)
        snprintf(ret, POLICY_TEXT_SIZE,
                 "user %u (group %u), as the server sees them, may not connect here: not in its `users` or `groups`, "
                 "and its `allow` says no",
                 peer->uid, peer->gid);
    else
        snprintf(ret, POLICY_TEXT_SIZE,
                 "user %u (group %u), as the server sees them, may not connect here: add one to `users` or `groups` "
                 "in the server's sea_options",
                 peer->uid, peer->gid);
}

void policy_refusal(const sea_options *options, const sea_peer *peer, bool is_server, char ret[POLICY_TEXT_SIZE]) {
    if (!is_server && peer->is_uid_ambiguous)
        snprintf(ret, POLICY_TEXT_SIZE,
                 "the server's user cannot be told from others: the id is the one of all users whom our user "
                 "namespace does not map");
    else if (!is_server)
        snprintf(ret, POLICY_TEXT_SIZE,
                 "the server is run by user %u, whom we do not trust: if you do, add the user to `users` in the "
                 "client's sea_options",
                 peer->uid);
    else if (peer->is_uid_ambiguous)
        snprintf(ret, POLICY_TEXT_SIZE,
                 "this user may not connect here: the server sees the id %u, which is the one of all users whom its "
                 "user namespace does not map",
                 peer->uid);
    else
        refuse_client(options, peer, ret);
}
