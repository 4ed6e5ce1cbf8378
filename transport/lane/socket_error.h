/* SPDX-License-Identifier: MIT */
/*
 * Reach: why a server cannot be reached, and why one cannot listen, as far as that can be found out.
 *
 * The kernel's errno says what it refused, and seldom why. Here is looked at what lies at the address, when something
 * has failed.
 */
#ifndef LANE_SOCKET_ERROR_H
#define LANE_SOCKET_ERROR_H

#include "lane/address.h"

#define SOCKET_ERROR_TEXT_SIZE 256

/*
 * Connecting to `text` failed with `r`, a negative errno value or a failure (sys/failure.h); `why` is what is known
 * already, and is used where nothing better is found. Writes a text for users.
 */
void socket_error_describe_connect(const char *text, int r, const char *why, char ret_text[SOCKET_ERROR_TEXT_SIZE]);

/* The same of listening. */
void socket_error_describe_listen(const char *text, int r, const char *why, char ret_text[SOCKET_ERROR_TEXT_SIZE]);

#endif
