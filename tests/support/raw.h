/* SPDX-License-Identifier: MIT */
/*
 * A peer without the library: AF_UNIX SOCK_SEQPACKET sockets by plain system calls, any bytes, any descriptors.
 * Nothing here knows the protocol; that is support/speaker.h.
 *
 * Names: a path, or an abstract name behind '@'. All waits are bounded, times CK_TIMEOUT_MULTIPLIER.
 */
#ifndef TESTS_SUPPORT_RAW_H
#define TESTS_SUPPORT_RAW_H

#include <stddef.h>
#include <stdint.h>

#define RAW_FDS_MAX 253 /* the kernel's SCM_MAX_FD */
#define RAW_DATAGRAM_MAX 212960

/* An abstract name that no other test uses: "@sealane-test-PID-N". Static. */
const char *raw_name(void);

/* The caller owns the sockets. They assert success. */
int raw_connect(const char *name);
int raw_listen(const char *name);
int raw_accept(int listener, int ms);

/* Sends one datagram, waiting for room. `fds` are borrowed. Returns 0 or a negative errno value. */
int raw_send(int fd, const void *data, size_t size, const int *fds, size_t fds_count);

/* The same without waiting: -EAGAIN. */
int raw_try_send(int fd, const void *data, size_t size, const int *fds, size_t fds_count);

struct raw_datagram {
    size_t size;
    size_t fds_count;
    int fds[RAW_FDS_MAX]; /* owned by the receiver */
    uint8_t data[RAW_DATAGRAM_MAX];
};

/* Receives one datagram. 1; 0: the end; -ETIMEDOUT; other negative errno values. ECONNRESET is passed over. */
int raw_recv(int fd, int ms, struct raw_datagram *ret);

/* Closes what came with it. */
void raw_close_fds(struct raw_datagram *datagram);

#endif
