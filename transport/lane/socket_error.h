/* SPDX-License-Identifier: MIT */
/*
 * Reach: why a server cannot be reached, and why one cannot listen, as far as that can be found out.
 *
 * The kernel's errno names its refusal, and seldom the reason. After a failure this module looks at the address, and at
 * the file there.
 *
 * Owns: nothing. Touches: reads the environment and the file system; for a bare name of a server it may make the
 * runtime directory (address_parse()). Threads: any, while no thread calls setenv().
 */
#ifndef LANE_SOCKET_ERROR_H
#define LANE_SOCKET_ERROR_H

#include "lane/address.h"

#define SOCKET_ERROR_TEXT_SIZE 256

/*
 * Connecting to `text` failed with `r`, a negative errno value or a failure (sys/failure.h); `why` is the
 * reason known so far, and is used where no better one is found. Writes a text for users.
 */
void socket_error_describe_connect(const char *text, int r, const char *why, char ret_text[SOCKET_ERROR_TEXT_SIZE]);

/* Listening at `text` failed with `r`; as above. */
void socket_error_describe_listen(const char *text, int r, const char *why, char ret_text[SOCKET_ERROR_TEXT_SIZE]);

#endif
