/* SPDX-License-Identifier: MIT */
/*
 * A peer without the library: AF_UNIX SOCK_SEQPACKET sockets by plain system calls, with any bytes and any descriptors.
 * The protocol is not known here; support/speaker.h speaks it.
 *
 * Names: a path, or an abstract name behind '@'. All waits are bounded, times CK_TIMEOUT_MULTIPLIER.
 */
#ifndef TESTS_SUPPORT_RAW_H
#define TESTS_SUPPORT_RAW_H

#include <stddef.h>
#include <stdint.h>

#define RAW_FDS_MAX 253 /* the kernel's SCM_MAX_FD */
#define RAW_DATAGRAM_MAX 212960

/* Returns an abstract name that no other test uses: "@sealane-test-PID-N". Static. */
const char *raw_name(void);

/* Make sockets, which the caller owns. They assert success. */
int raw_connect(const char *name);
int raw_listen(const char *name);
int raw_accept(int listener, int ms);

/* Sends one datagram, waiting for room. `fds` are borrowed. Returns 0 or a negative errno value. */
int raw_send(int fd, const void *data, size_t size, const int *fds, size_t fds_count);

/* Sends one datagram without waiting; returns -EAGAIN when there is no room. */
int raw_try_send(int fd, const void *data, size_t size, const int *fds, size_t fds_count);

struct raw_datagram {
    size_t size;
    size_t fds_count;
    int fds[RAW_FDS_MAX]; /* owned by the receiver */
    uint8_t data[RAW_DATAGRAM_MAX];
};

/* Receives one datagram. Returns 1; 0 at the end of the connection; -ETIMEDOUT; other negative errno values.
 * ECONNRESET is passed over. */
int raw_recv(int fd, int ms, struct raw_datagram *ret);

/* Closes the descriptors that came with the datagram. */
void raw_close_fds(struct raw_datagram *datagram);

#endif
