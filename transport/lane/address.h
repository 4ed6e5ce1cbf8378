/* SPDX-License-Identifier: MIT */
/*
 * Addresses: from the text that users write to what the sockets take.
 *
 * Owns: nothing; no socket is opened. Touches: reads XDG_RUNTIME_DIR and the variables of socket activation; for a
 * server it makes the runtime directory. Threads: any, while no thread calls setenv().
 */
#ifndef LANE_ADDRESS_H
#define LANE_ADDRESS_H

#include <stdbool.h>

#define ADDRESS_NAME_SIZE 108 /* sun_path */

struct address {
    int fd;                       /* an inherited descriptor, borrowed; -1: use `name` */
    char name[ADDRESS_NAME_SIZE]; /* a path, or an abstract name behind '@' */
};

/*
 * "name", "unix:/path", "unix:@abstract", "fd:N", and for servers "systemd" or "systemd:NAME" (LISTEN_FDS). With
 * `for_server` the runtime directory is made. On failure *ret_why is a static text. Errors: -EINVAL, -ENAMETOOLONG,
 * -ENOENT (no runtime directory; no inherited descriptor N), -EACCES (the runtime directory is not ours alone).
 */
int address_parse(const char *text, bool for_server, struct address *ret_address, const char **ret_why);

/* Is `text` "systemd" or "systemd:NAME"? Then the runtime directory has no part in it. */
bool address_is_of_systemd(const char *text);

#endif
