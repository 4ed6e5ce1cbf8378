/* SPDX-License-Identifier: MIT */
/* Batches of messages: the peer is woken once, at the end. See <sealane/conn.h>. */
#include "rpc/conn.h"

void sea_batch_begin(sea_conn *conn) {
    conn->lane.batches++;
    lane_cork(&conn->lane);
}

void sea_batch_end(sea_conn *conn) {
    conn->lane.batches--;
    lane_uncork(&conn->lane);
}
