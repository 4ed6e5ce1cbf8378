/* SPDX-License-Identifier: MIT */
/* Memory of messages. See msg_memory.h. */
#include "rpc/msg_memory.h"

#include "sys/heap.h"
#include "sys/misuse.h"
#include <errno.h>

/* As many as a busy connection uses at a time; each is some 1400 bytes. */
static const uint32_t SPARES_MOST = 5, BURIED_MOST = 200;

struct mailbox msg_dead_box = {.thread = THREAD_ID_NONE};

enum { MSG_SIZE = sizeof(sea_msg) + LANE_BYTES_MAX };

void msg_discard(sea_msg *msg) {
    struct account *payer = msg->payer;
    account_return(payer, msg->charged);
    payer->messages--;
    heap_free(msg);
    account_unref(payer);
}

/*
 * A connection's first messages are free of charge, as many as the calls in flight and the spares: a peer that uses all
 * the bytes of its grant must still be heard. All others are charged to the peer, with the small payloads in them.
 */
static int msg_make(struct account *payer, uint32_t calls_max, sea_msg **ret_msg) {
    uint64_t charged = payer->messages < calls_max + SPARES_MOST ? 0 : MSG_SIZE;
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

int msg_alloc(struct msg_spares *spares, struct account *payer, uint32_t calls_max, sea_msg **ret_msg) {
    sea_msg *msg = spares->first;
    if (!msg)
        return msg_make(payer, calls_max, ret_msg);
    spares->first = msg->next;
    spares->count--;
    msg->box = payer->mailbox;
    *ret_msg = msg;
    return 0;
}

void msg_spares_init(struct msg_spares *spares) {
    *spares = (struct msg_spares){.most = misuse_is_checked() ? 0 : SPARES_MOST};
}

static void msg_bury(struct msg_spares *spares, sea_msg *msg) {
    msg->box = MSG_DEAD_BOX;
    msg->next = NULL;
    sea_msg **end = &spares->buried;
    while (*end)
        end = &(*end)->next;
    *end = msg;
    if (++spares->count <= BURIED_MOST)
        return;
    sea_msg *oldest = spares->buried;
    spares->buried = oldest->next;
    spares->count--;
    msg_discard(oldest);
}

static RARE void msg_dealloc_more(struct msg_spares *spares, sea_msg *msg) {
    if (spares->most > 0)
        msg_discard(msg);
    else
        msg_bury(spares, msg);
}

void msg_dealloc(struct msg_spares *spares, sea_msg *msg) {
    if (spares->count >= spares->most) {
        msg_dealloc_more(spares, msg);
        return;
    }
    msg->in.status = 0;
    msg->in.text = NULL;
    msg->in.block = NULL;
    atomic_store_explicit(&msg->is_cancelled, false, memory_order_relaxed);
    atomic_store_explicit(&msg->is_posted, false, memory_order_relaxed);
    msg_keep_spare(spares, msg);
}

static void msg_drop_all(sea_msg **list) {
    while (*list) {
        sea_msg *msg = *list;
        *list = msg->next;
        msg_discard(msg);
    }
}

void msg_spares_drop(struct msg_spares *spares) {
    msg_drop_all(&spares->first);
    msg_drop_all(&spares->buried);
    spares->count = 0;
}
