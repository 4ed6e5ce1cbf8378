/* SPDX-License-Identifier: MIT */
/*
 * Waiting for a connection on its user's thread: looks at the rings and into the mailbox, then polls the socket, the
 * pidfd of the peer's process and the bell of other threads (rpc/interrupt.h), and gives the connection its turn. In a
 * process with one thread it mostly waits in the call that receives the doorbell, which is one system call instead of
 * two.
 *
 * Owns: nothing. Touches: is_waiting, the bell and the spin policy; before it sleeps it rings the peer and maintains
 * the pools (lane_prepare_sleep()); the connection's text; in the turn, all that conn_turn.h says.
 * Threads: the connection's, not after its end. sea_conn_interrupt(): any thread, and signal handlers.
 */
#ifndef RPC_CONN_WAIT_H
#define RPC_CONN_WAIT_H

#include "rpc/conn.h"

/*
 * Waits once, at most until `deadline`, and gives the connection its turn. While it looks at the rings it does not look
 * at the deadline: it may be late by as long as the spin policy lets it look, 50 us, or 1 ms for SEA_WAIT_SPIN.
 *
 * The caller has adopted the connection, which has not ended and for which conn_can_wait() is true; and it holds a
 * reference: after the turn, in which a handler may free the connection, the end of the wait is noted there.
 *
 * Returns how many frames were handled: 0 also when the time is over. -EINTR: the interrupt is raised; the function
 * that returns this error to the user calls interrupt_tell(). Other errors: the socket cannot be polled.
 */
int conn_wait_turn(sea_conn *conn, uint64_t deadline);

/* The same; but if the doorbell of this sleep came, and nothing else, the turn is the caller's, and *ret_is_rung is
 * true: mostly one frame has come, which may go the short way. */
int conn_wait_bell(sea_conn *conn, uint64_t deadline, bool *ret_is_rung);

#endif
