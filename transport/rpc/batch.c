/* SPDX-License-Identifier: MIT */
/*
 * Batches of messages: the peer is woken once, at the end. See <sealane/conn.h>.
 *
 * Owns: nothing. Touches: batches and corks of the lane; the end of the last batch may ring the doorbell. Threads: the
 * connection's; after its end the counts alone change.
 */
#include "rpc/conn.h"
#include "sys/misuse.h"

void sea_batch_begin(sea_conn *conn) {
    if (conn_adopt(conn) < 0)
        return;
    conn->lane.batches++;
    lane_cork(&conn->lane);
}

void sea_batch_end(sea_conn *conn) {
    if (conn_adopt(conn) < 0)
        return;
    if (conn->lane.batches == 0) {
        misuse_tell("a batch ends that has not begun");
        return;
    }
    conn->lane.batches--;
    lane_uncork(&conn->lane);
}
