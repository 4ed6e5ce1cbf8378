/* SPDX-License-Identifier: MIT */
/* Memory of messages. See msg_memory.h. */
#include "rpc/msg_memory.h"

#include "sys/heap.h"
#include "sys/misuse.h"
#include <errno.h>

/* As many as a busy connection uses at a time; each is some 350 bytes. */
static const uint32_t SPARES_MOST = 16, BURIED_MOST = 200;

struct mailbox msg_dead_box;

enum { MSG_SIZE = sizeof(sea_msg) + LANE_BYTES_MAX };

/* Also one that is a block by now. */
void msg_discard(sea_msg *msg) {
    struct account *payer = msg->payer;
    account_return(payer, msg->charged);
    payer->messages--;
    heap_free(msg);
    account_unref(payer);
}

/*
 * Messages which are kept, with the small payloads in them, are charged to their peer. Not so as many as come and go,
 * which the calls in flight bound: a peer that uses all the bytes it was granted must still be heard.
 */
static int msg_make(sea_conn *conn, sea_msg **ret_msg) {
    struct account *payer = conn->lane.remote->account;
    uint64_t charged = payer->messages < conn->lane.hello.calls_max + SPARES_MOST ? 0 : MSG_SIZE;
    int r = account_charge(payer, charged);
    if (r < 0)
        return r;
    sea_msg *msg = heap_new(1, MSG_SIZE);
    if (!msg) {
        account_return(payer, charged);
        return -ENOMEM;
    }
    msg->charged = charged;
    msg->payer = payer;
    msg->box = payer->mailbox;
    payer->refs++;
    payer->messages++;
    *ret_msg = msg;
    return 0;
}

int msg_alloc(sea_conn *conn, sea_msg **ret_msg) {
    sea_msg *msg = conn->spares;
    if (!msg)
        return msg_make(conn, ret_msg);
    conn->spares = msg->next;
    conn->spares_count--;
    msg->box = conn->box;
    *ret_msg = msg;
    return 0;
}

uint32_t msg_spares_most(void) {
    return misuse_is_checked() ? 0 : SPARES_MOST;
}

/* While misuse is checked no message is used again, and the last ones that were released stay in memory for a while. */
static void msg_bury(sea_conn *conn, sea_msg *msg) {
    msg->box = MSG_DEAD_BOX;
    msg->next = NULL;
    sea_msg **end = &conn->buried;
    while (*end)
        end = &(*end)->next;
    *end = msg;
    if (++conn->spares_count <= BURIED_MOST)
        return;
    sea_msg *oldest = conn->buried;
    conn->buried = oldest->next;
    conn->spares_count--;
    msg_discard(oldest);
}

static RARE void msg_dealloc_more(sea_conn *conn, sea_msg *msg) {
    if (conn->spares_most > 0 || conn->is_ended)
        msg_discard(msg);
    else
        msg_bury(conn, msg);
}

/* What msg_take_spare() does not set says nothing in a spare. */
void msg_dealloc(sea_conn *conn, sea_msg *msg) {
    if (conn->spares_count >= conn->spares_most || conn->is_ended) {
        msg_dealloc_more(conn, msg);
        return;
    }
    msg->in.status = 0;
    msg->in.text = NULL;
    msg->in.block = NULL;
    atomic_store_explicit(&msg->is_cancelled, false, memory_order_relaxed);
    atomic_store_explicit(&msg->is_posted, false, memory_order_relaxed);
    msg->box = MSG_DEAD_BOX;
    msg->next = conn->spares;
    conn->spares = msg;
    conn->spares_count++;
}

static void msg_drop_all(sea_msg **list) {
    while (*list) {
        sea_msg *msg = *list;
        *list = msg->next;
        msg_discard(msg);
    }
}

void msg_drop_spares(sea_conn *conn) {
    msg_drop_all(&conn->spares);
    msg_drop_all(&conn->buried);
    conn->spares_count = 0;
}
